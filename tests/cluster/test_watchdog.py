"""Processes that hang in every way they can, and those that are only busy: who is ended, and who isn't."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from bench.processes import REPOSITORY
from cluster.life.heartbeat import (
    BEAT_S,
    Heartbeat,
    Slot,
    all_hangs,
    folder_of,
    hangs_of,
    note_hang,
    read_slots,
    remove_stale,
)
from cluster.life.watchdog import LOOK_S, MISSED_S, Watchdog

HANG_S = 2.0
BUSY_S = 2 * HANG_S + 1.0  # that those who are busy are watched

# A process with a heartbeat on its loop; it does `then` on that loop a moment after it has begun to beat.
PROGRAM = """
import asyncio, re, sys, threading, time
from pathlib import Path
from cluster.life.heartbeat import Heartbeat, busy, end_with_parent, take, tell_where_on_signal

def turns():          # a loop that always has something to do
    time.sleep(0.004)  # which holds the loop as work would, and leaves the processor to others
    asyncio.get_running_loop().call_soon(turns)

def said():           # one long turn, as announced
    with busy("seal", 60):
        spin(6)

def said_too_little():
    with busy("seal", 1):
        spin(60)

def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

def spin_in_c():      # holds the interpreter's lock, too
    re.match(r"(?:a|aa)+!", "a" * 90)

def blocked():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

async def main():
    end_with_parent()
    tell_where_on_signal()
    heartbeat = Heartbeat(Path(sys.argv[1]), sys.argv[2])
    take(heartbeat)
    heartbeat.start()
    print("beats", flush=True)
    asyncio.get_running_loop().call_later(0.1, eval(sys.argv[3]))
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of("of-a-test", tmp_path) if not Path("/dev/shm").is_dir() else tmp_path


@contextmanager
def running(folder: Path, then: str, name: str = "rookery:shard-00:replica-0") -> Iterator[subprocess.Popen[bytes]]:
    """Run the program; `then` is what it does on its loop."""
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    args = [sys.executable, "-c", PROGRAM, str(folder), name, then]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"beats\n"
        try:
            yield process
        finally:
            process.kill()


def watch_until(folder: Path, over: Callable[[], bool], seconds: float) -> float:
    """Look as the thread does until something is over; returns how long that took."""
    watchdog, begin = Watchdog(folder, HANG_S), time.monotonic()
    while not over() and time.monotonic() - begin < seconds:
        watchdog.look(time.monotonic())
        time.sleep(LOOK_S)
    return time.monotonic() - begin


HANGING = {
    "lambda: spin(60)": "spinning",
    "spin_in_c": "spinning",
    "lambda: time.sleep(60)": "blocked",
    "blocked": "blocked",
    "said_too_little": "spinning with 'seal' for longer than it said",
}
BUSY = ("turns", "said", "lambda: None")
STOPPED = ("lambda: None", "said")  # the second is busy as it said


def test_who_hangs_is_ended_and_says_where_and_who_is_only_busy_is_left_alone(folder):
    with ExitStack() as stack:

        def start(name: str, then: str) -> subprocess.Popen[bytes]:
            return stack.enter_context(running(folder, then, name))

        stopped = {f"stopped {then}": start(f"stopped {then}", then) for then in STOPPED}
        time.sleep(0.3)  # they are at it
        for process in stopped.values():
            os.kill(process.pid, signal.SIGSTOP)
        hanging = {then: start(then, then) for then in HANGING}
        busy = [start(f"busy {then}", then) for then in BUSY]
        ended = [*stopped.values(), *hanging.values()]
        begin = time.monotonic()
        watch_until(folder, lambda: all(process.poll() is not None for process in ended), 60)
        watch_until(folder, lambda: time.monotonic() - begin > BUSY_S, BUSY_S)
        assert [process.wait(60) for process in ended] == [-signal.SIGKILL] * len(ended)
        assert [process.poll() for process in busy] == [None] * len(busy)
        for process in hanging.values():
            assert process.stderr is not None
            assert b"most recent call first" in process.stderr.read()
    assert all_hangs(folder) == dict.fromkeys((*stopped, *hanging), 1)
    hows = {name: hangs_of(folder, name)["how"].partition(", silent for ")[0] for name in (*stopped, *hanging)}
    assert hows == {**dict.fromkeys(stopped, "stopped"), **HANGING}


