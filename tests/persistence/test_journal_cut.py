"""Cutting a journal of files: a crash at every step, a damaged plan, a disk that refuses, a kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from persistence import disk, segment_scan
from persistence.errors import FencedError, JournalCorruptError, JournalFailedError
from persistence.file_journal import FileJournal
from persistence.journal_cut import PLAN_NAME
from persistence.memory import MemoryDisk, MemoryJournal

REPOSITORY = Path(__file__).parents[2]


class RecordingDisk(MemoryDisk):
    """Keeps a copy of itself from before each change."""

    def __init__(self):
        super().__init__()
        self.copies = []

    def create(self, name, data):
        self.copies.append(self.copy())
        super().create(name, data)

    def delete(self, name):
        self.copies.append(self.copy())
        super().delete(name)


def filled(journal, count=10):
    """Records b"1", b"2", ... in frames of three and segments of six."""
    for position in range(1, count + 1):
        journal.append(b"%d" % position)
        if position % 3 == 0:
            journal.flush()
        if position % 6 == 0:
            journal.roll()
    journal.flush()
    return journal


def held(journal):
    return list(journal.replay(journal.first_position - 1))


def records(first, last):
    return [(position, b"%d" % position) for position in range(first, last + 1)]


@pytest.mark.parametrize("position", range(20))
def test_a_crash_at_any_step_of_a_cut_leaves_the_old_end_or_the_new(position):
    recording = RecordingDisk()
    journal = filled(MemoryJournal(recording, 0, 3), 20)
    journal.begin_epoch(7)
    recording.copies.clear()
    journal.cut_after(position)
    ends = []
    for copy in [*recording.copies, recording.copy()]:
        with pytest.raises(FencedError, match="epoch 7"):
            MemoryJournal(copy.copy(), 0, 6)
        opened = MemoryJournal(copy, 0, 7)
        assert opened.tail_cut is None
        assert held(opened) == records(1, opened.durable_position)
        assert PLAN_NAME not in copy.files
        ends.append(opened.durable_position)
        assert opened.append(b"next") == ends[-1] + 1
        opened.close()
        again = MemoryJournal(copy, 0, 7)
        assert held(again) == [*records(1, ends[-1]), (ends[-1] + 1, b"next")]
    assert ends == [20] + [position] * (len(ends) - 1)
    assert len(ends) > 3


@pytest.mark.parametrize("after", [0, 6, 10, 14, 500])
def test_a_crash_at_any_step_of_a_restart_leaves_the_old_journal_or_the_new(after):
    recording = RecordingDisk()
    journal = filled(MemoryJournal(recording, 0, 3), 14)
    journal.trim(6)
    recording.copies.clear()
    journal.restart(after)
    found = []
    for copy in [*recording.copies, recording.copy()]:
        with pytest.raises(FencedError):
            MemoryJournal(copy.copy(), 0, 2)
        opened = MemoryJournal(copy, 0, 3)
        found.append((opened.first_position, held(opened)))
    assert found == [(7, records(7, 14))] + [(after + 1, [])] * (len(found) - 1)
    assert len(found) > 3


@pytest.mark.parametrize("position", [4, 6, 12])
def test_a_crash_at_any_system_call_of_a_cut_leaves_the_old_end_or_the_new(tmp_path, monkeypatch, position):
    directory, copies = tmp_path / "journal", []
    journal = filled(FileJournal(directory, 0, 3), 14)
    for name in ("open", "write", "fsync", "rename", "unlink"):
        monkeypatch.setattr(disk.os, name, copying_before(getattr(os, name), directory, copies))
    journal.cut_after(position)
    monkeypatch.undo()
    ends = []
    for copy in copies:
        opened = FileJournal(copy, 0, 3)
        assert held(opened) == records(1, opened.durable_position)
        ends.append(opened.durable_position)
        opened.close()
        assert not [name for name in os.listdir(copy) if name.endswith(".tmp")]
    assert ends == sorted(ends, reverse=True)
    assert set(ends) == {14, position}
    journal.close()


def copying_before(call, folder, copies):
    def wrapped(*args, **keywords):
        copies.append(shutil.copytree(folder, folder.with_name(f"copy-{len(copies)}")))
        return call(*args, **keywords)

    return wrapped


def test_an_interrupted_cut_that_is_interrupted_again_is_finished_in_the_end():
    recording = RecordingDisk()
    journal = filled(MemoryJournal(recording, 0, 3), 20)
    recording.copies.clear()
    journal.cut_after(5)
    second = RecordingDisk()
    second.files = recording.copies[1].files
    second._synced = {name: len(data) for name, data in second.files.items()}
    MemoryJournal(second, 0, 3)
    for copy in second.copies:
        assert held(MemoryJournal(copy, 0, 3)) == records(1, 5)


@pytest.mark.parametrize("operation", ["create", "delete"])
def test_a_disk_that_refuses_fails_the_journal_for_good_and_opening_finishes_the_cut(operation):
    memory = MemoryDisk()
    journal = filled(MemoryJournal(memory, 0, 3))
    memory.fail(operation)
    with pytest.raises(JournalFailedError, match="cutting failed"):
        journal.cut_after(2)
    for call in (lambda: journal.append(b"x"), lambda: journal.cut_after(2), lambda: journal.replay(0)):
        with pytest.raises(JournalFailedError):
            call()
    journal.close()
    memory.crash()
    end = MemoryJournal(memory, 0, 3).durable_position
    assert end == (10 if operation == "create" else 2)


def interrupted(tmp_path):
    """A journal of records 1 to 10 with the plan of a cut after 5 beside it."""
    recording = RecordingDisk()
    journal = filled(MemoryJournal(recording, 0, 3))
    recording.copies.clear()
    journal.cut_after(5)
    directory = tmp_path / "journal"
    directory.mkdir()
    for name, data in recording.copies[1].files.items():
        (directory / name).write_bytes(data)
    return directory


def test_a_damaged_plan_is_refused_and_nothing_changes(tmp_path):
    directory = interrupted(tmp_path)
    plan = directory / PLAN_NAME
    whole = plan.read_bytes()
    damaged = [whole[:size] for size in range(len(whole))] + [whole + b"\x00"]
    damaged += [bytes([*whole[:at], whole[at] ^ 16, *whole[at + 1 :]]) for at in range(len(whole))]
    before = sorted(os.listdir(directory))
    for data in damaged:
        plan.write_bytes(data)
        with pytest.raises(JournalCorruptError, match="not the plan of a cut") as caught:
            FileJournal(directory, 0, 3)
        assert caught.value.path == str(plan)
        assert plan.read_bytes() == data
    assert sorted({*os.listdir(directory)} - {"journal.lock"}) == before
    plan.write_bytes(whole)
    with pytest.raises(JournalCorruptError, match="of shard 0, not 1"):
        FileJournal(directory, 1, 3)
    assert held(FileJournal(directory, 0, 3)) == records(1, 5)


def test_a_plan_beside_a_journal_that_lacks_the_records_to_keep_is_refused(tmp_path):
    directory = interrupted(tmp_path)
    for segment in directory.glob("*.seg"):
        segment.unlink()
    with pytest.raises(JournalCorruptError, match="up to 5 should be there, the segments hold nothing"):
        FileJournal(directory, 0, 3)


def test_a_reader_passes_over_what_it_need_not_read(tmp_path, monkeypatch):
    """Payloads below the start are not read: damage to them goes unnoticed, and no segment below is opened."""
    journal = FileJournal(tmp_path, 0, 0)
    for position in range(1, 13):
        journal.append(b"%03d" % position * 100)
        journal.flush()
        if position == 6:
            journal.roll()
    reads = []
    read = disk.RealDisk.read
    monkeypatch.setattr(disk.RealDisk, "read", lambda self, *args: reads.append(args) or read(self, *args))
    monkeypatch.setattr(segment_scan, "_READ_BYTES", 64)
    assert list(journal.replay(10)) == [(11, b"011" * 100), (12, b"012" * 100)]
    assert {name for name, _, _ in reads} == {"journal-00000000000000000007.seg"}
    assert sum(count > 200 for _, _, count in reads) == 2
    journal.close()


CUT_FOR_EVER = """
import os, random, sys
from persistence.file_journal import FileJournal

