"""The journal as segment files: appended to by one process, one fdatasync a batch.

Rules of this file
- Durable first, then told: `durable_position` moves only after the sync of the bytes returned.
- A frame is written only after the frame before it is durable. Opening relies on it (segment_scan.py).
- A failed write or sync is final: the kernel may have dropped the dirty pages, so a second fsync that succeeds would
  prove nothing ("fsyncgate"). Whoever owns the shard opens the journal again, and recovery sees what is really there.
- A write that finds no room is another matter: nothing of it is durable or was claimed to be. What it left in the file
  is cut off, the records stay buffered, and the next `flush` tries again.
- `append` takes no lock: the counters that it moves are written by its thread alone, the counters of `flush` by the
  flushing thread alone, and `deque.append` / `popleft` are atomic. `flush`, `roll`, `begin_epoch`, `cut_after` and
  `close` exclude each other; so do `trim` and `cut_after`, which remove files.
- Which segments there are changes under a lock that is never held during I/O. A reader takes a list of them and needs
  no lock from then on: what it reads is never written again, only deleted (by `trim`) or replaced (by `cut_after`),
  and it finds out about either before it yields anything.

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
from typing import NamedTuple

from persistence.disk import Disk, RealDisk
from persistence.errors import (
    FencedError,
    JournalClosedError,
    JournalCorruptError,
    JournalFailedError,
    JournalUnavailableError,
    PositionGapError,
    StorageError,
)
from persistence.journal_cut import CutPlan, cut, finish_interrupted_cut
from persistence.protocols import TailCut
from persistence.record_buffer import RecordBuffer, check_beginning, check_new_epoch
from persistence.segment_format import (
    FRAME_PAYLOAD_BYTES_MAX,
    LENGTH_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    encode_frame,
    encode_segment_header,
)
from persistence.segment_scan import SegmentScan, read_frames, scan_segments, segment_name

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)  # a full disk, or no more files; a quota that is used up


class SegmentJournal(RecordBuffer):
    """A `Journal` of segments on any `Disk`. `FileJournal` is the one for a directory.

    shard: checked against the segments found; epoch: >= 0, stamped into every frame from now on; after: >= 0, where
    a journal that never held a record begins: its first is after + 1. Any other journal goes on where it ended.
    Raises JournalLockedError, JournalCorruptError (nothing changed), FencedError (nothing changed) if a higher epoch
    has written here, JournalFailedError if the disk gives errors.
    """

    def __init__(self, disk: Disk, shard: int, epoch: int, after: int = 0) -> None:
        check_beginning(after)
        self._disk, self._shard, self._epoch = disk, shard, epoch
        self._buffer: deque[bytes] = deque()
        self._write_lock = threading.Lock()
        self._removal_lock = threading.Lock()  # taken after the write lock
        self._list_lock = threading.Lock()  # taken last
        self._failure: str | None = None
        self._closed = False
        disk.lock()
        try:
            self._open(after)
        except BaseException as error:
            disk.close()
            if isinstance(error, OSError):
                raise JournalFailedError(f"{disk.path('')}: opening the journal failed: {error}") from error
            raise

    def _open(self, after: int) -> None:
        finish_interrupted_cut(self._disk, self._shard, self._epoch)
        scans = scan_segments(self._disk, self._shard)
        newest = scans[-1] if scans else None
        if newest is not None and newest.epoch > self._epoch:
            path = self._disk.path(newest.name)
            raise FencedError(f"{path}: epoch {newest.epoch} has written here, this owner has epoch {self._epoch}")
        self.tail_cut: TailCut | None = newest.cut if newest else None
        if newest is not None and newest.cut is not None:
            self._disk.truncate(newest.name, newest.end)
        self._closed_segments: deque[_Extent] = deque(_extent(scan) for scan in scans[:-1])
        self._durable = newest.last_position if newest else after
        self._next = self._durable + 1
        self._appended_bytes = self._flushed_bytes = 0
        if newest is None:
            self._current_first = self._next
            self._begin_segment()
        elif newest.epoch < self._epoch:  # the new epoch is on disk before its first record, and fences from here on
            self._current, self._current_first = newest.name, newest.header.first_position
            self._begin_segment()
        else:
            self._current, self._current_first = newest.name, newest.header.first_position
            self._sync, self._sealed = newest.header.sync, newest.sealed
            self._segment_bytes = newest.end - SEGMENT_HEADER_BYTES
            self._disk.open_append(newest.name)
        if self._durable == 0 and after:
            self._cut(CutPlan(after, self._epoch, all_goes=True))

    @property
    def first_position(self) -> int:
        """The oldest position still held, or `next_position` when none is."""
        with self._list_lock:
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
                with self._failing("beginning a segment"):
                    full = self._unless_full(self._begin_segment)
                if full is not None:
                    raise self._unavailable(full)
            return self._durable

    def begin_epoch(self, epoch: int) -> None:
        """Flush, then begin a segment of a higher epoch. Two syncs and those of the flush."""
        with self._write_lock:
            self._refuse()
            if check_new_epoch(epoch, self._epoch):
                self._flush_buffer()
                with self._failing(f"beginning epoch {epoch}"):
                    self._epoch = epoch
                    self._begin_segment()

    def cut_after(self, position: int) -> None:
        """Drop the records above `position`. 30 ms for half of a segment of 16 MiB (journal_cut.py)."""
        with self._write_lock:
            self._refuse()
            self._check_cut(position, self.first_position)
            if position < self._durable:
                self._cut(CutPlan(position, self._epoch))

    def restart(self, after: int) -> None:
        """Drop every record; the next one is after + 1."""
        check_beginning(after)
        with self._write_lock:
            self._refuse()
            self._check_settled()
            if self._durable != after or self.first_position != after + 1:
                self._cut(CutPlan(after, self._epoch, all_goes=True))

    def trim(self, position: int) -> None:
        """Delete closed segments whose records are all at or below `position`, oldest first.

        Raises StorageError if a file can't be deleted; the rest is kept and the journal goes on.
        """
        self._refuse()
        if position > self._durable:
            raise ValueError(f"trim to {position}, but only {self._durable} is durable")
        with self._removal_lock:
            while (segment := self._take_trimmed(position)) is not None:
                try:
                    self._disk.delete(segment.name)
                except FileNotFoundError:  # an earlier try deleted it and failed to sync the directory
                    pass
                except OSError as error:
                    with self._list_lock:
                        self._closed_segments.appendleft(segment)
                    raise StorageError(f"{self._disk.path(segment.name)}: can't be deleted: {error}") from error

    def _take_trimmed(self, position: int) -> _Extent | None:
        """Take the oldest segment off the list if it may go: whoever asks for it from now on is told that it's gone."""
        with self._list_lock:
            if self._closed_segments and self._closed_segments[0].last <= self._trim_limit(position):
                return self._closed_segments.popleft()
            return None

    def replay(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield (position, record) above `after`, up to what is durable now. 1.5 million records/s."""
        self._refuse()
        with self._list_lock:
            segments = [*self._closed_segments, _Extent(self._current, self._current_first, self._durable)]
            cut_count = self._cut_count
        if not segments[0].first - 1 <= after <= segments[-1].last:
            raise PositionGapError(
                f"{self._disk.path(self._current)}: asked for what follows position {after}, "
                f"but the journal holds {segments[0].first} to {segments[-1].last}"
            )
        return self._replay(segments, after, cut_count)

    def _replay(self, segments: list[_Extent], after: int, cut_count: int) -> Iterator[tuple[int, bytes]]:
        for segment in segments:
            if segment.last <= after or segment.last < segment.first:
                continue
            frames = read_frames(self._disk, segment.name, self._shard, after, segment.last)
            while (frame := self._next_frame(frames, segment, cut_count)) is not None:
                for position, record in enumerate(frame[1], frame[0]):
                    if after < position <= segment.last:
                        yield position, record

    def _next_frame(
        self, frames: Iterator[tuple[int, list[bytes]]], segment: _Extent, cut_count: int
    ) -> tuple[int, list[bytes]] | None:
        """Return the next frame of a segment that nobody has trimmed or cut meanwhile, None at its end."""
        try:
            frame = next(frames, None)
        except (JournalCorruptError, FileNotFoundError) as error:
            self._check_held(segment, cut_count)
            if isinstance(error, FileNotFoundError):
                path = self._disk.path(segment.name)
                raise JournalCorruptError(f"{path}: byte 0: the segment is missing", path=path) from error
            raise
        if self._cut_count != cut_count:
            self._check_held(segment, cut_count)
        return frame

    def _check_held(self, segment: _Extent, cut_count: int) -> None:
        """Raise PositionGapError if the segment was trimmed since it was listed, or the journal was cut."""
        with self._list_lock:
            cut = self._cut_count != cut_count
            first = self._closed_segments[0].first if self._closed_segments else self._current_first
        if cut or first > segment.first:
            how = "cut" if cut else "trimmed"
            raise PositionGapError(
                f"{self._disk.path(segment.name)}: the journal was {how} while positions {segment.first} to"
                f" {segment.last} were read; it holds {first} to {self._durable}"
            )

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
        """Begin a segment behind the durable position; one without a record is replaced. Durable on return."""
        name, sync = segment_name(self._durable + 1), self._disk.new_sync_marker()
        header = SegmentHeader(self._shard, self._durable + 1, self._epoch, sync)
        self._disk.create(name, encode_segment_header(header))
        self._disk.open_append(name)
        with self._list_lock:
            if self._durable >= self._current_first:
                self._closed_segments.append(_Extent(self._current, self._current_first, self._durable))
            self._appending_to(name, sync)

    def _appending_to(self, name: str, sync: bytes) -> None:
        """Go on in this segment: it is on disk, without a record, and chosen."""
        self._current, self._current_first, self._sync = name, self._durable + 1, sync
        self._segment_bytes, self._sealed = 0, True

    def _cut(self, plan: CutPlan) -> None:
        """Carry out a plan. From the first moment on nobody reads or trims what goes."""
        with self._removal_lock, self._failing("cutting"):
            with self._list_lock:
                self._cut_count += 1
                segments = [*self._closed_segments, _Extent(self._current, self._current_first, self._durable)]
                kept = [] if plan.all_goes else [s for s in segments if s.first <= plan.position]
                self._closed_segments = deque(s._replace(last=min(s.last, plan.position)) for s in kept)
                self._current_first, self._durable = plan.position + 1, plan.position
                self._next = plan.position + 1
            name, sync = cut(self._disk, self._shard, plan, [(s.name, s.first) for s in segments])
            self._disk.open_append(name)
            with self._list_lock:
                self._appending_to(name, sync)

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

    def __init__(self, directory: Path | str, shard: int, epoch: int, after: int = 0) -> None:
        super().__init__(RealDisk(Path(directory)), shard, epoch, after)


class _Extent(NamedTuple):
    """A segment and the positions in it; last is first - 1 when there is none."""

    name: str
    first: int
    last: int


def _extent(scan: SegmentScan) -> _Extent:
    return _Extent(scan.name, scan.header.first_position, scan.last_position)
