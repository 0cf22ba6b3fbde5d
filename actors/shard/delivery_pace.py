"""The pace of large deliveries: pieces of bounded time, with what else there is to do, and a pause, between them.

    after every command: look --> is there a backlog? --> piece ... pause ... piece

Rule: what is delivered is decided in `actors/core/timelines/deliveries.py`; here is only when, and how much at once.

Cost: a piece takes PIECE_S. While requests come, the pause between two is the shortest that the loop's timers know.
"""

from __future__ import annotations

import asyncio
import time

from actors.core.timelines.deliveries import PIECE_FOLLOWERS, Deliveries
from actors.metrics import ShardMetrics

# A piece of a large delivery: what other requests wait for it, and the fewest followers (their rings may all grow into
# fresh memory) and most.
PIECE_S, PIECE_FOLLOWERS_LEAST, PIECE_FOLLOWERS_MOST = 0.0003, 256, 16_384
PIECE_PAUSE_S, REQUESTS_WITHIN_S = 0.001, 0.02
IMPATIENT_AUTHORS = 8  # whose large deliveries wait: then no more pauses


class DeliveryPace:
    """See the module header. metrics: of the shard, by which it is seen whether there are requests."""

    def __init__(self, deliveries: Deliveries, metrics: ShardMetrics) -> None:
        self._deliveries, self._metrics = deliveries, metrics
        self._loop = asyncio.get_running_loop()
        self._is_delivering = False
        self._followers, self._handled = PIECE_FOLLOWERS, (0, 0.0)

    def look(self) -> None:
        """Set out to deliver what waits, if anything does. Called after every command."""
        if self._deliveries.backlog and not self._is_delivering:
            self._is_delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """Deliver a piece of what waits, of bounded time; the next after what else there is to do, and a pause for it.

        A request takes several turns of the loop, and the other shards and API workers need the processor, too. Without
        requests there is no pause.
        """
        begin = time.perf_counter()
        self._is_delivering = self._deliveries.piece(self._followers)
        now = time.perf_counter()
        fitting = int(self._followers * PIECE_S / max(now - begin, 1e-6))
        fitting = max(min(fitting, self._followers * 2), PIECE_FOLLOWERS_LEAST)
        self._followers = min(fitting, PIECE_FOLLOWERS_MOST)
        if not self._is_delivering:
            return
        handled = self._metrics.reads + self._metrics.writes + self._metrics.messages_in
        if handled != self._handled[0]:
            self._handled = handled, now
        if now - self._handled[1] < REQUESTS_WITHIN_S and len(self._deliveries.backlog) < IMPATIENT_AUTHORS:
            self._loop.call_later(PIECE_PAUSE_S, self._deliver)
        else:
            self._loop.call_soon(self._deliver)
