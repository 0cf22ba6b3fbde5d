"""What SIGINT, SIGTERM and SIGHUP mean to `serve`, from its first moment to its last.

    imports        ends at once, status 0: there is nothing to stop
    starting       the start is given up; what was started is taken down again
    serving        a clean stop
    stopping       "still stopping"; the third signal gives up waiting
    GIVE_UP_S later  whatever still hangs is left behind: the kernel ends Ray's processes with this one, and journals
                   have everything that was acknowledged

Rules of this file
- Imported before everything else, so nothing but the standard library is imported here.
- A stop that was asked for ends with status 0, also one that came while starting.

How `make` is watched: GNU make passes SIGTERM on to what it runs, but not SIGINT, which comes from a terminal and
reaches everybody. Sent to make alone, it makes it wait for us with the signal blocked: so that is looked for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

GIVE_UP_SIGNAL_COUNT: Final = 3
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_S: Final = 1.0  # between looks at make
_SIGINT_BIT: Final = 1 << (signal.SIGINT - 1)


def end_at_once_when_told() -> None:
    """Until `Signals` takes over: a signal ends this process, status 0."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell that runs us in the background
            signal.signal(number, lambda _number, _frame: os._exit(0))


class Signals:
    """What the signals mean at the moment. tell: shows a line to whoever sent one."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told = threading.Event()
        self._count = 0
        self.starting = True
        self._ignored = {number for number in STOP_SIGNALS if signal.getsignal(number) is signal.SIG_IGN}

    @property
    def told(self) -> bool:
        """Whether a signal has come."""
        return self._told.is_set()

    def install(self) -> None:
        """Take over the signals; again after Ray's start, which sets its own handlers."""
        for number in STOP_SIGNALS:
            if number not in self._ignored:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        first = not self.told
        self._told.set()
        if (first and self.starting) or self._count >= GIVE_UP_SIGNAL_COUNT:
            raise KeyboardInterrupt
        if not first:
            self._tell("still stopping; once more to give up waiting")

    def wait(self) -> None:
        """Return when told to stop."""
        self.starting = False
        while not self._told.wait(LOOK_S):
            if make_was_interrupted():
                self._told.set()

    def stop_within(self, seconds: float, at_last: Callable[[], None]) -> None:
        """From now on only further signals count, and in so many seconds this process ends, whatever hangs.

        at_last: is called before that, on another thread, if it comes to it.
        """
        self.starting = False
        self._told.set()
        timer = threading.Timer(seconds, self._give_up, [seconds, at_last])
        timer.daemon = True
        timer.start()

    def _give_up(self, seconds: float, at_last: Callable[[], None]) -> None:
        with contextlib.suppress(Exception):  # a console that is gone must not keep us
            self._tell(f"not everything has stopped within {seconds:.0f} s; what was acknowledged is in the journals")
        try:
            at_last()
        finally:
            os._exit(0)


def make_was_interrupted() -> bool:
    """Whether our parent is make, and waits for us to end because of a SIGINT (Linux). 20 us."""
    if sys.platform != "linux":
        return False
    try:
        lines = Path(f"/proc/{os.getppid()}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return facts.get("Name", "") in ("make", "gmake") and bool(int(facts.get("SigBlk", "0"), 16) & _SIGINT_BIT)
