"""Gaps that no shard can tell any more, read for listeners that know nothing of cursors.

    begin --> read_gap (gaps.py) --> the listener hears what was read, then what was pushed meanwhile

Rules of this file
- While a gap is read, what the shard pushes is kept: KEPT_MAX events a listener (`hub.py`).
- It is read of primaries: a follower that is behind would leave out what was missed.
- What was read may be pushed after that, as it is read before its commit: it isn't told again for READ_KEPT_S.
- A gap that can't be read ends the stream: its client comes back, and reads what it shows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from actors.core.errors import RookeryError, TooLargeError
from api.positions import reading_fresh
from api.streaming.events import Event
from api.streaming.hearers import Gap, Hearer, LostAt, keys_of

if TYPE_CHECKING:
    from api.streaming.hub import StreamHub

logger = logging.getLogger("rookery.streams")

ATTEMPTS: Final = 6
RETRY_S: Final = 0.25
READ_KEPT_S: Final = 30.0
AT_ONCE: Final = 16  # gaps that are read at the same time
ReadGap = Callable[[Gap], Awaitable[list[Event]]]


class GapFilling:
    """The gaps of one worker's listeners."""

    def __init__(self, hub: StreamHub) -> None:
        self.read_gap: ReadGap | None = None
        self._hub = hub
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(AT_ONCE)

    def close(self) -> None:
        """Read no more."""
        for task in self._tasks:
            task.cancel()

    def begin(self, shard: int, hearer: Hearer, waits: LostAt) -> bool:
        """Read what a listener has missed of a shard, and let it hear that; False: nobody is there who reads."""
        if self.read_gap is None:
            return False
        hearer.begin_keeping(shard)
        task = asyncio.get_running_loop().create_task(self._fill(self.read_gap, shard, hearer, waits))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _fill(self, read_gap: ReadGap, shard: int, hearer: Hearer, waits: LostAt) -> None:
        async with self._places:
            events = await self._read(read_gap, shard, hearer, waits)
        if hearer.waiting.get(shard) is not waits:
            return  # it has gone, or has lost the shard anew
        if events is None:
            self._hub.let_go(hearer, "what was missed can't be read")
            return
        self._hub.counts["streams_filled"] += 1
        kept = hearer.taken_out(shard)
        hearer.wait_no_more(shard)
        events = [event for event in events if hearer.was_read.isdisjoint(keys_of(event, hearer.topics))]
        was_read = frozenset(key for event in events for key in keys_of(event, hearer.topics))
        hearer.was_read |= was_read  # beside what was read of another shard
        asyncio.get_running_loop().call_later(READ_KEPT_S, hearer.forget_read, was_read)
        for event in events:
            hearer.note_own(event)
            self._hub.hear(hearer, event, event.own_flags, "")
        for each, _ in kept:
            if self._hub.audience.may_hear(hearer, each):
                self._hub.hear(hearer, each.event, each.flags_of(hearer.account_id), "")

    async def _read(self, read_gap: ReadGap, shard: int, hearer: Hearer, waits: LostAt) -> list[Event] | None:
        for attempt in range(ATTEMPTS):
            try:
                with reading_fresh():
                    return await read_gap(hearer.gap(shard, waits, self._hub.told))
            except TooLargeError:
                return None
            except RookeryError:
                await asyncio.sleep(RETRY_S * 2**attempt)
            except Exception:
                logger.exception("what a stream has missed can't be read")
                return None
        return None
