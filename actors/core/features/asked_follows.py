"""Requests to follow locked accounts, as both sides keep them: kinds alone, and what takes them away.

    REQUEST_SENT     u's: whom it has asked                FOLLOW_REQUEST   v's: who has asked
                                                           ADMITTED         v's: whom it has said yes to, until the
                                                                            edge is here (`follows.on_gained`)

Rules of this file
- A locked account gets a follower that it has admitted, and no other; those that it had stay.
- A block between the two takes all of it away on both sides, without a message of its own: `forget_request`.
- Who is locked no more says yes to those that wait (`admit_newest`).
- Who goes tells the other side: `Kind.left`.
- From level 3 of the cluster on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.core import limits
from actors.core.features.followee_options import forget_followee
from actors.core.stores.account_flags import LOCKED
from actors.core.terms import NOTIFICATION_TYPE_OF, Kind, Owner

if TYPE_CHECKING:
    from actors.core.state import ShardState


def _withdraw(state: ShardState, account_id: int, target: int, at_ms: int) -> None:
    """Have an account be asked no more: who has asked is deleted."""
    state.send(state.shard_of_account(target), ["requested", account_id, target, False, at_ms, 0])


def _say_no(state: ShardState, account_id: int, follower: int, at_ms: int) -> None:
    """Have a request be none any more: who was asked is deleted."""
    state.send(state.shard_of_account(follower), ["answered", account_id, follower, False, at_ms])


REQUEST_SENT: Final = Kind(
    31, "follow request sent", Owner.ACCOUNT, Owner.ACCOUNT, limits.REQUESTS_SENT_COUNT_MAX, from_level=3,
    left=_withdraw,
)  # fmt: skip
FOLLOW_REQUEST: Final = Kind(
    32, "follow request", Owner.ACCOUNT, Owner.ACCOUNT, limits.FOLLOW_REQUESTS_COUNT_MAX, from_level=3, left=_say_no
)
ADMITTED: Final = Kind(
    33, "admitted follower", Owner.ACCOUNT, Owner.ACCOUNT, limits.FOLLOW_REQUESTS_COUNT_MAX, from_level=3
)


_NOTICE: Final = NOTIFICATION_TYPE_OF["follow_request"]


def is_locked(state: ShardState, row: int) -> bool:
    """Whether whoever wants to follow an account of this shard has to ask."""
    return bool(state.people.accounts[row].flags & LOCKED)


def admits(state: ShardState, source: int, row: int, account_id: int, follower: int) -> bool:
    """Whether an account of this shard takes a follower. Who had asked, and needn't have, is told so at its shard."""
    was_admitted = state.shelves.drop(ADMITTED, account_id, follower)
    if not was_admitted and account_id != follower and is_locked(state, row):
        return False
    if drop_request(state, account_id, follower):
        state.send(source, ["answered", account_id, follower, False, 0])
    return True


def admit_newest(state: ShardState, account_id: int, at_ms: int) -> None:
    """Say yes to those who have asked an account that is locked no more, the newest ADMITTED_AT_ONCE_MAX.

    The others stay asked, and are said yes or no to one by one.
    """
    for follower in state.shelves.cut_newest(FOLLOW_REQUEST, account_id, limits.ADMITTED_AT_ONCE_MAX):
        state.notices.drop(account_id, _NOTICE, follower)
        state.shelves.put(ADMITTED, account_id, follower, at_ms)
        state.send(state.shard_of_account(follower), ["answered", account_id, follower, True, at_ms])


def forget_request(state: ShardState, account_id: int, other: int) -> None:
    """Drop what an account of this shard has asked another, and what that has asked it: a block stands between."""
    drop_sent(state, account_id, other)
    drop_request(state, account_id, other)
    state.shelves.drop(ADMITTED, account_id, other)


def drop_request(state: ShardState, account_id: int, follower: int) -> bool:
    """Forget that somebody has asked an account of this shard, and what it was told of that; whether he had."""
    dropped = state.shelves.drop(FOLLOW_REQUEST, account_id, follower)
    if dropped:
        state.notices.drop(account_id, _NOTICE, follower)
    return dropped


def drop_sent(state: ShardState, account_id: int, target: int) -> bool:
    """Forget that an account has asked another, and what it wanted of it, unless it follows; returns whether it had."""
    dropped = state.shelves.drop(REQUEST_SENT, account_id, target)
    row = state.people.own(account_id)
    if dropped and row is not None and not state.graph.following.contains(row, target):
        forget_followee(state, account_id, target)
    return dropped
