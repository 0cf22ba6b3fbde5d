"""What only the primary of a replicated shard answers: requests that must not outlive its rule.

Rules of this file
- The lane to a deposed primary stays open, because it may still be read from. What waited there for the primary's word
  is ended with LaneDisconnected, so that whoever asked tries the new one; a late answer is dropped.
- A primary that has stopped without closing its lane is noticed by the router, and the shard's followers announce the
  new map. In case nobody does, LATE_S without an answer makes the client look for itself.

Cost: 1 us a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from cluster.lane.client import Done, LaneClient
from cluster.lane.protocol import LaneDisconnected

LATE_S = 0.5  # a write waits for one fsync and for the followers: milliseconds


class PrimaryRequests:
    """Requests under way to one shard's primary. on_late(): one of them is LATE_S old."""

    def __init__(self, on_late: Callable[[], Any]) -> None:
        self._on_late = on_late
        self._waiting: dict[int, tuple[Done, float]] = {}  # number -> (whom to tell, when it was sent), oldest first
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def send(self, lane: LaneClient, op: str, args: list[Any], timeout_s: float, done: Done) -> None:
        """As LaneClient.send, for as long as this is the primary."""
        self._number = number = self._number + 1
        lane.send(op, args, timeout_s, partial(self._take, number))
        self._waiting[number] = done, lane.time()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATE_S, self._look)

    def abandon(self, why: str) -> None:
        """End everything that is under way, later in this turn of the event loop, with LaneDisconnected."""
        loop = asyncio.get_running_loop()
        waiting, self._waiting = self._waiting, {}
        for done, _ in waiting.values():
            loop.call_soon(done, None, LaneDisconnected(why))

    def close(self) -> None:
        """Look no more; what is under way ends with its lane."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, number: int, body: Any, error: Exception | None) -> None:
        entry = self._waiting.pop(number, None)
        if entry is not None:
            entry[0](body, error)

    def _look(self) -> None:
        self._timer = None
        if self._waiting:
            loop = asyncio.get_running_loop()
            _, sent_at = next(iter(self._waiting.values()))
            if loop.time() - sent_at >= LATE_S:
                self._on_late()
            self._timer = loop.call_later(LATE_S, self._look)
