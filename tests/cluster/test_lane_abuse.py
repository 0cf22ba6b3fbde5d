"""The lane and dishonest peers: strangers, garbage, floods, and peers that don't read."""

from __future__ import annotations

import asyncio
import random
import socket

import msgpack
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.lane.client import LaneClient
from cluster.lane.handshake import (
    ANSWER_BYTES,
    FAREWELL,
    HELLO_HEAD,
    OK,
    PROOF_HEAD,
    PROOF_MESSAGE_BYTES,
    ClientHandshake,
    Meant,
    ServerHandshake,
)
from cluster.lane.protocol import (
    DECODE_ERRORS,
    FRAME_BYTES_MAX,
    READ_CHUNK_BYTES,
    FrameDecoder,
    LaneProtocolError,
    LaneRefusedError,
    check_request,
)
from cluster.lane.server import LaneServer
from tests.cluster.conftest import KEYS, NAME, echo, until


async def dial(path):
    """Connect and say hello; return (reader, writer, the message that would let us in)."""
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 26)
    handshake = ClientHandshake(KEYS.secret, Meant(NAME, path))
    writer.write(handshake.hello)
    return reader, writer, handshake.receive(await reader.readexactly(ANSWER_BYTES))


async def dial_authenticated(path):
    reader, writer, proof = await dial(path)
    writer.write(proof)
    assert await reader.readexactly(len(OK)) == OK
    return reader, writer


async def answer_honestly(reader, writer):
    """The server's part of a handshake, over TCP."""
    handshake = ServerHandshake(KEYS.secret, Meant(NAME, writer.get_extra_info("sockname")))
    while not handshake.proved:
        writer.write(handshake.receive(await reader.read(1000)))
    writer.write(OK)


async def is_closed(reader) -> bool:
    """Whether the server hangs up; b'' or a reset both mean so."""
    try:
        async with asyncio.timeout(60):
            while await reader.read(1 << 16):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.fixture
async def served(make_server, tmp_path):
    server = make_server(handshake_timeout_s=0.2)
    path = str(tmp_path / "lane.sock")
    await server.start_unix(path)
    return server, path


async def test_a_stranger_who_says_nothing_is_sent_away_and_told_the_version(served, caplog):
    server, path = served
    reader, _ = await asyncio.open_unix_connection(path)
    assert await reader.read() == FAREWELL
    assert server.strangers() == {**dict.fromkeys(server.strangers(), 0), "slow": 1}
    assert not caplog.records


async def test_a_stranger_who_stops_in_the_middle_is_sent_away(served):
    server, path = served
    reader, writer, _ = await dial(path)
    assert await is_closed(reader)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(HELLO_HEAD)
    assert await reader.read() == b""
    assert (server.strangers()["slow"], server.strangers()["waiting"]) == (2, 0)


@pytest.mark.parametrize(
    "message", [b"GET / HTTP/1.1\r\n", b"\xc1", b"\x93\xacrookery-lane\x01", HELLO_HEAD + bytes(33)]
)
async def test_a_stranger_without_a_hello_is_sent_away_at_once(served, message):
    server, path = served
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(message)
    assert await is_closed(reader)
    assert server.strangers()["wrong"] == 1


@pytest.mark.parametrize("message", [bytes(PROOF_MESSAGE_BYTES), b"\xc1" * 40, PROOF_HEAD + bytes(32), b"A" * 9999])
async def test_a_stranger_with_a_wrong_proof_is_sent_away(served, message, caplog):
    server, path = served
    reader, writer, _ = await dial(path)
    writer.write(message)
    assert await is_closed(reader)
    assert server.connection_count == 0
    assert server.strangers()["wrong"] == 1
    assert not caplog.records


async def test_what_comes_behind_the_proof_is_the_lanes(served):
    _, path = served
    reader, writer, proof = await dial(path)
    writer.write(proof + msgpack.packb([1, "home", []]))
    assert await reader.readexactly(len(OK) + 10) == OK + msgpack.packb([1, 0, ["home", []]])
    writer.close()


