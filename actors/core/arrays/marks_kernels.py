# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The compiled loops of shelves: finding, putting and dropping a mark, flags of a page, filling and dumping.

Rules of this file: those of `kernels.py`. A row of the arena is a shelf: key, stamp, key, stamp, ... ascending by
stamp, so `length` counts two elements a mark. Its plain twin is `TwinMarks` in `tests/core/twins.py`.

Flags of a page: the wanted keys are hashed into `first` (4,096 slots that stay in the nearest cache), those with one
hash are chained in `following`, and the shelf is read once: nearly every mark is dismissed by one look at its slot.
"""

from __future__ import annotations

import numpy as np

from actors.core.arrays.arena_kernels import grow_row, move, njit

SLOT_BITS = 12
SLOTS = 1 << SLOT_BITS
WANTED_MOST = 1 << 10  # of one `flag_wanted`: a quarter of the slots
LOW_BITS = 16  # of a stamp below its milliseconds
_LOW = (1 << LOW_BITS) - 1
_SHIFT = np.uint64(64 - SLOT_BITS)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_GAPS = (1_750, 701, 301, 132, 57, 23, 10, 4, 1)  # Ciura 2001


@njit
def find_mark(data, start, length, row, key):
    """Return the element at which the key's mark lies, or -1. Cost: O(marks), see `marks.py`."""
    j = start[row]
    end = j + length[row]
    while j + 8 <= end:  # four marks a branch: 0.4 ns a mark instead of 0.6
        if (data[j] == key) | (data[j + 2] == key) | (data[j + 4] == key) | (data[j + 6] == key):
            break
        j += 8
    while j < end:
        if data[j] == key:
            return j
        j += 2
    return -1


@njit
def next_stamp(last, first, own):
    """Return the lowest stamp above `last` that is at least `first` and equals it in the bits of `own`.

    own: the mask of those of the 16 low bits that a kind uses itself, the highest ones.
    """
    if first > last:
        return first
    stamp = last + 1
    wanted = first & own
    found = stamp & own
    if found == wanted:
        return stamp
    if found < wanted:
        return (stamp & ~_LOW) | wanted
    return (stamp & ~_LOW) + (_LOW + 1) + wanted


@njit
def put_mark(data, start, length, klass, sizes, meta, row, key, first, own):
    """Append a mark; return its stamp, 0 if the key is there, -1 if the arena is full. first, own: see next_stamp."""
    n = length[row]
    last = np.int64(0)
    if n:
        if find_mark(data, start, length, row, key) >= 0:
            return np.int64(0)
        last = data[start[row] + n - 1]
    if klass[row] < 0 or n == sizes[klass[row]]:
        if not grow_row(data, start, length, klass, sizes, meta, row):
            return np.int64(-1)
    stamp = next_stamp(last, first, own)
    s = start[row] + n
    data[s] = key
    data[s + 1] = stamp
    length[row] = n + 2
    return stamp


