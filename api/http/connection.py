"""One HTTP connection, whatever is asked on it: how long it waits for its client, and how it ends.

Rules of this file
- A client that doesn't do its part holds a connection for HEAD_S at most; an answer is read within WRITE_STALL_S.
- A connection that we close while its client may still send is closed once he has read our answer, or after LINGER_S:
  a close at once would reset it, and the answer with it. Of what he sends meanwhile DISCARD_BYTES_MAX are read, and
  nothing is kept.
- A connection on which something was refused is read again after a pause (`refusal_pace.py`), so that who doesn't heed
  `Retry-After`, or asks for nonsense, takes a fifth of this worker's time at most. To refuse takes half as long as to
  answer: without the pause clients at three times the capacity kept this worker from answering anything.
- How many connections there may be, and which of them goes first, is decided by `connections.py`.
- What is no request gets the same JSON error as everything else, and is counted; nothing of it is logged.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from actors.core.errors import RookeryError
from api.errors import response_for
from api.http.caching import PRIVATE
from api.http.edge import UNMATCHED
from api.services import Services

HEAD_S = 20.0  # for a head, or the rest of a body that nobody wants
WRITE_STALL_S = 20.0  # an answer has a few hundred KiB at most
LINGER_S = 2.0  # that a client has to read why its connection is closed
_CLOSE = (b"connection", b"close")
DISCARD_BYTES_MAX = 4 * 1024 * 1024  # that are read of what nobody wants


class BoundedConnection(HttpToolsProtocol):
    """See the head of the file."""

    def __init__(self, *args: Any, services: Services, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._services = services
        self.is_held = False  # nothing is read for a while
        self._is_at_figures = False  # it has come to the port at which figures are served, and nothing else
        self._address: str | None = None  # what this connection counts for; None: nobody's share
        self._refused = False  # nothing that comes now is looked at
        self._lingers = False
        self._head_open = True  # all has come of the last request that has begun, if there was one
        self._rest_bytes = 0  # read since a head was complete, of what belongs to its request
        self._read_timer: asyncio.TimerHandle | None = None  # for a head, or the rest of a body
        self._write_timer: asyncio.TimerHandle | None = None  # for an answer to be read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first head, if there is room for one more connection."""
        super().connection_made(transport)
        self._is_at_figures = self._services.probes.is_at_figures(self.server)
        peer = self.client[0] if self.client else ""
        self._address = self._services.limiter.connection_address(peer)
        refusal = self._services.connections.admit(self, self._address)
        if refusal is not None:
            self._write_and_close(refusal)
            return
        self._arm_read_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._services.connections.forget(self)
        self._cancel_read_timer()
        self._cancel_write_timer()
        self._unset_keepalive_if_required()  # uvicorn's own does that only for a client that closes in order
        super().connection_lost(exc)

    def release(self) -> None:
        """Count the connection no more, and wait for nothing on it: it goes on as something else."""
        self._services.connections.forget(self)
        self.connections.discard(self)
        self._cancel_read_timer()
        self._cancel_write_timer()
        self._unset_keepalive_if_required()

    def hold(self, cost: int = 1) -> None:
        """Something was refused: read nothing for a while. cost: of the refusal, in those of `direct_exchange.py`."""
        if not self.is_held:
            pause_s = self._services.refusals.pause_s(cost, self._services.connections.open_count)
            if pause_s:
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

    def _discard(self, size_bytes: int) -> None:
        """Read past what a client sends that is to go."""
        self._rest_bytes += size_bytes
        if self._rest_bytes > DISCARD_BYTES_MAX:
            self.drop()

    def _write_and_close(self, error: RookeryError, lingering: bool = False) -> None:
        """Answer what is no request, or a connection that there is no room for, and close."""
        self._refused = True
        if self.transport.is_closing():
            return
        requests = self._services.requests
        request_id = requests.id_of(self.headers or ())
        response = response_for(error, request_id)
        own = [header for header in response.raw_headers if header[0] != b"connection"]
        # Whatever the request was, a token may have been in it.
        headers = [*self.server_state.default_headers, *own, PRIVATE, (b"x-request-id", request_id.encode()), _CLOSE]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[response.status_code] + lines + b"\r\n" + bytes(response.body))
        requests.note("other", UNMATCHED, response.status_code, 0.0, request_id)
        if lingering:
            self.linger()
        else:
            self.transport.close()
            self._arm_write_timer()

    def end(self) -> None:
        """Close after an answer: at once if nothing more can come of its request."""
        if self._head_open:
            self.transport.close()
        else:
            self.linger()

    def linger(self) -> None:
        """Close when the client has read what was written, and read nothing of his meanwhile."""
        self._refused = self._lingers = True
        self._cancel_read_timer()
        self._cancel_write_timer()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._write_timer = self.loop.call_later(LINGER_S, self.drop)

    def pause_writing(self) -> None:
        """The client doesn't read as fast as we write."""
        super().pause_writing()
        self._arm_write_timer()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        if not self._lingers:
            self._cancel_write_timer()

    def timeout_keep_alive_handler(self) -> None:
        """No request for a long time: close, and wait for nothing."""
        self.drop()

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
