"""Files that only their owner can read: what a cluster keeps has password hashes, tokens and direct tweets in it.

Rules of this file
- Processes that write data have the umask 077 (run_cluster.py, cluster/life/liveness.py): what they make, by whichever
  library, is for their user alone.
- A folder that is open to others is closed when it is opened, and `check` tells of one that is open: nobody but its
  owner can reach what is below, or hold a lock there.
- What belongs to somebody else isn't ours to close (a volume of a container may be its group's): that is said, not
  refused.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
FOLDER_MODE: Final = 0o700


def make_private(folder: Path) -> str:
    """Make a folder that only its owner can enter, or take away what others may do in it.

    Returns what keeps it open in one sentence, "" if nothing does. Cost: two system calls.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    found = folder.stat()
    if not found.st_mode & OTHERS:
        return ""
    try:
        folder.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    except PermissionError:
        mode, owner = stat.S_IMODE(found.st_mode), found.st_uid
        return f"{folder} is open to other users (mode {mode:o}) and can't be closed: it belongs to user {owner}"
    return ""


def open_folders(folder: Path) -> Iterator[str]:
    """Yield a sentence for a folder that other users may enter, and for each folder below it that they then reach."""
    for path in (folder, *sorted(child for child in folder.iterdir() if child.is_dir() and not child.is_symlink())):
        mode = path.stat().st_mode
        if mode & OTHERS:
            yield f"{path} is open to other users of this machine (mode {stat.S_IMODE(mode):o}): chmod go= {path}"
        elif path == folder:
            return
