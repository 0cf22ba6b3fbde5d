"""What a search has found, as this shard's memory has it now: who may see it, how it ranks, its ready JSON.

Rules of this file
- The search index is a copy that lags; nothing of it is believed but ids and word scores. A tweet that has gone, isn't
  public, or whose author and reader a block stands between, isn't answered.
- Counts for ranking are those of this moment; the JSON's follow with the next flush, as on timelines.

    score = BM25 x engagement x freshness x closeness
    engagement   log2(2 + likes + 2 reposts + replies)
    freshness    floor + (1 - floor) 2^(-age / half-life)
    closeness    1 + bonus if the reader follows the author

Costs: 1 us a tweet with its JSON ready, 50 us to rank 400.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from actors.core import kernels
from actors.core.entries import unpack
from actors.core.graph import BLOCK, BLOCKED_BY
from actors.core.render import render_card

if TYPE_CHECKING:
    from actors.core.reads import Reads

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
HIDDEN_FLAGS = kernels.FLAG_FOLLOWERS | kernels.FLAG_DIRECT


@dataclass(frozen=True, slots=True)
class Weights:
    """What `top` is ranked by. half_life_ms: after which freshness has halved; freshness_floor: below which it doesn't
    fall; closeness_bonus: for authors that the reader follows."""

    half_life_ms: float = 24 * 3_600_000.0
    freshness_floor: float = 0.05
    closeness_bonus: float = 1.0


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who reads. account_id: 0 for nobody; following, hidden: account ids, ascending."""

    account_id: int
    following: Ints
    hidden: Ints


Found = tuple[float, int, bytes]  # (score, tweet id, JSON)


class FoundTweets:
    """Answers about tweets that a search has found on this shard."""

    def __init__(self, reads: Reads) -> None:
        self.reads, self._state = reads, reads.state

    def is_searchable(self, tweet_id: int) -> bool:
        """Whether a tweet belongs into the index: public, and its author is this shard's."""
        slot = self._state.tweets.slot_of.get(tweet_id)
        if slot is None:
            return False
        columns = self._state.tweets.columns
        return not columns["flags"][slot] & HIDDEN_FLAGS and int(columns["author_id"][slot]) in (
            self._state.people.row_of
        )

    def is_visible(self, slot: int, viewer: Viewer, hidden: set[int]) -> bool:
        """Whether `viewer` may see the tweet of that slot among the results of a search."""
        tweets = self._state.tweets
        if tweets.columns["flags"][slot] & HIDDEN_FLAGS:
            return False
        author = int(tweets.columns["author_id"][slot])
        row = self._state.people.row_of.get(author)
        if row is None:
            return False
        if not viewer.account_id:
            return True
        graph, reader = self._state.graph, viewer.account_id
        if graph.related(row, BLOCK, reader) or graph.related(row, BLOCKED_BY, reader):
            return False
        return author not in hidden and int(tweets.columns["orig_author"][slot]) not in hidden

    def rows(self, tweet_ids: list[int], viewer: Viewer, scores: list[float] | None = None) -> list[Found]:
        """Return those that the viewer may see, in that order. scores: by which they were sorted, else 0."""
        hidden = set(viewer.hidden.tolist())
        slot_of = self._state.tweets.slot_of
        found: list[Found] = []
        for i, tweet_id in enumerate(tweet_ids):
            slot = slot_of.get(tweet_id)
            if slot is not None and self.is_visible(slot, viewer, hidden):
                found.append((0.0 if scores is None else scores[i], tweet_id, self.json(tweet_id)))
        return found

    def json(self, tweet_id: int) -> bytes:
        """Return the JSON of an own tweet, which must be here: the timelines' one where there is one."""
        n = self._state.arrivals.number_of.get(tweet_id)
        if n is not None:
            return self.reads.home.rendered(n)
        entry = self._state.tweets.get(tweet_id)
        assert entry is not None, f"tweet {tweet_id} is not here"
        return self.reads.render(entry)

    def ranked(
        self, tweet_ids: Ints, bm25: Floats, now_ms: int, viewer: Viewer, weights: Weights
    ) -> tuple[list[int], list[float]]:
        """Return ids and scores, the best first; of equal ones the newer first. Tweets that have gone are left out."""
        slots = np.array([self._state.tweets.slot_of.get(t, -1) for t in tweet_ids.tolist()], dtype=np.int64)
        here = slots >= 0
        slots, tweet_ids, bm25 = slots[here], tweet_ids[here], bm25[here]
        columns = self._state.tweets.columns
        engagement = columns["likes"][slots] + 2 * columns["reposts"][slots] + columns["replies"][slots]
        age_ms = np.maximum(now_ms - (tweet_ids >> 16), 0)
        floor = weights.freshness_floor
        freshness = floor + (1 - floor) * np.exp2(-age_ms / weights.half_life_ms)
        scores = bm25 * np.log2(2.0 + engagement) * freshness
        if len(viewer.following):
            close = np.isin(columns["author_id"][slots], viewer.following)
            scores = np.where(close, scores * (1 + weights.closeness_bonus), scores)
        order = np.lexsort((-tweet_ids, -scores))
        return tweet_ids[order].tolist(), scores[order].tolist()

    def texts(self, tweet_ids: list[int]) -> list[bytes]:
        """Return the packed bodies of tweets that are here, empty for others; of a repost, its original's."""
        found = []
        for tweet_id in tweet_ids:
            entry = self._state.tweets.get(tweet_id)
            found.append(b"" if entry is None else entry.body if entry.orig is None else unpack(entry.orig)[9])
        return found


def account_rows(reads: Reads, account_ids: list[int], viewer: Viewer) -> list[tuple[int, bytes]]:
    """Return (account id, JSON of the card) of accounts that are here and that no block hides from the viewer."""
    hidden = set(viewer.hidden.tolist())
    found = []
    for account_id in account_ids:
        row = reads.state.people.row_of.get(account_id)
        if row is None or account_id in hidden:
            continue
        if viewer.account_id and reads.is_hidden_from(viewer.account_id, row):
            continue
        found.append((account_id, render_card(reads.state.people.accounts[row])))
    return found
