# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Compiled loops of a recovery: numbering ids, grouping, and building every ring at once.

Numbering   account id -> 0, 1, 2, ...   open addressing in two arrays, 10 to 30 ns an id
group       values by number             counting sort: (first int64[numbers + 1], values)
order_of    places -> where each is      a scatter, since places are nearly dense; a sort takes five times as long
rebuild     per reader: marks its candidates in a bitmap over the arrivals (one bit each, and one per 64 words), then
            reads the newest `keep` of them back. 10 ns an entry, whatever their order was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from actors.core.arrays.arena_kernels import njit, take_block
from actors.core.ids import BUCKET_COUNT

Ints = npt.NDArray[np.int64]
Groups = tuple[Ints, Ints]
SPARSE_FACTOR = 8  # places are scattered unless they span more than that many times their number


def _generate_highest_bit(typing_context, word):
    """Return the number of the highest bit of a word that isn't 0: one instruction."""

    def generate(context, builder, signature, arguments):
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))
        return builder.sub(ir.Constant(ir.IntType(64), 63), zeros)

    return types.int64(types.uint64), generate


_highest_bit: Any = intrinsic(_generate_highest_bit)


@njit
def _slot(keys, key):
    """Return where a key is, or the empty place where it would be."""
    mask = keys.shape[0] - 1
    x = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    i = np.int64(x >> np.uint64(20)) & mask
    while keys[i] != 0 and keys[i] != key:
        i = (i + 1) & mask
    return i


@njit
def _add_ids(keys, values, wanted, first, count, out):
    """Number the ids from wanted[first] on, new ones from `count`; stops at a load of 1/2. Returns (done, count)."""
    limit = keys.shape[0] // 2
    for i in range(first, wanted.shape[0]):
        j = _slot(keys, wanted[i])
        if keys[j] == 0:
            if count >= limit:
                return i, count
            keys[j] = wanted[i]
            values[j] = count
            count += 1
        out[i] = values[j]
    return wanted.shape[0], count


@njit
def _find_ids(keys, values, wanted, out) -> None:
    for i in range(wanted.shape[0]):
        if i > 0 and wanted[i] == wanted[i - 1]:  # edges are stored by account
            out[i] = out[i - 1]
        else:
            j = _slot(keys, wanted[i])
            out[i] = values[j] if keys[j] != 0 else -1


class Numbering:
    """Numbers ids (positive int64) in the order in which they are first seen."""

    def __init__(self, given: Ints | None = None) -> None:
        """given: ids that get the numbers 0, 1, 2, ... at once."""
        self._count = 0
        self._keys = np.zeros(1024, dtype=np.int64)
        self._values = np.zeros(1024, dtype=np.int64)
        if given is not None:
            self.numbers_of_all(given)

    def __len__(self) -> int:
        return self._count

    def numbers_of_all(self, wanted: Ints) -> Ints:
        """Return the number of each id, numbering those that have none."""
        wanted = np.ascontiguousarray(wanted)
        out, first = np.empty(len(wanted), dtype=np.int64), 0
        while True:
            first, self._count = _add_ids(self._keys, self._values, wanted, first, self._count, out)
            if first == len(wanted):
                return out
            held = self.ids()
            self._keys = np.zeros(len(self._keys) * 4, dtype=np.int64)
            self._values = np.zeros(len(self._keys), dtype=np.int64)
            _add_ids(self._keys, self._values, held, 0, 0, np.empty(len(held), dtype=np.int64))

    def numbers(self, wanted: Ints) -> Ints:
        """Return the number of each id, -1 where it has none."""
        out = np.empty(len(wanted), dtype=np.int64)
        _find_ids(self._keys, self._values, np.ascontiguousarray(wanted), out)
        return out

    def ids(self) -> Ints:
        """Return the ids in the order of their numbers."""
        used = np.nonzero(self._keys)[0]
        found = np.empty(self._count, dtype=np.int64)
        found[self._values[used]] = self._keys[used]
        return found


@njit
def _group(numbers, values, first, out) -> None:
    """Counting sort; first is int64[numbers + 1], zeroed."""
    for number in numbers:
        first[number + 1] += 1
    for i in range(1, first.shape[0]):
        first[i] += first[i - 1]
    for i in range(numbers.shape[0]):
        number = numbers[i]
        out[first[number]] = values[i]
        first[number] += 1
    for i in range(first.shape[0] - 1, 0, -1):
        first[i] = first[i - 1]
    first[0] = 0


def group(numbers: Ints, values: npt.NDArray[Any], count: int) -> Groups:
    """Return (first int64[count + 1], values): those of number k at first[k]..first[k + 1] - 1, in the given order."""
    first, out = np.zeros(count + 1, dtype=np.int64), np.empty(len(values), dtype=np.int64)
    _group(np.ascontiguousarray(numbers), np.ascontiguousarray(values, dtype=np.int64), first, out)
    return first, out


@njit
def _scatter(places, lowest, where) -> None:
    for i in range(places.shape[0]):
        where[places[i] - lowest] = i


@njit
def _compact(where, out):
    """Write what is not negative into out, which has the room; returns how many there were."""
    n = 0
    for i in where:
        if i >= 0:
            out[n] = i
            n += 1
    return n


