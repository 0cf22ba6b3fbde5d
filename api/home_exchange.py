"""A home read answered inside the HTTP protocol: no task, no ASGI messages, one callback and one write.

Rules of this file
- Only ordinary requests come here: a complete `GET` of HTTP/1.1 without a body, alone on its connection, whose
  parameters can be read and whose token is known, or says that it is the named account's. Everything else, refusals of
  those included, goes through `edge.py`. Nothing has been counted or changed by then, so that a client can't tell which
  way its request went.
- A token that isn't known travels with the request: the shard checks it before it looks at anything else. Until then
  nothing is taken from the account's rate, or strangers could use it up; the address's has been.
- The steps and their rules are those of `edge.py` and `hot.py`: `Services.admit`, `parse_home`, `home_arguments`,
  `home_answer`, `response_for`, `RequestLog`.
- One answer in every case: the cluster calls back exactly once, by the request's deadline.

How it works
`HomeExchange` takes the place of uvicorn's RequestResponseCycle as the connection's `cycle`: it has the attributes that
the protocol looks at. So requests that come meanwhile on the same connection wait in uvicorn's own pipeline, a graceful
shutdown waits for the answer, and a client that goes away is noticed. A response is never written while the transport
has too much to send: with one exchange at a time, `is_ordinary` refuses a connection whose buffer hasn't drained.

Cost: 21 us of this worker's time a read, HTTP parser, lane and metrics included but no system calls; through uvicorn's
cycle, a task and ASGI it is 39 us (bench/NOTES.md).
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from actors.core.errors import RookeryError
from actors.core.ids import bucket_of_account
from api.auth import UnprovenToken
from api.errors import response_for
from api.hot import HOME_READS, Headers, HomeRequest, home_answer, home_arguments, parse_home
from api.services import Services

if TYPE_CHECKING:
    from api.http_protocol import BoundedHttpProtocol

# Whoever sends other characters in a query, or one of these headers, gets the long way.
_PLAIN_URL = re.compile(
    rb"(%b)(?:\?([A-Za-z0-9_.~&=%%+-]*))?" % b"|".join(re.escape(p.encode()) for p in sorted(HOME_READS))
)
_UNUSUAL_HEADERS = frozenset((b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"rookery-position"))
_CLOSE = (b"connection", b"close")


class _NobodyWaits:
    """Stands for the event that wakes an ASGI app's `receive`."""

    def set(self) -> None:
        """Wake nobody."""


class HomeExchange:
    """One request for a home timeline and its answer."""

    __slots__ = (
        "_arguments", "_path", "_protocol", "_request", "_request_id", "_services", "_started_s", "_unproven",
        "disconnected", "keep_alive", "more_body", "response_complete",
    )  # fmt: skip

    message_event = _NobodyWaits()

    def __init__(
        self, protocol: BoundedHttpProtocol, services: Services, path: str, request: HomeRequest, arguments: list[Any],
        unproven: UnprovenToken | None,
    ) -> None:  # fmt: skip
        self._protocol, self._services = protocol, services
        self._path, self._request, self._arguments, self._unproven = path, request, arguments, unproven
        self.disconnected = self.response_complete = False  # the protocol sets the first and reads the second
        self.keep_alive = self.more_body = True  # a shutdown takes the first back

    @classmethod
    def of(cls, protocol: BoundedHttpProtocol, services: Services) -> HomeExchange | None:
        """Return the exchange for the request whose head is complete, or None if it must go the long way."""
        url = _PLAIN_URL.fullmatch(protocol.url)
        if url is None or not is_ordinary(protocol):
            return None
        try:
            request = parse_home(services, url[2] or b"", protocol.headers)
            arguments: list[Any] = home_arguments(services, request.user_id, request.query)
            known = services.auth.known_actor(request.token, request.user_id)
        except RookeryError:
            return None
        unproven = None
        if not known:
            unproven = services.auth.unproven(request.token, request.user_id)
            if unproven is None:
                return None
            arguments += [0, unproven.secret_hash]
        return cls(protocol, services, url[1].decode(), request, arguments, unproven)

    def start(self) -> None:
        """Count the request and ask the shard."""
        services, self._started_s = self._services, time.perf_counter()
        self._request_id = services.requests.id_of(self._protocol.headers)
        services.in_flight_count += 1
        try:
            services.admit(self._protocol.scope, False)  # type: ignore[arg-type]
            if self._unproven is None:
                services.limiter.check_account(self._request.user_id, False)
        except RookeryError as error:
            self._fail(error)
            return
        bucket, timeout_s = bucket_of_account(self._request.user_id), services.settings.request_timeout_s
        services.cluster.send(bucket, "home", self._arguments, timeout_s, self._take)

    def _take(self, reply: Any, error: Exception | None) -> None:
        """Answer with what the shard said."""
        if error is None:
            try:
                if self._unproven is not None:
                    self._services.auth.proven(self._unproven)
                    self._services.limiter.check_account(self._request.user_id, False)
                headers, body = home_answer(self._request, self._protocol.scheme or "http", self._path, reply)
            except Exception as failure:  # noqa: BLE001 - the last line, as in edge.py
                error = failure
            else:
                self._answer(200, headers, body)
                return
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        response = response_for(error, self._request_id)  # logs what is unexpected
        headers = [header for header in response.raw_headers if header != _CLOSE]
        self.keep_alive = self.keep_alive and len(headers) == len(response.raw_headers)
        self._answer(response.status_code, headers, bytes(response.body))

    def _answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Write the whole answer at once, unless nobody is there, and note it."""
        protocol, services = self._protocol, self._services
        self.response_complete = True
        services.in_flight_count -= 1
        if not self.disconnected:
            parts = [STATUS_LINE[status]]
            for name, value in (*protocol.server_state.default_headers, *headers):
                parts += (name, b": ", value, b"\r\n")
            parts += (b"x-request-id: ", self._request_id.encode())
            if not self.keep_alive:
                parts.append(b"\r\nconnection: close")
            parts += (b"\r\n\r\n", body)
            protocol.transport.write(b"".join(parts))
            if not self.keep_alive:
                protocol.transport.close()
            protocol.on_response_complete()
        services.requests.note("GET", self._path, status, time.perf_counter() - self._started_s, self._request_id)


def is_ordinary(protocol: BoundedHttpProtocol) -> bool:
    """Return whether a request that has just begun is one that `HomeExchange` may answer."""
    before, parser = protocol.cycle, protocol.parser
    if (before is not None and not before.response_complete) or protocol.flow.write_paused:
        return False
    if parser.get_method() != b"GET" or parser.get_http_version() != "1.1":
        return False
    for name, value in protocol.headers:
        if name in _UNUSUAL_HEADERS or (name == b"connection" and value.lower() != b"keep-alive"):
            return False
    return True
