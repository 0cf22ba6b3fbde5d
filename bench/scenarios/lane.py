"""`lane`: home reads of 20 hydrated tweets over the lane alone, beside Redis answering its own C client.

Ours: one connection with so many requests under way, random accounts, ready-made requests, answers counted and not
read, as redis-benchmark does; the shard is one of a real `serve`. Beside it the same through `LaneClient`, which is
what an API worker uses and costs Python as much as the shard does.
Redis: redis-benchmark with as many connections, LRANGE of 20 ids and MGET of 20 bodies of the same bytes, one after the
other; a home read needs both, so home reads/s = 1 / (1 / LRANGE rate + 1 / MGET rate). That leaves out what a client
would still do between the two. Both over a Unix socket, nothing checked but the lane's proofs.
"""

from __future__ import annotations

import asyncio
import csv
import functools
import random
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import orjson
import uvloop

from bench.dataset import Network, make_network
from bench.lane import Job, LaneTarget, lane_requests, lane_socket, rate_at_depth, request_in_turn
from bench.machine import busy_percent
from bench.pairs import alternate
from bench.peer_redis import Batches, homes_of, redis_server
from bench.processes import BenchError
from bench.results import Claim, Plot, Result, Row
from bench.rookery import load_network, tweets_of
from bench.scenarios import Options, Progress
from cluster.lane.client import LaneClient

DEPTHS = (1, 8, 32)  # requests under way; connections of redis-benchmark
COUNT = 20  # tweets of a home read
COMPARED = 50  # home timelines that must hold the same tweets on both sides
FIRST_REQUESTS = 2_000  # of redis-benchmark, to see how many it needs for the time asked for
WARM_UP_S = 0.5
OURS, OUR_CLIENT, REDIS = "Rookery", "Rookery, LaneClient", "Redis, C client"


@dataclass(frozen=True, slots=True)
class Reads:
    """One run. Of Redis also the rates that it is made of."""

    per_second: float
    lrange_per_second: float = 0.0
    mget_per_second: float = 0.0


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    result = Result("lane", {"quick": options.quick, "pairs": options.pairs, "seconds": options.seconds})
    size = (200, 20, 2_000) if options.quick else (5_000, 75, 40_000)
    network = make_network(*size, first_account=options.first_account)
    progress("starting Rookery and Redis")
    with (
        ExitStack() as stack,
        options.cluster(1) as cluster,
        redis_server(options.folder / "redis") as (redis_path, store),
    ):

        async def load(loader):
            await load_network(loader, network)
            return await tweets_of(loader, network.accounts.tolist()), await cluster.lane_of(loader, 0)

        progress("loading both")
        tweets, target = cluster.with_loader(load)
        fill_redis(store, network, tweets)
        accounts = random.Random(4).sample(network.accounts.tolist(), len(network.accounts))
        first = int(network.accounts[0])
        keys = {account: home_key(account - first) for account in accounts}
        page_bytes = compare(store, keys, with_lane(target, lambda lane: read_pages(lane, accounts)))
        arguments = [[account, 0, 0, 0, COUNT] for account in accounts]
        benchmark = RedisBenchmark(redis_path, len(accounts), len(tweets))

        sock = stack.enter_context(lane_socket(target))
        job = Job.learn(sock, lane_requests("home", arguments))

        def through_client(depth: int, seconds: float) -> Reads:
            async def measure(lane: LaneClient) -> float:
                return await rate_at_depth(request_in_turn(lane, "home", arguments), seconds, depth)

            return Reads(with_lane(target, measure))

        rates = result.plot(
            Plot("throughput", "Home reads of 20 tweets, no HTTP", "requests under way", "home reads per second", True)
        )
        busy: list[float] = []
        for depth in DEPTHS:
            progress(f"{depth} requests under way")
            runs = {
                OURS: lambda depth, seconds: Reads(job.run(sock, depth, seconds)),
                OUR_CLIENT: through_client,
                REDIS: benchmark.home_reads,
            }
            options.warm_up([functools.partial(r, depth) for r in runs.values()], WARM_UP_S)
            contestants = {n: (lambda _, r=r, d=depth: r(d, options.seconds)) for n, r in runs.items()}
            turns = alternate(contestants, options.pairs, lambda: busy.append(busy_percent()))
            case = f"depth {depth}"
            result.keep(case, turns)
            ratios = {name: turns.ratio(OURS, name, lambda s: s.per_second) for name in (OUR_CLIENT, REDIS)}
            for name in turns.samples:
                rate = turns.spread(name, lambda s: s.per_second)
                result.rows.append(Row(case, name, "home reads", "/s", rate, ratios.get(name)))
                rates.add(name, depth, rate)
            for figure, command in (("lrange_per_second", "LRANGE"), ("mget_per_second", "MGET")):
                rate = turns.spread(REDIS, lambda s, f=figure: getattr(s, f))
                result.rows.append(Row(case, REDIS, command, "/s", rate))
    result.claims.append(Claim(f"home reads/s at depth {DEPTHS[-1]}, to Redis's", "at_least", 1.3, ratios[REDIS], 3))
    result.facts |= {
        "network": f"{len(accounts)} accounts, {len(tweets)} tweets, 1 shard", "home page bytes": page_bytes,
        "turns": f"{options.pairs} of {options.seconds} s",
        "machine busy before a turn": f"{min(busy):.0f} to {max(busy):.0f} %",
    }  # fmt: skip
    return result


