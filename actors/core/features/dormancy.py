"""Dormant accounts: rings that go when nobody reads them, and come back whole with the first read.

    wake --wake_ask, with the followees that live there--> each of their shards
         <--wake_answer, their newest tweets, and above which id those are complete--

Rules of this file
- The calendar is part of the state: `tick` carries the time, `touch` the accounts that have read today.
- An answer that belongs to an older wake is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from actors.core import ids, limits
from actors.core.terms import Effect, Feature, To
from actors.core.timelines.arriving import fill_ring, newest_entries

if TYPE_CHECKING:
    from actors.core.state import ShardState


def wake(state: ShardState, account_id: int) -> bool:
    """Give a dormant account its ring again: ask the shards of its followees for their newest tweets.

    The account is woken (see `woken`) when the last has answered.
    """
    row = state.people.row_of[account_id]
    state.rings.wake(row)
    state.people.last_read_day[row] = state.day
    state.wake_number += 1
    state.changes.accounts.add(row)
    authors = state.graph.read_by(row, account_id)
    owners = state.owner[ids.buckets_of_accounts(authors)]
    shards = ids.distinct_shards(owners)
    state.waking[account_id] = (state.wake_number, set(shards))
    for shard in shards:
        state.send(shard, ["wake_ask", account_id, state.wake_number, authors[owners == shard].tobytes()])
    return True


def touch(state: ShardState, account_ids: list[int]) -> None:
    """Remember that these accounts read their timelines today."""
    for account_id in account_ids:
        row = state.people.row_of[account_id]
        state.people.last_read_day[row] = state.day
        state.changes.accounts.add(row)


def tick(state: ShardState, now_ms: int) -> int:
    """Advance the day; free the rings of accounts that haven't read for dormant_after_days. Returns how many."""
    day = now_ms // limits.DAY_MS
    if day <= state.day:
        return 0
    state.day = day
    count = state.people.row_count
    idle = day - state.people.last_read_day[:count] >= state.tuning.dormant_after_days
    rows = np.nonzero(idle & (state.rings.awake[:count] == 1))[0]
    for row in rows.tolist():
        state.rings.sleep(row)
        state.waking.pop(state.people.accounts[row].account_id, None)
    state.changes.accounts.update(rows.tolist())
    return len(rows)


def on_wake_ask(state: ShardState, source: int, reader: int, number: int, authors: bytes) -> None:
    """Answer with the newest tweets of some authors of this shard, for a ring that is built again."""
    wanted = np.frombuffer(authors, dtype="<i8").tolist()
    entries, above = newest_entries(state, reader, wanted, ids.ID_MAX, 0, state.tuning.timeline_length)
    state.send(source, ["wake_answer", reader, number, [list(e) for e in entries], above])


def on_wake_answer(state: ShardState, source: int, reader: int, number: int, entries: list[Any], above: int) -> None:
    """Fill a ring; when the last shard has answered the account is awake. An answer to an older wake is dropped."""
    known, shards = state.waking.get(reader, (0, set()))
    if known != number or source not in shards:
        return
    fill_ring(state, state.people.row_of[reader], entries, above)
    shards.discard(source)
    state.changes.accounts.add(state.people.row_of[reader])
    if not shards:
        del state.waking[reader]
        state.woken.append(reader)


WAKE_ASK = Effect("wake_ask", on_wake_ask, To.ACCOUNT, ("reader", "number", "authors"))
WAKE_ANSWER = Effect("wake_answer", on_wake_answer, To.ASKER, ("reader", "number", "entries", "above"))

FEATURE = Feature(
    "dormancy",
    commands={"wake": wake, "touch": touch, "tick": tick},
    effects=(WAKE_ASK, WAKE_ANSWER),
)
