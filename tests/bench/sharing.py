"""Scenarios of the benchmark in one process, on clusters that they share: do they work? How quick they are isn't asked.

A cluster of its own for each took half of what they cost all together. `make test` runs a few of them, `make smoke` all
(tests/bench/test_smoke.py); `make bench ARGS="all --quick"` runs them as `make bench` does, each with its own.

    python -m tests.bench.sharing FOLDER read write ...        FOLDER/read/result.json, FOLDER/write/result.json

Rules of this file
- A scenario is told what the command line tells it, but for its accounts: no two scenarios have the same ones.
- One cluster at a time, started when a scenario wants it, with all settings that any of them wants. A scenario that
  wants others fails.
- A scenario that fails leaves word of it (`failure`), and the next one goes on with the same cluster.
"""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli import QUICK_SECONDS, be_quick, run_scenario, use_own_ray_token
from bench.dataset import FIRST_ACCOUNT_ID
from bench.processes import BenchError
from bench.scenarios import SCENARIOS, Options

if TYPE_CHECKING:
    from bench.rookery import RookeryCluster

RESULT, FAILURE = "result.json", "failure"
ACCOUNTS_EACH = 100_000  # ids of a scenario's accounts are below its first one plus so many


@dataclass(frozen=True, slots=True)
class Kind:
    """A cluster that is shared."""

    auth: str
    sets: tuple[str, ...]


# In this order: what others have left would be tidied while `memory` measures; `search` compares what it finds with its
# peers, and hardly ever looks for words that `memory` has written; `scale` goes on to a single shard.
ORDER = (
    "memory", "search", "read", "write", "mastodon", "overload", "strangers", "load", "fanout", "celebrity", "recovery",
    "stream", "media", "scale", "lane", "mixed",
)  # fmt: skip


def kind_of(shards: int) -> Kind:
    """Return what a cluster with so many shards is like."""
    from bench.scenarios import celebrity, strangers  # Ray, which reads its token's place when it is imported

    deadline = "server.deadline_ms=20000"  # nobody measures, and the machine may do something else
    if shards == 1:  # lanes, which is all that the other scenarios ask of a single shard, don't know who is calling
        return Kind("open", ("server.wrk2_api=true", "search.enabled=false", deadline))
    return Kind("token", (*strangers.SETS, deadline, f"timeline.pull_threshold={celebrity.FOLLOWERS_QUICK}"))


class Shared:
    """The cluster that runs, if any."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards = 0
        self._cluster: RookeryCluster | None = None
        self._running = ExitStack()
        self._stopped: dict[str, str] = {}  # a scenario's namespace: that of the shared cluster that it has stopped

    @contextmanager
    def __call__(
        self, folder: Path, shards: int, auth: str, sets: Sequence[str], namespace: str
    ) -> Iterator[RookeryCluster]:
        """Give the cluster with so many shards; another one is ended before. Raises BenchError if it has other sets.

        namespace: stands for the shared cluster, which is stopped after the first block and goes on after the second.
        """
        kind = kind_of(shards)
        if not set(sets) <= set(kind.sets) or (auth == "open" and kind.auth != "open"):
            raise BenchError(f"{shards} shards, {auth}, {sets} are wanted, and shared is {kind}")
        if self._cluster is None or self._shards != shards:
            self.close()
            self._start(shards, kind, self._stopped.pop(namespace, ""))
            assert self._cluster is not None
            yield self._cluster
        else:
            yield self._cluster
            if namespace:
                self._stopped[namespace] = self._cluster.namespace
                self.close()

    def _start(self, shards: int, kind: Kind, namespace: str) -> None:
        """Start one. namespace: of the one that was there before, whose data it is to have."""
        from bench.rookery import rookery_cluster

        own = self._folder / f"{shards}-shards"
        own.mkdir(exist_ok=bool(namespace))
        self._shards = shards
        self._cluster = self._running.enter_context(rookery_cluster(own, shards, kind.auth, kind.sets, namespace))

    def close(self) -> None:
        """End the cluster."""
        self._cluster = None
        self._running.close()


def run_one(name: str, number: int, folder: Path, shared: Shared, peers: str, parts: tuple[str, ...]) -> None:
    """Run a scenario, whatever comes of it. parts: of `stream`."""
    own = folder / name
    own.mkdir()
    options = Options(
        own, quick=True, pairs=1, seconds=QUICK_SECONDS, generator="builtin", peers=peers, count=4_000, parts=parts,
        accounts=1_000 if name == "memory" else None,  # one size
        clusters=shared, first_account=FIRST_ACCOUNT_ID + number * ACCOUNTS_EACH,
    )  # fmt: skip
    try:
        run_scenario(SCENARIOS[name], options, own / RESULT)
    except Exception:  # noqa: BLE001  said by the test of this scenario; the others have theirs
        (own / FAILURE).write_text(traceback.format_exc())


def main() -> None:
    """Run the scenarios that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("scenarios", nargs="+", choices=ORDER)
    parser.add_argument("--peers", default="postgres,fts5")
    parser.add_argument("--part", action="append", help="of `stream`; all by default", default=[])
    arguments = parser.parse_args()
    be_quick()
    use_own_ray_token(arguments.folder)
    shared = Shared(arguments.folder)
    try:
        for number, name in enumerate(ORDER):
            if name in arguments.scenarios:
                run_one(name, number, arguments.folder, shared, arguments.peers, tuple(arguments.part))
    finally:
        shared.close()


if __name__ == "__main__":
    main()
