"""What one replica must remember beside its journal and its checkpoint: who it is, and what it has promised.

Rules of this file
- The file is replaced whole or not at all, and `save` returns when the new one is durable: a promise counts only then.
- Neither fact goes back, but for the term of a log that is about to be replaced: a replica that forgot a promise could
  acknowledge a deposed primary's records.
- A file that can't be trusted is an error that names it and what to do, never a silent new beginning.

Bytes: msgpack ["rookery-replica", 1, crc32 of body, body: bin], body = msgpack [store_id, promised, term].
Costs: save 0.4 ms (two fsyncs), load 0.1 ms. One thread at a time.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack

from persistence.disk import make_directory, replace_file
from persistence.errors import NEWER, NewerFormatError, ReplicaFileError

NAME, VERSION = "rookery-replica", 1
TERM_MAX = (1 << 63) - 1  # as large as an epoch in DuckDB's BIGINT
_STORE_ID = re.compile(r"[0-9a-f]{16}")


class ReplicaFile:
    """The facts of one replica, in memory as they are on disk. Made by `load_or_create`."""

    def __init__(self, path: Path, store_id: str, promised: int, term: int) -> None:
        self._path = path
        self._store_id, self._promised, self._term = store_id, promised, term

    @classmethod
    def load_or_create(cls, path: Path | str, new_store_id: Callable[[], str]) -> ReplicaFile:
        """Return what the file says; without a file, make one with a new id, promised 0 and term 0. Durable on return.

        new_store_id: called only without a file; 16 random hex digits in lower case (ValueError otherwise).
        Raises ReplicaFileError if the file is damaged, NewerFormatError if a newer version wrote it, OSError if the
        disk refuses.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            store_id = new_store_id()
            if _STORE_ID.fullmatch(store_id) is None:
                raise ValueError(f"store id {store_id!r}, 16 hex digits in lower case expected") from None
            make_directory(path.parent)
            created = cls(path, store_id, 0, 0)
            created._put(0, 0)
            return created
        try:
            _require_no_newer(path, data)
            return cls(path, *_decode(data))
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise ReplicaFileError(
                f"{path}: can't be read as the file of a replica: {error}. Without it nobody knows what this replica"
                " has promised: move its whole folder away, so that it is filled anew from the other replicas, or"
                " restore this file from a copy if there is no other replica"
            ) from error

    @property
    def store_id(self) -> str:
        """The 16 hex digits that name this storage for good: a folder that was emptied comes back with others."""
        return self._store_id

    @property
    def promised(self) -> int:
        """The highest term that this replica has promised not to accept less than."""
        return self._promised

    @property
    def term(self) -> int:
        """The term whose log this replica's log is known to be a prefix of."""
        return self._term

    def save(self, *, promised: int | None = None, term: int | None = None) -> None:
        """Change one fact or both; durable on return. What doesn't change isn't written.

        term=0: what is stored is about to be replaced, and belongs to no term's log any more. Otherwise raises
        ValueError for a lower value than the present one (nothing changed), OSError if the disk refuses: the
        file then has the old facts or the new, this object the old.
        """
        promised = self._promised if promised is None else promised
        term = self._term if term is None else term
        if not (self._promised <= promised <= TERM_MAX and (term == 0 or self._term <= term <= TERM_MAX)):
            raise ValueError(
                f"{self._path}: promised {promised} and term {term}, after promised {self._promised} and term"
                f" {self._term}: neither goes back, nor above {TERM_MAX}"
            )
        if (promised, term) != (self._promised, self._term):
            self._put(promised, term)
            self._promised, self._term = promised, term

    def _put(self, promised: int, term: int) -> None:
        body = msgpack.packb([self._store_id, promised, term])
        replace_file(self._path, msgpack.packb([NAME, VERSION, zlib.crc32(body), body]))


def _require_no_newer(path: Path, data: bytes) -> None:
    """Raise NewerFormatError for a file of a later version, whatever else is in it; ValueError or msgpack's errors."""
    found = msgpack.unpackb(data)
    if not isinstance(found, list) or len(found) < 2:
        raise ValueError("a list expected")
    if found[0] == NAME and type(found[1]) is int and found[1] > VERSION:
        raise NewerFormatError(f"{path}: format version {found[1]}, this version reads up to {VERSION}; {NEWER}")


def _decode(data: bytes) -> tuple[str, int, int]:
    """Return (store_id, promised, term). Raises ValueError, TypeError or msgpack's own errors."""
    name, version, crc, body = _unpacked(data, 4)
    if (name, version) != (NAME, VERSION):
        raise ValueError(f"{name!r} version {version!r}, {NAME!r} version {VERSION} expected")
    if not isinstance(body, bytes) or crc != zlib.crc32(body):
        raise ValueError("its checksum differs")
    store_id, promised, term = _unpacked(body, 3)
    if not (isinstance(store_id, str) and _STORE_ID.fullmatch(store_id)):
        raise ValueError(f"store id {store_id!r}")
    for number in (promised, term):
        if type(number) is not int or not 0 <= number <= TERM_MAX:
            raise ValueError(f"term {number!r}")
    return store_id, promised, term


def _unpacked(data: bytes, length: int) -> list[Any]:
    found = msgpack.unpackb(data, max_array_len=length, max_map_len=0)
    if not isinstance(found, list) or len(found) != length:
        raise ValueError(f"a list of {length} expected")
    return found
