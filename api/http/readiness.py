"""When a worker says that it is ready, and what it says is degraded.

    a bucket without a live primary                        not ready, whenever
    search, or trends, not served yet since the start      not ready until they are, or START_PATIENCE_S are over
    the same, once it was ready                            ready, degraded
    a replica away or behind; an index that is filled      ready, degraded

Ready means that all that is switched on is served: whoever starts a cluster waits for that. Whoever takes requests away
from a worker that isn't ready (a load balancer) would take away home reads as well; so what dies later, and comes back
by itself, is told of and no more.

Rules of this file
- Pure but for what was seen: no clock, no cluster. `routes/health.py` asks.
- "Later" is: once this worker was ready; for search also: its engine has answered since its shard's process began. A
  worker that starts anew while an engine is away doesn't wait for it.
- An engine that doesn't come up at all keeps a worker no longer than START_PATIENCE_S: waiting mends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

START_PATIENCE_S: Final = 60.0  # that a worker waits for search and trends: opening an index of some GB takes seconds
_QUIET_STATES = frozenset(("off", "ready"))


class ReadinessJudge:
    """What one worker has seen."""

    def __init__(self, began_s: float) -> None:
        """began_s: when the worker began to ask, on the clock of `judge`."""
        self._began_s = began_s
        self.was_ready = False

    def judge(self, said: Mapping[str, Any], now_s: float) -> bool:
        """Return whether the worker is ready. said: see `Cluster.readiness`."""
        if said["unserved_shards"]:
            return False
        if not self.was_ready and now_s - self._began_s < START_PATIENCE_S and starting(said):
            return False
        self.was_ready = True
        return True


def starting(said: Mapping[str, Any]) -> bool:
    """Return whether something that is switched on was not served yet since the start."""
    by_shard: dict[int, list[Any]] = {}
    for replica in said["replicas"]:
        if replica["live"]:
            by_shard.setdefault(replica["shard"], []).append(replica["search"])
    return said["trends"] is False or any(not any(map(_was_served, found)) for found in by_shard.values())


def _was_served(search: Mapping[str, Any] | None) -> bool:
    return search is not None and (search["serves"] or search["has_served"] or search["state"] == "off")


def degraded(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what doesn't do what it should, though it may not be needed.

    left: tweets and accounts still to be indexed. States: of a replica "away" or "behind"; of search those of
    `Cluster.readiness`, "unknown" for a moment after its process began; of trends "away".
    """
    found = []
    for replica in said["replicas"]:
        place = {"shard": replica["shard"], "replica": replica["replica"]}
        if not (replica["live"] and replica["in_sync"]):
            state = "behind" if replica["live"] else "away"
            found.append({"part": "replica", **place, "state": state, "left": 0})
        search = replica["search"] or {"state": "unknown", "left": 0}
        if replica["live"] and search["state"] not in _QUIET_STATES:
            found.append({"part": "search", **place, "state": search["state"], "left": search["left"]})
    if said["trends"] is False:
        found.append({"part": "trends", "shard": None, "replica": None, "state": "away", "left": 0})
    return found
