"""What a checkpoint in Redis says of its tables, and how they become those of this version.

    format   identity                                 tables
    1        schema <n>, then one text of all         not there
    2        schema <n>                               JSON of table_versions.py

Rules: nothing here talks to a server; `table_versions.py` decides what has to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from actors.core.checkpoints.tables import Table
from persistence.errors import NEWER, CheckpointDamagedError, CheckpointMismatchError
from persistence.table_versions import (
    TablePlan,
    Upgrades,
    plan_tables,
    tables_of_format_1,
    tables_of_json,
    tables_to_json,
)

FORMAT = "2"


class StoredTables(NamedTuple):
    """Three fields of the manifest, "" for one that isn't there. All are "" where there is no checkpoint."""

    format: str
    identity: str
    tables: str


def declared(schema_version: int, tables: Sequence[Table]) -> StoredTables:
    """Return what a checkpoint of this version says."""
    return StoredTables(FORMAT, f"schema {schema_version}", tables_to_json(tables))


def plan_stored(
    found: StoredTables, ours: StoredTables, tables: Sequence[Table], where: str, upgrades: Upgrades
) -> TablePlan | None:
    """Return how what was found becomes ours, None if it is ours already, or nothing is there.

    where: begins every message. Raises CheckpointMismatchError, CheckpointDamagedError.
    """
    if found in (ours, StoredTables("", "", "")):
        return None
    if found.format not in ("1", FORMAT):
        raise CheckpointMismatchError(
            f"{where}: it has format {found.format!r}, this version reads up to {FORMAT}; {NEWER}"
        )
    schema, _, text = found.identity.partition("\n")
    if schema != ours.identity:
        raise CheckpointMismatchError(f"{where}: it has {schema!r}, this shard needs {ours.identity!r}")
    try:
        stored = tables_of_format_1(text) if found.format == "1" else tables_of_json(found.tables)
    except ValueError as error:
        raise CheckpointDamagedError(f"{where}: what it says of its tables can't be read: {error}") from error
    return plan_tables(stored, tables, where, upgrades)
