"""Both ends of a lane as plain objects, fed with anything: they drop the connection or go on, and never raise."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import msgpack
from hypothesis import example, given
from hypothesis import strategies as st

from actors.core.errors import RookeryError
from cluster.lane_client import LaneClient
from cluster.lane_connection import LaneConnection
from cluster.lane_protocol import (
    ARRAY_COUNT_MAX,
    DECODE_ERRORS,
    FRAME_BYTES_MAX,
    FrameDecoder,
    LaneProtocolError,
    auth_message,
    check_request,
    error_from_reply,
    greeting,
    is_authentic,
    nonce_of_greeting,
    pack,
)
from cluster.lane_server import LaneServer
from tests.cluster.conftest import SECRET
from tests.fuzz.mutations import mutated, peak_bytes

# Python objects are larger than their msgpack: an empty list or map of one byte takes 64 and a place of 8.
BYTES_PER_BYTE = 100
# An array's header makes room for all its items at once, and msgpack goes 1,024 deep.
UNFINISHED_BYTES = 1_024 * ARRAY_COUNT_MAX * 8 + (2 << 20)

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8)
keys = st.text(max_size=3) | st.integers(0, 9)
values = st.recursive(
    scalars | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=12,
)
requests = st.tuples(st.integers(0, 2**64 - 1), st.text(max_size=5), st.lists(values, max_size=4)).map(list)
streams = st.lists(st.one_of(requests.map(pack), values.map(pack), st.binary(max_size=60)), max_size=6).map(b"".join)
headers = st.sampled_from(
    [b"\xdc\x10\x00", b"\xdc\x0f\xff", b"\xdd\x00\x00\x10\x00", b"\xde\x04\x00", b"\x90", b"\x80", b"\x91", b"\x9f",
     b"\xc6\x00\x7f\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc1", b"\xd6", b"\xc7\xff", b"\xc0" * 50, b"\xa5abcde"]
)  # fmt: skip


class Socket:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.sent = b""
        self.aborted = False

    def set_write_buffer_limits(self, high: int) -> None:
        assert high > 0

    def get_extra_info(self, name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: bytes) -> None:
        self.sent += data

    def writelines(self, parts: list[bytes]) -> None:
        self.sent += b"".join(parts)

    def pause_reading(self) -> None:
        assert not self.aborted

    resume_reading = pause_reading

    def abort(self) -> None:
        self.aborted = True


def in_pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut bytes at some places."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def decode_all(data: bytes) -> list[Any]:
    """Decode as a connection does; returns the values before what is no value."""
    decoder, found = FrameDecoder(), []
    try:
        decoder.feed(data)
        for message in decoder.unpacker:
            decoder.partial_bytes = 0
            found.append(message)
    except DECODE_ERRORS:
        return found
    return found


@given(st.lists(headers | st.binary(max_size=8), max_size=200).map(b"".join) | streams)
def test_a_decoder_takes_memory_by_what_it_was_sent_and_not_by_what_that_claims(data):
    assert peak_bytes(lambda: decode_all(data)) < BYTES_PER_BYTE * len(data) + UNFINISHED_BYTES


def test_the_worst_that_arrays_can_reserve_is_within_the_bound():
    data = b"\xdc\x10\x00" * 100_000
    assert peak_bytes(lambda: decode_all(data)) < BYTES_PER_BYTE * len(data) + UNFINISHED_BYTES


def test_the_smallest_values_take_no_more_than_was_said():
    data = b"\xdc\x01\x00" + (b"\xdc\x10\x00" + b"\x80" * 4_096) * 256  # a million empty maps
    assert len(data) < FRAME_BYTES_MAX
    assert peak_bytes(lambda: decode_all(data)) < BYTES_PER_BYTE * len(data)


@given(streams, st.lists(st.integers(0, 50), max_size=8))
def test_a_server_answers_the_requests_before_what_is_none_and_then_hangs_up(data, sizes):
    loop = asyncio.new_event_loop()
    try:
        server = LaneServer(lambda request: request.reply(request.op), SECRET)
        server.loop = loop
        connection, socket = LaneConnection(server), Socket()
        connection.connection_made(socket)  # type: ignore[arg-type]
        connection.data_received(auth_message(SECRET, connection._nonce))
        socket.sent = b""
        for piece in in_pieces(data, sizes):
            if not socket.aborted:
                connection.data_received(piece)
        answers = list(msgpack.Unpacker(io.BytesIO(socket.sent), raw=False))
        expected = []
        for message in decode_all(data):
            try:
                request_id, op, _ = check_request(message)
            except LaneProtocolError:
                break
            expected.append([request_id, 0, op])
        assert answers == (expected[: len(answers)] if socket.aborted else expected)
        connection.connection_lost(None)
    finally:
        loop.close()


@given(mutated(auth_message(SECRET, bytes(32))) | st.binary(max_size=80), st.lists(st.integers(0, 20), max_size=4))
@example(auth_message(SECRET, bytes(32)), [7])
@example(auth_message(SECRET, bytes(32)) + b"\xc1", [40])  # in, and out again
@example(auth_message(SECRET, bytes(32)) + b"\xc1", [])
def test_a_server_lets_nobody_in_without_the_very_proof(message, sizes):
    loop = asyncio.new_event_loop()
    try:
        server = LaneServer(lambda request: request.reply(None), SECRET)
        server.loop = loop
        connection, socket = LaneConnection(server), Socket()
        connection.connection_made(socket)  # type: ignore[arg-type]
        connection._nonce = bytes(32)
        for piece in in_pieces(message, sizes):
            if not socket.aborted:
                connection.data_received(piece)
        if socket.aborted:
            connection.connection_lost(None)  # as a transport tells it
        right = message[: len(auth_message(SECRET, bytes(32)))] == auth_message(SECRET, bytes(32))
        assert server.connection_count == (right and not socket.aborted)
        assert right or not is_authentic(message, SECRET, bytes(32))
    finally:
        loop.close()


replies = st.tuples(st.integers(0, 3), st.integers(0, 3), values).map(lambda parts: pack(list(parts)))


answers_of_a_server = st.lists(replies | st.binary(max_size=40) | values.map(pack), max_size=6).map(b"".join)


@given(answers_of_a_server, st.booleans(), st.lists(st.integers(0, 30), max_size=4))
@example(b"\x93\x01\x01\xc0", True, [])  # an error that is none, for a request that waits
@example(b"\x93\x01\x02\x92\xa0\xc0", True, [])  # a push that answers a request
@example(b"\x93\x01\x07\xc0", True, [])  # an answer of no kind
def test_a_client_takes_any_bytes_from_a_server_and_settles_what_it_asked_for(data, greeted, sizes):
    loop = asyncio.new_event_loop()
    try:
        client, socket, settled = LaneClient("nowhere", SECRET, lambda topic, value: None), Socket(), []
        client._loop, client._greeted = loop, loop.create_future()
        client.connection_made(socket)  # type: ignore[arg-type]
        if greeted:
            client.data_received(greeting(bytes(32)) + pack(["ok"]))
            for _ in range(3):
                client.send("op", [], 5.0, lambda body, error: settled.append(error))
        for piece in in_pieces(data, sizes):
            if not client.closed:
                client.data_received(piece)
        client.close()
        assert len(settled) == (3 if greeted else 0)
        assert all(error is None or isinstance(error, RookeryError) for error in settled)
        if not greeted:
            assert client._greeted.done()
            client._greeted.exception()
    finally:
        loop.close()


@given(values | mutated(pack(["rookery-lane", 1, bytes(32)])).map(lambda data: (decode_all(data) or [None])[0]))
def test_a_greeting_gives_a_nonce_or_is_none(value):
    try:
        assert len(nonce_of_greeting(value)) == 32
    except LaneProtocolError:
        return


WIRE = ["unavailable", "full", None, 1.0]


@given(
    values | st.tuples(st.integers(0, 3), values).map(lambda c: [c[1] if i == c[0] else v for i, v in enumerate(WIRE)])
)
def test_an_error_from_the_wire_is_one_that_can_be_shown_or_is_refused(body):
    try:
        error = error_from_reply(body)
    except LaneProtocolError:
        return
    assert isinstance(error.message, str)
    assert error.field is None or isinstance(error.field, str)
    assert error.retry_after_s is None or 0 <= error.retry_after_s < float("inf")
