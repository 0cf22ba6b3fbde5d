"""What a search has found, as this shard's memory has it now: who may see it, how it ranks, its ready JSON.

Rules of this file
- The search index is a copy that lags; nothing of it is believed but ids and word scores. A tweet that has gone, isn't
  public, or that the reader may not see (`visibility.py`), isn't answered.
- What an account says that wants to be in no search (`People.unindexed`) is answered to that account alone, and no
  repost of it; but on pages of hashtags, which are places where it has put it. Of originals on other shards the
  asker finds that out (`features/indexing.py`).
- Counts for ranking are those of this moment; the JSON's follow with the next flush, as on timelines.

    score = BM25 x engagement x freshness x closeness
    engagement   log2(2 + likes + 2 reposts + replies)
    freshness    floor + (1 - floor) 2^(-age / half-life)
    closeness    1 + bonus if the reader follows the author

Costs: 1 us a tweet with its JSON ready, 0.15 if it is known where; 0.7 us to rank one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import repeat
from math import log2
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from actors.core.entries import unpack
from actors.core.flags import FLAGS_HIDDEN
from actors.core.hashtags import UNTAGGED, tags_in
from actors.core.render import render_card
from actors.core.visibility import ReaderFacts

if TYPE_CHECKING:
    from actors.core.lookups import Lookups

Ints = npt.NDArray[np.int64]
HIDDEN_FLAGS = FLAGS_HIDDEN
_NOBODY: Final[frozenset[int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Weights:
    """What `top` is ranked by. half_life_ms: after which freshness has halved; freshness_floor: below which it doesn't
    fall; closeness_bonus: for authors that the reader follows."""

    half_life_ms: float = 24 * 3_600_000.0
    freshness_floor: float = 0.05
    closeness_bonus: float = 1.0


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who lookups. account_id: 0 for nobody; following, hidden: account ids, ascending."""

    account_id: int
    following: Ints
    hidden: Ints

    def facts(self) -> ReaderFacts:
        """Return what decides who may see what: all that the reader's shard knows was asked, mutes included."""
        return ReaderFacts(self.account_id, set(self.hidden.tolist()), None)


Found = tuple[float, int, bytes]  # (score, tweet id, JSON)


