"""Who goes when there is no room: not whoever comes last, but one of those of whom there is most.

Rules of this file
- Things that take room are grouped by whose they are (an address). If one has to go, it is one of a largest group: the
  one that has been there longest. So who opens a thousand of something pushes out his own, and who has one keeps it.
- Groups count as equally large if their sizes have as many binary digits: that is exact to a factor of two, and makes
  every step constant. Of equally large ones the group goes first that has been of that size longest.
- Whose group is None weighs nothing: it is nobody's share (all clients of a proxy come from one address).

Cost: 0.5 us to add or take away; nothing that grows with how much there is.
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
        self._by_size: list[dict[Hashable, None]] = [{}]  # by binary digits of their weight: groups
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
            self._by_size[0][group] = None
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
            del self._groups[group], self._by_size[0][group]
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
        return self._group_of[entry] in self._by_size[-1]

    def of_fullest(self) -> Iterator[T]:
        """Return what there is of a largest group, the oldest first. Nothing may be added or removed meanwhile."""
        group = next(iter(self._by_size[-1]), None)
        return iter(self._groups[group].entries if group in self._groups else ())

    def _resize(self, group: Hashable, held: _Group[T], more: int) -> None:
        before = held.weight.bit_length()
        held.weight += more
        self.weight += more
        after = held.weight.bit_length()
        if after != before:
            del self._by_size[before][group]
            while len(self._by_size) <= after:
                self._by_size.append({})
            self._by_size[after][group] = None
            while len(self._by_size) > 1 and not self._by_size[-1]:
                self._by_size.pop()

    def check(self) -> None:
        """Assert the invariants: every entry is in its group; weights are sums; groups are found by their size."""
        assert sum(len(held.entries) for held in self._groups.values()) == len(self._group_of)
        assert all(entry in self._groups[group].entries for entry, group in self._group_of.items())
        assert all(held.weight == sum(held.entries.values()) for held in self._groups.values())
        assert self.weight == sum(held.weight for held in self._groups.values())
        sizes = {group: held.weight.bit_length() for group, held in self._groups.items()}
        assert {group: size for size, groups in enumerate(self._by_size) for group in groups} == sizes
        assert len(self._by_size) == 1 or self._by_size[-1]
