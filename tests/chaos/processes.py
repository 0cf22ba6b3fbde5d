"""The processes of a served cluster, found from outside: no router, no Ray call, so it works while those are dead.

Rules of this file
- Only descendants of the `serve` that the harness itself started are ever touched.
- A process is known by what Ray calls it. Which replica it is says that name too while its constructor runs, and then
  the lock file of the replica's journal; who leads, the map that the router wrote last.
"""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

import psutil

from tests.chaos.copies import map_on_disk

CLASSES = {"shard": "ShardActor", "api": "ApiActor", "router": "RouterActor", "dispatcher": "DispatchActor"}
NAMED = re.compile(r"shard-(\d+):replica-(\d+):")
LOCK = "journal/journal.lock"


def place_of(folder: Path) -> tuple[int, int]:
    """Return (shard, index) of a replica's folder, shard-NN or shard-NN/replica-N."""
    if folder.name.startswith("shard-"):
        return int(folder.name.removeprefix("shard-")), 0
    return int(folder.parent.name.removeprefix("shard-")), int(folder.name.removeprefix("replica-"))


def has_lived(pid: int, age_s: float) -> bool:
    """Whether a process runs, and has for so long: neither ended and not yet waited for, nor stopped."""
    try:
        process = psutil.Process(pid)
        ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD, psutil.STATUS_STOPPED)
        return not ended and time.time() - process.create_time() >= age_s
    except psutil.Error:
        return False


def stands_still(process: psutil.Process) -> bool:
    """Whether all threads of a process have stopped. SIGSTOP reaches one after the other: up to 40 ms were seen."""
    try:
        if not psutil.LINUX:
            return process.status() == psutil.STATUS_STOPPED
        threads = [psutil.Process(thread.id) for thread in process.threads()]
        return bool(threads) and all(thread.status() == psutil.STATUS_STOPPED for thread in threads)
    except psutil.NoSuchProcess:
        return False


class Processes:
    """The actors' processes below one `serve`."""

    def __init__(self, serve_pid: int, data: Path) -> None:
        self._serve, self._data = psutil.Process(serve_pid), data

    def find(self, role: str) -> list[psutil.Process]:
        """Return the processes of a role by id, also those whose constructor still runs. 5 ms."""
        found = []
        for process in self._serve.children(recursive=True):
            try:
                command = process.cmdline()
            except psutil.Error:
                continue
            if command and command[0].startswith("ray::") and CLASSES[role] in command[0]:
                found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def replica_of(self, process: psutil.Process) -> tuple[int, int] | None:
        """Return (shard, index) of a shard's process; None if it has just begun or ended."""
        with contextlib.suppress(psutil.Error, IndexError):
            if named := NAMED.search(process.cmdline()[0]):
                return int(named[1]), int(named[2])
        for lock in (*self._data.glob(f"shard-*/{LOCK}"), *self._data.glob(f"shard-*/replica-*/{LOCK}")):
            with contextlib.suppress(FileNotFoundError):  # it is just being put aside
                if lock.read_text(encoding="ascii").strip() == str(process.pid):
                    return place_of(lock.parent.parent)
        return None

    def leaders(self) -> set[tuple[int, int]]:
        """Return (shard, index) of the replica that leads each shard, as the map on disk says."""
        return {(replica.shard, replica.index) for replica in map_on_disk(self._data).replicas if replica.primary}

    def log_folder(self) -> str:
        """Return where Ray keeps the logs of the actors."""
        for process in self._serve.children():
            for part in process.cmdline():
                if part.startswith("--log_dir="):
                    return part.removeprefix("--log_dir=")
        return "not known"
