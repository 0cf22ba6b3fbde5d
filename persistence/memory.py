"""A journal and a checkpoint store in memory, with faults on demand: for simulations and for tests.

Rules of this file
- Deterministic: no threads of its own, no clock, no randomness. A simulation's seed decides every fault.
- The journal is the real one (`SegmentJournal`, its formats and its recovery) on a `MemoryDisk`, so that a simulated
  crash runs the code that a real one runs. What survives a crash is the disk or the shelf; the journal or store that
  used it is gone, and a new one is opened on the same disk or shelf.
"""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actors.core.checkpoints.tables import DTYPES, Checkpoint, Columns, Table, TableChange
from actors.core.checkpoints.upgrades import UPGRADES
from actors.core.errors import InvalidError
from persistence.checkpoint_rules import check_piece, check_replace, check_rows_max, check_write
from persistence.errors import CheckpointFailedError, JournalLockedError
from persistence.file_journal import SegmentJournal
from persistence.segment_format import SYNC_BYTES, encode_frame
from persistence.snapshot_pieces import VALUE_BYTES, SnapshotReader, piece_ends
from persistence.table_versions import Upgrades, plan_tables


class MemoryDisk:
    """A `Disk` in memory. `fail` makes operations fail as a full or broken disk would."""

    def __init__(self, name: str = "memory") -> None:
        self._name = name
        self.files: dict[str, bytearray] = {}
        self._synced: dict[str, int] = {}
        self._current = ""
        self._locked = False
        self._markers = 0
        self._faults: dict[str, tuple[int, int]] = {}

    def fail(self, operation: str, error_number: int = errno.EIO, append_bytes: int = 0) -> None:
        """Let the next `operation` (append, sync, create, truncate or delete) raise OSError(error_number).

        append_bytes: how much of a failing append gets written before.
        """
        self._faults[operation] = (error_number, append_bytes)

    def crash(self, keep_unsynced: int = 0, torn: bool = False) -> None:
        """Lose power; keep_unsynced bytes of what was not synced stay, if torn the second half of those as zeros."""
        for name, data in self.files.items():
            synced = self._synced[name]
            kept = min(keep_unsynced, len(data) - synced)
            del data[synced + kept :]
            if torn:
                data[synced + kept // 2 :] = bytes(kept - kept // 2)
            self._synced[name] = len(data)
        self._locked = False

    def copy(self) -> MemoryDisk:
        """Return an independent disk with the same files, unlocked, everything on it synced."""
        disk = MemoryDisk(self._name)
        disk.files = {name: bytearray(data) for name, data in self.files.items()}
        disk._synced = {name: len(data) for name, data in self.files.items()}
        disk._markers = self._markers
        return disk

    def path(self, name: str) -> str:
        """Return `memory:name`."""
        return f"{self._name}:{name}"

    def lock(self) -> None:
        """Refuse a second user."""
        if self._locked:
            raise JournalLockedError(f"{self._name}: the journal is open in this process")
        self._locked = True

    def names(self) -> list[str]:
        """Return the sorted names."""
        return sorted(self.files)

    def size(self, name: str) -> int:
        """Return the file's size in bytes."""
        return len(self._file(name))

    def read(self, name: str, offset: int, count: int) -> bytes:
        """Return up to count bytes from offset. A slice, as a view would keep another thread from appending."""
        return bytes(self._file(name)[offset : offset + count])

    def create(self, name: str, data: bytes) -> None:
        """Make or replace a file."""
        self._raise_fault("create")
        self.files[name] = bytearray(data)
        self._synced[name] = len(data)

    def open_append(self, name: str) -> None:
        """Choose the file to append to."""
        self._current = name

    def append(self, data: bytes) -> None:
        """Write without syncing."""
        if "append" in self._faults:
            self.files[self._current] += data[: self._faults["append"][1]]
        self._raise_fault("append")
        self.files[self._current] += data

    def sync(self) -> None:
        """Make the chosen file survive `crash`."""
        self._raise_fault("sync")
        self._synced[self._current] = len(self.files[self._current])

    def truncate(self, name: str, size: int) -> None:
        """Cut the file."""
        self._raise_fault("truncate")
        del self.files[name][size:]
        self._synced[name] = size

    def delete(self, name: str) -> None:
        """Remove the file."""
        self._raise_fault("delete")
        self._file(name)
        del self.files[name], self._synced[name]

    def new_sync_marker(self) -> bytes:
        """Return a marker that is the same in every run of the same simulation."""
        self._markers += 1
        return hashlib.blake2b(f"{self._name}/{self._markers}".encode(), digest_size=SYNC_BYTES).digest()

    def close(self) -> None:
        """Release the lock."""
        self._locked = False

    def _file(self, name: str) -> bytearray:
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        return self.files[name]

    def _raise_fault(self, operation: str) -> None:
        if operation in self._faults:
            error_number, _ = self._faults.pop(operation)
            raise OSError(error_number, f"injected fault of {operation}", self._name)


class MemoryJournal(SegmentJournal):
    """The real journal on a `MemoryDisk`, which can lose power."""

    def __init__(self, disk: MemoryDisk, shard: int, epoch: int, after: int = 0) -> None:
        super().__init__(disk, shard, epoch, after)
        self._memory_disk = disk

    def crash(self, keep_unsynced: int = 0, torn: bool = False) -> None:
        """Lose power while the buffered records were being flushed; this journal is dead, open the disk again.

        keep_unsynced: bytes of that unfinished write that reached the disk (all of them: the records survive, though
        nobody was told); torn: the second half of those reached it as zeros.
        """
        if self._buffer and self._failure is None and not self._closed:
            frame = encode_frame(list(self._buffer), self._durable + 1, self._epoch, self._sync)
            self._memory_disk.append(frame)
        self._closed = True
        self._memory_disk.crash(keep_unsynced, torn)


UPGRADED_ROWS = 2  # given to an upgrade at once: few, so that tests of small tables see more than one piece
Row = tuple[Any, ...]


@dataclass(slots=True)
class MemoryShelf:
    """What a `MemoryCheckpointStore` leaves behind when its process dies."""

    position: int = 0
    epoch: int = 0
    rows: dict[str, dict[Row, Row]] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()  # of whoever opened it last


class MemoryCheckpointStore:
    """A `CheckpointStore` of dicts: the plain twin of the DuckDB store. `fail_writes` lets the next n writes fail."""

    def __init__(
        self, tables: Sequence[Table], shelf: MemoryShelf | None = None, upgrades: Upgrades = UPGRADES
    ) -> None:
        """Open a shelf, whose tables are brought up if they are older. Raises what every store raises then."""
        self._tables = {table.name: table for table in tables}
        self._shelf = shelf if shelf is not None else MemoryShelf()
        self._bring_up(tables, upgrades)
        self._closed = threading.Event()
        self._swapping = threading.Lock()
        self.fail_writes = 0

    def _bring_up(self, tables: Sequence[Table], upgrades: Upgrades) -> None:
        upgraded: dict[str, dict[Row, Row]] = {}
        for upgrade in plan_tables(self._shelf.tables, tables, "memory", upgrades).changed:
            before = list(self._shelf.rows.get(upgrade.table.name, {}).values())
            rows = upgraded[upgrade.table.name] = {}
            for begin in range(0, len(before), UPGRADED_ROWS):
                piece = TableChange(upgrade.stored, _columns(upgrade.stored, before[begin : begin + UPGRADED_ROWS]))
                _apply(rows, upgrade.carry(piece))
        self._shelf.rows |= upgraded
        self._shelf.tables = tuple(tables)

    def write(self, position: int, epoch: int, changes: Sequence[TableChange]) -> None:
        """Apply the changes to copies, then swap them in."""
        check_write(self._tables, position, epoch, changes, self._shelf.position, self._shelf.epoch)
        if self.fail_writes:
            self.fail_writes -= 1
            raise CheckpointFailedError("injected fault: the checkpoint was not written")
        touched = {change.table.name: dict(self._shelf.rows.get(change.table.name, {})) for change in changes}
        for change in changes:
            _apply(touched[change.table.name], change)
        with self._swapping:
            self._shelf.rows.update(touched)
            self._shelf.position, self._shelf.epoch = position, epoch

    def replace(self, position: int, epoch: int, pieces: Iterator[TableChange]) -> None:
        """Gather the pieces, then swap them in."""
        check_replace(position, epoch, self._shelf.epoch)
        rows: dict[str, dict[Row, Row]] = {}
        for piece in pieces:
            check_piece(self._tables, piece)
            _apply(rows.setdefault(piece.table.name, {}), piece)
        if self.fail_writes:
            self.fail_writes -= 1
            raise CheckpointFailedError("injected fault: the checkpoint was not written")
        with self._swapping:
            self._shelf.position, self._shelf.epoch, self._shelf.rows = position, epoch, rows

    def read_pieces(self, rows_max: int) -> SnapshotReader:
        """Read the rows as they are now: a write puts other dicts in their place."""
        check_rows_max(rows_max)
        closed = threading.Event()
        with self._swapping:  # rows and position of one moment, whatever another thread writes
            rows, position, epoch = dict(self._shelf.rows), self._shelf.position, self._shelf.epoch
        return SnapshotReader(position, epoch, self._pieces(rows, rows_max, closed), closed.set)

    def _pieces(
        self, tables: dict[str, dict[Row, Row]], rows_max: int, closed: threading.Event
    ) -> Iterator[TableChange]:
        for name, rows in tables.items():
            table, left = self._tables[name], list(rows.values())
            begin = 0
            for end in piece_ends(np.array([_row_bytes(row) for row in left], np.int64), rows_max):
                if closed.is_set() or self._closed.is_set():
                    raise CheckpointFailedError("the snapshot was closed while it was read")
                yield TableChange(table, _columns(table, left[begin:end]))
                begin = end

    def load(self) -> Checkpoint:
        """Return the rows as columns."""
        rows = self._shelf.rows
        tables = {name: _columns(table, list(rows.get(name, {}).values())) for name, table in self._tables.items()}
        return Checkpoint(self._shelf.position, self._shelf.epoch, tables)

    def close(self) -> None:
        """End the open snapshots."""
        self._closed.set()


def _columns(table: Table, rows: list[Row]) -> Columns:
    columns: Columns = {}
    for index, (column, kind) in enumerate(table.columns):
        values = [row[index] for row in rows]
        columns[column] = np.array(values, DTYPES[kind]) if kind in DTYPES else values
    return columns


def _row_bytes(row: Row) -> int:
    return sum(VALUE_BYTES + (len(value) if isinstance(value, bytes | str) else 0) for value in row)


def _apply(rows: dict[Row, Row], change: TableChange) -> None:
    table = change.table
    for key in _rows(change.deletes, table.key):
        rows.pop(key, None)
    keys = _rows(change.upserts, table.key)
    if len(set(keys)) != len(keys):
        raise InvalidError(f"table {table.name}: a key comes twice in one change's upserts", "upserts")
    rows.update(zip(keys, _rows(change.upserts, table.column_names), strict=True))


def _rows(columns: Columns, names: tuple[str, ...]) -> list[Row]:
    if not columns:
        return []
    lists = [columns[name].tolist() if isinstance(columns[name], np.ndarray) else columns[name] for name in names]
    return list(zip(*lists, strict=True))
