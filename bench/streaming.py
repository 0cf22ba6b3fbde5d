"""An audience: clients of streams in processes of their own, told what to wait for; and what they saw, as figures.

Rules of this file
- As many processes as the limit of open files asks for, each with a client address of its own, since an address has
  28,000 ports towards one server: 127.0.0.2, 127.0.0.3 and on, which Linux has without being told.
- What an audience costs is shown beside what it measures: `cpu_s`.
- A stream that is refused, lost, told nothing in time or told twice is an error (`BenchError`), never a smaller figure.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from bench.load_generator import get_request, write_requests
from bench.processes import REPOSITORY, BenchError, end, python_module

FILES_BESIDE: Final = 64  # of a process of clients: Python's own
HEARD_WITHIN_S: Final = 30.0
LISTENING_WITHIN_S, LISTENING_TRIES = 2.0, 10
LINGER_S: Final = 0.05  # after the last one has it: a second telling comes at once, or not at all
FIRST_SOURCE: Final = 2  # 127.0.0.2
WEBSOCKET_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455's example; nobody here checks it again


def sse_request(path: str, token: str) -> bytes:
    """Return a request for a stream of server-sent events."""
    return get_request(path, [f"Authorization: Bearer {token}", "Accept: text/event-stream"])


def websocket_request(path: str, token: str) -> bytes:
    """Return a request for a stream over a WebSocket, without compression."""
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    return get_request(path, [f"Authorization: Bearer {token}", *upgrade, f"Sec-WebSocket-Key: {WEBSOCKET_KEY}"])


@dataclass(frozen=True, slots=True)
class Heard:
    """When connections had an event: monotonic nanoseconds, ascending. cpu_s: what the audience took to read it."""

    at_ns: list[int]
    cpu_s: float

    def since_ms(self, begin_ns: int) -> list[float]:
        """Return the milliseconds from a moment until each had it; 0 for who had it before."""
        return [max(0, at - begin_ns) / 1e6 for at in self.at_ns]


class Crew:
    """One process of clients."""

    def __init__(self, source: str, folder: Path) -> None:
        self.source = source
        self._requests = folder / f"streams-{source}"
        self.process = subprocess.Popen(
            python_module("bench.stream_clients"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY
        )
        self.cpu_s = 0.0

    def tell(self, **command: Any) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer. Raises BenchError if there is none, or it says that a stream was refused."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BenchError(f"the clients from {self.source} have ended")
        found: dict[str, Any] = json.loads(line)
        if "refused" in found:
            raise BenchError(f"a stream was refused: {found['refused']}")
        self.cpu_s = found["cpu_s"]
        return found

    def open(self, port: int, requests: Sequence[bytes]) -> None:
        """Ask for streams; the answer is still to be waited for."""
        write_requests(self._requests, requests)
        self.tell(do="open", port=port, requests=str(self._requests), source=self.source)


class Audience:
    """All clients. each: how many connections one process may have."""

    def __init__(self, crews: list[Crew], each: int) -> None:
        self._crews, self._each = crews, each
        self._at_work: list[Crew] = []
        self._open_count = 0

    def open(self, port: int, requests: Sequence[bytes]) -> float:
        """Open a stream for each request but the first ones, which are open; returns the seconds that it took."""
        begin = time.monotonic()
        parts = split(requests, len(self._crews), self._each)
        self._at_work = self._crews[: len(parts)]
        asked = []
        for number, (crew, part) in enumerate(zip(self._at_work, parts, strict=True)):
            there = min(len(part), max(0, self._open_count - number * self._each))
            if there < len(part):
                crew.open(port, part[there:])
                asked.append(crew)
        for crew in asked:
            crew.answer()
        self._open_count = len(requests)
        return time.monotonic() - begin

    def wait_until_heard(self, tell: Callable[[], tuple[str, Callable[[], object]]]) -> None:
        """Have something told until everybody hears it: a stream that is open may not listen yet.

        tell: makes something new, and returns its marker and what tells it. Raises BenchError if they never do.
        """
        for _ in range(LISTENING_TRIES):
            marker, say = tell()
            expected = self.expect(marker, LISTENING_WITHIN_S)
            say()
            if sum(len(crew.answer()["at_ns"]) for crew in self._at_work) == expected:
                return
        raise BenchError(f"not all of {expected} streams heard any of {LISTENING_TRIES} events")

    def expect(self, marker: str, timeout_s: float = HEARD_WITHIN_S) -> int:
        """Have everybody look for a marker from now on; returns how many look."""
        for crew in self._at_work:
            crew.tell(do="expect", marker=marker, timeout_s=timeout_s, linger_s=LINGER_S)
        return sum(crew.answer()["expecting"] for crew in self._at_work)

    def heard(self, expected: int) -> Heard:
        """Wait until all have what they expect. Raises BenchError if somebody hasn't, or has it twice."""
        before = [crew.cpu_s for crew in self._at_work]
        answers = [crew.answer() for crew in self._at_work]
        at_ns = sorted(at for answer in answers for at in answer["at_ns"])
        doubled, lost = (sum(answer[name] for answer in answers) for name in ("doubled", "lost"))
        if len(at_ns) != expected or doubled or lost:
            raise BenchError(f"{len(at_ns)} of {expected} streams had it, {doubled} twice; {lost} were closed")
        cpu_s = sum(crew.cpu_s - was for crew, was in zip(self._at_work, before, strict=True))
        return Heard(at_ns, cpu_s)

    def close(self) -> None:
        """Close all streams; the processes stay."""
        for crew in self._at_work:
            crew.tell(do="close")
        for crew in self._at_work:
            crew.answer()
        self._at_work, self._open_count = [], 0


def split(requests: Sequence[bytes], crews: int, each: int) -> list[Sequence[bytes]]:
    """Return the parts of as few crews as can hold them. Raises BenchError if all together can't."""
    if len(requests) > crews * each:
        raise BenchError(f"{len(requests)} streams are more than {crews} processes of {each} connections hold")
    return [requests[first : first + each] for first in range(0, len(requests), each)]


def connections_each() -> int:
    """Return how many connections a process of clients may have: its limit of open files, raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - FILES_BESIDE


@contextmanager
def audience(folder: Path, connections: int) -> Iterator[Audience]:
    """Have processes for so many connections while the block runs. folder: for their requests."""
    each = connections_each()
    crews: list[Crew] = []
    try:
        for number in range(-(-connections // each)):
            source = f"127.0.0.{FIRST_SOURCE + number}" if sys.platform == "linux" else ""
            crews.append(Crew(source, folder))
        yield Audience(crews, each)
    finally:
        for crew in crews:
            end(crew.process)


# ---- processor time and memory of those who serve -------------------------------------------------------------------


def cpu_s_of(pids: Sequence[int]) -> float:
    """Return the processor time that processes have used so far, to the nanosecond where Linux counts it so."""
    if sys.platform == "linux":
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)  # the clock that clock_getcpuclockid(3) names
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(each.user + each.system for each in times)


def resident_of(pids: Sequence[int]) -> int:
    """Return the resident bytes of processes, added up."""
    return sum(int(psutil.Process(pid).memory_info().rss) for pid in pids)
