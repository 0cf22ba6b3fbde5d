"""How an actor takes part in being watched: its heartbeat, its watchdog, and its end with Ray's.

Rules of this file
- Called first in an actor's constructor, so that a constructor that is stopped is noticed, too; `beat` once the loop is
  free.
- What the operating system can't do (no `/proc`, no parent-death signal) is left out, not imitated.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import ray

from cluster.life.heartbeat import Heartbeat, end_with_parent, folder_of, take, tell_where_on_signal
from cluster.life.watchdog import Watchdog

UMASK = 0o077  # journals hold password hashes; a Ray that was joined may have started us with another
HANG_S_DEFAULT = 3.5  # of actors that were made by an older version, which knew no such setting


def machine_folder(namespace: str) -> Path:
    """Return where the heartbeats of this cluster's processes on this machine lie. Call within Ray."""
    node = ray._private.worker.global_worker.node
    world = ""
    if sys.platform == "linux":  # containers may share memory and not process ids
        world = f"-{os.stat('/proc/self/ns/pid').st_ino}"
    return folder_of(f"{node.session_name}-{namespace}{world}", Path(node.get_session_dir_path()))


def take_part(name: str, namespace: str, hang_s: float = HANG_S_DEFAULT) -> Heartbeat:
    """Give this process a heartbeat under an actor's name, and a watchdog over the others; returns the heartbeat.

    hang_s: silence after which a process is ended, 0: nobody is. It beats from `Heartbeat.start` on.
    """
    end_with_parent()
    os.umask(UMASK)
    heartbeat = Heartbeat(machine_folder(namespace), name)
    take(heartbeat)
    tell_where_on_signal()
    if hang_s:
        Watchdog(heartbeat.folder, hang_s).start()
    return heartbeat
