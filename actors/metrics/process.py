"""What a process knows of itself: processor, memory, files, pauses.

Rules of this file
- Asked, not kept up to date: `measure` reads what the system says, 0.1 ms.
- A collection of garbage is timed by Python's own hook, 1 us each; `collect_seldom` has few of them.
"""

from __future__ import annotations

import gc
import resource
import time
from typing import Any

import psutil

from actors.core.levels import LEVEL, VERSION
from actors.metrics.figure import Histogram, Told, snapshot
from actors.metrics.process_rows import PROCESS_FIGURES


class ProcessFigures:
    """This process under an actor's name. late_seconds: by how much its loop was late (`Heartbeat.late_seconds`)."""

    def __init__(self, name: str, late_seconds: Histogram | None = None) -> None:
        self._name, self._process, self._begun_s = name, psutil.Process(), 0.0
        self._held: dict[str, Any] = {
            "start_seconds": self._process.create_time(), "gc_seconds": Histogram(), "late_seconds": late_seconds,
            "max_fds": resource.getrlimit(resource.RLIMIT_NOFILE)[0], "build": {(VERSION, str(LEVEL)): 1},
        }  # fmt: skip
        gc.callbacks.append(self._collects)

    def _collects(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._begun_s = time.perf_counter()
        elif self._begun_s:
            self._held["gc_seconds"].observe(time.perf_counter() - self._begun_s)

    def measure(self) -> None:
        """Read what the system says of this process and its machine now. 0.1 ms."""
        times = self._process.cpu_times()
        self._held["cpu_seconds"] = times.user + times.system
        self._held["memory_bytes"] = self._process.memory_info().rss
        self._held["open_fds"] = self._process.num_fds()
        machine = psutil.virtual_memory()
        self._held["machine_bytes"], self._held["available_bytes"] = machine.total, machine.available

    def get(self, key: str) -> Any:
        """Return what was measured last."""
        return self._held.get(key)

    def told(self) -> Told:
        """Measure, and return it all."""
        self.measure()
        return Told("process", (self._name,), snapshot(PROCESS_FIGURES, self.get))

    def close(self) -> None:
        """Time no more collections."""
        gc.callbacks.remove(self._collects)
