"""One open stream: a connection that was HTTP and is now a protocol of our own, of either kind.

Rules of this file
- uvicorn's objects are gone by now, its time limits, and the loop's transport (`polled.py`): a stream is open for as
  long as both sides want it.
- A client is told why it is cut off, if it reads: a close frame, or a comment. It has LINGER_S to do so.
- What it hasn't read is bounded (`wheel.py`); the system's own buffer for it, too (SNDBUF_BYTES), and a peer that
  answers no packet any more is given up after USER_TIMEOUT_MS: else a network that went away would be written to for a
  quarter of an hour.
- When it ends, whichever way, its listeners are gone from the hub, and its place is free.

Cost: 8 to 12 us a write, nearly all of it the system's.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Final

from websockets.frames import CloseCode

from api.streaming.channels import StreamChannel
from api.streaming.events import Event
from api.streaming.polled import Polled
from api.streaming.subscription import Subscription
from api.streaming.wheel import UNREAD_BYTES_LAST, UNREAD_BYTES_MAX

if TYPE_CHECKING:
    from api.streaming.rendering import Rendering, StreamViewer
    from api.streaming.streams import Streams

LINGER_S: Final = 2.0
SNDBUF_BYTES: Final = 128 * 1024
USER_TIMEOUT_MS: Final = 60_000
SLOW: Final = "too slow: more than 256 KiB are unread"
REVOKED: Final = "the access token is not valid any more"
STOPPING: Final = "stopping"


class StreamConnection(asyncio.Protocol):
    """See the head of the file."""

    __slots__ = (
        "_transport", "is_closing", "owner", "rendering", "scopes", "secret_hash", "slot", "sort", "streams", "viewer",
    )  # fmt: skip

    def __init__(
        self, streams: Streams, sort: str, viewer: StreamViewer, scopes: int, secret_hash: bytes, rendering: Rendering
    ) -> None:
        """secret_hash: of its token, b"" for none."""
        self.streams, self.sort, self.viewer, self.scopes = streams, sort, viewer, scopes
        self.secret_hash, self.rendering = secret_hash, rendering
        self.owner: Hashable = None  # what it counts for
        self.slot, self.is_closing = 0, False
        self._transport: asyncio.Transport

    def begin(self, transport: asyncio.Transport, head: bytes) -> None:
        """Have a connection from now on. head: of the answer."""
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SNDBUF_BYTES)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        self._transport = self.streams.poll.adopt(transport, self, head)
        self.streams.enter(self)

    def send_head(self) -> None:
        """Have the client know that its stream is open: whoever knows it is told of what happens from then on."""
        if isinstance(self._transport, Polled):  # another one writes when this turn of the loop ends
            self._transport.send_head()

    # -- frames --------------------------------------------------------------------------------------------------------

    def frame_key(self, channel: StreamChannel) -> Hashable:
        """Return what names the frames that are the same as this one's, but for the cursor."""
        raise NotImplementedError

    def frame(self, channel: StreamChannel, event: str, payload: bytes, cursor: str) -> bytes:
        """Return an event as it is sent here."""
        raise NotImplementedError

    def shared_frame(self, channel: StreamChannel, event: Event, payload: bytes, cursor: str) -> bytes:
        """As `frame`, of an event whose payload others are shown, too."""
        return self.frame(channel, event.kind, payload, cursor)

    def subscriptions(self) -> Iterable[Subscription]:
        """Return what is heard here."""
        raise NotImplementedError

    def send(self, frame: bytes) -> None:
        """Write a frame, unless this connection is about to end."""
        if self.is_closing:
            return
        transport = self._transport
        transport.write(frame)
        self.streams.places.note_frame(len(frame))
        unread = transport.get_write_buffer_size()
        if unread > UNREAD_BYTES_MAX:
            if unread > UNREAD_BYTES_LAST:
                self.cut_off()
            else:
                self.streams.wheel.note_slow(self)

    def unread_bytes(self) -> int:
        """How much the client hasn't taken yet."""
        return self._transport.get_write_buffer_size()

    # -- its end -------------------------------------------------------------------------------------------------------

    def revoked(self, secret_hash: bytes | None) -> None:
        """A token of the account is void; None: some are, or may be."""
        if secret_hash is None:
            self.streams.recheck(self)
        elif secret_hash == self.secret_hash:
            self.cut("revoked", CloseCode.POLICY_VIOLATION, REVOKED)

    def cut_off(self) -> None:
        """Close: the client doesn't read."""
        self.cut("slow", CloseCode.POLICY_VIOLATION, SLOW)

    def stop(self) -> None:
        """Close at once: this worker ends. Clients come back, to others."""
        self.cut("stopping", CloseCode.GOING_AWAY, STOPPING)

    def cut(self, why: str, code: int, reason: str) -> None:
        """Close with a reason. why: of `places.CUT_REASONS`."""
        if self.is_closing:
            return
        self.streams.places.cut_by_reason[why] += 1
        self.close_with(self.farewell(code, reason))

    def farewell(self, code: int, reason: str) -> bytes:
        """Return the last that is sent."""
        raise NotImplementedError

    def close_with(self, last: bytes) -> None:
        """Write what is the last, and close when the client has read it, or doesn't."""
        self.is_closing = True
        self._end_listening()
        transport = self._transport
        if not transport.is_closing():
            transport.write(last)
            if transport.can_write_eof():  # a close would reset what is still to be read, if the client sends meanwhile
                transport.write_eof()
        self._abort_soon()

    def _abort_soon(self) -> None:
        """Close in any case after LINGER_S: a client that reads nothing any more would keep its place for ever."""
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)

    def _end_listening(self) -> None:
        for subscription in self.subscriptions():
            subscription.end()

    def eof_received(self) -> bool | None:
        """The client has said all: it hears nothing any more, either, but for what was written before."""
        self.is_closing = True
        self._end_listening()
        if self._transport.get_write_buffer_size():
            self._abort_soon()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self.is_closing = True
        self._end_listening()
        self.streams.leave(self)

    # -- what kinds of streams differ in -------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Something has come from the client."""
        raise NotImplementedError

    def beat(self) -> None:
        """Send a heartbeat."""
        raise NotImplementedError

    def show_cursor(self) -> bool:
        """Tell the client where it is, if that is known; returns whether it needn't be asked again."""
        raise NotImplementedError
