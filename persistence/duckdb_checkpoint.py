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
from typing import Any

import duckdb
import pyarrow as pa

from actors.core.errors import InvalidError
from actors.core.tables import DTYPES, Checkpoint, Columns, Table, TableChange
from persistence.checkpoint_rules import check_piece, check_replace, check_rows_max, check_write
from persistence.disk import sync_directory
from persistence.errors import (
    CheckpointDamagedError,
    CheckpointFailedError,
    CheckpointLockedError,
    CheckpointMismatchError,
)
from persistence.snapshot_pieces import SnapshotReader, piece_ends, row_bytes

FORMAT_VERSION = 1  # of the meta table below; the core's own version is `schema_version`
MEMORY_LIMIT = "256MB"  # DuckDB's buffers a shard: the hash join of a fold needs a few MB, the rest is cache
THREADS = 1  # cores are for the shards; the checkpoint runs behind them
WAL_BYTES_MAX = 16 * 1024 * 1024  # bytes of log before DuckDB folds it into the file: 0.6 s of background work
LOAD_BATCH_ROWS = 131_072  # rows of one Arrow chunk: keeps a chunk's text below the 2 GB of 32-bit offsets
SNAPSHOT_BATCH_ROWS = 32_768  # rows that a snapshot takes from DuckDB at a time: 2 MB of the widest tables' usual rows
_ARROW = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "BLOB": pa.binary(), "VARCHAR": pa.string()}
_META = "rookery_checkpoint"
_CHANGE = "rookery_change"


