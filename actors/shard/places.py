"""Where a replica's files are: for whoever only looks whether they are there, and loads neither drivers nor kernels."""

from __future__ import annotations

from pathlib import Path

from actors.core.errors import NotFoundError
from configs.settings import Settings

REPLICA_FILE, JOURNAL_DIRECTORY = "replica.msgpack", "journal"
FIRST_EPOCH = 1  # journals of before there were replicas are of this one


def shard_directory(data_dir: Path, shard: int, index: int = 0) -> Path:
    """Return where a replica of a shard keeps its journal and checkpoint."""
    directory = data_dir / f"shard-{shard:02d}"
    return directory / f"replica-{index}" if index else directory


def require_journal(settings: Settings, shard: int, index: int) -> None:
    """Raise NotFoundError if a replica's files aren't in the data folder: whoever opened it would make an empty one."""
    folder = shard_directory(settings.storage.data_dir, shard, index)
    if settings.storage.backend != "redis" and not (folder / JOURNAL_DIRECTORY).is_dir():
        raise NotFoundError(f"{folder} holds no journal: a shard of this cluster is not here")


def failure_file(data_dir: Path, shard: int, index: int = 0) -> Path:
    """Return where a replica that can't start says why: a dead actor's log is hard to find."""
    return shard_directory(data_dir, shard, index) / "failure.txt"
