"""The records that followers lack: the newest in memory, others in the journal, which is kept for them for a while."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator

from actors.core.state import ShardState
from persistence.protocols import Journal

RECENT_BYTES_MAX = 32 * 1024 * 1024  # records kept in memory for followers that are a little behind
BATCH_RECORDS_MAX, BATCH_BYTES_MAX = 256, 1024 * 1024  # of one append: some 5 ms of a follower's loop
HOLD_S, HOLD_RECORDS_MAX = 60.0, 1_000_000  # what a follower lacks stays in the journal so long after it was lost


class FollowerRecords:
    """Of one leader. positions(): how far each attached follower has acknowledged."""

    def __init__(self, state: ShardState, journal: Journal, positions: Callable[[], dict[int, int]]) -> None:
        self._state, self._journal, self._positions = state, journal, positions
        self._recent: deque[bytes] = deque()
        self._first = self._bytes = 0
        self._holds: dict[int, tuple[int, float]] = {}  # follower -> (position it has, until when it is waited for)

    def begin(self) -> None:
        """What is journaled from now on is remembered."""
        self._first = self._state.position + 1

    def forget(self) -> None:
        """This replica leads no more."""
        self._recent.clear()
        self._bytes = 0

    def remember(self, record: bytes) -> None:
        """Keep the record that was journaled last."""
        self._recent.append(record)
        self._bytes += len(record)
        while self._bytes > RECENT_BYTES_MAX:
            self._bytes -= len(self._recent.popleft())
            self._first += 1

    def forget_acknowledged(self) -> None:
        """Drop what every attached follower has from memory."""
        lowest = min(self._positions().values(), default=self._state.position)
        while self._recent and self._first <= lowest:
            self._bytes -= len(self._recent.popleft())
            self._first += 1

    async def read(self, first: int) -> list[bytes]:
        """Return the records from a position on, as many as fit into one append; from the journal if need be."""
        if first >= self._first:
            begin = first - self._first
            found: Iterator[bytes] = itertools.islice(self._recent, begin, begin + BATCH_RECORDS_MAX)
        else:
            found = iter(await asyncio.to_thread(self._journaled, first))
        records: list[bytes] = []
        size = 0
        for record in found:
            size += len(record)
            if records and size > BATCH_BYTES_MAX:
                break
            records.append(record)
        return records

    def _journaled(self, first: int) -> list[bytes]:
        return [record for _, record in itertools.islice(self._journal.replay(first - 1), BATCH_RECORDS_MAX)]

    def hold(self, index: int, position: int) -> None:
        """Keep the journal above a follower's position for a while, so that it needs no snapshot."""
        self._holds[index] = position, time.monotonic() + HOLD_S
        self.tend()

    def tend(self) -> None:
        """Keep the journal for the attached followers, and let go of it for those that have been away for too long."""
        until = time.monotonic() + HOLD_S
        self._holds |= {index: (position, until) for index, position in self._positions().items()}
        now, least = time.monotonic(), self._state.position - HOLD_RECORDS_MAX
        self._holds = {i: (p, until) for i, (p, until) in self._holds.items() if until > now and p >= least}
        self._journal.retain(min((p for p, _ in self._holds.values()), default=None))
