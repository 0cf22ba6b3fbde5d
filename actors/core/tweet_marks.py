"""Features that are a mark and nothing else: tweets that an account keeps on a shelf of its own, for itself alone.

    BOOKMARK = Kind(3, "bookmark", Owner.ACCOUNT, Owner.TWEET, limit)
    FEATURE = tweet_marks(BOOKMARK, "bookmark", "unbookmark", "bookmarks")

Rules of this file
- Nobody else is told, nothing is counted. What more there is to a mark is written out: `features/likes.py`, `pins.py`.
- A mark stands whether its tweet can be seen or not: who lists them leaves out what the account may no longer see.
- The command is `[put, account, tweet, on, at_ms]`, for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.core.inquiries import mark_of_seen
from actors.core.terms import Feature, Kind, Prepared, Read, Write

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def tweet_marks(kind: Kind, put: str, drop: str, pages: str) -> Feature:
    """Return the feature of a kind of mark: its two writes, and the read of its pages, by which it is called, too."""

    def mark(state: ShardState, account_id: int, tweet_id: int, on: bool, at_ms: int) -> bool:
        """Set or clear a mark; returns whether that changed anything."""
        if on:
            return state.shelves.put(kind, account_id, tweet_id, at_ms)
        return state.shelves.drop(kind, account_id, tweet_id)

    def prepare_put(shard: Lookups, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
        return shard.prepare_mark(kind, account_id, tweet_id, True, [put, account_id, tweet_id, True, now_ms])

    def prepare_drop(shard: Lookups, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
        return shard.prepare_mark(kind, account_id, tweet_id, False, [put, account_id, tweet_id, False, now_ms])

    def answer_page(shard: Lookups, account_id: int, before: int, count: int) -> list[Any]:
        shard.row(account_id)
        return shard.page(kind, account_id, before, count)

    prepare_put.__doc__ = f"Set a {kind.name} on a tweet; the reply is whether that is new."
    prepare_drop.__doc__ = f"Take a {kind.name} away; the reply is whether there was one."
    answer_page.__doc__ = (
        f"A page of an account's {kind.name}s, newest first: `[tweet ids, stamp to go on before, or 0]`."
    )
    return Feature(
        pages,
        kinds=(kind,),
        writes=(Write(put, prepare_put, of_tweet=mark_of_seen), Write(drop, prepare_drop)),
        reads=(Read(pages, answer_page),),
        commands={put: mark},
    )