async def test_a_handshake_that_trickles_in_byte_by_byte_is_accepted(served):
    _, path = served
    reader, writer = await asyncio.open_unix_connection(path)
    handshake = ClientHandshake(KEYS.secret, Meant(NAME, path))
    answer = handshake.hello
    while not handshake.accepted:
        for byte in answer:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        answer = handshake.receive(await reader.read(1))
    writer.close()


async def test_strangers_push_out_strangers_and_nobody_else(make_server, connect, tmp_path):
    server = make_server(silent_count_max=4, speaking_count_max=4)
    path = str(tmp_path / "lane.sock")
    await server.start_unix(path)
    client = await connect(path)
    half_way = [await dial(path) for _ in range(4)]
    silent = [await asyncio.open_unix_connection(path) for _ in range(20)]
    await until(lambda: server.strangers()["crowded"] == 16)
    assert await client.request("n", [1]) == ["n", [1]]
    assert await (await connect(path)).request("n", [2]) == ["n", [2]]  # which pushes one out who says nothing ...
    reader, writer, proof = half_way[1]
    writer.write(proof)
    assert await reader.readexactly(len(OK)) == OK  # ... and one who had begun
    for _, writer, *_ in [*silent, *half_way]:
        writer.close()


async def test_no_more_peers_than_the_limit(make_server, connect, tmp_path):
    server = make_server(connection_count_max=2)
    path = str(tmp_path / "lane.sock")
    await server.start_unix(path)
    first, _ = await connect(path), await connect(path)
    with pytest.raises(LaneRefusedError, match="2 connections are open already"):
        await connect(path)
    assert server.strangers()["full"] == 1
    assert await first.request("n", [1]) == ["n", [1]]


@pytest.mark.parametrize(
    "value",
    [
        1,
        None,
        [],
        [1, "op"],
        [0, "op", []],
        [-1, "op", []],
        ["1", "op", []],
        [1, b"op", []],
        [1, "op", {}],
        [True, "op", []],
    ],
)
async def test_a_value_that_is_no_request_ends_that_connection_only(served, connect, value):
    _, path = served
    honest = await connect(path)
    reader, writer = await dial_authenticated(path)
    writer.write(msgpack.packb(value))
    assert await is_closed(reader)
    assert await honest.request("n", [1]) == ["n", [1]]


