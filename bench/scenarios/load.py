"""`load`: follows a second through the cluster's write path, beside pipelined SADDs.

Every turn loads a tenth, a third or all of the graph with account ids of its own, because a follow that is there
already is no work. Ours is journalled with fsync and known to both accounts' shards when the clock stops; theirs is in
memory only (no append-only file, no snapshots), which is the fastest that Redis can be.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

import numpy as np

from bench.dataset import Ints, load_graph
from bench.machine import busy_percent
from bench.pairs import alternate
from bench.peer_redis import redis_server
from bench.processes import BenchError
from bench.results import Claim, Plot, Result, Row
from bench.rookery import edges_of, load_accounts
from bench.scenarios import Options, Progress
from commands.input_files import Edges

SHARDS, SHARDS_QUICK = 4, 2
PARTS = (0.1, 0.3, 1.0)  # of the graph; the claim is about all of it
PIPELINE_FOLLOWS = 1_000  # follows a round trip: 500 to 5,000 make no difference
PEER = "redis-py, pipelined SADDs"


@dataclass(frozen=True, slots=True)
class Load:
    """One load of the graph."""

    follows: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Follows a second."""
        return self.follows / self.seconds


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    what, followers, followees = load_graph(options.graph, 0.01 if options.quick else 1.0)
    accounts = np.union1d(followers, followees)
    result = Result("load", {"quick": options.quick, "pairs": options.pairs})
    shards = SHARDS_QUICK if options.quick else SHARDS
    result.facts |= {"graph": f"{what}: {len(accounts)} accounts, {len(followers)} follows", "shards": shards}
    rates = result.plot(
        Plot("throughput", f"Bulk load of follows, {shards} shards", "follows of the graph", "follows per second", True)
    )
    busy: list[float] = []
    with (
        options.cluster(shards) as cluster,
        redis_server(options.folder / "redis") as (_, store),
    ):
        strangers = (accounts + options.first_account + n * (int(accounts.max()) + 1) for n in itertools.count())

        def fresh(part: float) -> tuple[Ints, Edges]:
            """Return a part of the graph with account ids that nobody has loaded yet."""
            count, ids = int(len(followers) * part), next(strangers)
            sides = [ids[np.searchsorted(accounts, side[:count])] for side in (followers, followees)]
            return np.union1d(*sides), edges_of(*sides)

        def rookery(part: float) -> Load:
            ids, edges = fresh(part)

            async def work(loader):
                await load_accounts(loader, ids.tolist(), {})
                return await loader.follows(edges, lambda _: None)

            loaded = cluster.with_loader(work)
            if loaded.new != len(edges.followers):
                raise BenchError(f"{loaded.new} of {len(edges.followers)} follows were new")
            return Load(loaded.given, loaded.seconds)

        def peer(part: float) -> Load:
            us, vs = (side.tolist() for side in fresh(part)[1])
            begin = time.perf_counter()
            for at in range(0, len(us), PIPELINE_FOLLOWS):
                pipe = store.pipeline(transaction=False)
                for u, v in zip(us[at : at + PIPELINE_FOLLOWS], vs[at : at + PIPELINE_FOLLOWS], strict=True):
                    pipe.sadd(f"following:{u}", v)
                    pipe.sadd(f"followers:{v}", u)
                pipe.execute()
            return Load(len(us), time.perf_counter() - begin)

        for part in PARTS:
            progress(f"{part:.0%} of the graph")
            contestants = {"Rookery": lambda _, p=part: rookery(p), PEER: lambda _, p=part: peer(p)}
            turns = alternate(contestants, options.pairs, lambda: busy.append(busy_percent()))
            case = f"{int(len(followers) * part):,} follows"
            result.keep(case, turns)
            ratio = turns.ratio("Rookery", PEER, lambda s: s.per_second)
            for name in turns.samples:
                rate = turns.spread(name, lambda s: s.per_second)
                result.rows.append(Row(case, name, "follows", "/s", rate, None if name == "Rookery" else ratio))
                rates.add(name, int(len(followers) * part), rate)
    result.claims.append(Claim("follows/s, to pipelined redis-py", "at_least", 0.5, ratio, 2))
    result.facts["machine busy before a turn"] = f"{min(busy):.0f} to {max(busy):.0f} %"
    return result
