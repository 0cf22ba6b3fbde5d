"""Activity of the last weeks, asked of all shards, page by page, every ten minutes at most.

Rules of this file
- Weeks begin on Monday at midnight UTC. Of the week that isn't over yet what there is so far.
- One count at a time, and it goes on when whoever asked for it has no time left: the next one finds it further.
- A shard that doesn't answer leaves what was known a while longer; without any it is the caller's refusal.

Cost: a request for each 500 accounts of a shard, one after the other, 3 ms of the shard each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from actors.core.errors import RookeryError
from actors.core.features.activity import WEEK_MS, WEEKS_MAX
from api.ports import Cluster

ACTIVITY_FROM_LEVEL: Final = 3
KEPT_S: Final = 600.0
_FIRST_MONDAY_MS: Final = 4 * 24 * 3600 * 1000  # 1970-01-05


class Week(NamedTuple):
    """One week. begin_s: Unix time; logins: accounts that have signed in; registrations: that have come."""

    begin_s: int
    statuses: int
    logins: int
    registrations: int


def week_before(now_ms: int, weeks: int) -> int:
    """Return when the week began that lies so many weeks before that of a time, Unix ms."""
    return now_ms - (now_ms - _FIRST_MONDAY_MS) % WEEK_MS - weeks * WEEK_MS


class WeeklyActivity:
    """What this worker knows of it. wall: Unix seconds; clock: seconds that only grow."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._cluster, self._clock, self._wall = cluster, clock, wall
        self._known: list[Week] = []
        self._until_s = 0.0
        self._count: asyncio.Task[list[Week]] | None = None

    async def get(self) -> list[Week]:
        """Return the weeks, the newest first. Raises RookeryError."""
        if self._known and self._clock() < self._until_s:
            return self._known
        if self._count is None or self._count.done():
            self._count = asyncio.get_running_loop().create_task(self._ask())
        try:
            self._known = await asyncio.shield(self._count)
        except RookeryError:
            if not self._known:
                raise
        self._until_s = self._clock() + KEPT_S
        return self._known

    def close(self) -> None:
        """End a count that is under way."""
        if self._count is not None:
            self._count.cancel()

    async def _ask(self) -> list[Week]:
        begin_ms = week_before(int(self._wall() * 1000), WEEKS_MAX - 1)
        shards = [self._of_shard(shard, begin_ms) for shard in range(self._cluster.shard_count)]
        sums = [[0] * WEEKS_MAX for _ in range(3)]
        for found in await asyncio.gather(*shards):
            sums = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(sums, found, strict=True)]
        weeks = [
            Week((begin_ms + n * WEEK_MS) // 1000, *figures) for n, figures in enumerate(zip(*sums, strict=True))
        ]  # fmt: skip
        return weeks[::-1]

    async def _of_shard(self, shard: int, begin_ms: int) -> list[list[int]]:
        sums = [[0] * WEEKS_MAX for _ in range(3)]
        row = -1
        while row:
            args = [max(row, 0), begin_ms, WEEKS_MAX]
            row, *found = await self._cluster.call_shard(shard, "activity", args)
            sums = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(sums, found, strict=True)]
        return sums
