"""The background writer: order, merging, retries, trimming, a full queue."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from actors.core.checkpoints.tables import Table, TableChange
from persistence.checkpointer import Checkpointer
from persistence.errors import CheckpointFailedError, StorageError
from persistence.memory import MemoryCheckpointStore, MemoryDisk, MemoryJournal

COUNTS = Table("counts", (("id", "BIGINT"), ("value", "BIGINT")), ("id",))


def put(key, value):
    return TableChange(COUNTS, {"id": np.array([key], np.int64), "value": np.array([value], np.int64)})


def delete(key):
    return TableChange(COUNTS, {}, {"id": np.array([key], np.int64)})


class GatedStore(MemoryCheckpointStore):
    """A store whose writes wait for the test, and are remembered."""

    def __init__(self):
        super().__init__([COUNTS])
        self.gate = threading.Event()
        self.writing = threading.Event()
        self.writes = []

    def write(self, position, epoch, changes):
        self.writing.set()
        assert self.gate.wait(60)
        super().write(position, epoch, changes)
        self.writes.append((position, len(changes)))


@pytest.fixture
def journal():
    """Six records, each in a segment of its own."""
    journal = MemoryJournal(MemoryDisk(), 0, 0)
    for _ in range(6):
        journal.append(b"x")
        journal.roll()
    yield journal
    journal.close()


@pytest.fixture
def store():
    return GatedStore()


def values(store):
    columns = store.load().tables["counts"]
    return dict(zip(columns["id"].tolist(), columns["value"].tolist(), strict=True))


def test_a_batch_is_written_and_then_the_journal_is_trimmed(store, journal):
    store.gate.set()
    checkpointer = Checkpointer(store, journal, 0)
    assert checkpointer.submit(2, 0, [put(1, 10)])
    assert checkpointer.wait_idle(10)
    assert checkpointer.close() == 0
    assert store.load().position == 2
    assert journal.first_position == 3
    stats = checkpointer.stats()
    assert (stats.written_position, stats.lag_positions, stats.queued_batches, stats.rows_written) == (2, 4, 0, 1)


def test_nothing_is_trimmed_before_the_write_returns(store, journal):
    checkpointer = Checkpointer(store, journal, 0)
    checkpointer.submit(2, 0, [put(1, 10)])
    assert store.writing.wait(60)
    assert journal.first_position == 1
    assert checkpointer.stats().lag_seconds >= 0
    store.gate.set()
    checkpointer.close()
    assert journal.first_position == 3


def test_waiting_batches_are_merged_in_order(store, journal):
    checkpointer = Checkpointer(store, journal, 0)
    checkpointer.submit(1, 0, [put(1, 10), put(2, 10)])
    assert store.writing.wait(60)
    checkpointer.submit(2, 0, [put(1, 20)])
    checkpointer.submit(3, 0, [delete(1), delete(2)])
    checkpointer.submit(4, 0, [put(1, 40)])
    store.gate.set()
    checkpointer.close()
    assert store.writes == [(1, 2), (4, 4)]
    assert values(store) == {1: 40}
    assert journal.first_position == 5


def test_batches_of_different_epochs_or_too_many_rows_are_not_merged(store, journal, monkeypatch):
    monkeypatch.setattr("persistence.checkpointer.MERGE_ROWS_MAX", 2)
    checkpointer = Checkpointer(store, journal, 0, queue_batches_max=10)
    checkpointer.submit(1, 0, [put(1, 1)])
    assert store.writing.wait(60)
    for position, epoch in ((2, 0), (3, 0), (4, 0), (5, 1)):
        checkpointer.submit(position, epoch, [put(1, position)])
    store.gate.set()
    checkpointer.close()
    assert [position for position, _ in store.writes] == [1, 3, 4, 5]
    assert values(store) == {1: 5}


def test_a_full_queue_says_no_and_the_next_batch_may_hold_both(store, journal):
    checkpointer = Checkpointer(store, journal, 0, queue_batches_max=1)
    assert checkpointer.submit(1, 0, [put(1, 1)])
    assert not checkpointer.submit(2, 0, [put(2, 2)])
    store.gate.set()
    assert checkpointer.wait_idle(10)
    assert checkpointer.submit(3, 0, [put(2, 2), put(3, 3)])
    checkpointer.close()
    assert values(store) == {1: 1, 2: 2, 3: 3}


def test_a_position_that_does_not_grow_is_refused(store, journal):
    checkpointer = Checkpointer(store, journal, 2)
    with pytest.raises(ValueError, match="2 was accepted"):
        checkpointer.submit(2, 0, [])
    checkpointer.close()


def test_a_failing_write_is_retried_and_reported_and_never_trims(store, journal, monkeypatch):
    monkeypatch.setattr("persistence.checkpointer.RETRY_SECONDS_MIN", 0.001)
    store.gate.set()
    store.fail_writes = 3
    seen = []
    checkpointer = Checkpointer(store, journal, 0, on_error=lambda error: seen.append((error, journal.first_position)))
    checkpointer.submit(2, 0, [put(1, 10)])
    assert checkpointer.wait_idle(10)
    checkpointer.close()
    assert [(type(error), first) for error, first in seen] == [(CheckpointFailedError, 1)] * 3
    assert values(store) == {1: 10}
    stats = checkpointer.stats()
    assert (stats.failure_count, stats.last_error, stats.write_count) == (3, None, 1)
    assert journal.first_position == 3


def test_closing_does_not_wait_for_a_store_that_keeps_failing(store, journal):
    store.gate.set()
    store.fail_writes = 1_000_000
    checkpointer = Checkpointer(store, journal, 0)
    checkpointer.submit(2, 0, [put(1, 10)])
    checkpointer.submit(3, 0, [put(1, 10)])
    assert checkpointer.close() == 2
    assert "injected fault" in (checkpointer.stats().last_error or "")
    assert not checkpointer.submit(4, 0, [])
    assert journal.first_position == 1


def test_a_failing_trim_is_reported_and_made_good_by_the_next(store):
    disk = MemoryDisk()
    journal = MemoryJournal(disk, 0, 0)
    for _ in range(2):
        journal.append(b"x")
        journal.roll()
    store.gate.set()
    errors = []
    checkpointer = Checkpointer(store, journal, 0, on_error=errors.append)
    disk.fail("delete")
    checkpointer.submit(1, 0, [put(1, 1)])
    assert checkpointer.wait_idle(10)
    checkpointer.submit(2, 0, [put(1, 2)])
    checkpointer.close()
    assert [type(error) for error in errors] == [StorageError]
    assert journal.first_position == 3
