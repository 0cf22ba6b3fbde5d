"""What strangers do to keep others from reading and writing: each attack as one connection does it, again and again.

    python -m bench.strangers --port 8000 --attack "send a byte of a body" --count 520 --from many --seconds 5

Rules of this file
- An attack is what is done on one connection; whoever ends it, the next connection follows at once, or after a pause.
- From many addresses of 127.0.0.0/8, or from the one that everybody else has.
- The process has the least priority, so that on one machine strangers take no processor from those whom they attack:
  elsewhere they would have their own.
- It prints BEGUN once every stranger has been there, and at the end one line of JSON: what came of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from string import ascii_lowercase

import uvloop

from api.access.auth import make_token
from bench.open_load import allow_files

SAME = ["127.0.0.1"]  # as behind one proxy that isn't known, or on one machine
ONE = ["127.0.6.1"]  # which nobody else has
MANY = [f"127.0.7.{number}" for number in range(1, 201)]
SOURCES = {"same": SAME, "one": ONE, "many": MANY}
FILES = 8_000
BEGUN = "begun"
BEGIN_S = 10.0  # that strangers have to be there: some are turned away before they have said anything
PAUSE_S = 0.05  # of a stranger whose connection has ended
PREFIXES_MAX = 8  # that a search may have
HOST = b"host: x\r\n"
FEED = b"GET /feed?user_id=1 HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /tweet HTTP/1.1\r\n" + HOST + b"content-length: %d\r\n\r\n"
TOKEN = b"authorization: Bearer %b\r\n" % make_token(1)[0].encode()
CHUNKED = b"POST /tweet HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n"
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
    """Have a connection from an address while the block runs."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def says(sent: bytes) -> Stranger:
    """Send something, and wait for what comes until the other end hangs up."""

    async def do(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        while await reader.read(1 << 16):
            continue

    return do


async def knocks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing and hang up."""


@dataclass(frozen=True, slots=True)
class Asks:
    """Ask again and again, as quickly as it is answered. requests: without an end; statuses: takes what came."""

    requests: Iterator[bytes]
    statuses: Counter[int] = field(default_factory=Counter)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for request in self.requests:
            writer.write(request)
            self.statuses[await answer(reader)] += 1


def asks(sent: bytes) -> Asks:
    """Ask the same again and again."""
    return Asks(itertools.repeat(sent))


def searches(prefix_count: int) -> Iterator[bytes]:
    """Make searches of so many prefixes of three letters, no two of them the same."""
    prefixes = itertools.cycle(map("".join, itertools.product(ascii_lowercase, repeat=3)))
    skipped = (prefix for number, prefix in enumerate(prefixes) if number % 7)  # so that a second round differs
    while True:
        words = "%20OR%20".join(f"{next(skipped)}*" for _ in range(prefix_count))
        yield f"GET /api/v1/search?query={words} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


def log_ins() -> Iterator[bytes]:
    """Make log-ins with a wrong password, each with another name."""
    for number in itertools.count():
        body = b'{"username": "user%d", "password": "a guess that is wrong"}' % number
        kind = b"content-type: application/json\r\n"
        yield b"POST /api/v1/login HTTP/1.1\r\n" + HOST + kind + b"content-length: %d\r\n\r\n" % len(body) + body


def reads_account(account: int) -> Asks:
    """Read what everybody may of one account, again and again."""
    return asks(b"GET /%d/followers HTTP/1.1\r\n" % account + HOST + b"\r\n")


def drips(sent: bytes, endless: bytes) -> Stranger:
    """Send something, and then go on without an end."""

    async def do(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        while True:
            writer.write(endless)
            await writer.drain()
            await asyncio.sleep(0.01)

    return do


ATTACKS: dict[str, tuple[int, Stranger]] = {  # with how many at once
    "say nothing": (600, says(b"")),
    "hang up at once": (200, knocks),  # with PAUSE_S: 4,000 a second
    "begin a head": (600, says(b"GET /feed?user_id=1 HTTP/1.1\r\nx: ")),
    "send a byte of a body": (600, says(POST % 60_000 + b"{")),
    "send all but a byte of a body": (300, says(POST % 60_000 + b" " * 59_999)),
    "send a byte of a body with a token": (300, says((POST % 60_000).replace(HOST, HOST + TOKEN) + b"{")),
    "a body that drips": (100, drips(POST % 60_000, b" ")),
    "chunks without an end": (30, drips(CHUNKED, b"1\r\n \r\n" * 500)),
    "a trailer without an end": (30, drips(CHUNKED + b"0\r\nx: ", b"y" * 10_000)),
    "a large Host": (20, says(b"GET /1/followers HTTP/1.1\r\nhost: " + b"a" * 400_000 + b"\r\n\r\n")),
    "a Host that is just small enough": (20, asks(b"GET /1/followers HTTP/1.1\r\nhost: " + b"a" * 255 + b"\r\n\r\n")),
    "a large Content-Type": (
        20, says((POST % 2).replace(HOST, HOST + b"content-type: " + b";a=" * 100_000 + b"\r\n") + b"{}"),
    ),
    "a large path": (20, says(b"GET /search/tags/" + b"%C3%A9" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n")),
    "many tags": (20, asks(b"GET /search/tags/a?any=" + b"a," * 800 + b"b HTTP/1.1\r\n" + HOST + b"\r\n")),
    "figures": (64, asks(b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n")),
    "health": (64, asks(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")),
    "readiness": (64, asks(b"GET /readyz HTTP/1.1\r\n" + HOST + b"\r\n")),
    "searches of 50 prefixes": (250, Asks(searches(50))),
    "searches of as many prefixes as may be": (250, Asks(searches(PREFIXES_MAX))),
    "log in": (40, Asks(log_ins())),
    "read an account": (2_600, reads_account(1)),
    "requests behind each other": (10, says(FEED * 3_000)),
    "bodies behind a request": (100, says(FEED + (POST % 60_000 + b" " * 60_000) * 3)),
    "what is no HTTP": (40, says(b"\x16\x03\x01NONSENSE\r\n\r\n")),
    "another protocol": (40, says(FEED.replace(HOST, HOST + b"connection: upgrade\r\nupgrade: h2c\r\n") * 20)),
}  # fmt: skip


async def attack(port: int, sources: Iterator[str], do: Stranger, begun: list[str], pause_s: float) -> None:
    """Do it again and again, on a new connection whenever the last one has ended. begun: takes the address of each."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            source = next(sources)
            async with connected(port, source) as ends:
                begun.append(source)
                await do(*ends)
        await asyncio.sleep(pause_s)


async def attack_for(port: int, count: int, do: Stranger, sources: list[str], seconds: float) -> int:
    """Do it on so many connections for a while, from when all are there on; returns how many were opened."""
    each, begun = itertools.cycle(sources), list[str]()
    strangers = [asyncio.create_task(attack(port, each, do, begun, PAUSE_S)) for _ in range(count)]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BEGIN_S):
            while len(begun) < count:  # noqa: ASYNC110 - nobody is there to set an event
                await asyncio.sleep(0.02)
    print(BEGUN, flush=True)
    await asyncio.sleep(seconds)
    for stranger in strangers:
        stranger.cancel()
    await asyncio.gather(*strangers, return_exceptions=True)
    return len(begun)


def main() -> None:
    """Attack, and say what came of it."""
    parser = argparse.ArgumentParser(description="Strangers.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--attack", choices=list(ATTACKS), required=True)
    parser.add_argument("--count", type=int, default=0, help="at once; by default as many as make sense for it")
    parser.add_argument("--from", dest="sources", choices=list(SOURCES), default="many")
    parser.add_argument("--account", type=int, default=1, help="whom `read an account` reads")
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    os.nice(19)
    allow_files(FILES)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    count, do = ATTACKS[args.attack]
    if args.attack == "read an account":
        do = reads_account(args.account)
    opened = uvloop.run(attack_for(args.port, args.count or count, do, SOURCES[args.sources], args.seconds))
    print(json.dumps({"connections": opened, "answers": do.statuses if isinstance(do, Asks) else {}}))


if __name__ == "__main__":
    main()
