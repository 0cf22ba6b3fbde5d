"""A shard's journal and checkpoint on a Redis server, which all shards share.

Imported by those who store there alone: the driver takes 0.1 s of the processor, in every process of a cluster.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from actors.core.checkpoints.snapshot import TABLES
from actors.shard.places import FIRST_EPOCH, shard_directory
from configs.settings import Settings
from persistence.redis_checkpoint import SETTLE_SECONDS, RedisCheckpointStore
from persistence.redis_journal import RedisJournal, stored_epoch
from persistence.redis_restore import require_whole
from persistence.redis_server import RedisServer, ServerFacts, wait_until_open

LAYOUT = "1024 buckets"  # what every opening of a journal has in common
REDIS_ID_FILE = "redis-journal.id"


class SharedFacts:
    """In the place of a ReplicaFile where storage is one server for all: it says itself who owns it since when."""

    def __init__(self, store_id: str, epoch: int) -> None:
        self.store_id, self.promised, self.term = store_id, epoch, epoch

    def save(self, *, promised: int | None = None, term: int | None = None) -> None:
        """Note it; `Journal.begin_epoch` makes it durable."""
        self.promised = self.promised if promised is None else promised
        self.term = self.term if term is None else term


def storage_warning(settings: Settings) -> str:
    """Return what the server may lose of acknowledged writes, or nothing. Raises StorageError if it can't be used."""
    server = RedisServer(settings.storage.redis_url)
    try:
        facts: ServerFacts = wait_until_open(server.check)
    finally:
        server.close()
    return "" if facts.survives_power_loss else f"{server.name}: {facts.promise}"


def open_redis(
    settings: Settings, shard: int, restoring: bool = False
) -> tuple[RedisJournal, RedisCheckpointStore, SharedFacts, Callable[[], None]]:
    """Open a shard's keys on the server, waiting for it a little; warn of what the server may lose.

    The journal's id is noted in the data folder, so that a server that was emptied isn't taken for a new one.
    restoring: whether this is the restore that goes on; anybody else gets RestoreUnfinishedError until it has ended.
    """
    server, namespace = RedisServer(settings.storage.redis_url), settings.cluster.namespace
    note = shard_directory(settings.storage.data_dir, shard) / REDIS_ID_FILE
    try:
        facts: ServerFacts = wait_until_open(server.check)
        if not restoring:
            wait_until_open(lambda: require_whole(server, namespace, shard))
        if not facts.survives_power_loss:
            structlog.get_logger().warning(
                "Redis may lose acknowledged writes", server=server.name, reason=facts.promise
            )
        epoch = max(wait_until_open(lambda: stored_epoch(server, namespace, shard)), FIRST_EPOCH)
        journal = wait_until_open(
            lambda: RedisJournal(
                server, namespace, shard, epoch, LAYOUT,
                note.read_text(encoding="utf-8").strip() if note.exists() else "", not facts.survives_power_loss,
            )
        )  # fmt: skip
        note.write_text(f"{journal.store_id}\n", encoding="utf-8")
        settle_s = SETTLE_SECONDS if facts.append_only and not facts.survives_power_loss else 0.0
        store = wait_until_open(lambda: RedisCheckpointStore(server, namespace, shard, TABLES, settle_s=settle_s))
    except BaseException:
        server.close()
        raise
    return journal, store, SharedFacts(journal.store_id, journal.epoch), server.close
