"""The processes of a served cluster, found from outside: no router, no Ray call, so it works while those are dead.

Rules of this file
- Only descendants of the `serve` that the harness itself started are ever touched.
- A process is known by what Ray calls it. Which shard it is says the lock file of the shard's journal.
"""

from __future__ import annotations

from pathlib import Path

import psutil

TITLES = {"shard": "ray::ShardActor", "api": "ray::ApiActor", "router": "ray::RouterActor"}


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
            if command and command[0].startswith(TITLES[role]):
                found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def shard_of(self, pid: int) -> int | None:
        """Return the shard whose journal a process holds, None if it holds none (yet)."""
        for lock in self._data.glob("shard-*/journal/journal.lock"):
            if lock.read_text(encoding="ascii").strip() == str(pid):
                return int(lock.parent.parent.name.removeprefix("shard-"))
        return None

    def log_folder(self) -> str:
        """Return where Ray keeps the logs of the actors."""
        for process in self._serve.children():
            for part in process.cmdline():
                if part.startswith("--log_dir="):
                    return part.removeprefix("--log_dir=")
        return "not known"
