"""The server end of the lane: listening sockets, the limits on peers, and one synchronous handler for all.

Rules of this file
- Everything runs on the loop thread; another thread answers with `loop.call_soon_threadsafe(request.reply, body)`.
- Strangers can't push out authenticated peers: the two are counted apart, and only the oldest stranger is thrown out.

How it works
LaneServer owns the sockets, the sets of peers and the shared packer; each peer is a LaneConnection
(lane_connection.py), which calls back `admit`, `promote` and `forget`. The Unix socket is bound under a temporary name
and renamed into place, so that a restarted process takes over the path without a moment at which it is missing.

Costs: 21 us a round trip alone, 5.4 us a request pipelined (bench/lane.py; figures in DESIGN.md).
Not here: routing, retries, who may do what.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from typing import Any

from cluster.lane_connection import LaneConnection, LaneRequest
from cluster.lane_protocol import (
    CONNECTION_COUNT_MAX,
    HANDSHAKE_TIMEOUT_S,
    IN_FLIGHT_COUNT_MAX,
    PENDING_CONNECTION_COUNT_MAX,
    PUSH_REQUEST_ID,
    REPLY_PUSH,
    WRITE_STALL_TIMEOUT_S,
    make_packer,
    pack,
)

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

    handler(request) runs on the loop and must not block. An exception out of it is answered with its own code (a
    RookeryError) or with `internal`, logged, and the connection lives on.
    """

    def __init__(
        self,
        handler: Handler,
        secret: bytes,
        *,
        connection_count_max: int = CONNECTION_COUNT_MAX,
        pending_connection_count_max: int = PENDING_CONNECTION_COUNT_MAX,
        in_flight_count_max: int = IN_FLIGHT_COUNT_MAX,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
        write_stall_timeout_s: float = WRITE_STALL_TIMEOUT_S,
    ) -> None:
        self.handler = handler
        self.secret = secret
        self.connection_count_max = connection_count_max
        self.pending_connection_count_max = pending_connection_count_max
        self.in_flight_count_max = in_flight_count_max
        self.handshake_timeout_s = handshake_timeout_s
        self.write_stall_timeout_s = write_stall_timeout_s
        self.packer = make_packer()
        self.dropped_count = 0  # connections closed for misbehaving or being too many
        self.loop: asyncio.AbstractEventLoop
        self._pending: dict[LaneConnection, None] = {}  # oldest first
        self._open: set[LaneConnection] = set()
        self._servers: list[asyncio.Server] = []
        self._unix: list[tuple[str, int]] = []  # (path, inode), so that close() removes only our own socket file

    async def start_unix(self, path: str) -> None:
        """Listen at a path, mode 0600. A socket file left by a dead process is replaced, without a gap.

        Raises ValueError for a path that is too long for a Unix socket, FileExistsError if a plain file is there.
        """
        listener, temporary = bind_unix(path)
        try:
            self.loop = asyncio.get_running_loop()
            server = await self.loop.create_unix_server(lambda: LaneConnection(self), sock=listener)
            os.rename(temporary, path)
        except BaseException:
            listener.close()
            raise
        self._servers.append(server)
        self._unix.append((path, os.stat(path).st_ino))

    async def start_tcp(self, host: str, port: int = 0) -> int:
        """Listen on host:port (0 = any free one) and return the port."""
        self.loop = asyncio.get_running_loop()
        server = await self.loop.create_server(lambda: LaneConnection(self), host, port)
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    def push(self, topic: str, value: Any) -> None:
        """Send [topic, value] to every authenticated peer. One that doesn't read is dropped at WRITE_BYTES_MAX."""
        packed = pack([PUSH_REQUEST_ID, REPLY_PUSH, [topic, value]])
        for connection in list(self._open):  # one that doesn't read is dropped on the way
            connection.send(packed)

    async def close(self) -> None:
        """Stop listening and close every connection; replies already given are sent, unanswered requests are not."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in [*self._open, *self._pending]:
            connection.close()
        for path, inode in self._unix:
            unlink_if_inode(path, inode)
        self._unix.clear()

    @property
    def connection_count(self) -> int:
        """Authenticated connections."""
        return len(self._open)

    # -- called by the connections ---------------------------------------------------------------------------------

    def admit(self, connection: LaneConnection) -> None:
        """Count a new, unauthenticated peer; above the limit the oldest such peer has to go."""
        self._pending[connection] = None
        if len(self._pending) > self.pending_connection_count_max:
            next(iter(self._pending)).drop("newer connections wait to authenticate")

    def promote(self, connection: LaneConnection) -> bool:
        """Count a peer as authenticated; False when there are too many."""
        if len(self._open) >= self.connection_count_max:
            return False
        self._pending.pop(connection, None)
        self._open.add(connection)
        return True

    def forget(self, connection: LaneConnection) -> None:
        """Count a peer no more."""
        self._pending.pop(connection, None)
        self._open.discard(connection)
