"""Files of media, as a CDN or a browser reads them: `GET /media/ab/cd/<id>-<hash>-<rendition>.<ext>`.

    protocol --ordinary, small, in memory--> MediaExchange: one write
        | Range, HEAD, a token, If-Range, large, not in memory, S3
        +--> edge.py --> MediaFiles: 200, 206, 304, 404, 416, in pieces

Rules of this file
- A name's bytes never change, so everything may keep an answer for ever, and the hash in the name is a strong ETag.
- The type is that of the name's end, from a closed list (`CONTENT_TYPES`); a browser may neither guess another one nor
  run or load anything that the file says (`nosniff`, `sandbox`).
- Nobody is asked who they are: a name is what allows to read (its hash can't be guessed). Both ways answer alike.
- One range of bytes; more than one, or none that can be read, is the whole file (RFC 9110, 14.2).
- Files sent in pieces count in a gate of their own, and a client that takes none for PIECE_S is hung up on.

Cost: of a thumbnail of 20 KB in memory 45 us of this worker, system calls included; a piece of 256 KiB 120 us.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from starlette.types import Receive, Scope, Send

from actors.core.errors import NotFoundError, RookeryError
from actors.core.media_names import media_id_of
from actors.media.processed import CONTENT_TYPES
from api.http.caching import Headers
from api.http.direct_exchange import DirectExchange, is_plain_read
from api.http.edge import IS_HEAD
from api.services import FILES_PATH, Services

if TYPE_CHECKING:
    from api.http.protocol import BoundedHttpProtocol

PIECE_S: Final = 60.0  # that a client may take for a piece: 4 KB/s
ROUTE: Final = "/media/{name}"
_PREFIX: Final = FILES_PATH.encode()
_NAME: Final = re.compile(rb"[0-9a-f]{2}/[0-9a-f]{2}/[0-9]{1,19}-([0-9a-f]{16})-[a-z]{1,8}\.([a-z0-9]{2,4})", re.ASCII)
_RANGE: Final = re.compile(rb"bytes=([0-9]{0,15})-([0-9]{0,15})", re.ASCII)
_CORS: Final[Headers] = [(b"access-control-allow-origin", b"*"), (b"cross-origin-resource-policy", b"cross-origin")]
_ALWAYS: Final[Headers] = [
    (b"cache-control", b"public, max-age=31536000, immutable"),
    (b"accept-ranges", b"bytes"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    *_CORS,
    (b"access-control-expose-headers", b"Content-Length, Content-Range, ETag"),
]
_TYPES: Final[dict[bytes, Headers]] = {
    extension.encode(): [(b"content-type", content_type.encode()), *_ALWAYS]
    for extension, content_type in CONTENT_TYPES.items()
}
_METHODS: Final = ("GET", "HEAD", "OPTIONS")


class _Route:
    """What the log calls all of these."""

    path = ROUTE


def headers_of(name: bytes) -> tuple[bytes, Headers] | None:
    """Return (entity tag, headers) of the file of a name, None if no file can have that name. 1.2 us."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    headers = _TYPES.get(found[2])
    return None if headers is None else (b'"' + found[1] + b'"', headers)


def is_known(etag: bytes, if_none_match: bytes) -> bool:
    """Return whether a client that says so has the file already (RFC 9110, 13.1.2)."""
    return etag in if_none_match or if_none_match.strip() == b"*"


def range_of(value: bytes, size: int) -> tuple[int, int] | None:
    """Return (start, stop) of the bytes that a Range header asks of a file, None for the whole file.

    start == stop: there are no such bytes (416).
    """
    found = _RANGE.fullmatch(value.strip().replace(b" ", b""))
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        return (max(0, size - int(found[2])), size) if int(found[2]) else (size, size)
    start, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if found[2] and last < start:
        return None
    return (start, min(last + 1, size)) if start < size else (size, size)


