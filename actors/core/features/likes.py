"""Likes: kept by the account's shard, counted and listed by the tweet's.

    like --> LIKE shelf of the account --liked--> the tweet's count, and its LIKER shelf

Rules of this file
- Each side is kept where it is asked for: an account's likes by its own shard, a tweet's likers by the tweet's.
- If the tweet is gone, its shard answers `tweet_gone`, which takes the like back.
- A tweet lists its newest likers only, LISTED_PER_TWEET_MAX of them; its count is of all.
- Likers are listed from the cluster's level 1 on; what was liked before is told when the level rises (`likes_told`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.core import limits
from actors.core.features import counts
from actors.core.inquiries import mark_of_seen
from actors.core.terms import (
    Effect,
    Feature,
    Full,
    Key,
    Kind,
    Notified,
    Notifies,
    Owner,
    Prepared,
    Read,
    Settles,
    To,
    Write,
)

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def _take_back(state: ShardState, account_id: int, tweet_id: int, at_ms: int) -> None:
    """Have a like counted no more: who liked is deleted."""
    state.tell(state.shard_of_tweet(tweet_id), LIKED, account_id, tweet_id, -1, at_ms)


LIKE = Kind(
    1, "like", Owner.ACCOUNT, Owner.TWEET, limits.LIKES_COUNT_MAX, dense=True, from_level=0, left=_take_back
)  # fmt: skip
LIKER = Kind(2, "liker", Owner.TWEET, Owner.ACCOUNT, limits.LISTED_PER_TWEET_MAX, Full.OLDEST, dense=True)


def like(state: ShardState, account_id: int, tweet_id: int, on: bool, at_ms: int = 0) -> bool:
    """Like or unlike a tweet; its shard counts."""
    shelves = state.shelves
    changed = shelves.put(LIKE, account_id, tweet_id, at_ms) if on else shelves.drop(LIKE, account_id, tweet_id)
    if changed:
        told = (account_id, tweet_id, 1 if on else -1, at_ms, state.people.born_day(account_id))
        state.tell(state.shard_of_tweet(tweet_id), LIKED, *told)
    return changed


def on_liked(
    state: ShardState, source: int, account_id: int, tweet_id: int, step: int, at_ms: int = 0, born_day: int = 0
) -> None:
    """Count a like, 1 or -1, and list who likes. If there is no such tweet any more, the like is to be forgotten."""
    if not counts.count(state, tweet_id, "likes", step):
        if step > 0:
            state.tell(source, TWEET_GONE, account_id, tweet_id, at_ms)
    elif state.level >= LIKER.from_level or at_ms:  # whoever says when has risen already, and won't tell it again
        if step > 0:
            state.shelves.put(LIKER, tweet_id, account_id, at_ms)
        else:
            state.shelves.drop(LIKER, tweet_id, account_id)


def on_tweet_gone(state: ShardState, source: int, account_id: int, tweet_id: int, at_ms: int = 0) -> None:
    """Forget the like of a tweet that is gone."""
    state.shelves.drop(LIKE, account_id, tweet_id)


def prepare_like(shard: Lookups, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
    """Like a tweet; the reply is whether that is new."""
    return shard.prepare_mark(
        LIKE, account_id, tweet_id, True, shard.timed(["like", account_id, tweet_id, True], now_ms)
    )


def prepare_unlike(shard: Lookups, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
    """Take a like back; the reply is whether there was one."""
    return shard.prepare_mark(
        LIKE, account_id, tweet_id, False, shard.timed(["like", account_id, tweet_id, False], now_ms)
    )


def answer_likes(shard: Lookups, account_id: int, before: int, count: int) -> list[Any]:
    """A page of the tweets that an account likes, newest action first: `[tweet ids, stamp to go on before, or 0]`.

    Whom it may be shown to is the caller's business: the account itself alone.
    """
    shard.row(account_id)
    return shard.page(LIKE, account_id, before, count)


def answer_likers(shard: Lookups, tweet_id: int, viewer: int, before: int, count: int, facts: Any = None) -> list[Any]:
    """A page of the accounts that like a tweet which `viewer` may see, newest action first, without those he doesn't.

    `[account ids, stamp to go on before, or 0]`; a page may be shorter than asked for, and go on all the same.
    """
    return shard.listed_of_tweet(LIKER, tweet_id, viewer, before, count, facts)


LIKED = Effect(
    "liked", on_liked, To.TWEET, ("actor", "tweet", "step", "at_ms", "born_day"), short=3, later=1, undone_by="liked",
    notifies=Notifies("favourite", Notified.AUTHOR, "tweet", "step", also=("deleted",)), settles=Settles.ARRIVED,
)  # fmt: skip
TWEET_GONE = Effect("tweet_gone", on_tweet_gone, To.ASKER, ("actor", "tweet", "at_ms"), short=2)

FEATURE = Feature(
    "likes",
    kinds=(LIKE, LIKER),
    writes=(Write("like", prepare_like, of_tweet=mark_of_seen), Write("unlike", prepare_unlike)),
    reads=(Read("likes", answer_likes), Read("likers", answer_likers, Key.TWEET)),
    commands={"like": like},
    effects=(LIKED, TWEET_GONE),
)
