"""A backup as a folder: what is in its files, how they are written, and how they are trusted again.

    manifest.json           what was backed up, and each file's size and SHA-256
    manifest.json.sha256    the manifest's own, as `sha256sum` writes it
    shard-NN.rows           the checkpoint's rows: pieces of snapshot_pieces.py
    shard-NN.journal        the journal's records behind the checkpoint, in order, up to the cut

Rules of this file
- A backup is whole or not there: it is written beside its place (`DIR.partial`), synced, and renamed at the end.
- Nothing is read from a file before its size and checksum were compared: `verify` first.
- What can't be trusted is a BackupError that names the file.
- Bounded: items are streamed, PART_BYTES at a time, however large an item is.

Bytes of .rows and .journal: length u32, item, length u32, item, ... (little-endian).
It knows no tables and no commands; the rows' and records' meaning is backup_shard.py's and the core's.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from persistence.disk import make_directory, sync_directory
from persistence.errors import StorageError
from persistence.private import make_private

FORMAT, VERSION = "rookery-backup", 2  # 1: `tables` was a map, name -> ["column TYPE", ..., "key a b"]
MANIFEST_NAME, SUM_NAME = "manifest.json", "manifest.json.sha256"
PARTIAL_SUFFIX = ".partial"
ROWS_SUFFIX, JOURNAL_SUFFIX = ".rows", ".journal"
LENGTH_BYTES = 4  # before each item
PART_BYTES = 1024 * 1024  # of one request, and of one read: a fraction of a lane's frame
REST_BYTES = 64 * 1024  # gathered between two rests
ITEM_BYTES_MAX = 64 * 1024 * 1024  # a piece or a record is smaller; a length above this is damage
T = TypeVar("T")


class BackupError(StorageError):
    """A backup can't be written, or can't be trusted; the message names the file or folder, and what to do."""

    code = "backup"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file of a backup. size: bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """One shard: the rows are as of checkpoint_position, the records are those above it up to cut_position."""

    shard: int
    checkpoint_position: int
    cut_position: int
    rows: FileFacts
    journal: FileFacts


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. buckets: the owner of each; tables: as backup_shard.py describes them.

    Times are ISO 8601.
    """

    cluster: str
    cluster_id: str
    software: str
    source: str
    begun_at: str
    cut_at: str
    timeline_length: int
    tables: Any
    map_epoch: int
    buckets: tuple[int, ...]
    shards: tuple[ShardFacts, ...]

    @property
    def files(self) -> list[FileFacts]:
        """Return all files but the manifest's."""
        return [file for shard in self.shards for file in (shard.rows, shard.journal)]

    @property
    def size(self) -> int:
        """Return the bytes of those files."""
        return sum(file.size for file in self.files)


# ---- items as bytes ---------------------------------------------------------------------------------------------


class ItemStream:
    """Items as bytes, handed out in parts to one reader, who may ask for the last part again.

    rest(): called after every REST_BYTES or so, for a process that has something else to do meanwhile.
    """

    def __init__(self, items: Iterator[bytes], rest: Callable[[], None] = lambda: None) -> None:
        self._items, self._rest = items, rest
        self._buffer = bytearray()
        self._offset, self._last = 0, b""

    def part(self, offset: int) -> bytes:
        """Return the next bytes, PART_BYTES at most; nothing at the end.

        offset: bytes that the reader has, which is all that was handed out or all but the last part. Raises ValueError
        for another, and whatever the items raise.
        """
        if self._last and offset == self._offset - len(self._last):
            return self._last
        if offset != self._offset:
            raise ValueError(f"the stream is at {self._offset}, not at {offset}")
        rested = len(self._buffer)
        while len(self._buffer) < PART_BYTES and (item := next(self._items, None)) is not None:
            self._buffer += len(item).to_bytes(LENGTH_BYTES, "little")
            self._buffer += item
            if len(self._buffer) - rested >= REST_BYTES:
                rested = len(self._buffer)
                self._rest()
        self._last = bytes(self._buffer[:PART_BYTES])
        del self._buffer[:PART_BYTES]
        self._offset += len(self._last)
        return self._last


def read_items(path: Path) -> Iterator[bytes]:
    """Yield the items of a file. Raises BackupError if it doesn't end with one."""
    with _reading(path), path.open("rb") as file:
        while head := file.read(LENGTH_BYTES):
            length = int.from_bytes(head, "little")
            if len(head) < LENGTH_BYTES or length > ITEM_BYTES_MAX:
                raise BackupError(f"{path}: byte {file.tell() - len(head)}: no length of an item")
            item = file.read(length)
            if len(item) < length:
                raise BackupError(f"{path}: it ends within an item of {length} bytes")
            yield item


# ---- writing ----------------------------------------------------------------------------------------------------


