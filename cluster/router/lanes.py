"""The router's lanes to the replicas: for elections and maps, and to notice at once when a process dies.

A killed process's sockets are closed by its kernel within a millisecond, which is much sooner than a ping tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from cluster.lane.client import LaneClient
from cluster.lane.handshake import LaneKeys
from cluster.placement.shard_map import ReplicaPlace

DIAL_TIMEOUT_S = 1.0


class RouterLanes:
    """One lane to each replica, dialled when needed. on_lost(replica): its lane is gone."""

    def __init__(self, keys: Callable[[], LaneKeys], node_id: str, on_lost: Callable[[ReplicaPlace], None]) -> None:
        self._keys, self._node_id, self._on_lost = keys, node_id, on_lost
        self._lanes: dict[tuple[int, int], tuple[int, LaneClient]] = {}
        self._dials: dict[tuple[int, int], asyncio.Lock] = {}

    async def ask(self, replica: ReplicaPlace, op: str, args: list[Any], timeout_s: float) -> Any:
        """Send a request to a replica. Raises OSError, LaneProtocolError or a RookeryError."""
        lane = await self._lane(replica)
        return await lane.request(op, args, timeout_s)

    async def _lane(self, replica: ReplicaPlace) -> LaneClient:
        key = replica.shard, replica.index
        async with self._dials.setdefault(key, asyncio.Lock()):
            pid, lane = self._lanes.get(key, (0, None))
            if lane is not None and not lane.closed and pid == replica.pid:
                return lane
            if lane is not None:
                lane.close()
            self._lanes[key] = replica.pid, await self._dial(replica)
            return self._lanes[key][1]

    async def _dial(self, replica: ReplicaPlace) -> LaneClient:
        address = replica.address(self._node_id)
        if address is None:
            raise ConnectionError(f"no lane leads to {replica.actor_name} from this node")
        lane = LaneClient(address, self._keys(), replica.actor_name, on_close=lambda: self._on_lost(replica))
        await lane.connect(DIAL_TIMEOUT_S)
        return lane

    def close(self) -> None:
        """Close them all."""
        for _, lane in self._lanes.values():
            lane.close()
