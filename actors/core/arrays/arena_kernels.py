# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The compiled loops of block arenas: taking and freeing blocks, appending, finding, sliding blocks together.

Rules of this file: those of `kernels.py`. A kernel that runs out of arena space returns how far it came; the caller
grows the arena and calls again.

Block arena (see `arena.py`)
    data    the elements of all rows, in blocks of a few size classes
    start   int64[rows]   first element of the row's block
    length  int32[rows]   elements in use
    klass   int8[rows]    size class of the block, -1 for none
    sizes   int64[classes]
    meta    int64[3 + classes]   bump pointer, elements in blocks in use, cursor of the tidying (CURSOR_IDLE: none),
                                 then the head of each class's free list (start + 1, 0 = none)
start, length, klass, and for rings floor and awake, are views of one record a row: strided, but one cache line.
A free block's first element holds the next free block of its class as start // 4 + 1 (blocks are multiples of 4
elements, so this fits 32 bits up to 2**34 elements).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

META_BUMP, META_LIVE, META_CURSOR, META_HEADS = 0, 1, 2, 3
CURSOR_IDLE = 1 << 62

# A kernel is given arrays that outlive it, so it needn't count references to them: two atomic instructions for each
# array and call, which were 0.3 us of a ring that grows and 1.3 us of a page. Those that make arrays must count.
_compiled: Any = numba.njit
njit: Any = _compiled(cache=True, nogil=True, _nrt=False)
njit_making_arrays: Any = _compiled(cache=True, nogil=True, _nrt=True)


def _generate_prefetch(typing_context, array, index):
    """Ask for the cache line of array[index], to be written soon. A hint: it may point anywhere."""

    def generate(context, builder, signature, arguments):
        kind = signature.args[0]
        values = context.make_array(kind)(context, builder, arguments[0])
        address = cgutils.get_item_pointer(
            context, builder, kind, values, [arguments[1]], wraparound=False, boundscheck=False
        )
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        )
        builder.call(hint, [builder.bitcast(address, pointer), number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.none(array, types.intp), generate


prefetch: Any = intrinsic(_generate_prefetch)


def _generate_move(typing_context, array, to, source, count):
    """Copy count elements of a contiguous array within it; the two places may overlap. A loop is four times slower."""

    def generate(context, builder, signature, arguments):
        kind = signature.args[0]
        values = context.make_array(kind)(context, builder, arguments[0])
        places = [
            cgutils.get_item_pointer(context, builder, kind, values, [at], wraparound=False, boundscheck=False)
            for at in arguments[1:3]
        ]
        cgutils.raw_memmove(builder, places[0], places[1], arguments[3], values.itemsize)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, types.intp), generate


move: Any = intrinsic(_generate_move)


@njit
def take_block(data, sizes, meta, new_klass):
    """Take a block of class new_klass; return its start, or -1 if the arena is full."""
    head = meta[META_HEADS + new_klass]
    size = sizes[new_klass]
    if head:
        s = head - 1
        meta[META_HEADS + new_klass] = (np.int64(data[s]) - 1) * 4 + 1 if data[s] else 0
    else:
        s = meta[META_BUMP]
        if s + size > data.shape[0]:
            return -1
        meta[META_BUMP] = s + size
    meta[META_LIVE] += size
    return s


@njit
def free_block(data, start, length, klass, sizes, meta, row) -> None:
    """Return the row's block to its free list; the row is empty afterwards."""
    k = klass[row]
    if k >= 0:
        s = start[row]
        meta[META_LIVE] -= sizes[k]
        if s < meta[META_CURSOR]:  # else the tidying will slide over it
            head = meta[META_HEADS + k]
            data[s] = (head - 1) // 4 + 1 if head else 0
            meta[META_HEADS + k] = s + 1
    klass[row] = -1
    length[row] = 0


@njit_making_arrays
def rows_between(start, klass, first, end):
    """Return the rows, in order of row number, whose block begins within first..end-1. 1 ns a row."""
    rows = np.empty((end - first) // 4 + 1, dtype=np.int64)  # no block is smaller than 4 elements
    count = 0
    for row in range(start.shape[0]):
        if klass[row] >= 0 and first <= start[row] < end:
            rows[count] = row
            count += 1
    return rows[:count]


@njit
def slide(data, start, length, klass, sizes, rows, dest):
    """Move the blocks of `rows`, ascending by start, down to `dest` and on; return the first element behind them."""
    for row in rows:
        s = start[row]
        if s != dest:
            move(data, dest, s, np.int64(length[row]))
            start[row] = dest
        dest += sizes[klass[row]]
    return dest


@njit
def grow_row(data, start, length, klass, sizes, meta, row) -> bool:
    """Move a row to the next larger class, its elements kept. False if the arena is full (nothing changed)."""
    s = take_block(data, sizes, meta, klass[row] + 1)
    if s < 0:
        return False
    k = klass[row]
    old = start[row]
    n = length[row]
    move(data, s, old, np.int64(n))
    free_block(data, start, length, klass, sizes, meta, row)
    start[row] = s
    length[row] = n
    klass[row] = k + 1
    return True


@njit
def append_many(data, start, length, klass, sizes, meta, rows, values, first):
    """Append values[i] to rows[i] for i >= first; rows[i] < 0 is skipped. Return the first i not done."""
    for i in range(first, rows.shape[0]):
        row = rows[i]
        if row < 0:
            continue
        n = length[row]
        if klass[row] < 0 or n == sizes[klass[row]]:
            if not grow_row(data, start, length, klass, sizes, meta, row):
                return i
        data[start[row] + n] = values[i]
        length[row] = n + 1
    return rows.shape[0]


@njit
def append_many_absent(data, start, length, klass, sizes, meta, rows, values, first, added):
    """As append_many, but skip a value that the row holds already; added[i] tells. Cost: O(row length) each."""
    for i in range(first, rows.shape[0]):
        row = rows[i]
        added[i] = False
        if row < 0:
            continue
        n = length[row]
        s = start[row]
        found = False
        if klass[row] >= 0:
            for j in range(s, s + n):
                if data[j] == values[i]:
                    found = True
                    break
        if found:
            continue
        if klass[row] < 0 or n == sizes[klass[row]]:
            if not grow_row(data, start, length, klass, sizes, meta, row):
                return i
        data[start[row] + n] = values[i]
        length[row] = n + 1
        added[i] = True
    return rows.shape[0]


@njit
def count_rows(table, column, rows) -> None:
    """Add 1 to table[row, column] for each row; a negative one is skipped."""
    for row in rows:
        if row >= 0:
            table[row, column] += 1


@njit
def find_value(data, start, length, row, value):
    """Return the index of value within the row, or -1. Cost: O(row length), about 0.3 ns an element."""
    s = start[row]
    for j in range(length[row]):
        if data[s + j] == value:
            return j
    return -1


@njit
def remove_at(data, start, length, row, index) -> None:
    """Remove one element, keeping the order of the rest."""
    s = start[row]
    n = length[row]
    move(data, s + index, s + index + 1, np.int64(n - 1 - index))
    length[row] = n - 1
