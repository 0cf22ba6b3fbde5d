"""`overload`: reads, writes and a mix of both, three times as many as a cluster can carry, and a moment after.

For each: the capacity with a few clients in a closed loop, how long a lone request takes; then three times that rate
from an open-loop generator. What is answered must be answered soon, what can't be carried must be refused soon and say
when to come again, processes must not grow beyond what their bounds allow, and afterwards all is as before.

There is nothing beside it: the peer has no admission control, and would only be slow.
"""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import orjson
import psutil

from bench.dataset import Network, make_network
from bench.load_generator import get_request, post_request, run_load, write_requests
from bench.machine import busy_percent
from bench.open_load import Offered, offer_load
from bench.pairs import Spread
from bench.processes import BenchError
from bench.results import Claim, Plot, Result, Row
from bench.rookery import get_home, load_network
from bench.scenarios import SHARDS, Options, Progress

TIMES_CAPACITY = 3.0
CLIENTS = 64  # of the closed loop that finds the capacity
CONNECTIONS = 2_000  # of the open loop: twice limits.inflight_max, so that the bounds are met
READS_TO_A_WRITE = 9  # in the mix
ALONE_COUNT = 200  # lone requests before and after
RECOVERY_S = 5.0  # after the load a lone request must be as quick as before within so long
GIVE_UP_S = 60.0  # that it never is: for a machine that does something else meanwhile
AS_BEFORE = 3.0  # times the median from before
# What the bounds allow one process to grow by: an API worker 2,000 connections of 10 KB and 1,024 answers of 10 KB, a
# shard 10,000 waiting writes of 2 KB; the rest is journal, checkpoint (DuckDB's buffers) and the tweets themselves.
GROWTH_BYTES_MAX = 512 << 20
ACTOR_TITLE = re.compile(r"ray::(\S*:)?(Shard|Api|Router)Actor")


@dataclass(frozen=True, slots=True)
class Turn:
    """What was seen of one kind of load, once."""

    capacity_per_second: float
    alone_before_s: float
    offered: Offered
    recovered_s: float
    grown_bytes: int

    @property
    def answered_per_second(self) -> float:
        """Good answers while more was offered than can be carried."""
        return self.offered.answered.count / self.offered.seconds


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    result = Result("overload", {"quick": options.quick, "pairs": options.pairs, "seconds": options.seconds})
    accounts, followees, tweets = (200, 20, 2_000) if options.quick else (5_000, 75, 40_000)
    network = make_network(accounts, followees, tweets, first_account=options.first_account)
    rate_plot = result.plot(Plot("answered", "Answers under load", "offered, times the capacity", "answers per second"))
    with options.cluster(SHARDS) as rookery:
        progress("loading")
        rookery.with_loader(lambda loader: load_network(loader, network))
        processes = actor_processes(rookery.data)
        busy: list[float] = []
        for kind, requests in make_requests(network, options.folder).items():
            turns = []
            for turn in range(options.pairs):
                progress(f"{kind}, turn {turn + 1}")
                busy.append(busy_percent())
                alone = lone_request(rookery.port, network)
                turns.append(measure(options, rookery.port, requests, alone, processes))
            add_turns(result, rate_plot, kind, turns)
        result.facts |= {
            "network": f"{accounts} accounts, {len(network.followers)} follows; {SHARDS} shards, 1 API worker",
            "offered": f"{TIMES_CAPACITY} times the capacity with {CLIENTS} clients, over {CONNECTIONS} connections",
            "machine busy before a turn": f"{min(busy):.0f} to {max(busy):.0f} %",
        }
    return result


def measure(
    options: Options, port: int, requests: Path, alone: Callable[[], float], processes: list[psutil.Process]
) -> Turn:
    """Find the capacity, offer three times of it, and see what is left of it. Raises BenchError for broken answers."""
    capacity = run_load("builtin", port, requests, CLIENTS, options.seconds)
    if capacity.errors:
        raise BenchError(f"{capacity.errors} of {capacity.requests} requests failed within the capacity")
    before_s = statistics.median(alone() for _ in range(ALONE_COUNT))
    resident = resident_bytes(processes)
    offered = offer_load(port, requests, capacity.per_second * TIMES_CAPACITY, options.seconds, CONNECTIONS)
    recovered_s = time_to_recover(alone, before_s)
    if offered.broken or offered.other or offered.without_retry_after:
        raise BenchError(f"answers that are neither good nor a proper refusal: {offered}")
    grown = max(after - was for was, after in zip(resident, resident_bytes(processes), strict=True))
    return Turn(capacity.per_second, before_s, offered, recovered_s, grown)


