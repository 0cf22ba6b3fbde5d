"""The outermost layer of the app: bare ASGI, so that it costs microseconds and sees everything.

Rules of this file
- Every request has an id, a count and perhaps a log entry: `request_log.py`.
- Requests come here complete. Too many at once are shed with 503 before anything else (`Services.admit`); health checks
  and metrics have places of their own. Most are shed before they come here (`direct_exchange.py`), and after those that
  are shed here their connection pauses, too; so it does after a client's mistakes, which anybody can make without end.
- What a request must see of earlier writes is read here, what it has written is added to its answer: `positions.py`.
- Every request has a deadline (503; long answers have their own, `portability/long_work.py`), and exactly one answer,
  whatever happens inside.
- No cache may keep an answer in which a token had a part: `caching.py`.
- HEAD is answered as GET (the server drops the body); OPTIONS lists the methods of a path.
- Cookies are for the web pages alone (`oauth/pages.py`), which are looked up before they are taken away.
- FastAPI parses query and cookies of every request, whether a route wants them or not, and Python's parser of quoted
  cookies was quadratic until 3.11.10 and 3.12.6: 8 s for 64 KB. So no route is shown a cookie, nor a
  query string beyond our bounds.
- Ordinary home reads and searches don't come here: the HTTP protocol answers them (`fast_exchange.py`), by
  the same rules.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.core.errors import NotFoundError
from api.errors import response_for
from api.http.admission import Gate
from api.http.caching import Headers, is_private, keep_private
from api.http.uploads import discard_upload
from api.params import check_query_size
from api.portability.long_work import DEADLINE
from api.positions import position_header, positions_of, positions_of_request
from api.services import Services


class SecondFace(Protocol):
    """Paths of another API than the native one, looked up before the app's."""

    def methods_of(self, path: str) -> list[str]:
        """Return the methods that a path takes here; none if it isn't one of these."""
        ...

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for one of these paths, whatever it is: no error comes out that is a client's."""
        ...


ThinRead = Callable[[Services, MutableMapping[str, Any]], Awaitable[tuple[Headers, bytes]]]
UNMATCHED = "unmatched"
IS_HEAD = "is_head"  # in a scope's state: of the answer only the head is sent
HOLD = "hold"  # in a scope's state: what makes its connection pause
HOLD_COST = 4  # of a refusal that comes out of here, in those of direct_exchange.py
APP_HOLD_COST = 20  # of one that the app has made, or of a client's mistake: 110 to 500 us
CLIENT_GONE_STATUS = 499  # in the log and the metrics only; nobody is there to get it


def is_held_after(status: int) -> bool:
    """Whether a connection with this answer may have to wait: who was refused, or has made a mistake, and asks on."""
    return (400 <= status < 500 and status != CLIENT_GONE_STATUS) or status == 503


