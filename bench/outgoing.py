"""How much leaves one dispatcher? Webhooks to loopback, signed, in batches as shards give them.

    python -m bench.outgoing [--seconds 3] [--hosts 4] [--at-once 8]

Receivers are bare sockets in another process, so what is measured is the dispatcher: its class on uvloop, without Ray
and without the lane requests by which messages get their contents. Prints messages/s, and the processor's time a
message.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from contextlib import suppress
from typing import Any, Final

import uvloop

from actors.core.features.webhooks import TEST
from actors.core.outbound import SendVerdict
from actors.outgoing.dispatcher import Dispatcher
from actors.outgoing.posting import Posting
from actors.outgoing.webhooks import Webhooks

BATCH: Final = 256  # as actors/shard/outgoing.py
CALLS: Final = 4  # under way, of one shard
WARM_UP_S: Final = 0.5
ANSWER: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


class Taking(asyncio.Protocol):
    """Answers every request that has come whole; requests here are one write each, head and body."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.held = transport, b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            head = self.held[:end].lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self.held) < end + 4 + length:
                return
            self.held = self.held[end + 4 + length :]
            self.transport.write(ANSWER)


def receive(hosts: int, ports: Any) -> None:
    """Listen at so many ports, for ever. For a process of its own."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Taking, "127.0.0.1", 0) for _ in range(hosts)]
        ports.send([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.Event().wait()

    uvloop.run(serve())


class Nobody:
    """No shards: tests have no contents that would have to be asked for."""

    cluster: Any = None


async def send(ports: list[int], seconds: float, at_once: int) -> tuple[float, float]:
    """Return (messages/s, processor's seconds a message) of one dispatcher."""
    posting = Posting(("127.0.0.0/8",), at_once, 10.0)
    dispatcher = Dispatcher({"webhooks": Webhooks(Nobody(), posting)})  # type: ignore[arg-type]
    urls = [f"http://127.0.0.1:{port}/hook" for port in ports]
    rows = [
        ["webhooks", 1 + n, n << 16, 0, [urls[n % len(urls)], [b"s" * 32], n << 16, TEST, 0, 0, 1]]
        for n in range(1, BATCH + 1)
    ]
    done = 0

    async def shard(until_s: float) -> None:
        nonlocal done
        while time.perf_counter() < until_s:
            outcomes = await dispatcher.dispatch(rows)
            done += sum(verdict == SendVerdict.DONE for verdict, _ in outcomes)

    await asyncio.gather(*(shard(time.perf_counter() + WARM_UP_S) for _ in range(CALLS)))
    done, begin_s, begin_cpu_s = 0, time.perf_counter(), time.process_time()
    await asyncio.gather(*(shard(begin_s + seconds) for _ in range(CALLS)))
    spent_s, cpu_s = time.perf_counter() - begin_s, time.process_time() - begin_cpu_s
    await dispatcher.close()
    return done / spent_s, cpu_s / max(done, 1)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--at-once", type=int, default=8)
    given = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=receive, args=(given.hosts, theirs), daemon=True)
    receiver.start()
    try:
        per_second, cpu_s = uvloop.run(send(ours.recv(), given.seconds, given.at_once))
        print(f"{per_second:,.0f} messages/s, {cpu_s * 1e6:,.0f} us of the processor a message")
    finally:
        receiver.kill()
        with suppress(ValueError):
            receiver.join()


if __name__ == "__main__":
    main()
