"""`fanout`: posts of 403 followers on average, and of 75, from the first submit until every ring holds them.

The follow graph is as large as the posts need it: a few thousand authors whose numbers of followers are heavy-tailed
with that mean, while every account is awake and any may be a follower. (A graph in which each of a million accounts has
403 followers would be 403 million edges and deliver the same.) Authors are equally likely, so the mean of the authors
is the fan-out of the average post.

Posts go in by the cluster's own client, 250 a request, three requests under way to each of two shards; they are
validated, journalled with fsync and acknowledged as always. The clock stops when no message is under way and no
delivery waits. The deliveries are the shards' own count, and must be what the graph says. Making the posts isn't timed.

Beside it, in every turn: Redis fanning out pipelined and in Lua (redis_fanout.py; in memory only), and the bare kernel
in as many processes as there are shards, each delivering to half of the followers. At the end home timelines are
compared with their definition.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.dataset import FIRST_ACCOUNT_ID, Ints, draw_audience, heavy_tailed, make_text
from bench.kernel import Delivered, KernelProcesses, kernel_processes
from bench.machine import busy_percent
from bench.pairs import Spread, Turns, alternate
from bench.peer_redis import redis_server
from bench.processes import BenchError
from bench.redis_fanout import RedisFanOut
from bench.results import Claim, Plot, Result, Row
from bench.rookery import (
    NO_ENTITIES,
    RookeryCluster,
    edges_of,
    load_accounts,
    wake_all,
)
from bench.scenarios import Options, Progress, counting
from commands.checking import Outcome, check_homes, lane_page, read_facts
from commands.loading import BulkLoader, Post, post_batches
from commands.oracle import NetworkFacts

ACCOUNTS, ACCOUNTS_QUICK = 100_000, 1_000
AUTHORS, AUTHORS_QUICK = 2_000, 40
MEANS = (403, 75)  # followers of the average post
FOLLOWERS_MAX = 9_000  # of one author: all are pushed, none is a pull author
SHARDS = 2
TEXTS = 1_000  # different texts
WARM_UP_POSTS, WARM_UP_POSTS_QUICK = 4_000, 200
KERNEL_FILL = (100, 101)  # entries of each ring of the bare kernel before it starts; like the cluster's it grows
CHECKED = 300  # accounts whose home timelines are compared with their definition
LENGTH = 800
OURS, PIPELINED, LUA, KERNELS = "Rookery", "Redis, pipelined", "Redis, Lua", "bare kernels"
LATE_SHARE_MAX = 0.01  # deliveries that come after their place in a full ring is gone; homes are compared afterwards


@dataclass(frozen=True, slots=True)
class Case:
    """Authors of one mean. followers[i]: account ids that follow authors[i]."""

    mean: int
    authors: Ints
    followers: list[Ints]

    def choose(self, seed: int) -> Iterator[int]:
        """Draw authors, by their place, for ever."""
        rng = np.random.default_rng(seed)
        while True:
            yield from rng.integers(0, len(self.authors), 4_096).tolist()


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    accounts = options.accounts or (ACCOUNTS_QUICK if options.quick else ACCOUNTS)
    result = Result("fanout", {"quick": options.quick, "pairs": options.pairs, "accounts": accounts})
    first, authors = options.first_account, min(AUTHORS_QUICK if options.quick else AUTHORS, accounts // 10)
    cases = make_cases(accounts, authors, first)
    busy: list[float] = []
    progress("starting Rookery and Redis")
    with (
        options.cluster(SHARDS) as cluster,
        redis_server(options.folder / "redis") as (path, store),
    ):
        load(cluster, range(first, first + accounts), cases, progress)
        plots = [
            result.plot(Plot(name, title, "followers of the average post", f"{name} per second", True, True))
            for name, title in (
                ("deliveries", f"Deliveries of posts, {accounts:,} accounts"),
                ("posts", f"Posts until every ring holds them, {accounts:,} accounts"),
            )
        ]
        for case in cases:
            redis = RedisFanOut(path, store, str(case.mean), case.followers)
            turns = measure(case, accounts // SHARDS, cluster, redis, options, progress, busy)
            _add(result, case, turns, plots)
        progress("comparing home timelines with their definition")
        compared = cluster.with_loader(check_definition)
    result.facts |= {
        "cluster": f"{accounts:,} accounts, all awake; {SHARDS} shards, journal with fsync",
        "home timelines compared with their definition": f"{compared:,}, no differences",
        "machine busy before a turn": f"{min(busy):.0f} to {max(busy):.0f} %",
    }
    return result


def make_cases(accounts: int, authors: int, first: int = FIRST_ACCOUNT_ID) -> list[Case]:
    """Return the authors of every case; no account is an author twice. first: the least of the ids."""
    rng = np.random.default_rng(5)
    chosen = rng.choice(accounts, (len(MEANS), authors), replace=False)
    cases = []
    for mean, own in zip(MEANS, chosen, strict=True):
        counts = heavy_tailed(authors, mean, min(FOLLOWERS_MAX, accounts // 2))
        places, drawn = draw_audience(rng, accounts - 1, counts)
        drawn += drawn >= own[places]  # nobody follows oneself
        cuts = np.cumsum(counts)[:-1]
        cases.append(Case(mean, own + first, np.split(drawn + first, cuts)))
    return cases


def load(cluster: RookeryCluster, ids: Sequence[int], cases: list[Case], progress: Progress) -> None:
    """Register and wake everybody, then load the follows."""

    async def work(loader: BulkLoader) -> None:
        await load_accounts(loader, ids, {}, counting(progress, "registering", len(ids)))
        await wake_all(loader, ids, counting(progress, "waking", len(ids)))
        for case in cases:
            counts = [len(followers) for followers in case.followers]
            edges = edges_of(np.concatenate(case.followers), np.repeat(case.authors, counts))
            await loader.follows(edges, counting(progress, "follows", sum(counts)))

    cluster.with_loader(work)


def measure(
    case: Case, rows: int, cluster: RookeryCluster, redis: RedisFanOut, options: Options, progress: Progress,
    busy: list[float],
) -> Turns[Delivered]:  # fmt: skip
    """Let all contestants fan out posts of a case, in turn. rows: accounts of one kernel, as of one shard."""
    keys = itertools.count(case.mean << 64)
    seeds = itertools.count(100)
    rng = np.random.default_rng(6)
    texts = [make_text(rng) for _ in range(TEXTS)]

    def rookery(posts: int) -> Delivered:
        chosen = list(itertools.islice(case.choose(next(seeds)), posts))
        made = [
            Post(int(case.authors[i]), texts[n % TEXTS], NO_ENTITIES, [], next(keys).to_bytes(16, "big"))
            for n, i in enumerate(chosen)
        ]
        expected = sum(len(case.followers[i]) for i in chosen) + posts  # an author has one's own posts too
        return cluster.with_loader(lambda loader: submit(loader, made, expected))

    progress(f"{case.mean} followers: warming up and filling the kernels' rings")
    warm = rookery(WARM_UP_POSTS_QUICK if options.quick else WARM_UP_POSTS)
    posts = max(250, int(warm.tweets / warm.seconds * options.seconds))
    followers = np.array([max(1, len(f) // SHARDS) for f in case.followers], dtype=np.int64)
    try:
        with kernel_processes(SHARDS, rows, KERNEL_FILL, followers) as kernels:
            contestants = {
                OURS: lambda turn: rookery(posts),
                PIPELINED: lambda turn: redis.pipelined(case.choose(turn), options.seconds),
                LUA: lambda turn: redis.lua(case.choose(turn), options.seconds),
                KERNELS: lambda turn: run_kernels(kernels, options.seconds),
            }

            def announce(name, run):
                def with_progress(turn: int) -> Delivered:
                    progress(f"{case.mean} followers: turn {turn + 1} of {options.pairs}, {name}")
                    return run(turn)

                return with_progress

            return alternate({n: announce(n, r) for n, r in contestants.items()}, options.pairs,
                             lambda: busy.append(busy_percent()))  # fmt: skip
    finally:
        redis.close()


async def submit(loader: BulkLoader, posts: list[Post], expected: int) -> Delivered:
    """Post everything and wait until all is delivered. Raises BenchError if the shards count other deliveries.

    A full ring refuses what comes late and is older than all it holds: some may be missing where shards work at once.
    """
    batches = post_batches(posts, loader.client.shard_of)
    before = await loader.total("deliveries")
    begin = time.perf_counter()
    await loader.send(batches, lambda batch, _: None)
    statuses = await loader.wait_until_drained()
    seconds = time.perf_counter() - begin
    deliveries = sum(int(status["deliveries"]) for status in statuses) - before
    if not expected * (1 - LATE_SHARE_MAX) <= deliveries <= expected:
        raise BenchError(f"{len(posts)} posts are {expected} deliveries, but the shards count {deliveries}")
    return Delivered(len(posts), deliveries, seconds)


def run_kernels(kernels: KernelProcesses, seconds: float) -> Delivered:
    """Return what all kernels did together, as if in the time of one."""
    runs = kernels.run(seconds)
    mean_s = sum(run.seconds for run in runs) / len(runs)
    return Delivered(int(sum(r.tweets for r in runs) / SHARDS), int(sum(r.per_second for r in runs) * mean_s), mean_s)


async def check_definition(loader: BulkLoader) -> int:
    """Compare home timelines of random accounts with their definition; returns how many. Raises BenchError."""
    facts = await read_facts(loader.client, lambda _: None)
    chosen = random.Random(7).sample(sorted(facts.following), min(CHECKED, len(facts.following)))
    sample = NetworkFacts({account: facts.following[account] for account in chosen}, facts.tweets_by, facts.hidden)
    outcome = Outcome()
    await check_homes(lane_page(loader.client), sample, LENGTH, outcome, lambda _: None)
    if outcome.problem_count:
        raise BenchError(f"{outcome.problem_count} home timelines differ from their definition: {outcome.problems[0]}")
    return len(chosen)


def _add(result: Result, case: Case, turns: Turns[Delivered], plots: list[Plot]) -> None:
    """Add rows, points and claims of a case."""
    title = f"{case.mean} followers"
    result.keep(title, turns)
    mean = sum(map(len, case.followers)) / len(case.followers)
    result.facts[f"authors of {title}"] = (
        f"{len(case.authors):,}, followers {min(map(len, case.followers)):,} to {max(map(len, case.followers)):,}, "
        f"mean {mean:.1f}"
    )
    figures = {"deliveries": lambda s: s.per_second, "posts": lambda s: s.tweets / s.seconds}
    for plot, (figure, of) in zip(plots, figures.items(), strict=True):
        for name in turns.samples:
            rate = turns.spread(name, of)
            ratio = None if name == OURS else turns.ratio(OURS, name, of)
            result.rows.append(Row(title, name, figure, "/s", rate, ratio))
            plot.add(name, case.mean, rate)
    posts, deliveries = (turns.spread(OURS, of) for of in (figures["posts"], figures["deliveries"]))
    result.claims += [
        Claim(f"posts/s, {title}", "at_least", 25_000 if case.mean == MEANS[0] else 40_000, posts, 3),
    ]
    if case.mean == MEANS[0]:
        result.claims += [
            Claim(f"deliveries/s to Redis Lua's, {title}", "at_least", 30, _ratio(turns, LUA), 3),
            Claim(f"deliveries/s to the bare kernels', {title}", "at_least", 0.4, _ratio(turns, KERNELS), 3),
            Claim(f"deliveries/s, {title}", "at_least", 10_000_000, deliveries, 3),
        ]


def _ratio(turns: Turns[Delivered], to: str) -> Spread:
    return turns.ratio(OURS, to, lambda s: s.per_second)
