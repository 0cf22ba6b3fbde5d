"""How much a process logs in a second, whatever the cause: strangers can make it fail, and to say so costs more.

Rules of this file
- Of one kind of entry (a logger, a level and a template) at most KIND_PER_S_MAX a second are written, with a traceback
  TRACEBACK_PER_S_MAX, of all together ALL_PER_S_MAX. The rest is counted, and the next entry says how many were left
  out before it (`left_out_before`).
- What an operator asked for is written: entries of loggers in ASKED_FOR, and everything at debug.
- It is decided before anything is rendered: an entry that is left out costs 2 us, one that is written 50 and more.

How it works: `LogBound` is a filter of the process's one handler, so it sees libraries' entries, too. What makes an
entry dear before it is logged (a traceback in text) asks a `Budget` of its own first.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable

KIND_PER_S_MAX = 20  # as many as somebody can look at
TRACEBACK_PER_S_MAX = 2  # some 4 KB each
ALL_PER_S_MAX = 100  # 5 ms of a second
KINDS_MAX = 1_000  # kinds that are told apart within a second; templates are ours and libraries', but for mistakes
ASKED_FOR = frozenset(("rookery.access",))
_TEMPLATE_CHARS_MAX = 200  # of one, that tell kinds apart


class Budget:
    """Entries of a second. Safe in any thread."""

    def __init__(
        self, kind_max: int = KIND_PER_S_MAX, all_max: int = ALL_PER_S_MAX, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kind_max, self._all_max, self._clock = kind_max, all_max, clock
        self._lock = threading.Lock()
        self._second, self._count, self._left_out = 0, 0, 0
        self._counts: dict[Hashable, int] = {}

    def take(self, kind: Hashable, kind_max: int | None = None) -> int:
        """Count an entry. Returns how many were left out before it if it may be written, -1 if it is left out, too.

        kind_max: of its kind, if that isn't as many as of others.
        """
        with self._lock:
            second = int(self._clock())
            if second != self._second:
                self._second, self._count = second, 0
                self._counts.clear()
            if self._count < self._all_max and (kind in self._counts or len(self._counts) < KINDS_MAX):
                count = self._counts.get(kind, 0)
                if count < (self._kind_max if kind_max is None else kind_max):
                    self._counts[kind] = count + 1
                    self._count += 1
                    left_out, self._left_out = self._left_out, 0
                    return left_out
            self._left_out += 1
            return -1


class LogBound(logging.Filter):
    """A filter that passes so many records a second."""

    def __init__(self, budget: Budget | None = None) -> None:
        super().__init__()
        self._budget = budget or Budget()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be written; it is told what was left out before."""
        if record.levelno <= logging.DEBUG or record.name in ASKED_FOR:
            return True
        event = record.msg
        template = str(event.get("event", "") if isinstance(event, dict) else event)[:_TEMPLATE_CHARS_MAX]
        kind = (record.name, record.levelno, template)
        has_traceback = record.exc_info or (isinstance(event, dict) and event.get("exc_info"))
        left_out = self._budget.take(kind, TRACEBACK_PER_S_MAX if has_traceback else None)
        if left_out > 0:
            if isinstance(event, dict):  # structlog's
                record.msg = {**event, "left_out_before": left_out}
            else:
                record.left_out_before = left_out
        return left_out >= 0
