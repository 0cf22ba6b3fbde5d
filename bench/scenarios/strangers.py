"""`strangers`: what honest clients notice of those who try to keep them from reading and writing.

A few clients read home timelines and post at a steady pace, on connections that stay and on new ones. First they are
alone; then each attack of `bench/strangers.py` goes on beside them, from many addresses and from their own. Their p99
may be three times what it was alone, and none of their requests may fail.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from dataclasses import asdict, dataclass, field

import orjson
import uvloop

from bench.dataset import Network, make_network
from bench.load_generator import get_request, post_request
from bench.machine import busy_percent
from bench.pairs import Spread
from bench.processes import python_module
from bench.results import Claim, Result, Row
from bench.rookery import load_network, rookery_cluster
from bench.scenarios import SHARDS, Options, Progress
from bench.strangers import ATTACKS, SAME, answer, connected

READERS, WRITERS = 4, 2
PACE_S = 0.01  # between two requests of a client
NEW_CONNECTION_EACH = 10  # requests
BEGIN_S = 1.0  # that strangers have to be there
TIMES_QUIET_MAX = 3.0
ISSUE = 15


@dataclass
class Noticed:
    """What honest clients saw for a while."""

    read_s: list[float] = field(default_factory=list)
    write_s: list[float] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)  # statuses, 0 for a connection that broke

    def p99_ms(self, kind: str) -> float:
        """Return the 99th percentile of reads or writes."""
        took = sorted(self.read_s if kind == "reads" else self.write_s)
        return 1e3 * took[min(len(took) - 1, len(took) * 99 // 100)] if took else float("inf")


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    result = Result("strangers", {"quick": options.quick, "pairs": options.pairs, "seconds": options.seconds})
    accounts, followees, tweets = (200, 20, 2_000) if options.quick else (2_000, 50, 20_000)
    network = make_network(accounts, followees, tweets)
    sets = ["limits.enabled=true", *(f"limits.account_{kind}=1000000" for kind in RATES)]
    busy: list[float] = []
    with rookery_cluster(options.folder, SHARDS, options.auth, sets) as rookery:
        progress("loading")
        rookery.with_loader(lambda loader: load_network(loader, network))
        be_honest(rookery.port, network, options.seconds)  # the first ones warm everything up
        for what in list(ATTACKS)[:: 7 if options.quick else 1]:
            for place in ("many", "same"):
                turns = []
                for turn in range(options.pairs):
                    progress(f"{what}, {place}, turn {turn + 1}")
                    busy.append(busy_percent())
                    quiet = be_honest(rookery.port, network, options.seconds)
                    turns.append((quiet, beside(rookery.port, network, what, place, options.seconds)))
                add_turns(result, f"{what}; {place}", turns)
    result.facts |= {
        "network": f"{accounts} accounts; {SHARDS} shards, 1 API worker, limits of a laptop",
        "honest clients": f"{READERS} read and {WRITERS} post, each some {1 / PACE_S:.0f} times a second",
        "machine busy before a turn": f"{min(busy):.0f} to {max(busy):.0f} %",
    }
    return result


RATES = ("reads_per_min", "reads_burst", "writes_per_min", "writes_burst")  # a handful of accounts are all honest ones


def beside(port: int, network: Network, what: str, place: str, seconds: float) -> Noticed:
    """Return what honest clients notice of an attack."""
    lasts = f"{seconds + 2 * BEGIN_S:.1f}"
    command = python_module(
        "bench.strangers", "--port", str(port), "--attack", what, "--from", place, "--seconds", lasts
    )
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as strangers:
        time.sleep(BEGIN_S)
        noticed = be_honest(port, network, seconds)
        strangers.terminate()
        strangers.wait()
    return noticed


def be_honest(port: int, network: Network, seconds: float) -> Noticed:
    """Read and write for a while."""
    noticed = Noticed()

    async def clients() -> None:
        accounts = [int(account) for account in network.accounts[: READERS + WRITERS]]
        await asyncio.gather(
            *(one_client(port, network, account, n < READERS, seconds, noticed) for n, account in enumerate(accounts))
        )

    uvloop.run(clients())
    return noticed


async def one_client(port: int, network: Network, account: int, reads: bool, seconds: float, noticed: Noticed) -> None:
    """Read, or write, at a steady pace."""
    signed = [f"Authorization: Bearer {network.tokens[account][0]}"]
    body = orjson.dumps({"user_id": str(account), "status": "good morning"})
    request = (
        get_request(f"/api/v1/home_timeline?user_id={account}", signed)
        if reads
        else post_request("/api/v1/tweet", body, signed)
    )
    took, good = (noticed.read_s, 200) if reads else (noticed.write_s, 201)
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        try:
            begin = time.perf_counter()
            async with connected(port, SAME[0]) as (reader, writer):
                for _ in range(NEW_CONNECTION_EACH):
                    writer.write(request)
                    status = await answer(reader)
                    took.append(time.perf_counter() - begin)
                    if status != good:
                        noticed.failed.append(status)
                    await asyncio.sleep(PACE_S)
                    begin = time.perf_counter()
        except (OSError, asyncio.IncompleteReadError):
            noticed.failed.append(0)
            await asyncio.sleep(PACE_S)


def add_turns(result: Result, case: str, turns: list[tuple[Noticed, Noticed]]) -> None:
    """Add rows and claims of one attack."""
    result.samples[case] = {"quiet": [asdict(quiet) for quiet, _ in turns], "beside": [asdict(b) for _, b in turns]}
    for kind in ("reads", "writes"):
        quiet_ms = Spread.of([quiet.p99_ms(kind) for quiet, _ in turns])
        beside_ms = Spread.of([beside.p99_ms(kind) for _, beside in turns])
        times = Spread.of([beside.p99_ms(kind) / quiet.p99_ms(kind) for quiet, beside in turns])
        result.rows += [
            Row(case, "honest", f"p99 of {kind}, quiet", "ms", quiet_ms),
            Row(case, "honest", f"p99 of {kind}, beside", "ms", beside_ms, times),
        ]
        result.claims.append(Claim(f"{case}: p99 of {kind} to the quiet one", "at_most", TIMES_QUIET_MAX, times, ISSUE))
    failed = Spread.of([float(len(beside.failed)) for _, beside in turns])
    result.claims.append(Claim(f"{case}: requests that failed", "at_most", 0.0, failed, ISSUE))
