"""uvicorn's HTTP/1.1 protocol with the bounds that it lacks, and with refusals in our error shape.

Rules of this file
- A client that doesn't do its part holds neither memory nor a connection for long: a head has at most HEAD_BYTES_MAX
  bytes (OPEN_HEAD_BYTES_MAX as long as it isn't complete) and HEADER_COUNT_MAX headers and is complete within HEAD_S;
  so is what is left of a body after its request was answered; an answer is read within WRITE_STALL_S.
- At most PIPELINE_COUNT_MAX requests wait behind the one under way: a chunk of 256 KiB can hold 14,000, of 3 KB each
  once they are parsed. Who sends more is hung up on.
- A connection on which something was refused is read again after a pause, so that who doesn't heed `Retry-After` gets
  REFUSALS_PER_S refusals at most, however many connections there are. To refuse takes half as long as to answer:
  without the pause clients at three times the capacity kept this worker from answering anything.
- How many connections there may be, and which of them goes first, is decided by `connections.py`.
- What isn't HTTP gets the same JSON error as everything else.
- Ordinary home reads and searches are answered right here (`home_exchange.py`, `search_exchange.py`), and so are
  requests that this worker has no place for (`direct_exchange.py`); everything else is uvicorn's and the app's.
- A connection's next home read or search whose head is the last one's but for the URL goes past the parser.

Cost: two method calls and a few comparisons per chunk read and request, 0.5 us; 0.6 us to see that a request is
neither a home read nor a search.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from actors.core.errors import RookeryError
from api.caching import PRIVATE
from api.direct_exchange import DirectExchange, ReadExchange, Refusal
from api.errors import error_body, log_unexpected, response_for
from api.home_exchange import HomeExchange
from api.search_exchange import SearchExchange
from api.services import Services

HEAD_BYTES_MAX = 512 * 1024  # counted in chunks as they are read (256 KiB at most), which may hold part of a body
OPEN_HEAD_BYTES_MAX = 128 * 1024  # of one that isn't complete: what comes next is appended to a copy of its last line
HEADER_COUNT_MAX = 128
HEAD_S = 20.0
PIPELINE_COUNT_MAX = 64
REFUSALS_PER_S = 8_000  # a fifth of this worker's time
KNOWN_HEAD_BYTES_MAX = 4 * 1024
HOLD_S_LEAST = 0.001  # shorter pauses aren't worth a timer
WRITE_STALL_S = 20.0  # an answer has a few hundred KiB at most


class BoundedHttpProtocol(HttpToolsProtocol):
    """See the head of the file."""

    def __init__(self, *args: Any, services: Services, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._services = services
        self._refused = self.is_held = False
        self._head_open = True
        self._head_bytes = 0
        self._known_head = b""  # of the last read answered here, URL excluded; `headers` and `scope` are its
        self._read_timer: asyncio.TimerHandle | None = None  # for a head, or the rest of a body
        self._write_timer: asyncio.TimerHandle | None = None  # for an answer to be read
        self._under_way: RequestResponseCycle | None = None  # the last that the app was given; later ones wait

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first head, if there is room for one more connection."""
        super().connection_made(transport)
        peer = self.client[0] if self.client else ""
        refusal = self._services.connections.admit(self, self._services.limiter.connection_address(peer))
        if refusal is not None:
            self._refuse(refusal)
            return
        self._arm_read_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._services.connections.forget(self)
        self._cancel_read_timer()
        self._cancel_write_timer()
        if self._under_way is not None and not self._under_way.response_complete:
            self._under_way.disconnected = True  # uvicorn tells the newest only, and this one would write to nobody
            self._under_way.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def hold(self) -> None:
        """Something was refused: read nothing for a while."""
        pause_s = self._services.connections.open_count / REFUSALS_PER_S
        if pause_s >= HOLD_S_LEAST and not self.is_held:
            self.is_held = True
            self.flow.pause_reading()
            self.loop.call_later(pause_s, self._release)

    def _release(self) -> None:
        self.is_held = False
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def drop(self) -> None:
        """Close now, whatever hasn't been sent."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the head or the pipeline has grown too large."""
        if self._refused or (self._known_head and data.endswith(self._known_head) and self._repeat(data)):
            return
        before, is_first = self.cycle, self._head_open and not self._head_bytes
        if self._head_open:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.send_400_response(f"the head of the request has more than {HEAD_BYTES_MAX} bytes")
                return
        super().data_received(data)
        if self._head_open and self._head_bytes:
            if self._head_bytes > OPEN_HEAD_BYTES_MAX:
                self.send_400_response(f"the head of the request has more than {OPEN_HEAD_BYTES_MAX} bytes so far")
                return
            if self._read_timer is None:
                self._arm_read_timer()
        begun: object = self.cycle
        if is_first and begun is not before and isinstance(begun, ReadExchange) and len(data) <= KNOWN_HEAD_BYTES_MAX:
            self._learn(data)

    def _learn(self, data: bytes) -> None:
        """Keep the head of a read that was answered here, if it was all of what has come."""
        end_of_line = data.find(b" HTTP/1.1\r\n")
        if end_of_line > 0 and data.startswith(b"GET ") and data.find(b"\r\n\r\n") == len(data) - 4:
            self._known_head = data[end_of_line:]

    def _repeat(self, data: bytes) -> bool:
        """Answer a read that differs from the last one of this connection in its URL only, without the parser.

        Clients send the same head again and again. Its URL has the characters that an exchange lets in, so there is no
        second request in it. Returns whether that was possible.
        """
        before, services = self.cycle, self._services
        if not before.response_complete or not self._head_open or self._head_bytes or not data.startswith(b"GET "):
            return False
        if self.flow.write_paused or self.is_held or services.any_full():
            return False
        self.url = data[4 : -len(self._known_head)]
        try:
            exchange = HomeExchange.of(self, services, True) or SearchExchange.of(self, services, True)
        except Exception as error:  # noqa: BLE001 - as in on_headers_complete
            log_unexpected(error, "")
            exchange = None
        if exchange is None:
            return False
        if self._read_timer is not None:
            self._cancel_read_timer()
        services.connections.begin(self)
        self._unset_keepalive_if_required()
        exchange.more_body = False
        self.cycle = exchange  # type: ignore[assignment]
        exchange.start()
        return True

    def on_message_begin(self) -> None:
        """What the parser reads now replaces the headers that were known."""
        self._known_head = b""
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; too many are no valid request."""
        if len(self.headers) >= HEADER_COUNT_MAX:
            raise ValueError(f"more than {HEADER_COUNT_MAX} headers")  # the parser wraps it: answered with 400
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: its clock stops."""
        self._head_open = False
        self._head_bytes = 0
        if self._read_timer is not None:
            self._cancel_read_timer()
        services = self._services
        services.connections.begin(self)
        exchange: DirectExchange | None
        try:
            exchange = (
                (Refusal.of(self, services) if services.any_full() else None)
                or HomeExchange.of(self, services)
                or SearchExchange.of(self, services)
            )
        except Exception as error:  # noqa: BLE001 - a defect of ours: the parser would say that it isn't HTTP, and hang up
            log_unexpected(error, "")
            exchange = None  # the long way has an answer to whatever happens
        if exchange is None:
            if len(self.pipeline) >= PIPELINE_COUNT_MAX:
                self.drop()
                raise ValueError(f"more than {PIPELINE_COUNT_MAX} requests wait")  # ends the parsing of this chunk
            super().on_headers_complete()
            return
        self._unset_keepalive_if_required()  # armed if the request before in the same chunk was refused at once
        self.cycle = exchange  # type: ignore[assignment]
        exchange.start()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._under_way = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        """The next byte belongs to another request's head."""
        self._head_open = True
        if self._read_timer is not None:
            self._cancel_read_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request; the rest of one that was answered early has to come soon."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._arm_write_timer()
        elif self.cycle.response_complete:  # the newest request; others may wait in the pipeline before it
            self._services.connections.end(self)
            if not self._head_open and self._read_timer is None:
                self._arm_read_timer()

    def pause_writing(self) -> None:
        """The client doesn't read as fast as we write."""
        super().pause_writing()
        self._arm_write_timer()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._cancel_write_timer()

    def timeout_keep_alive_handler(self) -> None:
        """No request for a long time: close, and wait for nothing."""
        self.drop()

    def send_400_response(self, msg: str) -> None:
        """Answer what can't be read as HTTP, and close."""
        self._write_and_close(400, error_body("malformed", msg), b"")

    def _refuse(self, error: RookeryError) -> None:
        """Answer a connection that there is no room for, and close it."""
        self._refused = True
        response = response_for(error, "")
        retry_after = b"retry-after: %b\r\n" % response.headers["retry-after"].encode()
        self._write_and_close(response.status_code, bytes(response.body), retry_after)

    def _write_and_close(self, status: int, body: bytes, header: bytes) -> None:
        if self.transport.is_closing():
            return
        head = b"content-type: application/json\r\n%bcontent-length: %d\r\n%b: %b\r\nconnection: close\r\n\r\n" % (
            header, len(body), *PRIVATE,  # whatever the request was, a token may have been in it
        )  # fmt: skip
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()
        self._arm_write_timer()

    def _arm_read_timer(self) -> None:
        self._read_timer = self.loop.call_later(HEAD_S, self.drop)

    def _cancel_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _arm_write_timer(self) -> None:
        self._cancel_write_timer()
        self._write_timer = self.loop.call_later(WRITE_STALL_S, self.drop)

    def _cancel_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
