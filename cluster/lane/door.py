"""A listening socket of a lane server, and the strangers at it: whoever has connected and not yet proved itself.

    accepted --> silent --its hello--> speaking --its proof--> let in: a LaneConnection, with TLS between nodes
                   |                      |
                   `----------------------`--> pushed out, too slow, wrong, gone

Rules of this file
- A stranger is a bare socket: no transport, no task, no timer, no TLS. Whoever only connects costs 20 us, and pushes
  out only those who have said nothing either: a client speaks first, at once.
- Nothing is logged for a stranger: it is counted.
- Each listening socket is a door of its own, so strangers at the TCP port are none of the Unix socket's.

How it works
Two lobbies (lane/lobby.py), of the silent and of the speaking; one look around every so often for those who are too
slow. Of each stranger no more is read than the handshake still needs. Sockets of which there may be thousands a second
are reset when they are dropped, so that the kernel keeps nothing of them.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections import Counter
from typing import TYPE_CHECKING

from cluster.lane.handshake import FAREWELL, Address, Meant, ServerHandshake, refusal
from cluster.lane.lobby import Lobby
from cluster.lane.peers import address_group, is_ours, peer_user
from cluster.lane.protocol import LaneProtocolError

if TYPE_CHECKING:
    import ssl

    from cluster.lane.server import LaneServer

BACKLOG_COUNT = 1024  # connections that the kernel keeps until we accept them; it may keep fewer (somaxconn)
ACCEPT_COUNT_PER_TURN = 8  # 0.2 ms
SILENT_COUNT_MAX = 256  # at a door; a flood of 4,000 a second leaves each 64 ms for its first word
SPEAKING_COUNT_MAX = 256
SILENT_TIMEOUT_S = 2.0  # an honest peer speaks as soon as it is connected
LOOK_S = 0.25  # between looks for those who are too slow
NO_FILES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
NO_FILES_PAUSE_S = 0.1
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time

# Why strangers were turned away, as `figures` counts them.
OTHER_USER, CROWDED, SLOW, GONE, WRONG, FULL = "other_user", "crowded", "slow", "gone", "wrong", "full"
REASONS = (OTHER_USER, CROWDED, SLOW, GONE, WRONG, FULL)
_TO_RESET = frozenset((CROWDED, WRONG))  # those of whom there may be thousands a second


class Stranger:
    """One of them."""

    __slots__ = ("group", "handshake", "sock", "spoke")

    def __init__(self, sock: socket.socket, group: str, handshake: ServerHandshake) -> None:
        self.sock, self.group, self.handshake = sock, group, handshake
        self.spoke = False


class Door:
    """Accepts at one listening socket, and hands those who prove themselves to the server."""

    def __init__(
        self, server: LaneServer, listener: socket.socket, address: Address, tls: ssl.SSLContext | None = None
    ) -> None:
        """address: where clients dial, in the map's words; tls: what those who come in go on with."""
        self.listener = listener
        self.turned_away: Counter[str] = Counter()
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._meant, self._tls = Meant(server.actor_name, address), tls
        self._silent: Lobby[Stranger] = Lobby(server.silent_count_max)
        self._speaking: Lobby[Stranger] = Lobby(server.speaking_count_max)
        self._looking = False
        self._is_unix = listener.family == socket.AF_UNIX
        listener.setblocking(False)
        listener.listen(BACKLOG_COUNT)
        self._loop.add_reader(listener.fileno(), self._accept)

    @property
    def waiting_count(self) -> int:
        """Strangers at the door."""
        return len(self._silent) + len(self._speaking)

    def close(self) -> None:
        """Listen no more, and send all strangers away."""
        if self.listener.fileno() >= 0:
            self._loop.remove_reader(self.listener.fileno())
            self.listener.close()
        for stranger in [*self._silent, *self._speaking]:
            self._drop(stranger)

    # -- coming ----------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(ACCEPT_COUNT_PER_TURN):
            try:
                sock, peer = self.listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in NO_FILES:
                    self._loop.remove_reader(self.listener.fileno())
                    self._loop.call_later(NO_FILES_PAUSE_S, self._accept_again)
                    return
                continue  # it has gone already
            self._receive(sock, peer)

    def _accept_again(self) -> None:
        if self.listener.fileno() >= 0:
            self._loop.add_reader(self.listener.fileno(), self._accept)

    def _receive(self, sock: socket.socket, peer: object) -> None:
        """Take in one more stranger."""
        if self._is_unix and not is_ours(peer_user(sock)):
            self.turned_away[OTHER_USER] += 1
            sock.close()
            return
        sock.setblocking(False)
        group = address_group(peer[0]) if isinstance(peer, tuple) else "unix"
        stranger = Stranger(sock, group, ServerHandshake(self._server.keys.secret, self._meant))
        self._enter(self._silent, stranger)
        if stranger in self._silent:
            self._loop.add_reader(sock.fileno(), self._readable, stranger)
            self._look_soon()

    def _enter(self, lobby: Lobby[Stranger], stranger: Stranger) -> None:
        pushed_out = lobby.add(stranger, stranger.group, self._loop.time())
        if pushed_out is not None:
            self._drop(pushed_out, CROWDED)

    # -- speaking --------------------------------------------------------------------------------------------------

    def _readable(self, stranger: Stranger) -> None:
        handshake = stranger.handshake
        try:
            data = stranger.sock.recv(handshake.missing_count)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(stranger, GONE)
            return
        stranger.spoke = True
        try:
            answer = handshake.receive(data)
        except LaneProtocolError:
            self._drop(stranger, WRONG)
            return
        if answer and not self._say(stranger, answer):
            return
        if handshake.proved:
            self._let_in(stranger)
        elif handshake.greeted and self._silent.remove(stranger):
            self._enter(self._speaking, stranger)

    def _say(self, stranger: Stranger, data: bytes) -> bool:
        """Send something short; a socket on which nothing was sent before has room for it."""
        try:
            if stranger.sock.send(data) == len(data):
                return True
        except OSError:
            pass
        self._drop(stranger, GONE)
        return False

    # -- going -----------------------------------------------------------------------------------------------------

    def _let_in(self, stranger: Stranger) -> None:
        if not self._server.has_room:
            if self._say(stranger, refusal(f"{self._server.connection_count_max} connections are open already")):
                self._drop(stranger, FULL)
            return
        self._forget(stranger)
        self._server.let_in(stranger.sock, self._tls)

    def _drop(self, stranger: Stranger, reason: str = "") -> None:
        """Hang up, and count why."""
        if reason:
            self.turned_away[reason] += 1
        self._forget(stranger)
        if reason in _TO_RESET and not self._is_unix:
            stranger.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        stranger.sock.close()

    def _forget(self, stranger: Stranger) -> None:
        self._loop.remove_reader(stranger.sock.fileno())
        if not self._silent.remove(stranger):
            self._speaking.remove(stranger)

    # -- being too slow --------------------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        now, timeout_s = self._loop.time(), self._server.handshake_timeout_s
        for stranger in self._silent.late(now - min(SILENT_TIMEOUT_S, timeout_s)):
            if not stranger.spoke:
                self._say_farewell(stranger)
            self._drop(stranger, SLOW)
        for stranger in self._speaking.late(now - timeout_s):
            self._drop(stranger, SLOW)
        self._looking = False
        if self.waiting_count:
            self._look_soon()

    def _say_farewell(self, stranger: Stranger) -> None:
        """Tell a client that waits for us to speak first, as those of version 1 do, which version this is."""
        try:
            stranger.sock.send(FAREWELL)
        except OSError:
            return
