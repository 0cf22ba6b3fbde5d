"""Packed documents in order of (owner, key): where `papers.py` keeps those of one kind.

    pile     folder, folder, folder, ...        ascending; `firsts` holds the first (owner, key) of each
    folder   owners  o o o o o   int64          ascending by (owner, key)
             keys    k k k k k   int64
             ends    e e e e e   uint32         document i is data[ends[i - 1] : ends[i]]
             data    ddddddddddddddd            one document behind the other

A folder that grows over FOLDER_COUNT_MAX documents or FOLDER_BYTES_MAX bytes is cut in two; one that has shrunk below a
quarter of both joins a neighbour if the two fit well into one. So what a change moves is bounded, and so is what
folders cost: 25 bytes a document, and 500 a folder.

Rules of this file
- It knows nothing of kinds, limits and of what the bytes say; nor does it count: `papers.py` does.
- Owners and keys are int64, as all callers have checked; a document has at least one byte.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
FOLDER_COUNT_MAX = 512  # documents: what an insert moves is 4 KB a column
FOLDER_BYTES_MAX = 1 << 16  # of documents, unless one alone is larger: an insert moves them in 2 us
DOCUMENT_BYTES = 25  # beside a document itself: 20 in three columns, and what the arrays have in reserve
FOLDER_BYTES = 500  # of CPython's objects: a folder, its four arrays, a pair in `firsts`
KEY_MIN = -(1 << 63)


class Folder:
    """Some documents that follow each other. Never empty within a pile."""

    __slots__ = ("data", "ends", "keys", "owners")

    def __init__(self, owners: Ints, keys: Ints, documents: list[bytes]) -> None:
        """Take documents in ascending order of (owner, key)."""
        self.owners = array("q", owners.tobytes())
        self.keys = array("q", keys.tobytes())
        self.ends = array("I", accumulate(map(len, documents)))
        self.data = bytearray().join(documents)

    def __len__(self) -> int:
        return len(self.owners)

    @property
    def first(self) -> tuple[int, int]:
        """(owner, key) of the first document."""
        return self.owners[0], self.keys[0]

    @property
    def is_too_large(self) -> bool:
        """Whether it is to be cut in two."""
        return len(self) > FOLDER_COUNT_MAX or (len(self.data) > FOLDER_BYTES_MAX and len(self) > 1)

    def fills_at_most(self, part: float, other: Folder | None = None) -> bool:
        """Whether it, with another one, holds no more than a part of what a folder may."""
        count = len(self) + (len(other) if other else 0)
        size = len(self.data) + (len(other.data) if other else 0)
        return count <= part * FOLDER_COUNT_MAX and size <= part * FOLDER_BYTES_MAX

    def span(self, owner: int) -> tuple[int, int]:
        """Return from which place on, and up to which, an owner's documents lie."""
        low = bisect_left(self.owners, owner)
        return low, bisect_right(self.owners, owner, low)

    def find(self, owner: int, key: int) -> tuple[int, bool]:
        """Return (place of a document, or where it would be; whether it is there)."""
        low, high = self.span(owner)
        i = bisect_left(self.keys, key, low, high)
        return i, i < high and self.keys[i] == key

    def bounds(self, i: int) -> tuple[int, int]:
        """Return where the bytes of document i begin and end."""
        return self.ends[i - 1] if i else 0, self.ends[i]

    def document(self, i: int) -> bytes:
        """Return a copy of document i."""
        begin, end = self.bounds(i)
        return bytes(self.data[begin:end])

    def insert(self, i: int, owner: int, key: int, document: bytes) -> None:
        """Make a document the i-th."""
        begin = self.ends[i - 1] if i else 0
        self.owners.insert(i, owner)
        self.keys.insert(i, key)
        self.ends.insert(i, begin)
        self.data[begin:begin] = document
        self._shift(i, len(document))

    def replace(self, i: int, document: bytes) -> None:
        """Put other bytes in the place of document i."""
        begin, end = self.bounds(i)
        self.data[begin:end] = document
        self._shift(i, len(document) - (end - begin))

    def remove(self, i: int) -> int:
        """Take document i out; return how many bytes it had."""
        begin, end = self.bounds(i)
        del self.owners[i], self.keys[i], self.ends[i], self.data[begin:end]
        self._shift(i, begin - end)
        return end - begin

    def _shift(self, i: int, step: int) -> None:
        """Let document i and all behind it end `step` bytes later."""
        if step and i < len(self.ends):
            ends = np.frombuffer(self.ends, dtype=np.uint32)[i:]
            ends += np.uint32(step & 0xFFFFFFFF)  # a step down is one of nearly 2**32 up

    def split(self) -> Folder:
        """Return a new folder with about the second half of the bytes, which this one gives up."""
        half = min(max(bisect_left(self.ends, len(self.data) // 2), 1), len(self) - 1)
        begin = self.ends[half - 1]
        behind = Folder.__new__(Folder)
        behind.owners, behind.keys, behind.ends = self.owners[half:], self.keys[half:], self.ends[half:]
        behind.data = self.data[begin:]
        behind._shift(0, -begin)
        del self.owners[half:], self.keys[half:], self.ends[half:], self.data[begin:]
        return behind

    def join(self, behind: Folder) -> None:
        """Take in all of the folder that follows."""
        size = len(self.data)
        first = len(self)
        self.owners += behind.owners
        self.keys += behind.keys
        self.ends += behind.ends
        self.data += behind.data
        self._shift(first, size)


class Pile:
    """Documents by (owner, key), in that order."""

    def __init__(self) -> None:
        self.folders: list[Folder] = []
        self.firsts: list[tuple[int, int]] = []

    def get(self, owner: int, key: int) -> bytes | None:
        """Return a document, or None."""
        if not self.folders:
            return None
        folder = self.folders[self._folder_of(owner, key)]
        i, is_there = folder.find(owner, key)
        return folder.document(i) if is_there else None

    def put(self, owner: int, key: int, document: bytes) -> int:
        """Add a document, or replace it; return how many bytes it had before: 0 if it is new, -1 if nothing changes."""
        if not self.folders:
            column = np.zeros(1, dtype=np.int64)
            self.fill(column + owner, column + key, [document])
            return 0
        at = self._folder_of(owner, key)
        folder = self.folders[at]
        i, is_there = folder.find(owner, key)
        size = 0
        if is_there:
            begin, end = folder.bounds(i)
            if folder.data[begin:end] == document:
                return -1
            size = end - begin
            folder.replace(i, document)
        else:
            folder.insert(i, owner, key, document)
            self.firsts[at] = folder.first
        self._cut(at)
        return size

    def _cut(self, at: int) -> None:
        """Cut a folder in two, and those again, as long as one is too large: a large document may lie in its middle."""
        if self.folders[at].is_too_large:
            self.folders.insert(at + 1, self.folders[at].split())
            self.firsts.insert(at + 1, self.folders[at + 1].first)
            self._cut(at + 1)
            self._cut(at)

    def remove(self, owner: int, key: int) -> int:
        """Take a document out; return how many bytes it had, 0 if there was none."""
        if not self.folders:
            return 0
        at = self._folder_of(owner, key)
        folder = self.folders[at]
        i, is_there = folder.find(owner, key)
        if not is_there:
            return 0
        size = folder.remove(i)
        if not len(folder):
            del self.folders[at], self.firsts[at]
            return size
        self.firsts[at] = folder.first
        if folder.fills_at_most(1 / 4):
            self._join_neighbours(at)
        return size

    def _join_neighbours(self, at: int) -> None:
        """Join a folder that has become small to the one behind it, or else to the one before, where there is room."""
        for first in (at, at - 1):
            if 0 <= first < len(self.folders) - 1:
                behind = self.folders[first + 1]
                if self.folders[first].fills_at_most(3 / 4, behind):
                    self.folders[first].join(behind)
                    del self.folders[first + 1], self.firsts[first + 1]
                    return

    def _folder_of(self, owner: int, key: int) -> int:
        return max(0, bisect_right(self.firsts, (owner, key)) - 1)

    def keys(self, owner: int) -> list[int]:
        """Return the keys of an owner's documents, ascending."""
        found: list[int] = []
        at = max(0, bisect_left(self.firsts, (owner, KEY_MIN)) - 1)
        while at < len(self.folders) and self.firsts[at][0] <= owner:
            low, high = self.folders[at].span(owner)
            found += self.folders[at].keys[low:high]
            at += 1
        return found

    def fill(self, owners: Ints, keys: Ints, documents: list[bytes]) -> None:
        """Fill the empty pile with documents in ascending order, in folders that have room for some more."""
        ends = np.cumsum(np.fromiter(map(len, documents), np.int64, len(documents)))
        first = 0
        while first < len(documents):
            begin = int(ends[first - 1]) if first else 0
            end = int(np.searchsorted(ends, begin + FOLDER_BYTES_MAX * 3 // 4, side="right"))
            end = max(first + 1, min(end, first + FOLDER_COUNT_MAX * 3 // 4))
            self.folders.append(Folder(owners[first:end], keys[first:end], documents[first:end]))
            first = end
        self.firsts = [folder.first for folder in self.folders]

    def dump(self) -> tuple[Ints, Ints, list[bytes]]:
        """Return (owners, keys, documents), ascending. 0.2 us each."""
        columns = [
            np.frombuffer(b"".join(getattr(folder, name) for folder in self.folders), dtype=np.int64).copy()
            for name in ("owners", "keys")
        ]
        return columns[0], columns[1], [document for _, _, document in self]

    def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
        """Go through (owner, key, document), ascending."""
        for folder in self.folders:
            for i in range(len(folder)):
                yield folder.owners[i], folder.keys[i], folder.document(i)

    def check(self) -> list[str]:
        """Return violations: folders are neither empty nor too large, in order, and their columns fit each other."""
        problems = []
        places = [place for folder in self.folders for place in zip(folder.owners, folder.keys, strict=False)]
        if any(a >= b for a, b in pairwise(places)):
            problems.append("documents are not in ascending order of owner and key")
        if self.firsts != [folder.first if len(folder) else None for folder in self.folders]:
            problems.append("the first documents of the folders are not those that were noted")
        for number, folder in enumerate(self.folders):
            lengths = {len(folder.owners), len(folder.keys), len(folder.ends)}
            if len(lengths) > 1 or not len(folder) or folder.is_too_large:
                problems.append(f"folder {number} has columns of {sorted(lengths)} and {len(folder.data)} bytes")
            if any(a >= b for a, b in pairwise([0, *folder.ends])) or [*folder.ends][-1:] != [len(folder.data)]:
                problems.append(f"the documents of folder {number} don't fill its {len(folder.data)} bytes")
        return problems