class MediaExchange(DirectExchange):
    """One small file that is in memory, answered inside the HTTP protocol."""

    __slots__ = ("_body", "_etag", "_file_headers", "_if_none_match")
    _body: bytes
    _etag: bytes
    _file_headers: Headers
    _if_none_match: bytes

    @classmethod
    def of(cls, protocol: BoundedHttpProtocol, services: Services, head_is_known: bool = False) -> MediaExchange | None:
        """Return the exchange for the request whose head is complete, or None if it must go the long way."""
        url: bytes = protocol.url
        if not url.startswith(_PREFIX) or not (head_is_known or is_plain_read(protocol)):
            return None
        found = headers_of(url[len(_PREFIX) :])
        if found is None:
            return None
        if_none_match = b""
        for header, value in protocol.headers:
            if header == b"if-none-match":
                if_none_match = value
            elif header in (b"range", b"authorization"):
                return None
        body = services.cluster.media.read_cached(url[len(_PREFIX) :].decode())
        if body is None:
            return None
        exchange = cls(protocol, services)
        exchange._body, exchange._if_none_match = body, if_none_match
        exchange._etag, exchange._file_headers = found
        return exchange

    def start(self) -> None:
        """Answer, unless the address has asked too often."""
        services, body = self._services, self._body
        self.begin()
        services.reads.count += 1
        try:
            services.admit(self._protocol.scope, services.reads)  # type: ignore[arg-type]
        except RookeryError as error:
            self._end(*self.fail(error))
            return
        if self._if_none_match and is_known(self._etag, self._if_none_match):
            self._end(304, [(b"etag", self._etag), *self._file_headers], b"")
        else:
            self._end(200, [(b"content-length", b"%d" % len(body)), (b"etag", self._etag), *self._file_headers], body)

    def _end(self, status: int, headers: Headers, body: bytes) -> None:
        self._services.reads.count -= 1
        self.answer("GET", ROUTE, status, headers, body)


class MediaFiles:
    """The long way: every other request for a file. Looked up by `edge.py` before the app's paths."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def methods_of(self, path: str) -> list[str]:
        """Return the methods that a path takes here; none if it isn't a file's."""
        return list(_METHODS) if path.startswith(FILES_PATH) else []

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a file. Raises NotFoundError, OverloadedError."""
        scope["route"] = _Route
        if scope["method"] != "GET":
            await _send_whole(send, 204 if scope["method"] == "OPTIONS" else 405, _ALLOW)
            return
        name = scope["path"][len(FILES_PATH) :]
        found = headers_of(name.encode("utf-8", "replace"))
        size = None
        if found is not None and media_id_of(name):
            size = await self._services.cluster.media.head(name)
        if found is None or size is None:
            raise NotFoundError("there is no such file")
        etag, headers = found
        asked = dict(scope["headers"])
        if is_known(etag, asked.get(b"if-none-match", b"")):
            await _send_whole(send, 304, [(b"etag", etag), *headers])
            return
        start, stop, status = 0, size, 200
        if b"range" in asked and asked.get(b"if-range", etag) == etag:
            part = range_of(asked[b"range"], size)
            if part is not None:
                start, stop = part
                status = 206 if start < stop else 416
        if status == 416:
            unsatisfied = [(b"content-range", b"bytes */%d" % size), (b"content-length", b"0"), *_CORS]
            await _send_whole(send, 416, unsatisfied)
            return
        lines: Headers = [(b"content-length", b"%d" % (stop - start)), (b"etag", etag), *headers]
        if status == 206:
            lines.insert(0, (b"content-range", b"bytes %d-%d/%d" % (start, stop - 1, size)))
        if scope["state"].get(IS_HEAD):
            await _send_whole(send, status, lines)
            return
        await self._send_pieces(send, status, lines, self._services.cluster.media.read(name, start, stop), stop - start)

    async def _send_pieces(
        self, send: Send, status: int, headers: Headers, pieces: AsyncIterator[bytes], size: int
    ) -> None:  # fmt: skip
        """Send a file as it is read. A client that takes nothing, or a file that ends too soon, ends the connection."""
        begun, sent = False, 0
        async with aclosing(pieces):  # type: ignore[type-var]
            async for piece in pieces:
                if not begun:
                    await send({"type": "http.response.start", "status": status, "headers": headers})
                    begun = True
                sent += len(piece)
                async with asyncio.timeout(PIECE_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": sent < size})
        if not begun:  # it is empty, or was removed a moment ago
            raise NotFoundError("there is no such file")


_ALLOW: Final[Headers] = [
    (b"allow", ", ".join(_METHODS).encode()), (b"access-control-allow-methods", b"GET, HEAD"),
    (b"access-control-allow-headers", b"Range, If-None-Match, If-Range"), (b"content-length", b"0"), *_CORS,
]  # fmt: skip


async def _send_whole(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
