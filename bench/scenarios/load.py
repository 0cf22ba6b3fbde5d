"""`load`: follows a second through the cluster's write path, beside pipelined SADDs.

Every turn loads the whole graph with account ids of its own, because a follow that is there already is no work. Ours is
journalled with fsync and known to both accounts' shards when the clock stops; theirs is in memory only (no append-only
file, no snapshots), which is the fastest that Redis can be.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from bench.dataset import load_graph
from bench.machine import busy_percent
from bench.pairs import alternate
from bench.peer_redis import redis_server
from bench.processes import BenchError
from bench.results import Claim, Result, Row
from bench.rookery import edges_of, load_accounts, rookery_cluster
from bench.scenarios import Options, Progress

SHARDS = 4
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
    stride = int(accounts.max()) + 1
    result = Result("load", {"quick": options.quick, "pairs": options.pairs})
    result.facts |= {"graph": f"{what}: {len(accounts)} accounts, {len(followers)} follows", "shards": SHARDS}
    busy: list[float] = []
    with (
        rookery_cluster(options.folder, SHARDS, options.auth) as cluster,
        redis_server(options.folder / "redis") as (_, store),
    ):

        def rookery(turn: int) -> Load:
            async def work(loader):
                await load_accounts(loader, (accounts + turn * stride).tolist(), {})
                return await loader.follows(
                    edges_of(followers + turn * stride, followees + turn * stride), lambda _: None
                )

            progress(f"turn {turn}")
            loaded = cluster.with_loader(work)
            if loaded.new != len(followers):
                raise BenchError(f"{loaded.new} of {len(followers)} follows were new")
            return Load(loaded.given, loaded.seconds)

        def peer(turn: int) -> Load:
            us, vs = (followers + turn * stride).tolist(), (followees + turn * stride).tolist()
            begin = time.perf_counter()
            for at in range(0, len(us), PIPELINE_FOLLOWS):
                pipe = store.pipeline(transaction=False)
                for u, v in zip(us[at : at + PIPELINE_FOLLOWS], vs[at : at + PIPELINE_FOLLOWS], strict=True):
                    pipe.sadd(f"following:{u}", v)
                    pipe.sadd(f"followers:{v}", u)
                pipe.execute()
            return Load(len(us), time.perf_counter() - begin)

        turns = alternate({"Rookery": rookery, PEER: peer}, options.pairs, lambda: busy.append(busy_percent()))
    result.keep("load", turns)
    ratio = turns.ratio("Rookery", PEER, lambda s: s.per_second)
    for name in turns.samples:
        rate = turns.spread(name, lambda s: s.per_second)
        result.rows.append(Row("follows", name, "follows", "/s", rate, None if name == "Rookery" else ratio))
    result.claims.append(Claim("follows/s, to pipelined redis-py", "at_least", 0.5, ratio, 2))
    result.facts["machine busy before a turn"] = f"{min(busy):.0f} to {max(busy):.0f} %"
    return result