# ---- ours -------------------------------------------------------------------------------------------------------


def with_lane(target: LaneTarget, work: Callable[[LaneClient], Any]) -> Any:
    """Run something with a connected lane on a loop of its own."""

    async def main() -> Any:
        lane = LaneClient(*target)
        await lane.connect()
        try:
            return await work(lane)
        finally:
            lane.close()

    return uvloop.run(main())


async def read_pages(lane: LaneClient, accounts: list[int]) -> dict[int, bytes]:
    """Return the pages of a few accounts."""
    chosen = accounts[:COMPARED]
    answers = await asyncio.gather(*(lane.request("home", [account, 0, 0, 0, COUNT]) for account in chosen))
    return {account: answer[0] for account, answer in zip(chosen, answers, strict=True)}


# ---- Redis ------------------------------------------------------------------------------------------------------


def home_key(number: int) -> str:
    """Return the key of a home timeline as redis-benchmark draws them: 12 digits."""
    return f"home:{number:012d}"


def fill_redis(store: Any, network: Network, tweets: list[tuple[int, int, bytes]]) -> None:
    """Bring the same home timelines and bodies into Redis. Homes and bodies are numbered from 0."""
    batch = Batches(store)
    for number, (_, _, body) in enumerate(tweets):
        batch.add("SET", f"tweet:{number:012d}", body)
    for number, (_, ids) in enumerate(sorted(homes_of(network, tweets).items())):
        if ids:
            batch.add("LPUSH", home_key(number), *ids)
    batch.flush()


def compare(store: Any, keys: dict[int, str], pages: dict[int, bytes]) -> int:
    """Raise BenchError unless both hold the same home timelines; returns the mean size of a page in bytes."""
    for account, page in pages.items():
        ours = [int(tweet["tweet_id"]) for tweet in orjson.loads(page)]
        theirs = [int(tweet_id) for tweet_id in store.lrange(keys[account], 0, COUNT - 1)]
        if ours != theirs:
            raise BenchError(f"home timelines of {account} differ: {ours} and {theirs}")
    return sum(map(len, pages.values())) // len(pages)


class RedisBenchmark:
    """redis-benchmark on one server; it takes a number of requests, so it is told as many as the time needs."""

    def __init__(self, path: str, homes: int, bodies: int) -> None:
        self.path, self.homes, self.bodies = path, homes, bodies
        self.rates: dict[tuple[str, int], float] = {}

    def home_reads(self, connections: int, seconds: float) -> Reads:
        """Measure both commands for half of the time each."""
        ids = ["LRANGE", "home:__rand_int__", "0", str(COUNT - 1)]
        bodies = ["MGET", *["tweet:__rand_int__"] * COUNT]
        lrange = self._rate(connections, seconds / 2, self.homes, ids)
        mget = self._rate(connections, seconds / 2, self.bodies, bodies)
        return Reads(1 / (1 / lrange + 1 / mget), lrange, mget)

    def _rate(self, connections: int, seconds: float, keys: int, command: list[str]) -> float:
        known = command[0], connections
        requests = int(self.rates.get(known, FIRST_REQUESTS / seconds) * seconds)
        done = subprocess.run(
            ["redis-benchmark", "-s", self.path, "-c", str(connections), "-n", str(max(requests, connections)),
             "-r", str(keys), "--csv", *command],
            capture_output=True, text=True, timeout=seconds * 20 + 60, check=False,
        )  # fmt: skip
        rows = list(csv.DictReader(line for line in done.stdout.splitlines() if line.startswith('"')))
        if done.returncode or not rows:
            raise BenchError(f"redis-benchmark failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
        self.rates[known] = float(rows[-1]["rps"])
        return self.rates[known]
