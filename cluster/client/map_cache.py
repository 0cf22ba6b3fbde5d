"""The shard map as a client of the cluster has it: fetched from the router when there is a reason to.

Rules of this file
- One fetch serves all who wait, and there is at most one per MAP_REFRESH_INTERVAL_S: a thousand callers that are told
  `moved` cost the router 20 calls a second.
- A map is replaced by one of a higher epoch only. What the fetch raises is kept as a sentence; the old map serves on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from cluster.placement.shard_map import ShardMap

logger = logging.getLogger("rookery.client")

MAP_REFRESH_INTERVAL_S = 0.05
MAP_FETCH_TIMEOUT_S = 2.0  # a router that is restarting answers the next fetch
# Fetches for one announced epoch, with pauses that double up to MAP_FETCH_TIMEOUT_S: some ten minutes. A router that
# died meanwhile is back by then, and who asks nothing, as those that only listen, hears of no other reason to fetch.
CATCH_UP_COUNT_MAX = 300

FetchMap = Callable[[], Awaitable[Any]]


class MapCache:
    """fetch_map(): the router's current map in wire form, or None for "no news"; on_new(old, new): it has changed."""

    def __init__(self, fetch_map: FetchMap, on_new: Callable[[ShardMap | None, ShardMap], None]) -> None:
        self.map: ShardMap | None = None
        self.error = "no map was fetched yet"
        self._fetch_map = fetch_map
        self._on_new = on_new
        self._fetch: asyncio.Task[None] | None = None
        self._fetched_at = float("-inf")
        self._wanted_epoch = 0
        self._catching_up: asyncio.Task[None] | None = None
        self._changed: asyncio.Future[None] | None = None
        self._closed = False

    def close(self) -> None:
        """Fetch no more; who waits for a change waits no longer."""
        self._closed = True
        for task in (self._fetch, self._catching_up):
            if task is not None:
                task.cancel()
        self._wake()

    async def refresh(self, timeout_s: float | None = None) -> None:
        """Fetch the map unless somebody just did; all callers wait for the same fetch, or timeout_s. Never raises."""
        fetch = self.refresh_soon()
        if fetch is not None:
            await asyncio.wait([fetch], timeout=timeout_s)

    def refresh_soon(self) -> asyncio.Task[None] | None:
        """Begin to fetch the map unless somebody just did; returns the fetch that is under way, if there is one."""
        if self._fetch is None:
            loop = asyncio.get_running_loop()
            if loop.time() < self._fetched_at + MAP_REFRESH_INTERVAL_S or self._closed:
                return None
            self._fetch = loop.create_task(self._fetch_and_install())
        return self._fetch

    def want(self, epoch: int) -> None:
        """See to it that the map gets to that epoch, which somebody has announced. Returns at once."""
        if self._closed or (self.map is not None and epoch <= self.map.epoch):
            return
        self._wanted_epoch = max(self._wanted_epoch, epoch)
        if self._catching_up is None:
            self._catching_up = asyncio.get_running_loop().create_task(self._catch_up())

    def changed(self) -> asyncio.Future[None]:
        """Return the future that is settled when the next map has come, or when this cache is closed."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        return self._changed

    async def _catch_up(self) -> None:
        pause_s = MAP_REFRESH_INTERVAL_S
        try:
            for _ in range(CATCH_UP_COUNT_MAX):
                await self.refresh()
                if self.map is not None and self.map.epoch >= self._wanted_epoch:
                    break
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAP_FETCH_TIMEOUT_S)
        finally:
            self._wanted_epoch, self._catching_up = 0, None

    async def _fetch_and_install(self) -> None:
        try:
            async with asyncio.timeout(MAP_FETCH_TIMEOUT_S):
                wire = await self._fetch_map()
            if wire is not None:
                self._install(ShardMap.from_wire(wire))
        except Exception as error:  # noqa: BLE001  whatever the way to the router raises: the old map serves on
            self.error = f"{type(error).__name__}: {error}".splitlines()[0]
            logger.warning("the router gave no shard map: %s", self.error)
        finally:
            self._fetched_at = asyncio.get_running_loop().time()
            self._fetch = None

    def _install(self, new: ShardMap) -> None:
        old = self.map
        if old is None or new.epoch > old.epoch:
            self.map = new
            self._on_new(old, new)
            self._wake()

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        self._changed = None
