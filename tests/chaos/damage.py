"""A bit that goes bad on disk: in the journal of one replica, wherever a journal can tell.

Rules of this file
- Damage is in the middle, whoever writes meanwhile or doesn't: a good frame lies behind it, or it is in a segment's
  head. In the last frame it would look like the torn end of a write that nobody was told of, which a journal cuts off:
  a copy without a record that it has acknowledged, and that nobody could know of.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from actors.shard.places import JOURNAL_DIRECTORY
from persistence.segment_format import (
    FRAME_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    DefectError,
    check_payload,
    decode_frame_header,
    decode_segment_header,
)

BIT = 0x10


def flip_byte(replica: Path, draw: float) -> str:
    """Flip a bit in the journal of the replica with this folder; returns where.

    draw: 0..1, over all its bytes up to the last good frame of its newest segment.
    The process that serves it may run: it appends to the same file, and doesn't look at what it has written.
    """
    while True:
        with contextlib.suppress(FileNotFoundError):  # the oldest segment has just been trimmed
            return _flip(sorted((replica / JOURNAL_DIRECTORY).glob("*.seg")), draw)


def _flip(segments: list[Path], draw: float) -> str:
    sizes = [segment.stat().st_size for segment in segments[:-1]] + [last_frame_at(segments[-1])]
    at, number = int(draw * sum(sizes)), 0
    while at >= sizes[number]:
        at -= sizes[number]
        number += 1
    flip_at(segments[number], at)
    return f"{segments[number].name}, byte {at} of {segments[number].stat().st_size}"


def last_frame_at(segment: Path) -> int:
    """Return where the last good frame of a segment begins, or where its head ends if it has none.

    Raises DefectError if its head is damaged.
    """
    data = segment.read_bytes()
    sync = decode_segment_header(data[:SEGMENT_HEADER_BYTES]).sync
    found = at = SEGMENT_HEADER_BYTES
    with contextlib.suppress(DefectError):  # the end, or a write that is under way or was stopped
        while True:
            frame = decode_frame_header(data[at : at + FRAME_HEADER_BYTES], sync, len(data) - at)
            check_payload(frame, data[at + FRAME_HEADER_BYTES : at + frame.frame_bytes])
            found, at = at, at + frame.frame_bytes
    return found


def flip_at(segment: Path, at: int) -> None:
    """Flip a bit of one byte of a file."""
    fd = os.open(segment, os.O_RDWR)
    try:
        os.pwrite(fd, bytes([os.pread(fd, 1, at)[0] ^ BIT]), at)
    finally:
        os.close(fd)
