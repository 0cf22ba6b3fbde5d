"""A request for a stream, from its head until the connection is one: found inside the HTTP protocol, as home reads are.

    head complete --StreamOpening.of--> whose? (token, scopes, list) --> place --> head of the answer
                                                                               --> `hand_over`: uvicorn's objects go
                      | no, or anything is wrong --> JSON, as of any other request, and the connection stays HTTP

Rules of this file
- Exactly these paths are opened: below `/api/v1/streaming`, and `/{user_id}/stream`. Of nothing else an upgrade is
  looked at. A stream is a GET of HTTP/1.1 without a body, alone on its connection: whatever stands before it there has
  its answer. What doesn't look so goes the long way, where it is refused (`mastodon/operations/streaming.py`).
- What is wrong is said before anything is upgraded, in Mastodon's sentences: 400, 401, 403, 404, 406, 426, 429, 503.
- A request for a stream has a place among the reads, takes from the address's rate, and has their deadline, as long as
  it is one. New streams are shed before requests are (`places.py`).
- What was revoked while it was being verified isn't believed: it is asked again.
- What a client sends behind its handshake, before our answer, belongs to the WebSocket; EARLY_BYTES_MAX are kept.

Cost: 60 us with a token that is known here, a lane request more for one that isn't, or for a list.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.responses import Response
from websockets.frames import CloseCode

from actors.core.errors import MalformedError, OverloadedError, RookeryError, UnauthorizedError
from actors.core.scopes import EVERYTHING
from api.access.auth import NOTHING, Grant, bearer_of, parse_app_token, parse_token
from api.errors import response_for as native_response
from api.http.caching import ACCESS_TOKEN_NAME, TOKEN_NAME
from api.http.direct_exchange import DirectExchange
from api.http.edge import CLIENT_GONE_STATUS
from api.mastodon.errors import sentence_of
from api.mastodon.headers import EXPOSED, ORIGIN
from api.mastodon.inputs import nested
from api.params import parse_id, split_pairs
from api.services import Services, overloaded
from api.streaming import channels
from api.streaming.channels import StreamChannel, channel_of, name_at
from api.streaming.handshake import UpgradeRequiredError, accept_key, asks_for_web_socket, response_head, subprotocol_in
from api.streaming.places import RETRY_AFTER_S
from api.streaming.sse import GREETING, SseConnection
from api.streaming.web_socket import WebSocketConnection

if TYPE_CHECKING:
    from api.http.protocol import BoundedHttpProtocol

EARLY_BYTES_MAX: Final = 16 * 1024
VERIFY_COUNT_MAX: Final = 3  # how often a token is verified that may be void by then
NATIVE_ROUTE: Final = "/{user_id}/stream"
EVENT_STREAM: Final = b"text/event-stream"
_NATIVE: Final = re.compile(rb"/([0-9]{1,19})/stream")
_ROUTES: Final = {path.encode(): path for path in (channels.ROOT, *channels.NAME_AT)}
_NOT_PLAIN: Final = frozenset((b"transfer-encoding", b"expect"))
_TAKES: Final = (EVENT_STREAM, b"text/*", b"*/*")
_SSE_HEADERS: Final = (
    (b"content-type", EVENT_STREAM), (b"cache-control", b"private, no-store"), (b"x-accel-buffering", b"no"),
    (b"connection", b"close"), ORIGIN, EXPOSED,
)  # fmt: skip


class NotAcceptableError(RookeryError):
    """A client that takes no event streams."""

    code, status = "not_acceptable", 406


class _Wanted(NamedTuple):
    """What a head asks for. name, params: of a channel, None for a WebSocket that subscribes later.

    since: a cursor, None for none; knows_cursors: whether the client has shown that it does; claimed_id: whose stream a
    path names; accept: what proves to a WebSocket's client that we are one's server.
    """

    name: Any
    params: dict[str, Any]
    since: str | None
    knows_cursors: bool
    token: str | None
    claimed_id: int = 0
    accept: bytes = b""
    subprotocol: bytes = b""


class StreamOpening(DirectExchange):
    """One request for a stream."""

    __slots__ = ("_early", "_route", "_sort")

    def __init__(self, protocol: BoundedHttpProtocol, services: Services, route: str, sort: str) -> None:
        super().__init__(protocol, services)
        self._route, self._sort = route, sort
        self._early = bytearray()

    @classmethod
    def of(cls, protocol: BoundedHttpProtocol, services: Services) -> StreamOpening | None:
        """Return the exchange for the request whose head is complete; None if it is for no stream, or looks unusual."""
        path = protocol.url.partition(b"?")[0]
        if not (path.startswith(b"/api/v1/streaming") or path.endswith(b"/stream")) or services.streams is None:
            return None
        route = _ROUTES.get(path.removesuffix(b"/"))
        if route is None:
            route = NATIVE_ROUTE if _NATIVE.fullmatch(path) else ""
        if not route or not _is_alone(protocol):
            return None
        sort = "sse" if route != NATIVE_ROUTE else "native"
        if asks_for_web_socket(protocol.headers):
            if route == NATIVE_ROUTE:
                return None
            sort = "websocket"
        return cls(protocol, services, route, sort)

    def start(self) -> None:
        """Begin to find out whether there is to be a stream."""
        self.begin()
        self._services.reads.count += 1
        self._protocol.opening = self
        self._protocol.loop.create_task(self._go())

    def keep(self, data: bytes) -> None:
        """Keep what a client sends that doesn't wait for the answer to its handshake."""
        self._early += data
        if len(self._early) > EARLY_BYTES_MAX:
            self._protocol.drop()

    async def _go(self) -> None:
        """Open the stream, or say why there is none."""
        services = self._services
        try:
            services.admit(self._protocol.scope, services.reads)  # type: ignore[arg-type]
            self._check_room()
            async with asyncio.timeout(services.settings.request_timeout_s):
                wanted = self._wanted()
                grant, channel = await self._verified(wanted)
            self._check_room()
            self._open(wanted, grant, channel)
        except Exception as error:  # noqa: BLE001 - the last line, as in edge.py
            self._refuse(error)
        finally:
            services.reads.count -= 1
            self._protocol.opening = None

    def _check_room(self) -> None:
        if self._protocol.is_too_much or not self._services.streams.has_room():
            raise OverloadedError(overloaded().message, None, RETRY_AFTER_S)

    # -- what is wanted ------------------------------------------------------------------------------------------------

    def _wanted(self) -> _Wanted:
        """Read the head. Raises RookeryError."""
        path, _, query = self._url.partition(b"?")
        params = nested(split_pairs(query, "the query string")) if query else {}
        if self._sort == "native":
            claimed_id = parse_id(path.split(b"/")[1].decode(), "user_id")
            token = self._token(params, TOKEN_NAME)
            return self._event_stream(params, "user", token)._replace(claimed_id=claimed_id)
        token = self._token(params, ACCESS_TOKEN_NAME)
        if self._sort == "sse":
            if self._route == channels.ROOT:
                raise UpgradeRequiredError("this is where WebSockets begin; streams of events have paths below it")
            return self._event_stream(params, name_at(self._route, params), token)
        accept, subprotocol = accept_key(self._headers), subprotocol_in(self._headers)
        since = params.get("since")
        if since is not None and not isinstance(since, str):
            raise MalformedError("since must be a text", "since")
        name, token = name_at(self._route, params), token or subprotocol.decode() or None
        return _Wanted(name, params, since, since is not None, token, accept=accept, subprotocol=subprotocol)

    def _event_stream(self, params: dict[str, Any], name: str, token: str | None) -> _Wanted:
        """Return what a client of server-sent events wants. Raises NotAcceptableError."""
        accepted = [value.lower() for name, value in self._headers if name == b"accept"]
        if accepted and not any(kind in value for value in accepted for kind in _TAKES):
            raise NotAcceptableError("a stream is text/event-stream, which Accept leaves out", "Accept")
        cursor = next((value.decode("latin-1") for name, value in self._headers if name == b"last-event-id"), None)
        if cursor is None and isinstance(said := params.get("last_event_id"), str):
            cursor = said
        is_browser = any(EVENT_STREAM in value for value in accepted)
        return _Wanted(name, params, cursor or None, is_browser or cursor is not None, token)

    def _token(self, params: dict[str, Any], name: str) -> str | None:
        """Return the token of the Authorization header, else of the query. Raises RookeryError."""
        header = next((value for key, value in self._headers if key == b"authorization"), None)
        if header is not None:
            return bearer_of(header.decode("latin-1"))
        token = params.get(name)
        if token is not None and not isinstance(token, str):
            raise MalformedError(f"{name} must be given once", name)
        return token or None

    # -- whose it is ---------------------------------------------------------------------------------------------------

    async def _verified(self, wanted: _Wanted) -> tuple[Grant, StreamChannel | None]:
        """Return what the token allows, which is enough, and the channel. Raises RookeryError."""
        auth = self._services.auth
        for _ in range(VERIFY_COUNT_MAX):
            drops_before = auth.drop_count
            grant = await self._granted(wanted)
            has_token = wanted.token is not None or grant.account_id > 0
            channels.check_token(channels.scope_of(wanted.name), grant.account_id, grant.scopes, has_token)
            if grant.account_id:
                self._services.limiter.check_account(grant.account_id, False)
            channel = None if wanted.name is None else channel_of(wanted.name, wanted.params)
            if channel is not None and channel.list_id:
                await self._services.streams.check_list(grant.account_id, channel)
            if auth.drop_count == drops_before:
                return grant, channel
        raise OverloadedError("tokens are being revoked; try again", None, 1.0)

    async def _granted(self, wanted: _Wanted) -> Grant:
        auth, token = self._services.auth, wanted.token
        if self._sort == "native":
            return Grant(await auth.actor(token, wanted.claimed_id), EVERYTHING, 0)
        if token is None:
            return NOTHING
        try:
            grant = await auth.grant(token)
        except UnauthorizedError as error:
            raise UnauthorizedError(channels.INVALID) from error
        if grant.is_session:
            raise UnauthorizedError(channels.INVALID)
        return grant

    # -- the end of HTTP -----------------------------------------------------------------------------------------------

    def _open(self, wanted: _Wanted, grant: Grant, channel: StreamChannel | None) -> None:
        """Make the connection a stream. Raises OverloadedError, RateLimitedError if there is no place."""
        protocol, services = self._protocol, self._services
        if self.disconnected or protocol.transport.is_closing():
            self._note(CLIENT_GONE_STATUS)
            return
        streams, token = services.streams, wanted.token
        secret_hash = b"" if token is None else (parse_app_token(token) or parse_token(token)).secret_hash
        make = WebSocketConnection if self._sort == "websocket" else SseConnection
        rendering = streams.native if self._sort == "native" else streams.mastodon
        viewer = streams.viewer_of(grant.account_id)
        connection = make(streams, self._sort, viewer, grant.scopes, secret_hash, rendering)
        address = services.limiter.address_of(protocol.scope) if services.limiter.enabled else None  # type: ignore[arg-type]
        connection.owner = streams.places.take(self._sort, grant.account_id, address)
        self.response_complete = True
        transport, early = protocol.transport, bytes(self._early)
        early += protocol.hand_over(connection)
        connection.begin(transport, self._head(wanted))
        self._note(101 if self._sort == "websocket" else 200)
        if channel is not None:
            self._listen(connection, channel, wanted)
        connection.send_head()
        if early and not connection.is_closing:
            connection.data_received(early)

    def _listen(self, connection: WebSocketConnection | SseConnection, channel: StreamChannel, wanted: _Wanted) -> None:
        try:
            connection.listen(channel, wanted.since, wanted.knows_cursors)
        except RookeryError as error:
            connection.cut("behind", CloseCode.TRY_AGAIN_LATER, error.message)

    def _head(self, wanted: _Wanted) -> bytes:
        own = (*self._protocol.server_state.default_headers, (b"x-request-id", self._request_id.encode()))
        if self._sort == "websocket":
            return response_head(wanted.accept, wanted.subprotocol, own)
        lines = b"".join(b"%b: %b\r\n" % header for header in (*own, *_SSE_HEADERS))
        return b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (lines, GREETING)

    def _refuse(self, error: Exception) -> None:
        response = self._refusal(error)
        if self._sort == "websocket":
            self.keep_alive = False  # the parser has stopped at the upgrade
        self._services.streams.places.note_refusal(error)
        status, headers, body = self.refusal(response)
        self.answer("GET", self._route, status, headers, body)

    def _refusal(self, error: Exception) -> Response:
        if self._sort == "native" or not isinstance(error, RookeryError):
            return native_response(error, self._request_id)  # logs what is unexpected
        response = sentence_of(error.status, error.message, error.retry_after_s)
        if isinstance(error, UpgradeRequiredError):
            response.headers["sec-websocket-version"] = "13"
            response.headers["upgrade"] = "websocket"
        return response

    def _note(self, status: int) -> None:
        seconds = time.perf_counter() - self.started_s
        self._services.requests.note("GET", self._route, status, seconds, self._request_id)


def _is_alone(protocol: BoundedHttpProtocol) -> bool:
    """Whether a request is a GET of HTTP/1.1 without a body, before which nothing is left to be answered or read."""
    before = protocol.cycle
    if (before is not None and not before.response_complete) or protocol.flow.write_paused or protocol.is_held:
        return False
    if protocol.parser.get_http_version() != "1.1" or protocol.parser.get_method() != b"GET":
        return False
    return not any(
        name in _NOT_PLAIN or (name == b"content-length" and value.strip() != b"0") for name, value in protocol.headers
    )
