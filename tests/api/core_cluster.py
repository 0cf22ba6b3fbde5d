"""The real core behind the API, without Ray, sockets or disks: the simulation's cluster with faults off.

After each write everything under way arrives, so reads see it at once.
"""

from __future__ import annotations

from typing import Any

import msgpack

from actors.core import ids, limits
from actors.core.errors import RookeryError
from actors.core.home import Ask, Query, Wake
from actors.core.replica import READS, home_reply
from tests.api.fake_cluster import tell_when_called
from tests.sim.cluster import SimCluster


class CoreCluster:
    """Shards of the simulation, asked one request at a time."""

    def __init__(self, shard_count: int = 2) -> None:
        self.sim = SimCluster(1, shard_count, limits.Tuning(arrivals_max=1 << 12), faults=False)
        self.on_revoked: Any = None

    @property
    def shard_count(self) -> int:
        return len(self.sim.shards)

    def shard_of(self, bucket: int) -> int:
        return self.sim.owner[bucket]

    def figures(self) -> dict[str, float]:
        return {}

    async def ready(self) -> bool:
        return True

    async def call_shard(self, shard: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        if op == "token_owner":
            return self.sim.shards[shard].replica.read(op, args)
        return {"position": self.sim.shards[shard].replica.state.position}

    def send(self, bucket: int, op: str, args: list[Any], timeout_s: float, done: Any) -> None:
        tell_when_called(self.call(bucket, op, args, timeout_s), done)

    async def call(self, bucket: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        args = msgpack.unpackb(msgpack.packb(args))  # as if it had crossed the lane
        replica = self.sim.shards[self.shard_of(bucket)].replica
        if op == "home":
            return self._home(args)
        if op in READS:
            return replica.read(op, args)
        answers: list[Any] = []
        self.sim.write(bucket, op, args, answers.append)
        self.sim.drain()
        if isinstance(answers[0], RookeryError):
            raise answers[0]
        return answers[0]

    def _home(self, args: list[int]) -> list[Any]:
        shard = self.sim.shards[self.shard_of(ids.bucket_of_account(args[0]))]
        query: Query = shard.replica.query(args)
        ready = shard.replica.try_home(query)
        if ready is not None:
            return ready
        steps, answer = shard.replica.home_steps(query), None
        while True:
            try:
                need = steps.send(answer)
            except StopIteration as stop:
                return home_reply(stop.value)
            answer = None
            if isinstance(need, Wake):
                if need.start:
                    shard.run(["wake", args[0]])
                self.sim.run_until(lambda: args[0] not in shard.replica.state.waking)
            elif isinstance(need, Ask):
                answer = {s: self.sim.shards[s].replica.read(op, asked) for s, (op, asked) in need.questions.items()}
