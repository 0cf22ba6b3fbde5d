"""Work that lets others go first: some pieces each turn of the event loop.

A home read takes a shard 5 us and a search 60. Whoever handles what came in one turn in the order of its coming lets a
home read wait behind all the searches that came with it. Searches take their turns instead: as many as TURN_S has room
for, one at least; then whatever has come meanwhile, then the next. What pieces of one turn write to a peer leaves
together: one at a time would cost a system call and a wake-up each.

Cost: 2 us a piece.

A `Turnstile` is for tasks that go on: many that have waited for the same (a shard that can't be reached) would all go
on in the turn in which it comes. They pass it a few each turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context

PASS_COUNT = 2  # tasks that pass a turnstile in one turn; each goes on for some 0.1 ms
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


class Turnstile:
    """Where tasks pass in the order of their coming, PASS_COUNT each turn of the loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Return when it is this task's turn."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            loop.call_soon(self._open)
        await turn

    def _open(self) -> None:
        for _ in range(min(PASS_COUNT, len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():  # its task was cancelled
                turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._open)
