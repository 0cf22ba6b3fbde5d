"""The scenarios by name. To add one: a module with `run(options, progress) -> Result`, and a line in SCENARIOS."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bench.dataset import FIRST_ACCOUNT_ID
from bench.results import Result

if TYPE_CHECKING:
    from bench.rookery import RookeryCluster

SHARDS = 2  # of Rookery, unless a scenario says otherwise
Progress = Callable[[str], None]


def keep_nothing(result: Result) -> None:
    """Keep nothing of a result that is still incomplete."""


def counting(progress: Progress, what: str, total: int) -> Callable[[int], None]:
    """Return what takes counts of things done and reports every tenth of the total."""
    done = 0

    def count(more: int) -> None:
        nonlocal done
        before, done = done, done + more
        if done * 10 // total > before * 10 // total:
            progress(f"{what}: {done:,} of {total:,}")

    return count


class Clusters(Protocol):
    """Where scenarios have their clusters from: `bench.rookery.rookery_cluster`, unless they share some."""

    def __call__(
        self, folder: Path, shards: int, auth: str, sets: Sequence[str], namespace: str
    ) -> AbstractContextManager[RookeryCluster]:
        """Have a cluster with those settings while a block runs. folder: where one of its own is to live.

        namespace: if it isn't "", the cluster has stopped when the block ends, and the next one with the same namespace
        has its data.
        """
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """What every scenario is told.

    folder: scratch space; quick: tiny data and short runs, to see that it works; accounts: instead of the scenario's
    own number; tweets, count, peers, shards: of `search`; parts: of `stream`. keep: takes what a long scenario has
    found so far. clusters, first_account: for scenarios that share clusters, where no two have the same accounts; by
    default each starts its own (tests/bench/sharing.py).
    """

    folder: Path
    quick: bool = False
    pairs: int = 5
    seconds: float = 3.0
    generator: str = "wrk"
    auth: str = "token"
    graph: Path | None = None
    accounts: int | None = None
    tweets: tuple[Path, ...] = ()
    count: int | None = None
    peers: str = "postgres,fts5"
    shards: int = SHARDS
    parts: tuple[str, ...] = ()
    keep: Callable[[Result], object] = keep_nothing
    clusters: Clusters | None = None
    first_account: int = FIRST_ACCOUNT_ID

    def cluster(
        self, shards: int, sets: Sequence[str] = (), auth: str = "", folder: Path | None = None, namespace: str = ""
    ) -> AbstractContextManager[RookeryCluster]:
        """Have a cluster while a block runs. auth, folder: instead of what the options say; namespace: see Clusters."""
        from bench.rookery import rookery_cluster  # Ray, which a list of scenarios shouldn't need

        return (self.clusters or rookery_cluster)(folder or self.folder, shards, auth or self.auth, sets, namespace)

    def warm_up(self, runs: Iterable[Callable[[float], object]], seconds_max: float) -> None:
        """Let contestants run for up to so long before they are measured. Not if quick: those figures say nothing."""
        for run in () if self.quick else runs:
            run(min(seconds_max, self.seconds))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name, what it measures, and the module that does it."""

    name: str
    summary: str
    module: str

    def run(self, options: Options, progress: Progress) -> Result:
        """Carry it out. The module is imported only now: a list of scenarios shouldn't need Ray."""
        result: Result = importlib.import_module(self.module).run(options, progress)
        return result


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("read", "Home reads of 20 tweets, beside FastAPI + Redis and a static route.", "bench.scenarios.read"),
        Scenario("write", "Durable tweets, beside FastAPI + Redis with AOF.", "bench.scenarios.write"),
        Scenario(
            "mixed", "DeathStarBench's social-network mix, beside FastAPI + Redis with AOF.", "bench.scenarios.mixed"
        ),
        Scenario("load", "Bulk load of follows, beside pipelined SADDs.", "bench.scenarios.load"),
        Scenario("kernel", "The delivery kernel alone, beside random writes and NumPy.", "bench.scenarios.kernel"),
        Scenario("lane", "Home reads over the lane alone, beside Redis and a C client.", "bench.scenarios.lane"),
        Scenario(
            "fanout", "Posts until every ring holds them, beside Redis and the bare kernel.", "bench.scenarios.fanout"
        ),
        Scenario(
            "celebrity", "Posts of an author whom everybody follows, and what others feel.", "bench.scenarios.celebrity"
        ),
        Scenario("scale", "Rates and memory by shards and by accounts.", "bench.scenarios.scale"),
        Scenario("recovery", "Home timelines served again after kill -9, beside Redis.", "bench.scenarios.recovery"),
        Scenario("overload", "Three times what a cluster can carry, and a moment after.", "bench.scenarios.overload"),
        Scenario("strangers", "What honest clients notice of those who attack.", "bench.scenarios.strangers"),
        Scenario("mastodon", "Mastodon's API beside our own, and beside FastAPI + Redis.", "bench.scenarios.mastodon"),
        Scenario(
            "stream", "Live updates to 10,000 followers, beside uvicorn + Redis pub/sub.", "bench.scenarios.stream"
        ),
        Scenario("media", "Thumbnails out of the page cache, beside nginx.", "bench.scenarios.media"),
        Scenario("search", "Two-word searches, beside PostgreSQL's and SQLite's.", "bench.scenarios.search"),
        Scenario("memory", "Bytes of accounts, follows and home timelines, beside Redis's.", "bench.scenarios.memory"),
    )
}
