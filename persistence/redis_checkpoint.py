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
                                                          version, and for each table t:<table> (see _Log)
    {rookery:<namespace>:<shard>}:checkpoint:<table>:<n>  a chunk of redis_chunks.py

    chunks of a table:   kept .. first-1     first .. base-1     base .. next-1     next .. written
                         folded away, going      the base         changes since      never committed, going

Costs: see DESIGN.md. Folding holds one table's rows as Arrow columns in memory, on the checkpointer's thread.
It deliberately holds no rows between calls, and knows nothing of what the tables mean.
"""

from __future__ import annotations

import secrets
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import structlog
from redis.exceptions import RedisError

from actors.core.checkpoints.tables import Checkpoint, Table, TableChange
from actors.core.checkpoints.upgrades import UPGRADES
from persistence.checkpoint_rules import check_piece, check_replace, check_rows_max, check_write
from persistence.errors import (
    CheckpointDamagedError,
    CheckpointFailedError,
    FencedError,
    JournalFailedError,
    JournalLostError,
    JournalUnavailableError,
    StorageError,
)
from persistence.redis_checkpoint_scripts import COMMIT, DROP, OPEN, PUT
from persistence.redis_chunks import (
    UPSERT,
    arrow_schema,
    arrow_table,
    change_parts,
    chunk_slices,
    columns_of,
    decode_chunk,
    encode_chunk,
    fold_rows,
    without_keys,
)
from persistence.redis_server import RedisServer, Script, shard_key
from persistence.redis_tables import StoredTables, declared, plan_stored
from persistence.snapshot_pieces import SnapshotReader, piece_ends, row_bytes
from persistence.table_versions import TablePlan, TableUpgrade, Upgrades

PIPELINE_CHUNK_COUNT = 4  # chunks on their way at once, both ways: 16 MiB
FOLD_BYTES_MIN = 4 * 1024 * 1024  # bytes of changes that are never folded for their size alone: 10 ms of loading
FOLD_CHUNK_COUNT = 256  # chunks of changes after which a table is folded in any case: each is a key and a round of work
OPEN_TRIES = 5  # each fails only if somebody else has just opened it, too
SETTLE_SECONDS = 2.0  # s until a server that syncs every second has synced what it acknowledged


@dataclass(frozen=True, slots=True)
class _Log:
    """Which chunks of one table count; see the picture above."""

    kept: int = 1
    first: int = 1
    base: int = 1
    next: int = 1
    base_bytes: int = 0
    change_bytes: int = 0

    @classmethod
    def parse(cls, text: str) -> _Log:
        return cls(*map(int, text.split()))

    def __str__(self) -> str:
        return f"{self.kept} {self.first} {self.base} {self.next} {self.base_bytes} {self.change_bytes}"

    def anew(self) -> _Log:
        """Return a log of new chunks behind all that count now."""
        return _Log(self.kept, self.next, self.next, self.next)

    def based(self) -> _Log:
        """Return the log with all of its chunks as the base."""
        return replace(self, base=self.next, base_bytes=self.change_bytes, change_bytes=0)

    @property
    def due(self) -> bool:
        """Whether the changes are worth folding into the base."""
        too_many = self.next - self.base > FOLD_CHUNK_COUNT
        return too_many or self.change_bytes > max(FOLD_BYTES_MIN, self.base_bytes // 2)


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What the hash says."""

    position: int
    epoch: int
    version: int
    logs: dict[str, _Log]


class _PieceReader:
    """A snapshot that somebody reads, until it is closed or forgotten."""

    closed = False

    def close(self) -> None:
        self.closed = True


