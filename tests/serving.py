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
import threading
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from bench.processes import REPOSITORY, free_port
from tests.console import Console, ConsoleError

START_TIMEOUT_S, COMMAND_TIMEOUT_S = 180, 210  # deadlines, on a machine that does something else
END_TIMEOUT_S = 120.0  # a clean stop folds the journals into the checkpoints
PATIENT = "cluster.hang_ms=60000"  # for tests that stop processes themselves, for as long as they need
# For tests of which no request may be refused while a leader is elected, however busy the machine is.
LONG_DEADLINE = "server.deadline_ms=20000"
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

    environ: what its processes are given besides our own; repository: the folder with the code that they run;
    has_console: whether commands go to one process that has joined (tests/console.py) while the cluster serves and no
    other command is under way, not to a new one each; own_group: whether the process that serves is the first of a
    group, as process managers start things.
    """

    def __init__(
        self, data: Path, *sets: str, environ: Mapping[str, str] = {}, repository: Path = REPOSITORY,
        has_console: bool = False, own_group: bool = False,
    ) -> None:  # fmt: skip
        self.data = data
        self.repository = repository
        self.sets = sets
        self.environ = {**os.environ, **environ}
        self.log = data.with_suffix(".log")
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.has_console = has_console
        self.own_group = own_group
        self._console: tuple[subprocess.Popen[bytes], Console] | None = None  # and the process whose cluster it joined
        self._console_is_free = threading.Lock()

    def start(self) -> None:
        self.close_console()
        values = ("cluster.dashboard=false", "auth.mode=open", "limits.enabled=false", "server.wrk2_api=true",
                  *self.sets)  # fmt: skip
        sets = [arg for value in values for arg in ("--set", value)]
        args = command("serve", "--profile", "test", "--data", str(self.data), "--port", str(self.port),
                       "--shards", "2", "--no-sample", *sets, repository=self.repository)  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                args, stdout=log, stderr=log, cwd=self.repository, env=self.environ, start_new_session=self.own_group
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.2)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10) as answer:
                return answer.status == 200 and (self.data / "cluster.json").exists()
        except OSError:
            return False

    def run(self, *args: str, statuses: Collection[int] = (0,)) -> dict:
        """Return the JSON that a command prints. statuses: with which it may end."""
        status, out, err = self.tell(*args)
        assert status in statuses, out[-2000:] + err[-3000:]
        return json.loads(out)

    def status(self) -> dict:
        """Return what `status` prints, once there is a router to ask: one that was ended restarts within seconds."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while (done := self.tell("status"))[0]:
            assert time.monotonic() < deadline, done
            time.sleep(0.2)
        return json.loads(done[1])

    def tell(self, *args: str) -> tuple[int, str, str]:
        """Return status, stdout and stderr of a command, whatever comes of it."""
        given = [*args, "--data", str(self.data), "--json"]
        if self.has_console and self._serves() and self._console_is_free.acquire(blocking=False):
            try:
                return self._open_console().run(given, COMMAND_TIMEOUT_S)
            except ConsoleError:
                self.close_console()  # the next command opens another
                raise
            finally:
                self._console_is_free.release()
        done = subprocess.run(
            command(*given, repository=self.repository), capture_output=True, timeout=COMMAND_TIMEOUT_S,
            cwd=self.repository, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def _serves(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _open_console(self) -> Console:
        """Return the console of the cluster that is served now: each start is another Ray, with a token of its own."""
        assert self.process is not None
        if self._console is None or self._console[0] is not self.process:
            self.close_console()
            self._console = self.process, Console(self.data.with_suffix(".console"))
        return self._console[1]

    def close_console(self) -> None:
        """End the console, if there is one; the next command opens another."""
        if self._console is not None:
            self._console[1].close()
            self._console = None

    def stop(self) -> None:
        """Stop it as a process manager does; it must end with status 0."""
        assert self.process is not None
        self.end()
        assert self.process.returncode == 0, self.log.read_text()[-3000:]

    def stop_by_command(self) -> None:
        """Stop it by a command, another process, which returns once it has stopped."""
        self.close_console()
        done = subprocess.run(
            command("stop", "--data", str(self.data), repository=self.repository),
            timeout=COMMAND_TIMEOUT_S,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert self.process is not None
        assert self.process.wait(END_TIMEOUT_S) == 0, self.log.read_text()[-3000:]

    def end(self) -> None:
        """End what still runs, cleanly if it can be."""
        self.close_console()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(END_TIMEOUT_S)


@contextmanager
def served(*sets: str, environ: Mapping[str, str] = {}, own_group: bool = False) -> Iterator[ServedCluster]:
    """Serve a cluster in a folder of its own while the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="rk-"))
    made = ServedCluster(folder / "data", *sets, environ=environ, has_console=True, own_group=own_group)
    try:
        made.start()
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)
