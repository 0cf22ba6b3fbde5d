"""The open HTTP connections of one worker: how many there are, whose they are, and which of them may go.

Rules of this file
- A connection is a file and some 10 KB, whether or not anything is asked on it. So there is a most, for all and for
  one address, and a client can't shut others out by opening more than it uses: when all places are taken, one that
  waits for its client makes room for a new one (as in nginx): the one that has waited longest, if its address has as
  many as any; else one of the address that has most (`fair_places.py`).
- A connection waits for its client until a request is complete, its body too.
- A connection on which a request is under way is never closed for another's sake. If there are only such, the new one
  is refused.

Cost: 0.3 us a request, 3 us a connection.
"""

from __future__ import annotations

import resource
from collections.abc import Hashable
from typing import Protocol

import structlog

from actors.core.errors import OverloadedError, RateLimitedError, RookeryError
from api.http.fair_places import FairPlaces

FILES_BESIDE_CONNECTIONS = 256  # lanes, Ray's own connections, logs, libraries
RETRY_AFTER_S = 1.0
_log = structlog.get_logger("rookery.api")


class Closable(Hashable, Protocol):
    """A connection."""

    def drop(self) -> None:
        """Close now, whatever hasn't been sent."""
        ...


class Connections:
    """See the head of the file."""

    def __init__(self, count_max: int, address_count_max: int) -> None:
        """count_max: connections at once; address_count_max: of one address."""
        self._count_max, self._address_count_max = count_max, address_count_max
        self._open: FairPlaces[Closable] = FairPlaces()  # by the address that each counts for
        self._waiting: dict[Closable, None] = {}  # those without a request under way, the longest first
        self.refused_count = 0
        self.displaced_count = 0

    @property
    def open_count(self) -> int:
        """Connections that are open."""
        return len(self._open)

    @property
    def count_max(self) -> int:
        """Connections that there may be."""
        return self._count_max

    def allow_files(self, streams_max: int = 0) -> int:
        """Raise this process's limit on open files for as many connections and streams; have fewer if that can't be.

        Returns how many streams there may be.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        places = self._count_max + streams_max
        wanted = places + FILES_BESIDE_CONNECTIONS
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < allowed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed == wanted:
            return streams_max
        there = max(0, allowed - FILES_BESIDE_CONNECTIONS)
        self._count_max = max(1, there * self._count_max // places)  # both lose the same share
        streams = max(0, there - self._count_max)
        _log.warning(
            "fewer connections than set: too few open files are allowed", connections=self._count_max, streams=streams
        )
        return streams

    def admit(self, connection: Closable, address: str | None) -> RookeryError | None:
        """Take a new connection in, and return None; or return why not, with nothing changed.

        address: what it counts for; None: for nobody.
        """
        if address is not None and self._open.count_of(address) >= self._address_count_max:
            self.refused_count += 1
            reason = f"{self._address_count_max} connections of this address are open already; use those"
            return RateLimitedError(reason, None, RETRY_AFTER_S)
        if len(self._open) >= self._count_max:
            leaving = self._first_to_go()
            if leaving is None:
                self.refused_count += 1
                return OverloadedError("this worker has as many connections as it can carry", None, RETRY_AFTER_S)
            self.displaced_count += 1
            self.forget(leaving)
            leaving.drop()
        self._open.add(connection, address)
        self._waiting[connection] = None
        return None

    def _first_to_go(self) -> Closable | None:
        longest = next(iter(self._waiting), None)
        if longest is None or self._open.is_fullest(longest):
            return longest
        return next((each for each in self._open.of_fullest() if each in self._waiting), longest)

    def begin(self, connection: Closable) -> None:
        """A request is under way on a connection."""
        self._waiting.pop(connection, None)

    def end(self, connection: Closable) -> None:
        """No request is under way on a connection any more."""
        if connection in self._open:
            self._waiting[connection] = None

    def forget(self, connection: Closable) -> None:
        """Count a connection no more; once is enough."""
        self._waiting.pop(connection, None)
        self._open.remove(connection)

    def figures(self) -> dict[str, float]:
        """Return what was counted, by the keys of actors/metrics/api_rows.py."""
        return {
            "connections": self.open_count,
            "connections_bound": self._count_max,
            "connections_refused": self.refused_count,
            "connections_displaced": self.displaced_count,
        }

    def check(self) -> None:
        """Assert the invariants: the bounds hold; who waits is open; addresses are counted exactly."""
        self._open.check()
        assert len(self._open) <= self._count_max
        assert all(connection in self._open for connection in self._waiting)
        addresses = {address for address in self._open.groups() if address is not None}
        assert all(self._open.count_of(address) <= self._address_count_max for address in addresses)
