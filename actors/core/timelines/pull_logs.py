"""Pull authors: followed by too many to push to, so each shard keeps one log of their newest tweets.

A log holds arrival numbers ascending by tweet id and a floor with the meaning that a ring's has: all of the author's
tweets above it are in the log. A home read merges its ring with the logs of the pull authors that the reader follows.
Costs: 4 bytes a tweet a shard instead of 4 bytes a follower; a read pays about 1 us per log it merges.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from actors.core.timelines.arrivals import Arrivals


class PullLog:
    """The newest tweets of one pull author on this shard."""

    __slots__ = ("floor", "ns")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.ns: list[int] = []


class PullLogs:
    """The pull logs of one shard, by author."""

    def __init__(self, arrivals: Arrivals, keep: int) -> None:
        self.arrivals = arrivals
        self.keep = keep
        self.logs: dict[int, PullLog] = {}
        self._authors: npt.NDArray[np.int64] | None = None

    def start(self, author_id: int, floor: int) -> PullLog:
        """Begin (or begin anew) an author's log; the caller inserts its newest tweets."""
        self._authors = None
        log = self.logs[author_id] = PullLog(floor)
        return log

    def drop(self, author_id: int) -> None:
        """Forget an author's log, if there is one."""
        if self.logs.pop(author_id, None) is not None:
            self._authors = None

    def insert(self, author_id: int, n: int, tweet_id: int) -> None:
        """Add a tweet where its id belongs, once: a repost may have brought it here before its author's shard did.

        Keeps H to H + H/4 entries; the floor follows what is dropped. O(1) in the usual case, the newest tweet.
        """
        log, a = self.logs[author_id], self.arrivals
        if tweet_id <= log.floor:
            return
        place = len(log.ns)
        while place and a.is_alive(log.ns[place - 1]):
            other = int(a.tweet_id[log.ns[place - 1] & a.mask])
            if other == tweet_id:
                return
            if other < tweet_id:
                break
            place -= 1
        if place and not a.is_alive(log.ns[place - 1]):
            # A lost entry, whose id is unknown but at most lost_max_id: everything at or below is given up.
            del log.ns[:place]
            place, log.floor = 0, max(log.floor, a.lost_max_id)
            if tweet_id <= log.floor:
                return
        log.ns.insert(place, n)
        if len(log.ns) > self.keep + max(8, self.keep // 4):
            drop = len(log.ns) - self.keep
            gone = log.ns[drop - 1]
            log.floor = int(a.tweet_id[gone & a.mask]) if a.is_alive(gone) else a.lost_max_id
            del log.ns[:drop]

    def followed_by(self, following: npt.NDArray[np.int64]) -> list[PullLog]:
        """Return the logs of the pull authors among `following`. O(followees) only while there are pull authors."""
        if not self.logs:
            return []
        if self._authors is None:
            self._authors = np.array(sorted(self.logs), dtype=np.int64)
        at = np.searchsorted(self._authors, following)
        at[at == len(self._authors)] = 0
        return [self.logs[int(a)] for a in following[self._authors[at] == following]]

    def merge(
        self, ring: npt.NDArray[np.uint32], floor: int, logs: list[PullLog]
    ) -> tuple[npt.NDArray[np.uint32], int]:
        """Merge a ring and some logs: (entries ascending by tweet id, each once; the floor of the whole)."""
        if not logs:
            return ring, floor
        ns, floor = self.arrivals.above_lost(ring, floor)
        parts = [ns]
        for log in logs:
            ns, log_floor = self.arrivals.above_lost(np.array(log.ns, dtype=np.uint32), log.floor)
            parts.append(ns)
            floor = max(floor, log_floor)
        ns = np.concatenate(parts)
        _ids, first = np.unique(self.arrivals.tweet_id[ns & np.uint32(self.arrivals.mask)], return_index=True)
        return ns[first], floor

    def sweep(self) -> None:
        """Drop the lost entries of every log and what lies below them (see `arrivals.SWEEP_EVERY`)."""
        for log in self.logs.values():
            ns, log.floor = self.arrivals.above_lost(np.array(log.ns, dtype=np.uint32), log.floor)
            log.ns = ns.tolist()

    def check(self) -> list[str]:
        """Return violations: each log is ascending by tweet id."""
        problems = []
        for author_id, log in self.logs.items():
            alive = [n for n in log.ns if self.arrivals.is_alive(n)]
            ids = [int(self.arrivals.tweet_id[n & self.arrivals.mask]) for n in alive]
            if any(x >= y for x, y in itertools.pairwise(ids)):
                problems.append(f"the pull log of {author_id} is not ascending")
        return problems
