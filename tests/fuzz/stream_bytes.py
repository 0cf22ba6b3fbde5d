"""What clients of streams send, for a row of `entry_points.py`."""

from __future__ import annotations

from contextlib import suppress

from actors.core.errors import RookeryError
from api.streaming import channels, handshake, opening
from api.streaming.cursors import read_cursor
from api.streaming.frames import ClientBytes, FrameError

UPGRADE = [(b"connection", b"upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")]


def as_a_stream(given: str) -> None:
    """What a client says that opens a stream, and what it says over one."""
    raw = given.encode("utf-8", "surrogatepass").replace(b"\r", b" ").replace(b"\n", b" ")
    read_cursor(given)
    opening._NATIVE.fullmatch(b"/" + raw + b"/stream")
    for name in (b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-protocol"):
        lines = [*UPGRADE, (name, raw)]
        for read in (handshake.accept_key, handshake.subprotocol_in, handshake.asks_for_web_socket):
            with suppress(RookeryError):
                read(lines)
    with suppress(RookeryError):
        channels.channel_of("hashtag", {"tag": given})
    with suppress(FrameError):
        data = given.encode("utf-8", "surrogatepass")
        incoming = ClientBytes()
        for at in range(0, len(data), 7):
            list(incoming.feed(data[at : at + 7]))
    with suppress(FrameError):
        list(ClientBytes().feed(b"\x81\xfe\x10\x00" + given.encode("utf-8", "surrogatepass")))
