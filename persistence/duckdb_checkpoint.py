"""The checkpoint store in one DuckDB file a shard.

Rules of this file
- Bulk only: columns go in as Arrow tables and come out as Arrow tables; no row is ever touched one by one in SQL.
- Rows, position and epoch change in one transaction. DuckDB's commit syncs its log; this file syncs the directory,
  because the log is a file that comes and goes, and the journal is trimmed on the strength of this commit.
- No primary keys in the file. "Replace" is a hash join that deletes the old rows, then a bulk insert: with an index the
  same fold takes 16 times as long, the first load 3 times, and the file is twice the size (DESIGN.md has the run).
- After any error of DuckDB the connection is thrown away and opened again for the next call: some invalidate it, and
  the whole open file with it. So the snapshots that are being read end, too; and they must, as opening waits until
  nothing in this process holds the file any more. What this file refuses by itself is only rolled back.
- A snapshot is a transaction of its own on a cursor (DuckDB isolates snapshots): writes go on beside it. While one is
  open DuckDB can't fold its log, so the log grows by what is written meanwhile.

Costs: 0.1 s to fold 50,000 changed rows into 5,000,000. Memory: `memory_limit` plus the Arrow tables of one change.
It deliberately holds nothing in Python between calls, and knows nothing of what the tables mean.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from actors.core.checkpoints.tables import Checkpoint, Table, TableChange
from actors.core.checkpoints.upgrades import UPGRADES
from persistence.checkpoint_rules import check_piece, check_replace, check_rows_max, check_write
from persistence.disk import sync_directory
from persistence.duckdb_rows import apply_change, batches_of, creation, insert_rows, load_rows, pieces_of_batch
from persistence.duckdb_tables import META, create_or_upgrade, fetch_one
from persistence.errors import CheckpointDamagedError, CheckpointFailedError, CheckpointLockedError
from persistence.snapshot_pieces import SnapshotReader
from persistence.table_versions import Upgrades

MEMORY_LIMIT = "256MB"  # DuckDB's buffers a shard: the hash join of a fold needs a few MB, the rest is cache
THREADS = 1  # cores are for the shards; the checkpoint runs behind them
WAL_BYTES_MAX = 16 * 1024 * 1024  # bytes of log before DuckDB folds it into the file: 0.6 s of background work


class DuckDBCheckpointStore:
    """A `CheckpointStore` in the file at `path` (made if missing, its directory too).

    tables: all tables; those of a file that an older version wrote are brought up on opening (duckdb_tables.py).
    schema_version: the core's version of what they mean; upgrades: as in `actors/core/checkpoints/upgrades.py`.
    memory_limit: in DuckDB's notation; threads: >= 1. Methods may be called from any thread, one runs at a time.
    Raises CheckpointLockedError, CheckpointDamagedError, CheckpointMismatchError (another shard's, or a newer version
    wrote it), CheckpointFailedError (an upgrade failed, and changed nothing).
    """

    def __init__(
        self,
        path: Path | str,
        shard: int,
        tables: Sequence[Table],
        schema_version: int = 1,
        memory_limit: str = MEMORY_LIMIT,
        threads: int = THREADS,
        upgrades: Upgrades = UPGRADES,
    ) -> None:
        self._path = Path(path)
        self._tables = {table.name: table for table in tables}
        self._shard, self._schema_version, self._upgrades = shard, schema_version, upgrades
        self._memory_limit, self._threads = memory_limit, threads
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._readers: weakref.WeakSet[_DuckdbPieceReader] = weakref.WeakSet()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._connect()

    def write(self, position: int, epoch: int, changes: Sequence[TableChange]) -> None:
        """Apply the changes in order, in one durable transaction. See `CheckpointStore.write`."""
        with self._lock, self._undoing():
            db = self._connect()
            with self._failures_named():
                stored_position, stored_epoch = self._stored(db)
                check_write(self._tables, position, epoch, changes, stored_position, stored_epoch)
                db.execute("BEGIN")
                for change in changes:
                    apply_change(db, change)
                self._commit(db, position, epoch)

    def replace(self, position: int, epoch: int, pieces: Iterator[TableChange]) -> None:
        """Replace everything in one durable transaction. DuckDB writes full row groups before it commits."""
        with self._lock, self._undoing():
            db = self._connect()
            with self._failures_named():
                check_replace(position, epoch, self._stored(db)[1])
                db.execute("BEGIN")
                for table in self._tables.values():
                    db.execute(f'DROP TABLE "{table.name}"')
                    db.execute(creation(table))
            for piece in pieces:
                check_piece(self._tables, piece)
                with self._failures_named():
                    insert_rows(db, piece)
            with self._failures_named():
                self._commit(db, position, epoch)
            self._fold_log(db)

    def read_pieces(self, rows_max: int) -> SnapshotReader:
        """Open a snapshot. Holds SNAPSHOT_BATCH_ROWS rows at a time; DuckDB reads on when they are used up."""
        check_rows_max(rows_max)
        with self._lock:
            cursor = self._connect().cursor()
            reader = _DuckdbPieceReader(cursor, list(self._tables.values()), rows_max, self._path)
            with self._damage_named():
                cursor.execute("BEGIN")
                position, epoch = self._stored(cursor)
            self._readers.add(reader)
        return SnapshotReader(position, epoch, reader.pieces(), reader.close)

    def load(self) -> Checkpoint:
        """Return all rows. 2.2 s for 5 million rows of three numbers and a blob; half of it is the blobs."""
        with self._lock:
            db = self._connect()
            with self._damage_named():
                position, epoch = self._stored(db)
                tables = {name: load_rows(db, table) for name, table in self._tables.items()}
            return Checkpoint(position, epoch, tables)

    def close(self) -> None:
        """Close the file, which folds its log. Idempotent."""
        with self._lock:
            self._disconnect()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            with self._damage_named():
                db = duckdb.connect(str(self._path), config=self._options())
                try:
                    tables = list(self._tables.values())
                    grown = create_or_upgrade(db, self._path, self._shard, self._schema_version, tables, self._upgrades)
                    sync_directory(self._path.parent)
                except BaseException:
                    db.close()
                    raise
            self._connection = db
            if grown:
                self._fold_log(db)
                return self._connect()  # folding may have let go of the file
        return self._connection

    def _disconnect(self) -> None:
        for reader in list(self._readers):
            reader.close()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _commit(self, db: duckdb.DuckDBPyConnection, position: int, epoch: int) -> None:
        db.execute(f"UPDATE {META} SET position = ?, epoch = ?", [position, epoch])
        db.execute("COMMIT")
        sync_directory(self._path.parent)

    def _fold_log(self, db: duckdb.DuckDBPyConnection) -> None:
        """Give the blocks of replaced tables back: DuckDB does it when it folds its log, in which they are small."""
        try:
            db.execute("CHECKPOINT")
        except duckdb.TransactionException:  # a snapshot is being read: a later fold does it
            pass
        except duckdb.Error:  # what was committed stays; if it is the file, the next call says so
            self._disconnect()

    @contextmanager
    def _undoing(self) -> Iterator[None]:
        """End the transaction if the block raises, if there is one."""
        try:
            yield
        except BaseException:
            if self._connection is not None:
                try:
                    self._connection.execute("ROLLBACK")
                except duckdb.TransactionException:  # it had not begun
                    pass
                except duckdb.Error:
                    self._disconnect()
            raise

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        """Turn failures to write into CheckpointFailedError, and let go of the file."""
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            self._disconnect()
            raise CheckpointFailedError(f"{self._path}: the checkpoint was not written: {error}") from error

    def _options(self) -> dict[str, str | bool | int | float | list[str]]:
        return {
            "memory_limit": self._memory_limit,
            "threads": self._threads,
            "preserve_insertion_order": False,  # rows have no order here, and it saves memory in bulk statements
            "wal_autocheckpoint": f"{WAL_BYTES_MAX}B",
            "autoinstall_known_extensions": False,  # nothing is fetched from the network
            "autoload_known_extensions": False,
        }

    def _stored(self, db: duckdb.DuckDBPyConnection) -> tuple[int, int]:
        position, epoch = fetch_one(db, f"SELECT position, epoch FROM {META}")
        return position, epoch

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        """Turn DuckDB's errors of reading into ours, which name the file."""
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            self._disconnect()
            if "lock on file" in str(error):
                raise CheckpointLockedError(f"{self._path}: open in another process: {error}") from error
            raise CheckpointDamagedError(f"{self._path}: can't be read as a checkpoint: {error}") from error


