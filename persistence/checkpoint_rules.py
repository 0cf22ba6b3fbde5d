"""What every checkpoint store refuses before it writes, in one place for all backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.core.checkpoints.tables import Table, TableChange
from actors.core.errors import InvalidError
from persistence.errors import FencedError


def check_write(
    tables: Mapping[str, Table],
    position: int,
    epoch: int,
    changes: Sequence[TableChange],
    stored_position: int,
    stored_epoch: int,
) -> None:
    """Raise what every store raises before it writes: see `CheckpointStore.write`."""
    if epoch < stored_epoch:
        raise FencedError(f"the checkpoint has epoch {stored_epoch}, this owner has epoch {epoch}")
    if position < stored_position:
        raise ValueError(f"checkpoint at position {position}, but position {stored_position} is stored already")
    for change in changes:
        _check_change(tables, change)


def check_replace(position: int, epoch: int, stored_epoch: int) -> None:
    """Raise what every store raises before it is replaced: see `CheckpointStore.replace`."""
    if epoch < stored_epoch:
        raise FencedError(f"the checkpoint has epoch {stored_epoch}, this snapshot has epoch {epoch}")
    if position < 0:
        raise ValueError(f"a snapshot at position {position}")


def check_piece(tables: Mapping[str, Table], piece: TableChange) -> None:
    """Raise InvalidError unless this is a piece of a snapshot of these tables. O(columns)."""
    if piece.deletes:
        raise InvalidError(f"table {piece.table.name}: a piece of a snapshot has no deletes", "deletes")
    _check_change(tables, piece)


def check_rows_max(rows_max: int) -> None:
    """Raise ValueError unless pieces of a snapshot may have this many rows."""
    if rows_max < 1:
        raise ValueError(f"pieces of {rows_max} rows, at least 1 expected")


def _check_change(tables: Mapping[str, Table], change: TableChange) -> None:
    if tables.get(change.table.name) != change.table:
        raise InvalidError(f"table {change.table.name} is not declared (so) to this store", "table")
    change.check()