class DuckDBCheckpointStore:
    """A `CheckpointStore` in the file at `path` (made if missing, its directory too).

    tables: all tables, the same on every open; schema_version: the core's version of what they mean.
    memory_limit: in DuckDB's notation; threads: >= 1. Methods may be called from any thread, one runs at a time.
    Raises CheckpointLockedError, CheckpointDamagedError, CheckpointMismatchError (another shard, version or tables).
    """

    def __init__(
        self,
        path: Path | str,
        shard: int,
        tables: Sequence[Table],
        schema_version: int = 1,
        memory_limit: str = MEMORY_LIMIT,
        threads: int = THREADS,
    ) -> None:
        self._path = Path(path)
        self._tables = {table.name: table for table in tables}
        self._identity = (FORMAT_VERSION, schema_version, shard, _describe(tables))
        self._memory_limit, self._threads = memory_limit, threads
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._readers: weakref.WeakSet[_PieceReader] = weakref.WeakSet()
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
                    _apply(db, change)
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
                    db.execute(_creation(table))
            for piece in pieces:
                check_piece(self._tables, piece)
                with self._failures_named():
                    _insert(db, piece)
            with self._failures_named():
                self._commit(db, position, epoch)
            self._fold_log(db)

    def read_pieces(self, rows_max: int) -> SnapshotReader:
        """Open a snapshot. Holds SNAPSHOT_BATCH_ROWS rows at a time; DuckDB reads on when they are used up."""
        check_rows_max(rows_max)
        with self._lock:
            cursor = self._connect().cursor()
            reader = _PieceReader(cursor, list(self._tables.values()), rows_max, self._path)
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
                tables = {name: _load_table(db, table) for name, table in self._tables.items()}
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
                    self._check_or_create(db)
                    sync_directory(self._path.parent)
                except BaseException:
                    db.close()
                    raise
            self._connection = db
        return self._connection

    def _disconnect(self) -> None:
        for reader in list(self._readers):
            reader.close()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _commit(self, db: duckdb.DuckDBPyConnection, position: int, epoch: int) -> None:
        db.execute(f"UPDATE {_META} SET position = ?, epoch = ?", [position, epoch])
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

    def _check_or_create(self, db: duckdb.DuckDBPyConnection) -> None:
        names = {str(row[0]) for row in db.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if not names:
            self._create(db)
            return
        if _META not in names:
            raise CheckpointMismatchError(f"{self._path}: a DuckDB file, but not a checkpoint of Rookery")
        labels = ("format_version", "schema_version", "shard", "tables")
        found = _fetch_one(db, f"SELECT {', '.join(labels)} FROM {_META}")
        for label, there, wanted in zip(labels, found, self._identity, strict=True):
            if there != wanted:
                raise CheckpointMismatchError(
                    f"{self._path}: it has {label.replace('_', ' ')} {there!r}, this shard needs {wanted!r}"
                )

    def _create(self, db: duckdb.DuckDBPyConnection) -> None:
        db.execute("BEGIN")
        db.execute(
            f"CREATE TABLE {_META} (format_version BIGINT, schema_version BIGINT, shard BIGINT, tables VARCHAR,"
            " position BIGINT, epoch BIGINT)"
        )
        db.execute(f"INSERT INTO {_META} VALUES (?, ?, ?, ?, 0, 0)", list(self._identity))
        for table in self._tables.values():
            db.execute(_creation(table))
        db.execute("COMMIT")

    def _stored(self, db: duckdb.DuckDBPyConnection) -> tuple[int, int]:
        position, epoch = _fetch_one(db, f"SELECT position, epoch FROM {_META}")
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


class _PieceReader:
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
                    yield from _pieces(table, batch, self._rows_max)
        finally:
            self.close()

    def _next_batch(self, table: Table) -> pa.RecordBatch | None:
        """Return the next rows of a table, None at its end: the next table may be asked for then."""
        with self._lock, self._damage_named():
            if self._batches is None:
                self._batches = _batches(self._cursor, table)
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


def _batches(db: duckdb.DuckDBPyConnection, table: Table) -> pa.RecordBatchReader:
    columns = ", ".join(f'"{column}"' for column in table.column_names)
    return db.sql(f'SELECT {columns} FROM "{table.name}"').to_arrow_reader(SNAPSHOT_BATCH_ROWS)


def _pieces(table: Table, batch: pa.RecordBatch, rows_max: int) -> Iterator[TableChange]:
    begin = 0
    for end in piece_ends(row_bytes(table, batch), rows_max):
        part = batch.slice(begin, end - begin)
        yield TableChange(table, {name: _values(part.column(name), kind) for name, kind in table.columns})
        begin = end


def _apply(db: duckdb.DuckDBPyConnection, change: TableChange) -> None:
    table = change.table
    name = f'"{table.name}"'
    same_key = " AND ".join(f'{name}."{key}" = u."{key}"' for key in table.key)
    delete = f"DELETE FROM {name} USING {_CHANGE} AS u WHERE {same_key}"
    if change.delete_count:
        with _registered(db, _arrow_table(table.key_columns, change.deletes)):
            db.execute(delete)
    if change.upsert_count:
        keys = ", ".join(f'"{key}"' for key in table.key)
        with _registered(db, _arrow_table(table.columns, change.upserts)):
            twice = f"SELECT {keys} FROM {_CHANGE} GROUP BY {keys} HAVING count(*) > 1 LIMIT 1"
            repeated = db.execute(twice).fetchall()
            if repeated:
                raise InvalidError(f"table {table.name}: key {repeated[0]} comes twice in one upsert", "upserts")
            db.execute(delete)
        _insert(db, change)


def _insert(db: duckdb.DuckDBPyConnection, change: TableChange) -> None:
    columns = ", ".join(f'"{column}"' for column in change.table.column_names)
    if change.upsert_count:
        with _registered(db, _arrow_table(change.table.columns, change.upserts)):
            db.execute(f'INSERT INTO "{change.table.name}" ({columns}) SELECT {columns} FROM {_CHANGE}')


def _fetch_one(db: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """Return the only row of a query; a result must be read to its end before the connection is used again."""
    rows = db.execute(query).fetchall()
    if len(rows) != 1:
        raise CheckpointDamagedError(f"{query}: {len(rows)} rows, one expected")
    return tuple(rows[0])


def _load_table(db: duckdb.DuckDBPyConnection, table: Table) -> Columns:
    columns = ", ".join(f'"{column}"' for column in table.column_names)
    rows = db.sql(f'SELECT {columns} FROM "{table.name}"').to_arrow_table(LOAD_BATCH_ROWS)
    loaded: Columns = {}
    for name, kind in table.columns:
        loaded[name] = _values(rows.column(name), kind)
    return loaded


def _values(column: pa.Array | pa.ChunkedArray, kind: str) -> Any:
    if kind not in DTYPES:
        return column.to_pylist()
    values = column.to_numpy()  # of one chunk it is Arrow's own memory, read-only: another type for kernels
    return values.astype(DTYPES[kind], copy=not values.flags.writeable)


def _arrow_table(columns: tuple[tuple[str, str], ...], values: Columns) -> pa.Table:
    return pa.table({name: pa.array(values[name], _ARROW[kind]) for name, kind in columns})


@contextmanager
def _registered(db: duckdb.DuckDBPyConnection, rows: pa.Table) -> Iterator[None]:
    db.register(_CHANGE, rows)
    try:
        yield
    finally:
        db.unregister(_CHANGE)


def _creation(table: Table) -> str:
    return f'CREATE TABLE "{table.name}" ({_column_definitions(table)})'


def _column_definitions(table: Table) -> str:
    filled = {name for name, kind in table.columns if kind in DTYPES or name in table.key}
    return ", ".join(f'"{name}" {kind}{" NOT NULL" if name in filled else ""}' for name, kind in table.columns)


def _describe(tables: Sequence[Table]) -> str:
    """Return one canonical text of the declared tables; a file with another one is not read."""
    described = sorted(f"{t.name}({_column_definitions(t)}; key {', '.join(t.key)})" for t in tables)
    return "\n".join(described)
