"""What does a post cost the shards, and what did it before? Two checkouts in turn, by the processor's time.

    python -m bench.post_cost --beside ../before [--followers 403] [--posts 2000] [--turns 15]

Each checkout has a process of its own, with two shards on one thread and a client on another (`one_process.py`), 4,000
accounts, all awake, and 40 authors with so many followers each. A turn posts to one and then to the other, and the next
one in the other order; what is compared is the time of the thread of the shards: validation, journal, fan-out and the
messages between them, without what others do on the machine. The first turn is no part of it. Nobody listens.

The file is run as it stands here in the other checkout, which needs `bench/one_process.py`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.one_process import NODE, OneProcess
from bench.pairs import Spread, Turns
from bench.rookery import NO_ENTITIES, edges_of, ignore, load_accounts, wake_all
from cluster.client.cluster_client import ClusterClient
from commands.loading import BulkLoader, Post
from configs.logging import configure_logging

ACCOUNTS: Final = list(range(1_001, 5_001))
AUTHORS: Final = ACCOUNTS[:40]
SETTLE_S: Final = 0.3  # until what was posted has arrived: it is counted, too
HERE, BESIDE = "this checkout", "the other one"


def serve(followers: int, posts: int) -> None:
    """Post so many for each line of stdin, and say what one has cost in microseconds. For a process of its own."""
    configure_logging("console", "error")
    with tempfile.TemporaryDirectory(prefix="rkf-") as folder, OneProcess(Path(folder)) as cluster:
        loader = BulkLoader(cluster._workers.run(_client_of(cluster)))
        run, rng = cluster._workers.run, np.random.default_rng(3)
        run(load_accounts(loader, ACCOUNTS, {}))
        audience = np.concatenate([rng.choice(ACCOUNTS, followers, replace=False) for _ in AUTHORS]).astype(np.int64)
        run(loader.follows(edges_of(audience, np.repeat(np.array(AUTHORS, dtype=np.int64), followers)), ignore))
        run(wake_all(loader, ACCOUNTS))
        gc.collect()
        gc.freeze()
        clock = time.pthread_getcpuclockid(next(t.ident or 0 for t in threading.enumerate() if t.name == "shards"))
        print(json.dumps({"ready": True}), flush=True)
        for turn, _ in enumerate(sys.stdin):
            numbers = range(turn * posts + 1, (turn + 1) * posts + 1)
            written = [
                Post(AUTHORS[n % len(AUTHORS)], f"train {n} over the river", NO_ENTITIES, [], n.to_bytes(16, "big"))
                for n in numbers
            ]
            begin_s = time.clock_gettime(clock)
            run(loader.tweets(written, ignore))
            time.sleep(SETTLE_S)
            print(json.dumps({"us": (time.clock_gettime(clock) - begin_s) / posts * 1e6}), flush=True)


async def _client_of(cluster: OneProcess) -> ClusterClient:
    async def fetch_map() -> Any:
        return cluster.map.to_wire()

    client = ClusterClient(fetch_map, cluster.keys, NODE)
    await client.open()
    return client


class Contestant:
    """A process of one checkout."""

    def __init__(self, checkout: Path, followers: int, posts: int) -> None:
        command = [sys.executable, __file__, "--serve", "--followers", str(followers), "--posts", str(posts)]
        self._process = subprocess.Popen(
            command, cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout)}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def answer(self) -> dict[str, Any]:
        """Return what it says next. Raises RuntimeError if it has ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # what else there is was logged
                found: dict[str, Any] = json.loads(line)
                return found
        raise RuntimeError("a contestant has ended")

    def post(self) -> float:
        """Have it post; return the microseconds of a post."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self.answer()["us"])

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, help="the other checkout")
    parser.add_argument("--followers", type=int, default=403)
    parser.add_argument("--posts", type=int, default=2_000)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.followers, given.posts)
        return
    if given.beside is None or not (given.beside / "bench/one_process.py").exists():
        parser.error("--beside must be a checkout with bench/one_process.py")
    checkouts = {HERE: Path(__file__).resolve().parents[1], BESIDE: given.beside.resolve()}
    contestants = {name: Contestant(path, given.followers, given.posts) for name, path in checkouts.items()}
    turns: Turns[float] = Turns({name: [] for name in contestants})
    try:
        for each in contestants.values():
            each.answer()
        for turn in range(given.turns + 1):
            for name in list(contestants)[:: 1 if turn % 2 else -1]:
                spent_us = contestants[name].post()
                if turn:
                    turns.samples[name].append(spent_us)
    finally:
        for each in contestants.values():
            each.close()
    for name in contestants:
        print(f"{name}: {_shown(turns.spread(name, float))} us of the shards a post")
    print(f"posts a CPU second, this to the other: {_shown(turns.ratio(BESIDE, HERE, float))}")


def _shown(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.least:.2f} to {spread.most:.2f})"


if __name__ == "__main__":
    main()
