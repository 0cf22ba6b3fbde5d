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
See `direct_exchange.py`. A response is never written while the transport has too much to send: with one exchange at a
time, `is_plain` refuses a connection whose buffer hasn't drained.

Cost: 21 us of this worker's time a read, HTTP parser, lane and metrics included but no system calls; through uvicorn's
cycle, a task and ASGI it is 39 us (bench/NOTES.md).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from actors.core.errors import OverloadedError, RookeryError
from actors.core.ids import bucket_of_account
from api.access.auth import UnprovenToken
from api.http.caching import Headers
from api.http.direct_exchange import ReadExchange, is_plain_read
from api.native.hot import HOME_READS, HomeRequest, home_answer, home_arguments, parse_home
from api.native.viewer_flags import NAME as FLAGS_NAME
from api.services import Services

if TYPE_CHECKING:
    from api.http.protocol import BoundedHttpProtocol

# Whoever sends other characters in a query, or a body, gets the long way.
_PLAIN_URL = re.compile(
    rb"(%b)(?:\?([A-Za-z0-9_.~&=%%+-]*))?" % b"|".join(re.escape(p.encode()) for p in sorted(HOME_READS))
)


class HomeExchange(ReadExchange):
    """One request for a home timeline and its answer."""

    __slots__ = ("_arguments", "_request", "_unproven")

    def __init__(
        self, protocol: BoundedHttpProtocol, services: Services, path: str, request: HomeRequest, arguments: list[Any],
        unproven: UnprovenToken | None,
    ) -> None:  # fmt: skip
        super().__init__(protocol, services, path)
        self._request, self._arguments, self._unproven = request, arguments, unproven

    @classmethod
    def of(cls, protocol: BoundedHttpProtocol, services: Services, head_is_known: bool = False) -> HomeExchange | None:
        """Return the exchange for the request whose head is complete, or None if it must go the long way.

        head_is_known: all but the URL is that of a request that didn't have to.
        """
        url = _PLAIN_URL.fullmatch(protocol.url)
        if url is None or not (head_is_known or is_plain_read(protocol)):
            return None
        try:
            request = parse_home(services, url[2] or b"", protocol.headers)
            if FLAGS_NAME in request.query:
                return None
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
        user_id, services = self._request.user_id, self._services
        if self._admit(user_id if self._unproven is None else 0):
            services.search.queue.home_read(self._started_s)
            timeout_s = services.settings.request_timeout_s
            try:
                services.cluster.send(bucket_of_account(user_id), "home", self._arguments, timeout_s, self._take)
            except OverloadedError as error:  # now, not later: it mustn't hold a place that others could have
                self._take(None, error)

    def _answer_with(self, reply: Any) -> tuple[Headers, bytes]:
        if self._unproven is not None:
            self._services.auth.proven(self._unproven)
            self._services.limiter.check_account(self._request.user_id, False)
        return home_answer(self._request, self._origin(self._request.host), self._path, reply)
