"""How fast each replica of a shard is, as one client sees it, and what follows: which to ask, when to ask another.

Rules of this file
- Pure: no sockets, no clock, no timers. Every time is given, in seconds of one clock that only grows; chance is a
  random.Random that is given too.
- A replica's own view plays no part: what counts is how long its answers took to come here.

How it works
A read goes to the better of two usable replicas drawn by lot (power of two choices: Mitzenmacher, IEEE TPDS 2001), by
    score = moving average of its latency x (reads in flight + 1)
Of two replicas that are equally fast the idle one wins; one that has stopped loses more with each read stuck in it. An
average that nobody has renewed loses half its value each AVERAGE_HALF_LIFE_S, so that a replica that was slow once is
tried again.

A replica whose oldest unanswered read is far older than the p95 is *stalled*, until it answers or connects anew: it is
passed over, and shown a copy of a read every PROBE_INTERVAL_S to find out whether it is back. The late answers to what
was stuck in it say nothing about how fast it is now, so they don't count.

Costs: a choice among three replicas 2 us, a latency noted 0.5 us and one sort of 256 numbers in 32.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from cluster.lane.client import Done

SAMPLES_MAX = 256  # "the last few hundred reads" that the p95 is taken of
SAMPLES_MIN = 20  # fewer say nothing about a p95
SORT_INTERVAL_READS = 32  # a p95 that is so many reads old is good enough
HEDGE_DELAY_MIN_S, HEDGE_DELAY_MAX_S = 0.002, 0.25  # the finest timer of the event loop has 1 ms
HEDGE_DELAY_FIRST_S = 0.05  # until SAMPLES_MIN reads were answered
STALL_DELAY_COUNT = 4  # hedge delays after which an unanswered read means that the replica has stopped
PROBE_INTERVAL_S = 0.1  # between two reads shown to a stalled replica
LATENCY_FIRST_S = 0.001  # of a replica that has answered nothing yet
LATENCY_WEIGHT = 0.1  # of a new latency in the moving average: it follows a change within some ten reads
AVERAGE_HALF_LIFE_S = 1.0  # of an average that isn't renewed
HEDGE_SHARE = 0.05  # extra requests per read
HEDGE_BURST_COUNT = 10.0  # extra requests that may be saved up


class ReplicaLane(Protocol):
    """What is needed of a LaneClient."""

    closed: bool

    def send(self, op: str, args: list[object], timeout_s: float, done: Done) -> None:
        """See LaneClient.send."""
        ...


class ReplicaLoad:
    """One replica: its lane, its reads without an answer, and how long answers took.

    primary, in_sync: what the map says of it; lane: None until one is connected.
    """

    __slots__ = (
        "_number", "_observed_at", "_resumed_at", "in_sync", "index", "lane", "latency_s", "primary", "probed_at",
        "stalled", "waiting",
    )  # fmt: skip

    def __init__(self, index: int) -> None:
        self.index = index
        self.primary = self.in_sync = False
        self.lane: ReplicaLane | None = None
        self.waiting: dict[int, float] = {}  # number of a read -> when it was sent, oldest first
        self.stalled = False
        self.probed_at = float("-inf")
        self.latency_s = LATENCY_FIRST_S
        self._observed_at = 0.0
        self._resumed_at = float("-inf")
        self._number = 0

    @property
    def connected(self) -> bool:
        """Whether its lane is up."""
        return self.lane is not None and not self.lane.closed

    def connect(self, lane: ReplicaLane, now: float, latency_s: float = LATENCY_FIRST_S) -> None:
        """Take a new lane: what was known of the process behind the old one is void. latency_s: what to expect."""
        self.lane, self.stalled = lane, False
        self.latency_s, self._observed_at = latency_s, now

    def begin(self, now: float) -> int:
        """Note that a read is sent; returns its number, for `end`."""
        self._number += 1
        self.waiting[self._number] = now
        return self._number

    def end(self, number: int, now: float, answered: bool, penalty_s: float = 0.0) -> None:
        """Note the end of a read. answered: the replica itself said something; penalty_s: what a useless answer costs
        whoever has to ask elsewhere, counted as latency."""
        sent_at = self.waiting.pop(number)
        if not answered:
            return
        if self.stalled:
            self.stalled, self._resumed_at = False, now
        if sent_at >= self._resumed_at:
            self.latency_s += LATENCY_WEIGHT * (now - sent_at + penalty_s - self.latency_s)
            self._observed_at = now

    def oldest_s(self, now: float) -> float:
        """Return the age of the oldest read without an answer, 0 if there is none."""
        return now - next(iter(self.waiting.values())) if self.waiting else 0.0

    def is_stalled(self, now: float, stall_s: float) -> bool:
        """Whether it has stopped answering; the flag outlives the reads that showed it."""
        if not self.stalled and self.waiting and self.oldest_s(now) > stall_s:
            self.stalled, self.probed_at = True, now
        return self.stalled

    def wants_probe(self, now: float) -> bool:
        """Whether a stalled replica is due for another read; says so once per PROBE_INTERVAL_S."""
        if now - self.probed_at < PROBE_INTERVAL_S:
            return False
        self.probed_at = now
        return True

    def score(self, now: float) -> float:
        """Return what choosing it would cost, in seconds; lower is better."""
        idle_s = now - self._observed_at
        faded = self.latency_s if idle_s < 0.1 else self.latency_s * 0.5 ** (idle_s / AVERAGE_HALF_LIFE_S)
        return faded * (len(self.waiting) + 1)


def choose(usable: Sequence[ReplicaLoad], now: float, rng: random.Random) -> ReplicaLoad:
    """Return the better of two replicas drawn from usable, which has one at least."""
    count = len(usable)
    if count == 1:
        return usable[0]
    first = 0 if count == 2 else int(rng.random() * count)
    second = 1 if count == 2 else (first + 1 + int(rng.random() * (count - 1))) % count
    a, b = usable[first], usable[second]
    score_a, score_b = a.score(now), b.score(now)
    if score_a == score_b:
        return a if rng.random() < 0.5 else b
    return a if score_a < score_b else b


class Latencies:
    """The last reads of a shard, and when a read is late."""

    def __init__(self) -> None:
        self._samples: list[float] = []
        self._count = 0
        self.hedge_delay_s = HEDGE_DELAY_FIRST_S

    @property
    def stall_s(self) -> float:
        """Age at which an unanswered read makes its replica a stalled one."""
        return STALL_DELAY_COUNT * self.hedge_delay_s

    def note(self, latency_s: float) -> None:
        """Take one read's latency; renews the delay now and then."""
        samples = self._samples
        if len(samples) < SAMPLES_MAX:
            samples.append(latency_s)
        else:
            samples[self._count % SAMPLES_MAX] = latency_s
        self._count += 1
        if self._count == SAMPLES_MIN or (self._count % SORT_INTERVAL_READS == 0 and self._count > SAMPLES_MIN):
            p95 = sorted(samples)[len(samples) * 95 // 100]
            self.hedge_delay_s = min(max(p95, HEDGE_DELAY_MIN_S), HEDGE_DELAY_MAX_S)


class HedgeBudget:
    """A token bucket: HEDGE_SHARE extra requests per read, at most HEDGE_BURST_COUNT saved up."""

    def __init__(self) -> None:
        self._tokens = HEDGE_BURST_COUNT

    def earn(self) -> None:
        """Count a read."""
        if self._tokens < HEDGE_BURST_COUNT:
            self._tokens += HEDGE_SHARE

    def spend(self) -> bool:
        """Take one extra request; False when there is none left."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
