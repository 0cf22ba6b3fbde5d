"""The client end of the lane: one connection, many requests in flight.

Rules of this file
- Hot path: a request costs one pack and two dictionary steps, and a future if the caller wants one. No task, no
  asyncio.wait_for (it makes a task or a timer per call); deadlines are looked at by one coarse tick, so a timeout comes
  up to TICK_S late.
- A caller always learns whether a lost request can have had an effect: LaneDisconnected.written.
- A LaneClient connects once. When the connection is gone it is `closed` for good; whoever routes makes a new one.

How it works
lane/dial.py connects and shakes hands; this is the protocol of what follows. `send` packs into `_out`, which leaves in
one write per loop turn: one system call, one wake-up of the shard, and no transport that gathers 32 small buffers (20 %
at depth 32). While the server doesn't read (pause_writing) requests stay there, up to WRITE_BYTES_MAX. Ids only grow,
so "ids up to `_written_id` reached the socket" is enough to tell written requests from others. Replies end requests by
id, in any order; a reply that nobody waits for any more (timed out) is dropped. `request` is `send` with a future.

Costs: 21 us a round trip alone, 5.4 us a request pipelined (bench/lane.py).
Not here: which shard to ask, retries (client.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from actors.core.errors import InvalidError, OverloadedError, TooLargeError
from cluster.lane.connection import keep_tcp_alive
from cluster.lane.dial import attach, dial
from cluster.lane.handshake import Address, LaneKeys
from cluster.lane.protocol import (
    DECODE_ERRORS,
    FRAME_BYTES_MAX,
    HANDSHAKE_TIMEOUT_S,
    IN_FLIGHT_COUNT_MAX,
    REPLY_BODY,
    REPLY_ERROR,
    REPLY_PUSH,
    WRITE_BYTES_MAX,
    WRITE_HIGH_BYTES,
    FrameDecoder,
    LaneDisconnected,
    LaneProtocolError,
    LaneTimeout,
    error_from_reply,
    make_packer,
)

logger = logging.getLogger("rookery.lane.client")

__all__ = ["Address", "Done", "LaneClient", "PushCallback", "settle"]

PushCallback = Callable[[str, Any], None]
Done = Callable[[Any, Exception | None], None]  # (body, None) or (None, error)

TICK_S = 0.05  # how exactly deadlines are kept; a scan of 1,024 requests costs 50 us
FAILED_PER_TURN = 2  # requests that are told so in one turn of the loop
_CALLBACK_FAILED = "what was to be done with a lane's reply failed"
STALL_TIMEOUT_S = 5.0  # when a request times out and nothing at all came for so long, the peer is taken for dead


class LaneClient(asyncio.Protocol):
    """A lane to one shard replica.

    address: a Unix socket path or (host, port); keys: the cluster's; actor_name: the replica that is meant, and no
    other is talked to; on_push(topic, value) gets what the server pushes; on_close() is called once when a connected
    lane is gone. `await connect()`, then `await request(...)` from any number of tasks of the same loop.
    """

    def __init__(
        self, address: Address, keys: LaneKeys, actor_name: str, on_push: PushCallback | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.address = address
        self.closed = False
        self.stall_timeout_s = STALL_TIMEOUT_S  # inf: somebody else looks whether the peer lives
        self._keys, self._actor_name = keys, actor_name
        self._on_push, self._on_close = on_push, on_close
        self._loop: asyncio.AbstractEventLoop
        self._transport: asyncio.Transport | None = None
        self._decoder = FrameDecoder()
        self._packer = make_packer()
        self._pending: dict[int, tuple[Done, float]] = {}  # id -> (whom to tell, deadline)
        self._next_id = 0
        self._written_id = 0
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._flush_scheduled = self._write_paused = self._ticking = False
        self._heard_at = 0.0
        self._connected = False
        self._rest = b""  # what came with the end of the handshake

    # -- life ----------------------------------------------------------------------------------------------------

    async def connect(self, timeout_s: float = HANDSHAKE_TIMEOUT_S) -> None:
        """Connect, see to it that the actor that is meant is there, and prove who we are.

        Raises OSError or TimeoutError when the server can't be reached, LaneImpostorError if it isn't that actor,
        LaneRefusedError if it doesn't let us in, LaneProtocolError when it isn't a lane. Afterwards the client is
        closed in all these cases.
        """
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                dialled = await dial(self.address, self._keys, self._actor_name)
                self._rest = dialled.rest
                await attach(dialled, self)
            if self.closed:
                raise LaneProtocolError("the server closed the lane at once")
            self._connected = True
        except BaseException:
            self._shut("the handshake failed")
            raise

    def close(self) -> None:
        """Close now; what is in flight fails with LaneDisconnected."""
        self._shut("this end closed the lane")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        if self.closed:  # given up meanwhile
            transport.abort()
            return
        self._transport = transport
        self._heard_at = self._loop.time()
        transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        keep_tcp_alive(transport)
        rest, self._rest = self._rest, b""
        if rest:
            self.data_received(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "the server closed the lane"
        self._shut(reason if exc is None else f"{reason} ({exc})")

    def _shut(self, reason: str) -> None:
        """End the lane once: fail everything in flight, saying what was written."""
        if self.closed:
            return
        self.closed = True
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._out.clear()
        pending, self._pending = self._pending, {}
        written_id = self._written_id
        self._fail_some(
            deque(
                (done, LaneDisconnected(reason, written=request_id <= written_id))
                for request_id, (done, _) in pending.items()
            )
        )
        if self._connected and self._on_close is not None:
            self._on_close()

    # -- requests ------------------------------------------------------------------------------------------------

    @property
    def in_flight_count(self) -> int:
        """Requests without an answer."""
        return len(self._pending)

    def time(self) -> float:
        """Return the loop's time. Asking for the running loop costs a system call (getpid, CPython 3.11)."""
        return self._loop.time()

    def request(self, op: str, args: list[Any], timeout_s: float = 5.0) -> asyncio.Future[Any]:
        """Send a request; await the returned future for its body. Raises, at once and later, what `send` says."""
        future = self._loop.create_future()
        self.send(op, args, timeout_s, partial(settle, future))
        return future

    def send(self, op: str, args: list[Any], timeout_s: float, done: Done) -> None:
        """Send a request; done(body, None) or done(None, error) is called exactly once, later.

        Raises at once, with nothing sent: LaneDisconnected(written=False) on a closed lane, OverloadedError when
        too much is in flight, TooLargeError and InvalidError for args that can't travel. The error given to `done` is
        the server's RookeryError, LaneTimeout, or LaneDisconnected.
        Cost: 2 us here, and as much for the reply.
        """
        if self.closed or self._transport is None:
            raise LaneDisconnected("the lane is not connected", written=False)
        pending = self._pending
        if len(pending) >= IN_FLIGHT_COUNT_MAX:
            raise OverloadedError(f"{IN_FLIGHT_COUNT_MAX} requests are in flight to this shard", None, 0.1)
        request_id = self._next_id + 1
        packed = self._pack(request_id, op, args)
        self._next_id = request_id
        pending[request_id] = (done, self._loop.time() + timeout_s)
        self._out.append(packed)
        self._out_bytes += len(packed)
        if not self._flush_scheduled and not self._write_paused:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(TICK_S, self._tick)

    def _pack(self, request_id: int, op: str, args: list[Any]) -> bytes:
        try:
            packed: bytes = self._packer.pack((request_id, op, args))
        except (TypeError, ValueError, OverflowError) as error:
            self._packer = make_packer()  # a packer that failed half-way keeps the half
            raise InvalidError(f"the arguments of {op} can't be encoded: {error}") from error
        if len(packed) > FRAME_BYTES_MAX:
            raise TooLargeError(f"the arguments of {op} have {len(packed)} bytes; at most {FRAME_BYTES_MAX} fit")
        if self._out_bytes and self._out_bytes + len(packed) > WRITE_BYTES_MAX:
            raise OverloadedError("the shard does not read its requests", None, 0.5)
        return packed

    def _flush(self) -> None:
        self._flush_scheduled = False
        out, transport = self._out, self._transport
        if not out or transport is None or self._write_paused:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._out_bytes = 0
        self._written_id = self._next_id
        transport.write(data)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._flush()

    def _tick(self) -> None:
        """Fail the requests whose deadline has passed; go on ticking while there are any."""
        pending = self._pending
        if not pending:
            self._ticking = False
            return
        now = self._loop.time()
        late = [request_id for request_id, (_, deadline) in pending.items() if deadline <= now]
        self._fail_some(
            deque((pending.pop(request_id)[0], LaneTimeout("the shard did not answer in time")) for request_id in late)
        )
        if late and now - self._heard_at > self.stall_timeout_s:
            self._shut(f"the shard has sent nothing for {self.stall_timeout_s} s")
        self._loop.call_later(TICK_S, self._tick)

    def _fail_some(self, ended: deque[tuple[Done, Exception]]) -> None:
        """Tell whoever asked that there is no answer, a few in each turn of the loop.

        Who is told goes on in a task, as a rule, for a third of a millisecond: a thousand of them in one turn would be
        a third of a second in which nobody else is served.
        """
        for _ in range(min(FAILED_PER_TURN, len(ended))):
            done, error = ended.popleft()
            _end(done, None, error)
        if ended:
            self._loop.call_soon(self._fail_some, ended)

    # -- replies -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        decoder, pending = self._decoder, self._pending
        try:
            decoder.feed(data)
            for message in decoder.unpacker:
                decoder.partial_bytes = 0
                request_id, kind, body = message
                entry = pending.pop(request_id, None)
                if kind == REPLY_BODY:
                    if entry is not None:
                        try:
                            entry[0](body, None)
                        except Exception:
                            logger.exception(_CALLBACK_FAILED)
                    continue
                try:
                    self._receive_other(entry, kind, body)
                except LaneProtocolError:
                    if entry is not None:
                        pending[request_id] = entry  # it has no answer, and is told so with the others
                    raise
        except DECODE_ERRORS as error:
            logger.warning("lane to %s sent what is not a reply: %s", self.address, error)
            self._shut(f"the server broke the lane protocol: {error}")

    def _receive_other(self, entry: tuple[Done, float] | None, kind: Any, body: Any) -> None:
        """A refusal or a push."""
        if kind == REPLY_ERROR:
            error = error_from_reply(body)
            if entry is not None:
                _end(entry[0], None, error)
        elif kind == REPLY_PUSH:
            if entry is not None or not isinstance(body, list) or len(body) != 2 or not isinstance(body[0], str):
                raise LaneProtocolError("a push must be [topic, value], and answer no request")
            if self._on_push is None:
                return
            try:
                self._on_push(body[0], body[1])
            except Exception:
                logger.exception("the push callback failed on topic %s", body[0])
        else:
            raise LaneProtocolError(f"a reply of unknown kind {kind!r}")


def settle(future: asyncio.Future[Any], body: Any, error: Exception | None) -> None:
    """Settle the future of a request, unless its caller has given up."""
    if future.done():
        return
    if error is None:
        future.set_result(body)
    else:
        future.set_exception(error)


def _end(done: Done, body: Any, error: Exception | None) -> None:
    """Tell whoever asked. What fails there is not the lane's fault, nor that of the requests behind."""
    try:
        done(body, error)
    except Exception:
        logger.exception(_CALLBACK_FAILED)
