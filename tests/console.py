"""`run_cluster.py` for a test that gives one cluster many commands: a process that has joined once, and goes on.

A command in a process of its own takes 2.5 to 3.5 s of the processor for imports and for joining Ray, and 1 s of the
cluster's; the command itself takes 0.1 s of them. Here the same Typer app gets the same arguments, one command after
the other, as `cluster.client.connect.connect` does nothing where a cluster has been joined already.

Rules of this file
- A console belongs to one `serve`: it reads the token of that Ray at its first command, and is no use for another one.
- A question is a line of JSON on stdin, the arguments; an answer one on stdout, [status, stdout, stderr]. Whatever else
  is printed goes to stderr.

What it doesn't do: two commands at once; commands of a cluster that is stopped, or whose Ray nodes are killed.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import traceback
from pathlib import Path

from bench.processes import REPOSITORY

CLOSE_TIMEOUT_S = 10.0


class ConsoleError(Exception):
    """The console has ended, or was ended because it gave no answer."""


class Console:
    """A process that takes commands. log: file for what Ray prints."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.console"], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=errors,
            )  # fmt: skip

    def run(self, args: list[str], timeout_s: float) -> tuple[int, str, str]:
        """Return status, stdout and stderr of a command. Raises ConsoleError; then the console is of no more use."""
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answered is not None
        try:
            asked.write(json.dumps(args).encode() + b"\n")
            asked.flush()
        except BrokenPipeError:
            raise self._error(args, "has ended") from None
        if not select.select([answered], [], [], timeout_s)[0]:
            self._process.kill()
            raise self._error(args, f"gave no answer within {timeout_s:.0f} s")
        line = answered.readline()
        if not line:
            raise self._error(args, "has ended")
        status, out, err = json.loads(line)
        return status, out, err

    def _error(self, args: list[str], what: str) -> ConsoleError:
        return ConsoleError(f"{args}: the console {what}: {self._log.read_text(errors='replace')[-2000:]}")

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(CLOSE_TIMEOUT_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):  # it has ended; it waits for a Ray that has gone
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Answer until stdin ends."""
    from typer.testing import CliRunner

    from run_cluster import app

    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    os.umask(0o077)  # as run_cluster.py does
    runner = CliRunner()
    for line in sys.stdin.buffer:
        done = runner.invoke(app, json.loads(line))
        failure = done.exception if not isinstance(done.exception, SystemExit) else None
        told = done.stderr + ("".join(traceback.format_exception(failure)) if failure else "")
        answers.write(json.dumps([done.exit_code, done.stdout, told]).encode() + b"\n")


if __name__ == "__main__":
    main()
