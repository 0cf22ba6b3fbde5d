"""Every backend of the two protocols, behind one way to open it again. A new backend is one more row in each table."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from actors.core.checkpoints.tables import Table
from actors.core.checkpoints.upgrades import UPGRADES
from persistence.duckdb_checkpoint import DuckDBCheckpointStore
from persistence.file_journal import FileJournal
from persistence.memory import MemoryCheckpointStore, MemoryDisk, MemoryJournal, MemoryShelf
from persistence.protocols import CheckpointStore, Journal
from persistence.redis_checkpoint import RedisCheckpointStore
from persistence.redis_journal import RedisJournal
from persistence.redis_server import RedisServer
from persistence.table_versions import Upgrades
from tests.persistence.redis_processes import shared_redis

OpenJournal = Callable[..., Journal]
"""open_journal(epoch=0, after=0): open the journal of shard 0 that this test uses, as a process that starts would."""
OpenStore = Callable[..., CheckpointStore]
"""open_store(tables, upgrades=UPGRADES): open the checkpoint of shard 0 that this test uses, as a version that declares
these tables would."""


def _file_journal(directory: Path) -> OpenJournal:
    return lambda epoch=0, after=0: FileJournal(directory / "journal", 0, epoch, after)


def _memory_journal(directory: Path) -> OpenJournal:
    disk = MemoryDisk()
    return lambda epoch=0, after=0: MemoryJournal(disk, 0, epoch, after)


def _redis_journal(directory: Path) -> OpenJournal:
    server, namespace = RedisServer(shared_redis().url), uuid.uuid4().hex
    return lambda epoch=0, after=0: RedisJournal(server, namespace, 0, epoch, after=after)


def _duckdb_store(directory: Path) -> OpenStore:
    return lambda tables, upgrades=UPGRADES: DuckDBCheckpointStore(
        directory / "shard.duckdb", 0, tables, upgrades=upgrades
    )


def _memory_store(directory: Path) -> OpenStore:
    shelf = MemoryShelf()

    def open_store(tables: Sequence[Table], upgrades: Upgrades = UPGRADES) -> CheckpointStore:
        return MemoryCheckpointStore(tables, shelf, upgrades)

    return open_store


def _redis_store(directory: Path) -> OpenStore:
    server, namespace = RedisServer(shared_redis().url), uuid.uuid4().hex
    return lambda tables, upgrades=UPGRADES: RedisCheckpointStore(server, namespace, 0, tables, upgrades=upgrades)


JOURNALS: dict[str, Callable[[Path], OpenJournal]] = {
    "file": _file_journal,
    "memory": _memory_journal,
    "redis": _redis_journal,
}
STORES: dict[str, Callable[[Path], OpenStore]] = {
    "duckdb": _duckdb_store,
    "memory": _memory_store,
    "redis": _redis_store,
}
