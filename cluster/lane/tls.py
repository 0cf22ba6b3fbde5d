"""TLS for lanes between nodes: contexts, and a layer between a socket's bytes and a lane's.

    socket <--> TlsProtocol --(Channel: ssl in memory)--> LaneConnection or LaneClient
                     ^---------------- TlsTransport <---------/

Rules of this file
- TLS 1.3 only, both ends with a certificate of the cluster's authority; the server's must name the actor that is meant.
- It begins when both ends have proved that they hold the cluster's secret: strangers get none of its costs.
- A lane without TLS has none of this in its way.

How it works
The layer is ours and not asyncio's, because the handshake of lane/handshake.py comes first on the same socket. After
it, a server's TlsProtocol goes on with TLS; a client has finished that when it makes its own.

Costs: a handshake 1 to 3 ms of the server's processor; a request some us (DESIGN.md). No session tickets: lanes are
dialled once and stay.
"""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import ssl
import tempfile
from collections.abc import Callable, Iterable
from typing import Any, cast

from cluster.lane.protocol import LaneImpostorError, LaneProtocolError, LaneRefusedError

ASK_BYTES = 64 << 10  # of plaintext at once; a record has 16 KiB


def host_name(actor_name: str) -> str:
    """Return an actor's name as certificates say it: `rookery.shard-00.replica-0`."""
    return actor_name.replace(":", ".")


def server_context(authority: bytes, actor_name: str) -> ssl.SSLContext:
    """Return what a shard serves TLS with. Cost: 5 ms, once a process."""
    from cluster.lane.certificates import Use

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    _fill(context, authority, Use.SERVER, host_name(actor_name))
    return context


@functools.lru_cache(maxsize=2)
def client_context(authority: bytes) -> ssl.SSLContext:
    """Return what a process dials with, always the same. Cost: 5 ms, once a process."""
    from cluster.lane.certificates import Use

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = True
    _fill(context, authority, Use.CLIENT, "client.rookery")
    return context


def _fill(context: ssl.SSLContext, authority: bytes, use: Any, name: str) -> None:
    from cluster.lane.certificates import certificate_of, issue

    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=certificate_of(authority).decode())
    password = secrets.token_bytes(32).hex()  # Python reads certificates from files only: what lies there is of no use
    pem = issue(authority, use, name, password.encode())
    with tempfile.NamedTemporaryFile(prefix="rookery-", suffix=".pem", delete=False) as file:
        file.write(pem)
    try:
        context.load_cert_chain(file.name, password=password)
    finally:
        os.unlink(file.name)


class Channel:
    """One connection's TLS, in memory: bytes of the socket in, the lane's out, and the other way round."""

    __slots__ = ("_in", "_out", "_tls", "begun", "established")

    def __init__(self, context: ssl.SSLContext, actor_name: str = "") -> None:
        """actor_name: whom a client means; empty on the server's side."""
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = host_name(actor_name) if actor_name else None
        self._tls = context.wrap_bio(self._in, self._out, server_side=not actor_name, server_hostname=name)
        self.begun = False  # the other end has said something
        self.established = False

    def start(self) -> None:
        """Begin the handshake, on the client's side."""
        self._shake_hands()

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the socket, return the lane's. There may be something to send afterwards, also on failure.

        Raises LaneProtocolError: LaneImpostorError if the server's certificate isn't the cluster's or of another actor,
        LaneRefusedError if the server doesn't take ours.
        """
        tls, incoming, self.begun = self._tls, self._in, True
        incoming.write(data)
        if not self.established:
            self._shake_hands()
            if not self.established:
                return b""
        parts = []
        try:
            while incoming.pending or tls.pending():
                part = tls.read(ASK_BYTES)
                if not part:
                    raise LaneProtocolError("the peer has ended TLS")
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise LaneRefusedError(f"TLS has failed: {error.reason}") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def send(self, data: bytes) -> bytes:
        """Take the lane's bytes, return the socket's."""
        self._tls.write(data)
        return self._out.read()

    def outgoing(self) -> bytes:
        """Return what TLS itself wants to send."""
        return self._out.read() if self._out.pending else b""

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLCertVerificationError as error:
            raise LaneImpostorError(f"the peer's certificate isn't right: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise LaneProtocolError(f"no TLS: {error.reason}") from error
        self.established = True


class TlsTransport(asyncio.Transport):
    """What a lane takes for its socket: what is written here is encrypted, the rest is the transport's below."""

    def __init__(self, below: asyncio.Transport, channel: Channel) -> None:
        super().__init__()
        self._below, self._channel = below, channel

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._below.write(self._channel.send(cast(bytes, data)))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))  # a record for each part would cost more than the copy

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._below.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def close(self) -> None:
        self._below.close()

    def abort(self) -> None:
        self._below.abort()


class TlsProtocol(asyncio.Protocol):
    """What the event loop takes for the lane: decrypts for the one above, who is told of the connection once TLS holds.

    timeout_s: for TLS to hold; the connection is ended then. on_failure() is called if it never does.
    """

    def __init__(
        self, above: asyncio.Protocol, channel: Channel, timeout_s: float, on_failure: Callable[[], None] | None = None
    ) -> None:
        self._above, self._channel = above, channel
        self._timeout_s, self._on_failure = timeout_s, on_failure
        self._below: asyncio.Transport | None = None
        self._told = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = cast(asyncio.Transport, transport)
        if self._channel.established:
            self._tell()
        else:
            self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._below.abort)

    def abort(self) -> None:
        """End the connection now."""
        if self._below is not None:
            self._below.abort()

    def _tell(self) -> None:
        self._told = True
        if self._timer is not None:
            self._timer.cancel()
        self._above.connection_made(TlsTransport(cast(asyncio.Transport, self._below), self._channel))

    def data_received(self, data: bytes) -> None:
        channel, below = self._channel, self._below
        if below is None:
            return
        try:
            plain = channel.receive(data)
        except LaneProtocolError:
            below.write(channel.outgoing())  # an alert says why
            below.close()
            return
        answer = channel.outgoing()
        if answer:
            below.write(answer)
        if not self._told and channel.established:
            self._tell()
        if plain:
            self._above.data_received(plain)

    def pause_writing(self) -> None:
        if self._told:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        if self._told:
            self._above.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._below = None
        if self._timer is not None:
            self._timer.cancel()
        if self._told:
            self._above.connection_lost(exc)
        elif self._on_failure is not None:
            self._on_failure()
