"""What operators ask a shard: the facts of its accounts, for the oracle.

Rules of this file
- It goes on by row number, and rows differ between replicas: the primary alone is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.core import arguments, ids
from actors.core.entries import pack
from actors.core.terms import Feature, Key, Read

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


FEATURE = Feature("operators", reads=(Read("export", export, Key.SHARD, from_followers=False),))
