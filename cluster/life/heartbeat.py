"""A process's heartbeat: by it the others on the machine see that its event loop still turns.

    folder of the cluster on this machine (0700, in memory)
      rookery:router@4711                 name@pid, one slot of a fixed size:
      rookery:shard-00:replica-0@4712     beats u64, busy until u64 (ns), born f64 (s), doing 40 bytes
      rookery:shard-00:replica-0.hangs    {"count", "at", "how"}: how often one of that name was ended for hanging

Rules of this file
- The beat is a timer of the loop that does the work: Ray gives health checks a thread and a loop of their own, and they
  go on answering beside a loop that hangs.
- A beat is a write to mapped memory: no call that a slow disk, a full pipe or a busy peer could hold up.
- What must hold the loop for longer than the watchdog's bound says so beforehand (`busy`), and for how long at most.

How it works: watchdog.py looks at the slots of others from a thread. `busy` writes a time up to which silence is no
sign of a hang; a process that is *stopped* is found all the same.

Costs: a beat 1 us, two a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import json
import math
import mmap
import os
import signal
import stat
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from actors.metrics import Histogram

BEAT_S: Final = 0.5
SHARED_MEMORY: Final = Path("/dev/shm")  # a folder of Linux that lies in memory
FOR_EVER: Final = math.inf
STALE_S: Final = 60.0  # a folder without a process may be a cluster's that starts
_SLOT = struct.Struct("<QQd40s")
_BEATS = struct.Struct("<Q")
_BUSY_UNTIL, _DOING = 8, 24  # offsets
_NS_MAX = (1 << 64) - 1
TRACEBACK_SIGNAL: Final = signal.SIGUSR2  # a process that is about to be ended says where its threads are
_PR_SET_PDEATHSIG: Final = 1
_PRIVATE = 0o700
_SEPARATOR = "@"
_HANGS, _ENDED = ".hangs", ".ended"


@dataclass(frozen=True, slots=True)
class Slot:
    """What a process says of itself. busy_until_ns: of the clock that `time.monotonic_ns` reads, 0: not busy."""

    name: str
    pid: int
    beats: int
    busy_until_ns: int
    born: float
    doing: str


def folder_of(cluster: str, fallback: Path) -> Path:
    """Return the folder of a cluster's heartbeats on this machine, made if need be; nobody else may write there.

    cluster: a name that no other cluster on this machine has. fallback: where to put it if the machine has no file
    system in memory, or a stranger has taken the name there. Raises PermissionError if that isn't ours alone either.
    """
    name = f"rookery-{os.getuid()}"
    for parent in (SHARED_MEMORY, fallback):
        if not parent.is_dir():
            continue
        try:
            for path in (parent / name, parent / name / cluster):
                _make_private(path)
            return path
        except PermissionError:
            if parent == fallback:
                raise
    raise FileNotFoundError(f"neither {SHARED_MEMORY} nor {fallback} is a folder")


def _make_private(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=_PRIVATE)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} isn't a folder of ours alone; remove it")


class Heartbeat:
    """The heartbeat of this process: beats from `start` to `close`."""

    def __init__(self, folder: Path, name: str) -> None:
        """Take a slot, as busy starting; what an earlier process of that name has left of itself stays with its id."""
        self.folder, self.name = folder, name
        self.path = folder / f"{name}{_SEPARATOR}{os.getpid()}"
        self.hangs = hangs_of(folder, name)
        slot = _SLOT.pack(0, _NS_MAX, psutil.Process().create_time(), b"starting")
        new = self.path.with_suffix(".new")
        new.write_bytes(slot)
        with new.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), len(slot))
        new.replace(self.path)  # whoever looks finds it whole
        self._beats = 0
        self.late_seconds = Histogram()  # by how much the loop was late for a beat
        self._timer: asyncio.TimerHandle | None = None
        self._depth = 0

    def start(self) -> None:
        """Beat on the running loop from now on."""
        self._say_busy(0, "")
        self._beat(asyncio.get_running_loop(), math.inf)

    def _beat(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        self._beats += 1
        _BEATS.pack_into(self._memory, 0, self._beats)
        if due_s < math.inf:
            self.late_seconds.observe(max(0.0, time.monotonic() - due_s))
        self._timer = loop.call_later(BEAT_S, self._beat, loop, time.monotonic() + BEAT_S)

    @contextlib.contextmanager
    def busy(self, doing: str, at_most_s: float) -> Iterator[None]:
        """Hold the loop for a while: the block may take at_most_s seconds. Of nested blocks the outermost counts."""
        self._depth += 1
        if self._depth == 1:
            until = _NS_MAX if at_most_s == FOR_EVER else time.monotonic_ns() + int(at_most_s * 1e9)
            self._say_busy(until, doing)
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._beats += 1  # a look between two such blocks must see that the first has ended
                _BEATS.pack_into(self._memory, 0, self._beats)
                self._say_busy(0, "")

    def _say_busy(self, until_ns: int, doing: str) -> None:
        struct.pack_into("<Q", self._memory, _BUSY_UNTIL, until_ns)
        struct.pack_into("40s", self._memory, _DOING, doing.encode()[:40])

    def close(self) -> None:
        """Beat no more, and give the slot up."""
        if self._timer is not None:
            self._timer.cancel()
        self.path.unlink(missing_ok=True)


def tell_where_on_signal() -> None:
    """Have this process write on stderr where its threads are (no values) when a watchdog is about to end it."""
    if sys.__stderr__ is not None:
        faulthandler.register(TRACEBACK_SIGNAL, file=sys.__stderr__, all_threads=True)


def end_with_parent() -> None:
    """Have the kernel end this process with the one that started it, also when it hangs and couldn't notice (Linux)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended in this moment
            os._exit(1)


