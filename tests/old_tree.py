"""The code of the commit before levels, unpacked to run, and an upgrade of it in place as an operator does it.

Rules of this file
- The old code is what the archive holds, to the byte: only times of files are set, and compiled kernels put beside.
- An upgrade leaves the path as it is: files are replaced, those that are gone are taken away (docs/operations.md).

Costs: unpacking 0.3 s. Compiled kernels of this tree are used where a source file is the same; else Numba compiles
anew, 10 s of a core in all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from bench.processes import REPOSITORY

ARCHIVE = Path(__file__).parent / "data" / "tree_before_levels.tar.xz"
PACKAGES = ("actors", "api", "cluster", "commands", "configs", "persistence")
FILES = ("run_cluster.py", "pyproject.toml", "constraints.txt")


def unpack_old_tree(folder: Path) -> Path:
    """Put the old tree into a folder, ready to run; returns the folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    _borrow_compiled_kernels(folder)
    return folder


def upgrade_in_place(folder: Path) -> None:
    """Replace the code in a folder by this tree's, as `git pull` does: other files are written anew, none is left."""
    for package in PACKAGES:
        old, new = folder / package, REPOSITORY / package
        ours = {path.relative_to(new) for path in new.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        for path in [path for path in old.rglob("*") if path.is_file() and "__pycache__" not in path.parts]:
            if path.relative_to(old) not in ours:
                path.unlink()
        for relative in ours:
            _replace(old / relative, new / relative)
    for name in FILES:
        _replace(folder / name, REPOSITORY / name)
    _borrow_compiled_kernels(folder)


def _replace(old: Path, new: Path) -> None:
    if not old.exists() or old.read_bytes() != new.read_bytes():
        old.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(new, old.with_name(old.name + ".new"))
        old.with_name(old.name + ".new").replace(old)


def _borrow_compiled_kernels(folder: Path) -> None:
    """Let Numba find what it has compiled of files that are the same here: it compares size and time of a source."""
    for ours in (REPOSITORY / "actors").rglob("*.nbi"):
        source = ours.parent.parent / f"{ours.name.split('.')[0]}.py"
        there = folder / source.relative_to(REPOSITORY)
        if there.exists() and there.read_bytes() == source.read_bytes():
            os.utime(there, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
            there.parent.joinpath("__pycache__").mkdir(exist_ok=True)
            for compiled in ours.parent.glob(f"{source.stem}.*.nb[ic]"):
                shutil.copy2(compiled, there.parent / "__pycache__" / compiled.name)
    warm = [sys.executable, "-c", "from actors.core import warm; warm.main()"]
    subprocess.run(warm, cwd=folder, check=True, timeout=120)
