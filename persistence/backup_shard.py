"""One shard of a backup: its storage as streams of bytes, and back.

    store.read_pieces --> rows ----+                       +--> store.replace, at the checkpoint's position
                                   +--> backup_format.py --+
    journal.replay ----> records --+                       +--> journal.restart there, then append and flush

Rules of this file
- Storage in, storage out: what rows and records mean is the core's.
- The rows are of the moment in which the reader was made; records follow them without a gap up to the cut.
- Rows of older tables become rows of this version's on the way back (table_versions.py); what a newer version wrote is
  refused by name before anything is restored.
- What is read back was verified before (backup_format.py). What doesn't fit all the same is a BackupError that names
  the file.
- In memory: RESTORED_ROWS rows, one part, FLUSH_BYTES of records; `checkpoint_of` alone holds a whole checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from actors.core.checkpoints.tables import Checkpoint, Columns, Table, TableChange
from actors.core.checkpoints.upgrades import LAYOUTS, UPGRADES
from actors.core.errors import InvalidError
from persistence.backup_format import BackupError, ItemStream, ShardFacts, read_items
from persistence.errors import CheckpointFailedError, CheckpointMismatchError
from persistence.protocols import CheckpointStore, Journal
from persistence.snapshot_pieces import pack_piece, unpack_piece
from persistence.table_versions import PieceUpgrades, Upgrades, plain_table, plan_tables, table_of_plain

PIECE_ROWS = 2_000  # rows of a piece at most: packing one holds the interpreter for 1 ms, and the shard's requests wait
RESTORED_ROWS = 20_000  # rows that a restore gives a store at once: a statement in DuckDB, a key in Redis
FLUSH_BYTES = 8 * 1024 * 1024  # bytes of records that a restore gathers for one sync


class ShardReader:
    """A checkpoint as of now, and the journal's records behind it. One thread at a time; close it.

    What the journal trims before `records` has given it is gone: retain it. rest: see `ItemStream`.
    """

    def __init__(self, store: CheckpointStore, journal: Journal, rest: Callable[[], None] = lambda: None) -> None:
        self._journal, self._rest = journal, rest
        self._reader = store.read_pieces(PIECE_ROWS)
        self.position = self._reader.position
        self._rows = ItemStream(map(pack_piece, self._reader), rest)
        self._records: ItemStream | None = None

    def rows(self, offset: int) -> bytes:
        """Return the next part of the checkpoint; see `ItemStream.part`."""
        return self._rows.part(offset)

    def records(self, offset: int, cut: int) -> bytes:
        """Return the next part of the records above `position` up to `cut`, which must be durable.

        The first call decides the cut. Raises PositionGapError if they are not there any more.
        """
        if self._records is None:
            if cut < self.position:
                raise ValueError(f"a cut at {cut}, but the checkpoint is at {self.position}")
            self._records = ItemStream(self._up_to(cut), self._rest)
        return self._records.part(offset)

    def _up_to(self, cut: int) -> Iterator[bytes]:
        if cut > self.position:
            for position, record in self._journal.replay(self.position):
                yield record
                if position == cut:
                    return
            raise ValueError(f"a cut at {cut}, but durable is only {self._journal.durable_position}")

    def close(self) -> None:
        """Let go of the checkpoint. Idempotent. Any thread."""
        self._reader.close()


def describe(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Return what a manifest says of the tables."""
    return [plain_table(table) for table in tables]


class BackupTables:
    """The tables of a backup, and those that its rows become.

    where: begins every message; described: what the manifest says; declared: this version's; upgrades: `upgrades.py`'s.
    Raises BackupError that names the table which this version can't read.
    """

    def __init__(self, where: str, described: Any, declared: Sequence[Table], upgrades: Upgrades = UPGRADES) -> None:
        self.declared = tuple(declared)
        try:
            stored = _stored_tables(described)
            plan_tables(stored, declared, where, upgrades)
        except ValueError as error:
            raise BackupError(f"{where}: what it says of the tables can't be read: {error}") from error
        except CheckpointMismatchError as error:
            raise BackupError(error.message) from error
        self._by_name = {table.name: table for table in declared} | {table.name: table for table in stored}
        known = [*declared, *stored]  # shards that are of two versions while they roll back up what each of them has
        self._layouts = {**LAYOUTS, **{(table.name, table.version): table for table in known}}
        self._upgrades = PieceUpgrades(declared, where, upgrades)

    def piece(self, data: bytes) -> TableChange:
        """Return a packed piece as rows of a declared table. Raises InvalidError, CheckpointMismatchError, ..."""
        return self._upgrades.carry(unpack_piece(self._by_name, data, self._layouts))


