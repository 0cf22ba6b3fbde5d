"""One peer of a lane server that has proved itself: decoding, replies and back-pressure.

Rules of this file
- Hot path: one request costs one small object, one handler call and one pack. No tasks, no futures, no locks.
- Nothing that a peer sends may raise out of here, and nothing it fails to do (read, answer) may hold more than the
  limits of lane/protocol.py or slow another connection.

How it works
The door (lane/door.py) has shaken hands; what is left is to say `ok`. Then each chunk is decoded and handed request by
request to the handler, which answers at once or later. Answers given while a chunk is being handled leave in one write
at its end (or when they exceed WRITE_HIGH_BYTES); those given later share one write per loop turn. Reading stops while
either too many requests are unanswered or the peer doesn't take its replies, and goes on when both are over;
decoded-but-unhandled bytes wait in the decoder meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from actors.core.errors import RookeryError, TooLargeError
from cluster.lane.handshake import OK
from cluster.lane.protocol import (
    DECODE_ERRORS,
    FRAME_BYTES_MAX,
    JOIN_BYTES_MAX,
    PUSH_REQUEST_ID,
    REPLY_BODY,
    REPLY_ERROR,
    REPLY_PUSH,
    WRITE_BYTES_MAX,
    WRITE_HIGH_BYTES,
    FrameDecoder,
    LaneProtocolError,
    check_request,
    frame_page,
    make_packer,
    pack,
)

if TYPE_CHECKING:
    from actors.metrics import Histogram
    from cluster.lane.server import LaneServer

logger = logging.getLogger("rookery.lane.server")


def keep_tcp_alive(transport: asyncio.Transport) -> None:
    """Let the kernel notice a peer whose machine has vanished (20 s); nothing to do on a Unix socket."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 2)):
        if hasattr(socket, name):  # Linux; elsewhere the system's own times apply
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class LaneRequest:
    """One request. Answer it exactly once, now or later, with `reply` or `fail`, on the loop thread.

    timed: what is told at a reply how many seconds have passed since `begun` (of `time.perf_counter`), if anything is.
    """

    __slots__ = ("_answered", "_connection", "_request_id", "args", "begun", "op", "timed")

    def __init__(self, connection: LaneConnection, request_id: int, op: str, args: list[Any]) -> None:
        self._connection = connection
        self._request_id = request_id
        self._answered = False
        self.op = op
        self.args = args
        self.begun = 0.0
        self.timed: Histogram | None = None

    def reply(self, body: Any) -> None:
        """Send a body (anything msgpack can write). If the peer has gone it is dropped. Raises RuntimeError if done."""
        self._settle()
        if self.timed is not None:
            self.timed.observe(perf_counter() - self.begun)
        self._connection.send_reply(self._request_id, self.op, body)

    def fail(self, error: RookeryError) -> None:
        """Send a refusal, and count it. Raises RuntimeError if the request was answered before."""
        self._settle()
        self._connection.send_error(self._request_id, error)

    @property
    def connection(self) -> LaneConnection:
        """The peer's connection, for what is pushed to it alone."""
        return self._connection

    @property
    def answered(self) -> bool:
        """Whether reply or fail was called."""
        return self._answered

    @property
    def is_abandoned(self) -> bool:
        """Whether the peer has gone: an answer would be dropped."""
        return self._connection.is_gone

    def _settle(self) -> None:
        if self._answered:
            raise RuntimeError(f"lane request {self.op} was already answered")
        self._answered = True


