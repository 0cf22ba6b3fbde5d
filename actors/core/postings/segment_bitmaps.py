"""The frequent lists of a shard's postings, as bits: whether one has a document is a look at a bit.

    documents    | segment 0 | segment 1 | ... | the newest, not whole yet |
    list 17      | container 3  | -      |       each container one bit a document of its segment
    list 40      | container 4  | container 5

A list that has one document in SPARSENESS of a segment has a container there, as soon as the segment is whole: the
dense containers of a Roaring bitmap (Chambi, Lemire et al., 2016). The list itself stays, as it has how often a word
stands in a document, and is what a search goes through where it is the shortest.

Rules of this file
- A segment that is whole never changes: documents are appended, and none is taken out.
- What has no container is looked up in its list; so where memory ends, searches are slower and nothing else.

Costs: 50 bytes a tweet (1,000,000 of a dozen words each), 2 to 4 ms for each segment that has become whole. With them
all tweets with two words are found in 8 us in place of 19 (500,000 tweets, 77 found at the mean).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from actors.core.arrays.arena import BlockArena
from actors.core.arrays.memory import Reserved
from actors.core.postings import kernels as kernels

SEGMENT_SHIFT = 14  # documents of a segment, as a power of two
SPARSENESS = 256  # documents of a segment for each that a list has, at most, to be frequent there
DENSE_COLUMN = ("dense", "i4")  # of the lists: which of the frequent ones it is, 0 for none


class SegmentBitmaps:
    """The containers of all frequent lists, whose arena has the column DENSE_COLUMN."""

    def __init__(self) -> None:
        self.shift = shift = SEGMENT_SHIFT
        self.containers: npt.NDArray[np.int32] = np.zeros((1, 1), dtype=np.int32)  # of [list, segment]; 0 for none
        self.bits: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        self.container_count = 0
        self._words = max(1, 1 << shift >> 6)  # of a container
        self._least = max(1, (1 << shift) // SPARSENESS)  # documents of a list that is frequent in a segment
        self._list_count = 0
        self._whole = 0  # segments
        self._reserved: Reserved | None = None

    def grow(self, lists: BlockArena, count: int) -> None:
        """Take in that there are so many documents, all of which are in the lists."""
        self._make_room(0, (count >> self.shift) + 1)
        while self._whole < count >> self.shift:
            self.seal(lists, self._whole << self.shift)
            self._whole += 1

    def seal(self, lists: BlockArena, low: int) -> None:
        """Make the containers of the segment that begins with a document."""
        long = np.flatnonzero(lists.length >= self._least)
        counts = np.zeros(len(long), dtype=np.int64)
        kernels.counted(lists.data, lists.start, lists.length, long, low, low + (1 << self.shift), counts)
        frequent = long[counts >= self._least]
        if self._reserved is None and len(frequent):
            self._reserved = Reserved(np.uint64)
            self.bits = self._reserved.data
        frequent = frequent[: self._room()]
        dense = _dense(lists)
        new = frequent[dense[frequent] == 0]
        dense[new] = np.arange(self._list_count + 1, self._list_count + 1 + len(new))
        self._list_count += len(new)
        self._make_room(self._list_count, 0)
        first = self.container_count + 1
        kernels.contained(lists.data, lists.start, lists.length, frequent, first, low, self.shift, self.bits)
        self.containers[dense[frequent], low >> self.shift] = np.arange(first, first + len(frequent))
        self.container_count += len(frequent)

    def _room(self) -> int:
        """Return how many more containers there may be."""
        return len(self.bits) // self._words - self.container_count

    def _make_room(self, list_count: int, segments: int) -> None:
        """Have the table of containers take in so many lists, and segments."""
        rows, columns = self.containers.shape
        if list_count >= rows or segments > columns:
            rows = max(rows, list_count + 1 + list_count // 4) if list_count >= rows else rows
            columns = segments + segments // 4 if segments > columns else columns
            grown = np.zeros((rows, columns), dtype=np.int32)
            grown[: self.containers.shape[0], : self.containers.shape[1]] = self.containers
            self.containers = grown

    def parts(self, lists: BlockArena) -> tuple[Any, ...]:
        """Return what searching kernels take, in their order."""
        return _dense(lists), self.containers, self.bits, self.shift

    def nbytes(self) -> int:
        """Bytes of containers and their table."""
        return self.containers.nbytes + 8 * self._words * self.container_count

    def check(self, lists: BlockArena) -> list[str]:
        """Return violations: every container has the documents that its list has in its segment, and as long as there
        is room there is one wherever it should be."""
        problems = []
        dense = _dense(lists)
        seen = 0
        for row in np.flatnonzero(lists.length).tolist():
            documents = lists.view(row).astype(np.int64) >> kernels.TF_BITS
            for segment in range(self._whole):
                low = segment << self.shift
                here = documents[(documents >= low) & (documents < low + (1 << self.shift))] - low
                container = int(self.containers[dense[row], segment]) - 1
                if container < 0 and (len(here) < self._least or not self._room()):
                    continue
                words = self.bits[container * self._words : (container + 1) * self._words]
                held = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
                seen += container >= 0
                if container < 0 or not np.array_equal(held, here):
                    problems.append(f"the container of list {row} and segment {segment} isn't what the list has there")
        if seen != self.container_count or self.containers[0].any():
            problems.append(f"{seen} of {self.container_count} containers belong to a list")
        return problems


def _dense(lists: BlockArena) -> npt.NDArray[np.int32]:
    column: npt.NDArray[np.int32] = lists.dense  # type: ignore[attr-defined]
    return column