def _stored_tables(described: Any) -> list[Table]:
    """Return the tables of a manifest, of version 1 too. Raises ValueError."""
    try:
        if isinstance(described, list):
            return [table_of_plain(value) for value in described]
        return [
            Table(name, tuple((c, kind) for c, kind in map(str.split, columns)), tuple(key.split()[1:]))
            for name, (*columns, key) in described.items()
        ]
    except (AttributeError, TypeError, InvalidError) as error:
        raise ValueError(f"{str(described)[:200]}: {error}") from error


def pieces_of(directory: Path, facts: ShardFacts, tables: BackupTables) -> Iterator[TableChange]:
    """Yield the pieces of a shard's checkpoint, as rows of the declared tables."""
    path = directory / facts.rows.name
    for item in read_items(path):
        try:
            piece = tables.piece(item)
        except (InvalidError, CheckpointMismatchError, CheckpointFailedError) as error:
            raise BackupError(f"{path}: {error.message}") from error
        if piece.upsert_count:
            yield piece


def records_of(directory: Path, facts: ShardFacts) -> Iterator[tuple[int, bytes]]:
    """Yield (position, record) above the checkpoint up to the cut."""
    path, position = directory / facts.journal.name, facts.checkpoint_position
    for record in read_items(path):
        position += 1
        yield position, record
    if position != facts.cut_position:
        raise BackupError(f"{path}: its records end at {position}, the manifest says {facts.cut_position}")


def checkpoint_of(directory: Path, facts: ShardFacts, tables: BackupTables) -> Checkpoint:
    """Return a shard's checkpoint as a store's `load` would."""
    gathered: dict[str, list[TableChange]] = {table.name: [] for table in tables.declared}
    for piece in pieces_of(directory, facts, tables):
        gathered[piece.table.name].append(piece)
    found = {table.name: _joined(table, gathered.pop(table.name)) for table in tables.declared}
    return Checkpoint(facts.checkpoint_position, 0, found)


def _joined(table: Table, pieces: list[TableChange]) -> Columns:
    columns = table.empty()
    for name, empty in columns.items() if pieces else ():
        parts: list[Any] = [piece.upserts[name] for piece in pieces if piece.upserts]
        columns[name] = np.concatenate([empty, *parts]) if isinstance(empty, np.ndarray) else list(chain(*parts))
    return columns


def _larger(pieces: Iterator[TableChange]) -> Iterator[TableChange]:
    """Yield the same rows in pieces of RESTORED_ROWS and less than a piece more."""
    waiting: list[TableChange] = []
    for piece in pieces:
        if waiting and waiting[0].table != piece.table:
            yield TableChange(waiting[0].table, _joined(waiting[0].table, waiting))
            waiting = []
        waiting.append(piece)
        if sum(part.upsert_count for part in waiting) >= RESTORED_ROWS:
            yield TableChange(piece.table, _joined(piece.table, waiting))
            waiting = []
    if waiting:
        yield TableChange(waiting[0].table, _joined(waiting[0].table, waiting))


def write_shard(
    store: CheckpointStore, journal: Journal, directory: Path, facts: ShardFacts, tables: BackupTables,
    on_bytes: Callable[[int], None],
) -> None:  # fmt: skip
    """Fill an empty store and an empty journal from a backup: durable on return, as of the cut.

    on_bytes: told of bytes that were taken over, as the manifest counts them. Raises BackupError, or what storage
    raises; what was written so far is then of no use.
    """
    store.replace(facts.checkpoint_position, journal.epoch, _larger(pieces_of(directory, facts, tables)))
    on_bytes(facts.rows.size)
    journal.restart(facts.checkpoint_position)
    for position, record in records_of(directory, facts):
        if journal.append(record) != position:
            raise BackupError(f"{directory / facts.journal.name}: the journal gave another position than {position}")
        if journal.buffered_bytes >= FLUSH_BYTES:
            journal.flush()
    journal.flush()
    on_bytes(facts.journal.size)