class RedisCheckpointStore:
    """A `CheckpointStore` in blobs of a Redis server.

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
        self._server, self._key = server, shard_key(namespace, shard, "checkpoint")
        self._where = f"{server.name} {self._key}"
        self._tables = {table.name: table for table in tables}
        self._token = secrets.token_hex(16)
        self._settle_s = settle_s
        self._lock = threading.Lock()
        self._readers: weakref.WeakSet[_PieceReader] = weakref.WeakSet()
        self._log = structlog.get_logger()
        self._expected = 0  # the version that the server must have, at least
        self._manifest: _Manifest | None = None
        ours = declared(schema_version, tables)
        plan = self._take_over(ours, upgrades)
        self._remove_leftovers()
        if plan is not None:
            self._bring_up(plan, ours)

    def write(self, position: int, epoch: int, changes: Sequence[TableChange]) -> None:
        """Write the changes as chunks, then name them all at once. See `CheckpointStore.write`."""
        with self._lock, self._failures_named():
            manifest = self._read_manifest()
            check_write(self._tables, position, epoch, changes, manifest.position, manifest.epoch)
            parts = [(change.table.name, kind, rows) for change in changes for kind, rows in change_parts(change)]
            logs = dict(manifest.logs)
            for name, kind, rows in parts:
                logs[name] = self._put(name, logs[name], kind, rows)
            self._commit(replace(manifest, position=position, epoch=epoch, logs=logs))
            self._settle()
        for name, log in logs.items():
            if log.due:
                self._try_to_fold(name)

    def replace(self, position: int, epoch: int, pieces: Iterator[TableChange]) -> None:
        """Write the pieces as chunks of a new base behind each log, then name those instead. See `CheckpointStore`."""
        with self._lock:
            with self._failures_named():
                manifest = self._read_manifest()
                check_replace(position, epoch, manifest.epoch)
            logs = {name: log.anew() for name, log in manifest.logs.items()}
            with self._dropping_unnamed(logs):
                for piece in pieces:
                    check_piece(self._tables, piece)
                    with self._failures_named():
                        logs[piece.table.name] = self._put_rows(logs[piece.table.name], piece)
            logs = {name: log.based() for name, log in logs.items()}
            with self._failures_named():
                self._commit(replace(self._read_manifest(), position=position, epoch=epoch, logs=logs))
                self._settle()
            if not self._is_read():
                self._try_to_drop({name: range(log.kept, log.first) for name, log in logs.items()})

    def read_pieces(self, rows_max: int) -> SnapshotReader:
        """Open a snapshot. Holds PIPELINE_CHUNK_COUNT chunks of a table, and the keys that changed since its base."""
        check_rows_max(rows_max)
        with self._lock:
            manifest = self._read_manifest()
            reader = _PieceReader()
            self._readers.add(reader)
        return SnapshotReader(manifest.position, manifest.epoch, self._pieces(reader, manifest, rows_max), reader.close)

    def _pieces(self, reader: _PieceReader, manifest: _Manifest, rows_max: int) -> Iterator[TableChange]:
        try:
            for name, table in self._tables.items():
                for rows in self._rows_newest_first(table, manifest.logs[name]):
                    begin = 0
                    for end in piece_ends(row_bytes(table, rows), rows_max):
                        if reader.closed:
                            raise CheckpointFailedError(f"{self._where}: the snapshot was closed while it was read")
                        yield TableChange(table, columns_of(rows.slice(begin, end - begin), table))
                        begin = end
        finally:
            reader.close()

    def _rows_newest_first(self, table: Table, log: _Log) -> Iterator[pa.Table]:
        """Yield a table's rows chunk by chunk, without those that a newer chunk replaces or deletes."""
        newer: list[pa.Table] = []
        numbers = range(log.next - 1, log.first - 1, -1)
        for number, (kind, rows) in zip(numbers, self._chunks(table.name, numbers), strict=True):
            left = without_keys(rows, table.key, newer)
            if number >= log.base:
                newer = [pa.concat_tables([*newer, left.select(table.key)]).combine_chunks()]
            if kind == UPSERT and left.num_rows:
                yield left

    def load(self) -> Checkpoint:
        """Return all rows."""
        with self._lock:
            manifest = self._read_manifest()
            tables = {name: columns_of(self._rows(table, manifest.logs[name]), table)
                      for name, table in self._tables.items()}  # fmt: skip
            return Checkpoint(manifest.position, manifest.epoch, tables)

    def close(self) -> None:
        """End the open snapshots; the connections are the server's."""
        for reader in list(self._readers):
            reader.close()

    def _is_read(self) -> bool:
        return any(not reader.closed for reader in list(self._readers))

    # ---- opening ----------------------------------------------------------------------------------------------

    def _take_over(self, ours: StoredTables, upgrades: Upgrades) -> TablePlan | None:
        """Become the owner of what is there, or of a new checkpoint. Returns how its tables become ours, None if so."""
        for _ in range(OPEN_TRIES):
            with self._server.translating("opening the checkpoint"):
                raw = self._server.client.hmget(self._key, *StoredTables._fields)
            found = StoredTables(*("" if value is None else value.decode() for value in raw))
            plan = plan_stored(found, ours, list(self._tables.values()), self._where, upgrades)
            there_and_ours = [value for pair in zip(found, ours, strict=True) for value in pair]
            if self._run(OPEN, [self._token, *there_and_ours])[0] == "ok":
                return plan
        raise CheckpointFailedError(f"{self._where}: other processes open it, too, again and again; one may have it")

    def _bring_up(self, plan: TablePlan, ours: StoredTables) -> None:
        """Write upgraded tables as a new base behind each log; then name those, and our tables, at once."""
        with self._lock:
            manifest = self._read_manifest()
            changed = {upgrade.table.name: manifest.logs[upgrade.table.name].anew() for upgrade in plan.changed}
            with self._dropping_unnamed(changed):
                for upgrade in plan.changed:
                    for piece in self._upgraded(upgrade, manifest.logs[upgrade.table.name]):
                        changed[upgrade.table.name] = self._put_rows(changed[upgrade.table.name], piece)
            changed = {name: log.based() for name, log in changed.items()}
            self._commit(replace(manifest, logs=manifest.logs | changed), ours)
            self._settle()
            self._try_to_drop({name: range(log.kept, log.first) for name, log in changed.items()})

    def _upgraded(self, upgrade: TableUpgrade, log: _Log) -> Iterator[TableChange]:
        """Yield the rows of a table as the declared ones, a chunk at a time."""
        for rows in self._rows_newest_first(upgrade.stored, log):
            yield upgrade.carry(TableChange(upgrade.stored, columns_of(rows, upgrade.stored)))

    # ---- the manifest -----------------------------------------------------------------------------------------

    def _read_manifest(self) -> _Manifest:
        """Return what counts; from the server after opening and after a failure."""
        if self._manifest is None:
            with self._server.translating("reading the checkpoint's manifest"):
                raw: dict[bytes, bytes] = self._server.client.hgetall(self._key)
            found = {name.decode(): value.decode() for name, value in raw.items()}
            if found and found["token"] != self._token:
                raise self._fenced(found["epoch"])
            version = int(found["version"]) if found else -1
            if version < self._expected:
                raise self._lost(f"version {version} of the checkpoint, {self._expected} was acknowledged")
            logs = {name: _Log.parse(found[f"t:{name}"]) if f"t:{name}" in found else _Log() for name in self._tables}
            self._manifest = _Manifest(int(found["position"]), int(found["epoch"]), version, logs)
            self._expected = version
        return self._manifest

    def _commit(self, manifest: _Manifest, tables: StoredTables | None = None) -> None:
        """Make this the manifest, if the server has the one that it was made from. tables: what it says of them now."""
        before = manifest.version
        fields: list[Any] = ["position", manifest.position, "epoch", manifest.epoch, "version", before + 1]
        for name, log in manifest.logs.items():
            fields += [f"t:{name}", str(log)]
        for name, value in tables._asdict().items() if tables else ():
            fields += [name, value]
        self._manifest = None  # until the reply is here, nobody knows
        self._expected = before
        status, *found = self._run(COMMIT, [self._token, before, *fields])
        if status == "version":
            raise self._lost(f"version {found[0]} of the checkpoint, {before} was acknowledged")
        self._manifest = replace(manifest, version=before + 1)
        self._expected = before + 1

    def _settle(self) -> None:
        """Give the server time to sync, then see whether it still has what it acknowledged."""
        if self._settle_s:
            time.sleep(self._settle_s)
            committed, self._manifest = self._manifest, None
            try:
                self._read_manifest()
            except JournalLostError:
                if committed is not None:  # nobody was told: go on from what the server has
                    self._expected = committed.version - 1
                    self._read_manifest()
                raise CheckpointFailedError(f"{self._where}: the server lost this write in a crash") from None

    # ---- chunks -----------------------------------------------------------------------------------------------

    def _put_rows(self, log: _Log, piece: TableChange) -> _Log:
        """Write the rows of a piece, if it has any, behind its table's log; returns the log that names them."""
        if not piece.upsert_count:
            return log
        try:
            rows = arrow_table(piece.table.columns, piece.upserts)
        except pa.ArrowException as error:
            message = f"{self._where}: rows of table {piece.table.name!r} that don't fit it: {error}"
            raise CheckpointFailedError(message) from error
        return self._put(piece.table.name, log, UPSERT, rows)

    def _put(self, name: str, log: _Log, kind: int, rows: pa.Table) -> _Log:
        """Write rows as chunks behind a table's log; returns the log that names them."""
        number, written = log.next, log.change_bytes
        batch: list[tuple[list[str], list[Any]]] = []
        for part in chunk_slices(rows):
            chunk = encode_chunk(part, kind, f"{name}:{number}")
            batch.append(([self._key, self._chunk_key(name, number)], [self._token, chunk]))
            number, written = number + 1, written + len(chunk)
            if len(batch) == PIPELINE_CHUNK_COUNT:
                self._run_all(PUT, batch)
                batch = []
        if batch:
            self._run_all(PUT, batch)
        return replace(log, next=number, change_bytes=written)

    def _chunks(self, name: str, wanted: range) -> Iterator[tuple[int, pa.Table]]:
        """Yield (kind, rows) of these chunks of a table, in order. Raises CheckpointDamagedError that names the key."""
        for start in range(0, len(wanted), PIPELINE_CHUNK_COUNT):
            numbers = wanted[start : start + PIPELINE_CHUNK_COUNT]
            keys = [self._chunk_key(name, number) for number in numbers]
            with self._server.translating("reading the checkpoint"):
                found = self._server.client.mget(keys)
            for number, key, data in zip(numbers, keys, found, strict=True):
                try:
                    yield decode_chunk(data, f"{name}:{number}")
                except (ValueError, pa.ArrowException) as error:
                    message = f"{self._server.name} {key}: can't be read as a part of a checkpoint: {error}"
                    raise CheckpointDamagedError(message) from error

    def _rows(self, table: Table, log: _Log) -> pa.Table:
        """Return a table's rows: of all chunks, what the last word on each key leaves."""
        kinds, parts = [], []
        for kind, rows in self._chunks(table.name, range(log.first, log.next)):
            kinds.append((kind, rows.num_rows))
            parts.append(rows)
        if not parts:
            return arrow_schema(table.columns).empty_table()
        if log.next == log.base:
            return pa.concat_tables(parts)
        return fold_rows(table, kinds, parts)

    def _try_to_fold(self, name: str) -> None:
        """Fold a table's changes into its base. If it fails, the next write tries again: nothing depends on it."""
        try:
            with self._lock:
                if not self._is_read():
                    self._fold_table(name)
        except (StorageError, pa.ArrowException) as error:
            self._log.warning("a checkpoint was not folded; the next one tries again", reason=str(error), table=name)

    def _fold_table(self, name: str) -> None:
        manifest = self._read_manifest()
        log = manifest.logs[name]
        rows = self._rows(self._tables[name], log)
        folded = self._put(name, replace(log, change_bytes=0), UPSERT, rows)
        folded = replace(folded, first=log.next, base=folded.next, base_bytes=folded.change_bytes, change_bytes=0)
        self._commit(replace(manifest, logs={**manifest.logs, name: folded}))
        self._settle()
        self._drop(name, range(log.kept, folded.first))
        manifest = self._read_manifest()
        self._commit(replace(manifest, logs={**manifest.logs, name: replace(folded, kept=folded.first)}))

    @contextmanager
    def _dropping_unnamed(self, logs: dict[str, _Log]) -> Iterator[None]:
        """If the block raises, remove what it has written behind the logs; it may put other logs in their place."""
        before = dict(logs)
        try:
            yield
        except BaseException:
            self._try_to_drop(
                {name: range(log.next, logs[name].next + PIPELINE_CHUNK_COUNT) for name, log in before.items()}
            )
            raise

    def _try_to_drop(self, chunks: dict[str, range]) -> None:
        """Remove chunks that nothing names. If it fails, the next opening does it."""
        try:
            for name, numbers in chunks.items():
                self._drop(name, numbers)
        except StorageError as error:
            self._log.warning("chunks that nothing names stay until the next start", reason=str(error))

    def _drop(self, name: str, numbers: range) -> None:
        for start in range(numbers.start, numbers.stop, FOLD_CHUNK_COUNT):
            part = range(start, min(start + FOLD_CHUNK_COUNT, numbers.stop))
            self._run_all(DROP, [([self._key, *(self._chunk_key(name, n) for n in part)], [self._token])])

    def _remove_leftovers(self) -> None:
        """Remove what earlier owners folded away, or wrote and never named. Raises StorageError."""
        manifest = self._read_manifest()
        for name, log in manifest.logs.items():
            self._drop(name, range(log.kept, log.first))
            number = log.next  # a log is written without a hole, so the first number that is free ends it
            with self._server.translating("looking for left-overs"):
                while self._server.client.exists(self._chunk_key(name, number)):
                    number += 1
            self._drop(name, range(log.next, number))
        kept = {name: replace(log, kept=log.first) for name, log in manifest.logs.items()}
        if kept != manifest.logs:
            self._commit(replace(manifest, logs=kept))

    def _chunk_key(self, name: str, number: int) -> str:
        return f"{self._key}:{name}:{number}"

    # ---- the server -------------------------------------------------------------------------------------------

    def _run(self, script: Script, args: list[Any]) -> list[str]:
        [reply] = self._run_all(script, [([self._key], args)])
        return reply

    def _run_all(self, script: Script, calls: list[tuple[list[str], list[Any]]]) -> list[list[str]]:
        """Run a script for each call. Raises FencedError, JournalLostError, or what the server's errors become."""
        replies: list[list[str]] = []
        for reply in self._server.run_all(script, calls):
            if isinstance(reply, RedisError):
                raise self._server.translated(reply, "writing the checkpoint") from reply
            replies.append(["" if part is None else part.decode() for part in reply])
            if replies[-1][0] == "fenced":
                raise self._fenced(replies[-1][1])
            if replies[-1][0] == "lost":
                raise self._lost("nothing of the checkpoint")
        return replies

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        """Turn failures to write into CheckpointFailedError. The manifest is read again: the change may have landed."""
        try:
            yield
        except (JournalUnavailableError, JournalFailedError, pa.ArrowException) as error:
            self._manifest = None
            raise CheckpointFailedError(f"{self._where}: the checkpoint was not written: {error}") from error
        except BaseException:
            self._manifest = None
            raise

    def _fenced(self, epoch: str) -> FencedError:
        return FencedError(f"{self._where}: another owner has opened it, the checkpoint has epoch {epoch}")

    def _lost(self, what: str) -> JournalLostError:
        return JournalLostError(f"{self._where}: the server lost acknowledged writes: it has {what}")
