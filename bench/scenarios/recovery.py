"""`recovery`: how soon are home timelines served again, after kill -9 of all shards and after a clean stop?

Half of the readers of a crowd (crowd.py) have rings of 540 to 800 entries. In each turn

- all shard processes are killed; Ray restarts them. The time runs from the kill until the first home page of 20 is
  answered over a shard's lane, and until all accounts of a sample on every shard have been answered with the very
  entries that they had before (the last). A shard may answer before it has delivered all of its journal's tail: an
  account is asked until nothing is missing, and how many had gaps at first is noted. Lanes are dialled every few
  milliseconds, nobody else is asked;
- a redis-server with the same timelines as lists of 17-byte entries, and the tweets' JSON as strings, saved as RDB
  beforehand, is killed and started again: from the start of the process until it answers PING and an LRANGE.

Redis's RDB is as good as a clean stop: what was written after it was saved would be lost. Ours includes the time until
Ray has noticed the death and started Python processes. Afterwards the whole cluster is stopped cleanly and started
again, which includes starting Ray, and is therefore reported by itself.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop

from actors.core.errors import MovedError, OverloadedError
from actors.core.ids import bucket_of_account
from bench import crowd as network
from bench.crowd import LENGTH, ROUNDS_FULL, Crowd, served_ids, timeline_of
from bench.lane import LaneTarget
from bench.machine import busy_percent
from bench.pairs import Spread, Turns, alternate
from bench.peer_redis import Batches
from bench.processes import BenchError, tail_of
from bench.redis_timelines import SavedRedis, entries_command
from bench.results import Claim, Plot, Result, Row
from bench.rookery import LOG_FILE, RookeryCluster, new_namespace, tweets_of
from bench.scenarios import Options, Progress
from cluster.lane.client import LaneClient
from cluster.lane.protocol import LaneProtocolError
from commands.loading import BulkLoader

SIZES, SIZES_QUICK = (10_000, 100_000), (1_000,)
CLAIMED_ACCOUNTS = 100_000  # at which, or at the largest size below, timelines are to be back before Redis's
FOLLOWS, FOLLOWS_QUICK = 50, 20
AUTHORS_LEAST = 3  # of a group's 5: rings of 540, 720 and 800 entries
SHARDS = 2
SAMPLED, SAMPLED_QUICK = 50, 10  # accounts of each shard
COUNT = 20  # tweets of the first page
CLEAN_TURNS = 3  # clean stops and starts at most: each starts Ray
DIAL_POLL_S = 0.005
REST_TIMEOUT_S, REST_BUSY_PERCENT = 30.0, 20.0
READ_TIMEOUT_S = 60.0
LAG_TIMEOUT_S = 60.0  # until what the journal's tail delivers has reached all rings
GIVE_UP_AFTER_S = 600.0
STOPPED = "stopped; shards at positions"  # what `serve` says when all is durable and folded
OURS, REDIS = "Rookery", "Redis, RDB"


@dataclass(frozen=True, slots=True)
class Back:
    """Seconds until the first and the last timeline was served. behind: how many had gaps at first."""

    first_s: float
    last_s: float
    behind: int = 0


@dataclass(frozen=True, slots=True)
class Restart:
    """A clean stop and start of the whole. ready_s: until the HTTP port was ready; the others over the lanes."""

    stop_s: float
    ready_s: float
    first_s: float
    last_s: float


@dataclass(frozen=True, slots=True)
class Shards:
    """Where the shards listen, and what a sample of their accounts is served: account -> ids, newest first."""

    targets: list[LaneTarget]
    samples: list[dict[int, list[int]]]


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    standard = SIZES_QUICK if options.quick else SIZES
    sizes = (*(s for s in standard if s < options.accounts), options.accounts) if options.accounts else standard
    result = Result("recovery", {"quick": options.quick, "pairs": options.pairs, "accounts": list(sizes)})
    plots = [
        result.plot(Plot(name, title, "accounts", "seconds", x_log=True, y_log=True))
        for name, title in (
            ("killed", "From kill -9 until home timelines are served again"),
            ("restarted", "From the start of `serve`, Ray included, until home timelines are served"),
        )
    ]
    busy: list[float] = []
    for accounts in sizes:
        folder = options.folder / str(accounts)
        folder.mkdir()
        follows = FOLLOWS_QUICK if options.quick else FOLLOWS
        crowd = Crowd(accounts, follows, AUTHORS_LEAST, options.first_account)
        turns, restarts = _measure(
            crowd, folder, options, lambda text, n=accounts: progress(f"{n:,} accounts: {text}"), result, busy
        )
        _add(result, crowd, turns, restarts, plots)
    _add_claims(result, {accounts: result.samples[_case(accounts)] for accounts in sizes})
    result.facts |= {
        "cluster": f"{SHARDS} shards; rings of half of the readers, {AUTHORS_LEAST * ROUNDS_FULL} to {LENGTH} entries",
        "machine busy before a turn": f"{min(busy):.0f} to {max(busy):.0f} %",
    }
    return result


def _case(accounts: int) -> str:
    return f"{accounts:,} accounts"


def entries_of(crowd: Crowd) -> int:
    """Return how many entries all home timelines hold together."""
    return sum(min(LENGTH, ROUNDS_FULL * len(crowd.authors_of(account))) for account in crowd.awake)


def _measure(
    crowd: Crowd, folder: Path, options: Options, progress: Progress, result: Result, busy: list[float]
) -> tuple[Turns[Back], list[Restart]]:
    """Load both sides; kill both in turn; then stop and start ours cleanly."""
    namespace, posted = new_namespace(), dict[int, list[int]]()
    restarts: list[Restart] = []
    progress("starting Rookery")
    with closing(SavedRedis(folder / "redis")) as redis:
        with options.cluster(SHARDS, folder=folder, namespace=namespace) as cluster:
            count = SAMPLED_QUICK if options.quick else SAMPLED
            shards = cluster.with_loader(lambda loader: _load(loader, cluster, crowd, posted, count, progress))
            bodies = cluster.with_loader(lambda loader: tweets_of(loader, crowd.authors))
            key = _fill_redis(redis, crowd, posted, bodies, progress)
            contestants = {
                OURS: lambda turn: _kill_shards(
                    cluster,
                    shards,
                    0.0 if options.quick else REST_TIMEOUT_S,
                    lambda: progress(f"turn {turn + 1}: killing shards"),
                ),
                REDIS: lambda turn: _kill_redis(redis, key, shards),
            }
            turns = alternate(contestants, options.pairs, lambda: busy.append(busy_percent()))
            compared = cluster.with_loader(lambda loader: network.check_definition(loader, crowd))
            stopping = time.perf_counter()
        redis.kill()
        for turn in range(1 if options.quick else min(options.pairs, CLEAN_TURNS)):
            stop_s = time.perf_counter() - stopping
            log = cluster.data.with_name(LOG_FILE)
            if STOPPED not in log.read_text(encoding="utf-8", errors="replace"):
                raise BenchError(f"the cluster was not stopped cleanly:\n{tail_of(log)}")
            progress(f"clean start {turn + 1}")
            begin = time.perf_counter()
            with ThreadPoolExecutor(1) as pool:
                served = pool.submit(uvloop.run, until_served(shards, begin))
                with options.cluster(SHARDS, folder=folder, namespace=namespace) as cluster:
                    ready_s = time.perf_counter() - begin
                    back = served.result()
                    compared += cluster.with_loader(lambda loader: network.check_definition(loader, crowd))
                    stopping = time.perf_counter()
            restarts.append(Restart(stop_s, ready_s, back.first_s, back.last_s))
    behind = [sample.behind for sample in turns.samples[OURS]]
    result.facts[_case(crowd.accounts)] = (
        f"{len(crowd.awake):,} rings, {entries_of(crowd):,} entries, {len(bodies):,} tweets; "
        f"{sum(map(len, shards.samples))} timelines as before after each recovery (after kill -9 with gaps at first: "
        f"{min(behind)} to {max(behind)}), {compared} compared with their definition, no differences"
    )
    return turns, restarts


# ---- before -----------------------------------------------------------------------------------------------------


async def _load(
    loader: BulkLoader, cluster: RookeryCluster, crowd: Crowd, posted: dict[int, list[int]], count: int,
    progress: Progress,
) -> Shards:  # fmt: skip
    """Fill the cluster and note what is served. Raises BenchError if that isn't what was written."""
    await network.register(loader, crowd, progress)
    await network.follow(loader, crowd, progress)
    await network.wake(loader, crowd, progress)
    await network.write_rounds(loader, crowd, ROUNDS_FULL, posted, progress)
    lanes = [await cluster.lane_of(loader, shard) for shard in range(SHARDS)]
    samples: list[dict[int, list[int]]] = [{} for _ in lanes]
    accounts = crowd.awake
    random.Random(5).shuffle(accounts)
    for account in accounts:
        sample = samples[loader.client.shard_of(bucket_of_account(account))]
        if len(sample) < count:
            sample[account] = await served_ids(loader, account)
            if sample[account][::-1] != [i for i, _ in timeline_of(crowd, posted, account)]:
                raise BenchError(f"the home timeline of {account} isn't what was written")
    return Shards(lanes, samples)


