"""Scenarios run to their end with tiny data. Nothing is said about times, so other tests may run beside them.

`make test` takes a few that together start a cluster, load it, read and write over HTTP and over lanes, run peers, and
leave results, tables and plots; `make smoke` takes all of them, three clusters and four times as long.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.peer_postgres import find_binaries
from bench.processes import REPOSITORY, python_module
from bench.scenarios import SCENARIOS
from tests.bench.sharing import FAILURE, ORDER, RESULT
from tests.components import REQUIRED, needs_program

ALONE = "kernel"  # needs no cluster; it is run by the command line, as users do
# What `make test` runs, all on one cluster: peers on Redis, loading, bare kernels, both generators of load, an attack,
# and clients that listen.
# `overload` isn't among them, as ray_cluster/test_overload.py offers a cluster too much by the same means; what asks
# SQLite and PostgreSQL for `search` is tested in test_search_bench.py.
FEW = ("read", "write", "strangers", "load", "fanout")
HERE = ORDER if os.environ.get("ROOKERY_SMOKE") == "all" else FEW
TIMEOUT_S = 600

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(TIMEOUT_S + 60), needs_program("redis-server")]


@dataclass(frozen=True, slots=True)
class Run:
    """A process that has run scenarios, and the folder of one's results."""

    done: subprocess.CompletedProcess[str]
    folder: Path

    def said(self) -> str:
        """What there is to read when something is wrong."""
        failure = self.folder / FAILURE
        return self.done.stdout[-3000:] + self.done.stderr[-6000:] + (failure.read_text() if failure.exists() else "")


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def require_results(name: str, run: Run) -> None:
    """Results, table and plots of a scenario are there and say something."""
    assert run.done.returncode == 0, run.said()
    assert (run.folder / RESULT).exists(), run.said()
    result = json.loads((run.folder / RESULT).read_text())
    assert result["scenario"] == name
    assert result["run"]["commit"]
    assert {row["contestant"] for row in result["rows"]} >= {"Rookery"}
    assert all(row["value"]["median"] > 0 for row in result["rows"])
    assert f"bench {name}" in run.done.stdout
    drawn = {plot.name for plot in run.folder.glob("result-*")}
    assert result["plots"]
    assert drawn == {f"result-{plot['name']}.{kind}" for plot in result["plots"] for kind in ("svg", "png")}


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[subprocess.CompletedProcess[str], Path]]:
    """Run scenarios that can share a cluster; --generator builtin, because wrk is not everywhere."""
    folder = Path(tempfile.mkdtemp(prefix="rkb-"))
    command = python_module("tests.bench.sharing", folder, *HERE)
    if find_binaries() is None and not REQUIRED:
        command += ["--peers", "fts5"]  # PostgreSQL isn't on every machine
    yield run(command), folder
    shutil.rmtree(folder)


@pytest.mark.xdist_group("scenarios")
@pytest.mark.parametrize("name", HERE)
def test_a_scenario_runs_and_keeps_its_results(name: str, shared: tuple[subprocess.CompletedProcess[str], Path]):
    done, folder = shared
    require_results(name, Run(done, folder / name))


def test_the_command_line_runs_a_scenario(tmp_path: Path):
    command = python_module("bench", ALONE, "--quick", "--pairs", 1, "--generator", "builtin", "--json",
                            tmp_path / RESULT)  # fmt: skip
    require_results(ALONE, Run(run(command), tmp_path))


def test_every_scenario_is_run_by_one_target_or_the_other():
    assert set(FEW) < set(ORDER)
    assert {*ORDER, ALONE} == set(SCENARIOS)


def test_an_unknown_generator_is_refused():
    command = [sys.executable, "-m", "bench", "read", "--generator", "siege"]
    done = run(command)
    assert done.returncode == 2
    assert "siege" not in done.stdout
