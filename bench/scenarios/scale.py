"""`scale`: what more shards cost on one machine, and what more accounts cost.

One cluster after the other: 1, 2, 4 and 8 shards with the same accounts, then two shards with more and more accounts.
Each holds a crowd (crowd.py: every second reader awake, 15 tweets of its group's authors in each ring). In turn

- *reads*: home pages of 20 over the lanes, random awake accounts, by one client process, 32 requests under way;
- *writes*: posts of random accounts with 50 followers on average, through the loader, from the first submit until no
  message is under way and no delivery waits. The shards' count of deliveries must be what the graph says;
- *memory*: resident memory of the shard processes, and what their structures say of themselves, by accounts.

Shards are processes. More of them than cores can't add throughput here: what the plot shows is what they cost.
Clusters are not alternated, as contestants elsewhere are: a cluster for each case at the same time would be another
measurement. So compare cases only if the machine was equally quiet; how busy it was is noted for each.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import crowd as network
from bench.crowd import GROUP_ACCOUNTS, ROUNDS_LIGHT, Crowd
from bench.dataset import Ints
from bench.kernel import Delivered
from bench.lane import rate_at_depth
from bench.machine import busy_percent
from bench.pairs import Spread, Turns, alternate
from bench.results import Plot, Result, Row
from bench.scenarios import Options, Progress
from bench.scenarios.fanout import submit
from commands.loading import BulkLoader

SHARDS, SHARDS_QUICK = (1, 2, 4, 8), (2, 1)  # the latter as those want it who share clusters
SIZES, SIZES_QUICK = (10_000, 100_000), (1_000,)
SHARDS_OF_SIZES = 2
FOLLOWS, FOLLOWS_QUICK = 50, 20
READS_UNDER_WAY = 32
COUNT = 20  # tweets of a page
READ_TIMEOUT_S = 30.0
WARM_UP_S = 0.5
WARM_UP_POSTS, WARM_UP_POSTS_QUICK = 2_000, 100
OURS = "Rookery"
RATES = READS, POSTS, DELIVERIES = "home reads", "posts", "deliveries"


@dataclass(frozen=True, slots=True)
class Case:
    """One cluster."""

    shards: int
    accounts: int

    @property
    def title(self) -> str:
        """How rows and progress call it."""
        return f"{self.shards} shard{'s' * (self.shards > 1)}, {self.accounts:,} accounts"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found of one cluster; memory of all its shards together."""

    turns: Turns[Delivered]
    rss_bytes: int
    structure_bytes: int
    follows: int
    compared: int


def make_cases(options: Options) -> tuple[list[Case], list[Case]]:
    """Return the clusters with different shards, and those with different accounts; one may be in both."""
    standard, shards = (SIZES_QUICK, SHARDS_QUICK) if options.quick else (SIZES, SHARDS)
    sizes = [*(s for s in standard if s < options.accounts), options.accounts] if options.accounts else [*standard]
    by_shards = [Case(count, min(sizes)) for count in shards]
    return by_shards, [Case(SHARDS_OF_SIZES, accounts) for accounts in sizes]


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    by_shards, by_accounts = make_cases(options)
    result = Result(
        "scale",
        {"quick": options.quick, "pairs": options.pairs, "seconds": options.seconds,
         "accounts": [case.accounts for case in by_accounts]},
    )  # fmt: skip
    found: dict[Case, Measured] = {}
    for case in dict.fromkeys([*by_shards, *by_accounts]):
        busy: list[float] = []
        found[case] = _measure(case, options, lambda text, c=case: progress(f"{c.title}: {text}"), busy)
        _add_rows(result, case, found[case])
        result.facts[case.title] = (
            f"{found[case].follows:,} follows; {found[case].compared} home timelines compared with their definition, "
            f"no differences; machine busy before a turn {min(busy):.0f} to {max(busy):.0f} %"
        )
    _add_plots(result, "shards", {case.shards: found[case] for case in by_shards}, by_shards)
    _add_plots(result, "accounts", {case.accounts: found[case] for case in by_accounts}, by_accounts)
    result.facts |= {
        "turns": f"{options.pairs} of {options.seconds} s, {READS_UNDER_WAY} reads under way; writes for about as long",
        "cores": f"{os.cpu_count()}: shards beyond them add cost, not throughput",
    }
    return result


