"""Bookmarks: tweets that an account keeps for itself. Nobody else is told, nothing is counted.

Rules of this file
- A bookmark stands whether its tweet can be seen or not: who lists them leaves out what the account may no longer see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.core import limits
from actors.core.inquiries import mark_of_seen
from actors.core.terms import Feature, Kind, Owner, Prepared, Read, Write

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

BOOKMARK = Kind(3, "bookmark", Owner.ACCOUNT, Owner.TWEET, limits.BOOKMARKS_COUNT_MAX)


def bookmark(state: ShardState, account_id: int, tweet_id: int, on: bool, at_ms: int) -> bool:
    """Set or clear a bookmark; returns whether that changed anything."""
    if on:
        return state.shelves.put(BOOKMARK, account_id, tweet_id, at_ms)
    return state.shelves.drop(BOOKMARK, account_id, tweet_id)


def prepare_bookmark(shard: Lookups, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
    """Bookmark a tweet; the reply is whether that is new."""
    return shard.prepare_mark(BOOKMARK, account_id, tweet_id, True, ["bookmark", account_id, tweet_id, True, now_ms])


def prepare_unbookmark(shard: Lookups, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
    """Take a bookmark away; the reply is whether there was one."""
    return shard.prepare_mark(BOOKMARK, account_id, tweet_id, False, ["bookmark", account_id, tweet_id, False, now_ms])


def answer_bookmarks(shard: Lookups, account_id: int, before: int, count: int) -> list[Any]:
    """A page of an account's bookmarks, newest first: `[tweet ids, stamp to go on before, or 0]`."""
    shard.row(account_id)
    return shard.page(BOOKMARK, account_id, before, count)


FEATURE = Feature(
    "bookmarks",
    kinds=(BOOKMARK,),
    writes=(Write("bookmark", prepare_bookmark, of_tweet=mark_of_seen), Write("unbookmark", prepare_unbookmark)),
    reads=(Read("bookmarks", answer_bookmarks),),
    commands={"bookmark": bookmark},
)
