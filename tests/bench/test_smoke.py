"""Each scenario runs to its end with tiny data. Nothing is said about times.

So two run at once: most of a quick run is the start of a cluster, whose processes wait for each other.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.scenarios import SCENARIOS

REPOSITORY = Path(__file__).resolve().parents[2]
SCENARIOS_AT_ONCE = 2

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="the peer needs redis-server"),
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
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=280, check=False)
    return Run(done, folder)


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Run]]]:
    """Start the scenarios that this session asks for, in the order of their tests."""
    function = request.node.obj.test_a_scenario_runs_and_keeps_its_results
    names = [item.callspec.params["name"] for item in request.session.items if getattr(item, "obj", None) is function]
    with ThreadPoolExecutor(SCENARIOS_AT_ONCE) as pool:
        yield {name: pool.submit(run_scenario, name, tmp_path_factory.mktemp(name)) for name in names}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_runs_and_keeps_its_results(name: str, runs: dict[str, Future[Run]]):
    run = runs[name].result()
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
