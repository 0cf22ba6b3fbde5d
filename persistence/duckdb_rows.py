"""A checkpoint's rows in DuckDB: from columns through Arrow into a table and back, in bulk.

Rules of this file
- No row is ever touched one by one in SQL, and nothing here begins or ends a transaction.
- "Replace" is a hash join that deletes the old rows, then a bulk insert: see `duckdb_checkpoint.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from actors.core.checkpoints.tables import DTYPES, Columns, Table, TableChange
from actors.core.errors import InvalidError
from persistence.snapshot_pieces import piece_ends, row_bytes

LOAD_BATCH_ROWS = 131_072  # rows of one Arrow chunk: keeps a chunk's text below the 2 GB of 32-bit offsets
SNAPSHOT_BATCH_ROWS = 32_768  # rows that a snapshot takes from DuckDB at a time: 2 MB of the widest tables' usual rows
_ARROW = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "BLOB": pa.binary(), "VARCHAR": pa.string()}
_CHANGE = "rookery_change"


def batches_of(db: duckdb.DuckDBPyConnection, table: Table) -> pa.RecordBatchReader:
    columns = ", ".join(f'"{column}"' for column in table.column_names)
    return db.sql(f'SELECT {columns} FROM "{table.name}"').to_arrow_reader(SNAPSHOT_BATCH_ROWS)


def pieces_of_batch(table: Table, batch: pa.RecordBatch, rows_max: int) -> Iterator[TableChange]:
    begin = 0
    for end in piece_ends(row_bytes(table, batch), rows_max):
        part = batch.slice(begin, end - begin)
        yield TableChange(table, {name: _values(part.column(name), kind) for name, kind in table.columns})
        begin = end


def apply_change(db: duckdb.DuckDBPyConnection, change: TableChange) -> None:
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
        insert_rows(db, change)


def insert_rows(db: duckdb.DuckDBPyConnection, change: TableChange) -> None:
    columns = ", ".join(f'"{column}"' for column in change.table.column_names)
    if change.upsert_count:
        with _registered(db, _arrow_table(change.table.columns, change.upserts)):
            db.execute(f'INSERT INTO "{change.table.name}" ({columns}) SELECT {columns} FROM {_CHANGE}')


def load_rows(db: duckdb.DuckDBPyConnection, table: Table) -> Columns:
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


def creation(table: Table) -> str:
    return f'CREATE TABLE "{table.name}" ({_column_definitions(table)})'


def _column_definitions(table: Table) -> str:
    filled = {name for name, kind in table.columns if kind in DTYPES or name in table.key}
    return ", ".join(f'"{name}" {kind}{" NOT NULL" if name in filled else ""}' for name, kind in table.columns)
