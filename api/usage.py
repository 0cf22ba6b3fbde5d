"""How many accounts and statuses there are, asked of all shards once a minute at most.

Rules of this file
- One question at a time, whoever asks meanwhile waits for its answer.
- A shard that doesn't answer leaves what was known a while longer; without any it is the caller's refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from actors.core.errors import RookeryError
from api.ports import Cluster

USAGE_FROM_LEVEL: Final = 3
KEPT_S: Final = 60.0


class Usage(NamedTuple):
    """Figures of the whole cluster. month, half_year: accounts that have read their timelines within so long."""

    accounts: int
    statuses: int
    month: int
    half_year: int


class UsageFigures:
    """What this worker knows of them."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster, self._clock = cluster, clock
        self._known: Usage | None = None
        self._until_s = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> Usage:
        """Return the figures, at most a minute old as a rule. Raises RookeryError."""
        async with self._lock:
            if self._known is None or self._clock() >= self._until_s:
                try:
                    self._known = await self._ask()
                except RookeryError:
                    if self._known is None:
                        raise
                self._until_s = self._clock() + KEPT_S
            return self._known

    async def _ask(self) -> Usage:
        asked = (self._cluster.call_shard(shard, "usage", []) for shard in range(self._cluster.shard_count))
        answers = await asyncio.gather(*asked)
        return Usage(*(sum(column) for column in zip(*answers, strict=True)))
