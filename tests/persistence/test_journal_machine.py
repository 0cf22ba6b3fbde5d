"""The journal beside a list, through cuts, crashes, torn writes and flipped bits in any order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from persistence.errors import JournalCorruptError
from persistence.memory import MemoryDisk, MemoryJournal


class JournalMachine(RuleBasedStateMachine):
    """`durable` holds every record that was ever durable, by position - 1; `first` is the oldest not trimmed."""

    @initialize()
    def open_new(self):
        self.disk = MemoryDisk()
        self.epoch = 0
        self.journal = MemoryJournal(self.disk, 0, self.epoch)
        self.durable: list[bytes] = []
        self.buffered: list[bytes] = []
        self.last_frame_count = 0
        self.closed_ends: list[int] = []
        self.first = 1

    @rule(records=st.lists(st.binary(max_size=30), min_size=1, max_size=4))
    def append(self, records):
        for record in records:
            assert self.journal.append(record) == len(self.durable) + len(self.buffered) + 1
            self.buffered.append(record)

    @rule()
    def flush(self):
        self.settle()
        assert self.journal.flush() == len(self.durable)

    @rule()
    def roll(self):
        self.settle()
        position = self.journal.roll()
        assert position == len(self.durable)
        self.close_segment()

    @rule(data=st.data())
    def trim(self, data):
        position = data.draw(st.integers(0, len(self.durable)), "position")
        self.journal.trim(position)
        covered = [end for end in self.closed_ends if end <= position]
        if covered:
            self.first = covered[-1] + 1
            self.closed_ends = self.closed_ends[len(covered) :]

    @rule(steps=st.integers(0, 2))
    def begin_epoch(self, steps):
        if steps:
            self.settle()
            self.close_segment()
        self.epoch += steps
        self.journal.begin_epoch(self.epoch)

    @rule(data=st.data())
    def cut_after(self, data):
        self.settle()
        self.journal.flush()
        position = data.draw(st.integers(self.first - 1, len(self.durable)), "position")
        if position < len(self.durable):
            del self.durable[position:]
            self.closed_ends = [end for end in self.closed_ends if end < position]
            self.close_segment()
            self.last_frame_count = 0
        self.journal.cut_after(position)

    @rule(new_epoch=st.booleans())
    def close_and_open(self, new_epoch):
        self.settle()
        self.journal.close()
        self.reopen(new_epoch)
        assert self.journal.tail_cut is None

    @rule(
        keep=st.one_of(st.just(0), st.integers(1, 200), st.just(1 << 30)), torn=st.booleans(), new_epoch=st.booleans()
    )
    def crash(self, keep, torn, new_epoch):
        self.journal.crash(keep, torn)
        self.reopen(new_epoch)
        recovered = self.journal.durable_position
        survived = recovered > len(self.durable)
        if keep == 0 or not self.buffered:
            assert not survived
        if keep == 1 << 30 and not torn:
            assert recovered == len(self.durable) + len(self.buffered)
        if survived:
            assert recovered == len(self.durable) + len(self.buffered)
            self.settle()
        self.buffered = []
        if survived or keep == 0 or (keep == 1 << 30 and not torn):
            assert self.journal.tail_cut is None

    @precondition(lambda self: self.disk.files)
    @rule(data=st.data())
    def flip_a_bit_and_open(self, data):
        """Damage never goes unseen: it is refused and nothing changes, or it is cut as a torn last write."""
        disk = self.disk.copy()
        name = data.draw(st.sampled_from(sorted(disk.files)), "segment")
        bit = data.draw(st.integers(0, len(disk.files[name]) * 8 - 1), "bit")
        disk.files[name][bit // 8] ^= 1 << (bit % 8)
        damaged = disk.copy().files
        refusal = None
        try:
            journal = MemoryJournal(disk, 0, self.epoch)
        except JournalCorruptError as error:
            refusal = error
        if refusal is not None:
            assert refusal.path == disk.path(name)
            assert refusal.offset <= bit // 8
            assert disk.files == damaged
            return
        assert journal.tail_cut is not None
        assert name == max(damaged)
        kept = len(self.durable) - journal.durable_position
        assert kept in (0, self.last_frame_count)
        expected = list(enumerate(self.durable[: journal.durable_position], 1))[self.first - 1 :]
        assert list(journal.replay(self.first - 1)) == expected

    @invariant()
    def holds_what_the_list_holds(self):
        journal = self.journal
        assert journal.durable_position == len(self.durable)
        assert journal.next_position == len(self.durable) + len(self.buffered) + 1
        assert journal.buffered_count == len(self.buffered)
        assert journal.buffered_bytes == sum(map(len, self.buffered))
        assert journal.first_position == self.first
        expected = list(enumerate(self.durable, 1))[self.first - 1 :]
        assert list(journal.replay(self.first - 1)) == expected

    def settle(self):
        if self.buffered:
            self.last_frame_count = len(self.buffered)
        self.durable += self.buffered
        self.buffered = []

    def reopen(self, new_epoch):
        held_before = len(self.durable)
        self.epoch += new_epoch
        self.journal = MemoryJournal(self.disk, 0, self.epoch)
        end = self.journal.durable_position
        if new_epoch:
            self.close_segment(end)
        assert end >= held_before

    def close_segment(self, end=None):
        end = len(self.durable) if end is None else end
        if end >= self.first and (not self.closed_ends or end > self.closed_ends[-1]):
            self.closed_ends.append(end)


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
