"""Raising the cluster's level: from when on what is new may be used. What levels are: actors/core/levels.py.

    all processes have said that they know level n --> `next_level` n is on disk with the map: older code refuses it
        --> every leader is asked for `level [n]`: journaled, committed --> `level` n is on disk: API workers learn it

Rules of this file
- No Ray, no clock: the ways to map and processes come in as functions. `step` does what can be done now and is called
  again after each round of pings, so that a router that died anywhere goes on where the map on disk says.
- All processes are asked, and who doesn't answer is waited for: there is no level for most of them. What has no
  process (a replica that is left stopped) isn't asked: the code that it will run refuses a cluster that is too new.
- A shard that gets a leader from `next_level` on takes that level before its first write (actors/shard/moves.py).
- Nothing is ever lowered.

Costs: nothing once the map has this code's level; before that one call to each API worker and the trends actor a round,
and only while every replica knows more than the map.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from actors.core.levels import LEVEL
from cluster.placement.shard_map import ShardMap
from cluster.router.elections import UNREACHABLE, AskReplica

logger = logging.getLogger("rookery.levels")

NOT_SAID: Final = -1  # of a process that doesn't answer now
TELL_TIMEOUT_S = 5.0  # a leader journals the command, and its followers do


class LevelRise:
    """The router's part in levels.

    change_map(map): persist and install a newer map, raising OSError; ask: a lane request to a replica; ask_others():
    the levels that processes without a place in the map know, by their names: API workers and trends.
    """

    def __init__(
        self, get_map: Callable[[], ShardMap], change_map: Callable[[ShardMap], None], ask: AskReplica,
        ask_others: Callable[[], Awaitable[Mapping[str, int]]],
    ) -> None:  # fmt: skip
        self._get_map, self._change_map, self._ask, self._ask_others = get_map, change_map, ask, ask_others
        self._waited_for: list[str] = []

    @property
    def wanted(self) -> bool:
        """Whether there is anything to do."""
        return self._get_map().level < LEVEL

    async def step(self, replicas: Mapping[str, int]) -> None:
        """Go as far as can be gone now. replicas: what each replica's process knows, NOT_SAID if it isn't there."""
        shard_map = self._get_map()
        if shard_map.next_level == shard_map.level:
            level = await self._known_to_all(replicas)
            if level <= shard_map.level:
                return
            self._change_map(self._get_map().with_next_level(level))
            logger.info("every process knows level %d: the shards are raised to it", level)
        if await self._raise_shards(self._get_map()):
            self._change_map(self._get_map().with_level_reached())
            logger.info("the cluster is at level %d", self._get_map().level)

    async def _known_to_all(self, replicas: Mapping[str, int]) -> int:
        """Return the highest level that every process has said it knows, this one included."""
        now = self._get_map().level
        if (least := self._least(replicas)) <= now:
            return least
        return min(least, self._least(await self._ask_others()))

    def _least(self, said: Mapping[str, int]) -> int:
        now = self._get_map().level
        behind = sorted(name for name, level in said.items() if level <= now)
        if behind and behind != self._waited_for:
            logger.info("the cluster stays at level %d until these are of a newer version: %s", now, ", ".join(behind))
        self._waited_for = behind
        return min([LEVEL, *said.values()])

    async def _raise_shards(self, shard_map: ShardMap) -> bool:
        """Have every shard journal the map's next level; returns whether all of them have."""
        for shard in range(shard_map.shard_count):
            leader = shard_map.primary_of(shard)
            arguments: list[Any] = [shard_map.next_level]
            try:
                await self._ask(leader, "level", arguments, TELL_TIMEOUT_S)
            except UNREACHABLE as error:
                logger.info("%s was not raised to level %d yet: %s", leader.actor_name, shard_map.next_level, error)
                return False
        return True
