"""Checkpoint tables: how the core's state looks as columns, without a word on who stores them.

Rules of this file
- Pure values: dataclasses and NumPy. The core declares its tables and fills changes; a checkpoint store is generic.
- A BIGINT column is an np.int64 array and an INTEGER column an np.int32 array, both ways, never NULL.
  A BLOB column is a list of bytes and a VARCHAR column a list of str; None is allowed outside the key.
- A change is absolute: applying it twice in a row leaves what applying it once leaves.
- A table is new with version 1. One whose columns, key or meaning change gets the next version, and a function in
  `upgrades.py` that makes the new columns of the old ones. A new table needs nothing but its `Table`.

A change of one table, in the order in which it is applied:

    deletes   {key column: values}          every row with one of these keys goes
    upserts   {every column: values}        every row replaces the row of the same key, or is new
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actors.core.errors import InvalidError

Columns = dict[str, Any]
"""Column values by column name: an int64 or int32 array, or a list of bytes or str; only its table says which."""

DTYPES: Mapping[str, type[np.signedinteger[Any]]] = {"BIGINT": np.int64, "INTEGER": np.int32}
COLUMN_TYPES = (*DTYPES, "BLOB", "VARCHAR")


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name, its columns as (name, type) in order, the columns that make a row unique, and its version.

    Names are lower-case identifiers; types are BIGINT, INTEGER, BLOB or VARCHAR; versions are 1, 2, 3, ...
    Raises InvalidError for anything else, a repeated column, or a key that is empty or not among the columns.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    version: int = 1

    def __post_init__(self) -> None:
        names = self.column_names
        for name in (self.name, *names):
            if not (name.isidentifier() and name.isascii() and name == name.lower()):
                raise InvalidError(f"table {self.name!r}: {name!r} is no lower-case ASCII identifier", "name")
        for name, type_name in self.columns:
            if type_name not in COLUMN_TYPES:
                raise InvalidError(f"table {self.name}: {name} is {type_name!r}, not one of {COLUMN_TYPES}", name)
        if len(set(names)) != len(names):
            raise InvalidError(f"table {self.name}: a column is named twice in {names}", "columns")
        if not self.key or not set(self.key) <= set(names):
            raise InvalidError(f"table {self.name}: the key {self.key} must be some of the columns {names}", "key")
        if type(self.version) is not int or self.version < 1:
            raise InvalidError(f"table {self.name}: version {self.version!r}, 1 or more expected", "version")

    @property
    def column_names(self) -> tuple[str, ...]:
        """Return the column names in order."""
        return tuple(name for name, _ in self.columns)

    @property
    def key_columns(self) -> tuple[tuple[str, str], ...]:
        """Return the (name, type) of the key columns, in the key's order."""
        types = dict(self.columns)
        return tuple((name, types[name]) for name in self.key)

    def empty(self) -> Columns:
        """Return the columns of this table without a row."""
        return {name: np.empty(0, DTYPES[kind]) if kind in DTYPES else [] for name, kind in self.columns}


@dataclass(slots=True)
class TableChange:
    """What changed in one table: rows to delete (by key) and rows to put, each column by name.

    An empty dict means no such rows. Keys are unique within `upserts`; a key may be in both.
    """

    table: Table
    upserts: Columns = field(default_factory=dict)
    deletes: Columns = field(default_factory=dict)

    @property
    def upsert_count(self) -> int:
        """Return the number of rows to put. O(1)."""
        return len(next(iter(self.upserts.values()))) if self.upserts else 0

    @property
    def delete_count(self) -> int:
        """Return the number of keys to delete. O(1)."""
        return len(next(iter(self.deletes.values()))) if self.deletes else 0

    def check(self) -> None:
        """Raise InvalidError unless each side has exactly its columns, of their types and one length. O(columns)."""
        if self.upserts:
            _check_columns(self.table, self.table.columns, self.upserts, "upserts")
        if self.deletes:
            _check_columns(self.table, self.table.key_columns, self.deletes, "deletes")


@dataclass(slots=True)
class Checkpoint:
    """The stored state: every table's rows (in no particular order) as of one journal position.

    A store that nothing was ever written to gives position 0, epoch 0 and empty tables.
    """

    position: int
    epoch: int
    tables: dict[str, Columns]


def _check_columns(table: Table, declared: tuple[tuple[str, str], ...], given: Columns, side: str) -> None:
    names = {name for name, _ in declared}
    if set(given) != names:
        raise InvalidError(f"{table.name} {side}: columns {sorted(given)} given, {sorted(names)} declared", side)
    lengths = {name: len(given[name]) for name in names}
    if len(set(lengths.values())) > 1:
        raise InvalidError(f"{table.name} {side}: columns of different lengths {lengths}", side)
    for name, kind in declared:
        values = given[name]
        if kind in DTYPES:
            if not (isinstance(values, np.ndarray) and values.dtype == DTYPES[kind] and values.ndim == 1):
                raise InvalidError(f"{table.name} {side}: {name} must be a 1-d {DTYPES[kind].__name__} array", name)
        elif not isinstance(values, list):
            raise InvalidError(f"{table.name} {side}: {name} must be a list, it is {type(values).__name__}", name)
