"""The newest tweets of a shard that strangers come across: public originals that answer nobody, by id.

    posted, loaded, moved here --> add        deleted, moved away --> nobody tells: reads leave out what isn't stored

Rules of this file
- A cache: what is in it follows from the tweets that are stored, but where it ends depends on what came and went.
  At or below `floor` it may lack some: timelines of it have an end (PUBLIC_COUNT_MAX), as Mastodon's have.
- Ids come nearly in order; they are sorted when somebody reads. Those that a read found gone are dropped by it.

Costs: 8 to 16 bytes a tweet, 1 MB at most; 0.2 us to add one; a read 1 us where nothing was added out of order.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from actors.core import flags as bits

Ints = npt.NDArray[np.int64]
PUBLIC_COUNT_MAX: Final = 65_536  # weeks of a busy shard
ELSEWHERE: Final = bits.FLAG_REPLY | bits.FLAG_REPOST | bits.FLAGS_HIDDEN | bits.FLAG_DELETED


class PublicTweets:
    """The ids of one shard. floor: at or below it some may be missing."""

    def __init__(self, count_max: int = PUBLIC_COUNT_MAX) -> None:
        self._ids: Ints = np.zeros(64, dtype=np.int64)
        self._count, self._sorted_count, self._count_max = 0, 0, count_max
        self.floor = 0

    def add(self, tweet_id: int, flags: int) -> None:
        """Note a tweet that is stored now, if it is one of these."""
        if flags & ELSEWHERE:
            return
        if self._count == len(self._ids):
            self._make_room(1)
        self._ids[self._count] = tweet_id
        self._count += 1

    def add_many(self, tweet_ids: Ints, flags: npt.NDArray[np.integer]) -> None:
        """As `add` for many."""
        chosen = tweet_ids[flags & ELSEWHERE == 0]
        if len(chosen) > 2 * self._count_max:
            chosen = np.sort(chosen)
            self.floor = max(self.floor, int(chosen[-self._count_max - 1]))
            chosen = chosen[-self._count_max :]
        if self._count + len(chosen) > len(self._ids):
            self._make_room(len(chosen))
        self._ids[self._count : self._count + len(chosen)] = chosen
        self._count += len(chosen)

    def ids(self) -> Ints:
        """Return what there is, ascending, each once: a view that holds until the next change."""
        if self._sorted_count < self._count:
            self._keep(np.unique(self._ids[: self._count]))
        return self._ids[: self._count]

    def drop(self, tweet_ids: list[int]) -> None:
        """Forget some that are gone. O(all), 20 us: they are copied."""
        known = self.ids()
        places = np.searchsorted(known, tweet_ids)
        here = places < len(known)
        here[here] = known[places[here]] == np.array(tweet_ids, dtype=np.int64)[here]
        if here.any():
            self._keep(np.delete(known, places[here]))

    def _make_room(self, count: int) -> None:
        """Cut what is more than may be, or grow."""
        if self._count > 2 * self._count_max:
            known = self.ids()
            self.floor = (
                max(self.floor, int(known[-self._count_max - 1])) if len(known) > self._count_max else self.floor
            )
            self._keep(known[-self._count_max :])
        wanted = self._count + count
        if wanted > len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros(max(wanted, 2 * len(self._ids)), dtype=np.int64)])

    def _keep(self, ids: Ints) -> None:
        self._ids[: len(ids)] = ids
        self._count = self._sorted_count = len(ids)

    def nbytes(self) -> int:
        """Bytes of the column. O(1)."""
        return int(self._ids.nbytes)

    def check(self, stored: Ints, flags: npt.NDArray[np.integer]) -> list[str]:
        """Return violations: above the floor each tweet that is stored and one of these is here. flags: by tweet."""
        expected = stored[(flags & ELSEWHERE == 0) & (stored > self.floor)]
        missing = np.setdiff1d(expected, self.ids())
        return (
            [f"tweet {missing[0]} and {len(missing) - 1} more are public, but not among these"] if len(missing) else []
        )
