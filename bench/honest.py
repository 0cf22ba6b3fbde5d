"""Honest clients: so many reads and writes a second by the clock, few enough that the machine isn't busy with them.

Rules of this file
- Open loop: a request leaves when it falls due, whether or not earlier ones have been answered, on a connection that
  is free; where none is, and for every tenth request, on a new one. So who waits for one answer doesn't ask less.
- A latency is from when a request fell due, connecting included, to its whole answer. What was refused (429) or failed
  has none: an answer that is no good is no quick answer.

Cost: some 100 us of this process's time a request.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson
import uvloop

from bench.dataset import Network
from bench.load_generator import get_request, post_request
from bench.strangers import SAME, answer

READS_PER_S, WRITES_PER_S = 100.0, 25.0
NEW_CONNECTION_EACH = 10  # requests
PATIENCE_S = 20.0  # until a request counts as one that failed
BROKEN = 0  # in place of a status: the connection ended, or PATIENCE_S were over
REFUSED = 429
KINDS = ("reads", "writes")
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Noticed:
    """What honest clients saw for a while: latencies of good answers in seconds, and all statuses, by kind."""

    took_s: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})

    def percentile_ms(self, kind: str, percent: int) -> float:
        """Return a percentile of the good answers, infinity if there were none."""
        took = sorted(self.took_s[kind])
        return 1e3 * took[min(len(took) - 1, len(took) * percent // 100)] if took else float("inf")

    def failed_count(self) -> int:
        """Return how many requests got an error of the server's (5xx), or no answer."""
        return sum(n for each in self.statuses.values() for status, n in each.items() if status >= 500 or not status)

    def refused_count(self) -> int:
        """Return how many requests were told to come again, since there were too many of them."""
        return sum(each[REFUSED] for each in self.statuses.values())


class Honest:
    """The clients of one run, all at one address."""

    def __init__(self, port: int, noticed: Noticed) -> None:
        self._port, self._noticed = port, noticed
        self._idle: list[Ends] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._asked_count = 0

    async def offer(self, kind: str, requests: Iterator[bytes], per_s: float, seconds: float) -> None:
        """Send requests of one kind as they fall due."""
        begin = time.perf_counter()
        for number in itertools.count():
            due = begin + number / per_s
            if due - begin >= seconds:
                return
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(self._ask(kind, next(requests)))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def end(self) -> None:
        """Wait for what is under way, and close."""
        await asyncio.gather(*self._under_way)
        for _, writer in self._idle:
            writer.transport.abort()

    async def _ask(self, kind: str, request: bytes) -> None:
        begin = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE_S):
                status = await self._exchange(request)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            status = BROKEN
        self._noticed.statuses[kind][status] += 1
        if 200 <= status < 300:
            self._noticed.took_s[kind].append(time.perf_counter() - begin)

    async def _exchange(self, request: bytes) -> int:
        self._asked_count += 1
        if self._idle and self._asked_count % NEW_CONNECTION_EACH == 0:
            self._idle.pop(0)[1].transport.abort()
        while self._idle and self._idle[-1][0].at_eof():  # the server was tired of it
            self._idle.pop()[1].transport.abort()
        ends = self._idle.pop() if self._idle else await self._connect()
        try:
            ends[1].write(request)
            status = await answer(ends[0])
        except BaseException:
            ends[1].transport.abort()
            raise
        self._idle.append(ends)
        return status

    async def _connect(self) -> Ends:
        return await asyncio.open_connection("127.0.0.1", self._port, local_addr=(SAME[0], 0))


def be_honest(port: int, network: Network, accounts: list[int], seconds: float) -> Noticed:
    """Read the home timelines of accounts and post as them for a while."""
    noticed = Noticed()

    async def clients() -> None:
        honest = Honest(port, noticed)
        rates = zip(KINDS, (READS_PER_S, WRITES_PER_S), strict=True)
        await asyncio.gather(
            *(honest.offer(kind, _requests(kind, network, accounts), per_s, seconds) for kind, per_s in rates)
        )
        await honest.end()

    uvloop.run(clients())
    return noticed


def _requests(kind: str, network: Network, accounts: list[int]) -> Iterator[bytes]:
    for account in itertools.cycle(accounts):
        signed = [f"Authorization: Bearer {network.tokens[account][0]}"]
        if kind == "reads":
            yield get_request(f"/api/v1/home_timeline?user_id={account}", signed)
        else:
            body = orjson.dumps({"user_id": str(account), "status": "good morning"})
            yield post_request("/api/v1/tweet", body, signed)
