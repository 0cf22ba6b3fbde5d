"""Answers that are repeated for a moment, each made once however many ask for it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable

ENTRIES_MAX = 1_024  # answers kept; with more all are forgotten


class Kept:
    """Answers by key. Those that failed aren't kept, but told to all who waited."""

    def __init__(self, keep_s: float, clock: Callable[[], float]) -> None:
        self._keep_s, self._clock = keep_s, clock
        self._answers: dict[Hashable, tuple[float, asyncio.Future[bytes]]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the kept answer, or make it."""
        known = self._answers.get(key)
        if known is None or known[0] <= self._clock():
            if len(self._answers) >= ENTRIES_MAX:
                self._answers.clear()
            task = asyncio.ensure_future(make())
            known = self._answers[key] = (self._clock() + self._keep_s, task)
            task.add_done_callback(lambda done: self._forget_failure(key, done))
        return await asyncio.shield(known[1])

    def _forget_failure(self, key: Hashable, done: asyncio.Future[bytes]) -> None:
        if done.cancelled() or done.exception() is not None:
            known = self._answers.get(key)
            if known is not None and known[1] is done:
                del self._answers[key]
