"""An open-loop HTTP load generator: so many requests a second, whether or not the answers keep up.

    python -m bench.open_load --port 8000 --requests FILE --rate 20000 --seconds 5 --connections 2000

`load_generator.py` sends a client's next request when its last answer is there, so a slow server is asked less. Here
requests fall due by the clock, as those of many independent people do, and what the server can't carry it must refuse.

Rules of this file
- One request a connection at a time; a connection that the server closes after an answer is made anew. While none is
  free, what falls due waits here, as in a client's connection pool. What never left is counted apart (`unsent`).
- Latency is that of the server: from sending to the whole answer. Waiting for a free connection is `waited_s`.
- A refusal (429, 503) is an answer of another kind: counted apart, with its own latencies.

Cost: about 25 us a request; `late_s` of the result says by how much the generator itself fell behind its clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from bench.load_generator import EXIT_TIMEOUT_S, content_length, quantiles_us, read_requests
from bench.processes import REPOSITORY, BenchError, python_module

PACE_S = 0.002  # requests that fall due within so long leave together
SETTLE_S = 10.0  # for the answers that are under way at the end
REFUSALS = (429, 503)
FILES_BESIDE_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """Answers of one kind: how many, and their latencies in seconds."""

    count: int
    p50_s: float
    p99_s: float
    max_s: float

    @classmethod
    def of(cls, latencies: list[float]) -> Kind:
        """Return the figures of latencies in seconds."""
        p50, p99, most = (value / 1e6 for value in quantiles_us(latencies))
        return cls(len(latencies), p50, p99, most)


@dataclass(frozen=True, slots=True)
class Offered:
    """One run. late_s: how far the generator missed its own clock at most; other: answers of other statuses."""

    due: int
    unsent: int
    waited_s: float
    seconds: float
    answered: Kind
    refused: Kind
    other: dict[str, int]
    broken: int
    without_retry_after: int
    late_s: float


def offer_load(port: int, requests: Path, rate: float, seconds: float, connections: int) -> Offered:
    """Offer so many requests a second to a loopback port, from a process of its own. Raises BenchError if it fails."""
    command = python_module(
        "bench.open_load", "--port", port, "--requests", requests, "--rate", rate, "--seconds", seconds,
        "--connections", connections,
    )  # fmt: skip
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=seconds + SETTLE_S + EXIT_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    return Offered(**{**found, "answered": Kind(**found["answered"]), "refused": Kind(**found["refused"])})


class Connection(asyncio.Protocol):
    """One keep-alive connection, idle or with one request under way."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.sent_s = 0.0  # when the request under way was sent; 0 while idle
        self.buffer = b""
        self.missing = 0  # bytes of the body that are still to come
        self.status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self) -> None:
        self.sent_s = time.perf_counter()
        self.transport.write(self.run.next_request())

    def data_received(self, data: bytes) -> None:
        if not self.status:
            self.buffer += data
            head, found, data = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self.buffer, self.status = b"", int(head[9:12])
            self.missing = content_length(head)
            if self.status in REFUSALS and b"\r\nretry-after:" not in head.lower():
                self.run.without_retry_after += 1
        self.missing -= len(data)
        if self.missing <= 0:
            status, sent_s, self.status, self.sent_s = self.status, self.sent_s, 0, 0.0
            self.run.answered(self, status, time.perf_counter() - sent_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self.run.lost(self)


class Run:
    """One timed run."""

    def __init__(self, requests: list[bytes], host: str, port: int) -> None:
        self.requests, self.address = requests, (host, port)
        self.at = random.randrange(len(requests))
        self.idle: deque[Connection] = deque()
        self.waiting: deque[float] = deque()  # due times that no connection was free for
        self.under_way = 0
        self.waited_s = 0.0
        self.latencies: dict[int, list[float]] = {}
        self.broken = self.without_retry_after = 0
        self.is_over = False
        self.dials: set[asyncio.Task[None]] = set()
        self.settled = asyncio.get_running_loop().create_future()  # nothing is under way after the end

    def next_request(self) -> bytes:
        self.at = (self.at + 1) % len(self.requests)
        return self.requests[self.at]

    def start(self, due_s: float) -> None:
        if not self.idle:
            self.waiting.append(due_s)
            return
        self.under_way += 1
        self.waited_s = max(self.waited_s, time.perf_counter() - due_s)
        self.idle.popleft().send()

    def answered(self, connection: Connection, status: int, seconds: float) -> None:
        self.end_one()
        self.latencies.setdefault(status, []).append(seconds)
        self.ready(connection)

    def end_one(self) -> None:
        self.under_way -= 1
        if self.is_over and not self.under_way and not self.settled.done():
            self.settled.set_result(None)

    def ready(self, connection: Connection) -> None:
        self.idle.append(connection)
        if self.waiting and not self.is_over:
            self.start(self.waiting.popleft())

    def lost(self, connection: Connection) -> None:
        if connection.sent_s:
            self.end_one()
            self.broken += 1
        elif connection in self.idle:
            self.idle.remove(connection)
        if not self.is_over:
            dial = asyncio.get_running_loop().create_task(self.dial())
            self.dials.add(dial)
            dial.add_done_callback(self.dials.discard)

    async def dial(self) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(self), *self.address)
        except OSError:
            self.broken += 1
            return
        self.ready(connection)

    async def measure(self, rate: float, seconds: float, connections: int) -> Offered:
        """Offer requests for so long and return what became of them."""
        for _ in range(connections):
            await self.dial()
        begin, due, late_s = time.perf_counter(), 0, 0.0
        while (now := time.perf_counter() - begin) < seconds:
            late_s = max(late_s, now - due / rate)
            while due < now * rate:
                self.start(begin + due / rate)
                due += 1
            await asyncio.sleep(PACE_S)
        self.is_over, elapsed = True, time.perf_counter() - begin
        if self.under_way:
            await asyncio.wait([self.settled], timeout=SETTLE_S)
        self.broken += self.under_way
        for connection in list(self.idle):
            connection.transport.close()
        good = [s for status, found in self.latencies.items() if 200 <= status < 300 for s in found]
        refused = [s for status in REFUSALS for s in self.latencies.get(status, ())]
        other = {str(k): len(v) for k, v in self.latencies.items() if not 200 <= k < 300 and k not in REFUSALS}
        return Offered(
            due, len(self.waiting), self.waited_s, elapsed, Kind.of(good), Kind.of(refused), other, self.broken,
            self.without_retry_after, late_s,
        )  # fmt: skip


def allow_files(count: int) -> None:
    """Raise this process's limit on open files as far as needed and allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + FILES_BESIDE_CONNECTIONS
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def main(arguments: list[str] | None = None) -> None:
    """Run as a command; prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=1_000)
    options = parser.parse_args(arguments)
    allow_files(options.connections)

    async def measure() -> Offered:
        run = Run(read_requests(options.requests), options.host, options.port)
        return await run.measure(options.rate, options.seconds, options.connections)

    json.dump(asdict(uvloop.run(measure())), sys.stdout)
    print()


if __name__ == "__main__":
    main()
