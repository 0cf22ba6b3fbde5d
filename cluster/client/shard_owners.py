"""Who owns what, as one client knows: the map, and the lanes and replica groups that follow from it.

Rules of this file
- `lanes`, `groups` and `buckets` stay the same objects for the client's life: its quick path keeps them at hand.
- A shard with a single replica has a lane and no group, one with several a group and no lane.
- A newer map ends what waits for a primary that is none any more, and drops what is known of buckets that have moved.
"""

from __future__ import annotations

import asyncio
from typing import Any

from actors.core.errors import InvalidError
from actors.core.ids import BUCKET_COUNT
from cluster.client.map_cache import FetchMap, MapCache
from cluster.client.positions import WritePositions
from cluster.client.read_routing import ReadFigures
from cluster.client.replica_group import ReplicaGroup, Request
from cluster.client.replica_lanes import ReplicaLanes
from cluster.client.shard_places import ShardPlaces
from cluster.lane.client import LaneClient, PushCallback
from cluster.lane.handshake import LaneKeys
from cluster.placement.shard_map import ReplicaPlace, ShardMap

RETRY_AFTER_S = 1.0  # what a caller is told to wait: Ray restarts an actor in about that time
OPENED, CLOSED = "opened", "closed"  # topics of our own


class ShardOwners:
    """The map of one client and its lanes; arguments as those of `ClusterClient`."""

    def __init__(
        self, fetch_map: FetchMap, keys: LaneKeys, local_node_id: str, on_push: PushCallback | None,
        follower_reads: frozenset[str], positions: WritePositions, figures: ReadFigures, places: ShardPlaces,
    ) -> None:  # fmt: skip
        self._on_push, self._follower_reads = on_push, follower_reads
        self._positions, self._figures, self._places = positions, figures, places
        self.maps = MapCache(fetch_map, self._take_map)
        self.replica_lanes = ReplicaLanes(
            keys, local_node_id, self._take_push, self._find, self._take_lane, self._lose_lane
        )
        self._replicas: dict[tuple[int, int], ReplicaPlace] = {}  # the map's, by shard and index
        self.buckets = bytearray(BUCKET_COUNT)
        self.lanes: list[LaneClient | None] = [None]  # by shard; None also where a shard has several replicas
        self.groups: list[ReplicaGroup | None] = [None]  # by shard; None where it has one replica

    def close(self) -> None:
        """Close every lane."""
        self.maps.close()
        self.replica_lanes.close()
        for group in self.groups:
            if group is not None:
                group.close()

    def target(self, request: Request) -> int:
        """Return the shard that a request is for. Raises InvalidError for a number that no shard has."""
        if request.bucket is not None:
            return self.buckets[request.bucket]
        assert request.shard is not None
        count = 0 if self.maps.map is None else self.maps.map.shard_count
        if count and not 0 <= request.shard < count:
            raise InvalidError(f"there is no shard {request.shard}; shards are 0 to {count - 1}", "shard")
        return request.shard

    def note_write(self, bucket: int, position: int) -> None:
        """Remember how far the journal of a bucket's shard was after a write, for reads that followers answer."""
        shard = self.buckets[bucket]
        if self.groups[shard] is not None:
            self._positions.note(shard, [bucket], position, asyncio.get_running_loop().time())

    def _find(self, shard: int, index: int) -> ReplicaPlace | None:
        return self._replicas.get((shard, index))

    def _take_push(self, topic: str, value: Any) -> None:
        if topic == "map":
            if type(value) is int:
                self.maps.want(value)
        elif self._on_push is not None:
            self._on_push(topic, value)

    def _take_map(self, old: ShardMap | None, new: ShardMap) -> None:
        """Bring lanes and groups in line with a newer map; end what waits for a primary that is none any more."""
        self._replicas = {(replica.shard, replica.index): replica for replica in new.replicas}
        self.replica_lanes.keep()
        by_shard: list[list[ReplicaPlace]] = [[] for _ in range(new.shard_count)]
        for replica in new.replicas:
            by_shard[replica.shard].append(replica)
        old_groups = list(self.groups)
        self.groups.clear()
        self.lanes.clear()
        for shard, replicas in enumerate(by_shard):
            group = old_groups[shard] if shard < len(old_groups) else None
            if len(replicas) > 1:
                group = group or ReplicaGroup(
                    self.replica_lanes, self._positions, self._figures, self._follower_reads, self.maps.refresh_soon
                )
                group.take_map(new, sorted(replicas, key=lambda replica: replica.index))
                self.groups.append(group)
                self.lanes.append(None)
            else:
                self.groups.append(None)
                self.lanes.append(self.replica_lanes.get(replicas[0]))
        for group in old_groups:
            if group is not None and group not in self.groups:
                group.close()
        self._places.resize(new.shard_count)
        if old is not None and old.buckets != new.buckets:
            self._positions.forget(b for b in range(BUCKET_COUNT) if old.buckets[b] != new.buckets[b])
        self.buckets[:] = new.buckets

    def _lose_lane(self, replica: ReplicaPlace) -> None:
        if self._on_push is not None:
            self._on_push(CLOSED, replica.shard)

    def _take_lane(self, replica: ReplicaPlace, lane: LaneClient) -> None:
        if self._on_push is not None:
            self._on_push(OPENED, replica.shard)
        if replica.shard >= len(self.groups):  # the shard was given up meanwhile
            return
        self._places.is_new(replica.shard)
        group = self.groups[replica.shard]
        if group is not None:
            group.reads.connect(replica.index, lane)
        elif replica.primary:
            self.lanes[replica.shard] = lane
