"""How much is asked of one host at once, and whether it is asked at all: places, and a breaker.

    closed --FAILURES_MAX failures in a row--> open, for OPEN_S, twice as long each time
    open --its time is over--> half-open: one request --succeeds--> closed
                                                       --fails--> open

Rules of this file
- A failure is of the host: no connection, no answer in time, 5xx. What a receiver refuses (4xx) is its word, so a
  success here.
- Of hosts that nobody waits for, the longest unused are forgotten beyond HOSTS_MAX. A host that is forgotten is asked.
- The clock only grows, and is given.

Cost: 2 us a request.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

FAILURES_MAX: Final = 5  # in a row, after which a host isn't asked for a while
OPEN_S: Final = 30.0
OPEN_S_MAX: Final = 600.0
HOSTS_MAX: Final = 10_000  # that are remembered: 1 KB each
PLACE_S: Final = 5.0  # that a request waits for a place


class HostBusyError(Exception):
    """A host isn't asked now. retry_after_s: when it may be; reason: a word for the figures."""

    def __init__(self, reason: str, retry_after_s: float) -> None:
        super().__init__(reason)
        self.reason, self.retry_after_s = reason, retry_after_s


class _Host:
    """One host: requests under way and waiting, failures in a row, until when it isn't asked."""

    __slots__ = ("failures", "open_until_s", "openings", "places", "users")

    def __init__(self, places: int) -> None:
        self.places = asyncio.Semaphore(places)
        self.users = self.failures = self.openings = 0
        self.open_until_s = 0.0


class HostAttempt:
    """A request under way; `failed` is to be set if the host is at fault."""

    __slots__ = ("failed",)

    def __init__(self) -> None:
        self.failed = False


class Hosts:
    """All hosts that something was sent to. places: requests at once to one."""

    def __init__(self, places: int, clock: Callable[[], float]) -> None:
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._places, self._clock = places, clock

    @asynccontextmanager
    async def asked(self, name: str) -> AsyncIterator[HostAttempt]:
        """Ask a host meanwhile. Raises HostBusyError if it isn't to be asked, or has no place for so long.

        What the caller raises meanwhile, but for a cancellation, is the host's failure.
        """
        host = self._host(name)
        self._require_closed(host)
        host.users += 1
        try:
            try:
                async with asyncio.timeout(PLACE_S):
                    await host.places.acquire()
            except TimeoutError:
                raise HostBusyError("busy", OPEN_S) from None
            try:
                self._require_closed(host)
                attempt = HostAttempt()
                if host.failures >= FAILURES_MAX:  # half-open: the others wait for what comes of this one
                    host.open_until_s = self._clock() + self._pause_s(host)
                try:
                    yield attempt
                except Exception:
                    self._note(host, True)
                    raise
                self._note(host, attempt.failed)
            finally:
                host.places.release()
        finally:
            host.users -= 1

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            self._forget()
            host = self._hosts[name] = _Host(self._places)
        self._hosts.move_to_end(name)
        return host

    def _forget(self) -> None:
        if len(self._hosts) >= HOSTS_MAX:
            unused = next((name for name, host in self._hosts.items() if not host.users), None)
            if unused is not None:
                del self._hosts[unused]

    def _require_closed(self, host: _Host) -> None:
        left_s = host.open_until_s - self._clock()
        if left_s > 0:
            raise HostBusyError("breaker", left_s)

    def _pause_s(self, host: _Host) -> float:
        return min(OPEN_S * float(1 << min(host.openings, 10)), OPEN_S_MAX)

    def _note(self, host: _Host, failed: bool) -> None:
        if not failed:
            host.failures = host.openings = 0
            host.open_until_s = 0.0
            return
        host.failures += 1
        if host.failures >= FAILURES_MAX:
            host.open_until_s = self._clock() + self._pause_s(host)
            host.openings += 1

    def figures(self) -> dict[str, int]:
        """Return how many hosts are known, not asked now, and asked now."""
        now = self._clock()
        return {
            "hosts": len(self._hosts), "hosts_open": sum(host.open_until_s > now for host in self._hosts.values()),
            "under_way": sum(host.users for host in self._hosts.values()),
        }  # fmt: skip
