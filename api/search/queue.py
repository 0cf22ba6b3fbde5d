"""Searches that let home reads go first: while home timelines are read, few searches of a worker are under way at once.

A search takes each process that it comes through some ten times as long as a home read, and eight that arrive together
are handled together: a home read behind them waits in this worker, again in a shard, and again when the answers come
back. With two under way there is always work for a shard, and never much of it in the way; the others wait here, where
no home read waits behind them. It costs searches a part of their throughput, so it is done only while there are home
reads to gain by it.

Rules of this file
- Whoever has entered leaves, exactly once. As long as somebody waits, somebody is under way.
- A search that waits for a shard that hangs takes no processor, and mustn't keep the others: where nobody has left for
  STALL_S, as many more are let in.
- They begin in the order of their coming: one for whom there is room at once waits behind those that were let in before
  and whose turn hasn't come.
- WAITING_MAX wait; more are refused. All searches together hold half of the places for reads at most, which are few
  while answers are slow: so a flood of them leaves places to those who read anything else.

Cost: 0.2 us a search that needn't wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from functools import partial

from actors.core.errors import OverloadedError
from actors.turns import Turns
from api.ports import Bound

HOME_READS_S = 0.5  # after a home read in which more are expected
WAITING_MAX = 256  # searches; a tenth of a second's
STALL_S = 0.01  # several times what a search takes


class SearchQueue:
    """Who may ask shards now, of one worker's searches."""

    def __init__(
        self, turns: Turns, beside_home_reads: int, clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:  # fmt: skip
        """turns: in which those that have waited go on; beside_home_reads: how many are under way at once while home
        timelines are read, 0 for any number; clock: as `home_read`'s, in seconds; later(seconds, work): calls work
        after so long."""
        self._turns, self._bound, self._clock, self._later = turns, beside_home_reads, clock, later
        self._waiting: deque[Callable[[], None]] = deque()
        self._let_in_count = 0  # searches that were let in and whose turn hasn't come; they are among `count`
        self._home_reads_until_s = float("-inf")
        self._left_count, self._looks = 0, False  # searches that have left; whether somebody looks for a stall
        self._places: Bound | None = None
        self.count = 0  # under way
        self.refused_count = 0

    def share_places(self, places: Bound) -> None:
        """Have half of so many at once at most, those that wait among them."""
        self._places = places

    @property
    def waiting_count(self) -> int:
        """Searches that wait."""
        return len(self._waiting)

    def home_read(self, now_s: float) -> None:
        """Note that somebody reads a home timeline."""
        self._home_reads_until_s = now_s + HOME_READS_S

    def has_places(self, share: int, count: int) -> bool:
        """Whether there may be one more than so many, if theirs is one part of so many of the places."""
        return self._places is None or share * count < self._places.count_bound

    def enter(self, work: Callable[[], None]) -> None:
        """Have work() called with the context variables of now: at once, or when it is its turn. Whoever is called has
        entered, and has to leave. Raises OverloadedError when too many wait."""
        if not self.has_places(2, self.count + len(self._waiting)):
            self.refused_count += 1
            raise OverloadedError("searches have half of the places of this worker already", None, 0.5)
        if not self._waiting and self._has_room():
            if self._let_in_count:
                self._let_in(partial(copy_context().run, work))
            else:
                self.count += 1
                work()
        elif len(self._waiting) < WAITING_MAX:
            self._waiting.append(partial(copy_context().run, work))
            if not self._looks:
                self._look_later()
        else:
            self.refused_count += 1
            raise OverloadedError(f"{WAITING_MAX} searches wait on this worker", None, 0.5)

    def leave(self) -> None:
        """End what has entered."""
        self.count -= 1
        self._left_count += 1
        while self._waiting and self._has_room():
            self._let_in(self._waiting.popleft())

    def _let_in(self, work: Callable[[], None]) -> None:
        """Have what has waited begin in its turn."""
        self.count += 1
        self._let_in_count += 1
        self._turns.put(partial(self._begin, work))

    def _begin(self, work: Callable[[], None]) -> None:
        self._let_in_count -= 1
        work()

    def _look_later(self) -> None:
        self._looks = True
        self._later(STALL_S, partial(self._look, self._left_count))

    def _look(self, left_count: int) -> None:
        """Let some in if nobody has left since so many had."""
        self._looks = False
        if self._left_count == left_count:
            for _ in range(min(self._bound, len(self._waiting))):
                self._let_in(self._waiting.popleft())
        if self._waiting:
            self._look_later()

    def _has_room(self) -> bool:
        return not self._bound or self.count < self._bound or self._clock() >= self._home_reads_until_s