def add_turns(result: Result, plot: Plot, kind: str, turns: list[Turn]) -> None:
    """Add rows, claims and points of one kind of load."""

    def spread(figure: Callable[[Turn], float]) -> Spread:
        return Spread.of([figure(turn) for turn in turns])

    answered, refused = spread(lambda t: t.offered.answered.p99_s), spread(lambda t: t.offered.refused.p99_s)
    rate, capacity = spread(lambda t: t.answered_per_second), spread(lambda t: t.capacity_per_second)
    figures = [("capacity", "/s", capacity), ("answered", "/s", rate),
               ("refused", "/s", spread(lambda t: t.offered.refused.count / t.offered.seconds)),
               ("p99 of answers", "s", answered), ("p99 of refusals", "s", refused),
               ("as before after", "s", spread(lambda t: t.recovered_s))]  # fmt: skip
    result.rows += [Row(kind, "Rookery", name, unit, value) for name, unit, value in figures if value.median > 0]
    result.samples[kind] = {"Rookery": [asdict(turn) for turn in turns]}
    grown = spread(lambda t: t.grown_bytes)
    result.claims += [
        Claim(f"{kind}: p99 of answers at three times the capacity, s", "at_most", 1.0, answered, 1),
        Claim(f"{kind}: p99 of refusals, s", "at_most", 1.0, refused, 1),
        Claim(
            f"{kind}: as quick as before, s after the load", "at_most", RECOVERY_S, spread(lambda t: t.recovered_s), 1
        ),
        Claim(f"{kind}: growth of a process, bytes", "at_most", GROWTH_BYTES_MAX, grown, 1),
    ]
    plot.add("Rookery", 1.0, capacity, kind)
    plot.add("Rookery", TIMES_CAPACITY, rate, kind)


def lone_request(port: int, network: Network) -> Callable[[], float]:
    """Return what reads one home timeline on a connection of its own that stays open, and returns the seconds."""
    client, account = httpx.Client(timeout=30.0), int(network.accounts[0])
    token = network.tokens[account][0]

    def ask() -> float:
        begin = time.perf_counter()
        get_home(client, port, account, token)
        return time.perf_counter() - begin

    return ask


def time_to_recover(alone: Callable[[], float], before_s: float) -> float:
    """Return how long it takes from now until lone requests are as quick as before; raises BenchError if they don't."""
    begin = time.perf_counter()
    while True:
        try:
            now_s = statistics.median(alone() for _ in range(5))
        except BenchError:  # refused still
            now_s = float("inf")
        since_s = time.perf_counter() - begin
        if now_s <= before_s * AS_BEFORE:
            return since_s
        if since_s > GIVE_UP_S:
            raise BenchError(f"{since_s:.1f} s after the load a lone request takes {now_s} s, {before_s} s before it")


def make_requests(network: Network, folder: Path) -> dict[str, Path]:
    """Write the requests of each kind of load."""
    accounts = network.accounts.tolist()
    random.Random(2).shuffle(accounts)
    signed = {account: [f"Authorization: Bearer {network.tokens[account][0]}"] for account in accounts}
    reads = [get_request(f"/api/v1/home_timeline?user_id={account}", signed[account]) for account in accounts]
    writes = [
        post_request("/api/v1/tweet", orjson.dumps({"user_id": str(account), "status": text}), signed[account])
        for account, (_, text) in zip(accounts, network.tweets, strict=False)
    ]
    mixed = [
        part
        for i, read in enumerate(reads)
        for part in ([read] if i % READS_TO_A_WRITE else [read, writes[i % len(writes)]])
    ]
    kinds = {"reads": reads, "writes": writes, "mixed": mixed}
    return {name: write_requests(folder / name, found) for name, found in kinds.items()}


def actor_processes(data: Path) -> list[psutil.Process]:
    """Return the processes of our actors in the cluster that serves a data folder."""
    server = psutil.Process(orjson.loads((data / "cluster.json").read_bytes())["pid"])
    found = [p for p in server.children(recursive=True) if ACTOR_TITLE.match((p.cmdline() or [""])[0])]
    if len(found) < SHARDS + 2:
        raise BenchError(f"only {len(found)} processes of actors were found")
    return found


def resident_bytes(processes: list[psutil.Process]) -> list[int]:
    """Return the resident memory of each process."""
    return [int(process.memory_info().rss) for process in processes]
