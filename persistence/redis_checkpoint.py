"""The checkpoint store as blobs in Redis: for each table a log of chunks, and one hash that says which of them count.

Rules of this file
- A chunk counts once the manifest names it, and the manifest changes in one script: rows, position and epoch together.
  Chunks are written before, under numbers that nothing names yet; what a crash leaves of them is removed on opening.
- Every change goes through a script that checks the owner's token. Whoever opens takes the store over, and the owner
  before gets FencedError at its next write.
- The manifest is compared before it is changed: if the server went back (a crash under appendfsync everysec), the
  write is refused with JournalLostError, as later changes don't fit onto earlier rows; a recovery puts it right.
- A snapshot that is being read keeps its chunks: while one is open in this store nothing is folded or removed. A table
  is read from its newest chunk to its oldest, leaving out what a newer one has a word on.
- A table is folded when its changes outweigh half of its base, so the server holds at most 1.5 times the rows, 2.5
  times while it folds, and loading reads no more.

    {rookery:<namespace>:<shard>}:checkpoint              hash: format, identity, tables, epoch, token, position,
                                                          version, and for each table t:<table> (a ChunkLog)
    {rookery:<namespace>:<shard>}:checkpoint:<table>:<n>  a chunk of redis_chunks.py

    redis_checkpoint.py         what is done in which order, under one lock: writing, replacing, folding, upgrading
    redis_checkpoint_owner.py   token; opening; each change on the server
    redis_manifest.py           what counts: position, epoch, which chunks of each table (with a picture)
    redis_chunk_logs.py         chunks written, read, removed

Costs: see DESIGN.md. Folding holds one table's rows as Arrow columns in memory, on the checkpointer's thread.
It deliberately holds no rows between calls, and knows nothing of what the tables mean.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa
import structlog

from actors.core.checkpoints.tables import Checkpoint, Table, TableChange
from actors.core.checkpoints.upgrades import UPGRADES
from persistence.checkpoint_rules import check_piece, check_replace, check_rows_max, check_write
from persistence.errors import CheckpointFailedError, JournalFailedError, JournalUnavailableError, StorageError
from persistence.redis_checkpoint_owner import CheckpointOwner
from persistence.redis_chunk_logs import ChunkLogs
from persistence.redis_chunks import UPSERT, change_parts, columns_of
from persistence.redis_manifest import ChunkLog, RedisManifest, StoredManifest
from persistence.redis_server import RedisServer
from persistence.redis_tables import StoredTables, declared
from persistence.snapshot_pieces import SnapshotReader, piece_ends, row_bytes
from persistence.table_versions import TablePlan, TableUpgrade, Upgrades

SETTLE_SECONDS = 2.0  # s until a server that syncs every second has synced what it acknowledged


class RedisCheckpointStore:
    """A `CheckpointStore` in blobs of a Redis server: what is done to manifest and chunks, in which order.

    namespace, shard: which keys; tables: all tables; those that an older version wrote are brought up on opening.
    schema_version: the core's version of what they mean; upgrades: as in `actors/core/checkpoints/upgrades.py`.
    settle_s: how long `write` waits before it looks whether the server still has it (SETTLE_SECONDS if the server syncs
    every second; what is trimmed from the journal after that is on disk). Methods may be called from any thread.
    Opening takes the store over, unless it is refused: CheckpointMismatchError (a newer version wrote it). Raises
    CheckpointFailedError if an upgrade fails, which changes nothing but the owner, or what `RedisServer.run` raises.
    """

    def __init__(
        self,
        server: RedisServer,
        namespace: str,
        shard: int,
        tables: Sequence[Table],
        schema_version: int = 1,
        settle_s: float = 0.0,
        upgrades: Upgrades = UPGRADES,
    ) -> None:
        self._tables = {table.name: table for table in tables}
        self._owner = CheckpointOwner(server, namespace, shard)
        self._manifest = StoredManifest(self._owner, list(self._tables), settle_s)
        self._chunks = ChunkLogs(self._owner)
        self._lock = threading.Lock()
        self._readers: weakref.WeakSet[_RedisPieceReader] = weakref.WeakSet()
        self._log = structlog.get_logger()
        ours = declared(schema_version, tables)
        plan = self._owner.take_over(ours, list(self._tables.values()), upgrades)
        self._remove_leftovers()
        if plan is not None:
            self._bring_up(plan, ours)

    def write(self, position: int, epoch: int, changes: Sequence[TableChange]) -> None:
        """Write the changes as chunks, then name them all at once. See `CheckpointStore.write`."""
        with self._lock, self._failures_named():
            manifest = self._manifest.read()
            check_write(self._tables, position, epoch, changes, manifest.position, manifest.epoch)
            parts = [(change.table.name, kind, rows) for change in changes for kind, rows in change_parts(change)]
            logs = dict(manifest.logs)
            for name, kind, rows in parts:
                logs[name] = self._chunks.put(name, logs[name], kind, rows)
            self._manifest.commit(replace(manifest, position=position, epoch=epoch, logs=logs))
            self._manifest.settle()
        for name, log in logs.items():
            if log.due:
                self._try_to_fold(name)

    def replace(self, position: int, epoch: int, pieces: Iterator[TableChange]) -> None:
        """Write the pieces as chunks of a new base behind each log, then name those instead. See `CheckpointStore`."""
        with self._lock:
            with self._failures_named():
                manifest = self._manifest.read()
                check_replace(position, epoch, manifest.epoch)
            logs = {name: log.anew() for name, log in manifest.logs.items()}
            with self._chunks.dropping_unnamed(logs):
                for piece in pieces:
                    check_piece(self._tables, piece)
                    with self._failures_named():
                        logs[piece.table.name] = self._chunks.put_piece(logs[piece.table.name], piece)
            logs = {name: log.based() for name, log in logs.items()}
            with self._failures_named():
                self._manifest.commit(replace(self._manifest.read(), position=position, epoch=epoch, logs=logs))
                self._manifest.settle()
            if not self._is_read():
                self._chunks.try_to_drop({name: log.folded_away for name, log in logs.items()})

    def read_pieces(self, rows_max: int) -> SnapshotReader:
        """Open a snapshot. Holds PIPELINE_CHUNK_COUNT chunks of a table, and the keys that changed since its base."""
        check_rows_max(rows_max)
        with self._lock:
            manifest = self._manifest.read()
            reader = _RedisPieceReader(self._chunks, list(self._tables.values()), manifest, rows_max, self._owner.where)
            self._readers.add(reader)
        return SnapshotReader(manifest.position, manifest.epoch, reader.pieces(), reader.close)

    def load(self) -> Checkpoint:
        """Return all rows."""
        with self._lock:
            manifest = self._manifest.read()
            tables = {name: columns_of(self._chunks.rows(table, manifest.logs[name]), table)
                      for name, table in self._tables.items()}  # fmt: skip
            return Checkpoint(manifest.position, manifest.epoch, tables)

    def close(self) -> None:
        """End the open snapshots; the connections are the server's."""
        for reader in list(self._readers):
            reader.close()

    def _is_read(self) -> bool:
        return any(not reader.closed for reader in list(self._readers))

    # ---- opening ----------------------------------------------------------------------------------------------

    def _bring_up(self, plan: TablePlan, ours: StoredTables) -> None:
        """Write upgraded tables as a new base behind each log; then name those, and our tables, at once."""
        with self._lock:
            manifest = self._manifest.read()
            changed = {upgrade.table.name: manifest.logs[upgrade.table.name].anew() for upgrade in plan.changed}
            with self._chunks.dropping_unnamed(changed):
                for upgrade in plan.changed:
                    for piece in self._upgraded(upgrade, manifest.logs[upgrade.table.name]):
                        changed[upgrade.table.name] = self._chunks.put_piece(changed[upgrade.table.name], piece)
            changed = {name: log.based() for name, log in changed.items()}
            self._manifest.commit(replace(manifest, logs=manifest.logs | changed), ours)
            self._manifest.settle()
            self._chunks.try_to_drop({name: log.folded_away for name, log in changed.items()})

    def _upgraded(self, upgrade: TableUpgrade, log: ChunkLog) -> Iterator[TableChange]:
        """Yield the rows of a table as the declared ones, a chunk at a time."""
        for rows in self._chunks.rows_newest_first(upgrade.stored, log):
            yield upgrade.carry(TableChange(upgrade.stored, columns_of(rows, upgrade.stored)))

    def _remove_leftovers(self) -> None:
        """Remove what earlier owners folded away, or wrote and never named. Raises StorageError."""
        manifest = self._manifest.read()
        for name, log in manifest.logs.items():
            self._chunks.drop_leftovers(name, log)
        kept = {name: replace(log, kept=log.first) for name, log in manifest.logs.items()}
        if kept != manifest.logs:
            self._manifest.commit(replace(manifest, logs=kept))

    # ---- folding ----------------------------------------------------------------------------------------------

    def _try_to_fold(self, name: str) -> None:
        """Fold a table's changes into its base. If it fails, the next write tries again: nothing depends on it."""
        try:
            with self._lock:
                if not self._is_read():
                    self._fold_table(name)
        except (StorageError, pa.ArrowException) as error:
            self._log.warning("a checkpoint was not folded; the next one tries again", reason=str(error), table=name)

    def _fold_table(self, name: str) -> None:
        manifest = self._manifest.read()
        log = manifest.logs[name]
        rows = self._chunks.rows(self._tables[name], log)
        folded = self._chunks.put(name, replace(log, change_bytes=0), UPSERT, rows)
        folded = replace(folded, first=log.next, base=folded.next, base_bytes=folded.change_bytes, change_bytes=0)
        self._manifest.commit(replace(manifest, logs={**manifest.logs, name: folded}))
        self._manifest.settle()
        self._chunks.drop(name, folded.folded_away)
        manifest = self._manifest.read()
        self._manifest.commit(replace(manifest, logs={**manifest.logs, name: replace(folded, kept=folded.first)}))

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        """Turn failures to write into CheckpointFailedError. The manifest is read again: the change may have landed."""
        try:
            yield
        except (JournalUnavailableError, JournalFailedError, pa.ArrowException) as error:
            self._manifest.forget()
            raise CheckpointFailedError(f"{self._owner.where}: the checkpoint was not written: {error}") from error
        except BaseException:
            self._manifest.forget()
            raise


class _RedisPieceReader:
    """A snapshot that somebody reads: the rows that a manifest names, until it is closed or forgotten."""

    def __init__(
        self, chunks: ChunkLogs, tables: Sequence[Table], manifest: RedisManifest, rows_max: int, where: str
    ) -> None:
        self._chunks, self._tables, self._manifest = chunks, tables, manifest
        self._rows_max, self._where = rows_max, where
        self.closed = False

    def pieces(self) -> Iterator[TableChange]:
        """Yield the rows of all tables. Closes the reader at the end."""
        try:
            for table in self._tables:
                for rows in self._chunks.rows_newest_first(table, self._manifest.logs[table.name]):
                    begin = 0
                    for end in piece_ends(row_bytes(table, rows), self._rows_max):
                        if self.closed:
                            raise CheckpointFailedError(f"{self._where}: the snapshot was closed while it was read")
                        yield TableChange(table, columns_of(rows.slice(begin, end - begin), table))
                        begin = end
        finally:
            self.close()

    def close(self) -> None:
        """Let the store fold and remove what only this snapshot needs. Idempotent."""
        self.closed = True
