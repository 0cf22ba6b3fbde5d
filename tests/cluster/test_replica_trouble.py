"""ClusterClient while everything goes wrong at once: replicas die, stop, refuse, are promoted, and come back."""

from __future__ import annotations

import asyncio
import random

import pytest

from actors.core.errors import MovedError, NotFoundError, OverloadedError, RookeryError
from actors.core.ids import bucket_of_account
from cluster.client.cluster_client import ClusterClient
from tests.cluster.conftest import until
from tests.cluster.fake_replicas import FakeReplicaSet

ACCOUNT = 7
DURATION_S = 2.0
TIMEOUTS_S = (0.1, 0.5, 1.5)
LATE_MAX_S = 0.1  # deadlines are kept by ticks of 50 ms


class Trouble:
    """Calls without a pause, and a shard that gives them no peace. `ends`: of each call what `done` was told."""

    def __init__(self, shard: FakeReplicaSet, client: ClusterClient, seed: int):
        self.shard, self.client, self.rng = shard, client, random.Random(seed)
        self.loop = asyncio.get_running_loop()
        self.running = self.watching = True
        self.ends: list[list] = []
        self.lag_s = 0.0  # the worst that this process itself was held up by a busy machine

    def ask(self, op: str, timeout_s: float):
        end: list = []
        self.ends.append(end)
        deadline = self.loop.time() + timeout_s

        def done(body, error):
            end.append((body, error, self.loop.time() - deadline))

        bucket, fresh = bucket_of_account(ACCOUNT), self.rng.random() < 0.1
        self.client.send(bucket, op, [ACCOUNT], timeout_s, done, fresh=fresh)

    async def ask_on(self):
        while self.running:
            op = self.rng.choice(["home", "home", "home", "follow", "status"])
            self.ask(op, self.rng.choice(TIMEOUTS_S))
            await asyncio.sleep(self.rng.choice([0, 0.001, 0.01]))

    async def watch_the_clock(self):
        while self.watching:
            start = self.loop.time()
            await asyncio.sleep(0.01)
            self.lag_s = max(self.lag_s, self.loop.time() - start - 0.01)

    async def make_trouble(self):
        while self.running:
            await self.do(self.rng.choice(["die", "start", "stop", "resume", "refuse", "accept", "promote", "delay"]))
            await asyncio.sleep(self.rng.choice([0.005, 0.05]))

    async def do(self, what: str):
        rng, shard = self.rng, self.shard
        replica = shard.replicas[rng.randrange(3)]
        if what == "die":
            await shard.stop(replica.index)
        elif what == "start" and replica.server is None:
            await shard.start(replica.index)
            shard.announce()
        elif what == "stop":
            replica.silent = True
        elif what == "resume":
            replica.resume()
        elif what == "refuse":
            replica.refuses["home"] = rng.choice([NotFoundError("no"), MovedError("no"), OverloadedError("no")])
        elif what == "accept":
            replica.refuses.clear()
        elif what == "promote":
            shard.promote(replica.index, announce=rng.random() < 0.7)
        elif what == "delay":
            replica.delay_s = rng.choice([0.0, 0.003, 0.05])

    async def run(self):
        watch = asyncio.create_task(self.watch_the_clock())
        tasks = [asyncio.create_task(task) for task in (self.ask_on(), self.make_trouble())]
        await asyncio.sleep(DURATION_S)
        self.running = False
        await asyncio.gather(*tasks)
        await until(lambda: all(self.ends))
        self.watching = False
        await watch


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_replicas_do_each_call_ends_once_and_by_its_deadline(tmp_path, seed):
    shard = FakeReplicaSet(tmp_path, 3)
    for index in range(3):
        await shard.start(index)
    client = await shard.open_client()
    trouble = Trouble(shard, client, seed)
    await trouble.run()
    group = client._groups[0]
    assert all(len(end) == 1 for end in trouble.ends)
    await until(lambda: not any(load.waiting for load in group.reads.loads))  # whose answers came second
    await until(lambda: not client._finishing)
    assert len(group.to_primary) == 0
    group.reads.check()
    client.close()
    for index in range(3):
        await shard.stop(index)
    ends = [end[0] for end in trouble.ends]
    assert all((body is None) != (error is None) for body, error, _ in ends)
    assert all(error is None or isinstance(error, RookeryError) for _, error, _ in ends)
    assert max(late_s for _, _, late_s in ends) < LATE_MAX_S + 3 * trouble.lag_s
    assert sum(error is None for _, error, _ in ends) > len(ends) / 10
