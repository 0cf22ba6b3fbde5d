"""What every checkpoint store refuses before it writes, in one place for all backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.core.errors import InvalidError
from actors.core.tables import Table, TableChange
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
        if tables.get(change.table.name) != change.table:
            raise InvalidError(f"table {change.table.name} is not declared (so) to this store", "table")
        change.check()
