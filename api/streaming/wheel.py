"""One clock for all streams of a worker: heartbeats, who doesn't read, and who has no cursor yet.

    slot 0, 1, 2, ... 249     each a tenth of a second; a stream is in one, and has its heartbeat when the hand is there

Rules of this file
- A heartbeat every HEARTBEAT_S, whatever else was sent, so that neither side takes the other for dead, nor a proxy
  between them. One timer, however many streams; they are spread, so no tick has more of them than another by chance.
- A stream over its bound of unread bytes has SLOW_S to read what makes it less. More than UNREAD_BYTES_LAST at once is
  for nobody: what fills that in one turn of the loop can't be read in it.
- Where the hand comes late it goes on from there: no beats are made up for.

Cost: 2,000 heartbeats a second for 50,000 streams, 2 % of a core; 100 bytes a stream.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Final, Protocol

HEARTBEAT_S: Final = 25.0  # proxies give up after 30 to 60
TICK_S: Final = 0.1
SLOT_COUNT: Final = round(HEARTBEAT_S / TICK_S)
LOOK_TICKS: Final = 10  # after which slow streams, and those without a cursor, are looked at
SLOW_S: Final = 3.0
UNREAD_BYTES_MAX: Final = 256 * 1024
UNREAD_BYTES_LAST: Final = 8 * 1024 * 1024


class Beating(Protocol):
    """A stream as the wheel sees it."""

    slot: int

    def beat(self) -> None:
        """Send a heartbeat."""
        ...

    def show_cursor(self) -> bool:
        """Tell the client where it is, if that is known; returns whether it needn't be asked again."""
        ...

    def unread_bytes(self) -> int:
        """How much the client hasn't taken yet."""
        ...

    def cut_off(self) -> None:
        """Close: the client doesn't read."""
        ...


class Wheel:
    """See the head of the file."""

    def __init__(self) -> None:
        self._slots: list[dict[Beating, None]] = [{} for _ in range(SLOT_COUNT)]
        self._next_slot = count()
        self._hand = self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._slow: dict[Beating, float] = {}  # since when, by the loop's clock
        self._fresh: dict[Beating, None] = {}

    def add(self, stream: Beating) -> None:
        """Have a stream's heart beat from now on."""
        stream.slot = next(self._next_slot) % SLOT_COUNT
        self._slots[stream.slot][stream] = None
        self._count += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def remove(self, stream: Beating) -> None:
        """Forget a stream; once is enough."""
        if stream in self._slots[stream.slot]:
            del self._slots[stream.slot][stream]
            self._count -= 1
        self._slow.pop(stream, None)
        self._fresh.pop(stream, None)
        if not self._count and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expect_cursor(self, stream: Beating) -> None:
        """Have a stream asked for its first cursor."""
        self._fresh[stream] = None

    def note_slow(self, stream: Beating) -> None:
        """A stream has more unread than UNREAD_BYTES_MAX."""
        self._slow.setdefault(stream, asyncio.get_running_loop().time())

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK_S, self._tick)
        self._hand = (self._hand + 1) % SLOT_COUNT
        for stream in list(self._slots[self._hand]):
            stream.beat()
        if self._hand % LOOK_TICKS == 0:
            for stream in [each for each in self._fresh if each.show_cursor()]:
                self._fresh.pop(stream, None)
            self._look_at_slow(loop.time())

    def _look_at_slow(self, now_s: float) -> None:
        for stream, since_s in list(self._slow.items()):
            if stream.unread_bytes() <= UNREAD_BYTES_MAX:
                del self._slow[stream]
            elif now_s - since_s >= SLOW_S:
                stream.cut_off()

    def check(self) -> None:
        """Assert the invariants: every stream is in its slot, and none is remembered that isn't there."""
        assert self._count == sum(map(len, self._slots))
        assert all(stream.slot == at for at, slot in enumerate(self._slots) for stream in slot)
        assert all(stream in self._slots[stream.slot] for stream in (*self._slow, *self._fresh))
        assert (self._timer is not None) == (self._count > 0)
