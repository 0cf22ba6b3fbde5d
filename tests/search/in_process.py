"""A search engine without a process of its own, for tests: the real indexes behind `Searches`, fed from the core.

Rules of this file
- It has the shape of `SearchEngine` that `SearchRequests` uses, and the engine's own steps: rows, facts, index, rings.
- Before each answer it takes in and commits all that has changed. So a test sees everything at once, and what isn't
  found isn't found for a reason.
- Arguments and answers cross msgpack, as on the lane.

Costs: 10 ms to make, 5 ms a commit, nothing if nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack

from actors.core.errors import OverloadedError, RookeryError
from actors.core.news import News
from actors.core.postings.found import FoundTweets
from actors.core.postings.lists import Postings, Steps
from actors.search.accounts import AccountIndex
from actors.search.documents import CHANGED, EDITED, FOUND, NEW, band_of, read_tweet
from actors.search.index import TweetIndex
from actors.search.searches import Searches
from actors.search.terms import terms_of
from actors.search.trends import ShardTrends
from actors.shard.search_postings import Matches, TweetPostings
from actors.shard.search_rows import SearchRows

Done = Callable[[Any, Exception | None], None]
TAKEN_COUNT_MAX = 1 << 30  # keys taken at once: all


class FedPostings(TweetPostings):
    """Posting lists that are up to date whenever they are asked."""

    def __init__(self, engine: InProcessEngine) -> None:
        super().__init__(engine.rows, self._at_once)
        self._engine = engine

    async def _at_once(self, position: int) -> None:
        """Wait for nothing: the core of these tests commits at once."""

    def newest(self, tree: list[Any], max_id: int, min_id: int, count: int) -> Steps[Matches | None]:
        self._engine.feed()
        return super().newest(tree, max_id, min_id, count)

    def best(self, *args: Any) -> Steps[Matches | None]:
        self._engine.feed()
        return super().best(*args)


class InProcessEngine:
    """The search engine of one replica of the core."""

    def __init__(
        self, found: FoundTweets, directory: Path, later: Callable[..., Any] | None = None, has_lists: bool = False
    ) -> None:
        """directory: a folder of its own; later(done, body, error): calls `done` so, by default at once; has_lists:
        posting lists in memory answer what they can."""
        self.state, self.rows = found.lookups.state, SearchRows(found)
        self.tweets, self.accounts = TweetIndex(directory), AccountIndex(directory)
        self.searches = Searches(self.tweets, self.accounts)
        self.is_away = False
        self.facts: dict[str, Any] = {}
        self.asked: list[str] = []  # operations, in order
        self._later = later or _now
        self._seq = 0
        self._bands: dict[int, int] = {}
        self.trends = ShardTrends(0)
        self.postings = FedPostings(self)
        if has_lists:
            self.postings.lists = Postings()
        self.state.news = News()
        for tweet_id in self.state.tweets.slot_of:
            self._take_tweet(tweet_id, FOUND)
        for account_id in self.state.people.row_of:
            self._take_account(account_id)
        self._commit()

    # ---- the shape of SearchEngine ----------------------------------------------------------------------------

    def send(self, op: str, args: list[Any], timeout_s: float, done: Done) -> None:
        """Answer what the index finds now. Raises OverloadedError if a test has sent the engine away."""
        if self.is_away:
            raise OverloadedError(f"the search engine of shard {self.state.shard} is away", None, 1.0)
        self.asked.append(op)
        self.feed()
        try:
            answer = self._answer(op, msgpack.unpackb(msgpack.packb(args)))
            body = msgpack.unpackb(msgpack.packb(answer), strict_map_key=False)
        except RookeryError as error:
            self._later(done, None, error)
            return
        self._later(done, body, None)

    async def compare(self) -> dict[str, int]:
        """Say how far the index is from memory: not at all, once it is fed."""
        self.feed()
        names = ("missing", "extra", "stale", "accounts_missing", "accounts_extra", "unlisted")
        return {"indexed": self.tweets.figures()["documents"], **dict.fromkeys(names, 0)}

    def repair(self) -> None:
        """Do nothing: everything is fed before it is asked for."""

    def figures(self) -> dict[str, Any]:
        return {"state": "away" if self.is_away else "ready", **self.tweets.figures()}

    # ---- feeding ----------------------------------------------------------------------------------------------

    def feed(self) -> None:
        """Take in all that has changed, and commit it."""
        assert self.state.news is not None
        taken = self.state.news.take(TAKEN_COUNT_MAX)
        assert not taken.everything, "a map has changed: make another engine"
        for tweet_id, is_new in taken.tweets.items():
            self._take_tweet(tweet_id, NEW if is_new else EDITED if tweet_id in taken.edited else CHANGED)
        popular = [a for a, row in self.state.people.row_of.items() if self._band(row) != self._bands.get(a)]
        for account_id in {*taken.accounts, *popular}:
            self._take_account(account_id)
        self._commit()

    def close(self) -> None:
        self.state.news = None
        self.tweets.close()
        self.accounts.close()

    def _answer(self, op: str, args: list[Any]) -> Any:
        return self.trends.snapshot(0) if op == "trends" else self.searches.answer(op, args)

    def _take_tweet(self, tweet_id: int, news: int) -> None:
        row = self.rows.tweet(tweet_id, news)
        if row is None:
            self.tweets.remove(tweet_id)
            self.searches.tags.remove([tweet_id])
            self.postings.gone([tweet_id])
            return
        facts = read_tweet(msgpack.unpackb(msgpack.packb(row)))
        self.tweets.add(facts)
        if news != CHANGED and "repost" not in facts.marks:
            self.postings.take([terms_of(facts)], {tweet_id} if news == EDITED else frozenset())
        self._seq += 1
        if news == EDITED:
            self.searches.tags.edit(self._seq, tweet_id, facts.hashtags)
        elif facts.hashtags and "repost" not in facts.marks:
            self.searches.tags.add(self._seq, tweet_id, facts.hashtags)

    def _take_account(self, account_id: int) -> None:
        row = self.rows.account(account_id)
        if row is None:
            self.accounts.remove(account_id)
            return
        self._bands[account_id] = band_of(row[-1])
        self.accounts.add(row)

    def _band(self, row: int) -> int:
        return band_of(self.rows.followers(row))

    def _commit(self) -> None:
        if self.tweets.uncommitted_count or self.accounts.uncommitted_count:
            self._commit_and_check()

    def _commit_and_check(self) -> None:
        if self.tweets.uncommitted_count:
            self.tweets.commit()
        if self.accounts.uncommitted_count:
            self.accounts.commit()
        self.searches.tags.committed(self._seq)
        problems = self.searches.tags.check()
        if self.postings.lists is not None:
            problems += self.postings.lists.check()
        assert not problems, problems


def _now(done: Done, body: Any, error: Exception | None) -> None:
    done(body, error)