class LaneConnection(asyncio.Protocol):
    """One peer. See the module header."""

    __slots__ = (
        "_decoder", "_flush_scheduled", "_in_chunk", "_in_flight", "_on_gone", "_out", "_out_bytes", "_reading",
        "_server", "_timer", "_transport", "_write_paused",
    )  # fmt: skip

    def __init__(self, server: LaneServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._decoder: FrameDecoder | None = FrameDecoder()  # None once the connection is gone
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._in_flight = 0
        self._in_chunk = self._flush_scheduled = self._write_paused = False
        self._reading = True
        self._timer: asyncio.TimerHandle | None = None  # for a peer that doesn't read
        self._on_gone: Callable[[LaneConnection], None] | None = None

    # -- life ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        keep_tcp_alive(transport)
        self._server.admit(self)  # pushes come from here on: behind the ok
        transport.write(OK)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        self._transport = None
        self._decoder = None
        self._out.clear()
        self._server.forget(self)
        if self._on_gone is not None:
            self._on_gone(self)

    def when_gone(self, tell: Callable[[LaneConnection], None]) -> None:
        """Have it told once that the peer has gone; one function alone, the last that was given."""
        self._on_gone = tell

    @property
    def is_gone(self) -> bool:
        """Whether the peer has gone."""
        return self._transport is None

    def drop(self, reason: str) -> None:
        """Close now, unsent replies included."""
        if self._transport is not None:
            self._server.dropped_count += 1
            logger.info("lane connection dropped: %s", reason)
            self._transport.abort()

    def close(self) -> None:
        """Close once the replies given so far are sent."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- in ------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._decoder is None:
            return
        try:
            self._decoder.feed(data)
        except LaneProtocolError as error:
            self.drop(str(error))
            return
        self._handle_buffered()

    def _handle_buffered(self) -> None:
        """Handle every whole request in the decoder, or as many as the limits allow."""
        decoder, handler, in_flight_max = self._decoder, self._server.handler, self._server.in_flight_count_max
        if decoder is None or self._in_chunk:  # a handler that answers an older request may bring us here again
            return
        self._in_chunk = True
        try:
            for message in decoder.unpacker:
                decoder.partial_bytes = 0
                request_id, op, args = check_request(message)
                self._in_flight += 1
                request = LaneRequest(self, request_id, op, args)
                try:
                    handler(request)
                except Exception as error:  # noqa: BLE001  logged and answered in _handler_failed
                    self._handler_failed(request, error)
                if self._in_flight >= in_flight_max or self._write_paused:
                    self._stop_reading()
                    break
        except DECODE_ERRORS as error:
            self.drop(f"not a lane request: {error}")
        finally:
            self._in_chunk = False
        if self._out:
            self._flush()

    def _handler_failed(self, request: LaneRequest, error: Exception) -> None:
        if request.answered:
            logger.exception("lane handler failed after it had answered %s", request.op)
        elif isinstance(error, RookeryError):
            request.fail(error)
        else:
            logger.exception("lane handler failed on %s", request.op)
            request.fail(RookeryError("internal error; the server's log has the details"))

    # -- out -----------------------------------------------------------------------------------------------------

    def send_reply(self, request_id: int, op: str, body: Any) -> None:
        """Queue a reply; called by LaneRequest."""
        parts = frame_page(request_id, body)
        if parts is not None:
            self._send_answer(parts)
            return
        try:
            packed = self._server.packer.pack((request_id, REPLY_BODY, body))
        except (TypeError, ValueError, OverflowError) as error:
            self._server.packer = make_packer()  # a packer that failed half-way keeps the half
            logger.exception("the reply to %s can't be encoded", op)
            self.send_error(request_id, RookeryError(f"the reply to {op} can't be encoded: {type(error).__name__}"))
            return
        if len(packed) > FRAME_BYTES_MAX:
            message = f"the reply to {op} has {len(packed)} bytes, a lane frame at most {FRAME_BYTES_MAX}; ask for less"
            self.send_error(request_id, TooLargeError(message))
            return
        self._send_answer((packed,))

    def push(self, topic: str, value: Any) -> None:
        """Send [topic, value] to this peer alone, in order with its replies.

        One that would get more than fits a frame is dropped. Raises TypeError, ValueError for what can't be packed.
        """
        packed = pack([PUSH_REQUEST_ID, REPLY_PUSH, [topic, value]])
        if len(packed) > FRAME_BYTES_MAX:
            self.drop(f"a push of {len(packed)} bytes doesn't fit a frame")
        else:
            self.send(packed)

    def send_error(self, request_id: int, error: RookeryError) -> None:
        """Queue a refusal; called by LaneRequest."""
        self._server.refusals[error.code] += 1
        self._send_answer((pack([request_id, REPLY_ERROR, error.to_wire()]),))

    def _send_answer(self, parts: Sequence[bytes]) -> None:
        self._in_flight -= 1
        self.send(*parts)
        if not self._reading:
            self._resume_if_allowed()

    def send(self, *parts: bytes) -> None:
        """Queue bytes for this loop turn's one write."""
        if self._transport is None:
            return
        self._out += parts
        self._out_bytes += sum(map(len, parts))
        if self._out_bytes > WRITE_HIGH_BYTES:
            self._flush()  # lets the transport tell us in time that the peer doesn't read
        elif not self._in_chunk and not self._flush_scheduled:
            self._flush_scheduled = True
            self._server.loop.call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._flush_scheduled = False
        self._flush()

    def _flush(self) -> None:
        out, transport = self._out, self._transport
        if not out or transport is None or transport.is_closing():
            return
        if self._out_bytes <= JOIN_BYTES_MAX:
            transport.write(out[0] if len(out) == 1 else b"".join(out))
        else:
            transport.writelines(out)
        out.clear()
        self._out_bytes = 0
        if self._write_paused and transport.get_write_buffer_size() > WRITE_BYTES_MAX:
            self.drop(f"the peer leaves more than {WRITE_BYTES_MAX} bytes of replies unread")

    # -- back-pressure -------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        self._write_paused = True
        self._stop_reading()
        self._cancel_timer()
        stall_s = self._server.write_stall_timeout_s
        self._timer = self._server.loop.call_later(stall_s, self.drop, "the peer reads nothing")

    def resume_writing(self) -> None:
        self._write_paused = False
        self._cancel_timer()
        self._resume_if_allowed()

    def _stop_reading(self) -> None:
        if self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def _resume_if_allowed(self) -> None:
        """Read on once replies flow and half of the in-flight limit is free; first what the decoder still holds."""
        if self._reading or self._write_paused or self._in_flight > self._server.in_flight_count_max // 2:
            return
        if self._transport is None or self._transport.is_closing():
            return
        self._reading = True
        self._transport.resume_reading()
        self._server.loop.call_soon(self._handle_buffered)
