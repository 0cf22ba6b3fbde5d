"""Rings of hashtags: the newest tweets of a hashtag, ready in memory; older ones come from the index.

    ring of a hashtag   [id, id, id, ...] ascending, at most RING_COUNT      floor: complete above it
    pending             what was fed since the last commit, so that a ring made now lacks nothing

Rules of this file
- A ring is a complete cache above its floor, as a home timeline's is: a page that needs what is below asks the index.
- A ring is made when its hashtag is first asked for; the least recently asked for goes beyond RINGS_MAX.
- Reposts are no part of a hashtag's timeline.
- One thread: the engine's loop.

Costs: a page 5 us plus 0.1 us an entry; a tweet 1 us a hashtag; 8 KB a full ring.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from actors.core.ids import ID_MAX

RING_COUNT = 200  # tweets of a hashtag in memory: ten pages
RINGS_MAX = 2_000  # hashtags with a ring: 16 MB


class Wanted(NamedTuple):
    """Tweets with any of `any_of`, all of `all_of` and none of `none_of`; folded hashtags without #."""

    any_of: tuple[str, ...]
    all_of: tuple[str, ...]
    none_of: tuple[str, ...]

    def tree(self) -> list[object]:
        """Return the query that finds the same."""
        tags = [["tag", tag] for tag in self.any_of]
        some: list[object] = tags[0] if len(tags) == 1 else ["or", *tags]  # type: ignore[assignment]
        rest = [["tag", tag] for tag in self.all_of] + [["not", ["tag", tag]] for tag in self.none_of]
        return ["and", some, *rest] if rest else some


class _Ring:
    __slots__ = ("floor", "ids")

    def __init__(self, ids: list[int], floor: int) -> None:
        self.ids, self.floor = ids, floor

    def add(self, tweet_id: int) -> None:
        if tweet_id <= self.floor:
            return
        at = bisect_left(self.ids, tweet_id)
        if at < len(self.ids) and self.ids[at] == tweet_id:
            return
        self.ids.insert(at, tweet_id)
        if len(self.ids) > RING_COUNT:
            self.floor = self.ids.pop(0)

    def remove(self, tweet_id: int) -> None:
        at = bisect_left(self.ids, tweet_id)
        if at < len(self.ids) and self.ids[at] == tweet_id:
            del self.ids[at]


class TagRings:
    """The rings of one replica."""

    def __init__(self, newest: Callable[[str, int], list[int]], search: Callable[..., list[int]]) -> None:
        """newest(tag, count): ids of the newest tweets in the index, newest first.

        search(tree, max_id, count, min_id): the index's answer, newest first; with min_id, the ones right after it.
        """
        self._newest, self._search = newest, search
        self._rings: OrderedDict[str, _Ring] = OrderedDict()
        self._pending: deque[tuple[int, int, tuple[str, ...]]] = deque()

    def __len__(self) -> int:
        return len(self._rings)

    def add(self, seq: int, tweet_id: int, tags: Iterable[str]) -> None:
        """Take in a tweet that is being indexed. seq: its number, which only grows; see `committed`."""
        tags = tuple(tags)
        self._pending.append((seq, tweet_id, tags))
        for tag in tags:
            ring = self._rings.get(tag)
            if ring is not None:
                ring.add(tweet_id)

    def edit(self, seq: int, tweet_id: int, tags: Iterable[str]) -> None:
        """Take in a tweet that is being indexed anew, with other hashtags or none."""
        self.remove([tweet_id])
        self.add(seq, tweet_id, tags)

    def remove(self, tweet_ids: Iterable[int]) -> None:
        """Take tweets out."""
        gone = set(tweet_ids)
        for ring in self._rings.values():
            if not gone.isdisjoint(ring.ids):
                for tweet_id in gone:
                    ring.remove(tweet_id)
        if any(tweet_id in gone for _, tweet_id, _ in self._pending):
            self._pending = deque(each for each in self._pending if each[1] not in gone)

    def committed(self, seq: int) -> None:
        """Note that the index finds everything up to that number."""
        while self._pending and self._pending[0][0] <= seq:
            self._pending.popleft()

    def page(self, wanted: Wanted, max_id: int, min_id: int, count: int) -> list[int]:
        """Return up to count ids, newest first, older than max_id (0: any); with min_id the ones right after it."""
        rings = {tag: self._ring(tag) for tag in (*wanted.any_of, *wanted.all_of, *wanted.none_of)}
        floor = max(ring.floor for ring in rings.values())
        ready = self._above(floor, wanted, rings)
        if min_id:
            found = ready[bisect_right(ready, min_id) : bisect_left(ready, max_id or ID_MAX)]
            if min_id < floor:
                below = self._search(wanted.tree(), min(floor + 1, max_id or ID_MAX), count, min_id)
                found = sorted({*below, *found})
            return found[:count][::-1]
        page = ready[: bisect_left(ready, max_id or ID_MAX)][::-1][:count]
        if len(page) < count and floor:
            bound = min(max_id or ID_MAX, floor + 1)
            page += self._search(wanted.tree(), bound, count - len(page), 0)
        return page

    def _above(self, floor: int, wanted: Wanted, rings: dict[str, _Ring]) -> list[int]:
        """Return the ids above a floor that are wanted, ascending: what the rings know completely."""

        def above(tag: str) -> list[int]:
            ids = rings[tag].ids
            return ids[bisect_right(ids, floor) :]

        if len(wanted.any_of) == 1 and not wanted.all_of and not wanted.none_of:
            return above(wanted.any_of[0])
        found: set[int] = set().union(*(above(tag) for tag in wanted.any_of))
        for tag in wanted.all_of:
            found.intersection_update(above(tag))
        for tag in wanted.none_of:
            found.difference_update(above(tag))
        return sorted(found)

    def _ring(self, tag: str) -> _Ring:
        ring = self._rings.get(tag)
        if ring is not None:
            self._rings.move_to_end(tag)
            return ring
        ids = self._newest(tag, RING_COUNT + 1)[::-1]
        floor = ids.pop(0) if len(ids) > RING_COUNT else 0
        ring = _Ring(ids, floor)
        for _, tweet_id, tags in self._pending:
            if tag in tags:
                ring.add(tweet_id)
            else:
                ring.remove(tweet_id)  # the index has still to learn of an edit
        self._rings[tag] = ring
        if len(self._rings) > RINGS_MAX:
            self._rings.popitem(last=False)
        return ring

    def check(self) -> list[str]:
        """Return violations: rings are ascending, above their floors and not too long."""
        problems = []
        for tag, ring in self._rings.items():
            if ring.ids != sorted(set(ring.ids)) or (ring.ids and ring.ids[0] <= ring.floor):
                problems.append(f"the ring of #{tag} is not ascending above {ring.floor}")
            if len(ring.ids) > RING_COUNT:
                problems.append(f"the ring of #{tag} holds {len(ring.ids)} tweets")
        return problems
