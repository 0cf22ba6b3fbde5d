"""Many small growing arrays in one big one.

A shard holds several arrays per account (followers, followees, ring, own tweets) for hundreds of thousands of
accounts; a NumPy array each would cost 112 bytes before the first element. A `BlockArena` keeps them in one buffer:

    row 7: start -> [ v v v v v . . . ]   block of a size class; the next class is 1.14 to 2 times as large
    row 8: no block (klass -1)

A row's columns (start, length, klass, and what the owner adds) lie side by side in one record, because whoever touches
a row needs them all: one cache line a row instead of one a column. `start`, `length`, `klass` are views of the records.

**Tidying.** Rows that grow leave blocks behind, and after a bulk load few rows want blocks of that size again. When
more than an eighth of a large arena is such waste (a half with coarse classes, whose rows may all double at once), its
blocks are slid together, step by step:

    | live | live |  (reusable)  dest | garbage | cursor | not slid yet ... | bump
A block that is freed behind the cursor goes to its free list as always; one in front of it will be slid over.

What it costs: 16 bytes a row plus the block, whose slack is 12 % on average above 16 elements (thrifty classes; else
40 %); appends are amortised O(1); growing never copies a large arena (see `memory.py`).
Deliberately not: shrinking a block when elements go (an account that once followed many will again).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.core.arrays import arena_kernels as kernels
from actors.core.arrays import restore_kernels
from actors.core.arrays.arena_kernels import META_BUMP, META_CURSOR, META_HEADS, META_LIVE
from actors.core.arrays.memory import Reserved, aligned_records

RESERVE_FROM_ELEMENTS = 1 << 19  # an arena that outgrows this moves into a reservation, once
TIDY_FROM_ELEMENTS = 1 << 18  # waste below this isn't worth a look
TIDY_ELEMENTS = 1 << 18  # slid in one step at most: 1 to 2 MB
TIDY_BLOCKS = 1 << 13  # slid in one step, about: a small block costs 0.1 us, sorting included


def size_classes(length_max: int, thrifty: bool = True) -> npt.NDArray[np.int64]:
    """Return block sizes, multiples of 4, up to length_max rounded up to one.

    thrifty: 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, ...: little slack, but a row moves often as it grows.
    Else 4, 8, 16, 32, 64, ...: a row is copied once per doubling.
    """
    top = -(-length_max // 4) * 4
    sizes = [4, 8, 12] if thrifty else [4, 8]
    step = 16
    while sizes[-1] < top:
        sizes += [step, step * 5 // 4, step * 3 // 2, step * 7 // 4] if thrifty else [step]
        step *= 2
    sizes = [s for s in sizes if s < top] + [top]
    return np.array(sizes, dtype=np.int64)


class BlockArena:
    """Growing arrays of one dtype, addressed by row number. Rows exist once `ensure_rows` has seen their number."""

    def __init__(
        self, dtype: Any, length_max: int = 1 << 28, rows: int = 64, columns: Sequence[tuple[str, str]] = (),
        tidy_from: int = TIDY_FROM_ELEMENTS, thrifty: bool = True,
    ) -> None:  # fmt: skip
        """columns: further columns of a row's record, as (name, dtype); they are attributes of the arena.

        tidy_from: waste, in elements, below which the arena is left as it is; thrifty: see `size_classes`.
        """
        self.sizes = size_classes(length_max, thrifty)
        self.meta = np.zeros(META_HEADS + len(self.sizes), dtype=np.int64)
        self.meta[META_CURSOR] = kernels.CURSOR_IDLE
        self.data = np.zeros(1024, dtype=dtype)
        self.tidy_from = tidy_from
        self._reserved: Reserved | None = None
        self._dest = 0
        self._waste_divisor = 8 if thrifty else 2  # of a growing arena; an idle one is tidied further by its owner
        self._steps_most = 1 << 30 if thrifty else 1  # of tidying after one call that let the arena grow
        self._looked_at = 0  # bump pointer at the last look, and at which waste is looked at again
        self._look_at = tidy_from
        self._columns = tuple(name for name, _ in columns)
        self._record = _record_of(columns)
        self._set_records(aligned_records(rows, self._record))
        self.klass[:] = -1

    start: npt.NDArray[np.int64]
    length: npt.NDArray[np.int32]
    klass: npt.NDArray[np.int8]

    def _set_records(self, records: npt.NDArray[Any]) -> None:
        self._records = records
        for name in ("start", "length", "klass", *self._columns):
            setattr(self, name, records[name])

    @property
    def parts(self) -> tuple[Any, ...]:
        """The arrays that every kernel takes first, in their order."""
        return self.data, self.start, self.length, self.klass, self.sizes, self.meta

    def ensure_rows(self, rows: int) -> None:
        """Make rows 0..rows-1 exist; new ones are empty. Amortised O(1) a row."""
        have = len(self._records)
        if rows > have:
            grown = aligned_records(max(rows, have + have // 4), self._record)
            grown[:have] = self._records
            self._set_records(grown)
            self.klass[have:] = -1

    def grow(self, elements: int = 0) -> None:
        """Make room after a kernel ran out: half as much again and at least one largest needed block, or all there is.

        elements: that much at least.

        Raises MemoryError when a reservation is full: 64 GiB of 8-byte elements.
        """
        if self._reserved is not None:
            raise MemoryError(f"an arena of {len(self.data)} elements is full")
        biggest = int(self.sizes[min(int(self.klass.max()) + 1, len(self.sizes) - 1)]) if len(self.klass) else 0
        size = max(len(self.data) + len(self.data) // 2, int(self.meta[META_BUMP]) + max(biggest, elements))
        if size > RESERVE_FROM_ELEMENTS:
            self._reserved = Reserved(self.data.dtype)
            grown = self._reserved.data
        else:
            grown = np.zeros(size, dtype=self.data.dtype)
        grown[: len(self.data)] = self.data
        self.data = grown

    def append_many(self, rows: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        """Append values[i] to row rows[i], in order; a negative row is skipped."""
        first = 0
        while (first := kernels.append_many(*self.parts, rows, values, first)) < len(rows):
            self.grow()
        self.look()

    def append_many_absent(self, rows: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Append where the row doesn't hold the value yet; return which were added."""
        added = np.zeros(len(rows), dtype=np.bool_)
        first = 0
        while (first := kernels.append_many_absent(*self.parts, rows, values, first, added)) < len(rows):
            self.grow()
        self.look()
        return added

    def fill(
        self, rows: npt.NDArray[np.int64], values: npt.NDArray[Any], order: npt.NDArray[np.int64] | None = None
    ) -> None:
        """Append values[i] to row rows[i], where all those rows are empty: each gets its block at once.

        order: the indices in the order in which the values are appended; None for 0, 1, 2, ...
        """
        self.give_blocks(np.bincount(rows, minlength=1))
        if order is None:
            restore_kernels.append_all(self.data, self.start, self.length, rows, values)
        else:
            restore_kernels.append_in_order(self.data, self.start, self.length, rows, values, order)

    def give_blocks(self, counts: npt.NDArray[np.int64]) -> None:
        """Give each empty row r for which counts[r] isn't 0 a block for that many elements. O(rows)."""
        while not restore_kernels.fill_blocks(*self.parts, counts):
            self.grow(int(self.sizes[np.searchsorted(self.sizes, counts)][counts > 0].sum()))

    def append(self, row: int, value: int) -> None:
        """Append one value."""
        self.append_many(np.array([row], dtype=np.int64), np.array([value], dtype=self.data.dtype))

    def view(self, row: int) -> npt.NDArray[Any]:
        """Return the row's elements as a view, to be used before the next change of the arena: blocks move. O(1)."""
        if self.klass[row] < 0:
            return self.data[:0]
        s = int(self.start[row])
        return self.data[s : s + int(self.length[row])]

    def contains(self, row: int, value: int) -> bool:
        """Whether the row holds the value. O(row length)."""
        return bool(self.klass[row] >= 0 and kernels.find_value(self.data, self.start, self.length, row, value) >= 0)

    def remove(self, row: int, value: int) -> int:
        """Remove the first occurrence, keeping order; return where it was, -1 for nowhere. O(row length)."""
        if self.klass[row] < 0:
            return -1
        index = int(kernels.find_value(self.data, self.start, self.length, row, value))
        if index >= 0:
            kernels.remove_at(self.data, self.start, self.length, row, index)
        return index

    def cut(self, row: int, length: int) -> None:
        """Take elements off the end of a row, which keeps its block. length: how many are left. O(1)."""
        self.length[row] = length

    def pop_if_last(self, row: int, value: int) -> bool:
        """Take the last element off a row if it is this value; return whether it was. O(1)."""
        view = self.view(row)
        if not len(view) or view[-1] != value:
            return False
        self.cut(row, len(view) - 1)
        return True

    def clear(self, row: int) -> None:
        """Empty a row and give its block back."""
        kernels.free_block(self.data, self.start, self.length, self.klass, self.sizes, self.meta, row)

    # ---- tidying ----------------------------------------------------------------------------------------------

    @property
    def waste(self) -> int:
        """Elements in blocks that no row uses. O(1)."""
        return int(self.meta[META_BUMP] - self.meta[META_LIVE])

    @property
    def end(self) -> int:
        """Elements up to which there are blocks. O(1)."""
        return int(self.meta[META_BUMP])

    @property
    def is_tidying(self) -> bool:
        """Whether blocks are being slid together."""
        return bool(self.meta[META_CURSOR] != kernels.CURSOR_IDLE)

    def look(self) -> None:
        """Tidy a little if the arena has grown by enough since the last look. 60 ns when it hasn't.

        Four elements are slid for each that the arena has grown by, so that the cursor gains on the bump pointer; with
        coarse classes, where all rows may double at once while others wait, one step at most.
        """
        bump = int(self.meta[META_BUMP])
        if bump < self._look_at:
            return
        for _ in range(min(4 * (bump - self._looked_at) // self._step + 1, self._steps_most)):
            if not self.tidy(self._waste_divisor):
                break
        self._looked_at = int(self.meta[META_BUMP])
        self._look_at = self._looked_at + (self._step if self.is_tidying else self._looked_at // 16 + 4)

    @property
    def _step(self) -> int:
        """Elements that one step of the tidying goes over."""
        mean_block = int(self.meta[META_LIVE]) // len(self.start) + 4
        return max(4, min(TIDY_ELEMENTS, self.tidy_from, TIDY_BLOCKS * mean_block))

    def tidy(self, divisor: int) -> bool:
        """Slide one step, beginning if more than 1/divisor of the arena is waste; return whether there is more to do.

        O(rows) for finding the blocks, 1 ns each, and up to TIDY_ELEMENTS moved, or about TIDY_BLOCKS blocks.
        """
        if not self.is_tidying:
            if self.waste < self.tidy_from or self.waste * divisor < self.meta[META_BUMP]:
                return False
            self.meta[META_HEADS:] = 0
            self.meta[META_CURSOR] = self._dest = 0
        end = int(self.meta[META_CURSOR]) + self._step
        rows = kernels.rows_between(self.start, self.klass, self.meta[META_CURSOR], end)
        rows = rows[np.argsort(self.start[rows])]
        self._dest = int(kernels.slide(self.data, self.start, self.length, self.klass, self.sizes, rows, self._dest))
        self.meta[META_CURSOR] = end
        bump = int(self.meta[META_BUMP])
        if end < bump:
            return True
        self.meta[META_CURSOR] = kernels.CURSOR_IDLE
        self.meta[META_BUMP] = self._dest
        self._looked_at, self._look_at = self._dest, self._dest + self._dest // 16 + 4
        if self._reserved is not None:
            self._reserved.give_back(self._dest, bump)
        return False

    def nbytes(self) -> int:
        """Bytes held by the elements and the row records, slack and waste included."""
        held = int(self.meta[META_BUMP]) if self._reserved is not None else len(self.data)
        return held * self.data.itemsize + int(self._records.nbytes)

    def check(self) -> list[str]:
        """Return violations: a row fits its class; no two blocks overlap; free and used blocks fill the arena."""
        problems: list[str] = []
        used = np.nonzero(self.klass >= 0)[0]
        spans = [(int(self.start[r]), int(self.sizes[self.klass[r]])) for r in used]
        if sum(size for _, size in spans) != self.meta[META_LIVE]:
            problems.append(f"blocks in use hold {sum(s for _, s in spans)} elements, not {self.meta[META_LIVE]}")
        for r in used:
            if self.length[r] > self.sizes[self.klass[r]]:
                problems.append(f"row {r} holds {self.length[r]} elements in a block of {self.sizes[self.klass[r]]}")
        for k, size in enumerate(self.sizes):
            head = int(self.meta[META_HEADS + k])
            while head:
                s = head - 1
                spans.append((s, int(size)))
                head = (int(self.data[s]) - 1) * 4 + 1 if self.data[s] else 0
        end = 0
        for s, size in sorted(spans):
            if s < end or (s > end and not self.is_tidying):
                problems.append(f"arena blocks overlap or leave a hole at element {end} (next block starts at {s})")
            end = s + size
        if end > int(self.meta[META_BUMP]) or (end < int(self.meta[META_BUMP]) and not self.is_tidying):
            problems.append(f"arena blocks end at {end}, bump pointer at {int(self.meta[META_BUMP])}")
        return problems


def _record_of(columns: Sequence[tuple[str, str]]) -> np.dtype[Any]:
    """Return the record of a row: a power of two bytes, so that it lies within one cache line."""
    fields = [("start", "i8"), *columns, ("length", "i4"), ("klass", "i1")]
    fields.sort(key=lambda field: -np.dtype(field[1]).itemsize)
    used = np.dtype(fields).itemsize
    padding = (1 << (used - 1).bit_length()) - used
    return np.dtype([*fields, ("padding", f"V{padding}")] if padding else fields)
