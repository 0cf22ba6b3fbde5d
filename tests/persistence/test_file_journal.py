"""What only the journal of files can meet: damage on disk, a second process, a full disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from persistence.errors import (
    JournalCorruptError,
    JournalFailedError,
    JournalLockedError,
    JournalUnavailableError,
    NewerFormatError,
    StorageError,
)
from persistence.file_journal import FileJournal
from persistence.memory import MemoryDisk, MemoryJournal
from persistence.segment_format import FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES

REPOSITORY = Path(__file__).parents[2]


def write_frames(directory, *records):
    """One frame a record, as after a kill: no seal at the end. Returns the offsets of the frames."""
    journal = FileJournal(directory, 0, 0)
    offsets = []
    for record in records:
        offsets.append(SEGMENT_HEADER_BYTES + journal.segment_bytes)
        journal.append(record)
        journal.flush()
    journal._disk.close()
    return offsets


def segment_of(directory):
    return max(directory.glob("*.seg"))


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def reopened(directory):
    journal = FileJournal(directory, 0, 0)
    records = [record for _, record in journal.replay(journal.first_position - 1)]
    journal.close()
    return journal, records


def test_a_torn_last_frame_is_cut_and_reported_wherever_it_was_torn(tmp_path):
    offsets = write_frames(tmp_path, b"first", b"second")
    segment = segment_of(tmp_path)
    whole = segment.read_bytes()
    for size in range(offsets[1] + 1, len(whole)):
        segment.write_bytes(whole[:size])
        journal = FileJournal(tmp_path, 0, 0)
        cut = journal.tail_cut
        assert cut is not None
        assert (cut.path, cut.offset, cut.cut_bytes) == (str(segment), offsets[1], size - offsets[1])
        assert cut.next_position == 2
        assert list(journal.replay(0)) == [(1, b"first")]
        journal._disk.close()
        assert segment.stat().st_size == offsets[1]


def test_after_a_cut_the_journal_goes_on_at_the_same_position(tmp_path):
    offsets = write_frames(tmp_path, b"first", b"second")
    os.truncate(segment_of(tmp_path), offsets[1] + 10)
    journal = FileJournal(tmp_path, 0, 0)
    assert journal.append(b"instead") == 2
    journal.close()
    journal, records = reopened(tmp_path)
    assert journal.tail_cut is None
    assert records == [b"first", b"instead"]


@pytest.mark.parametrize("place", [0, 9, 13, 20, 30, 37, FRAME_HEADER_BYTES + 5])
def test_a_damaged_frame_with_a_valid_one_behind_it_is_corruption_and_nothing_changes(tmp_path, place):
    offsets = write_frames(tmp_path, b"first", b"second", b"third")
    segment = segment_of(tmp_path)
    flip(segment, offsets[1] + place)
    damaged = segment.read_bytes()
    with pytest.raises(JournalCorruptError, match="a valid frame follows") as caught:
        FileJournal(tmp_path, 0, 0)
    assert (caught.value.path, caught.value.offset) == (str(segment), offsets[1])
    assert f"byte {offsets[1]}" in caught.value.message
    assert segment.read_bytes() == damaged


def test_damage_to_the_last_frame_is_recognised_after_a_clean_close(tmp_path):
    journal = FileJournal(tmp_path, 0, 0)
    journal.append(b"only")
    journal.close()
    flip(segment_of(tmp_path), SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 5)
    with pytest.raises(JournalCorruptError, match="checksum"):
        FileJournal(tmp_path, 0, 0)


def test_a_valid_looking_frame_inside_a_record_does_not_pass_for_one(tmp_path):
    """The bytes of another segment's frame in a torn record: its marker is not this segment's."""
    write_frames(tmp_path / "a", b"x", b"y")
    frames = segment_of(tmp_path / "a").read_bytes()[SEGMENT_HEADER_BYTES:]
    offsets = write_frames(tmp_path / "b", b"first", frames + b"end")
    os.truncate(segment_of(tmp_path / "b"), segment_of(tmp_path / "b").stat().st_size - 1)
    journal, records = reopened(tmp_path / "b")
    assert journal.tail_cut is not None
    assert journal.tail_cut.offset == offsets[1]
    assert records == [b"first"]


def three_segments(directory):
    journal = FileJournal(directory, 0, 0)
    for record in (b"one", b"two", b"three"):
        journal.append(record)
        journal.roll()
    journal.close()
    return sorted(directory.glob("*.seg"))


def test_a_torn_segment_that_is_not_the_last_is_corruption(tmp_path):
    segments = three_segments(tmp_path)
    os.truncate(segments[1], segments[1].stat().st_size - 1)
    with pytest.raises(JournalCorruptError, match="a later segment exists"):
        FileJournal(tmp_path, 0, 0)


def test_a_missing_segment_is_corruption(tmp_path):
    segments = three_segments(tmp_path)
    segments[1].unlink()
    with pytest.raises(JournalCorruptError, match="is missing") as caught:
        FileJournal(tmp_path, 0, 0)
    assert caught.value.path == str(segments[2])


def test_a_segment_of_another_shard_or_name_or_version_is_refused(tmp_path):
    segments = three_segments(tmp_path)
    with pytest.raises(JournalCorruptError, match="of shard 0, this is shard 5"):
        FileJournal(tmp_path, 5, 0)
    segments[0].rename(segments[0].with_name("journal-00000000000000000009.seg"))
    with pytest.raises(JournalCorruptError, match="begins with position"):
        FileJournal(tmp_path, 0, 0)


def test_a_segment_of_a_later_format_is_no_damage(tmp_path):
    segments = three_segments(tmp_path)
    head = bytearray(segments[-1].read_bytes()[: SEGMENT_HEADER_BYTES - 4])
    head[8] = 2
    data = bytes(head) + zlib.crc32(head).to_bytes(4, "little") + b"whatever follows"
    segments[-1].write_bytes(data)
    with pytest.raises(NewerFormatError, match="segment format version 2, this version reads up to 1; a newer Rookery"):
        FileJournal(tmp_path, 0, 0)
    assert segments[-1].read_bytes() == data


def test_a_segment_cut_within_its_header_is_refused(tmp_path):
    segments = three_segments(tmp_path)
    os.truncate(segments[-1], 20)
    with pytest.raises(JournalCorruptError, match="header of 20 bytes"):
        FileJournal(tmp_path, 0, 0)


def test_an_interrupted_creation_leaves_nothing_that_matters(tmp_path):
    write_frames(tmp_path, b"first")
    leftover = tmp_path / "journal-00000000000000000002.seg.tmp"
    leftover.write_bytes(b"half")
    _, records = reopened(tmp_path)
    assert records == [b"first"]
    assert not leftover.exists()


def test_damage_after_opening_stops_the_replay_with_file_and_offset(tmp_path):
    offsets = write_frames(tmp_path, b"first", b"second")
    journal = FileJournal(tmp_path, 0, 0)
    flip(segment_of(tmp_path), offsets[1] + FRAME_HEADER_BYTES)
    records = journal.replay(0)
    assert next(records) == (1, b"first")
    with pytest.raises(JournalCorruptError, match=f"byte {offsets[1]}"):
        next(records)
    journal.close()


def test_a_second_owner_is_refused_with_the_pid_of_the_first(tmp_path):
    journal = FileJournal(tmp_path, 0, 0)
    with pytest.raises(JournalLockedError, match=f"process {os.getpid()}"):
        FileJournal(tmp_path, 0, 0)
    journal.close()
    FileJournal(tmp_path, 0, 0).close()


def test_a_failed_opening_releases_the_directory(tmp_path):
    three_segments(tmp_path)
    with pytest.raises(JournalCorruptError):
        FileJournal(tmp_path, 5, 0)
    FileJournal(tmp_path, 0, 0).close()


MEET_THE_FILE_SIZE_LIMIT = """
import resource, signal, sys
from persistence.errors import JournalFailedError
from persistence.file_journal import FileJournal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
journal = FileJournal(sys.argv[1], 0, 0)
try:
    while True:
        journal.append(bytes(1000))
        journal.flush()
