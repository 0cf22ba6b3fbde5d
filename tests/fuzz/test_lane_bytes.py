"""Both ends of a lane as plain objects, fed with anything: they drop the connection or go on, and never raise."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import msgpack
from hypothesis import example, given
from hypothesis import strategies as st

from actors.core.errors import RookeryError
from cluster.lane.client import LaneClient
from cluster.lane.connection import LaneConnection
from cluster.lane.handshake import (
    ANSWER_BYTES,
    ANSWER_HEAD,
    HELLO_BYTES,
    HELLO_HEAD,
    OK,
    PROOF_HEAD,
    PROOF_MESSAGE_BYTES,
    ClientHandshake,
    Meant,
    ServerHandshake,
)
from cluster.lane.protocol import (
    ARRAY_COUNT_MAX,
    DECODE_ERRORS,
    FRAME_BYTES_MAX,
    FrameDecoder,
    LaneProtocolError,
    check_request,
    error_from_reply,
    pack,
)
from cluster.lane.server import LaneServer
from cluster.lane.tls import Channel, client_context, server_context
from tests.cluster.conftest import KEYS, NAME, TLS_KEYS
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
        server = LaneServer(lambda request: request.reply(request.op), KEYS, NAME)
        server.loop = loop
        connection, socket = LaneConnection(server), Socket()
        connection.connection_made(socket)  # type: ignore[arg-type]
        assert socket.sent == OK
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


MEANT = Meant(NAME, ("127.0.0.1", 4000))
hellos = st.just(HELLO_HEAD + bytes(32))
proofs = st.just(PROOF_HEAD + bytes(32))


@given(mutated(HELLO_HEAD + bytes(32)) | hellos | st.binary(max_size=80), st.lists(st.integers(0, 20), max_size=4))
@example(HELLO_HEAD + bytes(32), [7])
@example(HELLO_HEAD + bytes(33), [])
def test_a_server_answers_nothing_but_a_hello_and_that_once(message, sizes):
    handshake, answers = ServerHandshake(KEYS.secret, MEANT), b""
    try:
        for piece in filter(None, in_pieces(message, sizes)):
            answers += handshake.receive(piece)
    except LaneProtocolError:
        assert not (message.startswith(HELLO_HEAD) and len(message) == HELLO_BYTES)
    else:
        assert handshake.missing_count > 0
    assert len(answers) in (0, ANSWER_BYTES)
    if answers:
        assert message.startswith(HELLO_HEAD)
    assert not handshake.proved


@given(st.data(), st.lists(st.integers(0, 20), max_size=4))
def test_a_server_lets_nobody_in_without_the_very_proof(data, sizes):
    server, client = ServerHandshake(KEYS.secret, MEANT), ClientHandshake(KEYS.secret, MEANT)
    right = client.receive(server.receive(client.hello))
    message = data.draw(mutated(right) | proofs | st.just(right) | st.binary(max_size=80))
    try:
        for piece in filter(None, in_pieces(message, sizes)):
            assert server.receive(piece) == b""
    except LaneProtocolError:
        assert message != right
        assert not server.proved or len(message) > PROOF_MESSAGE_BYTES  # in, and out again
    else:
        assert server.proved == (message == right)


@given(st.data(), st.lists(st.integers(0, 40), max_size=4))
def test_a_client_gives_its_proof_for_nothing_but_the_servers(data, sizes):
    server, client = ServerHandshake(KEYS.secret, MEANT), ClientHandshake(KEYS.secret, MEANT)
    right = server.receive(client.hello)
    old = pack(["rookery-lane", 1, bytes(32)])
    fake = st.binary(min_size=66, max_size=66).map(lambda end: ANSWER_HEAD + end)
    message = data.draw(mutated(right) | st.just(right) | fake | mutated(old) | st.binary(max_size=120))
    said = b""
    try:
        for piece in filter(None, in_pieces(message, sizes)):
            said += client.receive(piece)
    except LaneProtocolError:
        assert message != right
    assert said == b"" or message[:ANSWER_BYTES] == right
    assert said != b"" or message != right  # what comes with more than it should may be refused before that
    assert not client.accepted or message != right


@given(mutated(OK) | mutated(pack(["refused", "there is no room"])) | values.map(pack) | st.binary(max_size=500))
@example(OK + b"rest")
def test_a_clients_handshake_ends_with_ok_or_an_error(message):
    server, client = ServerHandshake(KEYS.secret, MEANT), ClientHandshake(KEYS.secret, MEANT)
    client.receive(server.receive(client.hello))
    try:
        assert client.receive(message) == b""
    except LaneProtocolError:
        assert not message.startswith(OK)
    assert client.accepted == message.startswith(OK)
    assert client.rest == (message[len(OK) :] if client.accepted else b"")


SERVER_TLS = server_context(TLS_KEYS.authority, NAME)


def first_words() -> bytes:
    """What a client begins TLS with."""
    channel = Channel(client_context(TLS_KEYS.authority), NAME)
    channel.start()
    return channel.outgoing()


@given(mutated(first_words()) | st.binary(max_size=300), st.lists(st.integers(0, 200), max_size=4))
def test_no_bytes_make_tls_raise_anything_else_or_hold_what_is_no_lanes(message, sizes):
    channel = Channel(SERVER_TLS)
    try:
        for piece in filter(None, in_pieces(message, sizes)):
            assert channel.receive(piece) == b""
    except LaneProtocolError:
        channel.outgoing()
    assert not channel.established


replies = st.tuples(st.integers(0, 3), st.integers(0, 3), values).map(lambda parts: pack(list(parts)))


answers_of_a_server = st.lists(replies | st.binary(max_size=40) | values.map(pack), max_size=6).map(b"".join)


@given(answers_of_a_server, st.just(b"") | answers_of_a_server, st.lists(st.integers(0, 30), max_size=4))
@example(b"\x93\x01\x01\xc0", b"", [])  # an error that is none, for a request that waits
@example(b"\x93\x01\x02\x92\xa0\xc0", b"", [])  # a push that answers a request
@example(b"\x93\x01\x07\xc0", b"", [])  # an answer of no kind
def test_a_client_takes_any_bytes_from_a_server_and_settles_what_it_asked_for(data, rest, sizes):
    loop = asyncio.new_event_loop()
    try:
        client, socket, settled = LaneClient("nowhere", KEYS, NAME, lambda topic, value: None), Socket(), []
        client._loop, client._rest = loop, rest
        client.connection_made(socket)  # type: ignore[arg-type]
        for _ in range(0 if client.closed else 3):
            client.send("op", [], 5.0, lambda body, error: settled.append(error))
        asked = client.in_flight_count
        for piece in in_pieces(data, sizes):
            if not client.closed:
                client.data_received(piece)
        client.close()
        for _ in range(asked):  # the last are told so in later turns
            loop.run_until_complete(asyncio.sleep(0))
        assert len(settled) == asked
        assert all(error is None or isinstance(error, RookeryError) for error in settled)
    finally:
        loop.close()


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
