"""What operators ask a shard: the facts of its accounts, for the oracle; whom it refers to, to see that they exist.

Rules of this file
- It goes on by row number, and rows differ between replicas: the primary alone is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from actors.core import arguments, ids
from actors.core.entries import Entry, pack
from actors.core.facts import read_facts
from actors.core.features.followee_options import LANGUAGES
from actors.core.features.list_members import MEMBER
from actors.core.features.own_tags import TAG_NAME
from actors.core.hashtags import named_in
from actors.core.terms import Feature, Key, Owner, Read

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

ACTIVE_DAYS: Final = (30, 180)  # a month and half a year, as `/nodeinfo` counts them


def export(shard: Lookups, first_row: int, count: int, more: bool = False) -> list[Any]:
    """Facts of some accounts, for the oracle: `[next row or 0, [[account_id, following, tweets, hidden], ...]]`.

    following, hidden (accounts blocked, muted or blocking): int64 bytes; tweets: a packed list of
    [tweet_id, author_id, flags, reply_author, orig_id, orig_author, mention_ids], oldest first. more: from level 3 on,
    each of these with [hashtags, as they are written, language or ""], and a row with a packed list of what its account
    wants of its home timeline: [[names of followed hashtags], [[members of an exclusive list]], [[account, [codes]]]].
    """
    if arguments.a_bool(more, "more"):
        shard.require_level(3)
    arguments.whole(first_row, 0, ids.ID_MAX, "first_row")
    arguments.whole(count, 0, ids.ID_MAX, "count")
    state, rows = shard.state, []
    last = min(first_row + count, state.people.row_count)
    for row in range(first_row, last):
        if state.people.row_of.get(state.people.accounts[row].account_id) != row:
            continue  # free, or another shard's
        log = state.tweets.log.view(row).tolist() if state.tweets.log.klass[row] >= 0 else []
        entries = [e for t in log if (e := state.tweets.get(t)) is not None]
        rows.append(
            [
                state.people.accounts[row].account_id,
                state.graph.following.view(row).tobytes(),
                pack([[*e[:6], e.mention_ids, *(_said(e) if more else [])] for e in entries]),
                state.graph.unshown(row).tobytes(),
                *([pack(_wanted(state, row))] if more else []),
            ]
        )
    return [last if last < state.people.row_count else 0, rows]


def _said(entry: Entry) -> list[Any]:
    return [named_in(entry.body), read_facts(entry.body).language]


def _wanted(state: ShardState, row: int) -> list[Any]:
    """Return what an account wants of its home timeline beside those whom it follows: see `export`."""
    account_id, graph, papers = state.people.accounts[row].account_id, state.graph, state.papers
    lists = sorted(graph.exclusive_lists_of.get(row, ()))
    return [
        [papers.get(TAG_NAME, account_id, tag) for tag in sorted(graph.tags_of.get(row, ()))],
        [state.shelves.view(MEMBER, list_id)[0].tolist() for list_id in lists],
        [[followee, papers.get(LANGUAGES, account_id, followee)] for followee in papers.keys(LANGUAGES, account_id)],
    ]


def referred(shard: Lookups, first_bucket: int, count: int) -> bytes:
    """The accounts of some buckets that this shard refers to beside follows, distinct, ascending, as int64 bytes.

    Whom its accounts block and mute, who blocks them, who likes and reposts their tweets, who is in lists and the like,
    whose its names are. Each of them is to exist. 20 ns a mark, for each call.
    """
    arguments.whole(first_bucket, 0, ids.BUCKET_COUNT - 1, "first_bucket")
    arguments.whole(count, 1, ids.BUCKET_COUNT, "count")
    state = shard.state
    found = [np.array([held for held, confirmed in state.people.names.values() if confirmed], dtype=np.int64)]
    rows = set(state.people.row_of.values())
    for relation in state.graph.leaving_out:
        found.append(np.array([other for row in rows & relation.keys() for other in relation[row]], dtype=np.int64))
    for kind in state.shelves.kinds.values():
        if kind.owner is not Owner.ACCOUNT and kind.key is Owner.ACCOUNT:
            places, keys, _ = state.shelves.marks.dump(kind.number)
            owners = state.owner[kind.owner.buckets_of(state.shelves.owners_of(kind, places))]
            found.append(keys[owners == state.shard])
    accounts = np.concatenate(found)
    buckets = ids.buckets_of_accounts(accounts)
    wanted = np.unique(accounts[(buckets >= first_bucket) & (buckets < first_bucket + count)])
    packed: bytes = wanted.astype("<i8").tobytes()
    return packed


def tweet_facts(shard: Lookups, tweet_id: int, account_id: int) -> list[Any] | None:
    """What a home timeline goes by of a tweet: `[packed entry, whether its author knows that account as a follower]`.

    None if there is no such tweet, or its author is being deleted. From level 4 on.
    """
    arguments.an_id(tweet_id, "tweet_id")
    arguments.an_id(account_id, "account_id")
    entry = shard.state.tweets.get(tweet_id)
    if entry is None or entry.author_id in shard.state.people.leaving:
        return None
    row = shard.state.people.row_of[entry.author_id]
    return [pack(list(entry)), shard.state.graph.followers.contains(row, account_id)]


def usage(shard: Lookups) -> list[int]:
    """How many accounts and tweets are here: `[accounts, tweets, accounts that have read in 30 days, in 180]`.

    1 ns an account. From level 3 on.
    """
    people, day = shard.state.people, shard.state.day
    last_days = people.last_read_day[: people.row_count]
    active = (int(np.count_nonzero((last_days > 0) & (last_days > day - days))) for days in ACTIVE_DAYS)
    return [len(people), len(shard.state.tweets), *active]


FEATURE = Feature(
    "operators",
    reads=(
        Read("usage", usage, Key.SHARD),
        Read("tweet_facts", tweet_facts, Key.TWEET, fresh=True),
        Read("export", export, Key.SHARD, from_followers=False),
        Read("referred", referred, Key.SHARD, from_followers=False),
    ),
)
