"""A health check or a scrape answered inside the HTTP protocol: anybody may ask, so it has to cost next to nothing.

Rules of this file
- Only ordinary requests come here: a complete `GET` of HTTP/1.1 without a body and without a query, alone on its
  connection. Everything else goes through `edge.py` and `routes/health.py`, to the same answers.
- They count in a gate of their own, so that they are let in whatever else there is, and in nobody's rate but their own
  (`probes.py`).

Cost: 10 us; figures 60 us more, for 100 KB. Through uvicorn's cycle and FastAPI it was 100 us, and figures 10 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST

from actors.core.errors import NotFoundError, RookeryError
from api.http.caching import Headers, has_token, keep_private
from api.http.direct_exchange import DirectExchange, is_plain_read
from api.http.probes import FIGURES_PATH, HEALTH_PATH, HEALTHY, PROBE_PATHS, READINESS_PATH
from api.native.hot import JSON
from api.services import Services, overloaded

if TYPE_CHECKING:
    from api.http.protocol import BoundedHttpProtocol

_PATHS = {path.encode(): path for path in PROBE_PATHS}
_TEXT = (b"content-type", CONTENT_TYPE_LATEST.encode())


class ProbeExchange(DirectExchange):
    """One probe and its answer."""

    __slots__ = ("_path",)

    def __init__(self, protocol: BoundedHttpProtocol, services: Services, path: str) -> None:
        super().__init__(protocol, services)
        self._path = path

    @classmethod
    def of(cls, protocol: BoundedHttpProtocol, services: Services) -> ProbeExchange | None:
        """Return the exchange for the request whose head is complete, or None if it must go the long way."""
        path = _PATHS.get(protocol.url)
        if path is None or not is_plain_read(protocol):
            return None
        if path == FIGURES_PATH:
            try:
                services.probes.check_figures(protocol.server)
            except NotFoundError:
                return None
        return cls(protocol, services, path)

    def start(self) -> None:
        """Answer, now or when the answer has been found out."""
        services, scope = self._services, self._protocol.scope
        self.begin()
        gate = services.probe_gate
        gate.count += 1
        try:
            if gate.count > gate.count_bound:
                raise overloaded()
            if self._path == FIGURES_PATH:
                services.limiter.check_scrape(scope)  # type: ignore[arg-type]
        except RookeryError as error:
            self._end(*self.fail(error))
            return
        if self._path == HEALTH_PATH:
            self._take(HEALTHY, None)
        elif self._path == READINESS_PATH:
            services.probes.readiness.ask(self._take)
        else:
            services.probes.figures.ask(self._take)

    def _take(self, outcome: Any, error: Exception | None) -> None:
        """Answer with what was found out."""
        if error is not None:
            self._end(*self.fail(error))
            return
        status, body = outcome if self._path == READINESS_PATH else (200, outcome)
        kind = _TEXT if self._path == FIGURES_PATH else JSON
        self._end(status, [(b"content-length", b"%d" % len(body)), kind], body)

    def _end(self, status: int, headers: Headers, body: bytes) -> None:
        self._services.probe_gate.count -= 1
        if has_token(self._headers, self._url):  # nobody looked at it, but caches would
            headers = keep_private(headers)
        self.answer("GET", self._path, status, headers, body)
        scope: Any = self._protocol.scope
        if self._path != FIGURES_PATH and not self._services.limiter.may_check_often(scope):
            self._protocol.hold()
