"""Ways to stop `serve`, at any moment of its life: each ends within ten seconds with nothing left behind.

`make test` takes a few of them (tests/ray_cluster/test_stopping.py), `make stops` all, or those named by ARGS.

Rules of this file
- Every process that is started here carries a mark in its environment, by which what is left behind is found.
- What is started here is a group of its own, as process managers start things.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.processes import REPOSITORY, free_port
from tests.serving import START_TIMEOUT_S, ServedCluster, command

WITHIN_S = 10.0
KILLED_WITHIN_S = 5.0  # until what a killed `serve` has started is gone as well
LOADING_BYTES = 100_000  # in the journals, of some millions: by then `load` is under way
FIRST_ACCOUNT, ACCOUNTS = 100_000, 20_000  # of what is loaded: others on a cluster have lower ids
LEFT_S = 60.0  # that what is left behind is waited for before it is called that
LOOK_S = 0.2  # between looks, which cost some ms of the processor: there are hundreds of processes
MARK = "ROOKERY_STOPPING_TEST"


@dataclass(frozen=True)
class Way:
    """A way to stop.

    to: serve, make or group; at: seconds after the start, or "importing", "recovering", "loading" or "serving".
    """

    signal: signal.Signals
    to: str
    at: float | str = "serving"
    times: int = 1

    def __str__(self) -> str:
        return f"{self.signal.name}-{self.to}-{self.at}-{self.times}"


@dataclass(frozen=True)
class Ending:
    """What came of it. status: of `serve`, or of make."""

    status: int
    seconds: float
    left_s: float  # until all that it had started was gone
    left: list[str]  # what never went


ALL = [
    *(Way(number, to, at) for number in (signal.SIGTERM, signal.SIGINT) for to in ("serve", "make", "group")
      for at in ("serving", "loading", "recovering")),
    *(Way(number, "group", at) for number in (signal.SIGTERM, signal.SIGINT)
      for at in ("importing", 0.5, 1.0, 2.0, 3.0, 4.0, 6.0)),
    *(Way(number, to, at, 2) for number in (signal.SIGTERM, signal.SIGINT) for to in ("serve", "group")
      for at in (2.5, "serving")),
    Way(signal.SIGHUP, "serve"),
    *(Way(signal.SIGKILL, to) for to in ("serve", "group", "make")),
]  # fmt: skip


class Stopping:
    """A data folder, whose cluster is started and stopped again and again, also one that somebody else has started."""

    def __init__(self, folder: Path, *sets: str) -> None:
        self.data, self.log, self.sets = folder / "data", folder / "log", sets
        self._mark, self._port = "", 0

    def run(self, way: Way) -> Ending:
        """Start, stop, and look at what is left."""
        self._mark, self._port = uuid.uuid4().hex, free_port()
        values = ("cluster.dashboard=false", "cluster.spares=1", "search.enabled=true", *self.sets)
        args = command("serve", "--profile", "test", "--data", str(self.data), "--port", str(self._port), "--shards",
                       "2", "--no-sample", *(arg for value in values for arg in ("--set", value)))  # fmt: skip
        if way.to == "make":
            makefile = self.data.parent / "Makefile"
            makefile.write_text(f"run:\n\t@{' '.join(args)}\n")
            args = ["make", "-f", str(makefile), "run"]
        (self.data / "cluster.json").unlink(missing_ok=True)
        environ = {**os.environ, MARK: self._mark}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                args, stdout=log, stderr=log, cwd=REPOSITORY, start_new_session=True, env=environ,
                preexec_fn=listen_to_the_terminal,
            )  # fmt: skip
        return self._stop(process, way)

    def stop_served(self, cluster: ServedCluster, way: Way) -> Ending:
        """Stop a cluster that others have used, and look at what is left; it was started in a group of its own."""
        assert cluster.process is not None
        assert os.getpgid(cluster.process.pid) == cluster.process.pid, "the signal would go to the tests, too"
        cluster.close_console()
        self._mark, self._port = cluster.environ[MARK], cluster.port
        return self._stop(cluster.process, way)

    def _stop(self, process: subprocess.Popen[bytes], way: Way) -> Ending:
        loading = self._reach(way.at, process)
        begin = time.monotonic()
        for _ in range(way.times):
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if way.to == "group" else os.kill)(process.pid, way.signal)
            time.sleep(0.1)
        status = process.wait(LEFT_S)
        seconds = time.monotonic() - begin
        if way.to == "make" and way.signal == signal.SIGKILL:  # nobody has told `serve`
            for left in self._left():
                if any("run_cluster.py" in part for part in left.cmdline()):
                    left.terminate()
        left = self._wait_for_nobody() + self._session_left(way)
        ending = Ending(status, seconds, time.monotonic() - begin, left)
        if loading is not None:
            loading.kill()
            loading.wait()
        return ending

    def _reach(self, at: float | str, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes] | None:
        """Return once the moment has come; what loads, if it is that moment."""
        if isinstance(at, float):
            time.sleep(at)
            return None
        if at == "importing":  # Python has started, and ours is the handler; a signal before would be nobody's
            self._wait(lambda: catches(process.pid, signal.SIGTERM), process)
            return None
        if at == "recovering":  # the shards' processes are there, and don't serve yet
            self._wait(lambda: has_a_shard(process.pid), process)
            return None
        self._wait(lambda: self._serves(self._port), process)
        if at != "loading":
            return None
        graph = self.data.parent / "graph.txt"
        edges = ((u, (u * 7 + k) % ACCOUNTS + 1) for u in range(1, ACCOUNTS + 1) for k in range(10))
        graph.write_text("".join(f"{FIRST_ACCOUNT + u} {FIRST_ACCOUNT + v}\n" for u, v in edges))
        args = command("load", "--graph", str(graph), "--data", str(self.data))
        before = self._journal_bytes()
        loading = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY)
        self._wait(lambda: self._journal_bytes() > before + LOADING_BYTES, process)
        assert loading.poll() is None, "it has loaded everything already: give it more"
        return loading

    def _journal_bytes(self) -> int:
        """Return how much the shards' journals hold; a segment that is folded meanwhile counts no more."""
        found = 0
        for path in self.data.glob("shard-*/journal/*.seg"):
            with contextlib.suppress(FileNotFoundError):
                found += path.stat().st_size
        return found

    def _wait(self, look: object, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not look():  # type: ignore[operator]
            assert process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(LOOK_S)

    def _serves(self, port: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
                return answer.status == 200 and (self.data / "cluster.json").exists()
        except OSError:
            return False

    def _left(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def _wait_for_nobody(self) -> list[str]:
        deadline = time.monotonic() + LEFT_S
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        names = []
        for process in left:
            with contextlib.suppress(psutil.Error):
                names.append(" ".join(process.cmdline())[:120])
                process.kill()
        return names

    def _session_left(self, way: Way) -> list[str]:
        """Return Ray's folder, if a clean stop has left it."""
        note = self.data / "ray.folder"
        return [note.read_text()] if note.exists() and way.signal != signal.SIGKILL and way.at == "serving" else []

    def check(self) -> int:
        """Return how many problems the folder has."""
        done = subprocess.run(command("check", "--data", str(self.data), "--json"), capture_output=True, check=False)
        return int(json.loads(done.stdout)["problem_count"])


def has_a_shard(pid: int) -> bool:
    """Whether a shard's process descends from one."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it has gone since it was found
                if "ShardActor" in " ".join(process.cmdline()):
                    return True
    return False


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def listen_to_the_terminal() -> None:
    """Undo what a shell does to what it runs in the background, this test perhaps: SIGINT is ignored by all of it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def status_due(way: Way) -> int | None:
    """Return the exit status that a way is to give; None: make's own affair."""
    if way.to == "make":
        return None
    return -signal.SIGKILL if way.signal == signal.SIGKILL else 0


def main() -> None:
    """Try all ways, or those whose names contain an argument."""
    folder = Path(tempfile.mkdtemp(prefix="rk-"))
    failed = 0
    try:
        stopping = Stopping(folder)
        for way in ALL:
            if len(sys.argv) > 1 and not any(part in str(way) for part in sys.argv[1:]):
                continue
            ending = stopping.run(way)
            problems = stopping.check() if (stopping.data / "router.msgpack").exists() else 0
            good = status_due(way) in (None, ending.status) and ending.seconds <= WITHIN_S and not ending.left
            good = good and ending.left_s <= WITHIN_S + KILLED_WITHIN_S and not problems
            failed += not good
            print(f"{'ok  ' if good else 'FAIL'} {way}: {ending}, {problems} problems", flush=True)
    finally:
        shutil.rmtree(folder)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
