"""What a shard does once when its level rises: it tells what messages of older levels did not carry.

    level 0 -> 1    likes, blocks and mutes, which had tables of their own, are numbered anew and stored as marks
                    likes, reposts and replies of this shard's accounts --shelved--> the tweets' shelves

Rules of this file
- What is told is told in an order that the journal determines: by account and tweet id, never by row or slot.
- A `shelved` row that is there already, or whose tweet is gone, changes nothing.

Cost: 3 us a like, repost or reply, once in the life of a cluster that is older than level 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from actors.core import ids
from actors.core.facts import read_facts
from actors.core.features.likes import LIKE, LIKER
from actors.core.features.replies import REPLY
from actors.core.features.reposts import REPOSTER
from actors.core.flags import FLAG_REPLY, FLAG_REPOST
from actors.core.terms import FULL_FROM_LEVEL, Effect, Feature, Kind, To

if TYPE_CHECKING:
    from actors.core.state import ShardState

ROWS_OF_MESSAGE: Final = 1_000  # 25 KB


def rise(state: ShardState, before: int) -> None:
    """Tell what was not told below the level that the state has now. before: the level that it had."""
    if before < FULL_FROM_LEVEL <= state.level:
        _renumber_likes(state)
        _renumber_relations(state)
        for kind, rows in ((LIKER, _liked(state)), (REPOSTER, _reposted(state)), (REPLY, _replied(state))):
            _tell(state, kind, rows)


def _renumber_likes(state: ShardState) -> None:
    """Give likes the stamps 1, 2, ... in their order: what they are until now depends on the checkpoints on the way.

    The next seal moves them from the table of likes to that of marks, and deletes in the old one what was taken back or
    forgotten since the last one.
    """
    shelves = state.shelves
    for changes in (state.unsealed, state.changes):
        gone = [(owner, key) for number, owner, key in changes.marks if number == LIKE.number]
        state.changes.old_likes.update(gone)
    for account_id in _accounts(state):
        keys = shelves.view(LIKE, account_id)[0].copy()
        if len(keys):
            shelves.replace(LIKE, account_id, 0, keys, np.arange(1, len(keys) + 1, dtype=np.int64))
            state.changes.old_likes.update((account_id, tweet_id) for tweet_id in keys.tolist())


def _renumber_relations(state: ShardState) -> None:
    """As `_renumber_likes` for blocks and mutes, which had no order until now: by the other's account id."""
    relations = state.shelves.relations()
    relation_of = {kind.number: relation for kind, relation in relations}
    for changes in (state.unsealed, state.changes):
        gone = [(owner, relation_of[number], key) for number, owner, key in changes.marks if number in relation_of]
        state.changes.old_relations.update(gone)
    for account_id in _accounts(state):
        for kind, relation in relations:
            others = np.sort(state.shelves.view(kind, account_id)[0])
            if len(others):
                state.shelves.replace(kind, account_id, 0, others, np.arange(1, len(others) + 1, dtype=np.int64))
                state.changes.old_relations.update((account_id, relation, other) for other in others.tolist())


def _accounts(state: ShardState) -> list[int]:
    """Return all accounts that are here, this shard's or not, ascending."""
    return sorted([*state.people.row_of, *state.people.away])


def _liked(state: ShardState) -> Iterator[list[int]]:
    for account_id in sorted(state.people.row_of):
        for tweet_id in state.shelves.view(LIKE, account_id)[0].tolist():
            yield [tweet_id, account_id, 0]


def _own(state: ShardState, flag: int) -> Iterator[int]:
    """Return the slots of this shard's tweets that have a flag, by tweet id."""
    columns = state.tweets.columns
    slots = state.tweets.slots()
    slots = slots[(columns["flags"][slots] & flag) != 0]
    tweet_ids = columns["tweet_id"][slots]
    own = state.owner[ids.buckets_of_tweets(tweet_ids)] == state.shard
    return iter(slots[own][np.argsort(tweet_ids[own])].tolist())


def _reposted(state: ShardState) -> Iterator[list[int]]:
    columns = state.tweets.columns
    for slot in _own(state, FLAG_REPOST):
        at_ms = ids.ms_of_tweet(columns["tweet_id"].item(slot))
        yield [columns["orig_id"].item(slot), columns["author_id"].item(slot), at_ms]


def _replied(state: ShardState) -> Iterator[list[int]]:
    for slot in _own(state, FLAG_REPLY):
        reply_id = state.tweets.columns["tweet_id"].item(slot)
        yield [read_facts(state.tweets.body[slot]).in_reply_to, reply_id, ids.ms_of_tweet(reply_id)]


def _tell(state: ShardState, kind: Kind, rows: Iterator[list[int]]) -> None:
    waiting: dict[int, list[list[int]]] = {}
    for row in rows:
        shard = state.shard_of_tweet(row[0])
        gathered = waiting.setdefault(shard, [])
        gathered.append(row)
        if len(gathered) == ROWS_OF_MESSAGE:
            state.tell(shard, SHELVED, kind.number, waiting.pop(shard))
    for shard, gathered in sorted(waiting.items()):
        state.tell(shard, SHELVED, kind.number, gathered)


def on_shelved(state: ShardState, source: int, kind: int, rows: list[list[int]]) -> None:
    """Put keys on the shelves of tweets. Row: [tweet id, key, when in Unix ms, 0 if nobody knows any more]."""
    for owner, key, at_ms in rows:
        state.shelves.put(state.shelves.kinds[kind], owner, key, at_ms)


SHELVED = Effect("shelved", on_shelved, To.TWEET, ("kind", "mark_rows"))

FEATURE = Feature("rising", effects=(SHELVED,), rise=rise)
