"""Who waits to be let in, in groups: a bounded crowd, out of which somebody goes when it is full.

    by group     a: x x x x    b: x    c: x x
    by size      4: a          1: b    2: c            the largest is looked up, not searched for

Rules of this file
- Pure: no sockets, no clock.
- Who has to go is the one who has waited longest in the largest group. So a flood from one address pushes out nobody
  from another, and one from many addresses, or from an honest peer's own, leaves whoever has just come the time that
  the flood needs to fill the lobby. The newest instead would let a few dozen who only wait keep everybody out.

Cost: 1.5 us to come, as much to go, whatever the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Lobby(Generic[T]):
    """At most count_max items, each of a group, in the order of their coming."""

    def __init__(self, count_max: int) -> None:
        self.count_max = count_max
        self._came: dict[T, tuple[str, float]] = {}  # item -> (group, when)
        self._groups: dict[str, dict[T, None]] = {}
        self._sizes: dict[int, dict[str, None]] = {}  # how large -> which groups are
        self._largest = 0

    def __len__(self) -> int:
        return len(self._came)

    def __contains__(self, item: T) -> bool:
        return item in self._came

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._came))

    def add(self, item: T, group: str, now: float) -> T | None:
        """Take somebody in; returns who has to go for that, and is in no more: maybe the same."""
        self._came[item] = group, now
        members = self._groups.setdefault(group, {})
        members[item] = None
        self._resize(group, len(members) - 1, len(members))
        if len(self._came) <= self.count_max:
            return None
        largest = next(iter(self._sizes[self._largest]))
        oldest = next(iter(self._groups[largest]))
        self.remove(oldest)
        return oldest

    def remove(self, item: T) -> bool:
        """Forget somebody; False: wasn't in."""
        group, _ = self._came.pop(item, ("", 0.0))
        members = self._groups.get(group)
        if members is None or item not in members:
            return False
        del members[item]
        self._resize(group, len(members) + 1, len(members))
        if not members:
            del self._groups[group]
        return True

    def late(self, before: float) -> list[T]:
        """Return those who came before a time, oldest first; they stay."""
        found = []
        for item, (_, came) in self._came.items():
            if came >= before:
                break
            found.append(item)
        return found

    def _resize(self, group: str, old: int, new: int) -> None:
        if old:
            same = self._sizes[old]
            del same[group]
            if not same:
                del self._sizes[old]
        if new:
            self._sizes.setdefault(new, {})[group] = None
        if new > self._largest or self._largest not in self._sizes:
            self._largest = new

    def check(self) -> list[str]:
        """Return what is wrong, one sentence each."""
        problems = []
        if len(self._came) > self.count_max:
            problems.append(f"{len(self._came)} are in, but only {self.count_max} may be")
        if sorted((g, i) for i, (g, _) in self._came.items()) != sorted(
            (g, i) for g in self._groups for i in self._groups[g]
        ):
            problems.append("the groups' members are not those who are in")
        if {g: len(m) for g, m in self._groups.items()} != {g: n for n, groups in self._sizes.items() for g in groups}:
            problems.append("a group is filed under another size")
        if self._largest != max(self._sizes, default=0):
            problems.append(f"the largest group is said to have {self._largest}")
        return problems
