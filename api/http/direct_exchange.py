"""Answers written by the HTTP protocol itself: no task, no ASGI messages, one write.

Rules of this file
- One answer in every case, and everything that a request is counted by: id, metrics, log.
- A request that is refused because this worker is full costs as little as can be: under overload most are, and what
  they take is taken from those that are answered. Through uvicorn's cycle and `edge.py` a refusal took 50 us of this
  worker's time and more, and at three times the capacity hardly anything else was done. The connection then pauses
  (`BoundedHttpProtocol.hold`).

How it works
A `DirectExchange` takes the place of uvicorn's RequestResponseCycle as the connection's `cycle`: it has the attributes
that the protocol looks at. So requests that come meanwhile on the same connection wait in uvicorn's own pipeline, a
graceful shutdown waits for the answer, and a client that goes away is noticed. It must be alone on its connection, or
answers would come out of order. The body of a request that was answered before it is read past.

Cost of a refusal: 9 us, parser included.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from actors.core.errors import RookeryError
from api.errors import response_for
from api.http.caching import Headers, has_token, keep_private
from api.http.edge import UNMATCHED
from api.mastodon.errors import refusal_of
from api.services import Services, overloaded

if TYPE_CHECKING:
    from starlette.responses import Response
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from api.http.protocol import BoundedHttpProtocol

_PAUSED_AFTER = (429, 503)
_CLOSE = (b"connection", b"close")
UNUSUAL_HEADERS = frozenset((b"expect", b"upgrade"))
UNUSUAL_IN_READS = UNUSUAL_HEADERS | {b"content-length", b"transfer-encoding", b"rookery-position"}
_REFUSABLE = frozenset((b"GET", b"POST", b"PATCH", b"DELETE"))  # HEAD has no body, OPTIONS and the rest are rare
_REFUSAL = response_for(overloaded(), "")


_beginnings: dict[int, tuple[Headers, bytes]] = {}


def _beginning(status: int, default_headers: Headers) -> bytes:
    """Return the status line and the server's own headers, which change once a second."""
    known = _beginnings.get(status)
    if known is None or known[0] is not default_headers:
        lines = b"".join([b"%b: %b\r\n" % header for header in default_headers])
        known = _beginnings[status] = default_headers, STATUS_LINE[status] + lines
    return known[1]


class _NobodyWaits:
    """Stands for the event that wakes an ASGI app's `receive`."""

    def set(self) -> None:
        """Wake nobody."""


class DirectExchange:
    """One request and its answer."""

    __slots__ = (
        "_headers", "_protocol", "_request_id", "_services", "_url", "disconnected", "keep_alive",
        "more_body", "response_complete", "started_s",
    )  # fmt: skip

    message_event = _NobodyWaits()

    def __init__(self, protocol: BoundedHttpProtocol, services: Services) -> None:
        self._protocol, self._services = protocol, services
        self.disconnected = self.response_complete = False  # the protocol sets the first and reads the second
        self.keep_alive = self.more_body = True  # a shutdown takes the first back

    def start(self) -> None:
        """Answer, now or when the answer has come."""
        raise NotImplementedError

    def begin(self) -> None:
        """Start the clock, give the request its id, and keep what it said: by the time of the answer the protocol may
        have read the next one's head."""
        self.started_s = time.perf_counter()
        self._url, self._headers = self._protocol.url, self._protocol.headers
        self._request_id = self._services.requests.id_of(self._headers)

    def fail(self, error: Exception) -> tuple[int, Headers, bytes]:
        """Return the answer to an error."""
        return self.refusal(response_for(error, self._request_id))  # logs what is unexpected

    def refusal(self, response: Response) -> tuple[int, Headers, bytes]:
        """Return status, headers and body of an error's answer, which may be the connection's last."""
        headers = [header for header in response.raw_headers if header != _CLOSE]
        self.keep_alive = self.keep_alive and len(headers) == len(response.raw_headers)
        return response.status_code, headers, bytes(response.body)

    def answer(self, method: str, route: str, status: int, headers: Headers, body: bytes) -> float:
        """Write the whole answer at once, unless nobody is there, and note it. Returns how long it took, in seconds."""
        protocol = self._protocol
        self.response_complete = True
        if status != 200 and has_token(self._headers, self._url):  # what is read here with 200 says it itself
            headers = keep_private(headers)
        if not self.disconnected:
            parts = [_beginning(status, protocol.server_state.default_headers)]
            for name, value in headers:
                parts += (name, b": ", value, b"\r\n")
            parts += (b"x-request-id: ", self._request_id.encode())
            if not self.keep_alive:
                parts.append(b"\r\nconnection: close")
            parts += (b"\r\n\r\n", body)
            protocol.transport.write(b"".join(parts))
            if not self.keep_alive:
                protocol.end()
            protocol.on_response_complete()
            if status in _PAUSED_AFTER:
                protocol.hold()
        seconds = time.perf_counter() - self.started_s
        self._services.requests.note(method, route, status, seconds, self._request_id)
        return seconds


