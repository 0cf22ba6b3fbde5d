"""Marks: ordered sets of keys that belong to one owner and one kind. Likes and likers, bookmarks, blocks, members.

    shelf (kind, place) -> arena row -> [ key stamp | key stamp | key stamp | . . . ]   oldest first
    dense kinds         uint32[places]: the row, 0 for none     place: an account's row, a tweet's slot
    the others          dict: place -> row                      place: any id

A mark is a key and a stamp, `ms << 16 | low`. A stamp is above all that the shelf holds, whatever the clock does: the
end of a shelf is its newest mark, and a stamp is a cursor of pages. Row 0 is nobody's; rows of shelves that fell empty
are used again.

Rules of this file
- What is here is all there is: a stamp depends on the marks that are still there, never on those that went, so a shelf
  that was sealed and restored goes on as one that wasn't. (An emptied shelf begins anew.)
- Of the 16 low bits a kind may keep the highest `own_bits` for itself (a vote's choices). They are part of what a mark
  says: where two of one millisecond meet, the bits below, and then the millisecond, give way, never its own.
- Callers have checked what they pass (`arguments.py`, the kind's row): keys and sparse places are int64; 0 <= place for
  dense kinds; 0 <= at_ms < 2**47; 0 <= low < 2**16. Which place is whose, and how many marks are too many, they know.
- A view holds until the next change of these marks (blocks move); everything else that is returned is a copy.

What it costs (`python -m tests.core.measure_shelves`, one core of a shared and busy machine)
    a mark on a long shelf             18.2 B                  a like and its reverse, 100 an account, 5 a tweet: 45 B
                                                               (54 B right after a bulk load, until it is tidied)
    shelf of                      20      1,000     10,000     100,000
    flags of 20 keys             1.2        1.9        7.5          69 us
    contains, stamp_of           0.5        0.9        4.5          41 us    put, drop: 0.4 us more
    a page of 20                 1.6        1.6        1.6         1.7 us
    fill of a million            0.02 s dense, 0.06 s sparse; in random order 0.04 and 0.10 s; dump 0.05 s
So a tweet with a million likers pays 0.5 ms for the next one: kinds need a limit, or an owner who knows what is new.
Deliberately not: an index of keys within a shelf (it would double the bytes); shrinking a block when marks go.
"""

from __future__ import annotations

from array import array
from typing import Final

import numpy as np
import numpy.typing as npt

from actors.core.arrays import marks_kernels as kernels
from actors.core.arrays.arena import TIDY_FROM_ELEMENTS, BlockArena
from actors.core.arrays.restore_kernels import Numbering

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.uint32]
LOW_BITS: Final = kernels.LOW_BITS
DICT_ENTRY_BYTES = 104  # what CPython takes for an int by an int in a dict that was filled one by one


