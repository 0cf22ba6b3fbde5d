"""The checkpoint store in one DuckDB file a shard.

Rules of this file
- Bulk only: columns go in as Arrow tables and come out as Arrow tables; no row is ever touched one by one in SQL.
- Rows, position and epoch change in one transaction. DuckDB's commit syncs its log; this file syncs the directory,
  because the log is a file that comes and goes, and the journal is trimmed on the strength of this commit.
- No primary keys in the file. "Replace" is a hash join that deletes the old rows, then a bulk insert: with an index the
  same fold takes 16 times as long, the first load 3 times, and the file is twice the size (DESIGN.md has the run).
- After any error the connection is thrown away and opened again for the next call: some DuckDB errors invalidate it.

Costs: 0.1 s to fold 50,000 changed rows into 5,000,000. Memory: `memory_limit` plus the Arrow tables of one change.
It deliberately holds nothing in Python between calls, and knows nothing of what the tables mean.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from actors.core.errors import InvalidError
from actors.core.tables import DTYPES, Checkpoint, Columns, Table, TableChange
from persistence.checkpoint_rules import check_write
from persistence.disk import sync_directory
from persistence.errors import (
    CheckpointDamagedError,
    CheckpointFailedError,
    CheckpointLockedError,
    CheckpointMismatchError,
)

FORMAT_VERSION = 1  # of the meta table below; the core's own version is `schema_version`
MEMORY_LIMIT = "256MB"  # DuckDB's buffers a shard: the hash join of a fold needs a few MB, the rest is cache
THREADS = 1  # cores are for the shards; the checkpoint runs behind them
WAL_BYTES_MAX = 16 * 1024 * 1024  # bytes of log before DuckDB folds it into the file: 0.6 s of background work
LOAD_BATCH_ROWS = 131_072  # rows of one Arrow chunk: keeps a chunk's text below the 2 GB of 32-bit offsets
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
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._connect()

    def write(self, position: int, epoch: int, changes: Sequence[TableChange]) -> None:
        """Apply the changes in order, in one durable transaction. See `CheckpointStore.write`."""
        with self._lock:
            db = self._connect()
            try:
                stored_position, stored_epoch = self._stored(db)
                check_write(self._tables, position, epoch, changes, stored_position, stored_epoch)
                db.execute("BEGIN")
                for change in changes:
                    _apply(db, change)
                db.execute(f"UPDATE {_META} SET position = ?, epoch = ?", [position, epoch])
                db.execute("COMMIT")
                sync_directory(self._path.parent)
            except (duckdb.Error, pa.ArrowException, OSError) as error:
                self._disconnect()
                raise CheckpointFailedError(f"{self._path}: the checkpoint was not written: {error}") from error
            except BaseException:
                self._disconnect()
                raise

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
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

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
            db.execute(f'CREATE TABLE "{table.name}" ({_column_definitions(table)})')
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


def _apply(db: duckdb.DuckDBPyConnection, change: TableChange) -> None:
    table = change.table
    name = f'"{table.name}"'
    same_key = " AND ".join(f'{name}."{key}" = u."{key}"' for key in table.key)
    delete = f"DELETE FROM {name} USING {_CHANGE} AS u WHERE {same_key}"
    if change.delete_count:
        with _registered(db, _arrow_table(table.key_columns, change.deletes)):
            db.execute(delete)
    if change.upsert_count:
        columns = ", ".join(f'"{column}"' for column in table.column_names)
        keys = ", ".join(f'"{key}"' for key in table.key)
        with _registered(db, _arrow_table(table.columns, change.upserts)):
            twice = f"SELECT {keys} FROM {_CHANGE} GROUP BY {keys} HAVING count(*) > 1 LIMIT 1"
            repeated = db.execute(twice).fetchall()
            if repeated:
                raise InvalidError(f"table {table.name}: key {repeated[0]} comes twice in one upsert", "upserts")
            db.execute(delete)
            db.execute(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {_CHANGE}")


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
        column = rows.column(name)
        if kind in DTYPES:
            values = column.to_numpy()  # of one chunk it is Arrow's own memory, read-only: another type for kernels
            loaded[name] = values.astype(DTYPES[kind], copy=not values.flags.writeable)
        else:
            loaded[name] = column.to_pylist()
    return loaded


def _arrow_table(columns: tuple[tuple[str, str], ...], values: Columns) -> pa.Table:
    return pa.table({name: pa.array(values[name], _ARROW[kind]) for name, kind in columns})


@contextmanager
def _registered(db: duckdb.DuckDBPyConnection, rows: pa.Table) -> Iterator[None]:
    db.register(_CHANGE, rows)
    try:
        yield
    finally:
        db.unregister(_CHANGE)


def _column_definitions(table: Table) -> str:
    filled = {name for name, kind in table.columns if kind in DTYPES or name in table.key}
    return ", ".join(f'"{name}" {kind}{" NOT NULL" if name in filled else ""}' for name, kind in table.columns)


def _describe(tables: Sequence[Table]) -> str:
    """Return one canonical text of the declared tables; a file with another one is not read."""
    described = sorted(f"{t.name}({_column_definitions(t)}; key {', '.join(t.key)})" for t in tables)
    return "\n".join(described)
