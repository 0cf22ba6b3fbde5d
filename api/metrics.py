"""The requests of one API worker, counted; and the text of `/metrics`, made of what everybody on the node has counted.

Rules of this file
- Label values come from a fixed set: route templates (never paths), known methods, statuses.
- Requests are counted by the event loop's thread alone, and become text when somebody asks: in steps, as it is that
  thread's work, too (`probes.py`).

Cost: 0.2 us a request; prometheus_client's counter and histogram, with their locks, take 1.1.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from actors.metrics.api_rows import API_FIGURES, HTTP_BOUNDS_S
from actors.metrics.figure import Histogram, Told, snapshot

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Metrics:
    """Counters of one API worker."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._tallies: dict[tuple[str, str, int], _Tally] = {}  # by method, route, status
        self._seconds: dict[tuple[str, str], Histogram] = {}  # by method and route
        self.request_count = 0

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self.request_count += 1
        tally = self._tallies.get((method, route, status))
        if tally is None:
            tally = self._new_tally(method if method in _METHODS else "other", route, status)
        tally.count += 1
        taken = tally.seconds
        taken.counts[bisect_left(HTTP_BOUNDS_S, seconds)] += 1
        taken.sum += seconds

    def _new_tally(self, method: str, route: str, status: int) -> _Tally:
        taken = self._seconds.setdefault((method, route), Histogram(HTTP_BOUNDS_S))
        return self._tallies.setdefault((method, route, status), _Tally(taken))

    def holder(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """Return what holds the figures of this worker. figures: those of its parts (`Services.figures`)."""
        counts = {(method, route, str(status)): tally.count for (method, route, status), tally in self._tallies.items()}
        return {**figures, "requests": counts, "request_seconds": self._seconds}

    def told(self, figures: Mapping[str, Any]) -> Told:
        """Return what this worker has counted. figures: as there."""
        return Told("api", (self.worker,), snapshot(API_FIGURES, self.holder(figures).get))


class _Tally:
    """Requests of one kind. seconds: how long those of its route took, whatever their status."""

    __slots__ = ("count", "seconds")

    def __init__(self, seconds: Histogram) -> None:
        self.count, self.seconds = 0, seconds
