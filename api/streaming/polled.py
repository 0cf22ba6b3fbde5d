"""Connections without anything of the event loop's: a descriptor, what is unsent, and one poll for all of a worker.

    transport (uvloop's) --adopt--> Polled          the loop's own object is closed, the connection stays
    StreamPoll: one epoll, one reader of the loop --> data_received, eof_received, connection_lost of each protocol

Rules of this file
- A `Polled` does what streams ask of a transport, as asyncio has it: what can't be written waits, and is written before
  the connection is closed; `connection_lost` is called once, and later, never by who wrote.
- A frame is written at once, one call to the system, in the turn in which it is made.
- What can't be taken over (no epoll, no descriptor left, an answer that is still unsent) stays the loop's transport:
  it is let go only when the descriptor is watched here.
- The end of all of them ends each, whatever one of them does.
- EVENTS_MAX connections a turn of the loop: requests have theirs in between.

Costs: 0.2 KB a connection, where uvloop's have 1.6 KB; 1 us a write beside the system's own.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from typing import Any, Final

from api.errors import log_unexpected

READ_BYTES: Final = 64 * 1024
EVENTS_MAX: Final = 128
_HAS_EPOLL: Final = hasattr(select, "epoll")
_NOBODY: Final = asyncio.Protocol()  # what the loop's transport tells of its end


class Polled(asyncio.Transport):
    """See the head of the file."""

    __slots__ = ("_ends", "_fd", "_hears", "_is_closing", "_poll", "_protocol", "_unsent")

    def __init__(self, poll: StreamPoll, fd: int, protocol: asyncio.Protocol, head: bytes) -> None:
        """head: is sent by `send_head`, and all that is written before that, behind it."""
        self._poll, self._fd, self._protocol = poll, fd, protocol
        self._unsent: bytearray | None = bytearray(head)
        self._is_closing = self._ends = False  # closes, says nothing more, once all is sent
        self._hears = True  # the other side may say something yet

    def __del__(self) -> None:
        if self._fd >= 0:  # its loop has ended before it
            os.close(self._fd)

    # -- what a stream calls -------------------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Write, or keep what the system doesn't take now."""
        if self._is_closing or self._ends:
            return
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        if sent < len(data):
            self._unsent = bytearray(memoryview(data)[sent:])
            self._watch(writing=True)

    def send_head(self) -> None:
        """Begin to send."""
        if self._unsent:
            self._watch(writing=True)
            self._send_on()

    def get_write_buffer_size(self) -> int:
        """How much is unsent."""
        return len(self._unsent) if self._unsent else 0

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._is_closing

    def can_write_eof(self) -> bool:
        """It can."""
        return True

    def write_eof(self) -> None:
        """Say that this was all, once it is sent."""
        self._ends = True
        if not self._unsent:
            self._shut()

    def close(self) -> None:
        """Close once all is sent."""
        if self._is_closing:
            return
        if not self._unsent:
            self._lose(None)
            return
        self._is_closing, self._hears = True, False
        self._watch(writing=True)

    def abort(self) -> None:
        """Close now."""
        self._lose(None)

    # -- what the poll calls -------------------------------------------------------------------------------------------

    def look(self, events: int, buffer: bytearray) -> None:
        """Write and read what can be."""
        if events & select.EPOLLOUT and self._unsent:
            self._send_on()
        if self._fd < 0 or not events & ~select.EPOLLOUT:
            return
        if not self._hears:  # nothing is read any more, and the connection is gone
            self._lose(None)
            return
        try:
            count = os.readv(self._fd, (buffer,))
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if count:
            self._protocol.data_received(bytes(memoryview(buffer)[:count]))
        elif not self._protocol.eof_received():
            self.close()

    def _watch(self, writing: bool) -> None:
        try:
            self._poll.watch(self._fd, self._hears, writing)
        except OSError as error:  # nothing more could be sent, nor would its end be seen
            self._lose(error)

    def _send_on(self) -> None:
        if self._unsent is None:  # it has gone
            return
        try:
            sent = os.write(self._fd, self._unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        del self._unsent[:sent]
        if self._unsent:
            return
        self._unsent = None
        if self._is_closing:
            self._lose(None)
            return
        self._watch(writing=False)
        if self._ends:
            self._shut()

    def _shut(self) -> None:
        if self._fd < 0:
            return
        held = socket.socket(fileno=self._fd)
        try:
            held.shutdown(socket.SHUT_WR)
        except OSError as error:  # the other side has gone
            held.detach()
            self._lose(error)
            return
        held.detach()

    def _lose(self, error: Exception | None) -> None:
        """Close now, and tell the protocol soon."""
        fd, self._fd, self._is_closing, self._unsent = self._fd, -1, True, None
        if fd >= 0:
            try:
                self._poll.forget(fd)
            finally:
                os.close(fd)
                self._poll.loop.call_soon(self._protocol.connection_lost, error)


class StreamPoll:
    """See the head of the file. loop: that of all connections, once there has been one."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop
        self._epoll: Any = None
        self._is_closed = False
        self._polled: dict[int, Polled] = {}
        self._buffer = bytearray(READ_BYTES)

    def __len__(self) -> int:
        return len(self._polled)

    def adopt(self, transport: asyncio.Transport, protocol: asyncio.Protocol, head: bytes) -> asyncio.Transport:
        """Return what has a transport's connection from now on: it itself, where it can't be taken over.

        head: what is written there first.
        """
        held = transport.get_extra_info("socket")
        is_idle = not transport.is_closing() and not transport.get_write_buffer_size()
        fd = self._taken_over(held.fileno()) if _HAS_EPOLL and held is not None and is_idle else -1
        if fd < 0:
            transport.write(head)
            return transport
        polled = self._polled[fd] = Polled(self, fd, protocol, head)
        transport.set_protocol(_NOBODY)
        transport.abort()  # closes its own descriptor alone
        return polled

    def _taken_over(self, held: int) -> int:
        """Return a descriptor of our own for a connection, which is watched here; -1 if there is none left for it."""
        if self._is_closed:
            return -1
        fd = -1
        try:
            fd = os.dup(held)
            if self._epoll is None:
                self._epoll, self.loop = select.epoll(), asyncio.get_running_loop()
                self.loop.add_reader(self._epoll.fileno(), self._look)
            self._epoll.register(fd, select.EPOLLIN)
        except OSError:
            if fd >= 0:
                os.close(fd)
            return -1
        return fd

    def watch(self, fd: int, reading: bool, writing: bool) -> None:
        """Be told of what can be read or written."""
        self._epoll.modify(fd, (select.EPOLLIN if reading else 0) | (select.EPOLLOUT if writing else 0))

    def forget(self, fd: int) -> None:
        """A connection is about to be closed."""
        del self._polled[fd]
        self._epoll.unregister(fd)

    def close(self) -> None:
        """Close whatever is open still, and take nothing over any more."""
        self._is_closed = True
        for polled in list(self._polled.values()):
            try:
                polled.abort()
            except Exception as error:  # noqa: BLE001 - a defect of ours: the others are closed, too
                log_unexpected(error, "")
        epoll, self._epoll = self._epoll, None
        if epoll is not None:
            self.loop.remove_reader(epoll.fileno())
            epoll.close()

    def _look(self) -> None:
        for fd, events in self._epoll.poll(0, EVENTS_MAX):
            polled = self._polled.get(fd)
            if polled is None:  # closed by one before it
                continue
            try:
                polled.look(events, self._buffer)
            except Exception as error:  # noqa: BLE001 - a defect of ours: the others go on
                log_unexpected(error, "")
                polled.abort()
