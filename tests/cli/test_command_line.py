"""run_cluster.py as scripts meet it: exit status, messages, JSON. Nothing here starts Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

REPOSITORY = Path(__file__).resolve().parents[2]


def run(*args: str) -> Result:
    """Run a command in this process: a process of its own takes two seconds to import Ray."""
    from run_cluster import app

    return CliRunner().invoke(app, list(args))


def test_help_lists_the_commands_as_a_script_meets_it():
    command = [sys.executable, str(REPOSITORY / "run_cluster.py"), "--help"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=60, check=False)
    assert result.returncode == 0
    assert all(name in result.stdout for name in ("serve", "load", "status", "check", "stop", "simulate"))


@pytest.mark.parametrize("args", [["load"], ["load", "--seed", "x"], ["nonsense"], ["serve", "--shards", "0"]])
def test_wrong_usage_ends_with_status_2(args):
    assert run(*args).exit_code == 2


@pytest.mark.parametrize("command", ["status", "stop", "check", "storm"])
def test_without_a_cluster_a_command_says_so(command, data_dir):
    result = run(command, "--data", str(data_dir))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert str(data_dir) in result.stderr.replace("\n", "")


NEED_A_CLUSTER = [
    ["status"], ["stop"], ["check"], ["check", "--oracle"], ["storm"], ["roll"], ["drain", "node"],
    ["drain", "node", "--undo"], ["rebalance", "--shards", "3"], ["rebalance", "--cancel"], ["backup", "{out}/backup"],
    ["load", "--graph", "{out}/graph"], ["delete", "ada", "--yes"], ["approve"], ["approve", "ada"],
    ["reports"],
]  # fmt: skip


@pytest.mark.parametrize("where", ["missing", "missing/below", "somebodys", "somebodys/photo.jpg"])
@pytest.mark.parametrize("args", NEED_A_CLUSTER, ids=" ".join)
def test_where_there_is_no_cluster_a_command_makes_and_changes_nothing(args, where, data_dir):
    (data_dir / "graph").write_text("1 2\n", encoding="utf-8")
    (data_dir / "somebodys").mkdir(mode=0o755)
    (data_dir / "somebodys" / "photo.jpg").write_bytes(b"theirs")
    before = {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in [data_dir, *data_dir.rglob("*")]}
    result = run(*(arg.format(out=data_dir) for arg in args), "--data", str(data_dir / where))
    assert result.exit_code == 1, result.output
    assert str(data_dir / where) in result.output.replace("\n", "")
    assert before == {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in [data_dir, *data_dir.rglob("*")]}


@pytest.mark.parametrize("command", [["serve"], ["restore", "backup"]])
def test_a_file_is_no_data_folder(command, data_dir):
    (data_dir / "photo.jpg").write_bytes(b"theirs")
    result = run(*command, "--data", str(data_dir / "photo.jpg"))
    assert result.exit_code == 2
    assert "must be the path of a folder" in result.output


def test_a_bad_file_is_named_before_anything_is_loaded(tmp_path):
    graph = tmp_path / "graph.txt"
    graph.write_text("1 2\n3\n")
    result = run("load", "--graph", str(graph), "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "line 2" in result.stderr
