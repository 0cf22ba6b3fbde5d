"""`celebrity`: posts of an author whom everybody follows: when they reach the last follower, and what others feel.

All accounts are awake and registered in random order, so that followers are scattered over the rings. The *pushed*
celebrities (everybody, a tenth and a hundredth) have at most as many followers as `timeline.pull_threshold` allows; the
*pulled* one has one more than that. All live in one cluster of two shards, so that they are measured side by side.

- *Last follower*: from the submit of the post until the shards' figures say that every delivery has been made and no
  message is under way; a few followers of each shard are then read to see it. The acknowledgement comes somewhere in
  between and is shown. Beside it: the bare kernel delivering one tweet to as many random rings, alone in one process,
  and with one half in each of two processes. Shards are asked every millisecond, which is also the resolution.
- *Others*: authors with 75 followers post at a steady rate. Their delay is from the submit until a follower on the
  other shard has the post in the home timeline, read over the lane every millisecond. Without and with a celebrity who
  posts to everybody twice a second.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from actors.core.ids import bucket_of_account
from bench.dataset import FIRST_ACCOUNT_ID, Ints, draw_audience
from bench.kernel import kernel_processes
from bench.machine import busy_percent
from bench.pairs import alternate
from bench.processes import BenchError
from bench.results import Claim, Plot, Result, Row
from bench.rookery import (
    NO_ENTITIES,
    RookeryCluster,
    edges_of,
    load_accounts,
    wake_all,
)
from bench.scenarios import SHARDS, Options, Progress, counting
from commands.loading import BulkLoader, message_numbers

FOLLOWERS, FOLLOWERS_QUICK = 1_000_000, 1_000
PARTS, PARTS_QUICK = (100, 10, 1), (10, 1)  # a celebrity of a hundredth, a tenth, all of the followers
OTHERS, OTHERS_QUICK = 200, 20
OTHERS_FOLLOWERS = 75
OTHERS_PER_SECOND = 50
OTHERS_SECONDS = 10.0  # of a turn at least: 500 posts, of which the 99th percentile says something
CELEBRITY_EVERY_S = 0.5
POLL_S = 0.001
LAND_TIMEOUT_S = 120.0
COUNT = 20  # tweets of a page
SEEN = 5  # followers of each shard whose home timelines are read afterwards
KERNEL_FILL = (100, 101)  # entries of each ring before: none grows for the next 28 posts, while the cluster's may
PUSHED, PULLED, KERNEL, KERNELS = "Rookery", "Rookery, pulled", "bare kernel", f"bare kernels, {SHARDS} at once"
QUIET, BESIDE = "others alone", "others beside a celebrity"
_keys = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Landed:
    """One post. acked_s: until its author was told; seconds: until the last follower had it."""

    seconds: float
    acked_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Delays:
    """What posts of others took to arrive on another shard."""

    posts: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Cast:
    """Who is who. pushed: celebrities by their number of followers; witness[i]: a follower of others[i] elsewhere."""

    everybody: Ints
    pushed: dict[int, int]
    pulled: int
    others: list[int]
    others_followers: Ints

    @property
    def accounts(self) -> list[int]:
        """All accounts, in random order."""
        ids = [*self.everybody.tolist(), *self.pushed.values(), self.pulled, *self.others]
        np.random.default_rng(8).shuffle(ids)
        return ids


def make_cast(followers: int, others: int, first: int = FIRST_ACCOUNT_ID, parts: Sequence[int] = PARTS) -> Cast:
    """Return celebrities and others; `followers` + 1 accounts follow. first: the least of the ids."""
    ids = itertools.count(first + followers + 1)
    everybody = np.arange(first, first + followers + 1, dtype=np.int64)
    pushed = {followers // part: next(ids) for part in parts}
    _, drawn = draw_audience(np.random.default_rng(9), followers, np.full(others, OTHERS_FOLLOWERS))
    return Cast(everybody, pushed, next(ids), [next(ids) for _ in range(others)], everybody[drawn])


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    followers = options.accounts or (FOLLOWERS_QUICK if options.quick else FOLLOWERS)
    result = Result("celebrity", {"quick": options.quick, "pairs": options.pairs, "followers": followers})
    others, parts = (OTHERS_QUICK, PARTS_QUICK) if options.quick else (OTHERS, PARTS)
    cast = make_cast(followers, others, options.first_account, parts)
    busy: list[float] = []
    progress("starting Rookery")
    with options.cluster(SHARDS, [f"timeline.pull_threshold={followers}"]) as cluster:
        _load(cluster, cast, progress)
        plot = result.plot(
            Plot("last-follower", "From the submit of a post until its last follower has it", "followers of the author",
                 "time (ms)", True, True)
        )  # fmt: skip
        for count in cast.pushed:
            progress(f"{count:,} followers")
            _measure_landing(cluster, cast, count, options, result, plot, busy)
        _measure_others(cluster, cast, options, progress, result, busy)
    result.facts |= {
        "cluster": f"{len(cast.accounts):,} accounts, all awake; {SHARDS} shards, pull threshold {followers:,}",
        "others": f"{len(cast.others)} authors with {OTHERS_FOLLOWERS} followers, {OTHERS_PER_SECOND} posts/s together",
        "celebrity beside them": f"{followers:,} followers, a post every {CELEBRITY_EVERY_S} s",
        "machine busy before a turn": f"{min(busy):.0f} to {max(busy):.0f} %",
    }
    return result


def _load(cluster: RookeryCluster, cast: Cast, progress: Progress) -> None:
    """Register and wake everybody, then load the follows."""

    async def follow(loader: BulkLoader, followers: Ints, followees: Ints) -> None:
        on_count = counting(progress, "follows", len(followers))
        await loader.follows(edges_of(followers, followees), on_count)

    async def work(loader: BulkLoader) -> None:
        accounts = cast.accounts
        await load_accounts(loader, accounts, {}, counting(progress, "registering", len(accounts)))
        await wake_all(loader, accounts, counting(progress, "waking", len(accounts)))
        for count, author in [*cast.pushed.items(), (len(cast.everybody), cast.pulled)]:
            await follow(loader, cast.everybody[:count], np.full(count, author))
        await follow(loader, cast.others_followers, np.repeat(np.array(cast.others), OTHERS_FOLLOWERS))

    cluster.with_loader(work)


# ---- the last follower ------------------------------------------------------------------------------------------


def _measure_landing(
    cluster: RookeryCluster, cast: Cast, count: int, options: Options, result: Result, plot: Plot, busy: list[float]
) -> None:
    """Let pushed and pulled posts and bare kernels deliver to `count` followers in turn; add rows, points, claims."""
    everybody = count == max(cast.pushed)

    def post(author: int, rings: int) -> Landed:
        return cluster.with_loader(lambda loader: _post_and_wait(loader, author, rings, cast.everybody[:count]))

    with (
        kernel_processes(1, count, KERNEL_FILL, np.array([count]), batch=1) as one,
        kernel_processes(SHARDS, count // SHARDS, KERNEL_FILL, np.array([count // SHARDS]), batch=1) as several,
    ):
        contestants = {
            PUSHED: lambda _: post(cast.pushed[count], count + 1),  # the author has one's own posts too
            KERNEL: lambda _: Landed(one.run(0.0)[0].seconds),
            KERNELS: lambda _: Landed(max(run.seconds for run in several.run(0.0))),
        }
        if everybody:
            contestants[PULLED] = lambda _: post(cast.pulled, 1)
        for warm_up in contestants.values():
            warm_up(0)
        turns = alternate(contestants, options.pairs, lambda: busy.append(busy_percent()))
    case = f"{count:,} followers"
    result.keep(case, turns)
    for name in turns.samples:
        taken = turns.spread(name, lambda s: s.seconds * 1e3)
        ratio = None if name == PUSHED else turns.ratio(PUSHED, name, lambda s: s.seconds)
        result.rows.append(Row(case, name, "last follower", "ms", taken, ratio))
        plot.add(name, count, taken)
        if name in (PUSHED, PULLED):
            acked = turns.spread(name, lambda s: s.acked_s * 1e3)
            result.rows.append(Row(case, name, "acknowledged", "ms", acked))
    if everybody:
        ratio = turns.ratio(PUSHED, KERNEL, lambda s: s.seconds)
        result.claims.append(Claim(f"last of {case}, to the bare kernel's time", "at_most", 3.0, ratio, 3))


async def _post_and_wait(loader: BulkLoader, author: int, rings: int, followers: Ints) -> Landed:
    """Post and wait until as many rings have it as should. Raises BenchError if a follower doesn't see it then."""
    before = sum(int(s["deliveries"]) for s in await loader.wait_until_drained())
    begin = time.perf_counter()
    tweet_id = await _post(loader, author)
    acked = time.perf_counter() - begin
    while True:
        statuses = await loader.statuses()
        taken = time.perf_counter() - begin
        made = sum(int(s["deliveries"]) for s in statuses) - before
        sent, arrived = message_numbers(statuses)
        if made == rings and sent == arrived and not any(s["delivery_backlog"] for s in statuses):
            break
        if taken > LAND_TIMEOUT_S or made > rings:
            raise BenchError(f"{made} of {rings} deliveries after {taken:.1f} s")
        await asyncio.sleep(POLL_S)
    for shard in range(loader.client.shard_count):
        there = (f for f in followers[::-1].tolist() if loader.client.shard_of(bucket_of_account(f)) == shard)
        for follower in itertools.islice(there, SEEN):
            if not await _has(loader, follower, tweet_id):
                raise BenchError(f"{follower} on shard {shard} doesn't see {tweet_id}, though everything is delivered")
    return Landed(taken, acked)


