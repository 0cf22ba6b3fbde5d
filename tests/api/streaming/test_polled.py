"""Connections that are taken over from the event loop: what becomes of them, whatever fails on the way."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from api.streaming.connection import LINGER_S, StreamConnection
from api.streaming.polled import Polled, StreamPoll

HEAD = b"head;"
EPOLL = select.epoll
MUCH = b"x" * 4_000_000  # more than a socket takes


class Noting(asyncio.Protocol):
    """Notes what it is told. raises: in `data_received`."""

    def __init__(self) -> None:
        self.received, self.ends, self.lost = b"", 0, list[Exception | None]()
        self.raises: Exception | None = None

    def data_received(self, data: bytes) -> None:
        if self.raises is not None:
            raise self.raises
        self.received += data

    def eof_received(self) -> bool | None:
        self.ends += 1
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Pair:
    """A connection of the loop, and its other side."""

    def __init__(self, transport: asyncio.Transport, there: socket.socket) -> None:
        self.transport, self.there = transport, there

    @classmethod
    async def made(cls, protocol: asyncio.Protocol) -> Pair:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            there = socket.create_connection(listening.getsockname())
            here, _ = listening.accept()
        here.setblocking(False)
        there.setblocking(False)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, here)
        return cls(transport, there)

    async def read(self, count: int) -> bytes:
        said = b""
        while len(said) < count:
            more = await asyncio.get_running_loop().sock_recv(self.there, 1 << 16)
            if not more:
                break
            said += more
        return said

    async def is_over(self) -> bool:
        return not await asyncio.get_running_loop().sock_recv(self.there, 1 << 16)


def on_uvloop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's body as a worker runs: on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


async def wait_until(look: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if look():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it doesn't become true")


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def failing(error: int) -> Callable[..., Any]:
    def fail(*args: Any, **more: Any) -> Any:
        raise OSError(error, os.strerror(error))

    return fail


class Unregistrable:
    """An epoll that takes nothing in."""

    def __init__(self) -> None:
        self._real = EPOLL()
        self.register = failing(errno.ENOSPC)
        self.fileno, self.close, self.poll = self._real.fileno, self._real.close, self._real.poll


def test_what_is_adopted_says_its_head_first_and_both_sides_hear_each_other():
    async def run() -> None:
        poll, protocol = StreamPoll(), Noting()
        pair = await Pair.made(asyncio.Protocol())
        polled = poll.adopt(pair.transport, protocol, HEAD)
        assert isinstance(polled, Polled)
        assert len(poll) == 1
        polled.write(b"one")
        polled.send_head()
        assert await pair.read(len(HEAD) + 3) == HEAD + b"one"
        pair.there.send(b"hello")
        await wait_until(lambda: protocol.received == b"hello")
        pair.there.close()
        await wait_until(lambda: protocol.lost == [None])
        assert protocol.ends == 1
        assert polled.is_closing()
        assert len(poll) == 0
        poll.close()

    on_uvloop(run)


@pytest.mark.parametrize("broken", ["os.dup", "select.epoll", "register"])
def test_what_cannot_be_taken_over_stays_the_loops_and_goes_on(monkeypatch: pytest.MonkeyPatch, broken: str):
    async def run() -> None:
        poll, protocol = StreamPoll(), Noting()
        pair = await Pair.made(protocol)
        before = descriptors()
        with monkeypatch.context() as patch:
            if broken == "register":
                patch.setattr("select.epoll", Unregistrable)
            else:
                patch.setattr(broken, failing(errno.EMFILE))
            held = poll.adopt(pair.transport, protocol, HEAD)
        assert held is pair.transport
        assert len(poll) == 0
        assert len(descriptors() - before) <= (broken == "register")  # the epoll itself, for the next one
        held.write(b"more")
        assert await pair.read(len(HEAD) + 4) == HEAD + b"more"
        pair.there.send(b"hello")
        await wait_until(lambda: protocol.received == b"hello")
        held.close()
        await wait_until(lambda: protocol.lost == [None])
        poll.close()
        assert await pair.is_over()
        pair.there.close()

    on_uvloop(run)


def test_after_a_failure_the_next_one_is_taken_over(monkeypatch: pytest.MonkeyPatch):
    async def run() -> None:
        poll = StreamPoll()
        first, second = await Pair.made(asyncio.Protocol()), await Pair.made(asyncio.Protocol())
        with monkeypatch.context() as patch:
            patch.setattr("select.epoll", failing(errno.EMFILE))
            assert poll.adopt(first.transport, Noting(), HEAD) is first.transport
        polled = poll.adopt(second.transport, Noting(), HEAD)
        assert isinstance(polled, Polled)
        polled.send_head()
        assert await second.read(len(HEAD)) == HEAD
        poll.close()
        assert await second.is_over()
        first.transport.abort()
        for pair in (first, second):
            pair.there.close()

    on_uvloop(run)


def test_what_is_unsent_is_written_before_the_end():
    async def run() -> None:
        poll, protocol = StreamPoll(), Noting()
        pair = await Pair.made(asyncio.Protocol())
        polled = poll.adopt(pair.transport, protocol, HEAD)
        polled.send_head()
        polled.write(MUCH)
        assert polled.get_write_buffer_size() > 0
        polled.close()
        polled.write(b"too late")
        assert protocol.lost == []
        assert len(await pair.read(len(HEAD) + len(MUCH) + 1)) == len(HEAD) + len(MUCH)
        await wait_until(lambda: protocol.lost == [None])
        pair.there.close()
        poll.close()

    on_uvloop(run)


def test_a_defect_of_one_connection_ends_that_one_alone():
    async def run() -> None:
        poll, bad, good = StreamPoll(), Noting(), Noting()
        bad.raises = ZeroDivisionError()
        first, second = await Pair.made(asyncio.Protocol()), await Pair.made(asyncio.Protocol())
        for pair, protocol in ((first, bad), (second, good)):
            poll.adopt(pair.transport, protocol, HEAD)
            pair.there.send(b"hello")
        await wait_until(lambda: bad.lost == [None] and good.received == b"hello")
        assert len(poll) == 1
        poll.close()
        await wait_until(lambda: good.lost == [None])
        for pair in (first, second):
            pair.there.close()

    on_uvloop(run)


def test_the_end_ends_all_whatever_one_of_them_does_and_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch):
    async def run() -> None:
        poll, protocols = StreamPoll(), [Noting(), Noting(), Noting()]
        pairs = [await Pair.made(asyncio.Protocol()) for _ in protocols]
        before = descriptors()
        held = [poll.adopt(pair.transport, each, HEAD) for pair, each in zip(pairs, protocols, strict=True)]
        await asyncio.sleep(0)  # the loop closes its own descriptors
        unregister = poll.forget

        def forget(fd: int) -> None:
            unregister(fd)
            if len(poll) == 2:
                raise OSError(errno.EBADF, "a defect")

        monkeypatch.setattr(poll, "forget", forget)
        poll.close()
        await wait_until(lambda: [each.lost for each in protocols] == [[None]] * 3)
        assert len(poll) == 0
        poll.close()
        for each in held:  # as timers do that were set before
            each.write(b"late")
            each.abort()
        assert [each.lost for each in protocols] == [[None]] * 3
        assert descriptors() <= before
        last, protocol = await Pair.made(asyncio.Protocol()), Noting()
        assert poll.adopt(last.transport, protocol, HEAD) is last.transport  # nobody would end it
        last.transport.abort()
        for pair in (*pairs, last):
            pair.there.close()

    on_uvloop(run)


class Mute(StreamConnection):
    """A stream that listens to nothing."""

    def subscriptions(self) -> tuple[()]:
        return ()


class Places:
    """What a stream asks of `Streams`."""

    def __init__(self) -> None:
        self.poll, self.left = StreamPoll(), 0

    def enter(self, connection: StreamConnection) -> None:
        pass

    def leave(self, connection: StreamConnection) -> None:
        self.left += 1


@pytest.mark.parametrize("ends", ["half-closes", "is cut off after it has half-closed", "is cut off"])
@pytest.mark.parametrize("is_polled", [True, False])
def test_who_reads_nothing_keeps_no_place(monkeypatch: pytest.MonkeyPatch, ends: str, is_polled: bool):
    assert LINGER_S < 10.0
    monkeypatch.setattr("api.streaming.connection.LINGER_S", 0.05)

    async def run() -> None:
        places: Any = Places()
        if not is_polled:
            places.poll.close()
        stream = Mute(places, "sse", None, 0, b"", None)  # type: ignore[arg-type]
        pair = await Pair.made(asyncio.Protocol())
        if not is_polled:
            pair.transport.set_protocol(stream)
        stream.begin(pair.transport, HEAD)
        stream.send_head()
        stream._transport.write(MUCH)  # the client reads none of it
        if "half-close" in ends:
            pair.there.shutdown(socket.SHUT_WR)
            await wait_until(stream._transport.is_closing)
        if "cut off" in ends:
            stream.close_with(b"the last")
        await wait_until(lambda: places.left == 1)
        pair.there.close()
        places.poll.close()

    on_uvloop(run)
