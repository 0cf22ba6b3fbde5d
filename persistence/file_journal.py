"""The journal as segment files: appended to by one process, one fdatasync a batch.

Rules of this file
- Durable first, then told: `durable_position` moves only after the sync of the bytes returned.
- A frame is written only after the frame before it is durable. Opening relies on it (segment_scan.py).
- A failed write or sync is final: the kernel may have dropped the dirty pages, so a second fsync that succeeds would
  prove nothing ("fsyncgate"). Whoever owns the shard opens the journal again, and recovery sees what is really there.
- A write that finds no room is another matter: nothing of it is durable or was claimed to be. What it left in the file
  is cut off, the records stay buffered, and the next `flush` tries again.
- `append` takes no lock: the counters that it moves are written by its thread alone, the counters of `flush` by the
  flushing thread alone, and `deque.append` / `popleft` are atomic. `flush`, `roll` and `close` exclude each other.

    directory/  journal.lock  journal-00000000000000000001.seg  journal-00000000000000004711.seg  ...
                              closed: trimmed when checkpointed   the last one: appended to

Costs: append 0.2 us; a flush is one write and one fdatasync; opening reads and verifies all that is held.
It doesn't decide when to flush (group_commit.py), roll or trim (checkpointer.py, the shard).
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from persistence.disk import Disk, RealDisk
from persistence.errors import (
    FencedError,
    JournalClosedError,
    JournalFailedError,
    JournalUnavailableError,
    PositionGapError,
    StorageError,
)
from persistence.protocols import TailCut
from persistence.record_buffer import RecordBuffer
from persistence.segment_format import (
    FRAME_PAYLOAD_BYTES_MAX,
    LENGTH_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    encode_frame,
    encode_segment_header,
)
from persistence.segment_scan import SegmentScan, read_records, scan_segments, segment_name

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)  # a full disk, or no more files; a quota that is used up


class SegmentJournal(RecordBuffer):
    """A `Journal` of segments on any `Disk`. `FileJournal` is the one for a directory.

    shard: checked against the segments found; epoch: >= 0, stamped into every frame from now on.
    Raises JournalLockedError, JournalCorruptError (nothing changed), FencedError (nothing changed) if a higher epoch
    has written here, JournalFailedError if the disk gives errors.
    """

    def __init__(self, disk: Disk, shard: int, epoch: int) -> None:
        self._disk, self._shard, self._epoch = disk, shard, epoch
        self._buffer: deque[bytes] = deque()
        self._write_lock = threading.Lock()
        self._failure: str | None = None
        self._closed = False
        disk.lock()
        try:
            self._open()
        except BaseException as error:
            disk.close()
            if isinstance(error, OSError):
                raise JournalFailedError(f"{disk.path('')}: opening the journal failed: {error}") from error
            raise

    def _open(self) -> None:
        scans = scan_segments(self._disk, self._shard)
        newest = scans[-1] if scans else None
        if newest is not None and newest.epoch > self._epoch:
            path = self._disk.path(newest.name)
            raise FencedError(f"{path}: epoch {newest.epoch} has written here, this owner has epoch {self._epoch}")
        self.tail_cut: TailCut | None = newest.cut if newest else None
        if newest is not None and newest.cut is not None:
            self._disk.truncate(newest.name, newest.end)
        self._closed_segments: deque[tuple[str, int, int]] = deque(_extent(scan) for scan in scans[:-1])
        self._durable = newest.last_position if newest else 0
        self._next = self._durable + 1
        self._appended_bytes = self._flushed_bytes = 0
        if newest is None:
            self._begin_segment()
        elif newest.epoch < self._epoch:  # the new epoch is on disk before its first record, and fences from here on
            if newest.last_position >= newest.header.first_position:
                self._closed_segments.append(_extent(newest))
            self._begin_segment()
        else:
            self._current, self._current_first = newest.name, newest.header.first_position
            self._sync, self._sealed = newest.header.sync, newest.sealed
            self._segment_bytes = newest.end - SEGMENT_HEADER_BYTES
            self._disk.open_append(newest.name)

    @property
    def first_position(self) -> int:
        """The oldest position still held, or `next_position` when none is."""
        return self._closed_segments[0][1] if self._closed_segments else self._current_first

    def flush(self) -> int:
        """Write what was appended before this call as one frame, sync it, return the durable position.

        More than 64 MiB become several frames, each durable before the next is written. Raises
        JournalUnavailableError while there is no room.
        """
        with self._write_lock:
            self._refuse()
            self._flush_buffer()
            return self._durable

    def roll(self) -> int:
        """Flush, close the segment, begin the next; return the last position of what was closed."""
        with self._write_lock:
            self._refuse()
            self._flush_buffer()
            if self._durable >= self._current_first:
                closed = (self._current, self._current_first, self._durable)
                with self._failing("beginning a segment"):
                    full = self._unless_full(self._begin_segment)
                if full is not None:
                    raise self._unavailable(full)
                self._closed_segments.append(closed)
            return self._durable

    def trim(self, position: int) -> None:
        """Delete closed segments whose records are all at or below `position`, oldest first.

        Raises StorageError if a file can't be deleted; the rest is kept and the journal goes on.
        """
        self._refuse()
        if position > self._durable:
            raise ValueError(f"trim to {position}, but only {self._durable} is durable")
        while self._closed_segments and self._closed_segments[0][2] <= position:
            name = self._closed_segments[0][0]
            try:
                self._disk.delete(name)
            except FileNotFoundError:  # an earlier try deleted it and failed to sync the directory
                pass
            except OSError as error:
                raise StorageError(f"{self._disk.path(name)}: can't be deleted: {error}") from error
            self._closed_segments.popleft()

    def replay(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield (position, record) above `after`, up to what is durable now. 1.5 million records/s."""
        self._refuse()
        if not self.first_position - 1 <= after <= self._durable:
            raise PositionGapError(
                f"{self._disk.path(self._current)}: asked for what follows position {after}, "
                f"but the journal holds {self.first_position} to {self._durable}"
            )
        segments = [*self._closed_segments, (self._current, self._current_first, self._durable)]
        return self._replay(segments, after)

    def _replay(self, segments: list[tuple[str, int, int]], after: int) -> Iterator[tuple[int, bytes]]:
        for name, first, last in segments:
            if last > after and last >= first:
                yield from read_records(self._disk, name, self._shard, after, last)

    def close(self) -> None:
        """Flush, seal, release the directory. After a failure it only releases. Idempotent."""
        with self._write_lock:
            if self._closed:
                return
            try:
                if self._failure is None:
                    self._flush_buffer()
                    if not self._sealed:
                        self._write_frame([])
            finally:
                self._closed = True
                self._disk.close()

    def _flush_buffer(self) -> None:
        left = len(self._buffer)
        while left:
            records = self._take(left)
            left -= len(records)
            self._write_frame(records)

    def _take(self, count_max: int) -> list[bytes]:
        """Remove and return the oldest buffered records that fit into one frame: at least one, at most count_max."""
        records: list[bytes] = []
        payload_bytes, buffer = 0, self._buffer
        while len(records) < count_max:
            payload_bytes += LENGTH_BYTES + len(buffer[0])
            if payload_bytes > FRAME_PAYLOAD_BYTES_MAX:
                break
            records.append(buffer.popleft())
        return records

    def _write_frame(self, records: list[bytes]) -> None:
        with self._failing("writing"):
            frame = encode_frame(records, self._durable + 1, self._epoch, self._sync)
            full = self._unless_full(lambda: self._disk.append(frame))
            if full is None:
                self._disk.sync()
            else:
                self._disk.truncate(self._current, SEGMENT_HEADER_BYTES + self._segment_bytes)
        if full is not None:
            self._buffer.extendleft(reversed(records))
            raise self._unavailable(full)
        self._segment_bytes += len(frame)
        self._flushed_bytes += sum(map(len, records))
        self._sealed = not records
        self._durable += len(records)

    def _begin_segment(self) -> None:
        name, sync = segment_name(self._durable + 1), self._disk.new_sync_marker()
        header = SegmentHeader(self._shard, self._durable + 1, self._epoch, sync)
        self._disk.create(name, encode_segment_header(header))
        self._disk.open_append(name)
        self._current, self._current_first, self._sync = name, self._durable + 1, sync
        self._segment_bytes, self._sealed = 0, True

    @staticmethod
    def _unless_full(write: Callable[[], None]) -> OSError | None:
        """Write; return the error if there was no room for it."""
        try:
            write()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return error
        return None

    def _unavailable(self, error: OSError) -> JournalUnavailableError:
        path = self._disk.path(self._current)
        return JournalUnavailableError(f"{path}: {error}; durable up to {self._durable}", reason="the disk is full")

    @contextmanager
    def _failing(self, doing: str) -> Iterator[None]:
        """Mark the journal failed for good if the block raises, whatever it raises."""
        try:
            yield
        except BaseException as error:
            self._failure = f"{self._disk.path(self._current)}: {doing} failed: {error}; durable up to {self._durable}"
            if isinstance(error, OSError):
                raise JournalFailedError(self._failure) from error
            raise

    def _refuse(self) -> None:
        if self._failure is not None:
            raise JournalFailedError(self._failure)
        if self._closed:
            raise JournalClosedError(f"{self._disk.path(self._current)}: the journal is closed")


class FileJournal(SegmentJournal):
    """The journal of one shard in a directory of its own (made if missing). See `SegmentJournal` for what it raises."""

    def __init__(self, directory: Path | str, shard: int, epoch: int) -> None:
        super().__init__(RealDisk(Path(directory)), shard, epoch)


def _extent(scan: SegmentScan) -> tuple[str, int, int]:
    return scan.name, scan.header.first_position, scan.last_position
