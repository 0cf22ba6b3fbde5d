"""Reads in a joined shape: home timelines joined for their reader, anything else as pieces.

    home             --> HomeTimelines in this shape --> JSON: the reader's shard knows his flags
    tweet, tweets,   --> Lookups in this shape       --> `TweetPieces`, in place of each JSON object; a list of them,
    user_timeline,                                       in place of an array
    lineage

    authors of other shards of whom nothing is known --> AskAccounts: asked once, then shown by what is known

Rules of this file
- One for each shape that was asked for, made when it first is: a shape that nobody asks for costs nothing.
- What a read says of visibility, and what it refuses, is the operation's own: only how tweets are shown differs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.core.features.viewer_flags import flags_of
from actors.core.joining import JoiningRenderer
from actors.core.lookups import Lookups
from actors.core.shapes import JoinedShape
from actors.core.timelines.home import Ask, HomeQuery, HomeTimelines, Wake

if TYPE_CHECKING:
    from actors.core.state import ShardState


class AskAccounts(NamedTuple):
    """Accounts of other shards that a page shows and of which nothing is known, by shard.

    Answer: None, once `learn_accounts` was told of them, or it has taken too long.
    """

    questions: dict[int, list[int]]


class ShapedReads:
    """One replica's reads in one joined shape."""

    def __init__(self, state: ShardState, lookups: Lookups, renderer: JoiningRenderer) -> None:
        self.shape = JoinedShape(state, renderer, partial(flags_of, lookups))
        self.home = HomeTimelines(state, self.shape)
        self.lookups = lookups.in_shape(self.home)

    def home_steps(self, query: HomeQuery) -> Generator[Wake | Ask | AskAccounts, Any, list[Any]]:
        """Produce the reply of a home timeline, `[json array, newest_id, oldest_id]`, yielding what it takes."""
        self.shape.take_unknown()
        reply = self.home.try_page(query)
        if reply is None:
            return (yield from self._slow_home(query))
        questions = self.shape.take_unknown()
        if questions:
            yield AskAccounts(questions)
            reply = self.home.try_page(query) or reply  # the ring may have gone meanwhile
        return reply

    def _slow_home(self, query: HomeQuery) -> Generator[Wake | Ask | AskAccounts, Any, list[Any]]:
        items = yield from self.home.steps(query)
        if not items:
            return [b"[]", 0, 0]
        tweets = [tweet for _, tweet in items]
        questions = self.shape.unknown_among(tweets)  # others have read since the first of them was put together
        if questions:
            yield AskAccounts(questions)
            tweets = [self.shape.again(tweet) for tweet in tweets]
        joined = self.shape.joined(tweets, query.account_id)
        return [b"[" + b",".join(joined) + b"]", tweets[0].tweet_id, tweets[-1].tweet_id]

    def steps(self, answer: Callable[[Lookups], Any]) -> Generator[AskAccounts, Any, Any]:
        """Produce what a read answers, given these lookups: its body with tweets in pieces."""
        self.shape.take_unknown()
        body = answer(self.lookups)
        questions = self.shape.take_unknown()
        if questions:
            yield AskAccounts(questions)
            body = answer(self.lookups)
        return body
