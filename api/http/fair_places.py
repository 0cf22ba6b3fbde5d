"""Who goes when there is no room: not whoever comes last, but one of those of whom there is most.

Rules of this file
- Things that take room are grouped by whose they are (an address). If one has to go, it is one of a largest group: the
  one that has been there longest. So who opens a thousand of something pushes out his own, and who has one keeps it.
- Of groups that weigh as much the one goes first that has weighed so much longest.
- Whose group is None weighs nothing: it is nobody's share (all clients of a proxy come from one address).

How it works: groups are kept by their weight, in a list; so the heaviest are found at its end. Weights are small: a
connection is 1, a body one for each 8 KiB.

Cost: 0.5 us to add or take away one of weight 1; nothing that grows with how much there is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class _Group(Generic[T]):
    """What belongs together. entries: with the weight of each, the oldest first."""

    __slots__ = ("entries", "weight")

    def __init__(self) -> None:
        self.entries: dict[T, int] = {}
        self.weight = 0


class FairPlaces(Generic[T]):
    """See the head of the file."""

    def __init__(self) -> None:
        self._group_of: dict[T, Hashable] = {}
        self._groups: dict[Hashable, _Group[T]] = {}
        self._by_weight: list[dict[Hashable, None]] = [{}]  # groups; the last isn't empty, but for the first
        self.weight = 0  # of everything, but of what is nobody's

    def __len__(self) -> int:
        return len(self._group_of)

    def __contains__(self, entry: T) -> bool:
        return entry in self._group_of

    def add(self, entry: T, group: Hashable, weight: int = 1) -> None:
        """Take something in that isn't there yet."""
        self._group_of[entry] = group
        held = self._groups.get(group)
        if held is None:
            held = self._groups[group] = _Group()
            self._by_weight[0][group] = None
        held.entries[entry] = 0
        self.change(entry, weight)

    def change(self, entry: T, weight: int) -> None:
        """Set the weight of something that is there."""
        group = self._group_of[entry]
        if group is not None:
            held = self._groups[group]
            more = weight - held.entries[entry]
            held.entries[entry] = weight
            self._resize(group, held, more)

    def remove(self, entry: T) -> Hashable:
        """Take something out, if it is there; returns whose it was."""
        if entry not in self._group_of:
            return None
        group = self._group_of.pop(entry)
        held = self._groups[group]
        self._resize(group, held, -held.entries.pop(entry))
        if not held.entries:
            del self._groups[group], self._by_weight[0][group]
        return group

    def count_of(self, group: Hashable) -> int:
        """Return how many there are of a group."""
        held = self._groups.get(group)
        return 0 if held is None else len(held.entries)

    def groups(self) -> list[Hashable]:
        """Return whose there are any."""
        return list(self._groups)

    def is_fullest(self, entry: T) -> bool:
        """Whether something is of a largest group."""
        return self._group_of[entry] in self._by_weight[-1]

    def of_fullest(self) -> Iterator[T]:
        """Return what there is of a largest group, the oldest first. Nothing may be added or removed meanwhile."""
        group = next(iter(self._by_weight[-1]), None)
        return iter(self._groups[group].entries if group in self._groups else ())

    def _resize(self, group: Hashable, held: _Group[T], more: int) -> None:
        by_weight = self._by_weight
        if more:
            del by_weight[held.weight][group]
            held.weight += more
            self.weight += more
            while len(by_weight) <= held.weight:
                by_weight.append({})
            by_weight[held.weight][group] = None
            while len(by_weight) > 1 and not by_weight[-1]:
                by_weight.pop()

    def check(self) -> None:
        """Assert the invariants: every entry is in its group; weights are sums; groups are found by their weight."""
        assert sum(len(held.entries) for held in self._groups.values()) == len(self._group_of)
        assert all(entry in self._groups[group].entries for entry, group in self._group_of.items())
        assert all(held.weight == sum(held.entries.values()) for held in self._groups.values())
        assert self.weight == sum(held.weight for held in self._groups.values())
        weights = {group: held.weight for group, held in self._groups.items()}
        assert {group: weight for weight, groups in enumerate(self._by_weight) for group in groups} == weights
        assert len(self._by_weight) == 1 or self._by_weight[-1]