def _measure(case: Case, options: Options, progress: Progress, busy: list[float]) -> Measured:
    """Fill one cluster, read and write in turn, look at its memory, and compare home timelines."""
    crowd = Crowd(case.accounts, FOLLOWS_QUICK if options.quick else FOLLOWS, first_id=options.first_account)
    folder = options.folder / f"{case.shards}-{case.accounts}"
    folder.mkdir()
    progress("starting Rookery")
    with options.cluster(case.shards, folder=folder) as cluster:
        writers = Writers(crowd)

        async def write(loader: BulkLoader, count: int) -> Delivered:
            authors = list(itertools.islice(writers.draw(), count))
            return await submit(loader, network.make_posts(authors), writers.deliveries(authors))

        async def load(loader: BulkLoader) -> tuple[int, Delivered]:
            await network.register(loader, crowd, progress)
            follows = await network.follow(loader, crowd, progress)
            await network.wake(loader, crowd, progress)
            await network.write_rounds(loader, crowd, ROUNDS_LIGHT, {}, progress)
            progress("warming up")
            await _read(loader, crowd, min(WARM_UP_S, options.seconds))
            return follows, await write(loader, WARM_UP_POSTS_QUICK if options.quick else WARM_UP_POSTS)

        follows, warm = cluster.with_loader(load)
        posts = max(100, int(warm.tweets / warm.seconds * options.seconds))
        progress(f"{options.pairs} turns, {posts:,} posts each")
        contestants = {
            READS: lambda _: cluster.with_loader(lambda loader: _read(loader, crowd, options.seconds)),
            POSTS: lambda _: cluster.with_loader(lambda loader: write(loader, posts)),
        }
        turns = alternate(contestants, options.pairs, lambda: busy.append(busy_percent()))

        async def look(loader: BulkLoader) -> tuple[list[dict[str, Any]], int]:
            return await loader.wait_until_drained(), await network.check_definition(loader, crowd)

        progress("comparing home timelines with their definition")
        statuses, compared = cluster.with_loader(look)
    names = ("edge_bytes", "ring_bytes", "tweet_bytes", "arrival_bytes")
    return Measured(
        turns, sum(int(s["rss_bytes"]) for s in statuses), sum(int(s[name]) for s in statuses for name in names),
        follows, compared,
    )  # fmt: skip


async def _read(loader: BulkLoader, crowd: Crowd, seconds: float) -> Delivered:
    """Read home pages of random awake accounts; returns how many pages, as tweets and as deliveries."""
    accounts = crowd.awake
    random.Random(4).shuffle(accounts)
    endless = itertools.cycle(accounts)
    client = loader.client

    def ask() -> Awaitable[Any]:
        return client.account(next(endless), "home", 0, 0, 0, COUNT, timeout_s=READ_TIMEOUT_S)

    rate = await rate_at_depth(ask, seconds, READS_UNDER_WAY)
    return Delivered(int(rate * seconds), int(rate * seconds), seconds)


class Writers:
    """Random accounts that post, and how many rings each of their posts goes to. Pull authors aren't among them."""

    def __init__(self, crowd: Crowd) -> None:
        followers, self.rings = crowd.followers()
        self.first_id = crowd.first_id
        pushed: Ints = np.nonzero(followers < GROUP_ACCOUNTS)[0]
        self.numbers = pushed
        own = np.array(crowd.awake) - crowd.first_id
        self.rings[own] += 1  # an awake author has its own tweets too
        self.rng = np.random.default_rng(12)

    def draw(self) -> Iterator[int]:
        """Draw account ids for ever."""
        while True:
            chosen = self.numbers[self.rng.integers(0, len(self.numbers), 4_096)]
            yield from (chosen + self.first_id).tolist()

    def deliveries(self, authors: list[int]) -> int:
        """Return how many rings a post by each of those authors goes to, together."""
        return int(self.rings[np.array(authors) - self.first_id].sum())


def _figures(measured: Measured, accounts: int) -> dict[str, Spread]:
    """Return figure -> spread, memory in bytes by account."""
    turns = measured.turns
    return {
        READS: turns.spread(READS, lambda s: s.tweets / s.seconds),
        POSTS: turns.spread(POSTS, lambda s: s.tweets / s.seconds),
        DELIVERIES: turns.spread(POSTS, lambda s: s.per_second),
        "resident memory per account": Spread.of([measured.rss_bytes / accounts]),
        "structures per account": Spread.of([measured.structure_bytes / accounts]),
    }


def _add_rows(result: Result, case: Case, measured: Measured) -> None:
    result.keep(case.title, measured.turns)
    for figure, value in _figures(measured, case.accounts).items():
        result.rows.append(Row(case.title, OURS, figure, "/s" if figure in RATES else "B", value))


def _add_plots(result: Result, axis: str, found: dict[int, Measured], cases: list[Case]) -> None:
    """Draw rates and memory against shards or accounts."""
    fixed = f"{cases[0].accounts:,} accounts" if axis == "shards" else f"{cases[0].shards} shards"
    rates = Plot(f"rates-by-{axis}", f"Throughput by {axis}, {fixed}", axis, "per second", x_log=True, y_log=True)
    memory = Plot(f"memory-by-{axis}", f"Memory by {axis}, {fixed}", axis, "bytes per account", x_log=True, y_log=True)
    for plot in (rates, memory):
        result.plot(plot)
    for case in cases:
        x = getattr(case, axis)
        for figure, value in _figures(found[x], case.accounts).items():
            (rates if figure in RATES else memory).add(figure, x, value)
