"""What falls due, and when: scheduled tweets, ends of polls, expiries, garbage. One heap a shard.

    times   (owner, kind, key) -> due_ms          what is true
    heap    (due_ms, owner, kind, key), ...       what is looked at; an entry that `times` doesn't confirm is skipped

A later `put` of the same (owner, kind, key) replaces its time: the entry of before stays in the heap until its time
comes, or until there are more such entries than true ones; then the heap is made anew of `times`. So the memory is
bounded by what is due, however often it is put off.

Rules of this file
- No state of its own: whoever keeps the thing (a paper, a mark) knows its time, and puts it here again on restore. The
  order in which things were put makes no difference, so neither does a restore.
- `take` is in order of (due_ms, owner, kind, key), whatever the order of putting: every replica takes the same.
- Callers have checked what they pass: due_ms >= 0; owner and key int64.

What it costs (`python -m tests.core.measure_shelves`, a hundred thousand things): 242 bytes each; put 3 us, take 10 us.
Deliberately not: firing. Whoever takes journals a command of what was taken, and its applying drops or puts.
"""

from __future__ import annotations

import heapq
from typing import Final, NamedTuple

STALE_MIN: Final = 64  # entries that may be stale however few are true
ITEM_BYTES: Final = 242  # what CPython takes for one: tuples of three and four, numbers, a place in dict and heap


class DueItem(NamedTuple):
    """One thing that falls due at due_ms (Unix ms)."""

    due_ms: int
    owner: int
    kind: int
    key: int


class Due:
    """What falls due on one shard."""

    def __init__(self) -> None:
        self._times: dict[tuple[int, int, int], int] = {}
        self._heap: list[DueItem] = []

    def __len__(self) -> int:
        return len(self._times)

    def put(self, due_ms: int, owner: int, kind: int, key: int) -> None:
        """Let a thing fall due at due_ms, and at no other time. Amortised O(log n)."""
        place = (owner, kind, key)
        if self._times.get(place) == due_ms:
            return
        self._times[place] = due_ms
        heapq.heappush(self._heap, DueItem(due_ms, owner, kind, key))
        self._compact()

    def drop(self, owner: int, kind: int, key: int) -> bool:
        """Let a thing not fall due at all; return whether it would have. Amortised O(1)."""
        was_there = self._times.pop((owner, kind, key), None) is not None
        self._compact()
        return was_there

    def due_ms(self, owner: int, kind: int, key: int) -> int | None:
        """Return when a thing falls due, None for never."""
        return self._times.get((owner, kind, key))

    @property
    def next_ms(self) -> int | None:
        """When the first thing falls due; None if there is nothing. Amortised O(1)."""
        self._skip_stale()
        return self._heap[0].due_ms if self._heap else None

    def take(self, now_ms: int, count: int) -> list[DueItem]:
        """Take out what is due at now_ms or was before, at most `count` things, in order. O(log n) each."""
        taken: list[DueItem] = []
        while len(taken) < count:
            self._skip_stale()
            if not self._heap or self._heap[0].due_ms > now_ms:
                break
            item = heapq.heappop(self._heap)
            del self._times[item[1:]]
            taken.append(item)
        self._compact()
        return taken

    def first(self, now_ms: int, count: int) -> list[DueItem]:
        """Return what `take` would take, and leave it in. O(log n) each."""
        found = self.take(now_ms, count)
        for item in found:
            self.put(*item)
        return found

    def _skip_stale(self) -> None:
        """Let the heap begin with what is true, if anything is."""
        heap, times = self._heap, self._times
        while heap and times.get(heap[0][1:]) != heap[0].due_ms:
            heapq.heappop(heap)

    def _compact(self) -> None:
        """Make the heap anew when most of it is stale."""
        if len(self._heap) > 2 * len(self._times) + STALE_MIN:
            self._heap = [DueItem(due_ms, *place) for place, due_ms in self._times.items()]
            heapq.heapify(self._heap)

    def nbytes(self) -> int:
        """Bytes held, about. O(1)."""
        return ITEM_BYTES * max(len(self._times), len(self._heap))

    def check(self) -> list[str]:
        """Return violations: the heap is one, holds every time that is true, and not too many that are not."""
        problems = []
        heap = self._heap
        if any(heap[(i - 1) // 2] > heap[i] for i in range(1, len(heap))):
            problems.append("the heap of what falls due is out of order")
        entries = set(heap)
        missing = [place for place, due_ms in self._times.items() if (due_ms, *place) not in entries]
        if missing:
            problems.append(f"{len(missing)} things would never fall due, among them {missing[0]}")
        if len(heap) > 2 * len(self._times) + STALE_MIN:
            problems.append(f"the heap holds {len(heap)} entries for {len(self._times)} things")
        return problems
