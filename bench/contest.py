"""What the HTTP scenarios share: both contestants running with the same network, and load on them in turn."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.dataset import Network, make_network
from bench.load_generator import Sample, run_load
from bench.machine import busy_percent
from bench.pairs import Spread, Turns, alternate
from bench.peer_redis import RedisPeer, load_peer, redis_peer
from bench.processes import BenchError
from bench.results import Plot, Result, Row
from bench.rookery import RookeryCluster, get_home, load_network, tweets_of
from bench.scenarios import SHARDS, Options, Progress

COMPARED = 50  # home timelines that must be the same on both sides before anything is measured
WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Contest:
    """Rookery and the peer, both holding the network."""

    network: Network
    rookery: RookeryCluster
    peer: RedisPeer
    body_bytes: int


@contextmanager
def http_contest(options: Options, progress: Progress, result: Result) -> Iterator[Contest]:
    """Start both, load both with the same network, and see that they serve the same."""
    accounts, followees, tweets = (200, 20, 2_000) if options.quick else (5_000, 75, 40_000)
    network = make_network(accounts, followees, tweets, first_account=options.first_account)
    progress("starting Rookery and the peer")
    auth = options.auth
    with options.cluster(SHARDS) as rookery, redis_peer(options.folder, auth) as peer:
        follows = len(network.followers)
        size = f"{accounts} accounts, {follows} follows, {tweets} tweets"
        progress(f"loading {size} through the write path")

        async def load(loader):
            seconds = await load_network(loader, network)
            return seconds, await tweets_of(loader, network.accounts.tolist())

        seconds, written = rookery.with_loader(load)
        load_peer(peer.store, network, written)
        body_bytes = compare_homes(network, rookery, peer)
        result.facts |= {
            "network": f"{size}; {SHARDS} shards, 1 API worker",
            "home page bytes": body_bytes,
            "loading": f"follows {follows / seconds['follows_s']:,.0f}/s, tweets {tweets / seconds['tweets_s']:,.0f}/s",
            "generator": options.generator, "auth": auth,
            "turns": f"{options.pairs} of {options.seconds} s",
        }  # fmt: skip
        yield Contest(network, rookery, peer, body_bytes)


def compare_homes(network: Network, rookery: RookeryCluster, peer: RedisPeer) -> int:
    """Raise BenchError unless both serve the same home timelines; returns their mean size in bytes."""
    sizes = []
    with httpx.Client(timeout=30.0) as client:
        for account in random.Random(1).sample(network.accounts.tolist(), min(COMPARED, len(network.accounts))):
            token = network.tokens[account][0]
            ours, theirs = (get_home(client, port, account, token) for port in (rookery.port, peer.port))
            if json.loads(ours) != json.loads(theirs):
                raise BenchError(f"home timelines of {account} differ:\n{ours[:500]!r}\n{theirs[:500]!r}")
            sizes.append(len(ours))
    return sum(sizes) // len(sizes)


def load_in_turn(
    options: Options, ports: Mapping[str, int], requests: Mapping[str, Path], clients: int, busy: list[float]
) -> Turns[Sample]:
    """Load each contestant in turn. busy: takes how busy the machine was before each turn."""

    def load(name: str, seconds: float) -> Sample:
        sample = run_load(options.generator, ports[name], requests[name], clients, seconds)
        if sample.errors:
            raise BenchError(f"{name}: {sample.errors} of {sample.requests} requests failed")
        return sample

    options.warm_up([functools.partial(load, name) for name in ports], WARM_UP_S)
    contestants = {name: (lambda _, name=name: load(name, options.seconds)) for name in ports}
    return alternate(contestants, options.pairs, lambda: busy.append(busy_percent()))


@dataclass(frozen=True, slots=True)
class ClientPlots:
    """What every HTTP scenario shows: throughput and latency against the number of clients."""

    throughput: Plot
    latency: Plot

    @classmethod
    def of(cls, result: Result, what: str) -> ClientPlots:
        """Have both drawn. what: what is asked for, in the plural."""
        return cls(
            result.plot(Plot("throughput", f"{what} by clients", "clients", f"{what} per second", x_log=True)),
            result.plot(
                Plot("latency", f"Latency of {what.lower()}", "clients", "latency (us)", x_log=True, y_log=True)
            ),
        )

    def add(self, clients: int, turns: Turns[Sample]) -> None:
        """Add the points of one number of clients."""
        for name in turns.samples:
            self.throughput.add(name, clients, turns.spread(name, lambda s: s.per_second))
            self.latency.add(name, clients, turns.spread(name, lambda s: s.p50_us), "p50")
            self.latency.add(name, clients, turns.spread(name, lambda s: s.p99_us), "p99")


def add_rows(result: Result, clients: int, turns: Turns[Sample], ours: str = "Rookery") -> None:
    """Add throughput and latencies of every contestant, with our ratio to each."""
    case = f"{clients} client{'s' * (clients > 1)}"
    result.keep(case, turns)
    for name in turns.samples:
        for figure, unit in (("per_second", "/s"), ("p50_us", "us"), ("p99_us", "us")):
            value = turns.spread(name, lambda s, f=figure: getattr(s, f))
            ratio = None if name == ours else ratio_of(turns, name, figure, ours)
            label = figure.removesuffix("_us").replace("per_second", "requests")
            result.rows.append(Row(case, name, label, unit, value, ratio))


def ratio_of(turns: Turns[Sample], to: str, figure: str, ours: str = "Rookery") -> Spread:
    """Return our figure divided by theirs, turn by turn."""
    return turns.ratio(ours, to, lambda s: getattr(s, figure))
