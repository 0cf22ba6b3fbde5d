"""What an account leaves that is deleted, taken back in bounded pieces: the command `clear_left`, and who is next.

    delete_account --> people.leaving --clear_left--> tweets, marks, follows, blocks and mutes, up to `count` of them
                                      --clear_left--> ...
                                      --clear_left--> nothing is left: keys, row, and `account_left` to all shards

Rules of this file
- A piece does what is there to be done, from the newest on, and never remembers how far it came: so any number of them,
  by whichever leader of whichever shard, come to the same end.
- What a piece takes back, it tells as if the account had done it: a tweet is deleted, a like taken back, an edge ended.
- Every feature that keeps something of an account elsewhere than on a shelf has a `leave` in its row.
- Who drives a replica runs `next_piece` between requests, with pauses, while there is something in `people.leaving`.

Costs: a piece of 128 tweets 1 ms, of 128 followers, half of them on another shard, 0.6 ms on both; the last one 40 ns
for each idempotency key of the shard. 100,000 tweets, 20,000 likes and 200,000 followers on two shards: 2,501 pieces,
1.7 s of one processor and 0.8 s of the other's (one core of a shared virtual machine).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from actors.core import features
from actors.core.features.answers import forget_keys
from actors.core.features.deletion import ACCOUNT_LEFT
from actors.core.moves.sweeping import forget_account
from actors.core.state import ShardState
from actors.core.terms import Owner

PIECE_COUNT: Final = 128  # things in one piece: 1 ms, 5 at most
WAITING_COUNT_MAX: Final = 2_000  # messages for a shard that isn't quick enough: no more pieces until it has some


def clear_left(state: ShardState, account_id: int, count: int) -> bool:
    """Take back up to `count` things of an account that is deleted; True once there is nothing of it any more."""
    row = state.people.leaving.get(account_id)
    if row is None:
        return True
    left, at_ms = count, state.people.accounts[row].left_ms
    for feature in features.FEATURES:
        if feature.leave is not None and left > 0:
            left -= feature.leave(state, account_id, row, left)
    for kind in state.shelves.kinds_of(Owner.ACCOUNT):
        for key in state.shelves.cut_newest(kind, account_id, left) if left > 0 else ():
            left -= 1
            if kind.left is not None:
                kind.left(state, account_id, key, at_ms)
    if left <= 0:
        return False
    forget_keys(state, account_id, at_ms)
    forget_account(state, account_id)
    state.tell_all(list(range(state.shard_count)), ACCOUNT_LEFT, account_id, at_ms)
    return True


class Leavings:
    """Which account has its next piece: one after the other, so that a large one holds up no other."""

    def __init__(self, state: ShardState) -> None:
        self._state = state
        self._round: Iterator[int] = iter(())

    def next_piece(self) -> list[Any] | None:
        """Return the next command, None if there is nothing to do now."""
        state = self._state
        leaving = state.people.leaving
        if not leaving or state.frozen:
            return None
        if any(len(outbox.waiting) >= WAITING_COUNT_MAX for outbox in state.outboxes.values()):
            return None
        account_id = next((a for a in self._round if a in leaving), None)
        if account_id is None:
            self._round = iter(list(leaving))
            account_id = next(self._round)
        return ["clear_left", account_id, PIECE_COUNT]


COMMANDS: Final = {"clear_left": clear_left}
