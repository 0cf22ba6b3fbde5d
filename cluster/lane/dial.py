"""How a client gets to a lane: connect, see who is there, shake hands; then the socket becomes a lane's.

Rules of this file
- Nothing is sent to a Unix socket at which another user listens.
- With an authority, nothing but TLS follows our proof at TCP: there is no way back to a lane without, whatever the
  server says.
- Until the server has proved itself it gets a nonce from us, and nothing that the secret went into.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.lane.handshake import Address, ClientHandshake, LaneKeys, Meant
from cluster.lane.peers import require_our_user
from cluster.lane.protocol import LaneProtocolError, LaneRefusedError

if TYPE_CHECKING:
    from cluster.lane.tls import Channel

READ_BYTES = 4096
TLS_HANDSHAKE = 0x16  # what the server's first record of TLS begins with


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
        handshake = ClientHandshake(keys.secret, Meant(actor_name, address))
        channel, answer = None, handshake.hello
        while not handshake.accepted:
            if handshake.server_proved and channel is None and not isinstance(address, str) and keys.authority:
                channel, answer = _begin_tls(keys, actor_name, answer)
            if answer:
                await loop.sock_sendall(sock, answer)
            data = await loop.sock_recv(sock, READ_BYTES)
            if not data and handshake.server_proved:
                raise LaneRefusedError("the shard did not accept our proof, or ended")
            if not data:
                raise LaneProtocolError("the server hung up before it had proved itself")
            if channel is None:
                answer = handshake.receive(data)
            elif channel.begun or data[0] == TLS_HANDSHAKE:
                answer = await _receive_tls(loop, sock, channel, handshake, data)
            else:
                handshake.receive(data)  # raises what the server refuses us for, which it says before TLS
                raise LaneProtocolError("the server doesn't go on with TLS")
        return Dialled(sock, channel, handshake.rest)
    except BaseException:
        sock.close()
        raise


async def attach(dialled: Dialled, lane: asyncio.Protocol) -> None:
    """Make the socket the lane's. The socket is closed if that fails."""
    loop, protocol = asyncio.get_running_loop(), lane
    if dialled.channel is not None:
        from cluster.lane.tls import TlsProtocol

        protocol = TlsProtocol(lane, dialled.channel, 0.0)
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


def _begin_tls(keys: LaneKeys, actor_name: str, proof: bytes) -> tuple[Channel, bytes]:
    """Return TLS, and what to send: its beginning behind our proof."""
    from cluster.lane.tls import Channel, client_context

    channel = Channel(client_context(keys.authority), actor_name)
    channel.start()
    return channel, proof + channel.outgoing()


async def _receive_tls(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, channel: Channel, handshake: ClientHandshake, data: bytes
) -> bytes:
    """Take what came over TLS; returns what TLS wants to send."""
    try:
        said = channel.receive(data)
    except LaneProtocolError:
        with contextlib.suppress(OSError):
            await loop.sock_sendall(sock, channel.outgoing())  # an alert says why
        raise
    if said:
        handshake.receive(said)
    return channel.outgoing()
