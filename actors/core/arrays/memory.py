"""Arrays that grow without moving, and rows that lie on cache lines.

A large array that grows by copying holds its shard up for as long as the copy takes, and needs the memory twice. So a
big one lies in a reservation: address space that the system gives memory to page by page, as it is touched. Growing
costs nothing, and nothing moves. Pages that are not needed any more go back with `give_back`.

Bounds: RESERVED_ELEMENTS_MAX elements of any type. Where the system grants no such address space (a limit on virtual
memory), half as much is asked for until it does.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

RESERVED_ELEMENTS_MAX = (1 << 33) - 64  # a free block's number of 4 elements must fit an int32 (see kernels.py)
RESERVED_ELEMENTS_MIN = 1 << 20
CACHE_LINE_BYTES = 64
_MAP_NORESERVE = 0x4000  # Linux; the mmap module names it from Python 3.13 on
_PAGE_BYTES = 2 << 20  # the largest page in use: what is given back is a whole number of them


class Reserved:
    """One reservation. `data` spans all of it; what was never touched takes no memory and reads as zero."""

    def __init__(self, dtype: Any, elements: int = RESERVED_ELEMENTS_MAX) -> None:
        """Reserve up to `elements`. Raises MemoryError when not even RESERVED_ELEMENTS_MIN are to be had."""
        self.dtype = np.dtype(dtype)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        while True:
            try:
                self._map = mmap.mmap(-1, elements * self.dtype.itemsize, flags=flags)
                break
            except (OSError, OverflowError) as error:
                elements //= 2
                if elements < RESERVED_ELEMENTS_MIN:
                    raise MemoryError("the system grants no address space for a shard's arrays") from error
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self._map.madvise(mmap.MADV_HUGEPAGE)
        self.data: npt.NDArray[Any] = np.frombuffer(self._map, dtype=self.dtype)

    def give_back(self, first: int, end: int) -> None:
        """Return the memory of elements first..end-1, as far as they fill whole pages. They read as zero afterwards."""
        begin = -(-first * self.dtype.itemsize // _PAGE_BYTES) * _PAGE_BYTES
        length = end * self.dtype.itemsize // _PAGE_BYTES * _PAGE_BYTES - begin
        if length > 0 and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, begin, length)


def aligned_records(count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return zeroed records that begin on a cache line, so that none of a power-of-two size straddles two."""
    raw = np.zeros(count * dtype.itemsize + CACHE_LINE_BYTES, dtype=np.uint8)
    first = -raw.ctypes.data % CACHE_LINE_BYTES
    return raw[first : first + count * dtype.itemsize].view(dtype)
