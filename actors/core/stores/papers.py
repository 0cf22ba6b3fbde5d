"""Papers: one small document an (owner, kind, key). Settings, markers, filters, tallies of polls, scheduled tweets.

A document is anything that msgpack packs (maps with text or number keys, lists, text, bytes, numbers), at most
PAPER_BYTES_MAX packed; key 0 where an owner has only one. It rests packed, in order of (owner, key), one pile a kind
(`piles.py`); those that were read lately are kept unpacked as well.

Rules of this file
- What `get` returns is shared by all who ask, so it can't be changed: its maps are `Frozen`, its lists are tuples. To
  change a document, make another one (`{**document, "name": value}`) and put it. What is given to `put` is packed at
  once; its giver may go on changing it.
- A document is its bytes: packed maps keep the order of their making, so equal commands make equal papers.
- `pack_document` is how a request finds out that a document is too large, before there is a command. `put_packed`,
  `packed`, `fill` and `dump` are for who carries documents without opening them: checkpoints, moves, commands.
- Callers have checked the rest (`arguments.py`, the kind's row): owner and key are int64, a document says what it may.

What it costs (`python -m tests.core.measure_shelves`, a shared and busy core, 200,000 papers of 82 bytes)
    27 bytes beside the document      get 0.3 us, of what wasn't read lately 7      packed 4      keys 3
    put 10 us (of which packing 0.8), drop as much: mostly waits for memory, and the documents behind that move
    fill 1 us, dump 0.5 us a paper
Deliberately not: finding papers by what they say; a fact that is looked for belongs on a shelf (`marks.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final, NoReturn

import msgpack
import numpy as np
import numpy.typing as npt

from actors.core import limits
from actors.core.entries import pack
from actors.core.errors import TooLargeError
from actors.core.stores.piles import DOCUMENT_BYTES, FOLDER_BYTES, Pile

Ints = npt.NDArray[np.int64]
LATELY_COUNT_MAX: Final = 1_024  # documents kept unpacked
LATELY_BYTES_MAX: Final = 1 << 20  # their packed bytes; unpacked they are five to ten times as large
_EMPTY = Pile()


class Frozen(dict[Any, Any]):
    """A map that is shared: it reads, compares and packs as any dict, and refuses changes. Copies of it are dicts."""

    __slots__ = ()

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("this document is shared by all who read it: put a changed copy instead, {**document, ...}")

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse

    def __reduce__(self) -> tuple[type[dict[Any, Any]], tuple[dict[Any, Any]]]:
        return dict, (dict(self),)


def pack_document(document: Any) -> bytes:
    """Pack a document as `put` does. Raises TooLargeError above PAPER_BYTES_MAX; TypeError for what can't be packed."""
    packed = pack(document)
    refuse_too_large(packed)
    return packed


def refuse_too_large(packed: bytes) -> None:
    """Raise TooLargeError if a packed document has more than PAPER_BYTES_MAX bytes."""
    if len(packed) > limits.PAPER_BYTES_MAX:
        raise TooLargeError(f"a document may have {limits.PAPER_BYTES_MAX} bytes when packed, not {len(packed)}")


def unpack_frozen(packed: bytes | bytearray) -> Any:
    """Unpack a document that nobody can change. Raises ValueError for what isn't exactly one document."""
    return msgpack.unpackb(packed, raw=False, strict_map_key=False, use_list=False, object_pairs_hook=Frozen)