journal, random = FileJournal(sys.argv[1], 0, 0), random.Random(sys.argv[2])
cut = int(sys.argv[2]) * 1_000_000
while True:
    for _ in range(random.randrange(1, 40)):
        journal.append(b"record %d written after cut %d" % (journal.next_position, cut))
        if random.random() < 0.3:
            journal.flush()
        if random.random() < 0.1:
            journal.roll()
    journal.flush()
    kept, cut = max(journal.durable_position - random.randrange(60), journal.first_position - 1), cut + 1
    os.write(1, b"%d %d begun\\n" % (kept, cut))
    journal.cut_after(kept)
    os.write(1, b"%d %d done\\n" % (kept, cut))
    if random.random() < 0.1:
        journal.trim(kept // 2)
"""


@pytest.mark.parametrize("seed", range(4))
def test_what_a_cut_keeps_survives_kill_9_and_what_it_drops_stays_dropped(tmp_path, seed):
    for run in range(3):
        command = [sys.executable, "-c", CUT_FOR_EVER, str(tmp_path), str(seed * 10 + run)]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            first_line = process.stdout.readline()
            time.sleep(0.03 + 0.041 * seed + 0.017 * run)
            process.send_signal(signal.SIGKILL)
            lines = (first_line + process.stdout.read()).split(b"\n")[:-1]
        journal = FileJournal(tmp_path, 0, 0)
        found = held(journal)
        journal._disk.close()  # no seal: the next process finds it as the kill left it
        assert [position for position, _ in found] == list(range(journal.first_position, journal.durable_position + 1))
        assert [record.split()[1] for _, record in found] == [b"%d" % position for position, _ in found]
        kept, cut, state = lines[-1].split()
        assert journal.durable_position >= int(kept)
        if state == b"done":
            assert all(int(record.split()[-1]) >= int(cut) for position, record in found if position > int(kept))
