"""How a client gets to a lane: connect, see who is there, shake hands; then the socket becomes a lane's.

Rules of this file
- Nothing is sent to a Unix socket at which another user listens.
- With an authority, TCP is TLS: there is no way back to a lane without, whatever the server says.
- Until the server has proved itself it gets a nonce from us, and nothing that the secret went into.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.lane_handshake import Address, ClientHandshake, LaneKeys, Meant
from cluster.lane_peers import require_our_user
from cluster.lane_protocol import LaneProtocolError, LaneRefusedError

if TYPE_CHECKING:
    from cluster.lane_tls import Channel

READ_BYTES = 4096


@dataclass(slots=True)
class Dialled:
    """A socket at whose other end is whom we meant. rest: what it has said since."""

    sock: socket.socket
    channel: Channel | None
    rest: bytes


async def dial(address: Address, keys: LaneKeys, actor_name: str) -> Dialled:
    """Connect and shake hands. Raises what LaneClient.connect does; the socket is closed then."""
    loop = asyncio.get_running_loop()
    sock = await _connect(loop, address)
    try:
        channel = None
        if not isinstance(address, str) and keys.authority:
            channel = await _secure(loop, sock, keys, actor_name)
        digest = b"" if channel is None else channel.peer_digest()
        handshake = ClientHandshake(keys.secret, Meant(actor_name, address, digest))
        answer = handshake.hello
        while True:
            if answer:
                await loop.sock_sendall(sock, answer if channel is None else channel.send(answer))
            said = await _hear(loop, sock, channel, handshake.server_proved)
            answer = handshake.receive(said)
            if handshake.accepted:
                return Dialled(sock, channel, handshake.rest)
    except BaseException:
        sock.close()
        raise


async def attach(dialled: Dialled, lane: asyncio.Protocol) -> None:
    """Make the socket the lane's. The socket is closed if that fails."""
    loop, protocol = asyncio.get_running_loop(), lane
    if dialled.channel is not None:
        from cluster.lane_tls import TlsProtocol

        protocol = TlsProtocol(lane, dialled.channel)
    try:
        if dialled.sock.family == socket.AF_UNIX:
            await loop.create_unix_connection(lambda: protocol, sock=dialled.sock)
        else:
            await loop.create_connection(lambda: protocol, sock=dialled.sock)
    except BaseException:
        dialled.sock.close()
        raise


async def _connect(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    """Return a connected socket. Raises OSError, LaneImpostorError if another user listens."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(address)  # at once, or never
            require_our_user(sock, address)
        except BaseException:
            sock.close()
            raise
        return sock
    failure: OSError = ConnectionError(f"{address[0]} has no address")
    for family, kind, number, _, found in await loop.getaddrinfo(*address, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, number)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, found)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _secure(loop: asyncio.AbstractEventLoop, sock: socket.socket, keys: LaneKeys, actor_name: str) -> Channel:
    """Return TLS with the actor that is meant. Raises LaneImpostorError if it is another's."""
    from cluster.lane_tls import Channel, client_context

    channel = Channel(client_context(keys.authority), actor_name)
    channel.start()
    await loop.sock_sendall(sock, channel.outgoing())
    while not channel.established:
        data = await loop.sock_recv(sock, READ_BYTES)
        if not data:
            raise LaneProtocolError("the server hung up in the middle of TLS")
        try:
            channel.receive(data)
        finally:
            answer = channel.outgoing()
            if answer:
                with contextlib.suppress(OSError):  # an alert, maybe; what is wrong shows when we read
                    await loop.sock_sendall(sock, answer)
    return channel


async def _hear(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, channel: Channel | None, server_proved: bool
) -> bytes:
    """Return the next of what the lane's server says."""
    while True:
        data = await loop.sock_recv(sock, READ_BYTES)
        if not data and server_proved:
            raise LaneRefusedError("the shard did not accept our proof, or ended")
        if not data:
            raise LaneProtocolError("the server hung up before it had proved itself")
        said = data if channel is None else channel.receive(data)
        if said:
            return said
