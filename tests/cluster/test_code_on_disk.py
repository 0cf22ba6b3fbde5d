"""A process knows whether other code is on disk than it has loaded, and then becomes no actor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.life import code_on_disk
from cluster.life.code_on_disk import fingerprint

SCRIPT = """
from pathlib import Path
from cluster.life.code_on_disk import require_current
require_current()
print("current", flush=True)
Path("cluster/life/code_on_disk.py").write_text("# another version")
require_current()
print("still here", flush=True)
"""


@pytest.fixture
def code(tmp_path) -> Path:
    """A package of one file."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("a = 1\n")
    return tmp_path


def test_a_change_an_addition_and_a_removal_are_noticed_and_nothing_else_is(code):
    module = code / "package" / "module.py"
    seen = [fingerprint(code, ["package"])]
    (code / "package" / "notes.txt").write_text("no code")
    assert fingerprint(code, ["package"]) == seen[0]
    module.write_text("a = 22\n")
    seen.append(fingerprint(code, ["package"]))
    os.utime(module, ns=(1, 1))
    seen.append(fingerprint(code, ["package"]))
    (code / "package" / "more.py").touch()
    seen.append(fingerprint(code, ["package"]))
    module.unlink()
    seen.append(fingerprint(code, ["package"]))
    assert len(set(seen)) == len(seen)


def test_a_process_with_old_code_ends_before_it_becomes_an_actor(tmp_path):
    (tmp_path / "cluster" / "life").mkdir(parents=True)
    (tmp_path / "cluster" / "__init__.py").touch()
    (tmp_path / "cluster" / "life" / "__init__.py").touch()
    shutil.copy(code_on_disk.__file__, tmp_path / "cluster" / "life")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "current\n"
    assert "newer than this process" in done.stderr
