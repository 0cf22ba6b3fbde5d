"""What one shard replica counts. The rows that show it: shard_rows.py.

Rules of this file
- Hot code only increments: `metrics.reads += 1`, `metrics.apply_seconds.observe(s)`.
- One writer per number. Counters only grow; gauges are set by whoever owns the thing measured; times are in seconds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from actors.metrics.figure import SIZE_BOUNDS, Histogram, Snapshot, snapshot
from actors.metrics.shard_rows import SHARD_FIGURES


def _times() -> Histogram:
    return Histogram()


def _sizes() -> Histogram:
    return Histogram(SIZE_BOUNDS)


@dataclass(slots=True)
class ShardMetrics:
    """Counters first, then gauges, then histograms."""

    reads: int = 0
    writes: int = 0
    searches: int = 0
    internals: int = 0
    refusals: Counter[str] = field(default_factory=Counter)  # by code
    settled_in_time: int = 0
    settled_late: int = 0
    deliveries: int = 0
    messages_out: int = 0
    messages_in: int = 0
    messages_repeated: int = 0
    batches_failed: int = 0
    outgoing_results: Counter[tuple[str, str]] = field(default_factory=Counter)  # by channel and result
    outgoing_calls_failed: int = 0
    pulls: int = 0
    ring_rebuilds: int = 0
    journal_records: int = 0
    journal_bytes: int = 0
    checkpoint_rows: int = 0
    checkpoint_writes: int = 0
    checkpoint_failures: int = 0
    pieces_evicted: int = 0
    streams_events: int = 0
    streams_pushes: int = 0
    streams_resumed: int = 0
    streams_lost: int = 0
    lane_strangers_turned_away: int = 0
    questions_answered: int = 0
    questions_failed: int = 0
    searches_answered: int = 0
    searches_failed: int = 0
    searches_late: int = 0
    searches_shed: int = 0

    mailbox_depth: int = 0
    slow_reads: int = 0
    delivery_backlog: int = 0
    outgoing_items: int = 0
    outgoing_late_seconds: float = 0.0
    outbox_messages: dict[str, int] = field(default_factory=dict)  # by shard
    outbox_bytes: dict[str, int] = field(default_factory=dict)
    journal_position: int = 0
    journal_lag_records: int = 0
    checkpoint_lag_records: int = 0
    checkpoint_lag_seconds: float = 0.0
    replication_lag_records: dict[str, int] = field(default_factory=dict)  # by follower
    in_sync_replicas: int = 0
    storage_writable: int = 1
    storage_bytes: dict[str, int] = field(default_factory=dict)  # by part
    storage_free_bytes: int | None = None  # None: it isn't on a disk of this machine
    accounts: int = 0
    tweets: int = 0
    edges: int = 0
    rings: int = 0
    part_bytes: dict[str, int] = field(default_factory=dict)
    lane_connections: int = 0
    term: int = 0
    map_epoch: int = 0
    level: int = 0
    primary: int = 0
    listening_workers: int = 0
    listening_accounts: int = 0
    frozen: int = 0
    search_backlog: int = 0
    search_in_flight: int = 0
    search_state: int = 0
    limits: dict[str, int] = field(default_factory=dict)  # by name

    read_seconds: Histogram = field(default_factory=_times)
    write_seconds: Histogram = field(default_factory=_times)
    search_seconds: Histogram = field(default_factory=_times)
    apply_seconds: Histogram = field(default_factory=_times)
    receive_seconds: Histogram = field(default_factory=_times)
    delivery_lag_seconds: Histogram = field(default_factory=_times)
    fsync_seconds: Histogram = field(default_factory=_times)
    commit_records: Histogram = field(default_factory=_sizes)
    batch_messages: Histogram = field(default_factory=_sizes)

    def get(self, key: str) -> object:
        """Return what is held under a name."""
        return getattr(self, key)

    def snapshot(self) -> Snapshot:
        """Return every number by figure, exact and since the start."""
        return snapshot(SHARD_FIGURES, self.get)
