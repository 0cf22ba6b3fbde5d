"""The clients of `stream` see what came, when, and what came twice; the peer sends what is posted to who follows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bench.peer_streaming import load_streaming
from bench.processes import BenchError
from bench.stream_stage import Writer, marker_of, new_text, streaming_peer
from bench.streaming import Audience, audience, cpu_s_of, split, sse_request
from tests.components import needs_program

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


class Station:
    """A server that answers every connection's head, and sends to all what a test says."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._head)
        self._writers.append(writer)

    def send(self, *parts: bytes, to: slice = slice(None)) -> None:
        """Send the parts one after the other, so that each is a read of its own."""

        async def send() -> None:
            for part in parts:
                for writer in self._writers[to]:
                    writer.write(part)
                    await writer.drain()
                await asyncio.sleep(0.05)

        self._run(send())

    def hang_up(self) -> None:
        """Close the first connection."""
        self._loop.call_soon_threadsafe(self._writers[0].close)

    def close(self) -> None:
        async def close() -> None:
            self._server.close()
            for writer in self._writers:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

        self._run(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def new_station() -> Iterator[Callable[[bytes], Station]]:
    made: list[Station] = []

    def make(head: bytes = HEAD) -> Station:
        made.append(Station(head))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def clients(tmp_path) -> Iterator[Audience]:
    with audience(tmp_path, 8) as made:
        yield made


REQUESTS = [sse_request("/", "token")] * 5


def test_an_event_in_two_reads_has_come_with_the_second_and_heartbeats_are_none(new_station, clients):
    station = new_station()
    clients.open(station.port, REQUESTS)
    station.send(b":thump\n")
    expected = clients.expect("mark1x")
    station.send(b'data: {"content":"ma')
    between_ns = time.monotonic_ns()
    station.send(b'rk1x"}\n\n')
    heard = clients.heard(expected)
    assert expected == len(heard.at_ns) == 5
    assert all(at > between_ns for at in heard.at_ns)
    assert heard.since_ms(heard.at_ns[0])[0] == 0
    assert heard.cpu_s > 0


@pytest.mark.parametrize("parts", [(b"mark1x mark1x",), (b"mark1x", b"mark1x")], ids=["one read", "two"])
def test_an_event_that_comes_twice_is_an_error(new_station, clients, parts):
    station = new_station()
    clients.open(station.port, REQUESTS)
    station.send(b"mark1x", to=slice(1, None))  # as if it had been told before anybody looked
    expected = clients.expect("mark1x")
    station.send(*parts, to=slice(0, 1))
    station.send(b"mark1x", to=slice(1, None))
    with pytest.raises(BenchError, match="5 of 5 streams had it, 1 twice"):
        clients.heard(expected)


def test_streams_that_are_refused_or_end_are_errors(new_station, clients):
    with pytest.raises(BenchError, match="401 Unauthorized"):
        clients.open(new_station(b"HTTP/1.1 401 Unauthorized\r\n\r\n").port, REQUESTS)
    clients.close()
    station = new_station()
    clients.open(station.port, REQUESTS)
    expected = clients.expect("mark1x")
    station.send(b"mark1x", to=slice(1, None))
    station.hang_up()
    with pytest.raises(BenchError, match="4 of 5 streams had it, 0 twice; 1 were closed"):
        clients.heard(expected)


def test_connections_are_split_over_as_few_processes_as_hold_them():
    assert [len(part) for part in split([b""] * 25, 3, 10)] == [10, 10, 5]
    assert [len(part) for part in split([b""] * 10, 3, 10)] == [10]
    with pytest.raises(BenchError, match="31 streams are more than 3 processes of 10"):
        split([b""] * 31, 3, 10)


@needs_program("redis-server")
def test_the_peer_sends_a_post_to_all_who_follow_over_both_workers_and_a_favourite_to_its_author(tmp_path, clients):
    tokens = {account: f"secret{account}" for account in range(1, 6)}
    with streaming_peer(tmp_path, 2) as (peer, store):
        load_streaming(store, {"id": "0", "content": "", "visibility": "public"}, [(n, 1) for n in (2, 3, 4)], tokens)
        clients.open(peer.port, [peer.request(tokens[account]) for account in (1, 2, 3, 4)])
        author, fan = Writer(peer.port, tokens[1]), Writer(peer.port, tokens[5])
        clients.wait_until_heard(lambda: (marker_of(text := new_text()), lambda: author.post(text)))
        used_s, text = cpu_s_of(peer.workers), new_text()
        expected = clients.expect(marker_of(text))
        timed = author.post(text)
        assert len(clients.heard(expected).at_ns) == 4
        assert timed.body["content"] == f"<p>{text}</p>"
        assert cpu_s_of(peer.workers) > used_s
        clients.close()
        clients.open(peer.port, [peer.request(tokens[1])])
        clients.wait_until_heard(lambda: (marker_of(text := new_text()), lambda: author.post(text)))
        expected = clients.expect(r"\"acct\":\"user5\"")
        fan.favourite(timed.body["id"])
        assert len(clients.heard(expected).at_ns) == 1
        clients.close()
        with pytest.raises(BenchError, match="404"):
            fan.favourite("17")
        with pytest.raises(BenchError, match="403"):
            clients.open(peer.port, [peer.request("wrong")])
        author.close()
        fan.close()