class Papers:
    """The papers of one shard."""

    def __init__(self) -> None:
        self.total = 0  # documents
        self.total_bytes = 0  # of them, packed
        self._piles: dict[int, Pile] = {}
        self._lately: OrderedDict[tuple[int, int, int], tuple[Any, int]] = OrderedDict()  # (document, packed bytes)
        self._lately_bytes = 0

    @property
    def kinds(self) -> list[int]:
        """The kinds that have papers, or have had, ascending."""
        return sorted(self._piles)

    def get(self, kind: int, owner: int, key: int = 0) -> Any:
        """Return a document, unpacked and unchangeable, or None (which is no document)."""
        place = (kind, owner, key)
        read_before = self._lately.get(place)
        if read_before is not None:
            self._lately.move_to_end(place)
            return read_before[0]
        packed = self._piles.get(kind, _EMPTY).get(owner, key)
        if packed is None:
            return None
        document = unpack_frozen(packed)
        self._lately[place] = document, len(packed)
        self._lately_bytes += len(packed)
        while len(self._lately) > LATELY_COUNT_MAX or self._lately_bytes > LATELY_BYTES_MAX:
            self._lately_bytes -= self._lately.popitem(last=False)[1][1]
        return document

    def packed(self, kind: int, owner: int, key: int = 0) -> bytes | None:
        """Return a document's bytes, or None."""
        return self._piles.get(kind, _EMPTY).get(owner, key)

    def put(self, kind: int, owner: int, key: int, document: Any) -> bool:
        """Add or replace a document; return whether anything has changed. Raises as `pack_document`, nothing changed.

        None can't be put: it is what `get` returns for no document (ValueError).
        """
        return self.put_packed(kind, owner, key, pack_document(document))

    def put_packed(self, kind: int, owner: int, key: int, packed: bytes) -> bool:
        """As `put` for bytes that `pack_document` made; only their length is looked at."""
        refuse_too_large(packed)
        if packed in (b"", b"\xc0"):
            raise ValueError(f"None is no document: drop paper {(kind, owner, key)} instead")
        pile = self._piles.get(kind)
        if pile is None:
            pile = self._piles[kind] = Pile()
        size_before = pile.put(owner, key, packed)
        if size_before < 0:
            return False
        self.total += size_before == 0
        self.total_bytes += len(packed) - size_before
        self._forget(kind, owner, key)
        return True

    def drop(self, kind: int, owner: int, key: int = 0) -> bool:
        """Take a document away; return whether it was there."""
        size = self._piles.get(kind, _EMPTY).remove(owner, key)
        if not size:
            return False
        self.total -= 1
        self.total_bytes -= size
        self._forget(kind, owner, key)
        return True

    def _forget(self, kind: int, owner: int, key: int) -> None:
        read_before = self._lately.pop((kind, owner, key), None)
        if read_before is not None:
            self._lately_bytes -= read_before[1]

    def keys(self, kind: int, owner: int) -> list[int]:
        """Return the keys of an owner's documents of a kind, ascending. O(keys)."""
        return self._piles.get(kind, _EMPTY).keys(owner)

    def clear(self, kind: int, owner: int) -> list[int]:
        """Take all documents of an owner and kind away; return their keys, ascending."""
        keys = self.keys(kind, owner)
        for key in keys:
            self.drop(kind, owner, key)
        return keys

    def fill(self, kind: int, owners: Ints, keys: Ints, documents: list[bytes]) -> None:
        """Add packed documents, in any order: those of a checkpoint, or of who moves here.

        Raises ValueError if one is there already, or given twice; nothing changes. 0.5 us each if the kind has none
        yet, else as `put_packed`. How large they are isn't asked: an older limit may have been higher.
        """
        order = np.lexsort((keys, owners))
        owners, keys = owners[order].astype(np.int64), keys[order].astype(np.int64)
        documents = [documents[i] for i in order.tolist()]
        pile = self._piles.setdefault(kind, Pile())
        places = list(zip(owners.tolist(), keys.tolist(), strict=True))
        equal = np.nonzero((owners[1:] == owners[:-1]) & (keys[1:] == keys[:-1]))[0].tolist()
        there = [place for place in places if pile.get(*place) is not None] if pile.folders else []
        if equal or there:
            raise ValueError(f"paper {(there + [places[i] for i in equal])[0]} of kind {kind} is there already")
        if pile.folders:
            for place, document in zip(places, documents, strict=True):
                pile.put(*place, document)
        else:
            pile.fill(owners, keys, documents)
        self.total += len(documents)
        self.total_bytes += sum(map(len, documents))

    def dump(self, kind: int) -> tuple[Ints, Ints, list[bytes]]:
        """Return (owners, keys, packed documents) of all papers of a kind, ascending by owner and key. 0.2 us each."""
        return self._piles.get(kind, _EMPTY).dump()

    def count(self, kind: int) -> int:
        """Return how many papers of a kind there are."""
        return sum(map(len, self._piles.get(kind, _EMPTY).folders))

    def nbytes(self) -> int:
        """Bytes held, about; those of documents that are kept unpacked are not counted (see LATELY_BYTES_MAX)."""
        folders = sum(len(pile.folders) for pile in self._piles.values())
        return self.total_bytes + DOCUMENT_BYTES * self.total + FOLDER_BYTES * folders

    def check(self) -> list[str]:
        """Return violations: piles are sound; every paper is one document; what is counted and kept unpacked agrees."""
        problems = []
        count = size = 0
        for kind in self.kinds:
            problems += [f"papers of kind {kind}: {problem}" for problem in self._piles[kind].check()]
            for owner, key, packed in self._piles[kind]:
                count += 1
                size += len(packed)
                try:
                    document = unpack_frozen(packed)
                except ValueError as error:
                    problems.append(f"paper {(kind, owner, key)} is no document: {error}")
                else:
                    if self._lately.get((kind, owner, key), (document,))[0] != document:
                        problems.append(f"paper {(kind, owner, key)} is kept unpacked as it was before")
        if (count, size) != (self.total, self.total_bytes):
            problems.append(f"{count} papers of {size} bytes are counted as {self.total} of {self.total_bytes}")
        if any(self.packed(*place) is None for place in self._lately):
            problems.append("a paper that is gone is kept unpacked")
        lately_bytes = sum(size for _, size in self._lately.values())
        if len(self._lately) > LATELY_COUNT_MAX or not self._lately_bytes == lately_bytes <= LATELY_BYTES_MAX:
            problems.append(f"{len(self._lately)} papers are kept unpacked, of {lately_bytes} bytes")
        return problems