async def _post(loader: BulkLoader, author: int) -> int:
    key = time.time_ns().to_bytes(8, "big") + next(_keys).to_bytes(8, "big")
    args = ["a post of the benchmark", 0, 0, 0, NO_ENTITIES, [], [], key]
    body = await loader.client.account(author, "post", *args, timeout_s=LAND_TIMEOUT_S)
    return int(orjson.loads(body)["tweet_id"])


async def _has(loader: BulkLoader, account: int, tweet_id: int) -> bool:
    page, _, _ = await loader.client.account(account, "home", 0, 0, 0, COUNT, timeout_s=LAND_TIMEOUT_S)
    return b'"%d"' % tweet_id in page


# ---- everybody else ---------------------------------------------------------------------------------------------


def _measure_others(
    cluster: RookeryCluster, cast: Cast, options: Options, progress: Progress, result: Result, busy: list[float]
) -> None:
    """Measure the delays of others' posts without and with a celebrity who posts; add rows and the claim."""
    seconds = options.seconds if options.quick else max(options.seconds, OTHERS_SECONDS)
    celebrity = cast.pushed[max(cast.pushed)]

    def measure(turn: int, author: int | None) -> Delays:
        progress(f"others, turn {turn + 1} of {options.pairs}, {'alone' if author is None else 'beside a celebrity'}")
        return cluster.with_loader(lambda loader: _others(loader, cast, seconds, author))

    measure(0, None)
    contestants = {BESIDE: lambda turn: measure(turn, celebrity), QUIET: lambda turn: measure(turn, None)}
    turns = alternate(contestants, options.pairs, lambda: busy.append(busy_percent()))
    case = "others' posts"
    result.keep(case, turns)
    plot = result.plot(
        Plot("others", "Delivery delay of others' posts, turn by turn", "turn", "delay (ms)", y_log=True)
    )  # fmt: skip
    for name in turns.samples:
        for figure in ("p50_ms", "p99_ms"):
            value = turns.spread(name, lambda s, f=figure: getattr(s, f))
            ratio = None if name == BESIDE else turns.ratio(BESIDE, name, lambda s, f=figure: getattr(s, f))
            result.rows.append(Row(case, name, figure.removesuffix("_ms"), "ms", value, ratio))
            for turn, sample in enumerate(turns.samples[name], 1):
                one = getattr(sample, figure)
                plot.add(name, turn, type(value)(one, one, one), figure.removesuffix("_ms"))
    ratio = turns.ratio(BESIDE, QUIET, lambda s: s.p99_ms)
    result.claims.append(Claim("others' p99 beside a celebrity, to alone", "at_most", 2.0, ratio, 3))


