"""What operators ask a shard: the facts of its accounts, for the oracle; whom it refers to, to see that they exist.

Rules of this file
- It goes on by row number, and rows differ between replicas: the primary alone is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from actors.core import arguments, ids
from actors.core.entries import pack
from actors.core.terms import Feature, Key, Owner, Read

if TYPE_CHECKING:
    from actors.core.lookups import Lookups


def export(shard: Lookups, first_row: int, count: int) -> list[Any]:
    """Facts of some accounts, for the oracle: `[next row or 0, [[account_id, following, tweets, hidden], ...]]`.

    following, hidden (accounts blocked, muted or blocking): int64 bytes; tweets: a packed list of
    [tweet_id, author_id, flags, reply_author, orig_id, orig_author, mention_ids], oldest first.
    """
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
                pack([[*e[:6], e.mention_ids] for e in entries]),
                state.graph.hidden(row).tobytes(),
            ]
        )
    return [last if last < state.people.row_count else 0, rows]


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
    for relation in state.graph.relations:
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


FEATURE = Feature(
    "operators",
    reads=(
        Read("export", export, Key.SHARD, from_followers=False),
        Read("referred", referred, Key.SHARD, from_followers=False),
    ),
)
