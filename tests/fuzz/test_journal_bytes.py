"""Damaged journals give a prefix of what was written, or say which file is wrong and where. Never other records."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from persistence.errors import JournalCorruptError
from persistence.file_journal import SegmentJournal
from persistence.memory import MemoryDisk
from persistence.segment_format import FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES
from persistence.segment_scan import segment_name
from tests.fuzz.mutations import mutated, peak_bytes

READ_BYTES = 1 << 20  # what a scan reads at a time
SCAN_TIMES = 12  # memory per byte of journal: the block read, the payload, records with their heads, messages


def make_disk(sealed: bool) -> tuple[MemoryDisk, list[bytes]]:
    """Write two segments of frames of different sizes; returns the disk and all records, by position - 1."""
    disk = MemoryDisk()
    journal = SegmentJournal(disk, 0, 0)
    records = [bytes([n]) * (n * 7 % 60) for n in range(24)]
    for n, record in enumerate(records):
        journal.append(record)
        if n % 3 == 0:
            journal.flush()
        if n == 11:
            journal.roll()
    journal.flush()
    if sealed:
        journal.close()
    return disk.copy(), records


DISKS = {sealed: make_disk(sealed) for sealed in (False, True)}
NAMES = DISKS[True][0].names()


def replayed(disk: MemoryDisk) -> list[tuple[int, bytes]]:
    """Open a journal, read all of it, and close it."""
    journal = SegmentJournal(disk, 0, 0)
    found = list(journal.replay(journal.first_position - 1))
    journal.close()
    return found


def refusal_of(disk: MemoryDisk) -> tuple[JournalCorruptError | None, list[tuple[int, bytes]]]:
    """Return why a journal is refused, and its records if it isn't."""
    try:
        return None, replayed(disk)
    except JournalCorruptError as error:
        return error, []


def assert_prefix_or_refusal(disk: MemoryDisk, records: list[bytes]) -> None:
    """Judge what a damaged disk gives; what was left can be written to, and read again."""
    files = {name: bytes(data) for name, data in disk.files.items()}
    refusal, found = refusal_of(disk)
    if refusal is not None:
        name = refusal.path.partition(":")[2]
        assert 0 <= refusal.offset <= len(files[name])
        assert f"{refusal.path}: byte {refusal.offset}: " in refusal.message
        assert {name: bytes(data) for name, data in disk.files.items()} == files, "it was changed all the same"
        return
    assert found == list(enumerate(records, 1))[: len(found)]
    again = disk.copy()
    journal = SegmentJournal(again, 0, 0)
    assert journal.append(b"more") == len(found) + 1
    journal.close()
    assert replayed(again) == [*found, (len(found) + 1, b"more")]


@given(st.booleans(), st.sampled_from(NAMES), st.data())
def test_a_damaged_segment_gives_a_prefix_or_is_refused_with_file_and_offset(sealed, name, data):
    disk, records = DISKS[sealed][0].copy(), DISKS[sealed][1]
    disk.files[name] = bytearray(data.draw(mutated(bytes(disk.files[name]))))
    assert_prefix_or_refusal(disk, records)


def frame_offsets(segment: bytes) -> list[int]:
    """Return where the frames of a sound segment begin."""
    offsets, at = [], SEGMENT_HEADER_BYTES
    while at < len(segment):
        offsets.append(at)
        at += FRAME_HEADER_BYTES + int.from_bytes(segment[at + 8 : at + 12], "little")
    return offsets


@given(st.booleans(), st.sampled_from(NAMES), st.integers(0, 99), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_frame_that_claims_another_size_with_a_right_checksum_is_refused_and_takes_no_memory(
    sealed, name, which, payload_bytes, record_count
):
    disk, records = DISKS[sealed][0].copy(), DISKS[sealed][1]
    segment = disk.files[name]
    offsets = frame_offsets(bytes(segment))
    at = offsets[which % len(offsets)]
    if struct.unpack_from("<II", segment, at + 8) == (payload_bytes, record_count):
        return
    struct.pack_into("<II", segment, at + 8, payload_bytes, record_count)
    struct.pack_into("<I", segment, at + 36, zlib.crc32(segment[at : at + 36]))
    size = sum(map(len, disk.files.values()))
    assert peak_bytes(lambda: assert_prefix_or_refusal(disk, records)) < READ_BYTES + SCAN_TIMES * size + (1 << 18)


@given(st.booleans(), st.lists(st.integers(0, 40), min_size=1, max_size=40))
def test_frames_in_another_order_or_missing_or_twice_are_refused_or_a_prefix(sealed, order):
    disk, records = DISKS[sealed][0].copy(), DISKS[sealed][1]
    segment = bytes(disk.files[NAMES[-1]])
    offsets = [*frame_offsets(segment), len(segment)]
    frames = [segment[a:b] for a, b in pairwise(offsets)]
    shuffled = b"".join(frames[i % len(frames)] for i in order)
    disk.files[NAMES[-1]] = bytearray(segment[:SEGMENT_HEADER_BYTES] + shuffled)
    assert_prefix_or_refusal(disk, records)


@given(st.binary(max_size=4_000), st.integers(1, 50))
def test_random_bytes_under_a_segments_name_are_refused_at_their_beginning(noise, first_position):
    disk = MemoryDisk()
    disk.create(segment_name(first_position), noise)
    refusal, _ = refusal_of(disk)
    assert refusal is not None, "noise was taken for a journal"
    assert (refusal.path, refusal.offset) == (f"memory:{segment_name(first_position)}", 0)


@given(st.booleans(), st.permutations(NAMES), st.sampled_from([0, 1]))
def test_segments_whose_names_are_exchanged_or_missing_are_refused_or_leave_what_they_hold(sealed, names, missing):
    disk, records = DISKS[sealed][0].copy(), DISKS[sealed][1]
    contents = dict(disk.files)
    disk.files = {new: contents[old] for new, old in list(zip(names, NAMES, strict=True))[missing:]}
    refusal, found = refusal_of(disk)
    if refusal is not None:
        assert refusal.path.partition(":")[2] in contents
        return
    assert found
    assert found == list(enumerate(records, 1))[found[0][0] - 1 :][: len(found)]
