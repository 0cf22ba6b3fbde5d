"""How a checkpoint table of an older version becomes one of the next: one function for each step, columns to columns.

Rules of this file
- A function works row by row: it is given the rows of a table in pieces, of any size, in any order, and must make of
  each row what it would make of it alone. It may leave rows out; it may not look at others, nor remember any.
- It gets columns of the old layout and returns all columns of the new one, as `tables.py` types them. What it was given
  it may keep and return, but not change.
- Pure, and for ever: an upgrade that was released is never changed, as a store may be opened by any later version.
- Keys stay unique: two rows of different keys don't come to the same one.
- Each upgrade has its old layout in LAYOUTS: what replicas of the version before send doesn't say what its columns are.

    store, backup or snapshot of version 1 --UPGRADES["t", 1]--> 2 --UPGRADES["t", 2]--> 3, as the code declares it

Example: UPGRADES["things", 1] = lambda rows: {**rows, "at_ms": np.zeros(len(rows["id"]), np.int64)}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actors.core.checkpoints.tables import Columns, Table

Upgrade = Callable[[Columns], Columns]

UPGRADES: Mapping[tuple[str, int], Upgrade] = {}
"""(table name, version that it starts from) -> the step to the next version."""

LAYOUTS: Mapping[tuple[str, int], Table] = {}
"""The table as it was in that version, for each key of UPGRADES."""
