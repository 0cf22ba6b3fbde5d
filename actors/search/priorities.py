"""Priorities of an engine's threads: home reads first, then searches, then what gets the index and the lists ready.

Rules of this file
- Niceness counts from that of the shard, with which a process begins that imports this.
- Linux has it by thread, and whoever isn't root can only add to it. A thread hands its own on to those that it begins,
  as the indexing thread does to tantivy's. Elsewhere a whole process has one.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

NICE_ENGINE, NICE_BEHIND, NICE_MAX = 10, 15, 19
_SHARD = os.getpriority(os.PRIO_PROCESS, 0)
_TASKS = Path("/proc/self/task")


def step_back(behind: frozenset[str]) -> None:
    """Put all threads of this process behind those that answer home reads; further behind those whose names are given,
    and all that aren't Python's."""
    if not _TASKS.is_dir():
        set_back(0, NICE_ENGINE)
        return
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    for task in _TASKS.iterdir():
        name = names.get(int(task.name))
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            set_back(int(task.name), NICE_BEHIND if name is None or name in behind else NICE_ENGINE)


def set_back(thread_id: int, nice: int) -> None:
    """Give a thread (0: this one) so much more niceness than the shard has, unless it has more."""
    wanted = min(_SHARD + nice, NICE_MAX)
    if os.getpriority(os.PRIO_PROCESS, thread_id) < wanted:
        os.setpriority(os.PRIO_PROCESS, thread_id, wanted)
