"""Each scenario runs to its end with tiny data. Nothing is said about times, so other tests may run beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.peer_postgres import find_binaries
from bench.scenarios import SCENARIOS
from tests.components import REQUIRED, needs_program

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    needs_program("redis-server"),
]


@dataclass(frozen=True, slots=True)
class Run:
    """A scenario's process, and the folder of its results."""

    done: subprocess.CompletedProcess[str]
    folder: Path


def run_scenario(name: str, folder: Path) -> Run:
    """Run a scenario in a process of its own, as users do; --generator builtin, because wrk is not everywhere."""
    command = [sys.executable, "-m", "bench", name, "--quick", "--pairs", "1", "--generator", "builtin",
               "--json", str(folder / "result.json")]  # fmt: skip
    if name == "memory":  # one size: it needs a cluster for each
        command += ["--accounts", "1000"]
    if name == "search":
        command += ["--count", "4000"]
    if name == "search" and find_binaries() is None and not REQUIRED:
        command += ["--peers", "fts5"]  # PostgreSQL isn't on every machine
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=280, check=False)
    return Run(done, folder)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_runs_and_keeps_its_results(name: str, tmp_path: Path):
    run = run_scenario(name, tmp_path)
    done = run.done
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    result = json.loads((run.folder / "result.json").read_text())
    assert result["scenario"] == name
    assert result["run"]["commit"]
    assert {row["contestant"] for row in result["rows"]} >= {"Rookery"}
    assert all(row["value"]["median"] > 0 for row in result["rows"])
    assert f"bench {name}" in done.stdout
    drawn = {plot.name for plot in run.folder.glob("result-*")}
    assert result["plots"]
    assert drawn == {f"result-{plot['name']}.{kind}" for plot in result["plots"] for kind in ("svg", "png")}


def test_an_unknown_generator_is_refused():
    command = [sys.executable, "-m", "bench", "read", "--generator", "siege"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "siege" not in done.stdout
