"""Muted conversations: an account wants to hear no more of them. Nobody else is told.

    mute_conversation --> MUTED_CONVERSATION shelf of the account: the tweets from the first one down to that one

Rules of this file
- No tweet knows which conversation it belongs to but by what it answers. So what is kept is the line of tweets from
  the first one of the conversation down to the one at which it was muted; whatever answers one of these, or an answer
  to it that this shard knows, is muted as well (`is_muted`).
- A line stands whether its tweets can be seen or not.
- From level 3 of the cluster on.

Cost: 18 bytes a tweet of a line. Reads: nothing for whoever has muted none; else 20 us for 1,000 tweets of lines, and
1.5 us for each tweet on the way up from one that is shown.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Any

from actors.core import arguments, limits
from actors.core.facts import read_facts
from actors.core.terms import Feature, Full, Kind, Owner, Prepared, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

MUTED_CONVERSATION = Kind(
    24, "muted conversation", Owner.ACCOUNT, Owner.TWEET, limits.MUTED_LINES_COUNT_MAX, Full.OLDEST, from_level=3
)


def mute_conversation(state: ShardState, account_id: int, tweet_ids: list[int], on: bool, at_ms: int) -> bool:
    """Mute the line of tweets, or hear of it again; returns whether that changed anything."""
    shelves = state.shelves
    changes = [
        shelves.put(MUTED_CONVERSATION, account_id, tweet_id, at_ms)
        if on
        else shelves.drop(MUTED_CONVERSATION, account_id, tweet_id)
        for tweet_id in tweet_ids
    ]
    return any(changes)


def is_muted(state: ShardState, muted: Set[int], tweet_id: int, parent_id: int = 0) -> bool:
    """Whether a tweet, or what it answers, as far up as this shard knows, is among some.

    parent_id: what it answers, 0 if the caller doesn't know.
    """
    for _ in range(limits.MUTED_HOPS_MAX):
        if tweet_id in muted:
            return True
        tweet_id, parent_id = parent_id or _answered(state, tweet_id), 0
        if not tweet_id:
            return False
    return False


def _answered(state: ShardState, tweet_id: int) -> int:
    """Return what a tweet answers, 0 for nothing, or if this shard doesn't know the tweet."""
    arrivals = state.arrivals
    n = arrivals.number_of.get(tweet_id)
    if n is not None:
        return read_facts(arrivals.body[n & arrivals.mask]).in_reply_to
    entry = state.tweets.get(tweet_id)
    return 0 if entry is None else read_facts(entry.body).in_reply_to


def _prepare(shard: Lookups, now_ms: int, account_id: int, tweet_ids: Any, on: bool) -> Prepared:
    shard.require_level(MUTED_CONVERSATION.from_level)
    shard.row(account_id)
    line = list(dict.fromkeys(arguments.id_list(tweet_ids, limits.LINEAGE_COUNT_MAX, "tweet_ids")))
    contains = shard.state.shelves.contains
    changing = [tweet_id for tweet_id in line if contains(MUTED_CONVERSATION, account_id, tweet_id) != on]
    if not changing:
        return nothing(False)
    if on:
        shard.state.shelves.require_room(MUTED_CONVERSATION, account_id, "tweet_ids")
    return Prepared(["mute_conversation", account_id, changing, on, now_ms], same)


def prepare_mute_conversation(shard: Lookups, now_ms: int, account_id: int, tweet_ids: list[int]) -> Prepared:
    """Mute a conversation, given as the line of its tweets; the reply is whether that is new."""
    return _prepare(shard, now_ms, account_id, tweet_ids, True)


def prepare_unmute_conversation(shard: Lookups, now_ms: int, account_id: int, tweet_ids: list[int]) -> Prepared:
    """Hear of a conversation again, given as the line of its tweets; the reply is whether one of them was muted."""
    return _prepare(shard, now_ms, account_id, tweet_ids, False)


FEATURE = Feature(
    "conversation_mutes",
    kinds=(MUTED_CONVERSATION,),
    writes=(
        Write("mute_conversation", prepare_mute_conversation),
        Write("unmute_conversation", prepare_unmute_conversation),
    ),
    commands={"mute_conversation": mute_conversation},
)
