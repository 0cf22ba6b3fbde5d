"""Read-your-writes: how far a follower's journal must be to show a client what it has written.

Rules of this file
- A position numbers the journal of a shard, so it holds for every replica and survives a failover.
- What is remembered is short-lived: followers are milliseconds behind, so a write of KEPT_S ago is everywhere.
- API workers of a node share what they remember (`shared_positions`): a client's next request may come to any of them.
  Each writes into a slot of its own in a file in memory, and reads all slots; times are of the machine's one clock.
  What a worker that has died wrote down still holds for the one that comes after it.

    file: [positions of buckets q x 1024, times d x 1024, positions of shards q x 256, times d x 256] a worker

Costs: 0.3 us a write noted, and a worker for a bucket looked up; 20 KB a worker.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from actors.core.ids import BUCKET_COUNT, SHARD_COUNT_MAX

KEPT_S = 10.0  # how long a write is remembered; a follower that is further behind is not in sync

_WORD = 8
_SLOT_BYTES = 2 * _WORD * (BUCKET_COUNT + SHARD_COUNT_MAX)
_PRIVATE = 0o600

# Shard -> journal position. What one caller must see; writes of that caller are added to it.
SeenPositions = dict[int, int]


class WritePositions:
    """The last position of an answered write, per bucket and per shard, with its time.

    slot: _SLOT_BYTES to keep that in, our own by default; others: what is remembered elsewhere, and holds here, too.
    """

    def __init__(self, slot: memoryview | None = None, others: Sequence[WritePositions] = ()) -> None:
        self._others = others
        words = (memoryview(bytearray(_SLOT_BYTES)) if slot is None else slot).cast("q")
        times = words.cast("B").cast("d")
        after, end = 2 * BUCKET_COUNT, 2 * BUCKET_COUNT + SHARD_COUNT_MAX
        self._of_bucket, self._bucket_at = words[:BUCKET_COUNT], times[BUCKET_COUNT:after]
        self._of_shard, self._shard_at = words[after:end], times[end:]

    def note(self, shard: int, buckets: Iterable[int], position: int, now: float) -> None:
        """Remember a write. buckets: where it changed something, all of that shard; now: seconds that only grow."""
        for bucket in buckets:
            if position >= self._own_of_bucket(bucket, now):
                self._of_bucket[bucket], self._bucket_at[bucket] = position, now
        if position >= self._own_of_shard(shard, now):
            self._of_shard[shard], self._shard_at[shard] = position, now

    def of_bucket(self, bucket: int, now: float) -> int:
        """Return what a read of a bucket must see; 0 for nothing."""
        position = self._own_of_bucket(bucket, now)
        for other in self._others:
            position = max(position, other._own_of_bucket(bucket, now))
        return position

    def of_shard(self, shard: int, now: float) -> int:
        """Return what a read of any of a shard's buckets must see; 0 for nothing."""
        position = self._own_of_shard(shard, now)
        for other in self._others:
            position = max(position, other._own_of_shard(shard, now))
        return position

    def _own_of_bucket(self, bucket: int, now: float) -> int:
        return self._of_bucket[bucket] if now - self._bucket_at[bucket] < KEPT_S else 0

    def _own_of_shard(self, shard: int, now: float) -> int:
        return self._of_shard[shard] if now - self._shard_at[shard] < KEPT_S else 0

    def forget(self, buckets: Iterable[int]) -> None:
        """Forget buckets whose shard has changed: another journal has other numbers."""
        for bucket in buckets:
            self._of_bucket[bucket] = 0


def shared_positions(path: Path, index: int, worker_count: int) -> WritePositions:
    """Return the positions of worker `index` of a node, who sees those of its worker_count workers.

    path: in a folder in memory that is ours alone; the file is made if need be, and never made smaller. A worker that
    was started for fewer workers doesn't see those beyond.
    """
    count = max(worker_count, index + 1)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE)
    try:
        if os.fstat(descriptor).st_size < count * _SLOT_BYTES:
            os.ftruncate(descriptor, count * _SLOT_BYTES)
        memory = memoryview(mmap.mmap(descriptor, count * _SLOT_BYTES))
    finally:
        os.close(descriptor)
    slots = [memory[at : at + _SLOT_BYTES] for at in range(0, len(memory), _SLOT_BYTES)]
    others = [WritePositions(slot) for number, slot in enumerate(slots) if number != index]
    return WritePositions(slots[index], others)
