"""What is done once a request has been answered, so that neither its answer nor the time of that tells what came of it.

Rules of this file
- Bounded: what comes beyond UNDER_WAY_MAX is refused, whoever asks. A failure is logged by its name, told to nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from actors.core.errors import NotFoundError, OverloadedError, RookeryError

UNDER_WAY_MAX: Final = 64
_log = structlog.get_logger("rookery.api")


class Afterwards:
    """The work of one worker that nobody waits for."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Do something once a request has been answered. Raises OverloadedError."""
        if len(self._tasks) >= UNDER_WAY_MAX:
            raise OverloadedError("too many people have asked for the same at once; try again", None, 1.0)
        task = asyncio.get_running_loop().create_task(_carried_out(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()


async def _carried_out(work: Callable[[], Awaitable[Any]]) -> None:
    try:
        await work()
    except (RookeryError, TimeoutError) as error:  # answered already: who sees nothing of it asks again
        if not isinstance(error, NotFoundError):
            _log.warning("not_done_afterwards", reason=type(error).__name__)
