"""What a shard replica counts of requests, measures of itself once a second, and tells of both.

Rules of this file
- Read, never changed; nothing here decides anything.
- What asks a disk (`storage_of`) is done on a thread: disks can be slow.

Cost: 0.2 ms a second.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors.metrics import Histogram, ShardMetrics
from actors.metrics.figure import Told
from actors.metrics.process import ProcessFigures
from actors.metrics.process_rows import PROCESS_FIGURES
from actors.metrics.ray_export import RayExporter, export_for_ever
from actors.metrics.shard_rows import SEARCH_STATES, SHARD_FIGURES
from actors.shard.home_requests import SLOW_HOMES_MAX
from actors.shard.search_requests import OPERATIONS as SEARCH

if TYPE_CHECKING:
    from actors.shard.served_replica import ServedReplica
    from cluster.lane.server import LaneRequest

OTHER_READS: Final = SEARCH | {"home", "home_ids", "at", "shaped", "explain"}
CARRIED_WRITES: Final = frozenset(("tracked", "settled"))
DISK_S: Final = 10.0  # between two looks at how much the replica's files take
# Of a replica's folder: what lies in it by its first part. Other replicas of the shard have theirs in replica 0's.
_PARTS: Final = {"journal": "journal", "search": "search", "checkpoint.duckdb": "checkpoint"}
OTHER_REPLICAS: Final = "replica-"
MEMORY_PARTS: Final = ("edge", "ring", "tweet", "arrival", "pieces", "cards")


class OwnFigures:
    """How the figures of one replica and its process leave it. late_seconds: of the process's heartbeat."""

    def __init__(self, served: ServedReplica, name: str, late_seconds: Histogram) -> None:
        self._served, self._name = served, name
        self._replica = str(served.shard), str(served.index)
        self.process = ProcessFigures(name, late_seconds)

    def told(self) -> list[Told]:
        """Return what this replica and its process have counted."""
        measure(self._served)
        return [Told("shard", self._replica, self._served.metrics.snapshot()), self.process.told()]

    async def export(self) -> None:
        """Hand them to Ray's metrics every so often."""
        settings, exporters = self._served.settings.metrics, []
        if settings.ray_export:
            exporters = [
                RayExporter(SHARD_FIGURES, self._served.metrics.get, self._replica),
                RayExporter(PROCESS_FIGURES, self.process.get, (self._name,)),
            ]

        def measure_all() -> None:
            measure(self._served)
            self.process.measure()

        await export_for_ever(exporters, measure_all, settings.flush_ms / 1000)

    async def measure_disk(self) -> None:
        """See every so often how much the files take."""
        metrics = self._served.metrics
        while True:
            found = await asyncio.to_thread(storage_of, self._served.storage.directory)
            metrics.storage_bytes, metrics.storage_free_bytes = found
            await asyncio.sleep(DISK_S)


def count_other(metrics: ShardMetrics, request: LaneRequest, is_new: bool) -> None:
    """Count a request that is none of the tables of reads and writes by what it is, or carries.

    is_new: it hasn't been counted, as one that was kept has been.
    """
    op = request.op
    if op in CARRIED_WRITES:
        metrics.writes += is_new
    elif op in SEARCH or (op == "at" and _carries_search(request.args)):
        metrics.searches += is_new
        request.timed = metrics.search_seconds
    elif op in OTHER_READS:
        metrics.reads += is_new
        request.timed = metrics.read_seconds
    else:
        metrics.internals += is_new


def _carries_search(args: Any) -> bool:
    """Whether `at` carries a search. args: whatever has come."""
    return type(args) is list and len(args) == 3 and type(args[1]) is str and args[1] in SEARCH


