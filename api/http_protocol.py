"""uvicorn's HTTP/1.1 protocol with the bounds that it lacks, and with refusals in our error shape.

Rules of this file
- A request's head has at most HEAD_BYTES_MAX bytes and HEADER_COUNT_MAX headers, and must be complete within HEAD_S:
  a client that sends headers without end, or one byte a minute, holds neither memory nor a connection.
- What isn't HTTP gets the same JSON error as everything else.
- Ordinary home reads are answered right here (`home_exchange.py`); everything else is uvicorn's and the app's.

Cost: one method call and two comparisons per chunk read, 0.2 us; 0.4 us to see that a request is no home read.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import error_body
from api.home_exchange import HomeExchange
from api.services import Services

HEAD_BYTES_MAX = 512 * 1024  # counted in chunks as they are read (256 KiB at most), which may hold part of a body
HEADER_COUNT_MAX = 128
HEAD_S = 20.0


class BoundedHttpProtocol(HttpToolsProtocol):
    """See the head of the file."""

    def __init__(self, *args: Any, services: Services, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._services = services
        self._head_open = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first head."""
        super().connection_made(transport)
        self._arm_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the head has grown too large."""
        if self._head_open:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.send_400_response(f"the head of the request has more than {HEAD_BYTES_MAX} bytes")
                return
        super().data_received(data)
        if self._head_open and self._head_bytes and self._head_timer is None:
            self._arm_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; too many are no valid request."""
        if len(self.headers) >= HEADER_COUNT_MAX:
            raise ValueError(f"more than {HEADER_COUNT_MAX} headers")  # the parser wraps it: answered with 400
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: its clock stops."""
        self._head_open = False
        self._head_bytes = 0
        self._cancel_timer()
        exchange = HomeExchange.of(self, self._services)
        if exchange is None:
            super().on_headers_complete()
            return
        self._unset_keepalive_if_required()  # armed if the request before in the same chunk was refused at once
        self.cycle = exchange  # type: ignore[assignment]
        exchange.start()

    def on_message_complete(self) -> None:
        """The next byte belongs to another request's head."""
        self._head_open = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what can't be read as HTTP, and close."""
        body = error_body("malformed", msg)
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        )
        self.transport.write(head + body)
        self.transport.close()

    def _arm_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._give_up)

    def _cancel_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()
