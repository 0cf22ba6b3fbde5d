"""The lane's bytes: limits, framing and errors that both ends share (docs/lane.md is the law).

Rules of this file
- No sockets and no event loop: what is here can be fuzzed as plain functions.
- Every limit is named here, with its unit and its reason. Both ends use the same numbers.
- Garbage raises LaneProtocolError and nothing else; whoever reads the socket closes the connection.

How it works
    the handshake of lane/handshake.py, then
    client -> [id, op, args] ...              server -> [id, 0, body] | [id, 1, error] | [0, 2, [topic, value]]

msgpack frames itself. Its C Unpacker keeps the parsed part of an unfinished value as Python objects, *outside* the
buffer that max_buffer_size bounds, so a stream of nested arrays would grow for ever; FrameDecoder therefore counts
the bytes since the last whole value too. An array header of 5 bytes makes the Unpacker allocate the whole list at
once, hence ARRAY_COUNT_MAX.

Costs: FrameDecoder.feed 0.2 us a chunk; everything else runs once a connection.
Not here: encryption (lane/tls.py).
"""

from __future__ import annotations

import struct
from typing import Any

import msgpack

from actors.core.errors import OverloadedError, RookeryError, from_wire

FRAME_BYTES_MAX = 8 << 20  # one request or reply; the largest, post_many with 1,000 posts, is about 2 MiB
READ_CHUNK_BYTES = 256 << 10  # uvloop reads at most this much at once, so it can stand behind a whole frame
ARRAY_COUNT_MAX = 4096  # items; the longest array on the lane is register_many's 2,000
MAP_COUNT_MAX = 1024  # entries; the largest map is the answer to `status`
IN_FLIGHT_COUNT_MAX = 1024  # requests a connection; above that the server stops reading and the client refuses
CONNECTION_COUNT_MAX = 256  # authenticated peers a server; one per API worker and some for tools
HANDSHAKE_TIMEOUT_S = 5.0  # an honest peer needs milliseconds
WRITE_HIGH_BYTES = 1 << 20  # unsent replies above which a peer isn't read from any more
WRITE_BYTES_MAX = 32 << 20  # unsent bytes above which a connection is dropped (server) or refused (client)
WRITE_STALL_TIMEOUT_S = 30.0  # a peer that has read nothing for so long is dropped: it holds our memory

RETRY_AFTER_S_MAX = 86_400.0  # an error that says to wait for longer is none of ours

PAGE_BYTES_MIN = 1 << 10  # timeline pages from this size on are sent in parts; below, copying is cheaper
PAGE_BYTES_MAX = FRAME_BYTES_MAX - (1 << 10)
JOIN_BYTES_MAX = 16 << 10  # replies up to this together are joined into one; above, copying costs more than iovecs

REPLY_BODY, REPLY_ERROR, REPLY_PUSH = 0, 1, 2
PUSH_REQUEST_ID = 0


class LaneProtocolError(Exception):
    """The peer sent what docs/lane.md does not allow; the connection is of no more use."""


class LaneRefusedError(LaneProtocolError):
    """The server, which has proved itself, did not let us in: it has too many peers, or doesn't accept our proof."""


class LaneImpostorError(LaneProtocolError):
    """Whoever listens there can't prove that it is the actor that was meant; it was told nothing."""


class LaneDisconnected(OverloadedError):
    """The connection is gone. `written` is False when the request never reached the socket: it surely had no effect."""

    def __init__(self, message: str, written: bool = True) -> None:
        super().__init__(message, None, 1.0)
        self.written = written


class LaneTimeout(OverloadedError):
    """No answer in time. Unlike its base class it promises nothing: the request may still be carried out."""

    def __init__(self, message: str) -> None:
        super().__init__(message, None, 1.0)


