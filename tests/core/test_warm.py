"""After `python -m actors.core.kernels` nothing is left to compile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
COMPILED = "from actors.core import warm; warm.main(); print(sorted(n for n, c in warm.compiled().items() if not c))"


def test_the_warm_up_drives_every_kernel():
    result = subprocess.run([sys.executable, "-c", COMPILED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cluster_compiles_nothing_after_the_warm_up(tmp_path):
    environ = dict(os.environ, NUMBA_CACHE_DIR=str(tmp_path), ROOKERY_SIM_SEEDS="3")
    commands = (["-m", "actors.core.kernels"], ["-m", "pytest", "-q", "tests/sim", "-p", "no:cacheprovider"])
    files = []
    for command in commands:
        result = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        files.append(sorted(path.name for path in tmp_path.rglob("*.nbc")))
    assert files[0]
    assert files[0] == files[1]
