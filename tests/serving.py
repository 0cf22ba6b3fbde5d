"""A whole cluster as its users start it: `run_cluster.py serve` in a folder of its own, for tests and chaos runs.

Rules of this file
- Nothing is shared with another cluster of this machine: folder, port and Ray are its own.
- Whatever happens, the process that was started here is ended here.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from bench.processes import REPOSITORY, free_port

START_TIMEOUT_S, COMMAND_TIMEOUT_S = 90, 120
END_TIMEOUT_S = 60.0  # a clean stop folds the journals into the checkpoints
PATIENT = "cluster.hang_ms=60000"  # for tests that stop processes themselves, for as long as they need
T = TypeVar("T")


def command(*args: str, repository: Path = REPOSITORY) -> list[str]:
    return [sys.executable, str(repository / "run_cluster.py"), *args]


def wait_for(look: Callable[[], T]) -> T:
    """Return what look() returns as soon as that is true."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


class ServedCluster:
    """A data folder, and the process that serves it.

    environ: what its processes are given besides our own; repository: the folder with the code that they run.
    """

    def __init__(
        self, data: Path, *sets: str, environ: Mapping[str, str] = {}, repository: Path = REPOSITORY
    ) -> None:  # fmt: skip
        self.data = data
        self.repository = repository
        self.sets = sets
        self.environ = {**os.environ, **environ}
        self.log = data.with_suffix(".log")
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        values = ("cluster.dashboard=false", "auth.mode=open", "limits.enabled=false", "server.wrk2_api=true",
                  "cluster.spares=1", *self.sets)  # fmt: skip
        sets = [arg for value in values for arg in ("--set", value)]
        args = command("serve", "--profile", "test", "--data", str(self.data), "--port", str(self.port),
                       "--shards", "2", "--no-sample", *sets, repository=self.repository)  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(args, stdout=log, stderr=log, cwd=self.repository, env=self.environ)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.2)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                return answer.status == 200 and (self.data / "cluster.json").exists()
        except OSError:
            return False

    def run(self, *args: str, statuses: Collection[int] = (0,)) -> dict:
        """Return the JSON that a command prints. statuses: with which it may end."""
        done = subprocess.run(
            command(*args, "--data", str(self.data), "--json", repository=self.repository), capture_output=True,
            timeout=COMMAND_TIMEOUT_S, cwd=self.repository, check=False,
        )  # fmt: skip
        assert done.returncode in statuses, done.stdout.decode()[-2000:] + done.stderr.decode()[-3000:]
        return json.loads(done.stdout)

    def stop(self) -> None:
        done = subprocess.run(
            command("stop", "--data", str(self.data), repository=self.repository),
            timeout=COMMAND_TIMEOUT_S,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert self.process is not None
        assert self.process.wait(30) == 0, self.log.read_text()[-3000:]

    def end(self) -> None:
        """End what still runs, cleanly if it can be."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(END_TIMEOUT_S)


@contextmanager
def served(*sets: str, environ: Mapping[str, str] = {}) -> Iterator[ServedCluster]:
    """Serve a cluster in a folder of its own while the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="rk-"))
    made = ServedCluster(folder / "data", *sets, environ=environ)
    try:
        made.start()
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)
