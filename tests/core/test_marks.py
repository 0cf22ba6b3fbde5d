"""Shelves of marks beside a dict of dicts, in an arena that is slid together every few changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.core.arrays import marks_kernels as kernels
from actors.core.arrays.arena import size_classes
from actors.core.stores.marks import Marks
from tests.core.twins import TwinMarks, next_stamp

LIKES, MEMBERS, VOTERS = 1, 2, 7  # dense, sparse, and dense with two bits of its own
OWN_BITS = {LIKES: 0, MEMBERS: 0, VOTERS: 2}
OWN = {LIKES: 0, MEMBERS: 0, VOTERS: 0xC000}
ID_MAX, ID_MIN = (1 << 63) - 1, -(1 << 63)
PLACES = {LIKES: [0, 1, 2, 63, 64, 300], MEMBERS: [0, 1, -5, ID_MAX, ID_MIN], VOTERS: [0, 5]}
SHELF = st.sampled_from([(kind, place) for kind, places in PLACES.items() for place in places])
KEY = st.sampled_from([0, 1, 2, 3, 4, 5, -1, ID_MAX, ID_MIN, 1 << 62])
AT_MS = st.sampled_from([0, 1, 2, 1_700_000_000_000, 1_700_000_000_001, (1 << 46) - 1])
LOW = st.sampled_from([0, 0, 1, 0x4000, 0x8000, 0xC001])
CLASS_ENDS = [int(size) // 2 for size in size_classes(64)]  # marks that fill a block


def made(tidy_from: int = 1 << 18) -> Marks:
    marks = Marks(tidy_from)
    for kind, own_bits in OWN_BITS.items():
        marks.declare(kind, kind != MEMBERS, own_bits)
    return marks


def pairs(columns) -> list[tuple[int, ...]]:
    return list(zip(*(column.tolist() for column in columns), strict=True))


class MarksMachine(RuleBasedStateMachine):
    @initialize(tidy_from=st.sampled_from([4, 24, 1 << 20]))
    def start(self, tidy_from) -> None:
        """With little waste to tolerate, every few changes slide some blocks."""
        self.marks, self.twin = made(tidy_from), TwinMarks(OWN)

    @rule(shelf=SHELF, key=KEY, at_ms=AT_MS, low=LOW)
    def put(self, shelf, key, at_ms, low) -> None:
        assert self.marks.put(*shelf, key, at_ms, low) == self.twin.put(*shelf, key, at_ms, low)

    @rule(shelf=SHELF, first=st.integers(10, 40), count=st.sampled_from(CLASS_ENDS), step=st.integers(-1, 1))
    def put_some(self, shelf, first, count, step) -> None:
        """As many as fill a block, one less or one more, while the clock goes back."""
        for key in range(first, first + count + step):
            assert self.marks.put(*shelf, key, 1_000 - key) == self.twin.put(*shelf, key, 1_000 - key, 0)

    @rule(shelf=SHELF, key=KEY)
    def drop(self, shelf, key) -> None:
        assert self.marks.drop(*shelf, key) == self.twin.drop(*shelf, key)

    @rule(shelf=SHELF)
    def drop_the_newest(self, shelf) -> None:
        """The next stamp then depends on what is left alone."""
        for key in list(self.twin.shelf(*shelf))[-1:]:
            assert self.marks.drop(*shelf, key)
            assert self.twin.drop(*shelf, key)

    @rule(shelf=SHELF)
    def clear(self, shelf) -> None:
        assert self.marks.clear(*shelf) == self.twin.clear(*shelf)

    @rule(shelf=SHELF, index=st.integers(0, 60), step=st.integers(-1, 1), count=st.integers(0, 30))
    def page(self, shelf, index, step, count) -> None:
        stamps = list(self.twin.shelf(*shelf).values())
        for before in (0, stamps[index % len(stamps)] + step if stamps else 5):
            assert pairs(self.marks.page(*shelf, before, count)) == self.twin.page(*shelf, before, count)

    @rule(shelf=SHELF, other=SHELF, keys=st.lists(st.one_of(KEY, st.integers(10, 60)), max_size=30))
    def flags(self, shelf, other, keys) -> None:
        rows = (self.marks.row_of(*shelf), self.marks.row_of(*other))
        flags = self.marks.flags(rows, (1, 4), np.array(keys, dtype=np.int64))
        first, second = self.twin.shelf(*shelf), self.twin.shelf(*other)
        assert flags.tolist() == [(key in first) * 1 | (key in second) * 4 for key in keys]

    @rule(shelf=SHELF, key=KEY)
    def look_for_one(self, shelf, key) -> None:
        assert self.marks.contains(*shelf, key) == (key in self.twin.shelf(*shelf))
        assert self.marks.stamp_of(*shelf, key) == self.twin.shelf(*shelf).get(key, 0)

    @rule(kind=st.sampled_from(list(OWN)), random=st.randoms(use_true_random=False))
    def restore_a_kind(self, kind, random) -> None:
        """Its marks go, and come back in another order."""
        dumped = pairs(self.marks.dump(kind))
        for place in PLACES[kind]:
            self.marks.clear(kind, place)
        assert self.marks.dump(kind)[0].tolist() == []
        random.shuffle(dumped)
        self.marks.fill(kind, *np.array(dumped, dtype=np.int64).reshape(-1, 3).T)

    @rule(divisor=st.sampled_from([2, 8, 1000]))
    def tidy(self, divisor) -> None:
        self.marks.arena.tidy(divisor)

    @invariant()
    def equal_and_sound(self) -> None:
        if not hasattr(self, "marks"):
            return
        assert self.marks.check() == []
        assert self.marks.total == sum(map(len, self.twin.shelves.values()))
        for kind, places in PLACES.items():
            assert pairs(self.marks.dump(kind)) == self.twin.dump(kind)
            for place in places:
                shelf = self.twin.shelf(kind, place)
                assert self.marks.count(kind, place) == len(shelf)
                assert pairs(self.marks.view(kind, place)) == list(shelf.items())


TestMarks = MarksMachine.TestCase


@given(
    last=st.integers(0, 1 << 18), first=st.integers(0, 1 << 18),
    own_bits=st.sampled_from([0, 1, 2, 5, 15]),
)  # fmt: skip
def test_the_next_stamp_is_the_lowest_above_the_last_that_says_what_its_own_bits_say(last, first, own_bits):
    own = (1 << 16) - (1 << (16 - own_bits))
    assert kernels.next_stamp(last, first, own) == next_stamp(last, first, own)


def test_votes_of_one_millisecond_keep_their_choices():
    marks = made()
    for voter, choice in enumerate((3, 1, 2, 2, 0), start=1):
        marks.put(VOTERS, 0, voter, 1_000, choice << 14)
    voters, stamps = marks.view(VOTERS, 0)
    assert voters.tolist() == [1, 2, 3, 4, 5]
    assert (stamps >> 14 & 3).tolist() == [3, 1, 2, 2, 0]
    assert (stamps >> 16).tolist() == [1_000, 1_001, 1_001, 1_001, 1_002]
    assert marks.check() == []


def test_stamps_grow_while_the_clock_goes_back_and_follow_it_once_it_has_caught_up():
    marks = made()
    for key, at_ms in enumerate((50, 10, 10, 50, 51)):
        marks.put(LIKES, 0, key, at_ms)
    assert marks.view(LIKES, 0)[1].tolist() == [50 << 16, (50 << 16) + 1, (50 << 16) + 2, (50 << 16) + 3, 51 << 16]


def test_a_restored_shelf_gives_the_stamps_that_the_old_one_would_have_given():
    old, new = made(), made()
    for key, at_ms in ((1, 10), (2, 90), (3, 95)):
        old.put(MEMBERS, 5, key, at_ms)
    old.drop(MEMBERS, 5, 3)
    new.fill(MEMBERS, *old.dump(MEMBERS))
    for marks in (old, new):
        marks.put(MEMBERS, 5, 4, 20)
    assert (
        pairs(new.view(MEMBERS, 5))
        == pairs(old.view(MEMBERS, 5))
        == [(1, 10 << 16), (2, 90 << 16), (4, (90 << 16) + 1)]
    )


def test_rows_of_emptied_shelves_are_used_again():
    marks = made()
    for turn in range(50):
        for place in range(8):
            marks.put(MEMBERS, turn * 8 + place, 1, 1)
        for place in range(8):
            assert marks.drop(MEMBERS, turn * 8 + place, 1) if place % 2 else marks.clear(MEMBERS, turn * 8 + place)
        moved_in = np.arange(4, dtype=np.int64) + 1_000 + turn
        marks.fill(LIKES, moved_in, moved_in, moved_in)
        for place in moved_in.tolist():
            marks.clear(LIKES, place)
        assert marks.check() == []
    assert marks._next_row == 9
    assert marks.total == 0


@pytest.mark.parametrize("kind", [LIKES, MEMBERS])
@pytest.mark.parametrize("length", [1, 2, 11, 702, 1_751, 4_000, 20_000])
def test_shelves_of_any_length_are_filled_in_any_order(kind, length):
    rng = np.random.default_rng(length)
    places = np.concatenate([np.full(length, 3), np.full(length // 2, 4), np.arange(10, 10 + length)])
    stamps = rng.permutation(np.arange(1, len(places) + 1)) << 16
    keys = rng.permutation(len(places)) - 5
    marks = made()
    marks.fill(kind, places, keys, stamps)
    order = np.lexsort((stamps, places))
    for got, wanted in zip(marks.dump(kind), (places, keys, stamps), strict=True):
        assert np.array_equal(got, wanted[order])
    assert marks.check() == []
    again = made()
    again.fill(kind, *marks.dump(kind))
    assert pairs(again.dump(kind)) == pairs(marks.dump(kind))
    assert again.check() == []


@pytest.mark.parametrize("kind", [LIKES, MEMBERS])
def test_filling_a_shelf_that_has_marks_is_refused_and_changes_nothing(kind):
    marks = made()
    marks.put(kind, 6, 1, 1)
    before = pairs(marks.dump(kind))
    places = np.array([5, 6, 7], dtype=np.int64)
    with pytest.raises(ValueError, match="place 6 must be empty"):
        marks.fill(kind, places, places, places)
    assert pairs(marks.dump(kind)) == before
    assert marks.check() == []


def test_flags_of_thousands_of_keys_tell_equal_ones_alike():
    marks = made()
    marks.fill(LIKES, np.zeros(5_000, np.int64), np.arange(5_000) * 3, np.arange(1, 5_001))
    wanted = np.tile(np.arange(4_000), 2)
    row = marks.row_of(LIKES, 0)
    assert np.array_equal(marks.flags((row, 0), (1, 2), wanted), wanted % 3 == 0)
    assert np.array_equal(marks.flags((row, row), (1, 2), wanted), (wanted % 3 == 0) * 3)
    assert not marks.flags((marks.row_of(LIKES, 1), 0), (1, 2), wanted).any()
    assert marks.check() == []


def test_a_page_stays_what_it_was_when_the_shelf_changes():
    marks = made()
    for key in range(10):
        marks.put(LIKES, 0, key, key)
    keys, stamps = marks.page(LIKES, 0, 0, 3)
    marks.clear(LIKES, 0)
    marks.put(LIKES, 1, 77, 99)
    assert keys.tolist() == [9, 8, 7]
    assert stamps.tolist() == [9 << 16, 8 << 16, 7 << 16]


def test_a_kind_is_declared_once_and_before_it_is_used():
    marks = made()
    with pytest.raises(ValueError, match="kind 1 of marks is declared twice"):
        marks.declare(LIKES, True)
    with pytest.raises(ValueError, match="0 to 15 low bits of a stamp for itself, not 16"):
        marks.declare(9, True, 16)
    with pytest.raises(KeyError, match="8"):
        marks.put(8, 0, 1, 1)
    assert marks.kinds == [LIKES, MEMBERS, VOTERS]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda m: m.arena.data.__setitem__(m.arena.start[1] + 2, 1), "holds 2 marks of 1 keys"),
        (lambda m: m.arena.data.__setitem__(m.arena.start[1] + 3, 1), "stamps that don't grow"),
        (lambda m: m.arena.length.__setitem__(1, 0), "has 0 elements, which are no marks"),
        (lambda m: m._free.append(1), "1 shelves and 1 free rows don't fill rows 1..1"),
        (lambda m: setattr(m, "total", 5), "hold 2 marks, not 5"),
        (lambda m: m._first.fill(1), "slots of wanted keys"),
    ],
    ids=["equal keys", "equal stamps", "an empty shelf", "a row twice", "a wrong total", "a dirty slot"],
)
def test_damage_is_told(damage, said):
    marks = made()
    marks.put(LIKES, 0, 1, 1)
    marks.put(LIKES, 0, 2, 2)
    assert marks.check() == []
    damage(marks)
    assert said in "; ".join(marks.check())
