"""Reads answered inside the HTTP protocol: no task, no ASGI messages, callbacks of the shards and one write.

    GET /feed?user_id=42 --> FAST_READS: its row --parse--> what is asked --ask--> shards --answer--> one write
                                 | none, or unusual     |
                                 +------> edge.py <-----+ refused, a token that isn't known, ...

Rules of this file
- Only ordinary requests come here: a complete `GET` of HTTP/1.1 without a body, alone on its connection, whose query
  has none but the row's plain characters and which the row's `parse` takes. Everything else, refusals of those
  included, goes through `edge.py`. Nothing has been counted or changed by then, so that a client can't tell which way
  its request went.
- The steps and their rules are those of `edge.py`: `Services.admit`, `response_for`, `RequestLog`; and those of the
  row's own long way.
- One answer in every case: whoever is asked calls back exactly once, by the request's deadline.

How it works
See `direct_exchange.py`. A response is never written while the transport has too much to send: with one exchange at a
time, `is_plain` refuses a connection whose buffer hasn't drained.

Cost: see the rows. Of a home read 21 us of this worker's time, HTTP parser, lane and metrics included but no system
calls; through uvicorn's cycle, a task and ASGI it is 39 us (bench/NOTES.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import Response

from actors.core.errors import RookeryError
from api.errors import response_for
from api.http.caching import Headers
from api.http.direct_exchange import DirectExchange, is_plain_read
from api.services import Services

if TYPE_CHECKING:
    from api.http.protocol import BoundedHttpProtocol


class FastRead(NamedTuple):
    """A read that may be answered here. To add one: a row of `api/fast_reads.py`.

    plain: the query strings that are looked at; parse: (services, query string, headers, last segment of the path, of a
    row that is for all below its path) -> (of whose rate it takes, 0 for nobody's or that isn't known yet; what is
    asked), or None, or a RookeryError, both for "the long way"; ask:
    (services, asked, exchange), once it is counted: has `exchange.take` called exactly once, later, or raises a
    RookeryError and has not; answer: (services, asked, exchange, reply) -> headers and body of 200; refuse: (error,
    request id) -> the answer to an error. route: by what the log calls it, of a row that is for all below its path.
    """

    plain: re.Pattern[bytes]
    parse: Callable[[Services, bytes, Any, bytes], tuple[int, Any] | None]
    ask: Callable[[Services, Any, FastExchange], None]
    answer: Callable[[Services, Any, FastExchange, Any], tuple[Headers, bytes]]
    refuse: Callable[[BaseException, str], Response] = response_for
    route: str = ""


class FastExchange(DirectExchange):
    """One fast read and its answer: counted among the reads until it is answered, by the rules of edge.py."""

    __slots__ = ("_asked", "_reader", "_row", "path")

    def __init__(
        self, protocol: BoundedHttpProtocol, services: Services, path: str, row: FastRead, reader: int, asked: Any
    ) -> None:  # fmt: skip
        super().__init__(protocol, services)
        self.path, self._row, self._reader, self._asked = path, row, reader, asked

    @classmethod
    def of(
        cls, protocol: BoundedHttpProtocol, services: Services, rows: Mapping[bytes, FastRead],
        head_is_known: bool = False,
    ) -> FastExchange | None:  # fmt: skip
        """Return the exchange for the request whose head is complete, or None if it must go the long way.

        head_is_known: all but the URL is that of a request that didn't have to.
        """
        path, _, query = protocol.url.partition(b"?")
        row, last = rows.get(path), b""
        if row is None:
            begin = path.rfind(b"/") + 1
            row, last = rows.get(path[:begin]), path[begin:]
        if row is None or not row.plain.fullmatch(query) or not (head_is_known or is_plain_read(protocol)):
            return None
        try:
            parsed = row.parse(services, query, protocol.headers, last)
        except RookeryError:
            return None
        return None if parsed is None else cls(protocol, services, path.decode(), row, *parsed)

    def start(self) -> None:
        """Count the request, and one of the account's, and ask the shards."""
        services, reader = self._services, self._reader
        self.begin()
        services.reads.count += 1
        try:
            services.admit(self._protocol.scope, services.reads)  # type: ignore[arg-type]
            if reader:
                services.limiter.check_account(reader, False)
            self._row.ask(services, self._asked, self)
        except RookeryError as error:  # now, not later: it mustn't hold a place that others could have
            self.end(*self.fail(error))

    @property
    def scope(self) -> Any:
        """Its connection's, for limits of the address."""
        return self._protocol.scope

    def origin(self, host: bytes) -> str:
        """Return what links begin with. host: the Host header."""
        protocol = self._protocol
        return self._services.origins.of(protocol.scheme or "http", host, protocol.client, self._headers)

    def take(self, reply: Any, error: Exception | None) -> None:
        """Answer with what the shards said."""
        if error is None:
            try:
                headers, body = self._row.answer(self._services, self._asked, self, reply)
            except Exception as failure:  # noqa: BLE001 - the last line, as in edge.py
                error = failure
            else:
                self.end(200, headers, body)
                return
        self.end(*self.fail(error))

    def fail(self, error: Exception) -> tuple[int, Headers, bytes]:
        """Return the answer to an error."""
        return self.refusal(self._row.refuse(error, self._request_id))

    def end(self, status: int, headers: Headers, body: bytes) -> None:
        """Write the answer, and count the request no more."""
        gate = self._services.reads
        gate.count -= 1
        seconds = self.answer("GET", self._row.route or self.path, status, headers, body)
        if status == 200:
            gate.note(seconds, self.started_s + seconds)
