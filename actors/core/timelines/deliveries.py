"""From a tweet that has arrived to the timelines of this shard: at once for most, piece by piece for the many.

    arrived tweets --gather--> land: one kernel call --> rings of the author and of its local followers
                                 |
                                 +-- more than `at_once_max` followers, or past LAND_FOLLOWERS_MAX in one call
                                         --> backlog: author -> its tweets, oldest first, each with its place
                                                 piece(): the next PIECE of the next author's oldest tweet

Rules of this file
- The author's own ring comes first and is never in the backlog: authors see their own tweet at once.
- The backlog is a cache as rings are: it isn't journaled. A recovery delivers every arrival of the window anew.
- A turn is bounded, and turns go round the authors, so that one with a million followers delays nobody: whoever drives
  the state calls `piece` between requests until it says that nothing is left.
- A place counts followers by their position in the author's list; when one in front of it leaves, it moves with them. A
  follower who comes is at the end, and a tweet is in a ring once, so it doesn't matter who brings it.
- A tweet must not leave the arrivals window while it waits: the backlog is drained when a quarter of the window has
  arrived since it began.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from actors.core.stores.graph import FollowGraph
from actors.core.timelines.arrivals import Arrivals
from actors.core.timelines.rings import Rings

LAND_FOLLOWERS_MAX = 400_000  # followers that one landing looks at: about 20 ms
SAMPLE_BITS, SAMPLES_MAX = 4, 64  # one tweet in 16; of nobody who takes them away, the newest are kept
PIECE_FOLLOWERS = 4_096  # followers a turn unless the driver says otherwise: 0.05 ms, or 2 where all rings grow

Ints = npt.NDArray[np.int64]


class Deliveries:
    """What is on its way into the rings of one shard."""

    def __init__(self, arrivals: Arrivals, rings: Rings, graph: FollowGraph, at_once_max: int) -> None:
        """at_once_max: local followers above which a tweet goes to the backlog."""
        self.arrivals, self.rings, self.graph = arrivals, rings, graph
        self.at_once_max = at_once_max
        self.backlog: dict[int, deque[list[int]]] = {}  # author row -> [n, tweet id, place]
        self._since_n = 0  # arrivals there were when the backlog began
        self._gathered: list[tuple[int, int, int, int, bool]] = []
        self.ended: deque[int] = deque(maxlen=SAMPLES_MAX)  # ids, of one in 16 whose delivery has ended: to be timed
        self._landed_count = self._waited_count = 0
        graph.on_follower_removed = self._follower_removed

    def add(self, n: int, tweet_id: int, author_row: int, own_row: int, in_order: bool) -> None:
        """Gather one arrival. author_row: its author among the followed, -1: nobody's ring but own_row's (-1: none)."""
        self._gathered.append((n, tweet_id, author_row, own_row, in_order))
        if len(self._gathered) >= self.arrivals.capacity // 2:
            self.land()

    def land(self) -> None:
        """Bring what has gathered into the rings."""
        if self._gathered:
            n, tweet_id, author_row, own_row, in_order = zip(*self._gathered, strict=True)
            self._gathered.clear()
            self.land_batch(
                np.array(n, dtype=np.uint32),
                np.array(tweet_id, dtype=np.int64),
                np.array(author_row, dtype=np.int64),
                np.array(own_row, dtype=np.int64),
                np.array(in_order, dtype=np.bool_),
            )

    def land_batch(
        self, ns: npt.NDArray[np.uint32], ids: Ints, author_rows: Ints, own_rows: Ints, in_order: npt.NDArray[np.bool_]
    ) -> None:
        """As `add` for many at once, and `land`. The arrays are this method's to keep."""
        followers = self.graph.local_followers
        if self.backlog and self.arrivals.next_n - self._since_n > self.arrivals.capacity // 4:
            self.drain()
        many = followers.length[author_rows] > self.at_once_max
        if many.any():
            for i in np.nonzero(many & (author_rows >= 0))[0].tolist():
                self._wait(int(author_rows[i]), int(ns[i]), int(ids[i]), 1)
                author_rows[i] = -1
        done, place = self.rings.deliver(followers, ns, ids, author_rows, own_rows, in_order, LAND_FOLLOWERS_MAX)
        before, self._landed_count = self._landed_count, self._landed_count + done
        if before >> SAMPLE_BITS != self._landed_count >> SAMPLE_BITS:
            first = ~before % (1 << SAMPLE_BITS)
            self.ended.extend(int(ids[i]) for i in range(first, done, 1 << SAMPLE_BITS) if not many[i])
        if done < len(ns):
            own = slice(done + (place > 0), None)
            self.rings.insert(own_rows[own], ns[own], ids[own])
            for i in range(done, len(ns)):
                if author_rows[i] >= 0:
                    self._wait(int(author_rows[i]), int(ns[i]), int(ids[i]), max(1, place if i == done else 0))

    def _wait(self, author_row: int, n: int, tweet_id: int, place: int) -> None:
        if not self.backlog:
            self._since_n = self.arrivals.next_n
        self.backlog.setdefault(author_row, deque()).append([n, tweet_id, place])

    def piece(self, followers: int = PIECE_FOLLOWERS) -> bool:
        """Deliver to some followers of the author whose turn it is; return whether anything is left."""
        if not self.backlog:
            return False
        author_row, waiting = next(iter(self.backlog.items()))
        n, tweet_id, place = waiting[0]
        done, waiting[0][2] = self.rings.deliver(
            self.graph.local_followers, np.array([n], dtype=np.uint32), np.array([tweet_id], dtype=np.int64),
            np.array([author_row], dtype=np.int64), np.array([-1], dtype=np.int64), np.array([False]), followers, place,
        )  # fmt: skip
        del self.backlog[author_row]
        if done:
            waiting.popleft()
            self._waited_count += 1
            if not self._waited_count % (1 << SAMPLE_BITS):
                self.ended.append(tweet_id)
        if waiting:
            self.backlog[author_row] = waiting  # the last in the round now
        return bool(self.backlog)

    def drain(self) -> None:
        """Deliver everything now, however long it takes."""
        self.land()
        while self.piece(LAND_FOLLOWERS_MAX):
            pass

    @property
    def waiting_count(self) -> int:
        """Tweets in the backlog."""
        return sum(len(waiting) for waiting in self.backlog.values())

    def _follower_removed(self, author_row: int, index: int) -> None:
        for waiting in self.backlog.get(author_row, ()):
            if index < waiting[2] - 1:
                waiting[2] -= 1

    def check(self) -> list[str]:
        """Return violations: what waits is still in the arrivals window."""
        return [
            f"tweet {tweet_id} waits to be delivered, but has left the arrivals window"
            for waiting in self.backlog.values()
            for n, tweet_id, _ in waiting
            if not self.arrivals.is_alive(n)
        ]
