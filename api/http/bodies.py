"""The bodies that have begun to come: how many, how large together, and which of them may go.

Rules of this file
- A request counts among those under way once it is complete, its body too. Until then it waits here for its client, who
  may take his time or never send the rest; so it takes no place from requests that are there (`body_wait.py`).
- What waits here is bounded in number and in bytes, of all clients together. If there is no room, not whoever comes
  last goes, but the oldest of whose address has most (`fair_places.py`): 503. Most requests come in one piece with
  their heads, and never wait here.
- Bodies of requests that wait behind another on their connection count, too.

Cost: 2 us a piece; nothing for a request that comes in one.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from api.http.fair_places import FairPlaces

COUNT_MAX = 1_024  # connections; 520 half-sent requests once kept everybody else from writing
BYTES_MAX_LEAST = 32 * 1024 * 1024  # of all bodies; with larger bodies, room for BODIES_MAX_LEAST
BODIES_MAX_LEAST = 16
UNIT_BYTES = 8 * 1024  # of what a body weighs; a request weighs one more


class Waiting(Hashable, Protocol):
    """A connection on which a request waits for its body, or for another to be answered."""

    def displace(self) -> None:
        """Give up what waits; never call back."""
        ...


class Bodies:
    """See the head of the file."""

    def __init__(self, connection_count_max: int, body_bytes_max: int) -> None:
        """body_bytes_max: of one body."""
        self._count_max = max(1, min(COUNT_MAX, connection_count_max // 2))
        self._bytes_max = max(BYTES_MAX_LEAST, BODIES_MAX_LEAST * body_bytes_max)
        self._places: FairPlaces[Waiting] = FairPlaces()
        self._bytes_of: dict[Waiting, int] = {}
        self._bytes = 0
        self.displaced_count = self.slow_count = 0

    def hold(self, connection: Waiting, address: str, size_bytes: int) -> None:
        """Note how many bytes of bodies a connection holds now. Others, or itself, are displaced if that is too much.

        address: whose it is, when it is noted for the first time.
        """
        weight = 1 + size_bytes // UNIT_BYTES
        if connection in self._bytes_of:
            self._places.change(connection, weight)
        else:
            self._places.add(connection, address, weight)
        self._bytes += size_bytes - self._bytes_of.get(connection, 0)
        self._bytes_of[connection] = size_bytes
        while len(self._bytes_of) > self._count_max or self._bytes > self._bytes_max:
            leaving = next(self._places.of_fullest())
            self.forget(leaving)
            self.displaced_count += 1
            leaving.displace()

    def forget(self, connection: Waiting) -> None:
        """A connection holds no more; once is enough."""
        self._places.remove(connection)
        self._bytes -= self._bytes_of.pop(connection, 0)

    def figures(self) -> dict[str, float]:
        """Return gauges."""
        return {
            "bodies_waiting": len(self._bytes_of),
            "bodies_waiting_bytes": self._bytes,
            "bodies_displaced": self.displaced_count,
            "bodies_too_slow": self.slow_count,
        }

    def check(self) -> None:
        """Assert the invariants: the bounds hold."""
        self._places.check()
        assert len(self._places) == len(self._bytes_of) <= self._count_max
        assert self._bytes == sum(self._bytes_of.values()) <= self._bytes_max
