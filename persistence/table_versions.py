"""Which tables a checkpoint has, and how it becomes one of this version: one set of rules for every store and backup.

    it has          this version has    what follows
    nothing         a table             the table is made, empty
    a table         nothing             refused: a newer version wrote it, and its rows would be lost
    version n       n, the same         it is taken as it is
    version n       n, other columns    refused: no release had both
    version n       more than n         brought there step by step (checkpoints/upgrades.py); refused if one is missing
    version n       less than n         refused: a newer version wrote it

Rules of this file
- Every refusal names the place, the table and its version, and says what to do. Whoever is refused finds all as it was.
- Rows are brought up piece by piece; which pieces, and how the store replaces itself at once, is the store's part.
- What format 1 wrote down (one text of all tables, of which each then counts as version 1) is read for ever.

    JSON    [{"name": "likes", "version": 1, "columns": [["account_id", "BIGINT"], ...], "key": ["account_id"]}, ...]
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.core.checkpoints.tables import DTYPES, Columns, Table, TableChange
from actors.core.checkpoints.upgrades import UPGRADES, Upgrade
from actors.core.errors import InvalidError, RookeryError
from persistence.errors import NEWER, CheckpointFailedError, CheckpointMismatchError

Upgrades = Mapping[tuple[str, int], Upgrade]

_TABLE_OF_FORMAT_1 = re.compile(r"(\w+)\((.+); key ([\w, ]+)\)")
_COLUMN_OF_FORMAT_1 = re.compile(r'"?(\w+)"? ([A-Z]+)(?: NOT NULL)?')


# ---- tables as text ---------------------------------------------------------------------------------------------


def plain_table(table: Table) -> dict[str, Any]:
    """Return what is written down of a table."""
    columns = [list(column) for column in table.columns]
    return {"name": table.name, "version": table.version, "columns": columns, "key": list(table.key)}


def table_of_plain(value: Any) -> Table:
    """Return the table that `plain_table` wrote down. Raises ValueError for anything else."""
    try:
        columns = tuple((str(name), str(kind)) for name, kind in value["columns"])
        return Table(str(value["name"]), columns, tuple(map(str, value["key"])), value["version"])
    except (InvalidError, TypeError, LookupError) as error:
        raise ValueError(f"{str(value)[:200]} describes no table: {error!r}") from error


def tables_to_json(tables: Sequence[Table]) -> str:
    """Return the text that a store keeps of its tables: the same for the same tables, in whichever order."""
    return json.dumps([plain_table(table) for table in sorted(tables, key=lambda table: table.name)])


def tables_of_json(text: str) -> list[Table]:
    """Return the tables of `tables_to_json`. Raises ValueError."""
    values = json.loads(text)
    if not isinstance(values, list):
        raise ValueError("no list of tables")
    return [table_of_plain(value) for value in values]


def tables_of_format_1(text: str) -> list[Table]:
    """Return the tables, each of version 1, of the text that format 1 kept in DuckDB or Redis. Raises ValueError."""
    found = []
    for line in text.splitlines():
        if (match := _TABLE_OF_FORMAT_1.fullmatch(line)) is None:
            raise ValueError(f"{line[:200]!r} describes no table")
        name, columns, key = match.groups()
        described = [_COLUMN_OF_FORMAT_1.fullmatch(column) for column in columns.split(", ")]
        if None in described:
            raise ValueError(f"{line[:200]!r} has a column that is none")
        named = tuple((column[1], column[2]) for column in described if column is not None)
        found.append(Table(name, named, tuple(key.split(", "))))
    return found


# ---- what must happen -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TableUpgrade:
    """A table as it is stored, as it is declared, and the steps between the two."""

    where: str
    stored: Table
    table: Table
    steps: tuple[Upgrade, ...]

    def carry(self, piece: TableChange) -> TableChange:
        """Return rows of the stored table as rows of the declared one. O(rows).

        Raises CheckpointFailedError if a step fails, or what it returns doesn't fit the declared table.
        """
        if not self.steps or not piece.upserts:
            return TableChange(self.table, piece.upserts)
        rows: Columns = piece.upserts
        try:
            for step in self.steps:
                rows = step(rows)
            carried = TableChange(self.table, rows)
            carried.check()
            _check_values(self.table, rows)
        except (RookeryError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise CheckpointFailedError(
                f"{self.where}: table {self.table.name!r} can't be brought from version {self.stored.version} to"
                f" {self.table.version}: {error}"
            ) from error
        return carried


@dataclass(frozen=True, slots=True)
class TablePlan:
    """How what is stored becomes what is declared. made: tables that it lacks; changed: those that are upgraded."""

    made: tuple[Table, ...]
    changed: tuple[TableUpgrade, ...]


def plan_tables(
    stored: Sequence[Table], declared: Sequence[Table], where: str, upgrades: Upgrades = UPGRADES
) -> TablePlan:
    """Return how the stored tables become the declared ones. where: begins every message.

    Raises CheckpointMismatchError that names the table; nothing has changed.
    """
    wanted = {table.name: table for table in declared}
    planned = [upgrade_of(table, wanted.get(table.name), where, upgrades) for table in stored]
    names = {table.name for table in stored}
    made = tuple(table for table in declared if table.name not in names)
    return TablePlan(made, tuple(upgrade for upgrade in planned if upgrade.steps))


def upgrade_of(stored: Table, table: Table | None, where: str, upgrades: Upgrades) -> TableUpgrade:
    """Return how rows of a stored table become those of the declared one. Raises CheckpointMismatchError."""
    named = f"{where}: table {stored.name!r} of version {stored.version}"
    if table is None:
        raise CheckpointMismatchError(f"{named} is unknown to this version; {NEWER}")
    if stored.version > table.version:
        raise CheckpointMismatchError(f"{named}, this version reads up to {table.version}; {NEWER}")
    steps = []
    for version in range(stored.version, table.version):
        step = upgrades.get((stored.name, version))
        if step is None:
            raise CheckpointMismatchError(
                f"{named} can't become {table.version}, as this version lacks the step from {version} to {version + 1};"
                " open it with a version in between first"
            )
        steps.append(step)
    if not steps and stored != table:
        raise CheckpointMismatchError(
            f"{named} has the columns {_described(stored)}, this version's has {_described(table)}: no release wrote"
            " that; start the version that did"
        )
    return TableUpgrade(where, stored, table, tuple(steps))


def _check_values(table: Table, rows: Columns) -> None:
    """Raise ValueError unless there are columns, and texts and bytes are such, None only outside the key."""
    if not rows:
        raise ValueError("no columns are left")
    for name, kind in table.columns:
        if kind in DTYPES:
            continue
        types = {bytes if kind == "BLOB" else str} | ({type(None)} if name not in table.key else set())
        if wrong := {type(value) for value in rows[name]} - types:
            raise ValueError(f"column {name} is {kind}, a value is {min(t.__name__ for t in wrong)}")


class PieceUpgrades:
    """Brings pieces of a snapshot or backup to the declared tables, of whichever version each piece is.

    where: begins every message.
    """

    def __init__(self, declared: Sequence[Table], where: str, upgrades: Upgrades = UPGRADES) -> None:
        self._declared = {table.name: table for table in declared}
        self._where, self._upgrades = where, upgrades
        self._known: dict[Table, TableUpgrade] = {}

    def require(self, table: Table) -> TableUpgrade:
        """Return how rows of this table become ours. Raises CheckpointMismatchError that names it."""
        if table not in self._known:
            self._known[table] = upgrade_of(table, self._declared.get(table.name), self._where, self._upgrades)
        return self._known[table]

    def carry(self, piece: TableChange) -> TableChange:
        """Return the rows of a piece as rows of ours. Raises CheckpointMismatchError, CheckpointFailedError."""
        return self.require(piece.table).carry(piece)


def _described(table: Table) -> str:
    return f"({', '.join(map(' '.join, table.columns))}; key {', '.join(table.key)})"
