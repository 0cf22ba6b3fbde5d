"""run_cluster.py as scripts meet it: exit status, messages, JSON. Nothing here starts Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "run_cluster.py"), *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=60, check=False)


def test_help_lists_the_commands_and_imports_no_ray():
    result = run("--help")
    assert result.returncode == 0
    assert all(name in result.stdout for name in ("serve", "load", "status", "check", "stop", "simulate"))


@pytest.mark.parametrize("args", [["load"], ["load", "--seed", "x"], ["nonsense"], ["serve", "--shards", "0"]])
def test_wrong_usage_ends_with_status_2(args):
    assert run(*args).returncode == 2


@pytest.mark.parametrize("command", ["status", "stop", "check", "storm"])
def test_without_a_cluster_a_command_says_so(command, data_dir):
    result = run(command, "--data", str(data_dir))
    assert result.returncode == 1
    assert result.stdout == ""
    assert str(data_dir) in result.stderr


def test_a_bad_file_is_named_before_anything_is_loaded(tmp_path):
    graph = tmp_path / "graph.txt"
    graph.write_text("1 2\n3\n")
    result = run("load", "--graph", str(graph), "--url", "http://127.0.0.1:9")
    assert result.returncode == 1
    assert "line 2" in result.stderr
