"""What strangers do to keep others from reading and writing, in small, over real HTTP: from many addresses, and from
the one that honest clients have.

Beside each attack honest clients read home timelines and write tweets, on connections of their own that stay and on new
ones. What counts is that every request of theirs is answered as if nothing were the matter; how quickly, `bench
strangers` measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from api.auth import make_token
from bench.open_load import allow_files
from tests.api.conftest import LiveServer
from tests.api.test_http_abuse import serving, worker_of

ROUNDS = 6  # of an honest client: a read and a write each on a connection that stays, and on a new one
PATIENCE_S = 60.0  # longer than anything may take on the busiest machine
HOST = b"host: x\r\n"
FEED = b"GET /feed?user_id=1 HTTP/1.1\r\n" + HOST + b"\r\n"
TWEET = b'{"user_id": "1", "status": "x"}'
POST = b"POST /tweet HTTP/1.1\r\n" + HOST + b"content-length: %d\r\n\r\n"
HONEST = "127.0.0.1"
SAME = [HONEST]  # as behind one proxy that isn't known, or on one machine
MANY = [f"127.0.7.{number}" for number in range(1, 101)]
Stranger = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def answer(reader: asyncio.StreamReader) -> int:
    """Read one answer; returns its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    size = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    await reader.readexactly(size)
    return int(head.split(b" ", 2)[1])


@contextlib.asynccontextmanager
async def connected(port: int, source: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def be_honest(port: int) -> list[int]:
    """Read and write; returns the statuses."""
    statuses = []

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for request in (FEED, POST % len(TWEET) + TWEET):
            writer.write(request)
            statuses.append(await answer(reader))

    async with connected(port, HONEST) as kept:
        for _ in range(ROUNDS):
            await ask(*kept)
            async with connected(port, HONEST) as fresh:
                await ask(*fresh)
            await asyncio.sleep(0.01)
    return statuses


# ---- what strangers do --------------------------------------------------------------------------------------------


def says(sent: bytes) -> Stranger:
    """Send something, and wait for what comes until the other end hangs up."""

    async def do(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        while await reader.read(1 << 16):
            continue

    return do


def asks(sent: bytes) -> Stranger:
    """Ask the same again and again, as quickly as it is answered."""

    async def do(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(sent)
            await answer(reader)

    return do


def drips(sent: bytes, endless: bytes) -> Stranger:
    """Send something, and then go on without an end."""

    async def do(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        while True:
            writer.write(endless)
            await writer.drain()
            await asyncio.sleep(0.01)

    return do


TOKEN = b"authorization: Bearer %b\r\n" % make_token(1)[0].encode()
CHUNKED = b"POST /tweet HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n"
ATTACKS: dict[str, tuple[int, Stranger]] = {  # with how many at once
    "say nothing": (280, says(b"")),
    "begin a head": (280, says(b"GET /feed?user_id=1 HTTP/1.1\r\nx: ")),
    "send a byte of a body": (280, says(POST % 60_000 + b"{")),
    "send all but a byte of a body": (120, says(POST % 60_000 + b" " * 59_999)),
    "send a byte of a body with a token": (120, says((POST % 60_000).replace(HOST, HOST + TOKEN) + b"{")),
    "a body that drips": (100, drips(POST % 60_000, b" ")),
    "chunks without an end": (30, drips(CHUNKED, b"1\r\n \r\n" * 500)),
    "a trailer without an end": (30, drips(CHUNKED + b"0\r\nx: ", b"y" * 10_000)),
    "a large Host": (20, says(b"GET /1/followers HTTP/1.1\r\nhost: " + b"a" * 400_000 + b"\r\n\r\n")),
    "a Host that is just small enough": (
        20, asks(b"GET /1/followers HTTP/1.1\r\nhost: " + b"a" * 255 + b"\r\n\r\n"),
    ),
    "a large Content-Type": (
        20, says((POST % 2).replace(HOST, HOST + b"content-type: " + b";a=" * 100_000 + b"\r\n") + b"{}"),
    ),
    "a large path": (20, says(b"GET /search/tags/" + b"%C3%A9" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n")),
    "many tags": (20, asks(b"GET /search/tags/a?any=" + b"a," * 800 + b"b HTTP/1.1\r\n" + HOST + b"\r\n")),
    "figures": (64, asks(b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n")),
    "health": (64, asks(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")),
    "readiness": (64, asks(b"GET /readyz HTTP/1.1\r\n" + HOST + b"\r\n")),
    "requests behind each other": (10, says(FEED * 3_000)),
    "bodies behind a request": (100, says(FEED + (POST % 60_000 + b" " * 60_000) * 3)),
    "what is no HTTP": (40, says(b"\x16\x03\x01NONSENSE\r\n\r\n")),
    "another protocol": (40, says(FEED.replace(HOST, HOST + b"connection: upgrade\r\nupgrade: h2c\r\n") * 20)),
}  # fmt: skip


async def attack(port: int, sources: Iterator[str], do: Stranger, begun: list[str]) -> None:
    """Do it again and again, on a new connection whenever the last one has ended."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            source = next(sources)
            async with connected(port, source) as ends:
                begun.append(source)
                await do(*ends)
        await asyncio.sleep(0.1)


async def beside(port: int, sources: list[str], count: int, do: Stranger) -> list[int]:
    """Return what honest clients are answered while so many strangers do that."""
    each = itertools.cycle(sources)
    begun: list[str] = []
    strangers = [asyncio.create_task(attack(port, each, do, begun)) for _ in range(count)]
    try:
        async with asyncio.timeout(PATIENCE_S):
            while len(begun) < count:  # noqa: ASYNC110 - they are there first
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)
            return await be_honest(port)
    finally:
        for stranger in strangers:
            stranger.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)


@pytest.fixture(scope="module", autouse=True)
def files() -> None:
    allow_files(3_000)


@pytest.fixture(scope="module")
def live() -> Iterator[LiveServer]:
    kinds = ("account_read", "account_write", "address_read", "address_write")
    limits = {kind: [10_000, 60_000] for kind in kinds}  # those of a laptop: all are one account, and one address
    with serving(
        rate_limits=limits, in_flight_count_max=128, connection_count_max=250, address_connection_count_max=240,
        figures_keep_s=1.0, readiness_keep_s=0.2,
    ) as made:  # fmt: skip
        yield made


@pytest.mark.parametrize(("sources", "most"), [(SAME, 200), (MANY, 1_000)], ids=["the same address", "many addresses"])
@pytest.mark.parametrize("what", ATTACKS)
def test_honest_clients_are_answered_beside_strangers_who(what, sources, most, live):
    count, do = ATTACKS[what]
    statuses = asyncio.run(beside(int(live.base_url.rpartition(":")[2]), sources, min(count, most), do))
    assert statuses == [200, 201] * 2 * ROUNDS
    services = worker_of(live)._services
    services.bodies.check()
    services.connections.check()
    services.limiter.check()
