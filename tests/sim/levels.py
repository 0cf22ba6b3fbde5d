"""Levels that rise in a simulated cluster: `cluster/router/level_rise.py` itself, over a network that loses things.

Its coroutine is driven by hand: what it awaits here are requests, answered by events of the simulation.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any

from actors.core.entries import unpack
from actors.core.errors import RookeryError
from actors.core.levels import LEVEL
from cluster.placement.shard_map import ReplicaPlace, ShardMap
from cluster.router.level_rise import NOT_SAID, LevelRise

if TYPE_CHECKING:
    from tests.sim.cluster import SimCluster


class _Request:
    """A request that somebody awaits; what is yielded to whoever drives the coroutine."""

    def __init__(self, shard: int, op: str, args: list[Any]) -> None:
        self.shard, self.op, self.args = shard, op, args

    def __await__(self) -> Generator[_Request, Any, Any]:
        return (yield self)


class SimLevels:
    """The router's part. known: the level that all processes report; a router that goes away forgets its step."""

    def __init__(self, sim: SimCluster) -> None:
        self.sim, self.known = sim, 0
        self._step: Coroutine[Any, Any, None] | None = None
        self._logs: list[dict[int, bytes]] = []  # of the shards that there were when the step began
        self._rise = LevelRise(lambda: sim.router.map, self._install, self._ask, self._others)

    def learn(self) -> None:
        """Every process has been restarted with the code of now."""
        self.known = LEVEL

    def forget(self) -> None:
        if self._step is not None:
            self._step.close()
            self._step = None

    def look(self) -> None:
        if self.known and self._rise.wanted and self._step is None:
            replicas = [replica for shard in self.sim.replicas for replica in shard]
            said = {f"{r.number}-{r.index}": self.known if r.alive else NOT_SAID for r in replicas}
            self._logs = list(self.sim.committed)
            self._step = step = self._rise.step(said)
            self._go_on(step, None)

    def _install(self, new: ShardMap) -> None:
        """Have a newer map on disk. Once it says that a level has been reached, every shard is there for good.

        But for shards that came meanwhile: they take it before their first write.
        """
        if new.level > self.sim.router.map.level:
            levels = [_level(log) for log in self.sim.committed if any(log is known for known in self._logs)]
            assert min(levels, default=new.level) >= new.level, (
                f"the map rises to {new.level}, and shards are at {levels}"
            )
        self.sim.router.map = new

    async def _ask(self, replica: ReplicaPlace, op: str, args: list[Any], timeout_s: float) -> Any:
        return await _Request(replica.shard, op, args)

    async def _others(self) -> Mapping[str, int]:
        return {"an API worker": self.known}

    def _go_on(self, step: Coroutine[Any, Any, None], answer: Any) -> None:
        if self._step is not step or not self.sim.router.there:
            return
        try:
            failed = isinstance(answer, RookeryError | OSError)
            request = step.throw(answer) if failed else step.send(answer)
        except StopIteration:
            self._step = None
            return
        answered: list[Any] = []

        def once(body: Any) -> None:
            if not answered:
                answered.append(body)
                self._go_on(step, body)

        self.sim.moves.ask_one(request.shard, request.op, request.args, once)


def _level(log: dict[int, bytes]) -> int:
    """Return the level that the committed records of a shard come to."""
    commands = [unpack(record) for record in log.values()]
    return max((command[1] for command in commands if command[0] == "level"), default=0)
