"""A shard's files and the replica recovered from them: what a shard actor serves, and `check` opens when stopped."""

from __future__ import annotations

import time
from pathlib import Path

from actors.core import limits
from actors.core.replica import Replica
from actors.core.snapshot import TABLES
from cluster.shard_map import even_buckets
from configs.settings import Settings
from persistence.duckdb_checkpoint import DuckDBCheckpointStore
from persistence.file_journal import FileJournal
from persistence.recovery import RecoveryReport, recover


def shard_directory(data_dir: Path, shard: int) -> Path:
    """Return where a shard keeps its journal and checkpoint."""
    return data_dir / f"shard-{shard:02d}"


def failure_file(data_dir: Path, shard: int) -> Path:
    """Return where a shard that can't start says why: a dead actor's log is hard to find."""
    return shard_directory(data_dir, shard) / "failure.txt"


def tuning_of(settings: Settings) -> limits.Tuning:
    """Return the core's bounds as the configuration sets them."""
    return limits.Tuning(
        timeline_length=settings.timeline.length,
        pull_threshold=settings.timeline.pull_threshold,
        dormant_after_days=settings.timeline.dormant_after_days,
        arrivals_max=settings.timeline.arrivals_max,
        accounts_max=settings.limits.accounts_per_shard_max,
        tweets_max=settings.limits.tweets_per_shard_max,
        outbox_messages_max=settings.limits.outbox_messages_max,
        outbox_bytes_max=settings.limits.outbox_bytes_max,
    )


class Storage:
    """A replica with its journal and checkpoint store, recovered."""

    def __init__(self, settings: Settings, shard: int, epoch: int = 1) -> None:
        """Open and recover one shard. Raises StorageError that names the file when something is damaged or in use."""
        directory = shard_directory(settings.storage.data_dir, shard)
        directory.mkdir(parents=True, exist_ok=True)
        self.epoch = epoch
        self.journal = FileJournal(directory / "journal", shard, epoch)
        try:
            self.store = DuckDBCheckpointStore(directory / "checkpoint.duckdb", shard, TABLES)
            self.replica = Replica(shard, list(even_buckets(settings.cluster.shards)), tuning_of(settings))
            self.report: RecoveryReport = recover(
                self.store, self.journal, self.replica.load, self.replica.replay, time.perf_counter, epoch
            )
            self.replica.state.deliveries.drain()  # nobody has waited for these yet: readers begin with whole timelines
        except BaseException:
            self.journal.close()
            raise

    def close(self) -> None:
        """Release the files."""
        self.journal.close()
        self.store.close()
