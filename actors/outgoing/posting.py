"""POSTs to addresses that users gave: of web hooks, of push services. All that makes them safe to send is here.

    post(url, headers, body) --place at the host--> resolve --public only--> connect, socket checked --> status

Rules of this file
- https, with the certificate checked; http only to networks that an operator has allowed.
- Connections go to addresses that `Reach` allows, which is asked where names are resolved and again when a socket is
  made for the very address that it then connects to; so nothing is resolved between check and connection. No proxy of
  the environment, no cookies, no redirects, no .netrc.
- Of an answer the status and Retry-After count; RESPONSE_BYTES_MAX of it are read so that the connection can be used
  again, or else it is closed. All of a request has `timeout_s`, whatever drips.
- Names are resolved on threads of their own: a name server that hangs holds RESOLVERS of them, and nobody else.

Cost: `bench outgoing`.
"""

from __future__ import annotations

import asyncio
import email.utils
import socket
import ssl
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from yarl import URL

from actors.outgoing.channel import SendOutcome, SendVerdict
from actors.outgoing.hosts import HostBusyError, Hosts
from api.reach import ForbiddenAddressError, Reach

RESPONSE_BYTES_MAX: Final = 1_024
INFORMATIONAL_MAX: Final = 8  # answers 1xx before the one that counts
RETRY_AFTER_S_MAX: Final = 12 * 3600.0  # a receiver that says longer is asked by then
CONNECTIONS_MAX: Final = 512  # open at once, of all hosts
IDLE_S: Final = 15.0  # after which a connection that nobody uses is closed
DNS_CACHE_S: Final = 10  # that an address is believed; checked anew at each connection
RESOLVERS: Final = 64  # threads
_HEED_RETRY_AFTER: Final = frozenset((429, 503))
_ENDED: Final = 410
_log = structlog.get_logger()


class ReceiverAnswer(NamedTuple):
    """What a receiver has answered. retry_after_s: 0 if it didn't say."""

    status: int
    retry_after_s: float


