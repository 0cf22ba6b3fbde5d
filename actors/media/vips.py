"""libvips, through the interface that the wheel pyvips-binary carries: as much of pyvips as pictures need.

Rules of this file
- Only a caged process imports it (`cage.py`): what libvips reads may be made to break it.
- All loaders are blocked but those of `_LOADERS`: there are some thirty, one runs scripts, others follow addresses.
- An image is lazy: nothing of its pixels is read before something is written, and then row after row.

How it works: operations of libvips are objects with properties. Images go in and out as such, everything else as the
text that libvips parses itself ("width=400,size=down"), so no types have to be known here.

Cost: 45 ms to load, 20 us an operation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from _libvips import ffi, lib

_INT, _STRING = 6 << 2, 16 << 2  # GLib's numbers of fundamental types
_LOADERS: Final = ("Jpeg", "Png", "Webp", "Nsgif", "Heif")


class VipsError(Exception):
    """libvips refuses; the message is its own."""


def start(threads: int = 1) -> None:
    """Initialise libvips, once a process: one thread, no cache, no loaders but ours."""
    if lib.vips_init(b"rookery"):
        raise _error()
    lib.vips_concurrency_set(threads)
    lib.vips_cache_set_max(0)
    lib.vips_block_untrusted_set(1)
    lib.vips_operation_block_set(b"VipsForeignLoad", 1)
    for name in _LOADERS:
        lib.vips_operation_block_set(f"VipsForeignLoad{name}".encode(), 0)


class Image:
    """An image of libvips."""

    def __init__(self, pointer: Any) -> None:
        """pointer: a reference that this object gives up at its end."""
        self.pointer = ffi.gc(pointer, lib.g_object_unref)

    def number(self, name: str) -> int:
        """Return a whole number of its header, 0 if it has none of that name."""
        if lib.vips_image_get_typeof(self.pointer, name.encode()) != _INT:
            return 0
        value = ffi.gc(ffi.new("GValue *"), lib.g_value_unset)
        if lib.vips_image_get(self.pointer, name.encode(), value):
            raise _error()
        return int(lib.g_value_get_int(value))

    @property
    def width(self) -> int:
        """Pixels of a row."""
        return self.number("width")

    @property
    def height(self) -> int:
        """Rows, of all frames together."""
        return self.number("height")

    @property
    def page_height(self) -> int:
        """Rows of one frame."""
        return int(lib.vips_image_get_page_height(self.pointer))

    @property
    def frames(self) -> int:
        """How many pictures the file has, one after another."""
        return int(lib.vips_image_get_n_pages(self.pointer))

    @property
    def has_alpha(self) -> bool:
        """Whether some of it can be seen through."""
        return bool(lib.vips_image_hasalpha(self.pointer))

    def has(self, name: str) -> bool:
        """Whether its header has something of that name."""
        return bool(lib.vips_image_get_typeof(self.pointer, name.encode()))

    def pixels(self) -> bytes:
        """Return all its bytes, row after row, each pixel's bands together."""
        size = ffi.new("size_t *")
        found = lib.vips_image_write_to_memory(self.pointer, size)
        if found == ffi.NULL:
            raise _error()
        try:
            return bytes(ffi.buffer(found, size[0]))
        finally:
            lib.g_free(found)


def _value_of(kind: int) -> Any:
    """Return an empty GValue of a type."""
    value = ffi.new("GValue *")
    lib.g_value_init(value, kind)
    return ffi.gc(value, lib.g_value_unset)


def _image_type() -> int:
    return int(lib.g_type_from_name(b"VipsImage"))


def _error() -> VipsError:
    text = ffi.string(lib.vips_error_buffer()).decode("utf-8", "replace").strip()
    lib.vips_error_clear()
    return VipsError(text or "libvips gives no reason")


def call(operation: str, *, out: str = "out", path: Path | None = None, **options: Any) -> Image | None:
    """Run an operation. path: its file; options: images, and what libvips takes as text.

    Returns its image `out`, None of one that only writes. Raises VipsError.
    """
    made = lib.vips_operation_new(operation.encode())
    if made == ffi.NULL:
        raise _error()
    operation_object = ffi.gc(made, lib.g_object_unref)
    words = [f"{name}={_word(value)}" for name, value in options.items() if not isinstance(value, Image)]
    as_object = ffi.cast("VipsObject *", operation_object)
    if words and lib.vips_object_set_from_string(as_object, ",".join(words).encode()):
        raise _error()
    for name, value in options.items():
        if isinstance(value, Image):
            _set(operation_object, "in" if name == "image" else name, _image_type(), value.pointer)
    if path is not None:
        _set(operation_object, "filename", _STRING, str(path).encode())
    built = lib.vips_cache_operation_build(operation_object)
    if built == ffi.NULL:
        lib.vips_object_unref_outputs(as_object)
        raise _error()
    built = ffi.gc(built, lib.g_object_unref)
    result = None
    if out:
        value = _value_of(_image_type())
        lib.g_object_get_property(ffi.cast("GObject *", built), out.encode(), value)
        found = lib.g_value_get_object(value)
        lib.g_object_ref(found)
        result = Image(ffi.cast("VipsImage *", found))
    lib.vips_object_unref_outputs(ffi.cast("VipsObject *", built))
    return result


def run(operation: str, **options: Any) -> Image:
    """Run an operation that gives an image. Raises VipsError."""
    found = call(operation, **options)
    assert found is not None
    return found


def write(operation: str, image: Image, path: Path, **options: Any) -> None:
    """Write an image into a file. Raises VipsError, also for what is wrong with where it came from."""
    call(operation, out="", image=image, path=path, **options)


def _set(target: Any, name: str, kind: int, content: Any) -> None:
    value = _value_of(kind)
    if kind == _STRING:
        lib.g_value_set_string(value, content)
    else:
        lib.g_value_set_object(value, content)
    lib.g_object_set_property(ffi.cast("GObject *", target), name.encode(), value)


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return '"' + " ".join(map(str, value)) + '"'
    return str(value)
