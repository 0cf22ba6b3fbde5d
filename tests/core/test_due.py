"""What falls due, beside a dict that is sorted whenever it is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.core.stores import due as due_module
from actors.core.stores.due import Due

AT_MS = st.integers(0, 12)
PLACE = st.tuples(st.integers(1, 3), st.integers(1, 2), st.sampled_from([0, 1, -1, (1 << 63) - 1]))


class DueMachine(RuleBasedStateMachine):
    @initialize(stale_min=st.sampled_from([0, 3, 64]))
    def start(self, stale_min) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(due_module, "STALE_MIN", stale_min)
        self.due, self.twin = Due(), {}

    @rule(at_ms=AT_MS, place=PLACE)
    def put(self, at_ms, place) -> None:
        self.due.put(at_ms, *place)
        self.twin[place] = at_ms

    @rule(place=PLACE, times=st.lists(AT_MS, max_size=20))
    def put_off_and_on(self, place, times) -> None:
        """The same times come again, so entries of before would be true again."""
        for at_ms in times:
            self.due.put(at_ms, *place)
            self.twin[place] = at_ms

    @rule(place=PLACE)
    def drop(self, place) -> None:
        assert self.due.drop(*place) == (self.twin.pop(place, None) is not None)

    @rule(now_ms=AT_MS, count=st.integers(0, 6))
    def take(self, now_ms, count) -> None:
        wanted = sorted((at_ms, *place) for place, at_ms in self.twin.items() if at_ms <= now_ms)[:count]
        assert self.due.first(now_ms, count) == wanted
        assert self.due.take(now_ms, count) == wanted
        for item in wanted:
            del self.twin[item[1:]]

    @invariant()
    def equal_and_sound(self) -> None:
        if not hasattr(self, "due"):
            return
        assert self.due.check() == []
        assert len(self.due) == len(self.twin)
        assert self.due.next_ms == min(self.twin.values(), default=None)
        for place in ((1, 1, 0), (2, 2, -1), (9, 9, 9)):
            assert self.due.due_ms(*place) == self.twin.get(place)

    def teardown(self) -> None:
        if hasattr(self, "due"):
            wanted = sorted((at_ms, *place) for place, at_ms in self.twin.items())
            assert self.due.take(12, len(wanted) + 1) == wanted
            assert self.due.next_ms is None
            assert self.due.check() == []
            self.patch.undo()


TestDue = DueMachine.TestCase


@given(items=st.dictionaries(PLACE, AT_MS), random=st.randoms(use_true_random=False))
def test_what_is_taken_does_not_depend_on_the_order_of_putting(items, random):
    """So a restore, which puts in another order than the years did, takes the same."""
    shuffled = list(items.items())
    random.shuffle(shuffled)
    taken = []
    for order in (list(items.items()), shuffled):
        due = Due()
        for place, at_ms in order:
            due.put(at_ms, *place)
        taken.append(due.take(12, len(items)))
    assert taken[0] == taken[1]


def test_putting_off_again_and_again_takes_no_more_memory():
    due = Due()
    for at_ms in range(10_000):
        due.put(at_ms, at_ms % 10, 1, 0)
        assert len(due._heap) <= 2 * len(due) + due_module.STALE_MIN
    assert [item.due_ms for item in due.take(10_000, 20)] == list(range(9_990, 10_000))
    assert due.nbytes() == 0


def test_dropping_all_gives_the_heap_up():
    due = Due()
    for owner in range(1_000):
        due.put(owner, owner, 1, 0)
    for owner in range(1_000):
        assert due.drop(owner, 1, 0)
    assert len(due._heap) <= due_module.STALE_MIN
    assert due.next_ms is None
    assert due.check() == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda due: due._heap.reverse(), "out of order"),
        (lambda due: due._heap.clear(), "3 things would never fall due, among them (1, 1, 0)"),
        (lambda due: due._times.__setitem__((9, 1, 0), 5), "1 things would never fall due, among them (9, 1, 0)"),
        (lambda due: due._heap.extend(due._heap * 40), "the heap holds 123 entries for 3 things"),
    ],
    ids=["order", "nothing in the heap", "one that isn't in the heap", "a heap that is too long"],
)
def test_damage_is_told(damage, said):
    due = Due()
    for owner in (1, 2, 3):
        due.put(owner * 10, owner, 1, 0)
    assert due.check() == []
    damage(due)
    assert said in "; ".join(due.check())