def _fill_redis(
    redis: SavedRedis, crowd: Crowd, posted: dict[int, list[int]], bodies: Sequence[tuple[int, int, bytes]],
    progress: Progress,
) -> str:  # fmt: skip
    """Bring the same timelines and bodies into Redis and save them; returns the last key.

    Accounts that follow the same authors have the same timeline: it is sent once and copied.
    """
    progress("filling Redis")
    redis.start("nothing")
    batch, first_with, key = Batches(redis.store), dict[tuple[int, ...], str](), ""
    for tweet_id, _, body in bodies:
        batch.add("SET", f"tweet:{tweet_id}", body)
    for account in crowd.awake:
        key, authors = f"home:{account}", tuple(crowd.authors_of(account))
        if authors in first_with:
            batch.add("COPY", first_with[authors], key)
        else:
            first_with[authors] = key
            batch.add(*entries_command(key, timeline_of(crowd, posted, account)))
    batch.flush()
    redis.store.save()
    return key


# ---- again ------------------------------------------------------------------------------------------------------


def _kill_shards(cluster: RookeryCluster, shards: Shards, rest_s: float, announce: Callable[[], None]) -> Back:
    """Kill all shards at once; returns when they were back."""

    async def processes(loader: BulkLoader) -> list[int]:
        return [int(status["pid"]) for status in await loader.wait_until_drained()]

    pids = cluster.with_loader(processes)
    wait_for_rest(pids, rest_s)
    announce()
    begin = time.perf_counter()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return uvloop.run(until_served(shards, begin))


