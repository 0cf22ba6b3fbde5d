"""What is forgotten of accounts, names, keys and things that are another shard's now, and of accounts that are deleted.

    a move is over --Sweeper--> sweep ... sweep: what is no longer this shard's

Rules of this file
- Nobody is told: what others have to know was told before, as an account's own doing or by the new map.
- What is this shard's, or on its way here, stays, whatever a command says.

Costs: 2 us an edge and a tweet of an account that goes; a look at 5,000 names or keys 1 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.core import ids
from actors.core.features.follows import drop_following

if TYPE_CHECKING:
    from actors.core.state import ShardState


def tweet_ids_of(state: ShardState, row: int) -> list[int]:
    """Return an account's own tweets, oldest first."""
    log = state.tweets.log
    tweet_ids: list[int] = log.view(row).tolist() if log.klass[row] >= 0 else []
    return tweet_ids


def _is_foreign(state: ShardState, bucket: int) -> bool:
    """Whether a bucket is neither this shard's nor on its way here."""
    expected = state.incoming is not None and bucket in state.incoming.buckets
    return not expected and int(state.owner[bucket]) != state.shard


def sweep(
    state: ShardState, account_ids: list[int], names: list[str], keys: list[list[Any]], things: list[int] | None = None
) -> int:
    """Forget accounts, names, keys and things that are others'; what is this shard's, or is arriving, stays.

    Returns how many are forgotten.
    """
    count = 0
    for account_id in account_ids:
        if account_id in state.people.away and _is_foreign(state, ids.bucket_of_account(account_id)):
            forget_account(state, account_id)
            count += 1
    for name in names:
        if name in state.people.names and _is_foreign(state, ids.bucket_of_name(name)):
            del state.people.names[name]
            state.changes.names.add(name)
            count += 1
    for account_id, key in keys:
        if (account_id, key) in state.idempotency and _is_foreign(state, ids.bucket_of_account(account_id)):
            del state.idempotency[account_id, key]
            state.changes.idempotency[account_id, key] = None
            count += 1
    for thing_id in things or ():
        if state.things.find(thing_id) is not None and _is_foreign(state, ids.bucket_of_thing(thing_id)):
            state.shelves.clear_thing(thing_id)
            count += 1
    return count


def forget_account(state: ShardState, account_id: int) -> None:
    """Forget an account that is another shard's now, or deleted, and all that is here of it; nobody is told."""
    row, graph, changes = state.people.find(account_id), state.graph, state.changes
    assert row is not None, "an account that is forgotten is here"
    for target in graph.following.view(row).tolist():
        drop_following(state, row, account_id, target)
    followers = graph.followers.view(row).copy()
    changes.followers.log(np.full(len(followers), account_id, dtype=np.int64), followers, False)
    graph.forget_followers(row)
    state.shelves.clear_account(account_id)
    state.notices.clear(account_id)
    state.reposts.pop(row, None)
    state.pull_shards.pop(account_id, None)
    tweet_ids = tweet_ids_of(state, row)
    for tweet_id in tweet_ids:
        state.shelves.clear_tweet(tweet_id)
    state.tweets.remove_all(row)
    changes.tweets.update(tweet_ids)
    for tweet_id in tweet_ids:
        state.dirty_counts.pop(tweet_id, None)
    state.rings.sleep(row)
    state.people.remove(account_id)
    changes.gone.add(account_id)
    changes.freed.add(row)


class Sweeper:
    """Finds what `sweep` is to forget, a little at a time: commands to run until there is nothing left."""

    def __init__(self, state: ShardState) -> None:
        self.state = state
        self._steps = self._look()
        self.done = False

    def step(self) -> list[Any] | None:
        """Return a `sweep` command, or None where a step found nothing. Sets `done` at the end."""
        for command in self._steps:
            return command
        self.done = True
        return None

    def _look(self, accounts_at_once: int = 50, looked_at_once: int = 5_000) -> Iterator[list[Any] | None]:
        state = self.state
        leaving = [a for a in state.people.away if _is_foreign(state, ids.bucket_of_account(a))]
        for first in range(0, len(leaving), accounts_at_once):
            yield ["sweep", leaving[first : first + accounts_at_once], [], []]
        things = state.things.in_buckets(state.owner != state.shard)
        foreign_things = [thing for thing in things if _is_foreign(state, ids.bucket_of_thing(thing))]
        for first in range(0, len(foreign_things), accounts_at_once):
            yield ["sweep", [], [], [], foreign_things[first : first + accounts_at_once]]
        names = list(state.people.names)
        for first in range(0, len(names), looked_at_once):
            found = [n for n in names[first : first + looked_at_once] if _is_foreign(state, ids.bucket_of_name(n))]
            yield ["sweep", [], found, []] if found else None
        keys = list(state.idempotency)
        for first in range(0, len(keys), looked_at_once):
            some = keys[first : first + looked_at_once]
            foreign = [list(key) for key in some if _is_foreign(state, ids.bucket_of_account(key[0]))]
            yield ["sweep", [], [], foreign] if foreign else None
