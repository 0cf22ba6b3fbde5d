"""The code of the commit before levels, unpacked to run, and an upgrade of it in place as an operator does it.

Rules of this file
- The old code is what the archive holds, to the byte and the second; only compiled kernels are put beside it.
- An upgrade leaves the path as it is: files are replaced, those that are gone are taken away (docs/operations.md).

Costs: unpacking 0.3 s, and 1 s to see that all kernels are compiled. They are compiled once, 17 s for all, and kept for
the next time. (Without the optimiser it was 13 s; but of that Numba kept only a part, so that each process that ran the
old code compiled for 8 s.) After an upgrade those of this tree are taken.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from bench.processes import REPOSITORY

ARCHIVE = Path(__file__).parent / "data" / "tree_before_levels.tar.xz"
COMPILED = REPOSITORY / ".pytest_cache" / "compiled_before_levels"
PACKAGES = ("actors", "api", "cluster", "commands", "configs", "persistence")
FILES = ("run_cluster.py", "pyproject.toml", "constraints.txt")
COMPILE_S = 120  # on a busy machine


def unpack_old_tree(folder: Path) -> Path:
    """Put the old tree into a folder, ready to run; returns the folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    kernels = folder / "actors" / "core" / "__pycache__"
    kernels.mkdir(exist_ok=True)
    COMPILED.mkdir(parents=True, exist_ok=True)
    with (COMPILED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker of the tests may be at it: then its kernels are found here
        _copy_compiled(COMPILED, kernels)
        compile_all = [sys.executable, "-c", "from actors.core import warm; warm.main()"]
        subprocess.run(compile_all, cwd=folder, check=True, timeout=COMPILE_S)
        _copy_compiled(kernels, COMPILED)
    return folder


def upgrade_in_place(folder: Path) -> None:
    """Replace the code in a folder by this tree's, as `git pull` does: other files are written anew, none is left."""
    for package in PACKAGES:
        old, new = folder / package, REPOSITORY / package
        ours = {path.relative_to(new) for path in _files(new)}
        for path in _files(old):
            if path.relative_to(old) not in ours:
                path.unlink()
        for relative in ours:
            _replace(old / relative, new / relative)
    for name in FILES:
        _replace(folder / name, REPOSITORY / name)
    _borrow_compiled(folder)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def _replace(old: Path, new: Path) -> None:
    if not old.exists() or old.read_bytes() != new.read_bytes():
        old.parent.mkdir(parents=True, exist_ok=True)
        fresh = old.with_name(old.name + ".new")
        shutil.copyfile(new, fresh)
        fresh.replace(old)


def _borrow_compiled(folder: Path) -> None:
    """Let Numba find what it has compiled here of files that are the same: it compares size and time of a source."""
    for kernels in {path.parent for path in (REPOSITORY / "actors").rglob("*.nbi")}:
        theirs = folder / kernels.relative_to(REPOSITORY)
        for stem in {path.name.partition(".")[0] for path in kernels.glob("*.nbi")}:
            ours, source = kernels.parent / f"{stem}.py", theirs.parent / f"{stem}.py"
            if ours.exists() and source.exists() and ours.read_bytes() == source.read_bytes():
                os.utime(source, ns=(ours.stat().st_atime_ns, ours.stat().st_mtime_ns))
                theirs.mkdir(exist_ok=True)
                _copy_compiled(kernels, theirs, stem)


def _copy_compiled(source: Path, target: Path, stem: str = "*") -> None:
    """Copy what Numba has compiled, of one file or of all."""
    for path in source.glob(f"{stem}.*.nb[ic]"):
        shutil.copy2(path, target / path.name)
