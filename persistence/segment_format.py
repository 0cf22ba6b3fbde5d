"""The bytes of a journal segment: pure functions from records to bytes and back.

Rules of this file
- No I/O. Whatever the bytes, decoding raises `DefectError` or returns exactly what was encoded; it never reads or
  allocates beyond the bytes that it was given.
- Little-endian throughout. Checksums are CRC-32 (zlib): over 1 GB/s, and a frame is at most 64 MiB.

    segment   | header 48 | frame | frame | ...
    header    | magic 8 | version u32 | shard u32 | first position u64 | epoch u64 | sync 8 | zero u32 | crc u32 |
    frame     | sync 8 | payload bytes u32 | record count u32 | first position u64 | epoch u64
              | crc of payload u32 | crc of the 36 bytes before u32 |  payload
    payload   | length u32 | record | length u32 | record | ...

The sync marker is random for each segment, so that no client can put a valid frame inside a record: a scan for
frames behind damage finds real ones only. A frame without records is a seal: a clean close writes one, which makes
damage to the frame before it recognisable as damage instead of a torn write.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

MAGIC = b"RKJOURNL"
VERSION = 1
SYNC_BYTES = 8
_SEGMENT = struct.Struct("<8sIIQQ8sI")
_FRAME = struct.Struct("<8sIIQQI")
_U32 = struct.Struct("<I")
SEGMENT_HEADER_BYTES = _SEGMENT.size + 4
FRAME_HEADER_BYTES = _FRAME.size + 4
LENGTH_BYTES = _U32.size

RECORD_BYTES_MAX = 16 * 1024 * 1024  # bytes; a bulk command of 20,000 follows is 0.3 MB, so fifty times the largest
FRAME_PAYLOAD_BYTES_MAX = 64 * 1024 * 1024  # bytes; what recovery holds in memory at once, and one fsync writes
POSITION_MAX = (1 << 63) - 1  # fits DuckDB's BIGINT and Redis' signed integers


class DefectError(Exception):
    """The bytes at hand are no valid header or frame; the message says what is wrong."""


class NewerVersionError(DefectError):
    """A whole header of a later format."""


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first 48 bytes of a segment."""

    shard: int
    first_position: int
    epoch: int
    sync: bytes


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """The first 40 bytes of a frame, verified."""

    payload_bytes: int
    record_count: int
    first_position: int
    epoch: int
    payload_crc: int

    @property
    def last_position(self) -> int:
        """Return the position of the last record; first_position - 1 when there is none."""
        return self.first_position + self.record_count - 1

    @property
    def frame_bytes(self) -> int:
        """Return the size of the whole frame in bytes."""
        return FRAME_HEADER_BYTES + self.payload_bytes


def encode_segment_header(header: SegmentHeader) -> bytes:
    """Return the 48 bytes that begin a segment."""
    head = _SEGMENT.pack(MAGIC, VERSION, header.shard, header.first_position, header.epoch, header.sync, 0)
    return head + _U32.pack(zlib.crc32(head))


def decode_segment_header(data: bytes) -> SegmentHeader:
    """Return the header in the first 48 bytes of data. Raises DefectError, NewerVersionError."""
    if len(data) < SEGMENT_HEADER_BYTES:
        raise DefectError(f"segment header of {len(data)} bytes, {SEGMENT_HEADER_BYTES} expected")
    magic, version, shard, first_position, epoch, sync, zero = _SEGMENT.unpack_from(data)
    if magic != MAGIC:
        raise DefectError(f"magic {magic!r}, {MAGIC!r} expected: not a journal segment")
    (crc,) = _U32.unpack_from(data, _SEGMENT.size)
    if crc != zlib.crc32(data[: _SEGMENT.size]):
        raise DefectError("segment header checksum differs")
    if version > VERSION:
        raise NewerVersionError(f"segment format version {version}, this version reads up to {VERSION}")
    if version != VERSION:
        raise DefectError(f"segment format version {version}, this program reads version {VERSION}")
    if zero or not 1 <= first_position <= POSITION_MAX:
        raise DefectError(f"segment header with first position {first_position} and reserved field {zero}")
    return SegmentHeader(shard, first_position, epoch, sync)


def encode_frame(records: Sequence[bytes], first_position: int, epoch: int, sync: bytes) -> bytes:
    """Return one frame of these records. 0.2 us a record."""
    parts: list[bytes] = [b""]
    for record in records:
        parts.append(_U32.pack(len(record)))
        parts.append(record)
    payload = b"".join(parts)
    head = _FRAME.pack(sync, len(payload), len(records), first_position, epoch, zlib.crc32(payload))
    return b"".join((head, _U32.pack(zlib.crc32(head)), payload))


def decode_frame_header(data: bytes, sync: bytes, bytes_left: int) -> FrameHeader:
    """Return the frame header at the start of data.

    data: at least 40 bytes, unless the file ends; bytes_left: from the start of the frame to the end of the file.
    Raises DefectError, also when the frame would be longer than bytes_left or than the limit.
    """
    if len(data) < FRAME_HEADER_BYTES:
        raise DefectError(f"frame header of {len(data)} bytes, {FRAME_HEADER_BYTES} expected")
    marker, payload_bytes, record_count, first_position, epoch, payload_crc = _FRAME.unpack_from(data)
    if marker != sync:
        raise DefectError("no frame marker")
    (crc,) = _U32.unpack_from(data, _FRAME.size)
    if crc != zlib.crc32(data[: _FRAME.size]):
        raise DefectError("frame header checksum differs")
    if payload_bytes > FRAME_PAYLOAD_BYTES_MAX or record_count * LENGTH_BYTES > payload_bytes:
        raise DefectError(f"frame of {record_count} records in {payload_bytes} bytes")
    if FRAME_HEADER_BYTES + payload_bytes > bytes_left:
        raise DefectError(f"frame of {FRAME_HEADER_BYTES + payload_bytes} bytes, the file has {bytes_left} left")
    return FrameHeader(payload_bytes, record_count, first_position, epoch, payload_crc)


def decode_payload(header: FrameHeader, payload: bytes) -> list[bytes]:
    """Return the records of a frame. Raises DefectError. 0.3 us a record."""
    check_payload(header, payload)
    records: list[bytes] = []
    offset, end, unpack = 0, len(payload), _U32.unpack_from
    while offset < end:
        if offset + LENGTH_BYTES > end:
            raise DefectError(f"record length cut off at payload byte {offset}")
        start = offset + LENGTH_BYTES
        offset = start + unpack(payload, offset)[0]
        if offset > end:
            raise DefectError(f"record at payload byte {start} ends at {offset}, the payload at {end}")
        records.append(payload[start:offset])
    if len(records) != header.record_count:
        raise DefectError(f"{len(records)} records, the frame header says {header.record_count}")
    return records


def check_payload(header: FrameHeader, payload: bytes) -> None:
    """Raise DefectError unless these are the bytes that the header was made for. Over 1 GB/s."""
    if len(payload) != header.payload_bytes:
        raise DefectError(f"frame payload of {len(payload)} bytes, {header.payload_bytes} expected")
    if zlib.crc32(payload) != header.payload_crc:
        raise DefectError("frame payload checksum differs")
