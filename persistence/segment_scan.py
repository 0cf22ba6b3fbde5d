"""Reading journal segments: every frame is verified, and what is wrong is either a torn tail or corruption.

Rules of this file
- Reads only. The journal decides what to cut.
- A frame is written only after the one before it is durable. So a bad frame that no valid frame follows, in the last
  segment, is the torn end of a write that nobody was told of: a `TailCut`. Everything else that doesn't fit is
  damage to acknowledged records: `JournalCorruptError` with file and offset.

Costs: one pass, 1 MiB at a time plus one frame (64 MiB at most).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from persistence.disk import Disk
from persistence.errors import NEWER, JournalCorruptError, NewerFormatError
from persistence.protocols import TailCut
from persistence.segment_format import (
    FRAME_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    SYNC_BYTES,
    DefectError,
    FrameHeader,
    NewerVersionError,
    SegmentHeader,
    check_payload,
    decode_frame_header,
    decode_payload,
    decode_segment_header,
    encode_frame,
)

SEGMENT_PREFIX, SEGMENT_SUFFIX = "journal-", ".seg"
_READ_BYTES = 1024 * 1024  # bytes read at a time: large enough that the system call doesn't count


@dataclass(frozen=True, slots=True)
class SegmentScan:
    """What one verified segment holds. `end` is the offset after its last good frame."""

    name: str
    header: SegmentHeader
    end: int
    last_position: int  # first_position - 1 when it has no record
    epoch: int  # of the last frame, or of the header
    sealed: bool  # ends with a seal, or has no frame
    cut: TailCut | None


class _FrameDefectError(Exception):
    """A frame that can't be trusted, at a byte offset of its segment."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def segment_name(first_position: int) -> str:
    """Return the file name of the segment that begins with this position; names sort by position."""
    return f"{SEGMENT_PREFIX}{first_position:020d}{SEGMENT_SUFFIX}"


def segment_names(disk: Disk) -> list[str]:
    """Return the names of the segments on disk, oldest first."""
    return [name for name in disk.names() if name.startswith(SEGMENT_PREFIX) and name.endswith(SEGMENT_SUFFIX)]


def scan_segments(disk: Disk, shard: int) -> list[SegmentScan]:
    """Verify every byte of every segment, and that they go on from each other. Oldest first.

    Only the last may carry a `cut`. Raises JournalCorruptError; nothing is changed.
    """
    scans: list[SegmentScan] = []
    names = segment_names(disk)
    for name in names:
        scan = _scan_segment(disk, name, shard, may_be_torn=name == names[-1])
        if scans:
            _check_succession(disk, scans[-1], scan)
        scans.append(scan)
    return scans


def read_frames(disk: Disk, name: str, shard: int, after: int, until: int) -> Iterator[tuple[int, list[bytes]]]:
    """Yield (position of the first, records) of each frame that holds positions above `after`, up to `until`.

    The first and the last frame are whole: they may begin at or below `after` and end above `until`. Frames wholly at
    or below `after` are passed over by their headers. Raises JournalCorruptError if a frame before `until` can't be
    trusted, OSError if it can't be read.
    """
    reader = _SegmentReader(disk, name, shard)
    try:
        for frame, offset, payload in reader.frames(after):
            if frame.record_count:
                yield frame.first_position, _decode(frame, offset, payload)
            if frame.last_position >= until:
                return
    except _FrameDefectError as error:
        raise reader.corrupt(error.offset, error.reason) from error


def bytes_up_to(disk: Disk, name: str, shard: int, position: int) -> bytes:
    """Return the segment as it would be if nothing above `position` had been written. Raises JournalCorruptError.

    The frame that holds records on both sides is made anew, under its own epoch. Holds the segment in memory.
    """
    reader = _SegmentReader(disk, name, shard)
    end, rest = SEGMENT_HEADER_BYTES, b""
    try:
        for frame, offset, payload in reader.frames():
            if frame.last_position > position:
                kept = _decode(frame, offset, payload)[: position + 1 - frame.first_position]
                rest = encode_frame(kept, frame.first_position, frame.epoch, reader.header.sync) if kept else b""
                break
            end = offset + frame.frame_bytes
    except _FrameDefectError as error:
        raise reader.corrupt(error.offset, error.reason) from error
    return disk.read(name, 0, end) + rest


def _decode(frame: FrameHeader, offset: int, payload: bytes) -> list[bytes]:
    try:
        return decode_payload(frame, payload)
    except DefectError as error:
        raise _FrameDefectError(offset, str(error)) from error