_own: list[Heartbeat] = []  # this process's, once it has one


def take(heartbeat: Heartbeat) -> None:
    """Make it this process's heartbeat: `busy` speaks through it."""
    _own[:] = [heartbeat]


@contextlib.contextmanager
def busy(doing: str, at_most_s: float) -> Iterator[None]:
    """`Heartbeat.busy` of this process; nothing where it has none (a test, a check of a stopped cluster)."""
    with _own[0].busy(doing, at_most_s) if _own else contextlib.nullcontext():
        yield


def hangs() -> dict[str, Any]:
    """Return {"count", "at", "how"} of this process's name: how often one was ended for hanging, and the last time."""
    return _own[0].hangs if _own else dict(NO_HANGS)


def slot_for_child(suffix: str) -> list[str]:
    """Return [folder, name] of a slot for a child process of this one; [] where this one isn't watched either."""
    return [str(_own[0].folder), f"{_own[0].name}{suffix}"] if _own else []


NO_HANGS: Final[dict[str, Any]] = {"count": 0, "at": "", "how": ""}


def read_slots(folder: Path) -> list[Slot]:
    """Return what the processes of this machine say. A slot that is no slot is passed over: it isn't one of ours."""
    slots = []
    for path in folder.iterdir():
        name, separator, pid = path.name.rpartition(_SEPARATOR)
        if separator and pid.isdecimal():
            with contextlib.suppress(FileNotFoundError, struct.error):  # it has just ended
                beats, busy_until_ns, born, doing = _SLOT.unpack(path.read_bytes())
                text = doing.rstrip(b"\0").decode("utf-8", "replace")
                slots.append(Slot(name, int(pid), beats, busy_until_ns, born, text))
    return slots


def beats_of(folder: Path, name: str, pid: int) -> int:
    """Return how often a process has beaten; -1 if it has no slot."""
    try:
        beats: int = _BEATS.unpack_from((folder / f"{name}{_SEPARATOR}{pid}").read_bytes())[0]
    except (FileNotFoundError, struct.error):
        return -1
    return beats


def forget_slot(folder: Path, slot: Slot) -> None:
    """Remove the slot of a process that is no more."""
    path = folder / f"{slot.name}{_SEPARATOR}{slot.pid}"
    path.unlink(missing_ok=True)
    path.with_name(path.name + _ENDED).unlink(missing_ok=True)


def hangs_of(folder: Path, name: str) -> dict[str, Any]:
    """Return what is noted of hangs under a name."""
    try:
        noted = json.loads((folder / f"{name}{_HANGS}").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return dict(NO_HANGS)
    return {**NO_HANGS, **noted}


def all_hangs(folder: Path) -> dict[str, int]:
    """Return how often processes were ended for hanging, by name; those that never were aren't there."""
    return {path.name.removesuffix(_HANGS): hangs_of(folder, path.name.removesuffix(_HANGS))["count"]
            for path in folder.glob(f"*{_HANGS}")}  # fmt: skip


def note_hang(folder: Path, slot: Slot, at: str, how: str) -> bool:
    """Note that a process is ended for hanging; False if another watchdog has noted it of this process already."""
    mark = folder / f"{slot.name}{_SEPARATOR}{slot.pid}{_ENDED}"
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    count = hangs_of(folder, slot.name)["count"] + 1
    new = folder / f"{slot.name}{_HANGS}.new"
    new.write_text(json.dumps({"count": count, "at": at, "how": how}), encoding="utf-8")
    new.replace(folder / f"{slot.name}{_HANGS}")
    return True


def remove(folder: Path) -> None:
    """Remove a cluster's folder with all in it."""
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        folder.rmdir()


def remove_stale(folder: Path) -> None:
    """Remove sibling folders in which nobody lives any more: clusters that were killed leave theirs behind."""
    for sibling in folder.parent.iterdir():
        with contextlib.suppress(OSError):  # somebody else removes it as well
            old = time.time() - sibling.stat().st_mtime > STALE_S
            if old and sibling != folder and not any(psutil.pid_exists(slot.pid) for slot in read_slots(sibling)):
                remove(sibling)
