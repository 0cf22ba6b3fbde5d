"""A small HTTP load generator: N keep-alive connections, each sending its next request when its answer is complete.

    python -m bench.load_generator --port 8000 --requests FILE --clients 32 --seconds 3

Rules of this file
- It is measured itself: `--serve-fixed PORT` answers every request with fixed bytes from a bare asyncio protocol; what
  a generator reaches against that is its own ceiling, which every result reports beside what it measured.
- It reads no more of an answer than it must: status line, content-length, number of bytes.
- wrk does the same in C and is preferred where it is installed ; both take the same file of requests.

Request file: for each request its length in decimal, a newline, and its bytes as they go over the wire.
Cost: about 20 us a request, against wrk's 5; so a p50 at 1 client holds some 15 us more of the client's than wrk's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop

from bench.processes import REPOSITORY, BenchError, python_module

WRK_SCRIPT = Path(__file__).with_name("wrk_requests.lua")
EXIT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of the generator. Latencies are of complete answers, in microseconds.

    by_path: requests, p50_us and p99_us of each path, where the requests have several and the generator can tell.
    """

    requests: int
    seconds: float
    per_second: float
    p50_us: float
    p99_us: float
    max_us: float
    errors: int
    by_path: dict[str, dict[str, float]] = field(default_factory=dict)


def write_requests(path: Path, requests: Iterable[bytes]) -> Path:
    """Write a request file."""
    path.write_bytes(b"".join(b"%d\n%b" % (len(request), request) for request in requests))
    return path


def read_requests(path: Path) -> list[bytes]:
    """Read a request file."""
    data, at, requests = path.read_bytes(), 0, []
    while at < len(data):
        end = data.index(b"\n", at)
        size = int(data[at:end])
        requests.append(data[end + 1 : end + 1 + size])
        at = end + 1 + size
    return requests


def get_request(path: str, headers: Iterable[str] = ()) -> bytes:
    """Return a GET as it goes over the wire."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


def post_request(path: str, body: bytes, headers: Iterable[str] = (), kind: str = "application/json") -> bytes:
    """Return a POST as it goes over the wire. kind: the Content-Type."""
    head = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {kind}"]
    return "\r\n".join([*head, *headers, f"Content-Length: {len(body)}", "", ""]).encode() + body


# ---- one run ----------------------------------------------------------------------------------------------------


def generators() -> list[str]:
    """Return the generators of this machine, the preferred one first."""
    return ["wrk", "builtin"] if shutil.which("wrk") else ["builtin"]


def run_load(generator: str, port: int, requests: Path, clients: int, seconds: float) -> Sample:
    """Load a loopback port from a process of its own. Raises BenchError if it fails or nothing is answered."""
    if generator == "wrk":
        command = ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
        command += ["-s", str(WRK_SCRIPT), f"http://127.0.0.1:{port}", "--", str(requests)]
    else:
        command = python_module(
            "bench.load_generator", "--port", port, "--requests", requests, "--clients", clients, "--seconds", seconds
        )
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, timeout=seconds + EXIT_TIMEOUT_S, check=False
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("{")), "")
    if done.returncode or not line:
        raise BenchError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    sample = Sample(**json.loads(line))
    if not sample.requests:
        raise BenchError(f"nothing was answered on port {port}")
    return sample


# ---- the built-in generator -------------------------------------------------------------------------------------


class Connection(asyncio.Protocol):
    """One client: a request, its answer, the next request."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.buffer = b""
        self.missing = 0  # bytes of the body that are still to come
        self.failed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.at = self.run.next_index()
        self.transport.write(self.run.requests[self.at])

    def data_received(self, data: bytes) -> None:
        if self.missing:
            self.missing -= len(data)
        else:
            self.buffer += data
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self.buffer = b""
            self.failed = not head.startswith(b"HTTP/1.1 2")
            self.missing = content_length(head) - len(rest)
        if self.missing <= 0:
            self.missing = 0
            self.run.answered(self.at, time.perf_counter() - self.sent_at, self.failed)
            if self.run.is_over:
                self.transport.close()
            else:
                self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        self.run.lost(early=not self.run.is_over)


