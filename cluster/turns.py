"""Work that lets others go first: some pieces each turn of the event loop.

A home read takes a shard 5 us and a search 60. Whoever handles what came in one turn in the order of its coming lets a
home read wait behind all the searches that came with it. Searches take their turns instead: as many as TURN_S has room
for, one at least; then whatever has come meanwhile, then the next. What pieces of one turn write to a peer leaves
together: one at a time would cost a system call and a wake-up each.

Cost: 2 us a piece.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context

TURN_S = 0.000_2  # pieces are begun in one turn; a home read waits no longer, beside the last of them


class Turns:
    """Pieces of work in the order of their coming. Use it on one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Context, Callable[[], None]]] = deque()

    def __len__(self) -> int:
        """Pieces that wait."""
        return len(self._waiting)

    def put(self, work: Callable[[], None]) -> None:
        """Have work() called in one of the next turns, with the context variables of now. What it raises is logged by
        the loop, and keeps no other from its turn."""
        self._waiting.append((copy_context(), work))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        waiting, until_s = self._waiting, time.perf_counter() + TURN_S
        try:
            while waiting:
                context, work = waiting[0]
                try:
                    context.run(work)
                finally:
                    waiting.popleft()
                if time.perf_counter() >= until_s:
                    break
        finally:
            if waiting:
                asyncio.get_running_loop().call_soon(self._next)
