"""A bit that goes bad on disk: in the journal of one replica, at any place."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from actors.storage import JOURNAL_DIRECTORY

BIT = 0x10


def flip_byte(replica: Path, draw: float) -> str:
    """Flip a bit in the journal of the replica with this folder; returns where. draw: 0..1, over all its segments.

    The process that serves it may run: it appends to the same file, and doesn't look at what it has written.
    """
    while True:
        with contextlib.suppress(FileNotFoundError):  # the oldest segment has just been trimmed
            return _flip(sorted((replica / JOURNAL_DIRECTORY).glob("*.seg")), draw)


def _flip(segments: list[Path], draw: float) -> str:
    sizes = [segment.stat().st_size for segment in segments]
    at, number = int(draw * sum(sizes)), 0
    while at >= sizes[number]:
        at -= sizes[number]
        number += 1
    flip_at(segments[number], at)
    return f"{segments[number].name}, byte {at} of {sizes[number]}"


def flip_at(segment: Path, at: int) -> None:
    """Flip a bit of one byte of a file."""
    fd = os.open(segment, os.O_RDWR)
    try:
        os.pwrite(fd, bytes([os.pread(fd, 1, at)[0] ^ BIT]), at)
    finally:
        os.close(fd)