class GuardedResolver(AbstractResolver):
    """Resolves names as the system does, on threads of its own, and leaves out what mayn't be reached."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._threads = ThreadPoolExecutor(RESOLVERS, "resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name that may be reached. Raises OSError, ForbiddenAddressError if none may."""
        loop = asyncio.get_running_loop()
        addresses = await loop.run_in_executor(self._threads, self.look_up, host, port, family)
        allowed = [found for found in addresses if self._reach.may_reach(found["host"])]
        if not allowed:
            raise ForbiddenAddressError(f"{host} has no public address")
        return allowed

    def look_up(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        """Ask the system for the addresses of a name. Blocks."""
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=of, proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for of, _, proto, _, address in socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        ]  # fmt: skip

    async def close(self) -> None:
        """Wait for nobody: what still resolves is of no use."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Posting:
    """The way to users' hosts, on the running event loop."""

    def __init__(
        self, allow_networks: tuple[str, ...], host_requests_max: int, timeout_s: float,
        resolver: type[GuardedResolver] = GuardedResolver, believed: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        """allow_networks: private ones that may be reached, also by http; resolver, believed: others in tests."""
        trust = believed or ssl.create_default_context()
        self._hosts = Hosts(host_requests_max, time.monotonic)
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._sessions = {
            scheme: guarded_session(Reach(allow_networks, only_those=scheme == "http"), timeout, resolver, trust)
            for scheme in ("https", "http")
        }

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> SendOutcome:
        """Send a request; returns what came of it, with a word for why. Raises nothing that a receiver can cause."""
        try:
            answer = await self._answer(URL(url), headers, body)
        except HostBusyError as error:
            return SendOutcome(SendVerdict.LATER, error.reason, error.retry_after_s)
        except TimeoutError:
            return SendOutcome(SendVerdict.LATER, "timeout")
        except (aiohttp.ClientError, OSError, ValueError, ssl.CertificateError) as error:
            reason = reason_of(error)
            # no more than the error's name: what it says of itself has the address, whose path may be a secret
            _log.debug("a request was not answered", host=host_of(url), reason=reason, error=type(error).__name__)
            return SendOutcome(SendVerdict.LATER, reason)
        return outcome_of(answer)

    async def _answer(self, url: URL, headers: Mapping[str, str], body: bytes) -> ReceiverAnswer:
        session = self._sessions.get(url.scheme)
        if session is None or not url.host:
            raise ValueError(f"no request goes to {url.scheme}: addresses")
        async with (
            self._hosts.asked(f"{url.host}:{url.port}") as attempt,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            attempt.failed = response.status >= 500
            await _read_some(response)
            return ReceiverAnswer(response.status, retry_after_s(response.headers.get("Retry-After", ""), time.time()))

    def figures(self) -> dict[str, int]:
        """Return figures of hosts."""
        return self._hosts.figures()

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()


class OneAnswer(aiohttp.ClientResponse):
    """An answer before which a server says INFORMATIONAL_MAX times at most that it will come: without a bound a server
    that says nothing else keeps us reading for all of a request's time."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Read an answer's head. Raises ClientResponseError, which closes the connection."""
        protocol, count = connection.protocol, 0
        assert protocol is not None
        read = protocol.read

        async def read_some() -> Any:
            nonlocal count
            message, payload = await read()
            if 100 <= message.code < 200:
                count += 1
                if count > INFORMATIONAL_MAX:
                    raise aiohttp.ClientPayloadError("it says that it will answer, and never does")
            return message, payload

        protocol.read = read_some  # type: ignore[method-assign]
        try:
            return await super().start(connection)
        finally:
            del protocol.read


def guarded_session(
    reach: Reach, timeout: aiohttp.ClientTimeout, resolver: type[GuardedResolver], trust: ssl.SSLContext,
    user_agent: str = "Rookery",
) -> aiohttp.ClientSession:  # fmt: skip
    """Return a session whose every connection goes where `reach` allows."""

    def make_socket(info: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket that is about to connect to that address, and to no other."""
        family, kind, proto, _, address = info
        if not reach.may_reach(str(address[0])):
            raise ForbiddenAddressError(f"{address[0]} is no public address")
        made = socket.socket(family, kind, proto)
        made.setblocking(False)
        return made

    connector = aiohttp.TCPConnector(
        resolver=resolver(reach), socket_factory=make_socket, limit=CONNECTIONS_MAX, ttl_dns_cache=DNS_CACHE_S,
        keepalive_timeout=IDLE_S, ssl=trust,
    )  # fmt: skip
    return aiohttp.ClientSession(
        connector=connector, timeout=timeout, response_class=OneAnswer, cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False, auto_decompress=False, headers={"User-Agent": user_agent}, raise_for_status=False,
    )  # fmt: skip


async def _read_some(response: aiohttp.ClientResponse) -> None:
    """Read a short answer to its end; close the connection of a longer one."""
    left = RESPONSE_BYTES_MAX
    while left > 0:
        part = await response.content.read(left)
        if not part:
            return
        left -= len(part)
    if not response.content.at_eof():
        response.close()


def outcome_of(answer: ReceiverAnswer) -> SendOutcome:
    """Return what a receiver's answer says of an item."""
    status = answer.status
    if 200 <= status < 300:
        return SendOutcome(SendVerdict.DONE, str(status))
    if status == _ENDED:
        return SendOutcome(SendVerdict.GONE, str(status))
    return SendOutcome(SendVerdict.LATER, str(status), answer.retry_after_s if status in _HEED_RETRY_AFTER else 0.0)


def retry_after_s(value: str, now_s: float) -> float:
    """Return what a Retry-After header says, in seconds from now (Unix time), RETRY_AFTER_S_MAX at most; 0: nothing."""
    text = value.strip()[:64]
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_S_MAX)
    try:
        at_s = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError):
        return 0.0
    return min(max(at_s - now_s, 0.0), RETRY_AFTER_S_MAX)


def host_of(url: str) -> str:
    """Return the host of an address, which may be logged; its path may be a secret."""
    try:
        return str(URL(url).host)[:100]
    except ValueError:
        return ""


def reason_of(error: Exception) -> str:
    """Return a word for why there was no answer."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ForbiddenAddressError):
            return "forbidden address"
        seen = getattr(seen, "os_error", None) or seen.__cause__
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.CertificateError):
        return "certificate"
    if isinstance(error, aiohttp.ClientSSLError):  # http, or a version that nobody should speak any more
        return "no tls"
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL | ValueError):
        return "no connection"
    return "broken off"
