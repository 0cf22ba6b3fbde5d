"""The searches that wait for an engine's loop: one a turn, each until it is late.

A lane hands over all requests that it has read in one turn of the loop. Whoever answers them at once lets 250 dear
searches be one turn: no answer leaves before the last is made, nothing else is done, the heartbeat stands still, and
after 3.5 s the process is taken for hung.

Rules of this file
- One search a turn. Between two of them the loop writes the answer, reads what has come (feeds, facts) and beats.
- Whoever asks says until when it waits, on the clock of `time.monotonic`, which processes of one machine share. What is
  late when it is its turn isn't begun: nobody would read the answer, and the next would be late, too.

Cost: 1 us a search, and a write of its own for each answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from actors.core.errors import OverloadedError, RookeryError
from cluster.lane.server import LaneRequest

logger = logging.getLogger("rookery.search")

Answer = Callable[[], None]


def late() -> OverloadedError:
    """Return what is told to whoever, most likely, has ceased to listen."""
    return OverloadedError("the search was late when it was its turn", None, 1.0)


class SearchLine:
    """Searches in the order of their coming. Use it on one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[LaneRequest, float, Answer]] = deque()
        self.late_count = 0  # that were dropped, on other threads too

    def __len__(self) -> int:
        """Searches that wait."""
        return len(self._waiting)

    def put(self, request: LaneRequest, until_s: float, answer: Answer) -> None:
        """Have answer() called in a turn of its own. What it raises is the request's answer."""
        self._waiting.append((request, until_s, answer))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Answer the first that isn't late."""
        waiting = self._waiting
        try:
            while waiting:
                request, until_s, answer = waiting[0]
                if time.monotonic() < until_s:
                    try:
                        answer()
                    except RookeryError as error:
                        request.fail(error)
                    except Exception:
                        logger.exception("a search failed")
                        if not request.answered:
                            request.fail(RookeryError("the search engine failed; its log has the details"))
                    break
                self.late_count += 1
                waiting.popleft()
                request.fail(late())
        finally:
            if waiting:  # not so if the last was late
                waiting.popleft()
            if waiting:
                asyncio.get_running_loop().call_soon(self._next)