def content_length(head: bytes) -> int:
    """Return the Content-Length of a response's head, 0 if it has none."""
    at = head.lower().find(b"content-length:")
    if at < 0:
        return 0
    end = head.find(b"\r", at)
    return int(head[at + 15 : end if end >= 0 else len(head)])


class Run:
    """One timed run of the built-in generator."""

    def __init__(self, requests: list[bytes], clients: int) -> None:
        self.requests, self.clients = requests, clients
        self.at = random.randrange(len(requests))  # runs of the same file don't repeat each other
        self.latencies: list[float] = []
        self.indexes: list[int] = []  # of the requests that the latencies belong to
        self.errors = 0
        self.is_over = False
        self.open = clients
        self.ended = asyncio.get_running_loop().create_future()

    def next_index(self) -> int:
        self.at += 1
        if self.at >= len(self.requests):
            self.at = 0
        return self.at

    def answered(self, index: int, seconds: float, failed: bool) -> None:
        self.latencies.append(seconds)
        self.indexes.append(index)
        self.errors += failed

    def lost(self, early: bool) -> None:
        self.errors += early
        self.open -= 1
        if not self.open and not self.ended.done():
            self.ended.set_result(None)

    async def measure(self, host: str, port: int, seconds: float) -> Sample:
        """Run for so long and return what was measured."""
        loop = asyncio.get_running_loop()
        begin = time.perf_counter()
        for _ in range(self.clients):
            await loop.create_connection(lambda: Connection(self), host, port)
        await asyncio.wait([self.ended], timeout=seconds)
        self.is_over = True
        elapsed = time.perf_counter() - begin
        count = len(self.latencies)
        await asyncio.wait([self.ended], timeout=10.0)
        p50_us, p99_us, max_us = quantiles_us(self.latencies[:count])
        return Sample(count, elapsed, count / elapsed, p50_us, p99_us, max_us, self.errors, self._by_path(count))

    def _by_path(self, count: int) -> dict[str, dict[str, float]]:
        paths = [path_of(request) for request in self.requests]
        latencies: dict[str, list[float]] = {path: [] for path in paths}
        if len(latencies) == 1:
            return {}
        for index, seconds in zip(self.indexes[:count], self.latencies[:count], strict=True):
            latencies[paths[index]].append(seconds)
        found = {}
        for path, values in latencies.items():
            p50_us, p99_us, _ = quantiles_us(values)
            found[path] = {"requests": len(values), "p50_us": p50_us, "p99_us": p99_us}
        return found


def path_of(request: bytes) -> str:
    """Return the path of a request, without its query."""
    return request.split(b" ", 2)[1].partition(b"?")[0].decode()


def quantiles_us(seconds: list[float]) -> tuple[float, float, float]:
    """Return p50, p99 and the longest, in microseconds; zeros for none."""
    ordered = sorted(seconds) or [0.0]
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return ordered[len(ordered) // 2] * 1e6, p99 * 1e6, ordered[-1] * 1e6


# ---- what it is measured against --------------------------------------------------------------------------------


class FixedAnswer(asyncio.Protocol):
    """Answers every request of a GET without a body with the same bytes: the cheapest HTTP server there can be here."""

    def __init__(self, body_bytes: int) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (body_bytes, b"x" * body_bytes)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.answer * data.count(b"\r\n\r\n"))


async def serve_fixed(port: int, body_bytes: int) -> None:
    """Serve fixed answers for ever."""
    server = await asyncio.get_running_loop().create_server(lambda: FixedAnswer(body_bytes), "127.0.0.1", port)
    await server.serve_forever()


def main(arguments: list[str] | None = None) -> None:
    """Run as a command; prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int)
    parser.add_argument("--requests", type=Path)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--serve-fixed", type=int, metavar="PORT")
    parser.add_argument("--body-bytes", type=int, default=4600)
    options = parser.parse_args(arguments)

    async def measure() -> Sample:
        run = Run(read_requests(options.requests), options.clients)
        return await run.measure(options.host, options.port, options.seconds)

    if options.serve_fixed:
        uvloop.run(serve_fixed(options.serve_fixed, options.body_bytes))
    else:
        json.dump(asdict(uvloop.run(measure())), sys.stdout)
        print()


if __name__ == "__main__":
    main()
