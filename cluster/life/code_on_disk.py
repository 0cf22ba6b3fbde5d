"""Is the code that a process has loaded still the code on disk? A spare that waited through an upgrade has the old one.

    upgrade: files change          the spare, loaded before         Ray starts an actor in it
                                   it ends: require_current()  ---> Ray takes another process, at last a new one

Rules of this file
- Asked once, when a process becomes an actor; an actor that runs keeps what it has.
- Files are compared by path, size and time of change: an upgrade that leaves all three as they were goes unnoticed.

Costs: 2 ms for some 120 files.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

logger = logging.getLogger("rookery.code")

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("actors", "api", "cluster", "commands", "configs", "persistence")


def fingerprint(root: Path, packages: Iterable[str] = PACKAGES) -> int:
    """Return a number that changes whenever a Python file of these packages does."""
    found = []
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            try:
                status = path.stat()
            except FileNotFoundError:  # it has just been removed: a change like any other
                continue
            found.append(f"{path}:{status.st_size}:{status.st_mtime_ns}")
    return crc32("\n".join(found).encode())


@functools.cache
def loaded() -> int:
    """Return the fingerprint of what this process has loaded: called first, before the rest is."""
    return fingerprint(REPOSITORY)


loaded()


def require_current() -> None:
    """End this process if other code is on disk by now than it has loaded; Ray starts the actor in another one."""
    if fingerprint(REPOSITORY) != loaded():
        logger.warning("the code on disk is newer than this process; it ends, and the actor starts in another")
        os._exit(0)