async def _others(loader: BulkLoader, cast: Cast, seconds: float, celebrity: int | None) -> Delays:
    """Post at a steady rate, whether or not earlier posts have arrived, and return what they took."""
    await loader.wait_until_drained()
    witnesses = _witnesses(loader, cast)
    posting = asyncio.create_task(_post_on(loader, celebrity)) if celebrity is not None else None
    begin, tasks = time.perf_counter(), []
    for number in range(max(1, int(seconds * OTHERS_PER_SECOND))):
        await asyncio.sleep(begin + number / OTHERS_PER_SECOND - time.perf_counter())
        tasks.append(asyncio.create_task(_delay_s(loader, *witnesses[number % len(witnesses)])))
    delays = sorted(await asyncio.gather(*tasks))
    if posting is not None:
        posting.cancel()
        await asyncio.wait([posting])
        if not posting.cancelled():
            posting.result()
    return Delays(len(delays), delays[len(delays) // 2] * 1e3, delays[len(delays) * 99 // 100] * 1e3)


def _witnesses(loader: BulkLoader, cast: Cast) -> list[tuple[int, int]]:
    """Return (author, a follower on another shard) of the others that have one."""
    shard_of = loader.client.shard_of
    found = []
    for author, followers in zip(cast.others, np.split(cast.others_followers, len(cast.others)), strict=True):
        home = shard_of(bucket_of_account(author))
        found += [(author, f) for f in followers.tolist() if shard_of(bucket_of_account(f)) != home][:1]
    return found


async def _post_on(loader: BulkLoader, author: int) -> None:
    while True:
        await _post(loader, author)
        await asyncio.sleep(CELEBRITY_EVERY_S)


async def _delay_s(loader: BulkLoader, author: int, follower: int) -> float:
    """Post and read the follower's home timeline until it is there; returns the seconds since the submit."""
    begin = time.perf_counter()
    tweet_id = await _post(loader, author)
    while not await _has(loader, follower, tweet_id):
        if time.perf_counter() > begin + LAND_TIMEOUT_S:
            raise BenchError(f"{follower} doesn't see {tweet_id} after {LAND_TIMEOUT_S:.0f} s")
        await asyncio.sleep(POLL_S)
    return time.perf_counter() - begin