def measure(served: ServedReplica) -> None:
    """Bring a replica's gauges up to date."""
    _measure_journal(served)
    _measure_state(served)
    _measure_search(served)
    m, replication = served.metrics, served.replication
    m.slow_reads = served.homes.under_way_count
    m.term, m.primary = replication.term, int(replication.role == "primary")
    m.map_epoch = 0 if replication.shard_map is None else replication.shard_map.epoch
    m.in_sync_replicas = len(replication.leader.in_sync) if replication.leader is not None else 0
    m.replication_lag_records = replication.lags()
    m.frozen, m.level = int(served.moves.frozen), served.state.level
    if served.lane is not None:
        m.lane_strangers_turned_away = served.lane.turned_away_count
        m.lane_connections = served.lane.connection_count
    listening = served.listening.figures()
    m.listening_workers, m.listening_accounts = listening["listening_workers"], listening["listening_accounts"]
    m.outgoing_items, m.outgoing_late_seconds = served.outgoing.waiting()
    questions = served.homes.accounts.figures()
    m.questions_answered, m.questions_failed = questions["account_questions"], questions["account_questions_failed"]


def _measure_journal(served: ServedReplica) -> None:
    m, figures, state = served.metrics, served.commits.figures(), served.state
    m.mailbox_depth = figures["mailbox"]
    m.journal_position, m.journal_lag_records = state.position, figures["journal_lag"]
    m.storage_writable = int(not figures["journal_error"])
    folded = served.commits.checkpointer.stats()
    m.checkpoint_lag_records = state.position - folded.written_position
    m.checkpoint_lag_seconds, m.checkpoint_rows = folded.lag_seconds, folded.rows_written
    m.checkpoint_writes, m.checkpoint_failures = folded.write_count, folded.failure_count


def _measure_state(served: ServedReplica) -> None:
    m, state, facts = served.metrics, served.state, served.replica.lookups.facts()
    m.deliveries = state.rings.delivery_count - served.delivered_before
    m.delivery_backlog = state.deliveries.waiting_count
    m.outbox_messages = {str(shard): len(outbox.waiting) for shard, outbox in state.outboxes.items()}
    m.outbox_bytes = {str(shard): outbox.bytes_waiting for shard, outbox in state.outboxes.items()}
    m.accounts, m.tweets, m.edges, m.rings = facts["accounts"], facts["tweets"], facts["edges"], facts["awake"]
    m.pieces_evicted = facts["pieces_evicted"]
    m.part_bytes = {part: facts[f"{part}_bytes"] for part in MEMORY_PARTS}


def _measure_search(served: ServedReplica) -> None:
    m, figures = served.metrics, served.search.figures()
    m.search_state = SEARCH_STATES.index(figures["state"])
    if served.search.engine is None:
        return
    m.search_backlog, m.search_in_flight = figures["backlog"], figures["in_flight"]
    m.searches_answered, m.searches_failed = figures["answered"], figures["failed"]
    m.searches_late, m.searches_shed = figures["dropped_late"], figures["shed"]


def bounds_of(served: ServedReplica) -> dict[str, int]:
    """Return the bounds at which a replica refuses, by the figure that they bound."""
    limits = served.settings.limits
    return {
        "mailbox_depth": limits.mailbox_max, "outbox_messages": limits.outbox_messages_max,
        "outbox_bytes": limits.outbox_bytes_max, "slow_reads": SLOW_HOMES_MAX,
        "lane_connections": served.settings.lane.connections_max, "accounts": limits.accounts_per_shard_max,
        "tweets": limits.tweets_per_shard_max,
    }  # fmt: skip


def storage_of(directory: Path) -> tuple[dict[str, int], int]:
    """Return bytes by part of what a replica has in its folder, and how many are free there. Blocks."""
    sizes: Counter[str] = Counter(dict.fromkeys((*_PARTS.values(), "other"), 0))
    for folder, inner, files in os.walk(directory):
        within = Path(folder).relative_to(directory)
        inner[:] = [name for name in inner if within.parts or not name.startswith(OTHER_REPLICAS)]
        for name in files:
            part = _PARTS.get((within / name).parts[0].removesuffix(".wal"), "other")
            try:
                sizes[part] += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:  # a segment that has just been folded
                continue
    return dict(sizes), shutil.disk_usage(directory).free