class EdgeAnswer:
    """Notes what is sent, and adds the request id, how far the journals were after a write, and that no cache may keep
    it if a token had a part in it."""

    __slots__ = ("_id_header", "_scope", "_send", "given", "positions", "status")

    def __init__(self, scope: Scope, send: Send, request_id: bytes) -> None:
        self._scope, self._send = scope, send
        self._id_header = (b"x-request-id", request_id)
        self.status = 0  # 0 until the answer has begun
        self.given: dict[int, int] = {}  # positions that came with the request
        self.positions: dict[int, int] = {}  # the same, and those of its writes

    async def send(self, message: Message) -> None:
        """Pass a message on; see the class."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            if is_private(self._scope):
                headers = keep_private(headers)
            headers.append(self._id_header)
            if self.positions and self.status < 400:
                written = position_header(self.given, self.positions)
                if written is not None:
                    headers.append(written)
            message["headers"] = headers
        await self._send(message)


class Edge:
    """Wraps the FastAPI app; see the head of the file."""

    def __init__(
        self, app: ASGIApp, services: Services, thin_reads: Mapping[str, ThinRead], second_face: SecondFace,
        pages: SecondFace, files: SecondFace,
    ) -> None:  # fmt: skip
        """thin_reads: by path, the GETs that are answered here, without routing; pages: what is shown cookies; files:
        what has as long as its client takes."""
        self._app, self._second_face, self._pages, self._files = app, second_face, pages, files
        self._thin_reads = thin_reads
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event: a request, or the server's start and stop."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        services = self._services
        request_id = services.requests.id_of(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id
        answer = EdgeAnswer(scope, send, request_id.encode())
        method = scope["method"]
        inner = scope
        if method == "HEAD":
            inner, scope["state"][IS_HEAD] = {**scope, "method": "GET"}, True
        gate = services.gate_of(method, scope["path"])
        gate.count += 1
        hold_cost = HOLD_COST
        try:
            if gate is not services.probe_gate and services.probes.is_at_figures(scope.get("server")):
                raise NotFoundError("figures are served at this port, and nothing else")
            services.admit(scope, gate)
            hold_cost = APP_HOLD_COST
            await self._serve(inner, receive, answer, gate)
        except ClientDisconnect:
            answer.status = answer.status or CLIENT_GONE_STATUS
        except Exception as error:  # noqa: BLE001 - the last line: whatever happens gets one answer and one log entry
            response = response_for(error, request_id)  # logs what is unexpected
            if not answer.status:
                await response(scope, receive, answer.send)
        finally:
            discard_upload(scope)
            gate.count -= 1
            now_s = time.perf_counter()
            seconds = now_s - started_s
            if 200 <= answer.status < 300 and gate is not services.files_gate:
                gate.note(seconds, now_s)
            elif is_held_after(answer.status) and HOLD in scope["state"]:
                scope["state"][HOLD](hold_cost)
            services.requests.note(method, self._route_of(inner), answer.status, seconds, request_id)

    async def _serve(self, scope: Scope, receive: Receive, answer: EdgeAnswer, gate: Gate) -> None:
        services = self._services
        path, method = scope["path"], scope["method"]
        if gate is not services.probe_gate:
            answer.given = positions_of(scope["headers"])
            answer.positions = dict(answer.given)
        positions_of_request.set(answer.positions)
        if method == "GET" and path in self._thin_reads:
            headers, body = await self._thin_reads[path](services, scope)
            await answer.send({"type": "http.response.start", "status": 200, "headers": headers})
            await answer.send({"type": "http.response.body", "body": body})
            return
        check_query_size(scope["query_string"])
        if self._files.methods_of(path):
            await self._files.serve(scope, receive, answer.send)
            return
        if self._pages.methods_of(path):
            await self._pages.serve(scope, receive, answer.send)
            return
        scope["headers"] = [header for header in scope["headers"] if header[0] != b"cookie"]
        if self._second_face.methods_of(path):  # which has the same deadline, in its own words
            await self._second_face.serve(scope, receive, answer.send)
            return
        async with asyncio.timeout(services.settings.request_timeout_s) as deadline:
            scope["state"][DEADLINE] = deadline
            await self._app(scope, receive, answer.send)

    def _route_of(self, scope: Scope) -> str:
        if scope["path"] in self._thin_reads:
            return str(scope["path"])
        return str(getattr(scope.get("route"), "path", UNMATCHED))


def allowed_methods(routes: Sequence[BaseRoute], path: str) -> list[str]:
    """Return the methods that a path takes, sorted; none if there is no such path."""
    methods: set[str] = set()
    for route in routes:
        regex = getattr(route, "path_regex", None)
        if regex is not None and regex.match(path):
            methods.update(getattr(route, "methods", None) or ())
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods | {"OPTIONS"}) if methods else []


def options_response(methods: list[str]) -> Response:
    """Return the answer to OPTIONS."""
    return Response(status_code=204, headers={"allow": ", ".join(methods)})
