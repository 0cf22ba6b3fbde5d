"""What the router counts, and what is seen of it. The rows that show it: actors/metrics/router_rows.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.metrics import Histogram
from cluster.router.files import backup_time_s

if TYPE_CHECKING:
    from cluster.router.router import Router


class RouterCounts:
    """Since the router began."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.pings: Counter[str] = Counter()  # by what they found out: values of `Presence`
        self.look_seconds, self.map_write_seconds = Histogram(), Histogram()
        self.away_seconds: dict[str, float] = {}  # by shard: how long nobody led it
        self._looked_s: float | None = None

    def note_look(self, missing: Collection[int], shard_count: int, now: float) -> None:
        """Note which shards nobody leads at the end of a look, and has led since the look before."""
        taken_s = 0.0 if self._looked_s is None else now - self._looked_s
        for shard in range(shard_count):
            key = str(shard)
            self.away_seconds[key] = self.away_seconds.get(key, 0.0) + (taken_s if shard in missing else 0.0)
        self._looked_s = now


def figures_of(router: Router, now: float) -> dict[str, Any]:
    """Return what holds a router's figures. now: seconds, monotonic, as everywhere in the router."""
    missing, progress, shard_map = router.missing_shards(now), router.rebalancer.status(), router.shard_map
    status = {(str(each["shard"]), str(each["index"])): each for each in router.status(now)["replicas"]}
    return {
        "map_epoch": shard_map.epoch,
        "map_write_seconds": router.counted.map_write_seconds,
        "elections": router.elections.count,
        "level": shard_map.level,
        "next_level": shard_map.next_level,
        "served": {str(shard): int(shard not in missing) for shard in range(shard_map.shard_count)},
        "live": {key: int(each["live"]) for key, each in status.items()},
        "in_sync": {key: int(each["in_sync"] or each["primary"]) for key, each in status.items()},
        "creations": {key: each["created_count"] for key, each in status.items()},
        "pings": router.counted.pings,
        "away_seconds": router.counted.away_seconds,
        "backup_time": backup_time_s(router.counted.data_dir),
        "look_seconds": router.counted.look_seconds,
        "drained": len(router.draining.marks),
        "buckets": {"moved": progress["moved_buckets"], "left": progress["left_buckets"]} if progress else None,
        "failed_moves": progress["failed_moves"] if progress else 0,
    }
