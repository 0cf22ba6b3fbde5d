"""Read-your-writes: how far a follower's journal must be to show a client what it has written.

Rules of this file
- A position numbers the journal of a shard, so it holds for every replica and survives a failover.
- What is remembered is short-lived: followers are milliseconds behind, so a write of KEPT_S ago is everywhere.

Costs: 0.3 us a write noted or a bucket looked up; 20 KB.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from actors.core.ids import BUCKET_COUNT, SHARD_COUNT_MAX

KEPT_S = 10.0  # how long a write is remembered; a follower that is further behind is not in sync

# Shard -> journal position. What one caller must see; writes of that caller are added to it.
SeenPositions = dict[int, int]


class WritePositions:
    """The last position of an answered write, per bucket and per shard, with its time."""

    def __init__(self) -> None:
        self._of_bucket = array("q", bytes(8 * BUCKET_COUNT))
        self._bucket_at = array("d", bytes(8 * BUCKET_COUNT))
        self._of_shard = array("q", bytes(8 * SHARD_COUNT_MAX))
        self._shard_at = array("d", bytes(8 * SHARD_COUNT_MAX))

    def note(self, shard: int, buckets: Iterable[int], position: int, now: float) -> None:
        """Remember a write. buckets: where it changed something, all of that shard; now: seconds that only grow."""
        for bucket in buckets:
            if position >= self.of_bucket(bucket, now):
                self._of_bucket[bucket], self._bucket_at[bucket] = position, now
        if position >= self.of_shard(shard, now):
            self._of_shard[shard], self._shard_at[shard] = position, now

    def of_bucket(self, bucket: int, now: float) -> int:
        """Return what a read of a bucket must see; 0 for nothing."""
        return self._of_bucket[bucket] if now - self._bucket_at[bucket] < KEPT_S else 0

    def of_shard(self, shard: int, now: float) -> int:
        """Return what a read of any of a shard's buckets must see; 0 for nothing."""
        return self._of_shard[shard] if now - self._shard_at[shard] < KEPT_S else 0

    def forget(self, buckets: Iterable[int]) -> None:
        """Forget buckets whose shard has changed: another journal has other numbers."""
        for bucket in buckets:
            self._of_bucket[bucket] = 0
