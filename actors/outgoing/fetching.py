"""GETs of addresses that users gave: pages of links, and their pictures. All that makes them safe to fetch is here.

    page(url)    --each hop: scheme, port, host--> resolve --public only--> connect --> status, type --> bytes so far
    picture(url) as a page, whole or not at all

Rules of this file
- Connections are made as `posting.py` makes them: what a name means is asked of `Reach` when it is resolved and again
  when a socket is made. http is fetched too, of public hosts. At most REDIRECTS_MAX hops, each as the first one.
- No cookies, no credentials of an address, no referrer; ports are those of the schemes, or unprivileged ones.
- A page is read up to PAGE_BYTES_MAX, unpacked, whatever it unpacks to; then the connection is closed. A picture that
  is larger than its bound is none. All of a fetch has its time, whatever drips.
- What is fetched for a person who has posted a link says who fetches: USER_AGENT. robots.txt isn't asked: it is for
  crawlers, and this fetches one page that somebody named, once for all.

Cost: a connection and a request each hop.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, TypeVar

import aiohttp
from yarl import URL

from actors.core.errors import InvalidError
from actors.core.levels import VERSION
from actors.media.page import ADDRESS_CHARS_MAX, PAGE_BYTES_MAX
from actors.outgoing.hosts import Hosts
from actors.outgoing.posting import GuardedResolver, guarded_session
from api.reach import Reach

REDIRECTS_MAX: Final = 3
PICTURE_BYTES_MAX: Final = 8 << 20
HOP_SHARE: Final = 0.8  # of a fetch's time, for one hop: so a host that drips is seen to be at fault
PIECE_BYTES: Final = 16 << 10
RAW_BYTES_MAX: Final = 1 << 20  # of a page as it is sent, packed
PORT_MIN: Final = 1024
_OWN_PORTS: Final = frozenset((80, 443))
_PAGES: Final = frozenset(("text/html", "application/xhtml+xml"))
_MOVED: Final = frozenset((301, 302, 303, 307, 308))
_PACKED: Final = {"gzip": 31, "x-gzip": 31, "deflate": 47}  # zlib's window bits
T = TypeVar("T")
USER_AGENT: Final = f"Rookery/{VERSION} (preview of a link; +%s)"


class FetchedPage(NamedTuple):
    """A page as it was sent. url: where it was in the end; charset: as its answer named it, "" for not."""

    url: str
    body: bytes
    charset: str


class Fetching:
    """The way to pages, on the running event loop."""

    def __init__(
        self, allow_networks: tuple[str, ...], host_requests_max: int, timeout_s: float, origin: str,
        resolver: type[GuardedResolver] = GuardedResolver, believed: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        """allow_networks: private ones that may be reached; origin: of this server, as it names itself; resolver,
        believed: others in tests.
        """
        self._hosts = Hosts(host_requests_max, time.monotonic)
        self._timeout_s = timeout_s
        self._session = guarded_session(
            Reach(allow_networks), aiohttp.ClientTimeout(total=HOP_SHARE * timeout_s), resolver,
            believed or ssl.create_default_context(), USER_AGENT % origin,
        )  # fmt: skip

    async def page(self, url: str) -> FetchedPage:
        """Return a page. Raises InvalidError for what is none; OSError, aiohttp.ClientError, TimeoutError,
        HostBusyError, ValueError if it can't be had.
        """

        async def read(response: aiohttp.ClientResponse) -> FetchedPage:
            if response.content_type not in _PAGES:
                raise InvalidError(f"the link leads to {response.content_type[:80]}, not to a page", "url")
            body = await _unpacked(response, PAGE_BYTES_MAX)
            return FetchedPage(str(response.url), body, (response.charset or "")[:40])

        return await self._fetched(url, {"Accept": ",".join(sorted(_PAGES)), "Accept-Encoding": "gzip"}, read)

    async def picture(self, url: str) -> bytes:
        """Return a picture, as it is. Raises as `page`, InvalidError for one that is too large."""

        async def read(response: aiohttp.ClientResponse) -> bytes:
            body = bytearray()
            async for piece in response.content.iter_chunked(PIECE_BYTES):
                body += piece
                if len(body) > PICTURE_BYTES_MAX:
                    raise InvalidError(f"the picture has more than {PICTURE_BYTES_MAX} bytes", "url")
            return bytes(body)

        return await self._fetched(url, {"Accept": "image/*", "Accept-Encoding": "identity"}, read)

    async def _fetched(
        self, url: str, headers: Mapping[str, str], read: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> T:
        """Return what is read at the end of what an address leads to. Raises as `page`."""
        at = URL(url)
        async with asyncio.timeout(self._timeout_s):
            for _ in range(REDIRECTS_MAX + 1):
                _require_fetchable(at)
                found = await self._hop(at, headers, read)
                if not isinstance(found, URL):
                    return found
                at = found
        raise InvalidError(f"the link leads elsewhere more than {REDIRECTS_MAX} times", "url")

    async def _hop(
        self, at: URL, headers: Mapping[str, str], read: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> T | URL:
        """Return what is read at an address, or where it leads. What is no fault of its host is raised last."""
        refused: InvalidError
        async with self._hosts.asked(f"{at.host}:{at.port}") as attempt:
            response = await self._session.get(at, headers=headers, allow_redirects=False)
            try:
                attempt.failed = response.status >= 500
                if response.status in _MOVED:
                    return _location(at, response.headers.get("Location", ""))
                if response.status == 200:
                    return await read(response)
                refused = InvalidError(f"the link's server answers {response.status}", "url")
            except InvalidError as error:
                refused = error
            finally:
                response.close()
        raise refused

    def figures(self) -> dict[str, int]:
        """Return figures of hosts."""
        return self._hosts.figures()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


def _location(at: URL, location: str) -> URL:
    if not location or len(location) > ADDRESS_CHARS_MAX:
        raise InvalidError("the link leads to no address", "url")
    return at.join(URL(location))


def _require_fetchable(url: URL) -> None:
    if url.scheme not in ("http", "https") or not url.host or url.user is not None or url.password is not None:
        raise InvalidError("the link leads to no page that is fetched", "url")
    if url.port not in _OWN_PORTS and (url.port or 0) < PORT_MIN:
        raise InvalidError(f"nothing is fetched from port {url.port}", "url")


async def _unpacked(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """Return the beginning of an answer's body, unpacked. Raises InvalidError for one that can't be unpacked."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in _PACKED and encoding != "identity":
        raise InvalidError("the page is packed in a way that isn't read here", "url")
    unpack = zlib.decompressobj(_PACKED[encoding]) if encoding in _PACKED else None
    body, raw_bytes = bytearray(), 0
    async for piece in response.content.iter_chunked(PIECE_BYTES):
        raw_bytes += len(piece)
        try:
            body += piece if unpack is None else unpack.decompress(piece, bytes_max - len(body))
        except zlib.error as error:
            raise InvalidError("the page can't be unpacked", "url") from error
        if len(body) >= bytes_max or raw_bytes >= RAW_BYTES_MAX or (unpack is not None and unpack.eof):
            break
    return bytes(body[:bytes_max])
