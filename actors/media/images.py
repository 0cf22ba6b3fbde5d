"""Pictures: what is made of one, in a cage.

    header --too large, too many frames--> refused
       | thumbnail: turned upright, sRGB, 8 bits a band, never larger than it was
       +--> original   at most 3840 x 2160 pixels' worth; JPEG, PNG or WebP
       +--> small      640 x 360 pixels' worth; JPEG, WebP if it can be seen through
       +--> blurhash   of 32 x 32 pixels
    avatar 400 x 400, header 1500 x 500: cropped; `static` where it moves
    preview, of a link's page: `original` alone, 960 x 540 pixels' worth

Rules of this file
- Nothing is decoded before the header has said how much that is.
- Everything is encoded anew and without metadata: what is behind a picture in its file, or hidden in it, is gone.
- A file that ends too soon, or is damaged, is refused: half a picture is not what somebody meant to show.
- Animated GIFs become video (`video.py`), animated WebPs stay; an APNG's first picture is taken.

Cost: 12 megapixels of JPEG 0.3 s and 46 MB, from the start of the process on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from actors.core.errors import InvalidError
from actors.media import blurhash, vips
from actors.media.processed import Made, Purpose
from actors.media.sniff import AVIF, GIF, JPEG, PNG, WEBP, Format

FRAMES_MAX: Final = 1_000
ANIMATED_PIXELS_FACTOR: Final = 8  # times pixels_max, of all frames together: 20 s of the processor
ORIGINAL_PIXELS: Final = 3840 * 2160
SMALL_PIXELS: Final = 640 * 360
PREVIEW_PIXELS: Final = 960 * 540  # of what the page of a link shows of itself
SIDE_MAX: Final = 16_383  # of what is written: WebP's bound
CROPPED: Final[dict[Purpose, tuple[int, int]]] = {"avatar": (400, 400), "header": (1500, 500)}
MAY_MOVE: Final = (GIF, WEBP)
_SAVERS: Final[dict[str, Callable[[vips.Image, Path], None]]] = {
    "jpg": lambda image, path: vips.write("jpegsave", image, path, Q=85, keep="none"),
    "png": lambda image, path: vips.write("pngsave", image, path, compression=4, keep="none"),
    "webp": lambda image, path: vips.write("webpsave", image, path, Q=82, effort=1, keep="none"),
}


class Header(NamedTuple):
    """What a picture's header says. width, height: upright, of one frame."""

    width: int
    height: int
    frames: int
    has_alpha: bool


def read_header(source: Path, found: Format, pixels_max: int) -> Header:
    """Return what a picture's header says. Raises InvalidError for one that is refused."""
    try:
        image = vips.run(found.decoder, path=source, access="sequential", **{"fail-on": "error"})
    except vips.VipsError as error:
        raise _damaged(found) from error
    width, height, frames = image.width, image.height, image.frames
    if width * height > pixels_max:
        raise InvalidError(
            f"the picture has {width} x {height} pixels, and at most {pixels_max} are taken; make it smaller", "file"
        )
    frames = frames if found in MAY_MOVE else 1
    if frames > FRAMES_MAX or width * height * frames > ANIMATED_PIXELS_FACTOR * pixels_max:
        raise InvalidError(
            f"the picture has {frames} frames of {width} x {height} pixels; at most {FRAMES_MAX} frames and "
            f"{ANIMATED_PIXELS_FACTOR * pixels_max} pixels in all are taken", "file",
        )  # fmt: skip
    if image.number("orientation") >= 5:
        width, height = height, width
    return Header(width, height, frames, image.has_alpha)


def make_renditions(
    source: Path, found: Format, purpose: Purpose, folder: Path, pixels_max: int
) -> tuple[list[Made], str]:
    """Write the renditions of a picture into a folder; returns them and the blurhash. Raises InvalidError."""
    header = read_header(source, found, pixels_max)
    moves = header.frames > 1
    extension = _extension_for(found, header)
    still_extension = "webp" if header.has_alpha else "jpg"
    try:
        if purpose in CROPPED:
            box = CROPPED[purpose]
            moving = "webp" if moves else still_extension
            made = [_write("original", moving, source, folder, box, moves, crop=True)]
            if moves:
                made.append(_write("static", still_extension, source, folder, box, crop=True))
        elif purpose == "preview":
            made = [_write("original", still_extension, source, folder, _box(header, PREVIEW_PIXELS))]
        else:
            made = [_write("original", extension, source, folder, _box(header, ORIGINAL_PIXELS), moves)]
            upright = source if moves else folder / made[0].file  # smaller to decode
            made.append(_write("small", still_extension, upright, folder, _box(header, SMALL_PIXELS)))
        return made, hash_of(folder / made[-1].file)
    except vips.VipsError as error:
        raise _damaged(found) from error


def make_small(source: Path, folder: Path) -> tuple[Made, str]:
    """Write the thumbnail of a picture that we have made; returns it and its blurhash. Raises VipsError."""
    image = vips.run("pngload", path=source)
    made = _write("small", "jpg", source, folder, _box(Header(image.width, image.height, 1, False), SMALL_PIXELS))
    return made, hash_of(folder / made.file)


def hash_of(path: Path) -> str:
    """Return the blurhash of a small picture. Raises VipsError."""
    image = _flat(_fitting(path, (blurhash.SIDE_PIXELS, blurhash.SIDE_PIXELS)))
    return blurhash.encode(image.pixels(), image.width, image.height)


def _extension_for(found: Format, header: Header) -> str:
    if found == AVIF:
        return "webp" if header.has_alpha else "jpg"
    return {JPEG: "jpg", PNG: "png", GIF: "png", WEBP: "webp"}[found]


def _box(header: Header, pixels: int) -> tuple[int, int]:
    """Return the largest size of a picture's shape that has so many pixels at most, and isn't larger than it."""
    scale = min(1.0, math.sqrt(pixels / (header.width * header.height)), SIDE_MAX / max(header.width, header.height))
    return max(1, round(header.width * scale)), max(1, round(header.height * scale))


def _write(
    rendition: str, extension: str, source: Path, folder: Path, box: tuple[int, int], moves: bool = False,
    crop: bool = False,
) -> Made:  # fmt: skip
    image = _fitting(source, box, moves, crop)
    if extension == "jpg" and image.has_alpha:
        image = _flat(image)
    file = f"{rendition}.{extension}"
    _SAVERS[extension](image, folder / file)
    return Made(rendition, file, image.width, image.page_height if moves else image.height)


def _fitting(source: Path, box: tuple[int, int], moves: bool = False, crop: bool = False) -> vips.Image:
    """Return a picture as it fits into a box, or fills it if it is cropped: upright, sRGB, 8 bits a band."""
    path = Path(f"{source}[n=-1]") if moves else source
    size = {"size": "both", "crop": "centre"} if crop else {"size": "down"}
    image = vips.run("thumbnail", path=path, width=box[0], height=box[1], **size, **{"fail-on": "error"})
    if image.has("icc-profile-data"):  # thumbnail's own way to sRGB is by floating point: 1.8 s for 8 megapixels
        image = vips.run("icc_transform", image=image, embedded="true", depth=8, **{"output-profile": "srgb"})
    return vips.run("cast", image=vips.run("colourspace", image=image, space="srgb"), format="uchar")


def _flat(image: vips.Image) -> vips.Image:
    return vips.run("flatten", image=image, background=[255, 255, 255]) if image.has_alpha else image


def _damaged(found: Format) -> InvalidError:
    return InvalidError(f"the file begins as {found.name} but can't be read to its end as one: it is damaged", "file")
