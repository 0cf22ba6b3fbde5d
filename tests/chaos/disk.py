"""Small disks that can be filled: a tmpfs each, which takes root and the right to mount."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DISK_MIB = 192  # the shards of a run of minutes take a tenth of it
PIECE_BYTES = 1 << 20
SMALLEST_BYTES = 1 << 10
DISK_FILES = 300  # the shards have some twenty; a disk may run out of files before it runs out of room


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast, self._files = folder / "ballast", folder / "ballast-files"
        self._ballast.touch()  # there must be a file to write to when there are no more files to be had
        self._files.mkdir()
        self._file_count = 0

    def fill(self) -> None:
        """Take all that is free, down to the last KiB and the last file. Call again: others may have freed some."""
        self._fill_files()
        size = PIECE_BYTES
        fd = os.open(self._ballast, os.O_WRONLY | os.O_APPEND)
        try:
            while size >= SMALLEST_BYTES:
                try:
                    os.write(fd, bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
        finally:
            os.close(fd)

    def _fill_files(self) -> None:
        while True:
            try:
                os.mknod(self._files / str(self._file_count))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return
            self._file_count += 1

    def free(self) -> None:
        """Give all of it back."""
        os.truncate(self._ballast, 0)
        for file in self._files.iterdir():
            file.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk | str]:
    """Mount a small disk at a new folder while the block runs; yield why not if it can't be."""
    folder.mkdir()
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,nr_inodes={DISK_FILES},mode=700", "tmpfs", str(folder)],
            capture_output=True, check=False,
        )  # fmt: skip
        reason = done.stderr.decode().strip() if done.returncode else ""
    except FileNotFoundError:
        reason = "this system has no mount command"
    if reason:
        yield reason
        return
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=True)
