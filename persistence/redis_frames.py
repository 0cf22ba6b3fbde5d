"""The frames of a journal that are on their way to its server, and those that it may have to be sent again.

Rules of this file
- A frame is encoded once, and sent as often as it takes: the same bytes behind the same frame, so it lands once.
- Pending frames go on from each other, and the last of them from all that was encoded before.
- What was acknowledged is kept for RESEND_SECONDS, if the server may lose it, and at most RESEND_BYTES_MAX of it.
  Records that were cut are not.

    records waiting  --fill-->  pending  --acknowledge-->  acknowledged lately  -->  forgotten
                                   ^---------send_again_after---------'

It talks to no server and takes no lock: only who has the journal's write lock calls it.
Costs: 5 us a frame of one small record, 1 of them encoding it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from persistence.redis_stream import SYNC, mark_of
from persistence.segment_format import LENGTH_BYTES, encode_frame

FRAME_BYTES_MAX = (
    1024 * 1024
)  # bytes of records in one entry, unless a record alone is longer; the server stops for one
PIPELINE_FRAME_COUNT = 16  # frames sent before the first reply: 16 MiB, well below the server's limit of 1 GB a client
RESEND_SECONDS = 5.0  # s that acknowledged frames are kept: everysec syncs within 2 s, even behind a slow fsync
RESEND_BYTES_MAX = 64 * 1024 * 1024  # bytes of acknowledged frames kept at most


class JournalEnd(NamedTuple):
    """Where a journal ends: its last position, and the mark of the frame that ends there ("" for none)."""

    last: int
    mark: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One entry, encoded: sent as often as it takes, behind the frame that ends at `before`, where it ends at `end`."""

    before: JournalEnd
    end: JournalEnd
    record_bytes: int
    data: bytes


class FrameQueue:
    """The frames that are to be sent next, and those that were acknowledged lately.

    records: those that wait to be encoded; taken from the left. end: of what was encoded before; keep_acknowledged:
    whether the server may lose what it acknowledged. clock: seconds, monotonic.
    """

    def __init__(
        self,
        records: deque[bytes],
        end: JournalEnd,
        keep_acknowledged: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records, self._end = records, end
        self._keep_acknowledged, self._clock = keep_acknowledged, clock
        self._pending: deque[Frame] = deque()  # encoded, maybe sent, maybe landed
        self._acknowledged: deque[tuple[float, Frame]] = deque()  # when, oldest first
        self._acknowledged_bytes = 0

    @property
    def pending_count(self) -> int:
        """Frames encoded and not acknowledged since."""
        return len(self._pending)

    @property
    def end(self) -> JournalEnd:
        """Where the journal ends once every frame has landed: the next one follows that."""
        return self._end

    def fill(self, last: int, epoch: int) -> None:
        """Encode waiting records up to position `last`, until PIPELINE_FRAME_COUNT frames are pending."""
        while len(self._pending) < PIPELINE_FRAME_COUNT and self._end.last < last:
            self._pending.append(self._encode(last - self._end.last, epoch))

    def next_frames(self) -> list[Frame]:
        """Return the oldest pending frames, in order: as many as are sent at once."""
        return list(islice(self._pending, PIPELINE_FRAME_COUNT))

    def acknowledge(self, frame: Frame) -> None:
        """Take the oldest pending frame out: the server has it. Raises RuntimeError for any other frame."""
        if not self._pending or self._pending[0] is not frame:
            raise RuntimeError(f"frame {frame.before.last + 1} to {frame.end.last} was acknowledged out of order")
        self._pending.popleft()
        if self._keep_acknowledged:
            self._keep(frame)

    def landed(self, there: JournalEnd) -> list[Frame]:
        """Return the pending frames that a journal which ends there has got, their replies lost; [] if not by ours."""
        landed = [frame for frame in self._pending if frame.end.last <= there.last]
        return landed if landed and landed[-1].end == there else []

    def send_again_after(self, position: int) -> bool:
        """Make the acknowledged frames above `position` pending again. Returns False if they don't reach back to it."""
        lost = [frame for _, frame in self._acknowledged if frame.before.last >= position]
        if not lost or lost[0].before.last != position:
            return False
        self._pending.extendleft(reversed(lost))
        self._forget_after(position)
        return True

    def go_on_after(self, end: JournalEnd) -> None:
        """Forget what is pending, and what was acknowledged above this end: the journal was cut, or begun anew."""
        self._pending.clear()
        self._end = end
        self._forget_after(end.last)

    def _encode(self, count_max: int, epoch: int) -> Frame:
        """Take the oldest waiting records that fit into one frame: at least one, at most count_max."""
        taken: list[bytes] = []
        payload_bytes, records = 0, self._records
        while len(taken) < count_max:
            payload_bytes += LENGTH_BYTES + len(records[0])
            if taken and payload_bytes > FRAME_BYTES_MAX:
                break
            taken.append(records.popleft())
        before = self._end
        data = encode_frame(taken, before.last + 1, epoch, SYNC)
        self._end = JournalEnd(before.last + len(taken), mark_of(data))
        return Frame(before, self._end, sum(map(len, taken)), data)

    def _keep(self, frame: Frame) -> None:
        now = self._clock()
        self._acknowledged.append((now, frame))
        self._acknowledged_bytes += len(frame.data)
        while self._acknowledged_bytes > RESEND_BYTES_MAX or self._acknowledged[0][0] < now - RESEND_SECONDS:
            self._acknowledged_bytes -= len(self._acknowledged.popleft()[1].data)
            if not self._acknowledged:
                return

    def _forget_after(self, position: int) -> None:
        """Forget acknowledged frames that don't end at or below `position`."""
        self._acknowledged = deque(kept for kept in self._acknowledged if kept[1].end.last <= position)
        self._acknowledged_bytes = sum(len(frame.data) for _, frame in self._acknowledged)
