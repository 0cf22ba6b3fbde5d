"""The lanes to replicas: one each, dialled when it is first needed and again after it was lost.

Rules of this file
- One dial per replica, whoever waits for it. A dial never holds up anybody who has another lane to use: `dial_soon`
  returns at once.
- A lane stays as long as the map says that its replica listens there: if the process behind it had died, the lane would
  be closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from cluster.lane.client import LaneClient, PushCallback
from cluster.lane.handshake import Address, LaneKeys
from cluster.lane.protocol import LaneImpostorError, LaneProtocolError
from cluster.placement.shard_map import ReplicaPlace

DIAL_TIMEOUT_S = 1.0  # connect and authenticate; a live server needs under 1 ms
REDIAL_INTERVAL_S = 0.1  # between two dials that nobody waits for
WARN_INTERVAL_S = 60.0  # between two warnings of impostors, who are dialled ten times a second

logger = logging.getLogger("rookery.lane.client")

UNREACHABLE = (OSError, LaneProtocolError)  # what connecting raises; TimeoutError is an OSError

Key = tuple[int, int]  # shard, index of the replica


class ReplicaLanes:
    """Lanes by replica.

    find(shard, index): the replica in the current map, or None; on_lane(replica, lane): a lane has just been connected;
    on_lost(replica): one has gone.
    """

    def __init__(
        self,
        keys: LaneKeys,
        local_node_id: str,
        on_push: PushCallback,
        find: Callable[[int, int], ReplicaPlace | None],
        on_lane: Callable[[ReplicaPlace, LaneClient], None],
        on_lost: Callable[[ReplicaPlace], None] = lambda replica: None,
    ) -> None:
        self._keys = keys
        self._local_node_id = local_node_id
        self._on_push = on_push
        self._find = find
        self._on_lane, self._on_lost = on_lane, on_lost
        self._lanes: dict[Key, LaneClient] = {}
        self._dials: dict[Key, tuple[ReplicaPlace, asyncio.Task[LaneClient]]] = {}
        self._dialled_at: dict[Key, float] = {}
        self._warned_at = float("-inf")
        self._closed = False

    def close(self) -> None:
        """Close every lane and end every dial."""
        self._closed = True
        for _, task in self._dials.values():
            task.cancel()
        for lane in self._lanes.values():
            lane.close()

    def get(self, replica: ReplicaPlace) -> LaneClient | None:
        """Return the lane to a replica if it is up."""
        lane = self._lanes.get((replica.shard, replica.index))
        return None if lane is None or lane.closed else lane

    def dial(self, replica: ReplicaPlace) -> asyncio.Task[LaneClient]:
        """Return the dial to a replica that is under way, or a new one."""
        key = replica.shard, replica.index
        if key not in self._dials:
            loop = asyncio.get_running_loop()
            dial = loop.create_task(self._dial(replica))
            self._dials[key] = replica, dial
            self._dialled_at[key] = loop.time()
            dial.add_done_callback(lambda done: self._dial_done(key, done))
        return self._dials[key][1]

    def dial_soon(self, replicas: Iterable[ReplicaPlace], now: float) -> None:
        """Begin to dial those that have no lane, each at most once per REDIAL_INTERVAL_S."""
        for replica in replicas:
            key = replica.shard, replica.index
            late = now - self._dialled_at.get(key, float("-inf")) >= REDIAL_INTERVAL_S
            if replica.registered and late and not self._closed and self.get(replica) is None:
                self.dial(replica)

    async def connect(self, replica: ReplicaPlace) -> LaneClient:
        """Return the connected lane to a replica, dialling if there is none. Raises one of UNREACHABLE."""
        lane = self.get(replica)
        if lane is not None:
            return lane
        dial = self.dial(replica)
        await asyncio.wait([dial])
        if dial.cancelled():
            raise ConnectionError(f"the dial to {replica.actor_name} was given up")
        return dial.result()

    def keep(self) -> None:
        """Close the lanes, and end the dials, that lead where a new map no longer has their replica."""
        for key, lane in list(self._lanes.items()):
            replica = self._find(*key)
            if lane.closed or replica is None or lane.address != self._address(replica):
                del self._lanes[key]
                lane.close()
        for key, (dialled, dial) in list(self._dials.items()):
            replica = self._find(*key)
            if replica is None or self._address(replica) != self._address(dialled):
                dial.cancel()
                del self._dials[key]
        self._dialled_at.clear()  # what couldn't be reached may be elsewhere now

    def _dial_done(self, key: Key, dial: asyncio.Task[LaneClient]) -> None:
        """Forget a dial; looks at its exception, which nobody may be waiting for any more."""
        if key in self._dials and self._dials[key][1] is dial:
            del self._dials[key]
        if not dial.cancelled():
            dial.exception()

    async def _dial(self, replica: ReplicaPlace) -> LaneClient:
        """Connect to one replica and install the lane."""
        address = self._address(replica)
        if address is None:
            raise ConnectionError(f"no lane leads to {replica.actor_name} from this node")
        on_close = partial(self._on_lost, replica)
        lane = LaneClient(address, self._keys, replica.actor_name, self._on_push, on_close)
        try:
            await lane.connect(DIAL_TIMEOUT_S)
        except LaneImpostorError as error:
            self._warn(error)
            raise
        current = self._find(replica.shard, replica.index)
        if self._closed or current is None or address != self._address(current):
            lane.close()
            raise ConnectionError(f"the map changed while connecting to {replica.actor_name}")
        self._lanes[replica.shard, replica.index] = lane
        self._on_lane(current, lane)
        return lane

    def _warn(self, error: LaneImpostorError) -> None:
        """Tell operators that somebody sits where a shard should, however often it is dialled."""
        now = asyncio.get_running_loop().time()
        if now - self._warned_at >= WARN_INTERVAL_S:
            self._warned_at = now
            logger.warning("somebody else than a shard listens where the map has one: %s", error)

    def _address(self, replica: ReplicaPlace) -> Address | None:
        return replica.address(self._local_node_id)
