"""How many requests one worker has under way: never more than a fixed number, and fewer while answers take too long.

Rules of this file
- Reads and writes are judged apart: a slow disk holds up writes only, and must not cost reads.
- Only good answers are judged. Refusals are quick however long the queue is.

How it works
A fixed number bounds memory, not waiting: 1,024 under way are 40 ms at 25,000 answers a second and 2 s at 500. So once
in WINDOW_S a gate looks at the quickest answer since. If even that took longer than TARGET_S there is a standing queue
(CoDel, RFC 8289, looks at the least delay for the same reason: one slow request proves nothing), and only as many
requests may be under way as the rate of that window answers in TARGET_S (Little's law). When the quickest is below it
again the bound doubles, up to the fixed number: within a second all is as before.

Where even a lone write takes more than TARGET_S (a journal on a very slow server), load keeps writes at COUNT_LEAST.

Cost: 0.2 us a request.
"""

from __future__ import annotations

TARGET_S = 0.2  # of waiting: a p99 is some three times the least, and is to stay below a second
WINDOW_S = 0.1  # between two looks; several times what an answer takes
COUNT_LEAST = 64  # requests that are let in at any rate: so few are no queue to speak of
IDLE_S = 1.0  # a window that lasted so long holds a pause, and says nothing about a rate


class Gate:
    """The bound on requests of one kind."""

    __slots__ = ("_answered_count", "_count_max", "_least_s", "_window_ends_s", "count", "count_bound")

    def __init__(self, count_max: int) -> None:
        """count_max: requests under way at most, however quick the answers are."""
        self._count_max = count_max
        self.count = 0  # requests under way
        self.count_bound = count_max
        self._answered_count, self._least_s, self._window_ends_s = 0, float("inf"), 0.0

    def note(self, seconds: float, now_s: float) -> None:
        """Take one good answer into account. now_s: time on the clock that `seconds` were measured with."""
        self._answered_count += 1
        if seconds < self._least_s:
            self._least_s = seconds
        if now_s >= self._window_ends_s:
            self._judge(now_s)

    def _judge(self, now_s: float) -> None:
        elapsed_s = now_s - self._window_ends_s + WINDOW_S
        if self._least_s > TARGET_S:
            if self.count >= COUNT_LEAST and elapsed_s < IDLE_S:
                fitting = int(self._answered_count / elapsed_s * TARGET_S)
                self.count_bound = min(self._count_max, max(COUNT_LEAST, fitting))
        else:
            self.count_bound = min(self._count_max, self.count_bound * 2)
        self._answered_count, self._least_s, self._window_ends_s = 0, float("inf"), now_s + WINDOW_S

    def check(self) -> None:
        """Assert the invariants: nothing is under way less than not at all; the bound is within its own."""
        assert self.count >= 0
        assert min(COUNT_LEAST, self._count_max) <= self.count_bound <= self._count_max
