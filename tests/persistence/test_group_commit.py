"""The flushing thread: batches what gathers, reports in order, stops cleanly, fails once."""

from __future__ import annotations

import errno
import threading

import pytest

from persistence.errors import JournalFailedError, JournalUnavailableError
from persistence.group_commit import GroupCommit
from persistence.memory import MemoryDisk, MemoryJournal


class GatedDisk(MemoryDisk):
    """A disk whose sync waits for the test."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.syncing = threading.Event()

    def sync(self):
        self.syncing.set()
        assert self.gate.wait(60)
        super().sync()


def fail_the_test(error):
    raise AssertionError(error)


def test_everything_appended_is_reported_durable_in_growing_positions():
    journal = MemoryJournal(MemoryDisk(), 0, 0)
    positions, all_durable = [], threading.Event()

    def on_durable(position):
        positions.append(position)
        if position == 5000:
            all_durable.set()

    commit = GroupCommit(journal, on_durable, fail_the_test)
    for number in range(5000):
        journal.append(b"%d" % number)
        commit.notify()
    assert all_durable.wait(60)
    commit.close()
    assert positions == sorted(set(positions))
    stats = commit.stats()
    assert stats.record_count == 5000
    assert stats.flush_count == len(positions) == sum(stats.flush_seconds_counts)


def test_what_gathers_during_a_sync_is_the_next_batch():
    disk = GatedDisk()
    journal = MemoryJournal(disk, 0, 0)
    positions = []
    commit = GroupCommit(journal, positions.append, fail_the_test)
    journal.append(b"alone")
    commit.notify()
    assert disk.syncing.wait(60)
    for _ in range(50):
        journal.append(b"together")
        commit.notify()
    disk.gate.set()
    commit.close()
    assert positions == [1, 51]
    stats = commit.stats()
    assert (stats.flush_count, stats.last_batch_records, stats.mean_batch_records) == (2, 50, 25.5)


def test_close_flushes_what_nobody_notified():
    journal = MemoryJournal(MemoryDisk(), 0, 0)
    positions = []
    commit = GroupCommit(journal, positions.append, fail_the_test)
    journal.append(b"a")
    commit.close()
    commit.close()
    assert positions == [1]
    assert journal.durable_position == 1


def test_a_notify_without_records_writes_nothing():
    journal = MemoryJournal(MemoryDisk(), 0, 0)
    positions = []
    commit = GroupCommit(journal, positions.append, fail_the_test)
    commit.notify()
    commit.close()
    assert positions == []
    assert commit.stats().flush_count == 0


def test_roll_soon_closes_the_segment_behind_the_records_so_far():
    journal = MemoryJournal(MemoryDisk(), 0, 0)
    commit = GroupCommit(journal, lambda position: None, fail_the_test)
    journal.append(b"a")
    commit.roll_soon()
    commit.close()
    assert journal.segment_bytes == 0
    journal.trim(1)
    assert journal.first_position == 2


def test_a_failing_disk_is_reported_once_and_nothing_after_it_as_durable():
    disk = MemoryDisk()
    journal = MemoryJournal(disk, 0, 0)
    positions, errors, failed = [], [], threading.Event()

    def on_failure(error):
        errors.append(error)
        failed.set()

    commit = GroupCommit(journal, positions.append, on_failure)
    disk.fail("sync", errno.EIO)
    journal.append(b"a")
    commit.notify()
    assert failed.wait(60)
    commit.notify()
    commit.close()
    assert positions == []
    assert [type(error) for error in errors] == [JournalFailedError]
    with pytest.raises(JournalFailedError):
        journal.append(b"b")


class FlakyJournal(MemoryJournal):
    """A journal whose server is away for its first `away` flushes, and for the roll after them."""

    away = 0

    def flush(self):
        self.wait_for_the_server()
        return super().flush()

    def roll(self):
        self.wait_for_the_server()
        return super().roll()

    def wait_for_the_server(self):
        if self.away:
            self.away -= 1
            raise JournalUnavailableError("server: it is away", reason="it is away")


def test_an_unavailable_journal_is_tried_again_until_it_is_back(monkeypatch):
    monkeypatch.setattr("persistence.group_commit.RETRY_SECONDS_MIN", 0.001)
    journal = FlakyJournal(MemoryDisk(), 0, 0)
    positions, states, durable = [], [], threading.Event()

    def on_durable(position):
        positions.append(position)
        durable.set()

    commit = GroupCommit(journal, on_durable, fail_the_test, on_unavailable=states.append)
    journal.away = 3
    for record in (b"a", b"b"):
        journal.append(record)
    commit.roll_soon()
    assert durable.wait(60)
    commit.close()
    assert positions == [2]
    assert [state and state.reason for state in states] == ["it is away"] * 3 + [None]
    assert journal.segment_bytes == 0  # the roll was not forgotten
    assert commit.stats().record_count == 2


def test_a_callback_that_raises_is_a_failure_too():
    journal = MemoryJournal(MemoryDisk(), 0, 0)
    errors = []

    def on_durable(position):
        raise RuntimeError("the event loop is closed")

    commit = GroupCommit(journal, on_durable, errors.append)
    journal.append(b"a")
    commit.close()
    assert [str(error) for error in errors] == ["the event loop is closed"]


def test_what_a_new_epoch_flushed_is_reported_and_what_was_cut_is_reported_anew():
    journal = MemoryJournal(MemoryDisk(), 0, 0)
    positions, reported = [], threading.Semaphore(0)

    def on_durable(position):
        positions.append(position)
        reported.release()

    commit = GroupCommit(journal, on_durable, fail_the_test)
    for _ in range(3):
        journal.append(b"a")
    journal.begin_epoch(1)
    commit.notify()
    assert reported.acquire(timeout=60)
    journal.cut_after(1)
    journal.append(b"b")
    commit.notify()
    assert reported.acquire(timeout=60)
    commit.close()
    assert positions == [3, 2]
    assert commit.stats().record_count == 4