class _SegmentReader:
    """Walks the frames of one segment, each verified against its checksums and its predecessor."""

    def __init__(self, disk: Disk, name: str, shard: int) -> None:
        self._disk = disk
        self.name = name
        self.size = disk.size(name)
        self._window, self._window_start = b"", 0
        try:
            self.header = decode_segment_header(self._read(0, SEGMENT_HEADER_BYTES))
        except NewerVersionError as error:
            raise NewerFormatError(f"{disk.path(name)}: {error}; {NEWER}") from error
        except DefectError as error:
            raise self.corrupt(0, str(error)) from error
        if self.header.shard != shard:
            raise self.corrupt(0, f"a segment of shard {self.header.shard}, this is shard {shard}")
        if segment_name(self.header.first_position) != name:
            raise self.corrupt(0, f"the header says that it begins with position {self.header.first_position}")

    def corrupt(self, offset: int, reason: str) -> JournalCorruptError:
        """Return the error that names this file and the offset."""
        path = self._disk.path(self.name)
        return JournalCorruptError(f"{path}: byte {offset}: {reason}", path=path, offset=offset)

    def frames(self, after: int = -1) -> Iterator[tuple[FrameHeader, int, bytes]]:
        """Yield (header, offset, payload) of each frame that ends above `after`; the others' payloads aren't read.

        Raises _FrameDefectError at the first bad one.
        """
        offset, position, epoch = SEGMENT_HEADER_BYTES, self.header.first_position, self.header.epoch
        while offset < self.size:
            frame = self._frame_header(offset)
            if frame.first_position != position:
                raise self.corrupt(offset, f"frame begins with position {frame.first_position}, {position} expected")
            if frame.epoch < epoch:
                raise self.corrupt(offset, f"frame of epoch {frame.epoch} after epoch {epoch}")
            if frame.last_position > after:
                yield frame, offset, self._payload(frame, offset)
            offset += frame.frame_bytes
            position += frame.record_count
            epoch = frame.epoch

    def valid_frame_behind(self, offset: int) -> int | None:
        """Return the offset of the next good frame above `offset`, or None. Linear in the bytes behind."""
        sync = self.header.sync
        offset += 1
        while offset < self.size:
            block = self._disk.read(self.name, offset, _READ_BYTES)
            found = block.find(sync)
            if found < 0:
                offset += max(len(block) - SYNC_BYTES + 1, 1)  # a marker may lie across two blocks
                continue
            offset += found
            try:
                self._payload(self._frame_header(offset), offset)
            except _FrameDefectError:
                offset += 1
            else:
                return offset
        return None

    def _frame_header(self, offset: int) -> FrameHeader:
        try:
            return decode_frame_header(self._read(offset, FRAME_HEADER_BYTES), self.header.sync, self.size - offset)
        except DefectError as error:
            raise _FrameDefectError(offset, str(error)) from error

    def _payload(self, frame: FrameHeader, offset: int) -> bytes:
        payload = self._read(offset + FRAME_HEADER_BYTES, frame.payload_bytes)
        try:
            check_payload(frame, payload)
        except DefectError as error:
            raise _FrameDefectError(offset, str(error)) from error
        return payload

    def _read(self, offset: int, count: int) -> bytes:
        begin = offset - self._window_start
        if begin < 0 or begin + count > len(self._window):
            self._window = self._disk.read(self.name, offset, max(count, _READ_BYTES))
            self._window_start, begin = offset, 0
        return self._window[begin : begin + count]


def _scan_segment(disk: Disk, name: str, shard: int, may_be_torn: bool) -> SegmentScan:
    reader = _SegmentReader(disk, name, shard)
    end, epoch, sealed = SEGMENT_HEADER_BYTES, reader.header.epoch, True
    next_position = reader.header.first_position
    cut = None
    try:
        for frame, offset, _ in reader.frames():
            end, epoch, sealed = offset + frame.frame_bytes, frame.epoch, frame.record_count == 0
            next_position += frame.record_count
    except _FrameDefectError as defect:
        if not may_be_torn:
            reason = f"{defect.reason}; a later segment exists, so these bytes were durable"
            raise reader.corrupt(defect.offset, reason) from defect
        behind = reader.valid_frame_behind(defect.offset)
        if behind is not None:
            reason = f"{defect.reason}; a valid frame follows at byte {behind}, so these bytes were durable"
            raise reader.corrupt(defect.offset, reason) from defect
        cut = TailCut(disk.path(name), defect.offset, reader.size - defect.offset, defect.reason, next_position)
    return SegmentScan(name, reader.header, end, next_position - 1, epoch, sealed, cut)


def _check_succession(disk: Disk, before: SegmentScan, after: SegmentScan) -> None:
    path, first = disk.path(after.name), after.header.first_position
    if first != before.last_position + 1:
        raise JournalCorruptError(
            f"{path}: byte 0: begins with position {first}, but {disk.path(before.name)} ends with "
            f"{before.last_position}: a segment or part of one is missing",
            path=path,
        )
    if after.header.epoch < before.epoch:
        raise JournalCorruptError(f"{path}: byte 0: epoch {after.header.epoch} after epoch {before.epoch}", path=path)
