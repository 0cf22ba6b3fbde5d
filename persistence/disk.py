"""A directory as the journal sees it: a dozen operations, so that a simulation can put a faulty one in its place.

Below it, what every file of this package needs: making a directory, replacing a file, both durable.

Rules of this file
- Each method does one durable step or says that it isn't durable. `create`, `delete` and `truncate` are durable on
  return (file and directory synced); `append` is not until `sync`.
- Errors of the system come out as OSError, untouched: the journal decides what they mean.

`create` writes a temporary file, syncs it, renames it and syncs the directory, so a segment never has half a header.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

from persistence.errors import JournalLockedError
from persistence.segment_format import SYNC_BYTES

LOCK_NAME = "journal.lock"
_TEMPORARY_SUFFIX = ".tmp"


class Disk(Protocol):
    """One directory of files that are only ever appended to, at most one of them at a time."""

    def path(self, name: str) -> str:
        """Return how messages should call the file."""

    def lock(self) -> None:
        """Keep everyone else out until `close`. Raises JournalLockedError naming who holds it."""

    def names(self) -> list[str]:
        """Return the names of the files, sorted. Left-overs of an interrupted `create` are not among them."""

    def size(self, name: str) -> int:
        """Return the file's size in bytes."""

    def read(self, name: str, offset: int, count: int) -> bytes:
        """Return up to count bytes from offset; fewer only at the end of the file."""

    def create(self, name: str, data: bytes) -> None:
        """Make a file with this content, all or nothing, replacing one of that name. Durable on return."""

    def open_append(self, name: str) -> None:
        """Choose the file that `append` and `sync` mean from now on."""

    def append(self, data: bytes) -> None:
        """Write at the end of the chosen file. Not durable; on an error any part may be there."""

    def sync(self) -> None:
        """Make the chosen file durable."""

    def truncate(self, name: str, size: int) -> None:
        """Cut the file to size bytes. Durable on return."""

    def delete(self, name: str) -> None:
        """Remove the file. Durable on return."""

    def new_sync_marker(self) -> bytes:
        """Return 8 bytes that no other segment has and no client can guess."""

    def close(self) -> None:
        """Release the lock and every handle. Idempotent."""


class RealDisk:
    """A directory of the file system; made (with its parents) if it isn't there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._append_fd = -1
        self._lock_fd = -1
        make_directory(directory)

    def path(self, name: str) -> str:
        """Return the file's path."""
        return str(self._directory / name)

    def lock(self) -> None:
        """Take an advisory flock (the kernel releases it however this process ends); clear interrupted `create`s."""
        fd = os.open(self.path(LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise JournalLockedError(f"{self._directory}: the journal is open in process {holder}") from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._lock_fd = fd
        for name in os.listdir(self._directory):
            if name.endswith(_TEMPORARY_SUFFIX):
                os.unlink(self.path(name))

    def names(self) -> list[str]:
        """Return the sorted names of the files, without the lock and temporary files."""
        found = sorted(os.listdir(self._directory))
        return [name for name in found if name != LOCK_NAME and not name.endswith(_TEMPORARY_SUFFIX)]

    def size(self, name: str) -> int:
        """Return the file's size in bytes."""
        return os.stat(self.path(name)).st_size

    def read(self, name: str, offset: int, count: int) -> bytes:
        """Return up to count bytes from offset."""
        with open(self.path(name), "rb") as file:
            file.seek(offset)
            return file.read(count)

    def create(self, name: str, data: bytes) -> None:
        """Write aside, sync, rename, sync the directory."""
        replace_file(self._directory / name, data)

    def open_append(self, name: str) -> None:
        """Open the file for appending and let go of the one before."""
        fd = os.open(self.path(name), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        if self._append_fd >= 0:
            os.close(self._append_fd)
        self._append_fd = fd

    def append(self, data: bytes) -> None:
        """Write at the end; a short write goes on until all is written or an error comes."""
        _write_all(self._append_fd, data)

    def sync(self) -> None:
        """fdatasync: the data and the size, not the times."""
        os.fdatasync(self._append_fd)

    def truncate(self, name: str, size: int) -> None:
        """Cut, then fsync the file."""
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, size)
            os.fsync(fd)
        finally:
            os.close(fd)

    def delete(self, name: str) -> None:
        """Unlink, then sync the directory."""
        os.unlink(self.path(name))
        sync_directory(self._directory)

    def new_sync_marker(self) -> bytes:
        """Return random bytes of the system."""
        return os.urandom(SYNC_BYTES)

    def close(self) -> None:
        """Close both descriptors, which releases the lock."""
        for fd in (self._append_fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._append_fd = self._lock_fd = -1


def make_directory(directory: Path) -> None:
    """Make a directory and its missing parents. Durable on return."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for path in made:
        sync_directory(path.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Give a file this content, all or nothing: write aside, sync, rename, sync the directory. Durable on return."""
    temporary = path.with_name(path.name + _TEMPORARY_SUFFIX)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        _write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