def wait_for_rest(pids: list[int], timeout_s: float) -> None:
    """Wait until the node has a spare process for each shard, as in a cluster that has been up for a while.

    When the time is up the kill comes all the same: without spares Ray starts new processes.
    """
    end = time.monotonic() + timeout_s
    raylet = psutil.Process(pids[0]).parent()
    while raylet is not None and time.monotonic() < end:
        try:
            spares = sum(process.cmdline()[:1] == ["ray::IDLE"] for process in raylet.children())
        except psutil.NoSuchProcess:  # one ended while we looked
            continue
        if busy_percent() < REST_BUSY_PERCENT and spares >= len(pids):
            return


def _kill_redis(redis: SavedRedis, key: str, shards: Shards) -> Back:
    """Kill Redis and start it again. Raises BenchError if it doesn't hold what it should."""
    redis.kill()
    seconds = redis.start(key)
    for sample in shards.samples:
        for account, ids in sample.items():
            held = redis.store.lrange(f"home:{account}", 0, -1)
            if [int.from_bytes(entry[:8], "big") for entry in held] != ids:
                raise BenchError(f"Redis holds another home timeline of {account}: {len(held)} entries")
    return Back(seconds, seconds)


async def until_served(shards: Shards, begin: float) -> Back:
    """Wait until the sample of every shard is served as before. Raises BenchError if it is another, or isn't served."""
    firsts: list[float] = []
    behind: list[int] = []

    async def one(target: LaneTarget, sample: dict[int, list[int]]) -> float:
        lane = await _dial(target)
        try:
            await _ask(lane, "home", [next(iter(sample)), 0, 0, 0, COUNT])
            firsts.append(time.perf_counter() - begin)
            lagging = await asyncio.gather(*(_wait_for(lane, account, ids) for account, ids in sample.items()))
            behind.append(sum(lagging))
            return time.perf_counter() - begin
        finally:
            lane.close()

    lasts = await asyncio.gather(*(one(p, s) for p, s in zip(shards.targets, shards.samples, strict=True)))
    return Back(min(firsts), max(lasts), sum(behind))


