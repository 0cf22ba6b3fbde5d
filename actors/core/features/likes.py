"""Likes: kept by the account's shard, counted by the tweet's.

Rules of this file
- The tweet's shard only counts. If the tweet is gone, it answers `tweet_gone`, which takes the like back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.core import arguments, limits
from actors.core.errors import InvalidError
from actors.core.features.counts import count
from actors.core.features.rows import Effect, Feature, Prepared, To, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def like(state: ShardState, account_id: int, tweet_id: int, on: bool, at_ms: int = 0) -> bool:
    """Like or unlike a tweet; its shard counts."""
    row = state.people.row_of[account_id]
    likes = state.likes.setdefault(row, {})
    if (tweet_id in likes) == on:
        return False
    if on:
        likes[tweet_id] = None
    else:
        del likes[tweet_id]
    state.changes.like(account_id, tweet_id)
    state.tell(state.shard_of_tweet(tweet_id), LIKED, account_id, tweet_id, 1 if on else -1, at_ms)
    return True


def on_liked(state: ShardState, source: int, account_id: int, tweet_id: int, step: int, at_ms: int = 0) -> None:
    """Count a like, 1 or -1. If there is no such tweet any more, the like is to be forgotten."""
    if not count(state, tweet_id, "likes", step) and step > 0:
        state.tell(source, TWEET_GONE, account_id, tweet_id, at_ms)


def on_tweet_gone(state: ShardState, source: int, account_id: int, tweet_id: int, at_ms: int = 0) -> None:
    """Forget the like of a tweet that is gone."""
    row = state.people.row_of[account_id]
    if state.likes.get(row, {}).pop(tweet_id, 0) is None:
        state.changes.like(account_id, tweet_id)


def prepare_like(shard: Lookups, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
    """Like a tweet; the reply is whether that is new."""
    return _like(shard, now_ms, account_id, tweet_id, True)


def prepare_unlike(shard: Lookups, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
    """Take a like back; the reply is whether there was one."""
    return _like(shard, now_ms, account_id, tweet_id, False)


def _like(shard: Lookups, now_ms: int, account_id: int, tweet_id: int, on: bool) -> Prepared:
    row = shard.row(account_id)
    arguments.an_id(tweet_id, "tweet_id")
    likes = shard.state.likes.get(row, {})
    if (tweet_id in likes) == on:
        return nothing(False)
    if on and len(likes) >= limits.LIKES_COUNT_MAX:
        raise InvalidError(f"an account may like {limits.LIKES_COUNT_MAX} tweets; take some back", "tweet_id")
    return Prepared(shard.timed(["like", account_id, tweet_id, on], now_ms), same)


LIKED = Effect("liked", on_liked, To.TWEET, ("actor", "tweet", "step", "at_ms"), short=3, undone_by="liked")
TWEET_GONE = Effect("tweet_gone", on_tweet_gone, To.ASKER, ("actor", "tweet", "at_ms"), short=2)

FEATURE = Feature(
    "likes",
    writes=(Write("like", prepare_like), Write("unlike", prepare_unlike)),
    commands={"like": like},
    effects=(LIKED, TWEET_GONE),
)
