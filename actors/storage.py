"""A shard's journal and checkpoint, and the replica recovered from them: what an actor serves, and `check` opens."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from actors.core import limits
from actors.core.replica import Replica
from actors.core.snapshot import TABLES
from cluster.shard_map import even_buckets
from configs.settings import Settings
from persistence.duckdb_checkpoint import DuckDBCheckpointStore
from persistence.file_journal import FileJournal
from persistence.protocols import CheckpointStore, Journal
from persistence.recovery import RecoveryReport, recover
from persistence.redis_checkpoint import SETTLE_SECONDS, RedisCheckpointStore
from persistence.redis_journal import RedisJournal
from persistence.redis_server import RedisServer, ServerFacts, wait_until_open

REDIS_ID_FILE = "redis-journal.id"


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
        """Open and recover one shard. Raises StorageError that names what is damaged, in use or out of reach."""
        directory = shard_directory(settings.storage.data_dir, shard)
        directory.mkdir(parents=True, exist_ok=True)
        self.epoch = epoch
        opened = open_redis if settings.storage.backend == "redis" else open_files
        self.journal: Journal
        self.store: CheckpointStore
        self.journal, self.store, self._release = opened(settings, shard, epoch)
        try:
            self.replica = Replica(shard, list(even_buckets(settings.cluster.shards)), tuning_of(settings))
            self.report: RecoveryReport = recover(
                self.store, self.journal, self.replica.load, self.replica.replay, time.perf_counter, epoch
            )
            self.replica.state.deliveries.drain()  # nobody has waited for these yet: readers begin with whole timelines
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the files, or the connections."""
        try:
            self.journal.close()
        finally:
            self.store.close()
            self._release()


Opened = tuple[Journal, CheckpointStore, Callable[[], None]]
"""A journal, a store, and what to call when both are closed."""


def open_files(settings: Settings, shard: int, epoch: int) -> Opened:
    """Open a shard's files in the data folder."""
    directory = shard_directory(settings.storage.data_dir, shard)
    journal = FileJournal(directory / "journal", shard, epoch)
    try:
        return journal, DuckDBCheckpointStore(directory / "checkpoint.duckdb", shard, TABLES), lambda: None
    except BaseException:
        journal.close()
        raise


def storage_warning(settings: Settings) -> str:
    """Return what the storage may lose of acknowledged writes, or nothing. Raises StorageError if it can't be used."""
    if settings.storage.backend != "redis":
        return ""
    server = RedisServer(settings.storage.redis_url)
    try:
        facts: ServerFacts = wait_until_open(server.check)
    finally:
        server.close()
    return "" if facts.survives_power_loss else f"{server.name}: {facts.promise}"


def open_redis(settings: Settings, shard: int, epoch: int) -> Opened:
    """Open a shard's keys on the server, waiting for it a little; warn of what the server may lose.

    The journal's id is noted in the data folder, so that a server that was emptied isn't taken for a new one.
    """
    server, namespace = RedisServer(settings.storage.redis_url), settings.cluster.namespace
    note = shard_directory(settings.storage.data_dir, shard) / REDIS_ID_FILE
    try:
        facts: ServerFacts = wait_until_open(server.check)
        if not facts.survives_power_loss:
            structlog.get_logger().warning(
                "Redis may lose acknowledged writes", server=server.name, reason=facts.promise
            )
        journal = wait_until_open(
            lambda: RedisJournal(
                server, namespace, shard, epoch, f"{settings.cluster.shards} shards",
                note.read_text(encoding="utf-8").strip() if note.exists() else "", not facts.survives_power_loss,
            )
        )  # fmt: skip
        note.write_text(f"{journal.store_id}\n", encoding="utf-8")
        settle_s = SETTLE_SECONDS if facts.append_only and not facts.survives_power_loss else 0.0
        store = wait_until_open(lambda: RedisCheckpointStore(server, namespace, shard, TABLES, settle_s=settle_s))
    except BaseException:
        server.close()
        raise
    return journal, store, server.close