async def _wait_for(lane: LaneClient, account: int, expected: list[int]) -> bool:
    """Wait until an account is served just that; returns whether it was served anything else at first.

    Raises BenchError if it still is when all should be delivered.
    """
    end, looks = time.perf_counter() + LAG_TIMEOUT_S, 0
    while (served := await _ask(lane, "home_ids", [account, 0, LENGTH])) != expected:
        looks += 1
        if time.perf_counter() > end:
            missing = len(set(expected).difference(served))
            raise BenchError(
                f"{account}: {missing} of {len(expected)} entries are gone {LAG_TIMEOUT_S:.0f} s after kill -9"
            )
        await asyncio.sleep(DIAL_POLL_S)
    return looks > 0


async def _dial(target: LaneTarget) -> LaneClient:
    """Return a lane to a shard, as soon as it listens."""
    end = time.perf_counter() + GIVE_UP_AFTER_S
    while True:
        lane = LaneClient(*target)
        try:
            await lane.connect()
        except (OSError, LaneProtocolError) as error:
            if time.perf_counter() > end:
                raise BenchError(f"nobody listens at {target.address} after {GIVE_UP_AFTER_S:.0f} s") from error
            await asyncio.sleep(DIAL_POLL_S)
        else:
            return lane


async def _ask(lane: LaneClient, op: str, args: list[int]) -> Any:
    """Ask until the shard doesn't say that it is too busy, or leads nobody yet."""
    while True:
        try:
            return await lane.request(op, args, READ_TIMEOUT_S)
        except (OverloadedError, MovedError):
            await asyncio.sleep(DIAL_POLL_S)


# ---- what was found ---------------------------------------------------------------------------------------------


def _add(result: Result, crowd: Crowd, turns: Turns[Back], restarts: list[Restart], plots: list[Plot]) -> None:
    """Add rows and points of one size."""
    case, accounts = _case(crowd.accounts), crowd.accounts
    result.keep(case, turns)
    result.samples[case]["clean"] = [asdict(restart) for restart in restarts]
    millions = entries_of(crowd) / 1e6
    result.samples[case]["million entries"] = [millions]
    first, last = (turns.spread(OURS, lambda s, f=f: getattr(s, f)) for f in ("first_s", "last_s"))
    theirs = turns.spread(REDIS, lambda s: s.last_s)
    ratio = turns.ratio(OURS, REDIS, lambda s: s.last_s)
    result.rows += [
        Row(case, OURS, "killed: first timeline", "s", first),
        Row(case, OURS, "killed: last of the sample", "s", last),
        Row(case, OURS, "killed: per million entries", "s", turns.spread(OURS, lambda s: s.last_s / millions)),
        Row(case, REDIS, "killed: serving", "s", theirs, ratio),
    ]
    plots[0].add(OURS, accounts, first, "first")
    plots[0].add(OURS, accounts, last, "last")
    plots[0].add(REDIS, accounts, theirs, "last")
    for figure, label in (
        ("stop_s", "clean stop"), ("first_s", "start: first timeline"), ("last_s", "start: last of the sample"),
        ("ready_s", "start: HTTP ready"),
    ):  # fmt: skip
        value = Spread.of([getattr(restart, figure) for restart in restarts])
        result.rows.append(Row(case, OURS, label, "s", value))
        if figure != "stop_s":
            plots[1].add(OURS, accounts, value, label.removeprefix("start: "))


def _add_claims(result: Result, samples: dict[int, dict[str, list[Any]]]) -> None:
    """Add the claims, which compare sizes."""
    claimed = max([a for a in samples if a <= CLAIMED_ACCOUNTS], default=min(samples))
    ratios = [
        ours["last_s"] / theirs["last_s"]
        for ours, theirs in zip(samples[claimed][OURS], samples[claimed][REDIS], strict=True)
    ]
    text = f"last timeline, to Redis serving, {_case(claimed)}"
    result.claims.append(Claim(text, "at_most", 1.0, Spread.of(ratios), 3))
    if len(samples) > 1:
        small, large = (
            [back["last_s"] / samples[size]["million entries"][0] for back in samples[size][OURS]]
            for size in (min(samples), max(samples))
        )
        base = Spread.of(small).median
        growth = Spread.of([seconds / base for seconds in large])
        text = f"seconds per million entries, {_case(max(samples))} to {_case(min(samples))}"
        result.claims.append(Claim(text, "at_most", 1.5, growth, 3))
