"""The lane over real sockets: what it does for honest peers."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from dataclasses import replace

import pytest

from actors.core.errors import ConflictError, InvalidError, OverloadedError, RookeryError, TooLargeError
from cluster.lane.client import FAILED_PER_TURN
from cluster.lane.protocol import (
    FRAME_BYTES_MAX,
    IN_FLIGHT_COUNT_MAX,
    PAGE_BYTES_MAX,
    PAGE_BYTES_MIN,
    LaneDisconnected,
    LaneImpostorError,
    LaneProtocolError,
    LaneTimeout,
)
from tests.cluster.conftest import KEYS, TLS_KEYS, until


@pytest.fixture(params=["unix", "tcp", "tls"])
def transport(request):
    return request.param


def keys_of(transport):
    return TLS_KEYS if transport == "tls" else KEYS


async def start(server, transport, tmp_path):
    if transport == "unix":
        path = str(tmp_path / "lane.sock")
        await server.start_unix(path)
        return path
    server.keys = keys_of(transport)
    return ("127.0.0.1", await server.start_tcp("127.0.0.1"))


async def test_a_request_gets_its_reply(make_server, connect, transport, tmp_path):
    client = await connect(await start(make_server(), transport, tmp_path), keys_of(transport))
    assert await client.request("home", [1, "ü", b"\x00", None, 2**63]) == ["home", [1, "ü", b"\x00", None, 2**63]]


async def test_thousand_pipelined_requests_get_their_own_replies(make_server, connect, transport, tmp_path):
    client = await connect(await start(make_server(), transport, tmp_path), keys_of(transport))
    replies = await asyncio.gather(*(client.request("n", [n, bytes(4096)]) for n in range(1000)))
    assert [reply[1][0] for reply in replies] == list(range(1000))


async def test_replies_may_come_later_and_in_another_order(make_server, connect, tmp_path):
    held = []
    client = await connect(await start(make_server(held.append), "unix", tmp_path))
    futures = [client.request("n", [n]) for n in range(5)]
    await until(lambda: len(held) == 5)
    for request in reversed(held):
        request.reply(request.args[0])
    assert await asyncio.gather(*futures) == [0, 1, 2, 3, 4]


async def test_a_reply_from_another_thread_arrives_through_the_loop(make_server, connect, tmp_path):
    loop = asyncio.get_running_loop()

    def handler(request):
        loop.run_in_executor(None, loop.call_soon_threadsafe, request.reply, "synced")

    client = await connect(await start(make_server(handler), "unix", tmp_path))
    assert await client.request("post", []) == "synced"


async def test_a_refusal_comes_back_as_the_same_error(make_server, connect, tmp_path):
    def handler(request):
        request.fail(ConflictError("the name is taken", "username", 2.5))

    client = await connect(await start(make_server(handler), "unix", tmp_path))
    with pytest.raises(ConflictError, match="taken") as caught:
        await client.request("register", ["a"])
    assert (caught.value.field, caught.value.retry_after_s) == ("username", 2.5)


async def test_a_failing_handler_answers_internal_and_the_connection_lives_on(make_server, connect, tmp_path, caplog):
    def handler(request):
        if request.op == "refuse":
            raise InvalidError("no such thing")
        if request.op == "break":
            raise KeyError("secret detail")
        request.reply("fine")

    client = await connect(await start(make_server(handler), "unix", tmp_path))
    with pytest.raises(InvalidError):
        await client.request("refuse", [])
    with pytest.raises(RookeryError) as caught:
        await client.request("break", [])
    assert caught.value.code == "internal"
    assert "secret detail" not in caught.value.message
    assert "secret detail" in caplog.text
    assert await client.request("ok", []) == "fine"


async def test_answering_twice_is_the_handlers_mistake_and_sends_nothing(make_server, connect, tmp_path, caplog):
    def handler(request):
        request.reply(1)
        request.reply(2)

    client = await connect(await start(make_server(handler), "unix", tmp_path))
    assert [await client.request("n", []) for _ in range(3)] == [1, 1, 1]
    assert "already answered" in caplog.text


@pytest.mark.parametrize("body", [object(), "\ud800", 2**65, bytes(FRAME_BYTES_MAX)])
async def test_a_reply_that_cannot_travel_is_an_error_for_that_request_only(make_server, connect, tmp_path, body):
    def handler(request):
        request.reply(body if request.op == "bad" else "fine")

    client = await connect(await start(make_server(handler), "unix", tmp_path))
    with pytest.raises(RookeryError):
        await client.request("bad", [])
    assert await client.request("good", []) == "fine"


@pytest.mark.parametrize(("argument", "error"), [(object(), InvalidError), (bytes(FRAME_BYTES_MAX), TooLargeError)])
async def test_arguments_that_cannot_travel_are_refused_before_anything_is_sent(
    make_server, connect, tmp_path, argument, error
):
    client = await connect(await start(make_server(), "unix", tmp_path))
    with pytest.raises(error):
        await client.request("n", [argument])
    assert await client.request("n", [1]) == ["n", [1]]
    assert client.in_flight_count == 0


async def test_the_largest_frame_passes_both_ways(make_server, connect, transport, tmp_path):
    client = await connect(await start(make_server(), transport, tmp_path), keys_of(transport))
    blob = os.urandom(FRAME_BYTES_MAX - 100)
    assert await client.request("n", [blob], 20.0) == ["n", [blob]]


async def test_a_push_reaches_every_connection(make_server, connect, tmp_path):
    server = make_server()
    address = await start(server, "unix", tmp_path)
    got = []
    clients = [await connect(address, on_push=lambda topic, value: got.append((topic, value))) for _ in range(3)]
    server.push("revoked", [7, bytes(32)])
    for client in clients:
        await client.request("n", [])
    assert got == [("revoked", [7, bytes(32)])] * 3


async def test_a_failing_push_callback_does_not_harm_the_lane(make_server, connect, tmp_path, caplog):
    server = make_server()
    client = await connect(await start(server, "unix", tmp_path), on_push=lambda topic, value: 1 / 0)
    server.push("revoked", [])
    assert await client.request("n", [1]) == ["n", [1]]
    assert "ZeroDivisionError" in caplog.text


async def test_a_request_without_an_answer_times_out_and_its_late_reply_is_ignored(make_server, connect, tmp_path):
    held = []
    client = await connect(await start(make_server(held.append), "unix", tmp_path))
    with pytest.raises(LaneTimeout):
        await client.request("slow", [], 0.05)
    held.pop().reply("late")
    future = client.request("next", [])
    await until(lambda: held)
    held.pop().reply("in time")
    assert await future == "in time"


@pytest.mark.parametrize("ending", ["late", "disconnected"])
async def test_who_gets_no_answer_is_told_so_a_few_in_each_turn_of_the_loop(make_server, connect, tmp_path, ending):
    client = await connect(await start(make_server(lambda request: None), "unix", tmp_path))
    turn, told = [0], dict[int, tuple[int, Exception]]()

    def count() -> None:
        turn[0] += 1
        if len(told) < 20:
            asyncio.get_running_loop().call_soon(count)

    count()
    for number in range(20):
        timeout_s = 0.05 if ending == "late" else 60.0
        client.send("n", [], timeout_s, lambda _, error, number=number: told.update({number: (turn[0], error)}))
    if ending == "disconnected":
        await asyncio.sleep(0.01)
        client.close()
    await until(lambda: len(told) == 20)
    assert list(told) == list(range(20))
    turns = [at for at, _ in told.values()]
    assert max(turns.count(at) for at in turns) == FAILED_PER_TURN
    assert all(isinstance(error, LaneTimeout if ending == "late" else LaneDisconnected) for _, error in told.values())


async def test_a_cancelled_caller_leaves_the_lane_usable(make_server, connect, tmp_path):
    held = []
    client = await connect(await start(make_server(held.append), "unix", tmp_path))
    future = client.request("n", [])
    await until(lambda: held)
    future.cancel()
    held.pop().reply(1)
    other = client.request("n", [])
    await until(lambda: held)
    held.pop().reply(2)
    assert await other == 2


async def test_what_is_in_flight_when_the_lane_drops_has_an_unknown_outcome(make_server, connect, transport, tmp_path):
    server = make_server(lambda request: None)
    client = await connect(await start(server, transport, tmp_path), keys_of(transport))
    futures = [client.request("post", [n]) for n in range(10)]
    await asyncio.sleep(0.05)
    await server.close()
    for result in await asyncio.gather(*futures, return_exceptions=True):
        assert isinstance(result, LaneDisconnected)
        assert result.written
    with pytest.raises(LaneDisconnected) as caught:
        client.request("post", [])
    assert not caught.value.written


async def test_what_never_reached_the_socket_is_known_to_have_had_no_effect(make_server, connect, tmp_path):
    client = await connect(await start(make_server(lambda request: None), "unix", tmp_path))
    first = client.request("post", [1])
    await asyncio.sleep(0)
    client.pause_writing()  # as the transport does when the server doesn't read
    second = client.request("post", [2])
    client.close()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert [result.written for result in results] == [True, False]


async def test_a_request_without_a_future_ends_exactly_once(make_server, connect, tmp_path):
    def handler(request):
        if request.op == "refuse":
            request.fail(ConflictError("taken", "username"))
        elif request.op == "answer":
            request.reply(request.args)

    client = await connect(await start(make_server(handler), "unix", tmp_path))
    ends: dict[str, list] = {}
    for op in ("answer", "refuse", "hang", "stay"):
        client.send(op, [1], 0.1 if op == "hang" else 60.0, lambda *end, op=op: ends.setdefault(op, []).append(end))
    assert not ends, "never before send has returned"
    await until(lambda: len(ends) == 3)
    client.close()
    assert ends["answer"] == [([1], None)]
    kinds = [(body, type(error)) for op in ("refuse", "hang", "stay") for body, error in ends[op]]
    assert kinds == [(None, ConflictError), (None, LaneTimeout), (None, LaneDisconnected)]
    with pytest.raises(LaneDisconnected):
        client.send("answer", [], 5.0, print)


async def test_a_callback_that_fails_does_not_harm_the_lane(make_server, connect, tmp_path, caplog):
    client = await connect(await start(make_server(), "unix", tmp_path))
    client.send("home", [], 5.0, lambda body, error: int("x"))
    assert await client.request("home", [1]) == ["home", [1]]
    assert "lane's reply failed" in caplog.text
    assert not client.closed


@pytest.mark.parametrize("size", [0, PAGE_BYTES_MIN - 1, PAGE_BYTES_MIN, 50_000, PAGE_BYTES_MAX + 1])
@pytest.mark.parametrize("ids", [(0, 0), (2**63 - 1, 1), (2**64, 1), (-1, 1), (1, None), (True, 2)])
async def test_a_page_arrives_however_it_was_framed(make_server, connect, tmp_path, size, ids):
    page = [b"x" * size, *ids]
    client = await connect(await start(make_server(lambda request: request.reply(page)), "unix", tmp_path))
    if ids[0] == 2**64 or size > FRAME_BYTES_MAX - 20:
        with pytest.raises(RookeryError):
            await client.request("home", [])
    else:
        assert await client.request("home", []) == page
    assert await asyncio.gather(*(client.request("home", []) for _ in range(3)), return_exceptions=True)


async def test_too_many_requests_in_flight_are_refused_at_once(make_server, connect, tmp_path):
    client = await connect(await start(make_server(lambda request: None), "unix", tmp_path))
    futures = [client.request("n", []) for _ in range(IN_FLIGHT_COUNT_MAX)]
    with pytest.raises(OverloadedError):
        client.request("n", [])
    client.close()
    await asyncio.gather(*futures, return_exceptions=True)


async def test_the_server_reads_no_further_than_its_in_flight_limit(make_server, connect, tmp_path):
    held = []
    client = await connect(await start(make_server(held.append, in_flight_count_max=8), "unix", tmp_path))
    futures = [client.request("n", [n]) for n in range(100)]
    await until(lambda: held)
    await asyncio.sleep(0.05)
    assert len(held) == 8
    answered = 0
    for _ in range(1000):  # far more turns than it takes
        for request in held[answered:]:
            request.reply(request.args[0])
            answered += 1
        assert len(held) - answered <= 8
        await asyncio.sleep(0.001)
        if answered == 100:
            break
    assert [future.done() for future in futures] == [True] * 100
    assert [future.result() for future in futures] == list(range(100))


async def test_a_wrong_secret_is_refused(make_server, connect, transport, tmp_path):
    address = await start(make_server(), transport, tmp_path)
    with pytest.raises(LaneImpostorError, match="secret"):
        await connect(address, replace(keys_of(transport), secret=bytes(32)))


async def test_a_client_notices_that_the_other_end_is_no_lane(connect):
    async def answer(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    with pytest.raises(LaneProtocolError):
        await connect(server.sockets[0].getsockname())
    server.close()


async def test_nobody_listening_is_an_os_error(connect, tmp_path):
    with pytest.raises(OSError, match=r".*"):
        await connect(str(tmp_path / "nothing.sock"))


async def test_a_unix_socket_is_private_and_replaces_one_left_by_a_dead_process(make_server, connect, tmp_path):
    path = tmp_path / "lane.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    old, new = make_server(), make_server()
    await old.start_unix(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await new.start_unix(str(path))
    await old.close()  # must not take the new one's socket away
    assert await (await connect(str(path))).request("n", [1]) == ["n", [1]]
    assert [entry.name for entry in tmp_path.iterdir()] == ["lane.sock"]


async def test_a_path_that_cannot_be_a_socket_is_refused_with_the_reason(make_server, tmp_path):
    with pytest.raises(ValueError, match="longer than"):
        await make_server().start_unix("/tmp/" + "x" * 120)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(FileExistsError):
        await make_server().start_unix(str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "precious"
