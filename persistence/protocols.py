"""What the shard needs of storage: a journal to append to and a checkpoint store to fold into.

Rules of this file
- The consumer's view: a backend is anything that passes tests/persistence/test_journal_contract.py and
  test_store_contract.py. Nothing here knows of files, so a Redis stream fits behind `Journal` and blobs behind
  `CheckpointStore`.
- Positions are 1, 2, 3, ...: one per record, without a gap, whatever the batches. Position 0 is "before everything".
- Nothing counts until it is durable: `append` promises nothing, `flush` and `roll` do.
- Epochs fence: whoever opens (or writes) with a lower epoch than one already seen gets `FencedError`.

Threads: one thread appends; `flush` and `roll` run on another at the same time (group_commit.py); `trim` on a third
(checkpointer.py). `replay` and `retain` may be called on any other at any time: recovery replays before the first
`trim`, a follower is sent what it lacks while all the others go on. `cut_after` and `restart` want nobody to append.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.core.checkpoints.tables import Checkpoint, TableChange
from persistence.snapshot_pieces import SnapshotReader


@dataclass(frozen=True, slots=True)
class TailCut:
    """What opening a journal cut off: the torn end of a write that was never reported durable."""

    path: str
    offset: int
    cut_bytes: int
    reason: str
    next_position: int  # the position that the cut bytes would have begun with


class Journal(Protocol):
    """The append-only record of one shard's commands. Single writer.

    Opened with an `after`, a journal that never held a record begins there: its first one is after + 1. Any other
    ignores it.
    """

    @property
    def epoch(self) -> int:
        """The epoch that records are written under. O(1)."""

    @property
    def next_position(self) -> int:
        """The position that the next `append` returns. O(1)."""

    @property
    def durable_position(self) -> int:
        """The last position that survives a crash; 0 when there is none. O(1)."""

    @property
    def first_position(self) -> int:
        """The oldest position still held (or `next_position` when none is). O(1)."""

    @property
    def buffered_count(self) -> int:
        """Records appended and not durable yet. O(1)."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes of the records appended and not durable yet. O(1)."""

    @property
    def segment_bytes(self) -> int:
        """Bytes written since the last `roll` (0 just after one). O(1)."""

    @property
    def tail_cut(self) -> TailCut | None:
        """What opening this journal cut off, or None."""

    def replay(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield (position, record) for each durable position above `after`, ascending, without a gap.

        What was durable at the call, while appending, flushing and trimming go on. Begins in O(segments) plus the
        headers of the frames at or below `after` in one segment. Raises PositionGapError if `after` is below
        `first_position - 1` or above `durable_position`, or later, if a record that `retain` doesn't cover was trimmed
        before it was read, or the end was cut; JournalCorruptError at the first record that can't be trusted (those
        before it were yielded); OSError or a StorageError if the backend can't be read.
        """

    def append(self, record: bytes) -> int:
        """Buffer one record and return its position. Not durable yet. O(1), no I/O.

        Raises TooLargeError (nothing buffered), JournalFailedError, JournalClosedError.
        """

    def flush(self) -> int:
        """Make everything appended before this call durable, as one batch; return the durable position. Blocks.

        Raises JournalUnavailableError: for now a part, or nothing, became durable; the rest stays buffered for the
        next call. Raises JournalFailedError, FencedError or JournalLostError; the journal then stays failed and reports
        nothing more as durable.
        """

    def roll(self) -> int:
        """Flush, close the segment and begin the next; return the last position in what was closed. Blocks.

        A segment without a record is kept as it is.
        """

    def trim(self, position: int) -> None:
        """Drop the closed segments whose records are all at or below `position`, and not retained. Blocks. Idempotent.

        Raises ValueError if `position` isn't durable.
        """

    def retain(self, after: int | None) -> None:
        """Let no later `trim` take a record above `after`; None ends that. Any thread. O(1).

        What was trimmed before is gone: see `first_position`.
        """

    def begin_epoch(self, epoch: int) -> None:
        """Flush under the present epoch, then write under this one. Durable on return: a lower owner is fenced. Blocks.

        The same epoch is no change. Excludes `flush`, `roll` and `close`. Raises ValueError for a lower epoch, and
        what `flush` raises; a group commit reports what was flushed at its next `notify`.
        """

    def cut_after(self, position: int) -> None:
        """Drop every record above `position`; the next one is position + 1. Durable on return. Idempotent. Blocks.

        For the tail of a deposed primary, which the cluster never agreed on. Records at or below `position` are durable
        at every moment; after a crash the journal opens to a position between `position` and the old end. Raises
        ValueError if records are buffered, or `position` is below `first_position - 1` or above `durable_position`
        (nothing changed), and what `flush` raises.
        """

    def restart(self, after: int) -> None:
        """Drop every record; the next one is after + 1. Durable on return. Idempotent. Blocks.

        For a copy that was replaced by a snapshot. The epoch stays. After a crash it is the old journal or the new.
        Raises ValueError if records are buffered or `after` is no position, and what `flush` raises.
        """

    def close(self) -> None:
        """Flush (unless failed), and let go of everything held. Idempotent."""


class CheckpointStore(Protocol):
    """Tables that hold one shard's state up to a journal position."""

    def write(self, position: int, epoch: int, changes: Sequence[TableChange]) -> None:
        """Apply the changes in order and move to (position, epoch), all or nothing, durable on return. Blocks.

        A table may come several times; each change applies its deletes, then its upserts. Writing the same
        position again is allowed (a retry). Raises ValueError for a position below the stored one, FencedError for
        a lower epoch, InvalidError for a malformed change, CheckpointFailedError if the write failed: nothing changed.
        """

    def load(self) -> Checkpoint:
        """Return all rows with their position and epoch. Raises CheckpointDamagedError."""

    def read_pieces(self, rows_max: int) -> SnapshotReader:
        """Return the stored state as of now, to be read piece by piece while `write` goes on. Any thread.

        rows_max: rows in a piece at most (>= 1, ValueError otherwise); snapshot_pieces.py has the other bound. The
        reader tells position and epoch at once. Its pieces have upserts only, a table's pieces come together, tables
        without rows not at all. At no time is a whole table in memory. Raises CheckpointDamagedError.
        """

    def replace(self, position: int, epoch: int, pieces: Iterator[TableChange]) -> None:
        """Replace everything stored by a snapshot at (position, epoch): all or nothing, durable on return. Blocks.

        position: lower or higher than the stored one; pieces: as `read_pieces` gives them: upserts only, each key once
        (not checked across pieces), tables in any order. Other calls of the store wait until the iterator ends, reading
        an open snapshot doesn't. Raises FencedError for an epoch below the stored one, InvalidError for a malformed
        piece, CheckpointFailedError if the write failed, and whatever the iterator raises: nothing changed.
        """

    def close(self) -> None:
        """Let go of everything held, open snapshots too. Idempotent."""
