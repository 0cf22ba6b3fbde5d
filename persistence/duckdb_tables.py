"""What a DuckDB file says of itself, and how it becomes one of this version: made, taken as it is, upgraded or refused.

    rookery_checkpoint(format_version, schema_version, shard, tables, position, epoch)     one row

Rules of this file
- The file becomes one of this version in one transaction, or stays as it was: new tables, upgraded ones and what it
  says of them change together. `table_versions.py` decides what has to change.
- Format 1 kept one text of all tables, format 2 keeps JSON with a version each. A file of format 1 becomes one of 2.
- An upgrade reads the old rows on a cursor, in a transaction that began before: SNAPSHOT_BATCH_ROWS at a time, however
  large the table. Until the log is folded the file holds a table that is upgraded twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from actors.core.checkpoints.tables import Table
from persistence.duckdb_rows import SNAPSHOT_BATCH_ROWS, batches_of, creation, insert_rows, pieces_of_batch
from persistence.errors import NEWER, CheckpointDamagedError, CheckpointFailedError, CheckpointMismatchError
from persistence.table_versions import (
    TablePlan,
    TableUpgrade,
    Upgrades,
    plan_tables,
    tables_of_format_1,
    tables_of_json,
    tables_to_json,
)

FORMAT_VERSION = 2  # of the row below; the core's own version is `schema_version`, each table's its own
META = "rookery_checkpoint"


def create_or_upgrade(
    db: duckdb.DuckDBPyConnection, path: Path, shard: int, schema_version: int, tables: Sequence[Table],
    upgrades: Upgrades,
) -> bool:  # fmt: skip
    """Make the file one of this shard and these tables. Durable on return, but for the directory.

    path: for messages. Returns whether rows were written anew, so that folding the log gives room back.
    Raises CheckpointMismatchError (somebody else's file, another shard's, one that a newer version
    wrote), CheckpointFailedError from an upgrade, DuckDB's errors: the file is as it was then.
    """
    names = {str(row[0]) for row in db.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not names:
        _create(db, shard, schema_version, tables)
        return False
    if META not in names:
        raise CheckpointMismatchError(f"{path}: a DuckDB file, but not a checkpoint of Rookery")
    found = fetch_one(db, f"SELECT format_version, schema_version, shard, tables FROM {META}")
    _require_ours(path, found, schema_version, shard)
    plan = plan_tables(_stored_tables(path, found), tables, str(path), upgrades)
    if found[0] != FORMAT_VERSION or plan.made or plan.changed:
        _upgrade(db, path, plan, tables)
    return bool(plan.changed)


def fetch_one(db: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """Return the only row of a query; a result must be read to its end before the connection is used again."""
    rows = db.execute(query).fetchall()
    if len(rows) != 1:
        raise CheckpointDamagedError(f"{query}: {len(rows)} rows, one expected")
    return tuple(rows[0])


def _require_ours(path: Path, found: tuple[Any, ...], schema_version: int, shard: int) -> None:
    if not 1 <= found[0] <= FORMAT_VERSION:
        raise CheckpointMismatchError(
            f"{path}: it has format version {found[0]}, this version reads up to {FORMAT_VERSION}; {NEWER}"
        )
    for label, there, wanted in (("schema version", found[1], schema_version), ("shard", found[2], shard)):
        if there != wanted:
            raise CheckpointMismatchError(f"{path}: it has {label} {there!r}, this shard needs {wanted!r}")


def _stored_tables(path: Path, found: tuple[Any, ...]) -> list[Table]:
    read = tables_of_format_1 if found[0] == 1 else tables_of_json
    try:
        return read(found[3])
    except (TypeError, ValueError) as error:
        raise CheckpointDamagedError(
            f"{path}: can't be read as a checkpoint: what it says of its tables: {error}"
        ) from error


def _create(db: duckdb.DuckDBPyConnection, shard: int, schema_version: int, tables: Sequence[Table]) -> None:
    identity = [FORMAT_VERSION, schema_version, shard, tables_to_json(tables)]
    with _transaction(db):
        db.execute(
            f"CREATE TABLE {META} (format_version BIGINT, schema_version BIGINT, shard BIGINT, tables VARCHAR,"
            " position BIGINT, epoch BIGINT)"
        )
        db.execute(f"INSERT INTO {META} VALUES (?, ?, ?, ?, 0, 0)", identity)
        for table in tables:
            db.execute(creation(table))


def _upgrade(db: duckdb.DuckDBPyConnection, path: Path, plan: TablePlan, tables: Sequence[Table]) -> None:
    before = db.cursor()
    try:
        before.execute("BEGIN")
        fetch_one(before, f"SELECT position FROM {META}")  # a transaction begins with its first statement
        with _failures_named(path), _transaction(db):
            for upgrade in plan.changed:
                _upgrade_table(db, before, path, upgrade)
            for table in plan.made:
                db.execute(creation(table))
            db.execute(f"UPDATE {META} SET format_version = ?, tables = ?", [FORMAT_VERSION, tables_to_json(tables)])
    finally:
        before.close()


def _upgrade_table(
    db: duckdb.DuckDBPyConnection, before: duckdb.DuckDBPyConnection, path: Path, upgrade: TableUpgrade
) -> None:
    db.execute(f'DROP TABLE "{upgrade.table.name}"')
    db.execute(creation(upgrade.table))
    for batch in _stored_batches(before, path, upgrade.stored):
        for piece in pieces_of_batch(upgrade.stored, batch, SNAPSHOT_BATCH_ROWS):
            insert_rows(db, upgrade.carry(piece))


def _stored_batches(before: duckdb.DuckDBPyConnection, path: Path, table: Table) -> Iterator[pa.RecordBatch]:
    """Yield the rows as they were. Raises CheckpointDamagedError: it is the file then, not the upgrade."""
    try:
        yield from batches_of(before, table)
    except (duckdb.Error, pa.ArrowException) as error:
        raise CheckpointDamagedError(f"{path}: table {table.name!r} can't be read: {error}") from error


@contextmanager
def _transaction(db: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what the block did, or undo it all if it raises."""
    db.execute("BEGIN")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # some errors end the transaction, or the connection: it is undone either way
            db.execute("ROLLBACK")
        raise


@contextmanager
def _failures_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        raise CheckpointFailedError(f"{path}: it was not brought to this version, and is as it was: {error}") from error