def order_of(places: Ints) -> Ints | None:
    """Return the indices that would sort these numbers; None if they are ascending as they are."""
    if (places[1:] > places[:-1]).all():
        return None
    lowest, highest = int(places.min()), int(places.max())
    if highest - lowest < SPARSE_FACTOR * len(places):
        where, out = np.full(highest - lowest + 1, -1, dtype=np.int64), np.empty(len(places), dtype=np.int64)
        _scatter(places, lowest, where)
        if _compact(where, out) == len(places):
            return out
    return np.argsort(places, kind="stable")  # too far apart, or some are equal


@njit
def _bucket(account):
    """Return an account's bucket: `ids.bucket_of_account`."""
    x = np.uint64(account) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return np.int64(x & np.uint64(BUCKET_COUNT - 1))


@njit
def count_owners(rows, accounts, owner, counts) -> None:
    """Count in counts[row, shard] the accounts by their shards; owner: the shard of each bucket (see `ids.py`)."""
    for i in range(rows.shape[0]):
        counts[rows[i], owner[_bucket(accounts[i])]] += 1


@njit
def move_counts(data, start, length, klass, row_count, moved, old, new, counts) -> None:
    """Count the accounts of moved buckets, in rows 0..row_count-1 of an arena, at their new owner, not at the old."""
    for row in range(row_count):
        if klass[row] >= 0:
            for i in range(start[row], start[row] + length[row]):
                bucket = _bucket(data[i])
                if moved[bucket]:
                    counts[row, old[bucket]] -= 1
                    counts[row, new[bucket]] += 1


@njit
def fill_blocks(data, start, length, klass, sizes, meta, counts) -> bool:
    """Give each empty row r the smallest block for counts[r] elements. False, nothing changed, if there's no room."""
    needed = 0
    for row in range(counts.shape[0]):
        if counts[row]:
            needed += sizes[np.searchsorted(sizes, counts[row])]
    if meta[0] + needed > data.shape[0]:
        return False
    for row in range(counts.shape[0]):
        if counts[row]:
            k = np.searchsorted(sizes, counts[row])
            start[row] = take_block(data, sizes, meta, k)
            klass[row] = k
            length[row] = 0
    return True


@njit
def append_all(data, start, length, rows, values) -> None:
    """Append values[i] to rows[i], which have the room."""
    for i in range(rows.shape[0]):
        row = rows[i]
        data[start[row] + length[row]] = values[i]
        length[row] += 1


@njit
def append_in_order(data, start, length, rows, values, order) -> None:
    """As append_all, taking the values in that order."""
    for i in order:
        row = rows[i]
        data[start[row] + length[row]] = values[i]
        length[row] += 1


@njit
def _mark(words, summary, values, first, end, lowest, most) -> None:
    """Mark the newest `most` of values[first:end], ascending, that aren't below `lowest`."""
    for i in range(end - 1, max(first, end - most) - 1, -1):
        n = values[i]
        if n < lowest:
            return
        words[n >> 6] |= np.uint64(1) << np.uint64(n & 63)
        summary[n >> 12] |= np.uint64(1) << np.uint64((n >> 6) & 63)


@njit
def _take_marked(words, summary, out):
    """Unmark everything; write the highest numbers into out, highest first. Returns (written, the next one or -1)."""
    found, following = 0, -1
    for s in range(summary.shape[0] - 1, -1, -1):
        while summary[s]:
            w = _highest_bit(summary[s])
            summary[s] ^= np.uint64(1) << np.uint64(w)
            w += s << 6
            while words[w]:
                bit = _highest_bit(words[w])
                words[w] ^= np.uint64(1) << np.uint64(bit)
                if found < out.shape[0]:
                    out[found] = (w << 6) + bit
                    found += 1
                else:
                    following = (w << 6) + bit
                    words[w] = 0
                    break
            if following >= 0:
                break
        if following >= 0:
            break
    if following >= 0:
        for s in range((following >> 12) + 1):
            while summary[s]:
                w = _highest_bit(summary[s])
                summary[s] ^= np.uint64(1) << np.uint64(w)
                words[(s << 6) + w] = 0
    return found, following


@njit
def rebuild(
    data, start, length, klass, sizes, meta, floor, ordered, awake,
    reads_first, reads, wrote_first, wrote, own_first, own, ids, words, summary, out, row,
):  # fmt: skip
    """Build the rings of all awake rows from `row` on; returns the first row not done (the arena must grow), or rows.

    reads: the writers that each row follows; wrote: the arrival numbers of each writer; own: those of each row's own
    tweets, all ascending; ids: tweet id of each arrival number, ascending; out int64[keep].
    """
    rows = reads_first.shape[0] - 1
    keep = out.shape[0]
    while row < rows:
        if awake[row]:
            lowest = np.searchsorted(ids, floor[row], side="right")
            for i in range(reads_first[row], reads_first[row + 1]):
                writer = reads[i]
                _mark(words, summary, wrote, wrote_first[writer], wrote_first[writer + 1], lowest, keep + 1)
            _mark(words, summary, own, own_first[row], own_first[row + 1], lowest, keep + 1)
            found, dropped = _take_marked(words, summary, out)
            if found:
                k = np.searchsorted(sizes, found)
                s = take_block(data, sizes, meta, k)
                if s < 0:
                    return row
                for i in range(found):
                    data[s + found - 1 - i] = out[i]
                start[row], length[row], klass[row] = s, found, k
                ordered[row] = found
            if dropped >= 0:
                floor[row] = ids[dropped]
        row += 1
    return rows
