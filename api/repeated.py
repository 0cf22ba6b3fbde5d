"""Work whose outcome is repeated for a while to whoever asks: done once at a time, however many want it.

Rules of this file
- Who asks while the work is under way waits for it; it belongs to nobody who waits.
- A failure is told to all who wait, and not repeated.

Cost: 0.3 us to repeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from api.search.cache import Told, answer_of, tell

T = TypeVar("T")


class Repeated(Generic[T]):
    """See the head of the file."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]], keep_s: float, clock: Callable[[], float]) -> None:
        """make: the work; keep_s: how long its outcome is repeated, from when it was there; clock: in seconds."""
        self._make, self._keep_s, self._clock = make, keep_s, clock
        self._outcome: T | None = None
        self._until_s = float("-inf")
        self._waiting: list[Told] = []
        self._work: asyncio.Task[None] | None = None
        self.made_count = 0

    def ask(self, done: Told) -> None:
        """Tell `done` the outcome: at once, if there is one that is fresh enough."""
        if self._clock() < self._until_s:
            done(self._outcome, None)
            return
        self._waiting.append(done)
        if self._work is None:
            self.made_count += 1
            self._work = asyncio.get_running_loop().create_task(tell(self._make(), self._settle))

    async def get(self) -> T:
        """As `ask`, for coroutines."""
        outcome: T = await answer_of(self.ask)
        return outcome

    def _settle(self, outcome: T | None, error: Exception | None) -> None:
        self._work = None
        if error is None:
            self._outcome, self._until_s = outcome, self._clock() + self._keep_s
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(outcome, error)
