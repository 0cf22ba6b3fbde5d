"""Objects of media in a backup: `backup --media` copies them, `restore` puts them back, `restore --check` looks.

    DIR/media/ab/cd/<id>-...      each object as it is in the store
    DIR/media/SHA256SUMS          of each, as `sha256sum -c` reads it; written last, so what has it is whole

Rules of this file
- Objects never change, so they are copied twice: before the cut whatever there is, after it what came meanwhile. What a
  tweet of the cut shows is then there, unless it came and went within the second copy.
- They are copied beside the backup and put into it once it is whole. What a killed backup leaves there, the next one of
  that name goes on with.
- More than the cut shows does no harm: `check --media --repair` removes it from a restored cluster.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from actors.core.media_names import media_id_of
from persistence.backup_format import BackupError
from persistence.disk import make_directory, sync_directory
from persistence.objects import CHUNK_BYTES, LocalStore, ObjectHead, ObjectStore
from persistence.private import make_private

FOLDER: Final = "media"
SUMS: Final = "SHA256SUMS"
BESIDE: Final = ".media-partial"
OnBytes = Callable[[int], None]

_TYPES: Final = {
    "jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif", "mp4": "video/mp4",
    "m4a": "audio/mp4", "mp3": "audio/mpeg", "ogg": "audio/ogg",
}  # fmt: skip


class MediaBackup:
    """The objects of one backup, on their way into it. directory: of the backup, which is made by others."""

    def __init__(self, store: ObjectStore | None, directory: Path) -> None:
        """store: None for a backup without them."""
        self._store, self._directory = store, directory
        self._beside = directory.with_name(directory.name + BESIDE)
        self.is_finished = False
        self.summary: dict[str, int] = {}  # of what was copied, for `--json`

    async def copy(self, on_bytes: OnBytes) -> None:
        """Copy what the store has and this backup hasn't. Raises BackupError, OverloadedError if the store is away."""
        if self._store is None:
            return
        make_directory(self._beside)
        make_private(self._beside)
        target = LocalStore(self._beside)
        async for head in self._store.list(""):
            if media_id_of(head.name) and await target.head(head.name) is None:
                await self._copy_one(self._store, target, head, on_bytes)

    async def _copy_one(self, store: ObjectStore, target: LocalStore, head: ObjectHead, on_bytes: OnBytes) -> None:
        whole = self._beside / ".object"
        try:
            with whole.open("wb") as file:
                async for piece in store.read(head.name, 0, head.size):
                    await asyncio.to_thread(file.write, piece)
                    on_bytes(len(piece))
            await target.put_new(head.name, whole, "")
        except FileNotFoundError:
            return  # nobody shows it any more
        except OSError as error:
            raise BackupError(f"{self._beside}: the backup can't be written: {error.strerror or error}") from error
        finally:
            whole.unlink(missing_ok=True)

    def finish(self) -> None:
        """Put what was copied into the backup. Durable on return."""
        if self._store is None:
            return
        lines, size = list[str](), 0
        for name, path in _objects(self._beside):
            lines.append(f"{_sha256(path)}  {name}\n")
            size += path.stat().st_size
        self.summary = {"media_objects": len(lines), "media_bytes": size}
        with (self._beside / SUMS).open("w", encoding="ascii") as file:
            file.writelines(sorted(lines, key=lambda line: line.partition("  ")[2]))
            file.flush()
            os.fsync(file.fileno())
        sync_directory(self._beside)
        self._beside.rename(self._directory / FOLDER)
        self.is_finished = True
        sync_directory(self._directory)
        sync_directory(self._directory.parent)

    def abandon(self) -> None:
        """Remove what was copied: there is no backup that it belongs to."""
        shutil.rmtree(self._beside, ignore_errors=True)


@contextmanager
def media_of(store: ObjectStore | None, directory: Path) -> Iterator[MediaBackup]:
    """Give what copies media into a backup; what isn't finished by the end of this is removed."""
    media = MediaBackup(store, directory)
    try:
        yield media
    finally:
        if store is not None and not media.is_finished:
            media.abandon()


def has_media(directory: Path) -> bool:
    """Whether a backup has objects of media with it."""
    return (directory / FOLDER / SUMS).is_file()


def verify_media(directory: Path) -> int:
    """Compare the objects of a backup with their checksums; return how many. Raises BackupError for the first."""
    folder = directory / FOLDER
    sums = dict(_sums(folder))
    for name, expected in sums.items():
        path = folder / name
        if not path.is_file():
            raise BackupError(f"{path} is missing: the backup is damaged")
        if _sha256(path) != expected:
            raise BackupError(f"{path}: its checksum is not what {SUMS} says: it is damaged")
    return len(sums)


async def restore_media(directory: Path, store: ObjectStore) -> int:
    """Put the objects of a backup, which was verified, into a store; return how many. What is there already stays."""
    names = [name for name, _ in _sums(directory / FOLDER)]
    for name in names:
        path = directory / FOLDER / name
        await store.put_new(name, path, _TYPES.get(name.rpartition(".")[2], "application/octet-stream"))
    return len(names)


def _sums(folder: Path) -> Iterator[tuple[str, str]]:
    for line in (folder / SUMS).read_text(encoding="ascii").splitlines():
        digest, _, name = line.partition("  ")
        if not media_id_of(name):
            raise BackupError(f"{folder / SUMS} names {name[:100]!r}, which is no object of a medium")
        yield name, digest


def _objects(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.glob("*/*/*"):
        name = path.relative_to(folder).as_posix()
        if media_id_of(name):
            yield name, path


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            found.update(piece)
    return found.hexdigest()
