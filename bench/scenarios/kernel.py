"""`kernel`: the delivery kernel alone, 10 to 1,000 followers a tweet, beside what memory and NumPy can do.

All rings are full and awake, followers are random, 250 tweets go into a call. In each turn of each size
- *random writes*: a compiled loop that writes 4 bytes at random places of an array as large as the rings: what the
  machine's memory takes, and so the most that any delivery could reach;
- *NumPy*: the same inserts into uint32[accounts, 800], head % 800, by fancy indexing: what one would write without a
  kernel. It does less: no floors, no order of ids, no accounts asleep.
Memory: 9 KB an account while it runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numba
import numpy as np

from bench.kernel import BATCH_TWEETS, RING_FULL, RING_LENGTH, Delivered, Kernel
from bench.machine import busy_percent
from bench.pairs import Spread, Turns, alternate
from bench.results import Claim, Plot, Result, Row
from bench.scenarios import Options, Progress, counting

ACCOUNTS, ACCOUNTS_QUICK = 1_000_000, 5_000
FOLLOWERS = (10, 100, 400, 1_000)
EDGES, EDGES_QUICK = 4_000_000, 100_000  # follows to draw authors from: more than caches hold
CLAIMED_FOLLOWERS = 100
SORTED_BELOW = 50  # followers a tweet: below, NumPy is faster over all tweets of a batch at once
WARM_UP_S = 0.3
WRITES = 1 << 20  # random places, drawn before the clock starts
OURS, MEMORY, NUMPY = "Rookery", "random writes", "NumPy"


@numba.njit(cache=True)
def write_at(data, places, value) -> None:
    """Write one value at many places."""
    for i in range(places.shape[0]):
        data[places[i]] = value


class NumpyRings:
    """Circular rings in one array: ring r is flat[r * 800 : (r + 1) * 800], its next place head[r] % 800."""

    def __init__(self, rows: int) -> None:
        self.flat = np.ones(rows * RING_LENGTH, dtype=np.uint32)
        self.head = np.zeros(rows, dtype=np.int64)

    def deliver(self, followers: Sequence[np.ndarray], ns: np.ndarray) -> None:
        """Put ns[i] into the rings followers[i], each of which holds a row once."""
        if len(followers[0]) < SORTED_BELOW:
            self._deliver_sorted(followers, ns)
            return
        for rows, n in zip(followers, ns, strict=True):
            head = self.head[rows]
            self.flat[rows * RING_LENGTH + head % RING_LENGTH] = n
            self.head[rows] = head + 1

    def _deliver_sorted(self, followers: Sequence[np.ndarray], ns: np.ndarray) -> None:
        """As `deliver`, all at once: sorted by row, a row's second tweet goes one place further."""
        rows = np.concatenate(followers)
        order = np.argsort(rows, kind="stable")
        rows, values = rows[order], np.repeat(ns, [len(f) for f in followers])[order]
        starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
        counts = np.diff(np.append(starts, len(rows)))
        head = self.head[rows] + np.arange(len(rows)) - np.repeat(starts, counts)
        self.flat[rows * RING_LENGTH + head % RING_LENGTH] = values
        self.head[rows[starts]] += counts


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    accounts = options.accounts or (ACCOUNTS_QUICK if options.quick else ACCOUNTS)
    result = Result("kernel", {"quick": options.quick, "pairs": options.pairs, "accounts": accounts})
    progress(f"filling {accounts:,} rings")
    kernel = Kernel(accounts, (RING_LENGTH, RING_FULL), on_count=counting(progress, "rings filled", accounts))
    other, busy = NumpyRings(accounts), []
    rates = result.plot(
        Plot(
            "rates",
            f"Deliveries into {accounts:,} rings",
            "followers of a tweet",
            "deliveries (writes) per second",
            True,
            True,
        )
    )
    worst: dict[str, Spread] = {}
    for followers in FOLLOWERS:
        followers = min(followers, accounts)
        progress(f"{followers} followers")
        turns = _measure(kernel, other, followers, options, busy)
        case = f"{followers:,} followers"
        result.keep(case, turns)
        for name in turns.samples:
            ratio = None if name == OURS else turns.ratio(OURS, name, lambda s: s.per_second)
            rate = turns.spread(name, lambda s: s.per_second)
            unit = "writes" if name == MEMORY else "deliveries"
            result.rows.append(Row(case, name, unit, "/s", rate, ratio))
            rates.add(name, followers, rate)
            if ratio and followers >= CLAIMED_FOLLOWERS:
                worst[name] = min(worst.get(name, ratio), ratio, key=lambda r: r.median)
    result.claims += [
        Claim("deliveries to random writes, worst of 100 followers and more", "at_least", 0.1, worst[MEMORY], 3),
        Claim("deliveries to NumPy's, worst of 100 followers and more", "at_least", 2.5, worst[NUMPY], 3),
    ]
    result.facts |= {
        "rings": f"{accounts:,} of {RING_LENGTH} to {RING_FULL} entries, {kernel.rings.nbytes() / 2**20:,.0f} MiB",
        "array of random writes and of NumPy": f"{other.flat.nbytes / 2**20:,.0f} MiB",
        "tweets a call": BATCH_TWEETS,
        "machine busy before a turn": f"{min(busy):.0f} to {max(busy):.0f} %",
    }
    return result


def _measure(
    kernel: Kernel, other: NumpyRings, followers: int, options: Options, busy: list[float]
) -> Turns[Delivered]:
    authors = max(BATCH_TWEETS, (EDGES_QUICK if options.quick else EDGES) // followers)
    audience = kernel.audience(np.full(authors, followers, dtype=np.int64))
    rows = [audience.view(author).astype(np.int64) for author in range(authors)]
    rng = np.random.default_rng(followers)

    def ours(seconds: float) -> Delivered:
        return kernel.run(audience, authors, seconds)

    def memory(seconds: float) -> Delivered:
        spent = writes = 0.0
        while spent < seconds:
            places = rng.integers(0, len(other.flat), WRITES)
            begin = time.perf_counter()
            write_at(other.flat, places, np.uint32(1))
            spent += time.perf_counter() - begin
            writes += WRITES
        return Delivered(0, int(writes), spent)

    def numpy(seconds: float) -> Delivered:
        spent, tweets = 0.0, 0
        while spent < seconds:
            chosen = [rows[author] for author in rng.integers(0, authors, BATCH_TWEETS)]
            ns = np.arange(tweets, tweets + BATCH_TWEETS, dtype=np.uint32)
            begin = time.perf_counter()
            other.deliver(chosen, ns)
            spent += time.perf_counter() - begin
            tweets += BATCH_TWEETS
        return Delivered(tweets, tweets * followers, spent)

    contestants = {OURS: ours, MEMORY: memory, NUMPY: numpy}
    options.warm_up(contestants.values(), WARM_UP_S)
    runs = {name: (lambda _, run=run: run(options.seconds)) for name, run in contestants.items()}
    return alternate(runs, options.pairs, lambda: busy.append(busy_percent()))
