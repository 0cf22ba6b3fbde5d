"""Reads in a joined shape: home timelines joined for their reader, anything else as pieces.

    home,            --> HomeTimelines in this shape --> JSON: the reader's shard knows his flags
    list_timeline        (ListTimelines, one a read)
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
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.core.features.filters import stamp_of
from actors.core.features.viewer_flags import flags_of
from actors.core.joining import JoiningRenderer
from actors.core.lookups import Lookups
from actors.core.shapes import JoinedShape
from actors.core.timelines.home import Ask, HomeQuery, HomeTimelines, Wake
from actors.core.timelines.list_timelines import ListQuery, ListTimelines

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
        """Produce the reply of a home timeline, or of a list's, yielding what it takes.

        It is `[json array, newest_id, oldest_id]`. For a reader with filters there follow their stamp, and where each
        tweet begins in the array: what they say is put into each.
        """
        home = ListTimelines(self.lookups, self.shape, query) if isinstance(query, ListQuery) else self.home
        stamp = stamp_of(self.lookups.state, query.account_id)
        show = self.shape.array_and_places if stamp else None
        self.shape.take_unknown()
        reply = home.try_page(query, show)
        if reply is None:
            reply = yield from self._slow_home(home, query, bool(stamp))
        elif questions := self.shape.take_unknown():
            yield AskAccounts(questions)
            reply = home.try_page(query, show) or reply  # the ring may have gone meanwhile
        if not stamp:
            return reply
        shown, newest, oldest = reply
        array, places = shown if newest else (shown, [])
        return [array, newest, oldest, stamp, places]

    def _slow_home(
        self, home: HomeTimelines, query: HomeQuery, with_places: bool
    ) -> Generator[Wake | Ask | AskAccounts, Any, list[Any]]:
        items = yield from home.steps(query)
        if not items:
            return [b"[]", 0, 0]
        tweets = [tweet for _, tweet in items]
        questions = self.shape.unknown_among(tweets)  # others have read since the first of them was put together
        if questions:
            yield AskAccounts(questions)
            tweets = [self.shape.again(tweet) for tweet in tweets]
        joined = self.shape.joined(tweets, query.account_id)
        array, places = b"[" + b",".join(joined) + b"]", accumulate((1 + len(each) for each in joined), initial=1)
        shown = (array, [*places][:-1]) if with_places else array
        return [shown, tweets[0].tweet_id, tweets[-1].tweet_id]

    def steps(self, answer: Callable[[Lookups], Any]) -> Generator[AskAccounts, Any, Any]:
        """Produce what a read answers, given these lookups: its body with tweets in pieces."""
        self.shape.take_unknown()
        body = answer(self.lookups)
        questions = self.shape.take_unknown()
        if questions:
            yield AskAccounts(questions)
            body = answer(self.lookups)
        return body