class BackupWriter:
    """Writes a backup to a new or empty folder. Use as a context: whatever isn't finished by its end is removed.

    Raises BackupError, on opening, if the folder holds something or somebody else writes there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._partial = directory.with_name(directory.name + PARTIAL_SUFFIX)
        self._lock_fd = -1
        self._finished = False

    def __enter__(self) -> BackupWriter:
        with _writing(self._partial):
            self._require_empty()
            make_directory(self._partial)
            make_private(self._partial)
            self._lock_fd = os.open(self._partial, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._remove_leftovers()
            except BlockingIOError as error:
                os.close(self._lock_fd)
                raise BackupError(f"{self._partial}: another backup is being written there") from error
            except BaseException:
                os.close(self._lock_fd)
                raise
        return self

    def _require_empty(self) -> None:
        if self.directory.is_mount():
            raise BackupError(f"{self.directory} is where a file system is mounted; name a new folder in it")
        if self.directory.exists() and (not self.directory.is_dir() or any(self.directory.iterdir())):
            raise BackupError(f"{self.directory} is there already and not an empty folder; name another")

    def _remove_leftovers(self) -> None:
        """Remove what an earlier backup left when it was killed, but nothing else."""
        for path in list(self._partial.iterdir()):
            ours = path.name in (MANIFEST_NAME, SUM_NAME) or path.suffix in (ROWS_SUFFIX, JOURNAL_SUFFIX)
            if not ours:
                raise BackupError(f"{self._partial} holds {path.name}, which no backup wrote; move it away")
            path.unlink()

    def __exit__(self, *error: object) -> None:
        if not self._finished:
            shutil.rmtree(self._partial, ignore_errors=True)  # what stays is removed by the next backup
        os.close(self._lock_fd)

    def create(self, name: str) -> FileWriter:
        """Begin a file."""
        return FileWriter(self._partial / name)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest and put the folder in its place. Durable on return."""
        data = (json.dumps({"format": FORMAT, "version": VERSION, **asdict(manifest)}, indent=1) + "\n").encode()
        sums = f"{hashlib.sha256(data).hexdigest()}  {MANIFEST_NAME}\n".encode()
        for name, content in ((MANIFEST_NAME, data), (SUM_NAME, sums)):
            file = self.create(name)
            file.write(content)
            file.close()
        with _writing(self._partial):
            sync_directory(self._partial)
            self._partial.rename(self.directory)
            self._finished = True
            sync_directory(self.directory.parent)


class FileWriter:
    """One file of a backup on its way to disk."""

    def __init__(self, path: Path) -> None:
        self._path, self._digest, self.size = path, hashlib.sha256(), 0
        with _writing(path):
            self._file: BinaryIO = path.open("xb")

    def write(self, data: bytes) -> None:
        """Add bytes. Raises BackupError that says why they can't be written."""
        with _writing(self._path):
            self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def close(self) -> FileFacts:
        """Make it durable; return what the manifest says of it."""
        with _writing(self._path), self._file as file:
            file.flush()
            os.fsync(file.fileno())
        return FileFacts(self._path.name, self.size, self._digest.hexdigest())

    def abandon(self) -> None:
        """Let go of it as it is."""
        self._file.close()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except BlockingIOError:  # a lock
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "there is no room left" if full else str(error.strerror or error)
        raise BackupError(f"{path}: the backup can't be written: {why}") from error


# ---- trusting ---------------------------------------------------------------------------------------------------


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(f"{path}: can't be read: {error.strerror or error}") from error


def load_manifest(directory: Path) -> Manifest:
    """Return a backup's manifest. Raises BackupError if there is none, or it is damaged or of another version."""
    path, sum_path = directory / MANIFEST_NAME, directory / SUM_NAME
    with _reading(path):
        data = path.read_bytes()
    with _reading(sum_path):
        sums = sum_path.read_bytes()
    if sums != f"{hashlib.sha256(data).hexdigest()}  {MANIFEST_NAME}\n".encode():
        raise BackupError(f"{path} is not what {sum_path} says: one of the two is damaged")
    try:
        return _manifest_of(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupError(f"{path} is no manifest of a backup: {error}") from error


def _manifest_of(values: dict[str, Any]) -> Manifest:
    found = values.pop("format"), values.pop("version")
    if found not in [(FORMAT, version) for version in range(1, VERSION + 1)]:
        raise ValueError(
            f"it is {found[0]!r} version {found[1]!r}, this program reads {FORMAT!r} up to version {VERSION}"
        )
    shards = tuple(
        ShardFacts(**{**row, "rows": FileFacts(**row["rows"]), "journal": FileFacts(**row["journal"])})
        for row in values.pop("shards")
    )
    manifest = Manifest(**{**values, "buckets": tuple(values["buckets"]), "shards": shards})
    if not shards or [facts.shard for facts in shards] != list(range(len(shards))):
        raise ValueError("its shards are not 0 to the last")
    for facts in shards:
        if not 0 <= facts.checkpoint_position <= facts.cut_position:
            raise ValueError(
                f"shard {facts.shard} has rows of {facts.checkpoint_position}, a cut at {facts.cut_position}"
            )
    for file in manifest.files:
        if file.name != os.path.basename(file.name):
            raise ValueError(f"{file.name!r} is no file's name")
    return manifest


def verify(directory: Path, manifest: Manifest, on_bytes: Callable[[int], None]) -> None:
    """Compare every file with the manifest. on_bytes: told of bytes read. Raises BackupError that names the first."""
    for facts in manifest.files:
        path, digest = directory / facts.name, hashlib.sha256()
        with _reading(path), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != facts.size:
                raise BackupError(f"{path} has {size} bytes, the manifest says {facts.size}: it is damaged")
            while data := file.read(PART_BYTES):
                digest.update(data)
                on_bytes(len(data))
        if digest.hexdigest() != facts.sha256:
            raise BackupError(f"{path}: its checksum is not what the manifest says: it is damaged")