class DensePlaces:
    """The arena rows of a kind whose places are small numbers: 4 bytes a place up to the highest, half more at most."""

    def __init__(self) -> None:
        self.rows: Rows = np.zeros(64, dtype=np.uint32)

    def get(self, place: int) -> int:
        """Return the row of a place, 0 for none."""
        return self.rows.item(place) if 0 <= place < len(self.rows) else 0

    def set(self, place: int, row: int) -> None:
        """Give a place its row, or 0 for none."""
        self._reach(place)
        self.rows[place] = row

    def set_all(self, places: Ints, free: Rows, next_row: int) -> tuple[Ints, int, int]:
        """Give each place a row; see `kernels.give_rows`. Returns (row of each, how many of free are left, next_row).

        Raises ValueError if one of the places has a row; nothing changes.
        """
        self._reach(int(places.max()))
        if self.rows[places].any():
            place = int(places[np.argmax(self.rows[places] != 0)])
            raise ValueError(f"the shelf of place {place} must be empty to be filled")
        left, next_row = kernels.give_rows(self.rows, places, free, next_row)
        return self.rows[places].astype(np.int64), int(left), int(next_row)

    def _reach(self, place: int) -> None:
        have = len(self.rows)
        if place >= have:
            grown: Rows = np.zeros(max(place + 1, have + have // 2), dtype=np.uint32)
            grown[:have] = self.rows
            self.rows = grown

    def columns(self) -> tuple[Ints, Ints]:
        """Return (places, rows) of all that have one, ascending by place."""
        places = np.nonzero(self.rows)[0]
        return places, self.rows[places].astype(np.int64)

    def nbytes(self) -> int:
        """Bytes held. O(1)."""
        return int(self.rows.nbytes)


class SparsePlaces:
    """The arena rows of a kind whose places are ids: about 100 bytes a place that has a shelf, none for the others."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}

    def get(self, place: int) -> int:
        """As `DensePlaces.get`."""
        return self.rows.get(place, 0)

    def set(self, place: int, row: int) -> None:
        """As `DensePlaces.set`."""
        if row:
            self.rows[place] = row
        else:
            self.rows.pop(place, None)

    def set_all(self, places: Ints, free: Rows, next_row: int) -> tuple[Ints, int, int]:
        """As `DensePlaces.set_all`."""
        if places.all():
            numbering = Numbering()
            numbers = numbering.numbers_of_all(places)
            distinct = numbering.ids()
        else:  # a Numbering has no room for 0
            distinct, numbers = np.unique(places, return_inverse=True)
        new = distinct.tolist()
        if not self.rows.keys().isdisjoint(new):
            raise ValueError(f"the shelf of place {next(p for p in new if p in self.rows)} must be empty to be filled")
        rows: Rows = np.zeros(len(distinct), dtype=np.uint32)
        left, next_row = kernels.give_rows(rows, np.arange(len(distinct)), free, next_row)
        self.rows.update(zip(new, rows.tolist(), strict=True))
        return rows[numbers].astype(np.int64), int(left), int(next_row)

    def columns(self) -> tuple[Ints, Ints]:
        """As `DensePlaces.columns`."""
        places, rows = (np.fromiter(side, np.int64, len(self.rows)) for side in (self.rows, self.rows.values()))
        order = np.argsort(places)
        return places[order], rows[order]

    def nbytes(self) -> int:
        """Bytes held, about. O(1)."""
        return DICT_ENTRY_BYTES * len(self.rows)


class Marks:
    """The shelves of one shard. A kind is declared before anything else is asked of it (KeyError else)."""

    def __init__(self, tidy_from: int = TIDY_FROM_ELEMENTS) -> None:
        """tidy_from: see `BlockArena`."""
        self.arena = BlockArena(np.int64, tidy_from=tidy_from)
        self.total = 0  # marks on all shelves
        self._places: dict[int, DensePlaces | SparsePlaces] = {}
        self._own: dict[int, int] = {}  # kind -> mask of the low bits that are its own
        self._next_row = 1
        self._free = array("I")
        self._first = np.zeros(kernels.SLOTS, dtype=np.uint16)
        self._following = np.zeros(kernels.WANTED_MOST + 1, dtype=np.uint16)

    def declare(self, kind: int, dense: bool, own_bits: int = 0) -> None:
        """Make a kind's shelves exist, all empty. own_bits: the highest bits of `low` that a stamp never gives up.

        Raises ValueError if it was declared before.
        """
        if kind in self._places:
            raise ValueError(f"kind {kind} of marks is declared twice")
        if not 0 <= own_bits < LOW_BITS:
            raise ValueError(f"a kind may keep 0 to {LOW_BITS - 1} low bits of a stamp for itself, not {own_bits}")
        self._places[kind] = DensePlaces() if dense else SparsePlaces()
        self._own[kind] = (1 << LOW_BITS) - (1 << (LOW_BITS - own_bits))

    @property
    def kinds(self) -> list[int]:
        """The declared kinds, ascending."""
        return sorted(self._places)

    # ---- one mark -----------------------------------------------------------------------------------------------

    def put(self, kind: int, place: int, key: int, at_ms: int, low: int = 0) -> bool:
        """Add a mark as the newest; return whether it wasn't there. Else nothing changes, its stamp included.

        Its stamp is at_ms << 16 | low, or just above the newest of the shelf (see the header). O(marks of the shelf).
        """
        places = self._places[kind]
        row = places.get(place)
        is_new = not row
        if is_new:
            row = self._take_row()
        first, own = at_ms << LOW_BITS | low, self._own[kind]
        while (stamp := kernels.put_mark(*self.arena.parts, row, key, first, own)) < 0:
            self.arena.grow()
        if not stamp:
            return False
        if is_new:
            places.set(place, row)
        self.total += 1
        self.arena.look()
        return True

    def drop(self, kind: int, place: int, key: int) -> bool:
        """Take a mark away, keeping the order of the rest; return whether it was there. O(marks of the shelf)."""
        row = self._places[kind].get(place)
        if not row:
            return False
        arena = self.arena
        left = kernels.drop_mark(arena.data, arena.start, arena.length, row, key)
        if left < 0:
            return False
        self.total -= 1
        if not left:
            self._release(kind, place, row)
        return True

    def contains(self, kind: int, place: int, key: int) -> bool:
        """Whether the mark is there. O(marks of the shelf)."""
        return self.stamp_of(kind, place, key) != 0

    def stamp_of(self, kind: int, place: int, key: int) -> int:
        """Return a mark's stamp, 0 if it isn't there. O(marks of the shelf)."""
        row = self._places[kind].get(place)
        if not row:
            return 0
        arena = self.arena
        element = kernels.find_mark(arena.data, arena.start, arena.length, row, key)
        return arena.data.item(element + 1) if element >= 0 else 0

    # ---- one shelf ----------------------------------------------------------------------------------------------

    def count(self, kind: int, place: int) -> int:
        """Return how many marks a shelf has. O(1)."""
        row = self._places[kind].get(place)
        return self.arena.length.item(row) // 2 if row else 0

    def view(self, kind: int, place: int) -> tuple[Ints, Ints]:
        """Return (keys, stamps) of a shelf, oldest first: views, to be used before the next change. O(1)."""
        both = self.arena.view(self._places[kind].get(place))
        return both[::2], both[1::2]

    def page(self, kind: int, place: int, before: int, count: int) -> tuple[Ints, Ints]:
        """Return copies of (keys, stamps) of the newest marks with a stamp below `before`, newest first.

        before: 0 for the newest of all; count: so many at most, 0 or more. O(log marks of the shelf + count).
        """
        row = self._places[kind].get(place)
        arena = self.arena
        start, end = arena.start.item(row), arena.length.item(row) // 2
        if before and row:
            end = kernels.count_below(arena.data, arena.start, arena.length, row, before)
        both = arena.data[start + 2 * max(0, end - count) : start + 2 * end]
        return both[-2::-2].copy(), both[::-2].copy()

    def row_of(self, kind: int, place: int) -> int:
        """Return the row of a shelf, as `flags` takes it; 0 for an empty one."""
        return self._places[kind].get(place)

    def flags(self, rows: tuple[int, int], flags: tuple[int, int], keys: Ints) -> npt.NDArray[np.uint8]:
        """Return, by key, the flags of those of two shelves that it is on. O(keys + marks).

        rows: of `row_of`; flags: one for each; keys: any number of them, in any order, in an array of their own (the
        kernel is compiled for contiguous ones that may be written, and would be again for others).
        """
        found = np.zeros(len(keys), dtype=np.uint8)
        if rows == (0, 0):
            return found
        arena, most = self.arena, kernels.WANTED_MOST
        if len(keys) <= most:
            kernels.flag_wanted(
                arena.data, arena.start, arena.length, rows, flags, keys, self._first, self._following, found
            )
            return found
        for i in range(0, len(keys), most):
            found[i : i + most] = self.flags(rows, flags, keys[i : i + most])
        return found

    def cut_newest(self, kind: int, place: int, count: int) -> list[int]:
        """Take the newest `count` marks off a shelf, or all; return their keys, oldest first. O(count)."""
        row = self._places[kind].get(place)
        left = self.arena.length.item(row) // 2 - count
        if not row or left <= 0:
            return self.clear(kind, place)
        keys: list[int] = self.arena.view(row)[2 * left :: 2].tolist()
        self.arena.cut(row, 2 * left)
        self.total -= len(keys)
        return keys

    def clear(self, kind: int, place: int) -> list[int]:
        """Empty a shelf; return the keys that were there, oldest first."""
        row = self._places[kind].get(place)
        if not row:
            return []
        keys: list[int] = self.arena.view(row)[::2].tolist()
        self.total -= len(keys)
        self._release(kind, place, row)
        return keys

    def _take_row(self) -> int:
        if self._free:
            return self._free.pop()
        row = self._next_row
        self._next_row += 1
        self.arena.ensure_rows(self._next_row)
        return row

    def _release(self, kind: int, place: int, row: int) -> None:
        self.arena.clear(row)
        self._places[kind].set(place, 0)
        self._free.append(row)

    # ---- all shelves of a kind ----------------------------------------------------------------------------------

    def fill(self, kind: int, places: Ints, keys: Ints, stamps: Ints) -> None:
        """Add the marks of shelves that are empty, given in any order: those of a checkpoint, or of who moves here.

        keys[i], stamps[i] belong to places[i]; keys and stamps are distinct within a shelf (`check` would tell).
        Raises ValueError if one of the shelves isn't empty; nothing changes. 0.1 us a mark; O(rows) besides.
        """
        if not len(places):
            return
        places, keys, stamps = (np.require(column, np.int64, ["C", "W"]) for column in (places, keys, stamps))
        free = np.array(self._free, dtype=np.uint32)
        rows, left, self._next_row = self._places[kind].set_all(places, free, self._next_row)
        del self._free[left:]
        arena = self.arena
        arena.ensure_rows(self._next_row)
        counts = 2 * np.bincount(rows)
        arena.give_blocks(counts)
        kernels.append_marks(arena.data, arena.start, arena.length, rows, keys, stamps)
        kernels.sort_shelves(arena.data, arena.start, arena.length, counts)
        self.total += len(keys)

    def dump(self, kind: int) -> tuple[Ints, Ints, Ints]:
        """Return (places, keys, stamps) of all marks of a kind: by place, oldest first within one. 10 ns a mark."""
        places, rows = self._places[kind].columns()
        arena = self.arena
        out = tuple(np.empty(int(arena.length[rows].sum()) // 2, dtype=np.int64) for _ in range(3))
        kernels.copy_shelves(arena.data, arena.start, arena.length, rows, places, *out)
        return out[0], out[1], out[2]

    def nbytes(self) -> int:
        """Bytes held: marks, slack, waste and directories. O(kinds)."""
        directories = sum(places.nbytes() for places in self._places.values())
        return self.arena.nbytes() + directories + self._free.itemsize * len(self._free)

    # ---- invariants ---------------------------------------------------------------------------------------------

    def check(self) -> list[str]:
        """Return violations: each row is one shelf's or free; shelves aren't empty, stamps grow, keys are distinct."""
        problems = self.arena.check()
        used: list[int] = []
        for kind in self.kinds:
            places, rows = self._places[kind].columns()
            used += rows.tolist()
            for place, row in zip(places.tolist(), rows.tolist(), strict=True):
                problems += [f"shelf {kind} of place {place} {problem}" for problem in self._problems_of(row)]
        taken = sorted([*used, *self._free])
        if taken != list(range(1, self._next_row)):
            problems.append(
                f"{len(used)} shelves and {len(self._free)} free rows don't fill rows 1..{self._next_row - 1}"
            )
        if any(self.arena.klass[row] >= 0 for row in [0, *self._free]):
            problems.append("a row that is free, or row 0, has a block")
        held = int(self.arena.length[used].sum()) // 2
        if held != self.total:
            problems.append(f"the shelves hold {held} marks, not {self.total}")
        if self._first.any():
            problems.append("slots of wanted keys were left behind")
        return problems

    def _problems_of(self, row: int) -> list[str]:
        problems = []
        both = self.arena.view(row)
        keys, stamps = both[::2], both[1::2]
        if not len(keys) or len(both) % 2:
            problems.append(f"has {len(both)} elements, which are no marks")
        elif (stamps[1:] <= stamps[:-1]).any() or stamps[0] < 1:
            problems.append("has stamps that don't grow, or begin below 1")
        if len(np.unique(keys)) < len(keys):
            problems.append(f"holds {len(keys)} marks of {len(np.unique(keys))} keys")
        return problems
