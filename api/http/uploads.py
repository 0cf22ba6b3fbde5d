"""Bodies with files: what is read of them while they come, so that no file is ever in memory.

    head: multipart, a path that takes files, a token --> Upload --feed--> texts; files below the port's `incoming`
                                                            |-- finish --> the app, in scope["state"][UPLOAD]
                                                            `-- discard: refused, hung up, answered: files go

Rules of this file
- What a part says of its file, its name and its type, is believed by nobody. Files' names are drawn, theirs alone.
- A file belongs to the upload until somebody takes it. Whatever becomes of the request, `discard` comes last.
- All uploads of a worker are bounded in number, and those of one token more so. Texts share the bound of other bodies.
- Where nothing is taken (no media, no token in the head, another path) a form with files is refused as it always was.

Cost: 20 us for 16 KiB, the write included; it goes to the page cache.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from actors.core.errors import MalformedError, OverloadedError, RateLimitedError, TooLargeError
from api.http.text_parts import CONTENT_TYPE_CHARS_MAX, PART_HEADER_BYTES_MAX
from api.limits import FORM_FIELD_COUNT_MAX

if TYPE_CHECKING:
    from api.services import Services

logger = logging.getLogger("rookery.api")
UPLOAD: Final = "upload"  # in a request's state
FILES_MAX: Final = 2  # a file and its thumbnail, an avatar and a header
AROUND_BYTES: Final = 128 * 1024  # of a body, beside its files
COUNT_MAX: Final = 64  # uploads that a worker takes at once
PER_TOKEN_MAX: Final = 8
BYTES_PER_S_LEAST: Final = 16 * 1024
_MULTIPART: Final = b"multipart/form-data"
_MEDIA_PATHS: Final = ("/api/v1/media", "/api/v2/media")
_PROFILE_PATHS: Final = frozenset(("/api/v1/accounts/update_credentials", "/api/v1/profile"))
_METHODS: Final = frozenset(("POST", "PUT", "PATCH"))


class UploadedFile(NamedTuple):
    """A file that has come whole. field: the name of its part."""

    field: str
    path: Path
    size: int


class Uploads:
    """The uploads that come to a worker now: how many, and whose."""

    def __init__(self) -> None:
        self._count_of: dict[bytes, int] = {}
        self._count = 0
        self.bytes_taken = 0

    @property
    def count(self) -> int:
        """How many are under way."""
        return self._count

    def begin(self, token: bytes) -> None:
        """Give a place to an upload. Raises OverloadedError, RateLimitedError."""
        if self._count >= COUNT_MAX:
            raise OverloadedError("this worker takes as many uploads as it can; try again", None, 2.0)
        if self._count_of.get(token, 0) >= PER_TOKEN_MAX:
            raise RateLimitedError(f"{PER_TOKEN_MAX} uploads of an account are taken at once; try again", None, 2.0)
        self._count += 1
        self._count_of[token] = self._count_of.get(token, 0) + 1

    def end(self, token: bytes) -> None:
        """Take a place back."""
        self._count -= 1
        self._count_of[token] -= 1
        if not self._count_of[token]:
            del self._count_of[token]


class Upload:
    """The body of one request with files. See the head of the file.

    Callbacks are those of python_multipart's parser; what they raise comes out of `feed`.
    """

    def __init__(
        self, uploads: Uploads, token: bytes, folder: Path, boundary: bytes, bytes_max: int, texts_bytes_max: int
    ) -> None:
        """bytes_max: of the body. Raises OverloadedError, RateLimitedError, MalformedError."""
        self.bytes_max, self.received = bytes_max + AROUND_BYTES, 0
        self.texts: list[tuple[str, str]] = []
        self._files: list[UploadedFile] = []
        self._file_bytes_max, self._texts_left = bytes_max, texts_bytes_max
        self._uploads, self._token, self._folder = uploads, token, folder
        self._fd, self._path, self._size = -1, Path(), 0
        self._header, self._value, self._field = b"", b"", ""
        self._disposition = b""
        self._text = bytearray()
        self._parts = 0
        self._is_whole = self._is_over = False
        try:
            self._parser: MultipartParser | None = MultipartParser(boundary, {
                "on_part_begin": self._part_begins, "on_part_data": self._part_data, "on_part_end": self._part_ends,
                "on_header_field": self._header_field, "on_header_value": self._header_value,
                "on_header_end": self._header_ends, "on_headers_finished": self._headers_end, "on_end": self._ends,
            })  # fmt: skip
        except FormParserError as error:
            raise MalformedError(f"the multipart form can't be read: {error}") from error
        uploads.begin(token)

    def feed(self, data: bytes) -> None:
        """Take a piece of the body. Raises RookeryError."""
        self.received += len(data)
        if self.received > self.bytes_max:
            raise TooLargeError(f"a file may have {self._file_bytes_max} bytes; more have come")
        assert self._parser is not None, "the body was whole"
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise MalformedError(f"the multipart form can't be read: {error}") from error
        except OSError as error:
            logger.warning("an upload can't be written: %s", error)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            why = "there is no room for uploads on this node" if full else "uploads can't be written on this node"
            raise OverloadedError(f"{why}; try again later", None, 30.0) from error

    def finish(self) -> None:
        """The body is whole. Raises MalformedError if the form isn't."""
        if not self._is_whole:
            raise MalformedError("the multipart form can't be read: it ends before its last boundary")
        self._parser = None

    def file(self, field: str) -> UploadedFile | None:
        """Return the file of a part, None if none has come; it stays the upload's."""
        return next((file for file in self._files if file.field == field), None)

    def take(self, field: str) -> UploadedFile | None:
        """Return the file of a part, which is the caller's from now on, to be removed by him."""
        found = self.file(field)
        if found is not None:
            self._files.remove(found)
        return found

    def discard(self) -> None:
        """Remove what nobody has taken, and give the place back. Idempotent."""
        if self._is_over:
            return
        self._is_over = True
        self._uploads.end(self._token)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._path.unlink(missing_ok=True)
        for file in self._files:
            with contextlib.suppress(OSError):  # the node's media actor removes what is old
                file.path.unlink(missing_ok=True)
        self._files.clear()

    def __del__(self) -> None:
        """Nobody has waited for the end of this request: its connection was lost before its turn."""
        if not getattr(self, "_is_over", True):
            self.discard()

    # ---- what the parser says ---------------------------------------------------------------------------------------

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > FORM_FIELD_COUNT_MAX + FILES_MAX:
            raise MalformedError(f"a form may have {FORM_FIELD_COUNT_MAX} fields and {FILES_MAX} files")
        self._header = self._value = self._disposition = b""
        self._text = bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._count_header(end - start, self._header)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._count_header(end - start, self._value)

    def _count_header(self, size: int, header: bytes) -> None:
        self._count_text(size)
        if len(header) > PART_HEADER_BYTES_MAX:
            raise MalformedError(f"a part has a header of more than {PART_HEADER_BYTES_MAX} bytes")

    def _header_ends(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_end(self) -> None:
        _, said = parse_options_header(self._disposition)
        if b"name" not in said:
            raise MalformedError("a part of the multipart form has no name")
        self._field = _utf8(said[b"name"], "a part's name").removesuffix("[]")
        if b"filename" not in said:
            return
        if len(self._files) >= FILES_MAX:
            raise MalformedError(f"a request may have {FILES_MAX} files, not more", self._field)
        if self.file(self._field) is not None:
            raise MalformedError(f"{self._field[:60]!r} is given twice", self._field)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path, self._size = self._folder / f"{secrets.token_hex(16)}.part", 0
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._fd < 0:
            self._count_text(end - start)
            self._text += data[start:end]
            return
        self._size += end - start
        if self._size > self._file_bytes_max:
            raise TooLargeError(f"a file may have {self._file_bytes_max} bytes; more have come", self._field)
        piece = memoryview(data)[start:end]
        while piece:
            piece = piece[os.write(self._fd, piece) :]

    def _count_text(self, size: int) -> None:
        self._texts_left -= size
        if self._texts_left < 0:
            raise TooLargeError("the form has too much beside its files")

    def _part_ends(self) -> None:
        if self._fd < 0:
            self.texts.append((self._field, _utf8(bytes(self._text), self._field)))
            return
        os.close(self._fd)
        self._fd = -1
        if self._size:
            self._files.append(UploadedFile(self._field, self._path, self._size))
            self._uploads.bytes_taken += self._size
        else:  # a file input that was left blank
            self._path.unlink(missing_ok=True)

    def _ends(self) -> None:
        self._is_whole = True


def takes_files(method: str, path: str) -> bool:
    """Return whether files may be brought to a path."""
    if method not in _METHODS:
        return False
    path = path.removesuffix("/")
    return path.startswith(_MEDIA_PATHS) or path in _PROFILE_PATHS


def begin_upload(services: Services, scope: MutableMapping[str, Any]) -> Upload | None:
    """Return what takes the body of a request that may bring files, from now on in its state; None of any other.

    Raises OverloadedError, RateLimitedError, MalformedError.
    """
    if not takes_files(scope["method"], scope["path"]) or not services.cluster.media.is_open("image"):
        return None
    headers = dict(scope["headers"])
    content_type, token = headers.get(b"content-type", b""), headers.get(b"authorization", b"")
    if not content_type.lower().startswith(_MULTIPART) or not (token or services.auth.is_open):
        return None
    if len(content_type) > CONTENT_TYPE_CHARS_MAX:
        return None  # refused with what is read of it
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        return None
    settings = services.settings
    upload = Upload(
        services.uploads, token, services.cluster.media.incoming, boundary, settings.media.bytes_max,
        settings.body_bytes_max,
    )  # fmt: skip
    scope["state"][UPLOAD] = upload
    return upload


def discard_upload(scope: MutableMapping[str, Any]) -> None:
    """A request is over: let go of the files that it brought, if it brought some."""
    upload = scope["state"].pop(UPLOAD, None)
    if upload is not None:
        upload.discard()


def discard_uploads(requests: Iterable[tuple[Any, Any] | None]) -> None:
    """Let go of the files of requests that no app has got. requests: cycles of uvicorn's, each with its app."""
    for request in requests:
        if request is not None:
            discard_upload(request[0].scope)


def _utf8(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not UTF-8: {error.reason} at byte {error.start}") from error