class FrameDecoder:
    """Turns a byte stream into msgpack values within bounds.

    Usage: `decoder.feed(data)`, then `for value in decoder.unpacker: decoder.partial_bytes = 0; ...`. Iterating may
    raise any of DECODE_ERRORS. One may stop in the middle and go on later: unread bytes stay buffered.
    """

    __slots__ = ("partial_bytes", "unpacker")

    def __init__(self) -> None:
        self.partial_bytes = 0  # bytes since the last whole value, give or take one chunk
        self.unpacker = msgpack.Unpacker(
            raw=False,
            strict_map_key=False,  # a map key may be an int; unhashable keys are still refused
            read_size=64 << 10,
            max_buffer_size=FRAME_BYTES_MAX + READ_CHUNK_BYTES,
            max_array_len=ARRAY_COUNT_MAX,
            max_map_len=MAP_COUNT_MAX,
            max_ext_len=0,
        )

    def feed(self, data: bytes) -> None:
        """Take in a chunk. Raises LaneProtocolError when the unfinished value exceeds FRAME_BYTES_MAX."""
        self.partial_bytes += len(data)
        if self.partial_bytes > FRAME_BYTES_MAX + READ_CHUNK_BYTES:
            raise LaneProtocolError(f"a value of more than {FRAME_BYTES_MAX} bytes")
        try:
            self.unpacker.feed(data)
        except msgpack.BufferFull as error:
            raise LaneProtocolError(f"more than {FRAME_BYTES_MAX} bytes buffered") from error


# What the Unpacker raises on garbage: bad bytes, bad UTF-8 and limits are ValueErrors, an unhashable key a TypeError.
DECODE_ERRORS = (ValueError, TypeError, msgpack.UnpackException, LaneProtocolError)


def make_packer() -> msgpack.Packer:
    """Return a packer that writes what docs/lane.md asks for."""
    return msgpack.Packer(use_bin_type=True, buf_size=64 << 10)


def pack(value: Any) -> bytes:
    """Return one msgpack value; for everything that isn't hot."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


_PAGE_HEAD = struct.Struct(">BBQBBBI")  # array of 3: uint64 id, 0, array of 3: bin32 of so many bytes ...
_PAGE_TAIL = struct.Struct(">BQBQ")  # ... uint64, uint64


def frame_page(request_id: int, body: Any) -> tuple[bytes, bytes, bytes] | None:
    """Return the reply with a timeline page, `[json: bytes, newest_id, oldest_id]`, as three parts; None for others.

    The page itself isn't copied. Worth it from PAGE_BYTES_MIN on: msgpack would copy a page of 8 KB twice. 0.6 us.
    """
    if type(body) is not list or len(body) != 3:
        return None
    page, newest, oldest = body
    if type(page) is not bytes or not PAGE_BYTES_MIN <= len(page) <= PAGE_BYTES_MAX:
        return None
    try:
        head = _PAGE_HEAD.pack(0x93, 0xCF, request_id, REPLY_BODY, 0x93, 0xC6, len(page))
        return head, page, _PAGE_TAIL.pack(0xCF, newest, 0xCF, oldest)
    except struct.error:  # an id that is none: msgpack says what is wrong with it, if anything
        return None


def check_request(message: Any) -> tuple[int, str, list[Any]]:
    """Return the parts of a request. Raises LaneProtocolError if it isn't `[id > 0, op: str, args: list]`."""
    if type(message) is not list or len(message) != 3:
        raise LaneProtocolError("a request must be [id, op, args]")
    request_id, op, args = message
    if type(request_id) is not int or request_id <= PUSH_REQUEST_ID or type(op) is not str or type(args) is not list:
        raise LaneProtocolError("a request must be [id: uint above 0, op: str, args: list]")
    return request_id, op, args


def error_from_reply(body: Any) -> RookeryError:
    """Return the error a reply of kind 1 describes. Raises LaneProtocolError if it describes none."""
    if not isinstance(body, list) or len(body) != 4 or not isinstance(body[0], str) or not isinstance(body[1], str):
        raise LaneProtocolError("an error reply must be [code, message, field, retry_after_s]")
    _, _, field, retry_after_s = body
    waits = retry_after_s is None or (type(retry_after_s) in (int, float) and 0 <= retry_after_s < RETRY_AFTER_S_MAX)
    if not waits or not (field is None or isinstance(field, str)):
        raise LaneProtocolError("an error reply's field must be text, its retry_after_s a number of seconds, or nil")
    return from_wire(body)
