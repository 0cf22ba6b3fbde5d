"""Many small growing arrays in one big one.

A shard holds several arrays per account (followers, followees, ring, own tweets) for hundreds of thousands of
accounts; a NumPy array each would cost 112 bytes before the first element. A `BlockArena` keeps them in one buffer:

    row 7: start -> [ v v v v v . . . ]   block of a size class; the next class is 1.33 to 1.5 times as large
    row 8: no block (klass -1)

What it costs: 13 bytes a row plus the block; appends are amortised O(1); an emptied block is reused by class.
Deliberately not: shrinking a block when elements go (an account that once followed many will again), or compaction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from actors.core import kernels


def size_classes(length_max: int) -> npt.NDArray[np.int64]:
    """Return block sizes 4, 8, 12, 16, 24, 32, 48, ... up to and including length_max rounded up to a multiple of 4."""
    top = -(-length_max // 4) * 4
    sizes = [4, 8, 12]
    step = 16
    while sizes[-1] < top:
        sizes += [step, step * 3 // 2]
        step *= 2
    sizes = [s for s in sizes if s < top] + [top]
    return np.array(sizes, dtype=np.int64)


class BlockArena:
    """Growing arrays of one dtype, addressed by row number. Rows exist once `ensure_rows` has seen their number."""

    def __init__(self, dtype: Any, length_max: int = 1 << 28, rows: int = 64) -> None:
        self.sizes = size_classes(length_max)
        self.meta = np.zeros(1 + len(self.sizes), dtype=np.int64)
        self.data = np.zeros(1024, dtype=dtype)
        self.start = np.zeros(rows, dtype=np.int64)
        self.length = np.zeros(rows, dtype=np.int32)
        self.klass = np.full(rows, -1, dtype=np.int8)

    @property
    def parts(self) -> tuple[Any, ...]:
        """The arrays that every kernel takes first, in their order."""
        return self.data, self.start, self.length, self.klass, self.sizes, self.meta

    def ensure_rows(self, rows: int) -> None:
        """Make rows 0..rows-1 exist; new ones are empty. Amortised O(1) a row."""
        have = len(self.start)
        if rows > have:
            grown = max(rows, have + have // 2)
            self.start = np.resize(self.start, grown)
            self.length = np.resize(self.length, grown)
            self.klass = np.resize(self.klass, grown)
            self.length[have:] = 0
            self.klass[have:] = -1

    def grow(self) -> None:
        """Make room after a kernel ran out: half as much again, and at least one largest needed block."""
        biggest = int(self.sizes[min(int(self.klass.max()) + 1, len(self.sizes) - 1)]) if len(self.klass) else 0
        size = max(len(self.data) + len(self.data) // 2, int(self.meta[0]) + biggest)
        grown = np.empty(size, dtype=self.data.dtype)
        grown[: len(self.data)] = self.data
        self.data = grown

    def append_many(self, rows: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        """Append values[i] to row rows[i], in order; a negative row is skipped."""
        first = 0
        while (first := kernels.append_many(*self.parts, rows, values, first)) < len(rows):
            self.grow()

    def append_many_absent(self, rows: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Append where the row doesn't hold the value yet; return which were added."""
        added = np.zeros(len(rows), dtype=np.bool_)
        first = 0
        while (first := kernels.append_many_absent(*self.parts, rows, values, first, added)) < len(rows):
            self.grow()
        return added

    def append(self, row: int, value: int) -> None:
        """Append one value."""
        self.append_many(np.array([row], dtype=np.int64), np.array([value], dtype=self.data.dtype))

    def view(self, row: int) -> npt.NDArray[Any]:
        """Return the row's elements as a view that the next change of the arena may invalidate. O(1)."""
        if self.klass[row] < 0:
            return self.data[:0]
        s = int(self.start[row])
        return self.data[s : s + int(self.length[row])]

    def contains(self, row: int, value: int) -> bool:
        """Whether the row holds the value. O(row length)."""
        return bool(self.klass[row] >= 0 and kernels.find_value(self.data, self.start, self.length, row, value) >= 0)

    def remove(self, row: int, value: int) -> bool:
        """Remove the first occurrence, keeping order; return whether there was one. O(row length)."""
        if self.klass[row] < 0:
            return False
        index = kernels.find_value(self.data, self.start, self.length, row, value)
        if index < 0:
            return False
        kernels.remove_at(self.data, self.start, self.length, row, index)
        return True

    def clear(self, row: int) -> None:
        """Empty a row and give its block back."""
        kernels.free_block(self.data, self.start, self.length, self.klass, self.meta, row)

    def nbytes(self) -> int:
        """Bytes held by the elements and the row columns, slack included."""
        return sum(int(a.nbytes) for a in (self.data, self.start, self.length, self.klass))

    def check(self) -> list[str]:
        """Return violations: a row fits its class; no two blocks overlap; free and used blocks fill the arena."""
        problems: list[str] = []
        used = np.nonzero(self.klass >= 0)[0]
        spans = [(int(self.start[r]), int(self.sizes[self.klass[r]])) for r in used]
        for r in used:
            if self.length[r] > self.sizes[self.klass[r]]:
                problems.append(f"row {r} holds {self.length[r]} elements in a block of {self.sizes[self.klass[r]]}")
        for k, size in enumerate(self.sizes):
            head = int(self.meta[1 + k])
            while head:
                s = head - 1
                spans.append((s, int(size)))
                head = (int(self.data[s]) - 1) * 4 + 1 if self.data[s] else 0
        end = 0
        for s, size in sorted(spans):
            if s != end:
                problems.append(f"arena blocks overlap or leave a hole at element {end} (next block starts at {s})")
            end = s + size
        if end != int(self.meta[0]):
            problems.append(f"arena blocks end at {end}, bump pointer at {int(self.meta[0])}")
        return problems
