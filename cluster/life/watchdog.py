"""The watchdog: ends processes of this machine whose event loop has stopped turning, so that Ray starts them again.

    thread of every actor --every LOOK_S--> slots of the others (heartbeat.py)
                                              | beats as they were, for hang_s of this thread's own looks
                                              v
                             stopped? spinning? blocked?  -> traceback asked for -> SIGKILL -> Ray restarts the actor
                             starved of processor, or busy as it said? -> wait on

Rules of this file
- Everybody watches everybody else of the cluster on the same machine. So there is no process more, none whose end
  leaves the others unwatched, and whoever is quickest acts.
- Silence is counted in this thread's own looks: when the whole machine was asleep or starved, nobody was silent.
- A process is ended, never mended: what it had acknowledged is in a journal.
- No Ray here: whoever is ended is brought back by what brings back the dead.

How it works: a slot whose beats don't change gathers silence, at most MISSED_S a look. From hang_s on the process is
judged: stopped (SIGSTOP, a debugger): ended. Busy as announced: left alone. Wanting a processor and hardly getting one:
the machine is overloaded, so it has until PATIENCE times hang_s. Everything else hangs.

Costs: a look 0.2 ms for ten processes, two a second, in each actor.
Not here: a machine with a single process of the cluster on it, which nobody watches; and processes of Ray itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from cluster.life.heartbeat import TRACEBACK_SIGNAL, Slot, forget_slot, note_hang, read_slots

logger = logging.getLogger("rookery.watchdog")

LOOK_S: Final = 0.5
MISSED_S: Final = 2 * LOOK_S  # of silence that one look may add: this thread may have been late itself
PATIENCE: Final = 4.0
HUNG_CPU_S: Final = 0.3  # of processor time without a beat: no turn of a loop takes so much unless it says so
BORN_APART_S: Final = 1.0  # two readings of when a process was born
TRACEBACK_S: Final = 0.1  # for a process to write where it is


@dataclass(slots=True)
class Silence:
    """What a watchdog remembers of a process. cpu_s: its processor time when it began to be silent."""

    beats: int
    seconds: float = 0.0
    cpu_s: float = 0.0


class Watchdog:
    """Watches the processes whose slots lie in a folder. hang_s: silence after which a process is judged."""

    def __init__(self, folder: Path, hang_s: float, end: Callable[[Slot, str], None] | None = None) -> None:
        """end: what is done to a process that hangs, for tests."""
        self.folder, self.hang_s = folder, hang_s
        self._end = end or self._kill
        self._silences: dict[tuple[str, int], Silence] = {}
        self._looked_at = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Look every LOOK_S from now on, in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            try:
                self.look(time.monotonic())
            except (OSError, psutil.Error):  # the folder is away, no descriptor is free: nobody can be judged now
                logger.exception("the watchdog could not look")

    def look(self, now: float) -> None:
        """Look at all others once. now: a clock that only grows, s."""
        elapsed = min(now - self._looked_at, MISSED_S) if self._looked_at else 0.0
        self._looked_at = now
        slots = {(slot.name, slot.pid): slot for slot in read_slots(self.folder) if slot.pid != os.getpid()}
        for key in self._silences.keys() - slots.keys():
            del self._silences[key]
        for key, slot in slots.items():
            silence = self._silences.get(key)
            if silence is None or silence.beats != slot.beats:
                self._silences[key] = Silence(slot.beats)
            else:
                self._note_silence(slot, silence, elapsed)

    def _note_silence(self, slot: Slot, silence: Silence, elapsed: float) -> None:
        process = _process_of(slot)
        if process is None:
            forget_slot(self.folder, slot)
            return
        try:
            if not silence.seconds:
                silence.cpu_s = _cpu_s(process)
            silence.seconds += elapsed
            if silence.seconds < self.hang_s:
                return
            how = self._judge(slot, silence, process)
        except psutil.NoSuchProcess:
            return
        if how:
            self._end(slot, f"{how}, silent for {silence.seconds:.1f} s")

    def _judge(self, slot: Slot, silence: Silence, process: psutil.Process) -> str:
        """Return how a silent process hangs, "" if it doesn't."""
        status = process.status()
        if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
            return "stopped"
        if time.monotonic_ns() < slot.busy_until_ns:
            return ""
        used_s, runs = _cpu_s(process) - silence.cpu_s, status == psutil.STATUS_RUNNING
        if runs and used_s < HUNG_CPU_S and silence.seconds < PATIENCE * self.hang_s:
            return ""
        too_long = f" with {slot.doing!r} for longer than it said" if slot.busy_until_ns else ""
        return ("spinning" if runs or used_s >= HUNG_CPU_S else "blocked") + too_long

    def _kill(self, slot: Slot, how: str) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        if not note_hang(self.folder, slot, at, how):
            return
        logger.error("%s (process %d) hangs: %s; it is ended, to be started again", slot.name, slot.pid, how)
        with contextlib.suppress(ProcessLookupError):
            os.kill(slot.pid, TRACEBACK_SIGNAL)
            self._ended.wait(TRACEBACK_S)
            os.kill(slot.pid, signal.SIGKILL)


def _process_of(slot: Slot) -> psutil.Process | None:
    """Return the process of a slot; None if it has ended, whoever has its id now."""
    try:
        process = psutil.Process(slot.pid)
        same = abs(process.create_time() - slot.born) < BORN_APART_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
