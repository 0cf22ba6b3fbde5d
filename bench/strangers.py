"""What strangers do to keep others from reading and writing: each attack as one connection does it, again and again.

    python -m bench.strangers --port 8000 --attack "send a byte of a body" --count 520 --from many --seconds 5

Rules of this file
- An attack is what is done on one connection; whoever ends it, the next connection follows at once, or after a pause.
- From many addresses of 127.0.0.0/8, or from the one that everybody else has.
- The process has the least priority, so that on one machine strangers take no processor from those whom they attack:
  elsewhere they would have their own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import uvloop

from api.auth import make_token
from bench.open_load import allow_files

SAME = ["127.0.0.1"]  # as behind one proxy that isn't known, or on one machine
MANY = [f"127.0.7.{number}" for number in range(1, 201)]
FILES = 8_000
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


ATTACKS: dict[str, tuple[int, Stranger]] = {  # with how many at once
    "say nothing": (600, says(b"")),
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


async def attack_for(port: int, what: str, count: int, sources: list[str], seconds: float) -> int:
    """Do it on so many connections for a while; returns how many were opened."""
    usual, do = ATTACKS[what]
    each, begun = itertools.cycle(sources), list[str]()
    strangers = [asyncio.create_task(attack(port, each, do, begun, 0.05)) for _ in range(count or usual)]
    await asyncio.sleep(seconds)
    for stranger in strangers:
        stranger.cancel()
    await asyncio.gather(*strangers, return_exceptions=True)
    return len(begun)


def main() -> None:
    """Attack, and print how many connections it took."""
    parser = argparse.ArgumentParser(description="Strangers.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--attack", choices=list(ATTACKS), required=True)
    parser.add_argument("--count", type=int, default=0, help="at once; by default as many as make sense for it")
    parser.add_argument("--from", dest="sources", choices=("same", "many"), default="many")
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    os.nice(19)
    allow_files(FILES)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    begin = time.monotonic()
    sources = SAME if args.sources == "same" else MANY
    opened = uvloop.run(attack_for(args.port, args.attack, args.count, sources, args.seconds))
    print(f"{opened} connections in {time.monotonic() - begin:.1f} s")


if __name__ == "__main__":
    main()
