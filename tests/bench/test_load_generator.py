"""The load generator counts what a server answered, and says so when it answered badly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.load_generator import (
    Connection,
    FixedAnswer,
    Run,
    content_length,
    get_request,
    post_request,
    read_requests,
    write_requests,
)

pytestmark = pytest.mark.filterwarnings("error")


@asynccontextmanager
async def serving(protocol) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


class Refusal(asyncio.Protocol):
    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


class Crumbs(Refusal):
    """Sends an answer in pieces that don't respect head and body."""

    def data_received(self, data: bytes) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
        asyncio.get_running_loop().create_task(self.drip(answer))

    async def drip(self, answer: bytes) -> None:
        for at in range(0, len(answer), 17):
            self.transport.write(answer[at : at + 17])
            await asyncio.sleep(0.002)


def test_request_files_come_back_as_they_were_written(tmp_path: Path):
    requests = [get_request("/a?b=1", ["X-Y: z"]), post_request("/t", b'{"a":\n1}'), b"\n\n"]
    assert read_requests(write_requests(tmp_path / "requests", requests)) == requests


@pytest.mark.parametrize(("head", "length"), [(b"H\r\ncontent-LENGTH: 12\r\nx: 1", 12), (b"H\r\nx: 1", 0)])
def test_content_length_is_read_from_a_head(head: bytes, length: int):
    assert content_length(head) == length


async def test_every_answer_is_counted_once_and_none_is_an_error():
    async with serving(lambda: FixedAnswer(5_000)) as port:
        sample = await Run([get_request("/")], 4).measure("127.0.0.1", port, 0.1)
    assert sample.requests > 4
    assert sample.errors == 0
    assert 0 < sample.p50_us <= sample.p99_us <= sample.max_us


async def test_answers_in_pieces_are_complete_before_they_count():
    async with serving(Crumbs) as port:
        sample = await Run([get_request("/")], 2).measure("127.0.0.1", port, 0.1)
    assert sample.requests > 2
    assert sample.errors == 0
    assert sample.p50_us > 4_000


async def test_refusals_are_errors():
    async with serving(Refusal) as port:
        sample = await Run([get_request("/")], 2).measure("127.0.0.1", port, 0.05)
    assert sample.errors >= sample.requests > 0


async def test_connections_that_the_server_closes_are_errors():
    run = Run([get_request("/")], 1)
    Connection(run).connection_lost(None)
    assert run.errors == 1
    assert run.ended.done()


async def test_requests_of_several_paths_are_told_apart():
    async with serving(lambda: FixedAnswer(10)) as port:
        requests = [get_request("/a?x=1"), get_request("/b"), get_request("/b?y")]
        sample = await Run(requests, 2).measure("127.0.0.1", port, 0.1)
        single = await Run(requests[1:], 1).measure("127.0.0.1", port, 0.02)
    assert set(sample.by_path) == {"/a", "/b"}
    assert sum(found["requests"] for found in sample.by_path.values()) == sample.requests
    assert all(0 < found["p50_us"] <= found["p99_us"] <= sample.max_us for found in sample.by_path.values())
    assert single.by_path == {}
