"""The server end of the lane: listening sockets, the limits on peers, and one synchronous handler for all.

Rules of this file
- Everything runs on the loop thread; another thread answers with `loop.call_soon_threadsafe(request.reply, body)`.
- Strangers are at a door (lane/door.py) and can't push out those who have been let in: the two are counted apart.

How it works
LaneServer owns the doors, one for each listening socket, the set of peers and the shared packer; each peer is a
LaneConnection (lane/connection.py), which calls back `admit` and `forget`. The Unix socket is bound under a temporary
name and renamed into place, so that a restarted process takes over the path without a moment at which it is missing.

Costs: 21 us a round trip alone, 5.4 us a request pipelined (bench/lane.py; figures in DESIGN.md).
Not here: routing, retries, who may do what.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import stat
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cluster.lane.connection import LaneConnection, LaneRequest
from cluster.lane.door import REASONS, SILENT_COUNT_MAX, SPEAKING_COUNT_MAX, Door
from cluster.lane.handshake import LaneKeys
from cluster.lane.protocol import (
    CONNECTION_COUNT_MAX,
    HANDSHAKE_TIMEOUT_S,
    IN_FLIGHT_COUNT_MAX,
    PUSH_REQUEST_ID,
    REPLY_PUSH,
    WRITE_STALL_TIMEOUT_S,
    make_packer,
    pack,
)

if TYPE_CHECKING:
    import ssl

    from cluster.lane.tls import TlsProtocol

__all__ = ["Handler", "LaneRequest", "LaneServer"]

Handler = Callable[[LaneRequest], None]
UNIX_PATH_BYTES_MAX = 100  # Linux allows 107; the temporary name that we rename from is a little longer


def bind_unix(path: str) -> tuple[socket.socket, str]:
    """Return a listening-to-be socket, mode 0600, and the temporary name it is bound to; the caller renames it to path.

    Raises ValueError for a path that is too long for a Unix socket, FileExistsError if a plain file is there.
    """
    if len(os.fsencode(path)) > UNIX_PATH_BYTES_MAX:
        raise ValueError(f"socket path {path!r} is longer than {UNIX_PATH_BYTES_MAX} bytes; shorten the directory")
    if os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise FileExistsError(f"{path} exists and is not a socket")
    temporary = f"{path}.{os.getpid() % 100000}"
    unlink_if_inode(temporary, None)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(temporary)
        os.chmod(temporary, 0o600)
    except BaseException:
        listener.close()
        raise
    return listener, temporary


def unlink_if_inode(path: str, inode: int | None) -> None:
    """Remove a file if it is there and is the one meant; inode None: whichever it is."""
    try:
        if inode is None or os.lstat(path).st_ino == inode:
            os.unlink(path)
    except FileNotFoundError:
        return


class LaneServer:
    """Accepts lane connections on a Unix socket, a TCP port or both, and gives each request to `handler`.

    keys: of the cluster; actor_name: whom clients mean when they dial.
    handler(request) runs on the loop and must not block. An exception out of it is answered with its own code (a
    RookeryError) or with `internal`, logged, and the connection lives on.
    """

    def __init__(
        self,
        handler: Handler,
        keys: LaneKeys,
        actor_name: str,
        *,
        connection_count_max: int = CONNECTION_COUNT_MAX,
        silent_count_max: int = SILENT_COUNT_MAX,
        speaking_count_max: int = SPEAKING_COUNT_MAX,
        in_flight_count_max: int = IN_FLIGHT_COUNT_MAX,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
        write_stall_timeout_s: float = WRITE_STALL_TIMEOUT_S,
        refusals: Counter[str] | None = None,
    ) -> None:
        """refusals: where requests that are answered with an error are counted, by its code."""
        self.handler = handler
        self.keys, self.actor_name = keys, actor_name
        self.connection_count_max = connection_count_max
        self.silent_count_max, self.speaking_count_max = silent_count_max, speaking_count_max
        self.in_flight_count_max = in_flight_count_max
        self.handshake_timeout_s = handshake_timeout_s
        self.write_stall_timeout_s = write_stall_timeout_s
        self.packer = make_packer()
        self.refusals: Counter[str] = Counter() if refusals is None else refusals
        self.dropped_count = 0  # peers that were let in and then misbehaved
        self.loop: asyncio.AbstractEventLoop
        self._open: set[LaneConnection] = set()
        self._coming: dict[LaneConnection, tuple[asyncio.Task[None], TlsProtocol | None]] = {}  # let in, not open yet
        self._doors: list[Door] = []
        self._unix: list[tuple[str, int]] = []  # (path, inode), so that close() removes only our own socket file

    async def start_unix(self, path: str) -> None:
        """Listen at a path, mode 0600. A socket file left by a dead process is replaced, without a gap.

        Raises ValueError for a path that is too long for a Unix socket, FileExistsError if a plain file is there.
        """
        listener, temporary = bind_unix(path)
        self.loop = asyncio.get_running_loop()
        door = Door(self, listener, path)
        self._doors.append(door)
        try:
            os.rename(temporary, path)
        except OSError:
            door.close()
            raise
        self._unix.append((path, os.stat(path).st_ino))

    async def start_tcp(self, host: str, port: int = 0, known_as: str = "") -> int:
        """Listen on host:port (0 = any free one) and return the port; with TLS if the keys have an authority.

        known_as: the host that clients dial, if it isn't the one to listen on.
        """
        self.loop = asyncio.get_running_loop()
        tls = None
        if self.keys.authority:
            from cluster.lane.tls import server_context

            tls = server_context(self.keys.authority, self.actor_name)
        ((family, _, _, _, address), *_) = await self.loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.create_server(address[:2], family=family)
        bound: int = listener.getsockname()[1]
        self._doors.append(Door(self, listener, (known_as or host, bound), tls))
        return bound

    def push(self, topic: str, value: Any) -> None:
        """Send [topic, value] to every authenticated peer. One that doesn't read is dropped at WRITE_BYTES_MAX."""
        packed = pack([PUSH_REQUEST_ID, REPLY_PUSH, [topic, value]])
        for connection in list(self._open):  # one that doesn't read is dropped on the way
            connection.send(packed)

    async def close(self) -> None:
        """Stop listening and close every connection; replies already given are sent, unanswered requests are not."""
        for door in self._doors:
            door.close()
        for task, protocol in list(self._coming.values()):
            task.cancel()
            if protocol is not None:
                protocol.abort()
        for connection in list(self._open):
            connection.close()
        for path, inode in self._unix:
            unlink_if_inode(path, inode)
        self._unix.clear()

    @property
    def connection_count(self) -> int:
        """Authenticated connections."""
        return len(self._open)

    def strangers(self) -> dict[str, int]:
        """Return how many are at the doors now (`waiting`), and how many were turned away so far, by reason."""
        counts: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
        for door in self._doors:
            counts.update(door.turned_away)
        return {"waiting": sum(door.waiting_count for door in self._doors), **counts}

    @property
    def turned_away_count(self) -> int:
        """Strangers turned away since the start."""
        return sum(door.turned_away.total() for door in self._doors)

    # -- called by the doors and the connections -------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether one more may come in."""
        return len(self._open) + len(self._coming) < self.connection_count_max

    def let_in(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Make a connection of a socket whose peer has proved itself; it calls `admit` when it is one."""
        connection, secured = LaneConnection(self), None
        if tls is not None:
            from cluster.lane.tls import Channel, TlsProtocol

            forget = functools.partial(self.forget, connection)
            secured = TlsProtocol(connection, Channel(tls), self.handshake_timeout_s, forget)
        task = self.loop.create_task(self._take_over(sock, connection, secured))
        self._coming[connection] = task, secured

    async def _take_over(self, sock: socket.socket, connection: LaneConnection, secured: TlsProtocol | None) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: secured or connection, sock)
        except BaseException as error:
            self.forget(connection)
            sock.close()
            if not isinstance(error, OSError):  # it has gone already
                raise

    def admit(self, connection: LaneConnection) -> None:
        """Count a peer."""
        self._coming.pop(connection, None)
        self._open.add(connection)

    def forget(self, connection: LaneConnection) -> None:
        """Count a peer no more."""
        self._coming.pop(connection, None)
        self._open.discard(connection)
