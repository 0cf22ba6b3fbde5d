"""The client's files, read once a process and kept, plain and packed: `/assets/VERSION/main.js`.

Rules of this file
- VERSION is a hash of all files together, so an answer never changes and is kept for ever by whoever gets it. Another
  version than this process's isn't there: a page that is older loads itself anew.
- What is served is in this table. A path is never made a file's name, so none leads out of the folder.
- What people alone read, comments and indentation, isn't sent: of JavaScript documentation comments, and what
  begins a line; so neither may stand in a text.
- What the first view needs is found by following `import` from module to module; `import()` is what may come later.

Cost: 20 ms at the start, for all files together; 60 us an answer.
"""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from api.http.caching import Headers

CLIENT: Final = Path(__file__).parent / "client"
PREFIX: Final = "/assets/"
SERVICE_WORKER: Final = "sw.js"  # served at the root, or it could not look after the whole site
_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
_IMPORT: Final = re.compile(r"""^(?:import|export)\b[^"'();]{0,2000}?["'](\.{1,2}/[^"']{1,200})["']""", re.MULTILINE)
_JS_COMMENTS: Final = re.compile(rb"/\*\*.*?\*/|^[ \t]*/\*.*?\*/|^[ \t]*//[^\n]*$", re.DOTALL | re.MULTILINE)
_CSS_COMMENTS: Final = re.compile(rb"/\*.*?\*/", re.DOTALL)
_BLANKS: Final = re.compile(rb"\s*\n\s*")
_VERSION_CHARS: Final = 16
FOR_EVER: Final = b"public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """One file. packed: by gzip, empty where that isn't shorter."""

    name: str
    content_type: str
    body: bytes
    packed: bytes
    etag: bytes

    def answer(self, takes_gzip: bool, caching: bytes) -> tuple[Headers, bytes]:
        """Return headers and body of the answer that has this file."""
        is_packed = takes_gzip and bool(self.packed)
        body = self.packed if is_packed else self.body
        headers: Headers = [
            (b"content-type", self.content_type.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", caching),
            (b"vary", b"accept-encoding"),
        ]
        if is_packed:
            headers.append((b"content-encoding", b"gzip"))
        return headers, body


def asset_of(name: str, content_type: str, body: bytes) -> Asset:
    """Return a file as it is served."""
    packed = gzip.compress(body, 9, mtime=0)
    etag = f'"{hashlib.sha256(body).hexdigest()[:_VERSION_CHARS]}"'.encode()
    return Asset(name, content_type, body, packed if len(packed) < len(body) else b"", etag)


class Assets:
    """All files of a folder, by their path in it."""

    def __init__(self, folder: Path) -> None:
        """Read the folder. What has none of the endings that are served isn't."""
        self.files: dict[str, Asset] = {}
        said = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            content_type = _TYPES.get(path.suffix)
            if content_type is None or not path.is_file():
                continue
            name = path.relative_to(folder).as_posix()
            body = served_of(path.suffix, path.read_bytes())
            self.files[name] = asset_of(name, content_type, body)
            said.update(b"%d %d " % (len(name), len(body)) + name.encode() + body)
        self.version = said.hexdigest()[:_VERSION_CHARS]
        self.imports = {name: imports_of(name, file.body) for name, file in self.files.items() if name.endswith(".js")}

    def find(self, path: str) -> Asset | None:
        """Return the file that a path asks for, None for a version or a file that isn't there."""
        version, _, name = path.removeprefix(PREFIX).partition("/")
        return self.files.get(name) if version == self.version else None

    def address(self, name: str) -> str:
        """Return the path by which a file is asked for."""
        return f"{PREFIX}{self.version}/{name}"

    def needed(self, *names: str) -> list[str]:
        """Return these modules and all that they import, each once, those first that are named first."""
        found: dict[str, None] = {}
        waiting = [name for name in names if name in self.imports]
        while waiting:
            name = waiting.pop(0)
            if name not in found:
                found[name] = None
                waiting += [each for each in self.imports[name] if each in self.imports]
        return list(found)

    def styles(self, first: Iterable[str]) -> list[str]:
        """Return the style sheets, those first that set what the others use."""
        names = [name for name in self.files if name.endswith(".css")]
        order = {name: place for place, name in enumerate(first)}
        return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def served_of(ending: str, body: bytes) -> bytes:
    """Return what is sent of a file."""
    comments = {".js": _JS_COMMENTS, ".css": _CSS_COMMENTS}.get(ending)
    return body if comments is None else _BLANKS.sub(b"\n", comments.sub(b"", body)).lstrip()


def imports_of(name: str, body: bytes) -> list[str]:
    """Return the modules that a module imports when it is loaded, by their paths in the folder."""
    folder = posixpath.dirname(name)
    return [posixpath.normpath(posixpath.join(folder, each)) for each in _IMPORT.findall(body.decode())]


@cache
def client_files() -> Assets:
    """Return the client's files as they were when this process asked first."""
    return Assets(CLIENT)
