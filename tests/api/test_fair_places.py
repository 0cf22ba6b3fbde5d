"""Who goes when there is no room, beside the plain way to find it: all places in a list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from api.http.fair_places import FairPlaces
from tests.api.test_admission import FakeConnection

GROUPS = st.sampled_from(["a", "b", "c", None])


class FairPlacesMachine(RuleBasedStateMachine):
    """A list of [entry, group, weight], in the order of their coming."""

    def __init__(self) -> None:
        super().__init__()
        self.places: FairPlaces[int] = FairPlaces()
        self.listed: list[list] = []
        self.number = 0

    @rule(group=GROUPS, weight=st.integers(1, 20))
    def add(self, group, weight):
        self.number += 1
        self.places.add(self.number, group, weight)
        self.listed.append([self.number, group, weight])

    @precondition(lambda self: self.listed)
    @rule(data=st.data(), weight=st.integers(0, 40))
    def change(self, data, weight):
        entry = data.draw(st.sampled_from(self.listed))
        self.places.change(entry[0], weight)
        entry[2] = weight

    @rule(number=st.integers(0, 30))
    def remove(self, number):
        group = next((group for entry, group, _ in self.listed if entry == number), None)
        assert self.places.remove(number) == group
        self.listed = [each for each in self.listed if each[0] != number]

    @invariant()
    def one_of_a_largest_group_goes_first_the_oldest_of_it(self):
        self.places.check()
        assert len(self.places) == len(self.listed)
        weights: dict[str | None, int] = {}
        for _, group, weight in self.listed:
            weights[group] = weights.get(group, 0) + (0 if group is None else weight)
        first = next(self.places.of_fullest(), None)
        assert (first is None) == (not self.listed)
        if first is not None:
            group = next(group for entry, group, _ in self.listed if entry == first)
            assert weights[group] == max(weights.values())
            assert first == next(entry for entry, of, _ in self.listed if of == group)
            assert self.places.is_fullest(first)
        assert self.places.weight == sum(weights.values())


TestFairPlaces = FairPlacesMachine.TestCase


@given(st.integers(3, 60), st.integers(1, 40))
def test_who_has_most_pays_for_whoever_comes(crowd, newcomers):
    places: FairPlaces[FakeConnection] = FairPlaces()
    honest = FakeConnection()
    places.add(honest, "honest")
    for _ in range(crowd):
        places.add(FakeConnection(), "crowd")
    for number in range(newcomers):
        leaving = next(places.of_fullest())
        assert leaving is not honest or crowd <= number + 2
        places.remove(leaving)
        places.add(FakeConnection(), "crowd")