except JournalFailedError as error:
    print(journal.durable_position, error, flush=True)
for call in (journal.flush, journal.roll, lambda: journal.append(b""), lambda: journal.replay(0)):
    try:
        call()
    except JournalFailedError:
        continue
    raise SystemExit("a failed journal went on")
journal.close()
"""


def test_a_failed_write_fails_the_journal_and_keeps_what_was_acknowledged(tmp_path):
    command = [sys.executable, "-c", MEET_THE_FILE_SIZE_LIMIT, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    durable, message = done.stdout.strip().split(" ", 1)
    assert int(durable) == 19
    assert str(segment_of(tmp_path)) in message
    journal, records = reopened(tmp_path)
    assert records == [bytes(1000)] * 19
    assert journal.tail_cut is not None


@pytest.mark.parametrize(
    ("operation", "error_number"), [("append", errno.EIO), ("sync", errno.EIO), ("sync", errno.ENOSPC)]
)
def test_a_failed_write_or_sync_is_final(operation, error_number):
    disk = MemoryDisk()
    journal = MemoryJournal(disk, 0, 0)
    journal.append(b"first")
    journal.flush()
    journal.append(b"second")
    disk.fail(operation, error_number, append_bytes=10)
    with pytest.raises(JournalFailedError, match="durable up to 1"):
        journal.flush()
    for call in (journal.flush, journal.roll, lambda: journal.append(b"x"), lambda: journal.trim(0)):
        with pytest.raises(JournalFailedError, match="durable up to 1"):
            call()
    assert journal.durable_position == 1
    journal.close()
    disk.crash()
    journal = MemoryJournal(disk, 0, 0)
    assert list(journal.replay(0)) == [(1, b"first")]


@pytest.mark.parametrize("error_number", [errno.ENOSPC, errno.EDQUOT])
def test_a_write_that_finds_no_room_leaves_nothing_behind_and_is_tried_again(error_number):
    disk = MemoryDisk()
    journal = MemoryJournal(disk, 0, 0)
    journal.append(b"first")
    journal.flush()
    before = disk.copy()
    for record in (b"second", b"third"):
        journal.append(record)
        disk.fail("append", error_number, append_bytes=10)
        with pytest.raises(JournalUnavailableError, match="durable up to 1") as caught:
            journal.flush()
        assert caught.value.reason == "the disk is full"
        assert disk.files == before.files
    assert (journal.durable_position, journal.buffered_count, journal.buffered_bytes) == (1, 2, len(b"secondthird"))
    assert journal.flush() == 3
    disk.crash()
    journal = MemoryJournal(disk, 0, 0)
    assert journal.tail_cut is None
    assert list(journal.replay(0)) == [(1, b"first"), (2, b"second"), (3, b"third")]


def test_a_write_whose_remains_cannot_be_cut_off_is_final():
    disk = MemoryDisk()
    journal = MemoryJournal(disk, 0, 0)
    journal.append(b"first")
    disk.fail("append", errno.ENOSPC, append_bytes=10)
    disk.fail("truncate")
    with pytest.raises(JournalFailedError, match="writing failed"):
        journal.flush()
    with pytest.raises(JournalFailedError):
        journal.flush()


def test_a_segment_without_room_is_begun_later():
    disk = MemoryDisk()
    journal = MemoryJournal(disk, 0, 0)
    journal.append(b"first")
    disk.fail("create", errno.ENOSPC)
    with pytest.raises(JournalUnavailableError, match="durable up to 1"):
        journal.roll()
    journal.append(b"second")
    assert journal.roll() == 2
    journal.append(b"third")
    journal.close()
    assert len(disk.names()) == 2
    journal = MemoryJournal(disk, 0, 0)
    assert list(journal.replay(0)) == [(1, b"first"), (2, b"second"), (3, b"third")]


def test_a_failed_roll_is_final_and_loses_nothing_that_was_durable():
    disk = MemoryDisk()
    journal = MemoryJournal(disk, 0, 0)
    journal.append(b"first")
    disk.fail("create")
    with pytest.raises(JournalFailedError, match="beginning a segment"):
        journal.roll()
    assert journal.durable_position == 1
    journal.close()
    journal = MemoryJournal(disk, 0, 0)
    assert list(journal.replay(0)) == [(1, b"first")]


def test_a_failed_trim_is_reported_and_the_journal_goes_on():
    disk = MemoryDisk()
    journal = MemoryJournal(disk, 0, 0)
    journal.append(b"first")
    journal.roll()
    disk.fail("delete")
    with pytest.raises(StorageError, match="can't be deleted"):
        journal.trim(1)
    assert journal.first_position == 1
    journal.trim(1)
    assert journal.first_position == 2
    journal.close()


def test_a_batch_over_the_frame_limit_becomes_several_frames(tmp_path, monkeypatch):
    monkeypatch.setattr("persistence.file_journal.FRAME_PAYLOAD_BYTES_MAX", 100)
    journal = FileJournal(tmp_path, 0, 0)
    for number in range(10):
        journal.append(bytes([number]) * 40)
    assert journal.flush() == 10
    assert journal.segment_bytes == 5 * (FRAME_HEADER_BYTES + 2 * 44)
    journal.close()
    _, records = reopened(tmp_path)
    assert records == [bytes([number]) * 40 for number in range(10)]