@njit
def drop_mark(data, start, length, row, key):
    """Remove a mark, keeping the order of the rest; return how many marks are left, -1 if it wasn't there."""
    j = find_mark(data, start, length, row, key)
    if j < 0:
        return np.int64(-1)
    end = start[row] + length[row]
    move(data, j, j + 2, np.int64(end - j - 2))
    length[row] -= 2
    return np.int64(length[row] // 2)


@njit
def count_below(data, start, length, row, before):
    """Return how many marks have a stamp below `before`. Cost: O(log marks)."""
    s = start[row]
    low = 0
    high = length[row] // 2
    while low < high:
        middle = (low + high) // 2
        if data[s + 2 * middle + 1] < before:
            low = middle + 1
        else:
            high = middle
    return low


@njit
def _slot(key):
    return (np.uint64(key) * _MIX) >> _SHIFT


@njit
def flag_wanted(data, start, length, rows, flags, wanted, first, following, out) -> None:
    """Set flags[k] in out[i] where wanted[i] is on the shelf rows[k], for each k; row 0 is an empty shelf.

    wanted: at most WANTED_MOST, in any order, equal ones too; first uint16[SLOTS]: zeros, and zeros again afterwards;
    following uint16[WANTED_MOST + 1]: anything; out: zeros.
    """
    for i in range(wanted.shape[0]):
        slot = _slot(wanted[i])
        following[i + 1] = first[slot]
        first[slot] = i + 1
    for k in range(len(rows)):
        j = start[rows[k]]
        end = j + length[rows[k]]
        while j < end:
            stop = min(j + 8, end)
            if stop == j + 8:  # four marks a branch: 0.6 ns a mark instead of 0.9
                near = first[_slot(data[j])] | first[_slot(data[j + 2])]
                if not (near | first[_slot(data[j + 4])] | first[_slot(data[j + 6])]):
                    j = stop
                    continue
            while j < stop:
                i = first[_slot(data[j])]
                while i:
                    if wanted[i - 1] == data[j]:
                        out[i - 1] |= flags[k]
                    i = following[i]
                j += 2
    for i in range(wanted.shape[0]):
        first[_slot(wanted[i])] = 0


@njit
def give_rows(directory, places, free, next_row):
    """Give each place that has no row one, from the end of `free` and then from next_row on.

    Returns (how many of `free` are left, next_row).
    """
    left = free.shape[0]
    for place in places:
        if directory[place] == 0:
            if left:
                left -= 1
                directory[place] = free[left]
            else:
                directory[place] = next_row
                next_row += 1
    return left, next_row


@njit
def append_marks(data, start, length, rows, keys, stamps) -> None:
    """Append mark i to rows[i], which has the room."""
    for i in range(rows.shape[0]):
        row = rows[i]
        s = start[row] + length[row]
        data[s] = keys[i]
        data[s + 1] = stamps[i]
        length[row] += 2


@njit
def _sort_marks(data, s, n) -> None:
    """Sort n marks from element s on by stamp: a Shell sort, whose last round is all that ordered ones cost."""
    widest = 1_750
    while widest * 9 // 4 < n:
        widest = widest * 9 // 4
    gap = widest
    while gap > 1_750:
        _sort_apart(data, s, n, gap)
        gap = gap * 4 // 9
    for gap in _GAPS:
        if gap < n:
            _sort_apart(data, s, n, gap)


@njit
def _sort_apart(data, s, n, gap) -> None:
    """One round: marks that lie `gap` apart are in order afterwards."""
    for i in range(gap, n):
        key = data[s + 2 * i]
        stamp = data[s + 2 * i + 1]
        j = i
        while j >= gap and data[s + 2 * (j - gap) + 1] > stamp:
            data[s + 2 * j] = data[s + 2 * (j - gap)]
            data[s + 2 * j + 1] = data[s + 2 * (j - gap) + 1]
            j -= gap
        data[s + 2 * j] = key
        data[s + 2 * j + 1] = stamp


@njit
def sort_shelves(data, start, length, counts) -> None:
    """Sort every row for which counts[row] isn't 0 by stamp; those that are in order cost one look a mark."""
    for row in range(counts.shape[0]):
        if counts[row]:
            s = start[row]
            for j in range(s + 3, s + length[row], 2):
                if data[j] < data[j - 2]:
                    _sort_marks(data, s, np.int64(length[row] // 2))
                    break


@njit
def copy_shelves(data, start, length, rows, places, out_places, out_keys, out_stamps) -> None:
    """Write the marks of rows[i], which is the shelf of places[i], one shelf after the other."""
    k = 0
    for i in range(rows.shape[0]):
        s = start[rows[i]]
        for j in range(s, s + length[rows[i]], 2):
            out_places[k] = places[i]
            out_keys[k] = data[j]
            out_stamps[k] = data[j + 1]
            k += 1
