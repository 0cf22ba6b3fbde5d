"""The delivery kernel alone: rings of many accounts, all awake, and tweets of authors with so many random followers.

    python -m bench.kernel --rows 500000 --fill-least 800 --fill-most 880 --followers 403

Rules of this file
- Only what a shard itself calls is timed: `Rings.deliver` with a batch of arrivals. Making the arrivals is not.
- Rings are filled before, as backfills fill them, so that no ring meets its first growth while the clock runs.
- As a command it is one of several processes that run at once (`KernelProcesses`): it says `{}` when it is filled, then
  reads seconds from stdin, a number a line, and answers each with a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

import numpy as np

from actors.core.arrays.arena import BlockArena
from actors.core.entries import Entry
from actors.core.timelines.arrivals import Arrivals
from actors.core.timelines.rings import Rings
from bench.dataset import Ints, draw_audience
from bench.processes import REPOSITORY, BenchError, end, python_module

RING_LENGTH = 800  # timeline.length
RING_FULL = 880  # entries at which a ring drops its oldest
ARRIVALS = 1 << 20  # timeline.arrivals_max
BATCH_TWEETS = 250  # about what a shard takes from another at once, and what a loader sends
OnCount = Callable[[int], None]
FILL_ENTRIES = 1_000_000  # entries a call while rings are filled


@dataclass(frozen=True, slots=True)
class Delivered:
    """One run of one kernel."""

    tweets: int
    deliveries: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Deliveries a second."""
        return self.deliveries / self.seconds


class Kernel:
    """One shard's rings, without the shard."""

    def __init__(self, rows: int, fill: tuple[int, int], seed: int = 1, on_count: OnCount = lambda _: None) -> None:
        """fill: least and most entries (exclusive) that a ring holds at first; on_count: told of rings filled."""
        self.rows = rows
        self.rng = np.random.default_rng(seed)
        self.arrivals = Arrivals(ARRIVALS)
        self.rings = Rings(self.arrivals, RING_LENGTH)
        self.rings.ensure_rows(rows)
        for row in range(rows):
            self.rings.wake(row)
        self._fill(*fill, on_count)

    def _fill(self, least: int, most: int, on_count: OnCount) -> None:
        ns, ids = self._arrive(most)
        step = max(1, FILL_ENTRIES // max(1, most))
        for first in range(0, self.rows if most else 0, step):
            rows = np.arange(first, min(first + step, self.rows), dtype=np.int64)
            counts = self.rng.integers(least, max(least + 1, most), len(rows))
            at = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # 0, 1, ... in each ring
            self.rings.insert(np.repeat(rows, counts), ns[at], ids[at])
            on_count(len(rows))

    def _arrive(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        first = self.arrivals.next_n + 1
        ids = np.arange(first, first + count, dtype=np.int64)
        ns = [self.arrivals.add(Entry(i, 1, 0, 0, i, 1, 0, 0, 0, b"", [], None))[0] for i in ids.tolist()]
        return np.array(ns, dtype=np.uint32), ids

    def audience(self, followers: Ints) -> BlockArena:
        """Return the local followers of authors; followers[i]: how many random ones author i has."""
        authors, rows = draw_audience(self.rng, self.rows, followers)
        arena = BlockArena(np.int32)
        arena.ensure_rows(len(followers))
        arena.append_many(authors, rows.astype(np.int32))
        return arena

    def run(self, audience: BlockArena, authors: int, seconds: float, batch: int = BATCH_TWEETS) -> Delivered:
        """Deliver batches of tweets by random authors, at least one, until the kernel has run for so long."""
        spent, tweets, before = 0.0, 0, self.rings.delivery_count
        own_rows, in_order = np.full(batch, -1, dtype=np.int64), np.ones(batch, dtype=np.bool_)
        while not tweets or spent < seconds:
            ns, ids = self._arrive(batch)
            author_rows = self.rng.integers(0, authors, batch)
            begin = time.perf_counter()
            self.rings.deliver(audience, ns, ids, author_rows, own_rows, in_order)
            spent += time.perf_counter() - begin
            tweets += batch
        return Delivered(tweets, self.rings.delivery_count - before, spent)


# ---- several at once --------------------------------------------------------------------------------------------


class KernelProcesses:
    """Kernels in processes of their own, filled and waiting; `run` lets all of them go at once."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self.processes = processes

    def run(self, seconds: float) -> list[Delivered]:
        """Let all run for so long; returns what each did."""
        for process in self.processes:
            self._stream(process.stdin).write(f"{seconds}\n")
            self._stream(process.stdin).flush()
        return [Delivered(**self.answer(process)) for process in self.processes]

    @classmethod
    def answer(cls, process: subprocess.Popen[str]) -> dict[str, float]:
        """Wait for a line of a kernel. Raises BenchError if it ended instead."""
        line = cls._stream(process.stdout).readline()
        if not line:
            raise BenchError(f"a kernel process ended with status {process.wait()}")
        return dict(json.loads(line))

    @staticmethod
    def _stream(stream):
        assert stream is not None
        return stream


@contextmanager
def kernel_processes(
    count: int, rows: int, fill: tuple[int, int], followers: Ints, batch: int = BATCH_TWEETS
) -> Iterator[KernelProcesses]:
    """Run kernels of so many rows each while the block runs; enters when all are filled."""
    with ExitStack() as stack:
        processes = []
        for seed in range(count):
            command = python_module(
                "bench.kernel", "--rows", rows, "--fill-least", fill[0], "--fill-most", fill[1], "--seed", seed,
                "--batch", batch, "--followers", ",".join(map(str, followers.tolist())),
            )  # fmt: skip
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
            )
            stack.callback(end, process)
            processes.append(process)
        for process in processes:
            KernelProcesses.answer(process)
        yield KernelProcesses(processes)


def main() -> None:
    """Fill, then run as often as stdin says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--fill-least", type=int, default=0)
    parser.add_argument("--fill-most", type=int, default=0)
    parser.add_argument("--followers", default="403", help="of each author, with commas between")
    parser.add_argument("--batch", type=int, default=BATCH_TWEETS, help="tweets a call")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    kernel = Kernel(options.rows, (options.fill_least, options.fill_most), options.seed)
    followers = np.array([int(count) for count in options.followers.split(",")], dtype=np.int64)
    audience = kernel.audience(followers)
    kernel.run(audience, len(followers), 0.0, options.batch)  # the first call of a process loads the compiled code
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(asdict(kernel.run(audience, len(followers), float(line), options.batch))), flush=True)


if __name__ == "__main__":
    main()