async def test_a_value_without_end_is_cut_off_at_the_frame_limit(served):
    _, path = served
    reader, writer = await dial_authenticated(path)
    writer.write(b"\x93\x01\xa1x\xc6" + (FRAME_BYTES_MAX + 2 * READ_CHUNK_BYTES).to_bytes(4, "big"))
    for _ in range(FRAME_BYTES_MAX // READ_CHUNK_BYTES + 4):
        writer.write(bytes(READ_CHUNK_BYTES))
    assert await is_closed(reader)


def test_an_array_of_arrays_without_end_is_cut_off_though_the_decoder_keeps_it_outside_its_buffer():
    decoder = FrameDecoder()
    decoder.feed(b"\xdc\x10\x00")  # 4,096 items
    row = b"\xdc\x10\x00" + b"\xc0" * 4096

    def feed_rows():
        for _ in range(4000):
            decoder.feed(row)
            list(decoder.unpacker)

    with pytest.raises(LaneProtocolError, match="a value of more than"):
        feed_rows()


def test_a_nesting_without_end_is_refused():
    decoder = FrameDecoder()
    decoder.feed(b"\x91" * 100_000)
    with pytest.raises(ValueError):
        list(decoder.unpacker)


@pytest.mark.parametrize("header", [b"\xdc\x10\x01", b"\xdd\x00\x10\x00\x00", b"\xde\x04\x01", b"\xd4\x01\x00"])
def test_a_short_header_cannot_claim_a_huge_array_or_map_and_extension_types_are_refused(header):
    decoder = FrameDecoder()
    decoder.feed(header)
    with pytest.raises(ValueError):
        list(decoder.unpacker)


@given(st.binary(max_size=2000), st.lists(st.integers(1, 50), max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_bytes_in_any_pieces_raise_only_what_is_named(data, cuts):
    decoder = FrameDecoder()
    try:
        for cut in [*cuts, len(data)]:
            piece, data = data[:cut], data[cut:]
            decoder.feed(piece)
            for message in decoder.unpacker:
                check_request(message)
    except DECODE_ERRORS:
        pass


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(st.binary(max_size=300) | values.map(msgpack.packb), max_size=8), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_garbage_on_a_real_socket_never_harms_another_connection(tmp_path_factory, pieces, authenticated):
    async def scenario():
        path = str(tmp_path_factory.mktemp("lane") / "s")
        server = LaneServer(echo, KEYS, NAME)
        await server.start_unix(path)
        honest = LaneClient(path, KEYS, NAME)
        await honest.connect()
        _, writer = await dial_authenticated(path) if authenticated else (await dial(path))[:2]
        for piece in pieces:
            writer.write(piece)
        assert await honest.request("n", [1]) == ["n", [1]]
        writer.close()
        honest.close()
        await server.close()

    uvloop.run(scenario())


@given(st.lists(st.binary(max_size=300) | values.map(msgpack.packb), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_garbage_from_a_server_fails_requests_and_never_hangs_a_client(pieces):
    async def scenario():
        async def answer(reader, writer):
            await answer_honestly(reader, writer)
            for piece in pieces:
                writer.write(piece)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        client = LaneClient(server.sockets[0].getsockname(), KEYS, NAME)

        async def ask():
            await client.connect(2.0)
            await client.request("n", [], 2.0)

        (error,) = await asyncio.gather(ask(), return_exceptions=True)  # the point: it ends, by one of our errors
        assert error is None or type(error).__module__.startswith(("cluster.", "actors.core"))
        client.close()
        server.close()

    uvloop.run(scenario())


async def test_a_peer_that_does_not_read_is_not_read_from_and_slows_nobody(make_server, connect, tmp_path):
    handled = 0

    def handler(request):
        nonlocal handled
        handled += 1
        request.reply(bytes(100_000))

    server = make_server(handler)
    path = str(tmp_path / "lane.sock")
    await server.start_unix(path)
    reader, writer = await dial_authenticated(path)
    reader._transport.pause_reading()
    request = msgpack.packb([1, "home", [bytes(1000)]])
    writer.write(request * 5000)  # asks for 500 MB of replies
    await asyncio.sleep(0.2)
    assert handled * 100_000 < 8 << 20
    honest = await connect(path)
    assert len(await honest.request("home", [])) == 100_000
    before = handled
    reader._transport.resume_reading()
    for _ in range(200):
        await reader.read(1 << 20)
    assert handled > before + 100  # reading goes on where it stopped
    writer.transport.abort()


async def test_a_peer_that_never_reads_again_is_dropped(make_server, tmp_path):
    server = make_server(lambda request: request.reply(bytes(100_000)), write_stall_timeout_s=0.1)
    path = str(tmp_path / "lane.sock")
    await server.start_unix(path)
    reader, writer = await dial_authenticated(path)
    reader._transport.pause_reading()
    writer.write(msgpack.packb([1, "home", []]) * 500)
    await until(lambda: server.connection_count == 0)
    writer.transport.abort()


async def test_a_client_of_a_server_that_does_not_read_keeps_bounded_memory(connect):
    accepted = []

    async def answer(reader, writer):
        accepted.append(writer)
        await answer_honestly(reader, writer)
        writer.transport.pause_reading()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=1024)
    client = await connect(server.sockets[0].getsockname())
    futures = []
    refused = None
    for _ in range(200):
        try:
            futures.append(client.request("n", [bytes(1 << 20)]))
        except Exception as error:  # noqa: BLE001
            refused = error
            break
        await asyncio.sleep(0)
    assert "does not read" in str(refused)
    client.close()
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert {result.written for result in results} == {True, False}
    for writer in accepted:
        writer.close()
    server.close()


async def test_connections_that_come_and_go_at_random_leave_nothing_behind(served, connect):
    server, path = served
    generator = random.Random(7)
    for _ in range(200):
        peer = socket.socket(socket.AF_UNIX)
        peer.setblocking(False)
        peer.connect(path)
        if generator.random() < 0.5:
            peer.send(generator.randbytes(generator.randrange(1, 100)))
        peer.close()
        if generator.random() < 0.3:
            await asyncio.sleep(0.001)
    assert await (await connect(path)).request("n", [1]) == ["n", [1]]
    await until(lambda: server.strangers()["waiting"] == 0)
    assert server.connection_count == 1
