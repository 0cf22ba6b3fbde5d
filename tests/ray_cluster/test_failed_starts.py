"""What can't join its cluster says why, instead of being silent for ever."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.processes import free_port
from tests.serving import command

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="rk-"))
    yield folder / "data"
    shutil.rmtree(folder)


def test_a_shard_that_cannot_listen_ends_the_start_with_the_reason(data):
    in_the_way = data / "shard-00" / "lane.sock"
    (in_the_way / "not empty").mkdir(parents=True)
    done = subprocess.run(
        command("serve", "--profile", "test", "--data", str(data), "--port", str(free_port()), "--shards", "1",
                "--no-sample", "--set", "cluster.dashboard=false", "--set", "cluster.spares=1"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "shards [0] can't start" in done.stderr
    assert "lane.sock exists and is not a socket" in done.stderr