class _DuckdbPieceReader:
    """A transaction that reads all tables, in order, at the pace of whoever takes the pieces."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, tables: Sequence[Table], rows_max: int, path: Path) -> None:
        self._cursor, self._tables, self._rows_max, self._path = cursor, tables, rows_max, path
        self._lock = threading.Lock()
        self._closed = False
        self._batches: pa.RecordBatchReader | None = None  # of the table that is being read; it holds the file, too

    def pieces(self) -> Iterator[TableChange]:
        """Yield the rows of all tables. Closes the reader at the end."""
        try:
            for table in self._tables:
                while (batch := self._next_batch(table)) is not None:
                    yield from pieces_of_batch(table, batch, self._rows_max)
        finally:
            self.close()

    def _next_batch(self, table: Table) -> pa.RecordBatch | None:
        """Return the next rows of a table, None at its end: the next table may be asked for then."""
        with self._lock, self._damage_named():
            if self._batches is None:
                self._batches = batches_of(self._cursor, table)
            batch = next(self._batches, None)
            if batch is None:
                self._batches = None
            return batch

    def close(self) -> None:
        """End the transaction. Waits for the batch that is being read. Idempotent."""
        with self._lock:
            self._closed = True
            self._batches = None
            self._cursor.close()

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        if self._closed:
            raise CheckpointFailedError(f"{self._path}: the snapshot was closed while it was read")
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise CheckpointDamagedError(f"{self._path}: can't be read as a checkpoint: {error}") from error
