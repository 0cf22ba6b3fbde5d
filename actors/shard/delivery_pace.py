"""The pace of large deliveries: pieces of bounded time, with what else there is to do, and a pause, between them; and
how late deliveries are.

    after every command: look --> is there a backlog? --> piece ... pause ... piece

Rule: what is delivered is decided in `actors/core/timelines/deliveries.py`; here is only when, and how much at once.

Cost: a piece takes PIECE_S. While requests come, the pause between two is the shortest that the loop's timers know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from actors.core.ids import ms_of_tweet
from actors.core.timelines.deliveries import PIECE_FOLLOWERS, Deliveries
from actors.metrics import ShardMetrics

# A piece of a large delivery: what other requests wait for it, and the fewest followers (their rings may all grow into
# fresh memory) and most.
PIECE_S, PIECE_FOLLOWERS_LEAST, PIECE_FOLLOWERS_MOST = 0.0003, 256, 16_384
PIECE_PAUSE_S, REQUESTS_WITHIN_S = 0.001, 0.02
IMPORTED_S = 3_600.0  # a tweet that old was loaded with its time, and isn't late
IMPATIENT_AUTHORS = 8  # whose large deliveries wait: then no more pauses


class DeliveryPace:
    """See the module header. metrics: of the shard, by which it is seen whether there are requests.

    leads(): only a leader's deliveries are timed; a follower that catches up delivers what was delivered long ago.
    """

    def __init__(
        self, deliveries: Deliveries, metrics: ShardMetrics, leads: Callable[[], bool] = lambda: True
    ) -> None:  # fmt: skip
        self._deliveries, self._metrics, self._leads = deliveries, metrics, leads
        deliveries.ended.clear()  # what a recovery has delivered anew
        self._loop = asyncio.get_running_loop()
        self._is_delivering = False
        self._followers, self._handled = PIECE_FOLLOWERS, (0, 0.0)

    def look(self) -> None:
        """Set out to deliver what waits, if anything does. Called after every command."""
        if self._deliveries.ended:
            self._time_ended()
        if self._deliveries.backlog and not self._is_delivering:
            self._is_delivering = True
            self._loop.call_soon(self._deliver)

    def _time_ended(self) -> None:
        """Observe how long ago the tweets were posted whose delivery has ended."""
        ended, now_s = self._deliveries.ended, time.time()
        while ended:
            lag_s = now_s - ms_of_tweet(ended.popleft()) / 1000
            if lag_s < IMPORTED_S and self._leads():
                self._metrics.delivery_lag_seconds.observe(max(0.0, lag_s))

    def _deliver(self) -> None:
        """Deliver a piece of what waits, of bounded time; the next after what else there is to do, and a pause for it.

        A request takes several turns of the loop, and the other shards and API workers need the processor, too. Without
        requests there is no pause.
        """
        begin = time.perf_counter()
        self._is_delivering = self._deliveries.piece(self._followers)
        if self._deliveries.ended:
            self._time_ended()
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
