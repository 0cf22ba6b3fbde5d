"""What accounts mark in the cluster of dicts: likes, bookmarks, pins, and the lists that are made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from actors.core.errors import ForbiddenError
from actors.core.visibility import question

if TYPE_CHECKING:
    from tests.api.fake_cluster import FakeTweet


class FakeMarks:
    """What `FakeCluster` answers about marks, out of its dicts."""

    tweets: dict[int, FakeTweet]
    likes: dict[tuple[int, int], int]
    bookmarks: dict[tuple[int, int], int]
    pins: dict[tuple[int, int], int]
    _sequence: Iterator[int]

    def _mark(self, marks: dict[tuple[int, int], int], who: int, tweet_id: int) -> bool:
        self._account(who)
        return marks.setdefault((who, tweet_id), number := next(self._sequence)) == number

    def do_like(self, who: int, tweet_id: int) -> bool:
        return self._mark(self.likes, who, tweet_id)

    def do_if_seen(self, who: int, tweet_id: int, op: str) -> Any:
        """Of a repost the API is to ask what it needs by itself, as where a shard can't ask another."""
        if op == "repost":
            return question(())
        self._tweet(tweet_id, who)
        return getattr(self, f"do_{op}")(who, tweet_id)

    def do_unlike(self, who: int, tweet_id: int) -> bool:
        return self.likes.pop((who, tweet_id), None) is not None

    def do_bookmark(self, who: int, tweet_id: int) -> bool:
        return self._mark(self.bookmarks, who, tweet_id)

    def do_unbookmark(self, who: int, tweet_id: int) -> bool:
        return self.bookmarks.pop((who, tweet_id), None) is not None

    def do_pin(self, who: int, tweet_id: int) -> bool:
        tweet = self.tweets.get(tweet_id)
        if tweet is None or tweet.author_id != who or tweet.repost_of:
            raise ForbiddenError(f"tweet {tweet_id} is not yours to pin", "tweet_id")
        return self._mark(self.pins, who, tweet_id)

    def do_unpin(self, who: int, tweet_id: int) -> bool:
        return self.pins.pop((who, tweet_id), None) is not None

    def do_pins(self, who: int, viewer: int) -> bytes:
        self._account(who)
        ids, _ = self._listed([(order, t) for (w, t), order in self.pins.items() if w == who], 0, 5)
        found = [self.tweets[t] for t in ids if t in self.tweets]
        return orjson.dumps([self._render(t) for t in found if self._visible(t, viewer)])

    def do_likes(self, who: int, before: int, count: int) -> list[Any]:
        return self._listed([(order, t) for (w, t), order in self.likes.items() if w == who], before, count)

    def do_bookmarks(self, who: int, before: int, count: int) -> list[Any]:
        return self._listed([(order, t) for (w, t), order in self.bookmarks.items() if w == who], before, count)

    def do_viewer_flags(self, who: int, tweets: bytes, originals: bytes, authors: bytes) -> bytes:
        ids = np.frombuffer(tweets, dtype="<i8").tolist()
        return bytes((((who, t) in self.likes) | ((who, t) in self.bookmarks) * 4) for t in ids)

    def do_likers(self, tweet_id: int, viewer: int, before: int, count: int, facts: Any = None) -> list[Any]:
        self._tweet(tweet_id, viewer)
        rows = [(o, who) for (who, t), o in self.likes.items() if t == tweet_id and not self._blocked(who, viewer)]
        return self._listed(rows, before, count)

    def do_reposters(self, tweet_id: int, viewer: int, before: int, count: int, facts: Any = None) -> list[Any]:
        self._tweet(tweet_id, viewer)
        reposts = [t for t in self.tweets.values() if t.repost_of == tweet_id and self._visible(t, viewer)]
        return self._listed([(t.tweet_id, t.author_id) for t in reposts], before, count)

    def do_replies(self, tweet_id: int, viewer: int, before: int, count: int, facts: Any = None) -> list[Any]:
        self._tweet(tweet_id, viewer)
        replies = [t.tweet_id for t in self.tweets.values() if t.in_reply_to == tweet_id]
        return self._listed([(reply_id, reply_id) for reply_id in replies], before, count)

    def _listed(self, rows: list[tuple[int, int]], cursor: int, count: int) -> list[Any]:
        rows = sorted(((order, a) for order, a in rows if not cursor or order < cursor), reverse=True)
        page = rows[:count]
        return [[account_id for _, account_id in page], page[-1][0] if len(rows) > count else 0]
