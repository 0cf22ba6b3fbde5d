"""Recovery and the whole cycle: append, flush, checkpoint, crash, recover, on every pair of backends."""

from __future__ import annotations

import itertools
import pickle
import random

import numpy as np
import pytest

from actors.core.checkpoints.tables import Table, TableChange
from persistence.errors import FencedError, JournalCorruptError, PositionGapError
from persistence.memory import MemoryCheckpointStore, MemoryDisk, MemoryJournal, MemoryShelf
from persistence.recovery import recover

COUNTS = Table("counts", (("id", "BIGINT"), ("value", "BIGINT")), ("id",))


class Counter:
    """The smallest state machine: a record `key` adds one to that key."""

    def __init__(self):
        self.values = {}
        self.dirty = set()

    def load(self, checkpoint):
        columns = checkpoint.tables["counts"]
        self.values = dict(zip(columns["id"].tolist(), columns["value"].tolist(), strict=True))

    def apply(self, position, record):
        key = int(record)
        self.values[key] = self.values.get(key, 0) + 1
        self.dirty.add(key)

    def changes(self):
        keys, self.dirty = sorted(self.dirty), set()
        values = [self.values[key] for key in keys]
        return [TableChange(COUNTS, {"id": np.array(keys, np.int64), "value": np.array(values, np.int64)})]


def ticking():
    return itertools.count().__next__


def recovered(store, journal, epoch=None):
    counter = Counter()
    return counter, recover(store, journal, counter.load, counter.apply, ticking(), epoch)


def append_all(journal, counter, *keys):
    for key in keys:
        counter.apply(journal.append(b"%d" % key), b"%d" % key)


def test_recovery_is_the_checkpoint_and_the_records_behind_it(open_journal, open_store):
    journal, store, counter = open_journal(), open_store([COUNTS]), Counter()
    append_all(journal, counter, 1, 2, 1)
    journal.roll()
    store.write(3, 0, counter.changes())
    journal.trim(3)
    append_all(journal, counter, 2, 2)
    journal.close()
    store.close()
    journal, store = open_journal(), open_store([COUNTS])
    again, report = recovered(store, journal)
    assert again.values == counter.values == {1: 2, 2: 3}
    assert (report.checkpoint_position, report.checkpoint_rows, report.records_replayed, report.position) == (
        3,
        2,
        2,
        5,
    )
    assert (report.read_seconds, report.load_seconds, report.replay_seconds) == (1, 1, 1)
    assert (report.tail_cut, report.cut_bytes) == (None, 0)
    journal.close()
    store.close()


def test_recovery_of_nothing_is_an_empty_state(open_journal, open_store):
    journal, store = open_journal(), open_store([COUNTS])
    counter, report = recovered(store, journal)
    assert counter.values == {}
    assert report.position == 0
    journal.close()
    store.close()


def test_a_checkpoint_in_the_middle_of_a_segment_skips_the_records_it_holds(open_journal, open_store):
    journal, store, counter = open_journal(), open_store([COUNTS]), Counter()
    append_all(journal, counter, 1, 2)
    journal.flush()
    store.write(2, 0, counter.changes())
    append_all(journal, counter, 1)
    journal.flush()
    assert recovered(store, journal)[0].values == {1: 2, 2: 1}
    journal.close()
    store.close()


def test_a_journal_that_lost_records_is_refused(open_journal, open_store):
    journal, store = open_journal(), open_store([COUNTS])
    store.write(2, 0, [])
    with pytest.raises(PositionGapError, match="position 2"):
        recovered(store, journal)
    journal.close()
    store.close()


def test_an_owner_older_than_the_checkpoint_is_fenced(open_journal, open_store):
    journal, store = open_journal(), open_store([COUNTS])
    store.write(0, 4, [])
    with pytest.raises(FencedError, match="epoch 4"):
        recovered(store, journal, epoch=3)
    assert recovered(store, journal, epoch=4)[1].checkpoint_epoch == 4
    journal.close()
    store.close()


def test_a_journal_that_skips_a_position_is_refused():
    class Skipping(MemoryJournal):
        def replay(self, after):
            return (item for item in super().replay(after) if item[0] != 2)

    journal, counter = Skipping(MemoryDisk(), 0, 0), Counter()
    append_all(journal, counter, 1, 2, 3)
    journal.flush()
    with pytest.raises(PositionGapError, match="position 3 after 1"):
        recovered(MemoryCheckpointStore([COUNTS]), journal)


@pytest.mark.parametrize("seed", range(40))
def test_no_crash_loses_what_was_flushed(seed):
    """Random appends, flushes, checkpoints and power cuts; replay one with `pytest -k 'flushed and <seed>'`."""
    rng = random.Random(seed)
    disk, shelf = MemoryDisk(), MemoryShelf()
    journal, store = MemoryJournal(disk, 0, 0), MemoryCheckpointStore([COUNTS], shelf)
    counter, history = Counter(), []
    for epoch in range(1, 8):
        for _ in range(rng.randrange(40)):
            key = rng.randrange(5)
            append_all(journal, counter, key)
            history.append(key)
            if rng.random() < 0.3:
                journal.flush()
            if rng.random() < 0.1:
                position = journal.roll()
                store.write(position, epoch - 1, counter.changes())
                journal.trim(position)
        durable = journal.durable_position
        journal.crash(rng.choice([0, 10, 60, 1000]), torn=rng.random() < 0.5)
        journal, store = MemoryJournal(disk, 0, epoch), MemoryCheckpointStore([COUNTS], shelf)
        counter, report = recovered(store, journal, epoch)
        assert durable <= report.position <= len(history)
        history = history[: report.position]
        assert counter.values == {key: history.count(key) for key in set(history)}


def test_errors_cross_process_boundaries_with_what_they_know():
    error = JournalCorruptError("a.seg: byte 7: bad", path="a.seg", offset=7)
    again = pickle.loads(pickle.dumps(error))
    assert (again.message, again.path, again.offset, again.status) == (error.message, "a.seg", 7, 503)