class Refusal(DirectExchange):
    """What a request gets that comes while this worker is full."""

    __slots__ = ()

    @classmethod
    def of(cls, protocol: BoundedHttpProtocol, services: Services) -> Refusal | None:
        """Return the refusal of the request whose head is complete; None if it may go on, or needs the long way."""
        method: bytes = protocol.parser.get_method()
        reads = method == b"GET"
        is_full = protocol.is_too_much or services.is_full(services.reads if reads else services.writes)
        if not is_full or method not in _REFUSABLE:
            return None
        path = protocol.url.partition(b"?")[0].decode("latin-1")
        if services.gate_of("GET", path) is services.probe_gate or not is_plain(protocol):
            return None
        return cls(protocol, services)

    def start(self) -> None:
        """Refuse."""
        protocol = self._protocol
        self.begin()
        method, path = protocol.parser.get_method().decode(), protocol.url.partition(b"?")[0].decode("latin-1")
        route = path if path in self._services.thin_paths else UNMATCHED
        self.answer(method, route, _REFUSAL.status_code, _REFUSAL.raw_headers, bytes(_REFUSAL.body))


class BodyRefusal(DirectExchange):
    """What a request gets in place of the app's answer, before all of its body has come."""

    __slots__ = ("_error", "_method", "_path")

    def __init__(
        self, protocol: BoundedHttpProtocol, services: Services, error: RookeryError, replaced: RequestResponseCycle,
        closing: bool,
    ) -> None:  # fmt: skip
        """replaced: what uvicorn has made for it, and the app was not given."""
        super().__init__(protocol, services)
        self._error, self._method, self._path = error, replaced.scope["method"], replaced.scope["path"]
        self.keep_alive = replaced.keep_alive and not closing

    def start(self) -> None:
        """Refuse, in the form of the API whose path it is."""
        self.begin()
        is_mastodons = self._services.is_mastodons(self._path)
        refusal = self.refusal(refusal_of(self._error)) if is_mastodons else self.fail(self._error)
        status, headers, body = refusal
        self.answer(self._method, UNMATCHED, status, keep_private(headers), body)  # a token may be in what has come


def is_plain_read(protocol: BoundedHttpProtocol) -> bool:
    """Return whether a request that has just begun is a GET without a body that can be answered directly."""
    return protocol.parser.get_method() == b"GET" and is_plain(protocol, UNUSUAL_IN_READS)


def is_plain(protocol: BoundedHttpProtocol, unusual: frozenset[bytes] = UNUSUAL_HEADERS) -> bool:
    """Return whether a request that has just begun can be answered directly.

    It is one of HTTP/1.1, alone on its connection, whose last answer has been read and was no refusal a moment ago,
    without one of the headers `unusual` (in lower case).
    """
    before = protocol.cycle
    if (before is not None and not before.response_complete) or protocol.flow.write_paused or protocol.is_held:
        return False
    if protocol.parser.get_http_version() != "1.1":
        return False
    for name, value in protocol.headers:
        if name in unusual or (name == b"connection" and value.lower() != b"keep-alive"):
            return False
    return True