def test_several_watchdogs_end_a_process_once(folder):
    with running(folder, "lambda: time.sleep(60)") as process:
        watchdogs = [Watchdog(folder, HANG_S) for _ in range(3)]
        for watchdog in watchdogs:
            watchdog.start()
        assert process.wait(60) == -signal.SIGKILL
        time.sleep(2 * LOOK_S)
        for watchdog in watchdogs:
            watchdog.close()
    assert all_hangs(folder) == {"rookery:shard-00:replica-0": 1}


class Ended:
    """What a watchdog would have ended."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, slot: Slot, how: str) -> None:
        self.names.append(slot.name)


@pytest.fixture
def sleeper() -> Iterator[psutil.Process]:
    """Yield a process that waits for something, as one does that is blocked."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        found = psutil.Process(process.pid)
        while found.status() != psutil.STATUS_SLEEPING:
            time.sleep(0.01)
        yield found
        process.kill()


def silent_slot(folder: Path, process: psutil.Process, born: float | None = None) -> None:
    """Leave the slot of a process that never beats."""
    made = Heartbeat(folder, "silent")
    made._say_busy(0, "")
    slot = bytearray(made.path.read_bytes())
    slot[16:24] = struct.pack("<d", process.create_time() if born is None else born)
    made.path.unlink()
    (folder / f"silent@{process.pid}").write_bytes(slot)


def test_silence_is_counted_in_looks_so_a_machine_that_slept_has_silenced_nobody(folder, sleeper):
    silent_slot(folder, sleeper)
    ended = Ended()
    watchdog = Watchdog(folder, HANG_S, ended)
    watchdog.look(100.0)
    watchdog.look(100.5)
    watchdog.look(100_000.0)  # a day's sleep
    assert not ended.names
    assert MISSED_S < HANG_S
    for step in range(1, 5):
        watchdog.look(100_000.0 + step)
    assert ended.names


def test_a_process_id_that_is_somebody_elses_by_now_is_left_alone(folder, sleeper):
    silent_slot(folder, sleeper, born=1.0)
    ended = Ended()
    watchdog = Watchdog(folder, HANG_S, ended)
    for step in range(20):
        watchdog.look(100.0 + step)
    assert not ended.names
    assert read_slots(folder) == []  # and forgotten


def test_what_is_no_slot_is_passed_over(folder):
    (folder / "torn@12").write_bytes(b"\1\2")
    (folder / "other.txt").write_text("?")
    (folder / "broken.hangs").write_text("{")
    Watchdog(folder, HANG_S).look(1.0)
    assert hangs_of(folder, "broken")["count"] == 0


def test_a_folder_that_others_may_write_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("cluster.life.heartbeat.SHARED_MEMORY", tmp_path / "none")
    made = folder_of("a", tmp_path)
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o777)
    with pytest.raises(PermissionError, match="isn't a folder of ours alone"):
        folder_of("a", tmp_path)


def test_folders_of_clusters_that_were_killed_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("cluster.life.heartbeat.SHARED_MEMORY", tmp_path / "none")
    own, dead, fresh, living = (folder_of(name, tmp_path) for name in ("own", "dead", "fresh", "living"))
    Heartbeat(living, "here")
    assert note_hang(dead, Slot("x", 1, 0, 0, 0.0, ""), "now", "stopped")
    for path in (own, dead, living):
        os.utime(path, (1.0, 1.0))
    remove_stale(own)
    assert [path.exists() for path in (own, dead, fresh, living)] == [True, False, True, True]


def test_a_beat_comes_often_enough_for_the_shortest_bound():
    from configs.checks import HANG_MS_MIN

    assert HANG_MS_MIN / 1000 >= 2 * BEAT_S + 2 * LOOK_S
