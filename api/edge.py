"""The outermost layer of the app: bare ASGI, so that it costs microseconds and sees everything.

Rules of this file
- Every request gets an id (`X-Request-Id`: the client's if it is fit, else ours), which is in the answer and the log.
- At most `in_flight_count_max` requests are worked on; more are shed with 503 before anything is read.
  Health checks and metrics are always let in.
- Every request has a deadline (503), and exactly one answer, whatever happens inside.
- HEAD is answered as GET (the server drops the body); OPTIONS lists the methods of a path.
- The log has method, route template, status, duration and id: no query, no body, no header, so no secret and no text.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import Mapping, Sequence

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.core.errors import OverloadedError
from api.errors import response_for
from api.hot import ThinRead
from api.limits import REQUEST_ID_CHARS_MAX
from api.services import Services

_ALWAYS_LET_IN = frozenset(("/healthz", "/readyz", "/metrics"))
_FIT_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,%d}" % REQUEST_ID_CHARS_MAX)
_UNMATCHED = "unmatched"
_CLIENT_GONE_STATUS = 499  # in the log and the metrics only; nobody is there to get it
_log = structlog.get_logger("rookery.api")


class Answer:
    """Notes what is sent, and adds the request id."""

    __slots__ = ("_id_header", "_send", "status")

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._id_header = (b"x-request-id", request_id)
        self.status = 0  # 0 until the answer has begun

    async def send(self, message: Message) -> None:
        """Pass a message on; see the class."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), self._id_header]
        await self._send(message)


class Edge:
    """Wraps the FastAPI app; see the head of the file."""

    def __init__(self, app: ASGIApp, services: Services, thin_reads: Mapping[str, ThinRead]) -> None:
        """thin_reads: by path, the GETs that are answered here, without routing."""
        self._app = app
        self._thin_reads = thin_reads
        self._services = services
        self._id_prefix = secrets.token_hex(6)
        self._id_numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event: a request, or the server's start and stop."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        services = self._services
        request_id = self._request_id(scope)
        answer = Answer(send, request_id.encode())
        method = scope["method"]
        scope.setdefault("state", {})["request_id"] = request_id
        inner = {**scope, "method": "GET"} if method == "HEAD" else scope
        services.in_flight_count += 1
        try:
            await self._serve(inner, receive, answer)
        except ClientDisconnect:
            answer.status = answer.status or _CLIENT_GONE_STATUS
        except Exception as error:  # noqa: BLE001 - the last line: whatever happens gets one answer and one log entry
            response = response_for(error, request_id)  # logs what is unexpected
            if not answer.status:
                await response(scope, receive, answer.send)
        finally:
            services.in_flight_count -= 1
            self._note(method, self._route_of(inner), answer.status, time.perf_counter() - started_s, request_id)

    async def _serve(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        services = self._services
        path, method = scope["path"], scope["method"]
        if path not in _ALWAYS_LET_IN:
            if services.in_flight_count > services.settings.in_flight_count_max:
                raise OverloadedError("this worker has as many requests as it can carry; try again", None, 1.0)
            services.limiter.check_address(scope, method not in ("GET", "OPTIONS"))
        if method == "GET" and path in self._thin_reads:
            headers, body = await self._thin_reads[path](services, scope)
            await answer.send({"type": "http.response.start", "status": 200, "headers": headers})
            await answer.send({"type": "http.response.body", "body": body})
            return
        async with asyncio.timeout(services.settings.request_timeout_s):
            await self._app(scope, receive, answer.send)

    def _request_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _FIT_REQUEST_ID.fullmatch(value):
                return str(value, "ascii")
        return f"{self._id_prefix}-{next(self._id_numbers):x}"

    def _note(self, method: str, route: str, status: int, seconds: float, request_id: str) -> None:
        services = self._services
        services.metrics.observe(method, route, status, seconds)
        wanted = services.settings.access_log
        slow = seconds > services.settings.slow_request_s
        if not slow and status < 500 and (wanted == "off" or (wanted == "writes" and method in ("GET", "HEAD"))):
            return
        _log.info(
            "slow_request" if slow else "request",
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1e3, 3),
            request_id=request_id,
        )

    def _route_of(self, scope: Scope) -> str:
        if scope["path"] in self._thin_reads:
            return str(scope["path"])
        return str(getattr(scope.get("route"), "path", _UNMATCHED))


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