class FoundTweets:
    """Answers about tweets that a search has found on this shard."""

    def __init__(self, lookups: Lookups) -> None:
        self.lookups, self._state = lookups, lookups.state

    def is_searchable(self, tweet_id: int) -> bool:
        """Whether a tweet belongs into the index: public and listed, and its author is this shard's."""
        slot = self._state.tweets.slot_of.get(tweet_id)
        if slot is None:
            return False
        columns = self._state.tweets.columns
        return not columns["flags"][slot] & HIDDEN_FLAGS and int(columns["author_id"][slot]) in (
            self._state.people.row_of
        )

    def count_here(self, tweet_ids: Iterable[int]) -> int:
        """Return how many of some tweets are here."""
        slot_of = self._state.tweets.slot_of
        return sum(tweet_id in slot_of for tweet_id in tweet_ids)

    def recently_tagged(self) -> Iterator[tuple[int, set[int]]]:
        """Yield (tweet id, ids of its hashtags) of the tweets that have just come or been edited, if they have any.

        0.5 us a tweet without a hashtag, 4 us with one.
        """
        tweets, news = self._state.tweets, self._state.news
        for tweet_id in () if news is None else news.recent():
            slot = tweets.slot_of.get(tweet_id)
            if slot is not None and not tweets.columns["flags"].item(slot) & UNTAGGED:
                entry = tweets.get(tweet_id)
                tags = () if entry is None else tags_in(entry.flags, entry.body)
                if tags:
                    yield tweet_id, set(tags)

    def rows(
        self, tweet_ids: Sequence[int], viewer: Viewer, count: int, scores: Sequence[float] | None = None,
        arrivals: Sequence[int] | None = None, is_page: bool = False,
    ) -> list[Found]:  # fmt: skip
        """Return the first `count` that the viewer may see, in that order.

        scores: by which they are sorted; arrivals: where each lies among the arrivals, -1 for what has to be looked up,
        and all that is known there is public and here; is_page: of a hashtag, rather than what was searched for.
        """
        state = self._state
        unindexed = _NOBODY if is_page else state.people.unindexed
        if arrivals is not None and not viewer.account_id and not (state.people.away or state.people.leaving):
            ready = self._ready(tweet_ids, count, scores, arrivals, unindexed)
            if ready is not None:
                return ready
        facts, may_see = viewer.facts(), self.lookups.visibility.may_see
        tweets, row_of, reader = state.tweets, state.people.row_of, viewer.account_id
        slot_of, flags, authors = tweets.slot_of, tweets.columns["flags"], tweets.columns["author_id"]
        orig_authors = tweets.columns["orig_author"]
        found: list[Found] = []
        for i, tweet_id in enumerate(tweet_ids):
            slot = slot_of.get(tweet_id)
            if slot is None or flags.item(slot) & HIDDEN_FLAGS or authors.item(slot) not in row_of:
                continue
            author, orig_author = authors.item(slot), orig_authors.item(slot)
            if reader and not may_see(facts, author, 0, orig_author, []):
                continue
            if (author in unindexed and author != reader) or (orig_author in unindexed and orig_author != reader):
                continue
            found.append((0.0 if scores is None else scores[i], tweet_id, self.json(tweet_id)))
            if len(found) == count:
                break
        return found

    def _ready(
        self, tweet_ids: Sequence[int], count: int, scores: Sequence[float] | None, arrivals: Sequence[int],
        unindexed: AbstractSet[int],
    ) -> list[Found] | None:  # fmt: skip
        """As `rows` for nobody, of tweets that all lie among the arrivals with their JSON; None if some don't.

        Those that posting lists know are no reposts, so who wrote one is its author. 2 us more where somebody wants to
        be in no search.
        """
        if unindexed and -1 not in arrivals:
            authors = self._state.arrivals.author_id.take(arrivals).tolist()
            if not unindexed.isdisjoint(authors):
                kept = [i for i, author in enumerate(authors) if author not in unindexed]
                tweet_ids, arrivals = [tweet_ids[i] for i in kept], [arrivals[i] for i in kept]
                scores = None if scores is None else [scores[i] for i in kept]
        elif unindexed:
            return None
        places = arrivals[:count]
        if len(places) < 2 or -1 in places:
            return None
        shown = self.lookups.home.shape.ready(places)
        return None if shown is None else list(zip(scores or repeat(0.0), tweet_ids, shown, strict=False))

    def json(self, tweet_id: int) -> bytes:
        """Return the JSON of an own tweet, which must be here: the timelines' one where there is one."""
        n = self._state.arrivals.number_of.get(tweet_id)
        if n is not None:
            arrived: bytes = self.lookups.home.shape.arrived(n)
            return arrived
        entry = self._state.tweets.get(tweet_id)
        assert entry is not None, f"tweet {tweet_id} is not here"
        return self.lookups.render(entry)

    def ranked(
        self, tweet_ids: list[int], bm25: list[float], now_ms: int, viewer: Viewer, weights: Weights
    ) -> list[tuple[float, int]]:
        """Return (score, tweet id), the best first; of equal ones the newer first. Tweets that have gone are left out.

        A loop over Python numbers: most searches have a dozen candidates, for which NumPy takes longer.
        """
        slot_of, columns = self._state.tweets.slot_of, self._state.tweets.columns
        likes, reposts, replies, authors = (columns[name] for name in ("likes", "reposts", "replies", "author_id"))
        close = set(viewer.following.tolist())
        floor, bonus, rate = weights.freshness_floor, 1 + weights.closeness_bonus, -1 / weights.half_life_ms
        found = []
        for tweet_id, score in zip(tweet_ids, bm25, strict=True):
            slot = slot_of.get(tweet_id)
            if slot is None:
                continue
            engagement = likes.item(slot) + 2 * reposts.item(slot) + replies.item(slot)
            age_ms = now_ms - (tweet_id >> 16)
            fresh = floor + (1 - floor) * 2.0 ** (age_ms * rate) if age_ms > 0 else 1.0
            score *= log2(2 + engagement) * fresh
            if close and authors.item(slot) in close:
                score *= bonus
            found.append((score, tweet_id))
        found.sort(reverse=True)
        return found

    def texts(self, tweet_ids: list[int]) -> list[bytes]:
        """Return the packed bodies of tweets that are here, empty for others; of a repost, its original's."""
        found = []
        for tweet_id in tweet_ids:
            entry = self._state.tweets.get(tweet_id)
            found.append(b"" if entry is None else entry.body if entry.orig is None else unpack(entry.orig)[9])
        return found


def account_rows(lookups: Lookups, account_ids: list[int], viewer: Viewer) -> list[tuple[int, bytes]]:
    """Return (account id, JSON of the card) of accounts that are here and that no block hides from the viewer."""
    facts, is_hidden = viewer.facts(), lookups.visibility.is_hidden
    found = []
    for account_id in account_ids:
        row = lookups.state.people.row_of.get(account_id)
        if row is None or is_hidden(facts, account_id):
            continue
        found.append((account_id, render_card(lookups.state.people.accounts[row], lookups.state.tuning.media_base)))
    return found
