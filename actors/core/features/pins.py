"""Pins: a few of an account's own tweets that its profile shows first, to whoever may see them.

    pin --> PIN shelf of the account        the tweet is on the same shard, as its author is
    delete (tweets.py) --> off the shelf

Rules of this file
- Only tweets of its own words: a repost says another's, a direct one is not for a profile's readers. Neither changes
  later, so what is on the shelf may stay until it is taken off, or deleted.
- Somebody else's tweet, and one that isn't there, are refused alike: nothing is told of a tweet by trying to pin it.
- From level 2 of the cluster on.

Cost: that of a bookmark; a read renders five tweets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.core import limits
from actors.core.errors import ForbiddenError
from actors.core.flags import FLAG_DIRECT
from actors.core.inquiries import mark_of_seen
from actors.core.terms import Feature, Kind, Owner, Prepared, Read, Write
from actors.core.visibility import reader_facts

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

PIN = Kind(11, "pin", Owner.ACCOUNT, Owner.TWEET, limits.PINS_COUNT_MAX, from_level=2)


def pin(state: ShardState, account_id: int, tweet_id: int, on: bool, at_ms: int) -> bool:
    """Pin a tweet, as the newest pin, or take that back; returns whether that changed anything."""
    if on:
        return state.shelves.put(PIN, account_id, tweet_id, at_ms)
    return state.shelves.drop(PIN, account_id, tweet_id)


def prepare_pin(shard: Lookups, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
    """Pin an own tweet; the reply is whether that is new.

    Raises ForbiddenError for what isn't the account's, a repost or direct; InvalidError when all pins are in use.
    """
    prepared = shard.prepare_mark(PIN, account_id, tweet_id, True, ["pin", account_id, tweet_id, True, now_ms])
    entry = shard.state.tweets.get(tweet_id)
    if entry is None or entry.author_id != account_id:
        raise ForbiddenError(f"tweet {tweet_id} is not yours to pin", "tweet_id")
    if entry.is_repost or entry.flags & FLAG_DIRECT:
        what = "a repost" if entry.is_repost else "direct"
        raise ForbiddenError(f"tweet {tweet_id} is {what}, so it can't be pinned", "tweet_id")
    return prepared


def prepare_unpin(shard: Lookups, now_ms: int, account_id: int, tweet_id: int) -> Prepared:
    """Take a pin away; the reply is whether there was one."""
    return shard.prepare_mark(PIN, account_id, tweet_id, False, ["pin", account_id, tweet_id, False, now_ms])


def answer_pins(shard: Lookups, account_id: int, viewer: int) -> Any:
    """The tweets that an account has pinned and `viewer` may see, the newest pin first: a JSON array."""
    shard.row(account_id)
    known = reader_facts(viewer)
    keys, _ = shard.page(PIN, account_id, 0, PIN.limit)
    pinned = [shard.state.tweets.get(tweet_id) for tweet_id in keys]
    return shard.home.shape.listed([entry for entry in pinned if entry and shard.may_see(known, entry)])


FEATURE = Feature(
    "pins",
    kinds=(PIN,),
    writes=(Write("pin", prepare_pin, of_tweet=mark_of_seen), Write("unpin", prepare_unpin)),
    reads=(Read("pins", answer_pins, shaped=True),),
    commands={"pin": pin},
)
