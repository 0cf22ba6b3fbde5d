"""Requests to follow: who wants to follow a locked account asks, and follows once that says yes.

    u's shard                                   v's shard
    request_follow: REQUEST_SENT  --requested-->  FOLLOW_REQUEST
                                  <--answered--   answer_request: yes: ADMITTED; no: gone
    yes: the command `follow`'s edge  --gained-->  a follower, ADMITTED no more
    withdraw_request              --requested (off)-->  gone

Rules of this file
- u's shard decides about the edge, as ever: it follows if it still wants to when the yes comes, and says so if not.
- v's shard says no for who is gone or blocks, and yes at once for who isn't locked any more.
- Nobody is notified by the effect's row: whether a request stands is decided where it arrives (`on_requested`).
  Who is asked is notified of a request that stands, and no more once it is answered or withdrawn.
- What a request says of reposts, notifications and languages is kept as of a follow (`followee_options.py`), becomes
  that, and goes with a request that doesn't.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.core import arguments, limits
from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.asked_follows import (
    ADMITTED,
    FOLLOW_REQUEST,
    REQUEST_SENT,
    drop_request,
    drop_sent,
    is_locked,
)
from actors.core.features.follow_options import check_options, set_options
from actors.core.features.follows import follow, prepare_follow
from actors.core.flags import BLOCK, BLOCKED_BY
from actors.core.noticing import Happened, notify
from actors.core.terms import Effect, Feature, Prepared, Settles, To, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def request_follow(
    state: ShardState, account_id: int, target: int, reposts: bool | None, notify: bool | None,
    languages: list[str] | None, at_ms: int,
) -> bool:  # fmt: skip
    """Ask to follow an account, or want something else of it; returns whether it wasn't asked."""
    is_new = state.shelves.put(REQUEST_SENT, account_id, target, at_ms)
    set_options(state, account_id, target, reposts, notify, languages, at_ms)
    if is_new:
        told = (account_id, target, True, at_ms, state.people.born_day(account_id))
        state.tell(state.shard_of_account(target), REQUESTED, *told)
    return is_new


def withdraw_request(state: ShardState, account_id: int, target: int, at_ms: int) -> bool:
    """Ask to follow an account no more; returns whether it was asked."""
    dropped = drop_sent(state, account_id, target)
    if dropped:
        state.tell(state.shard_of_account(target), REQUESTED, account_id, target, False, at_ms, 0)
    return dropped


def answer_request(state: ShardState, account_id: int, follower: int, on: bool, at_ms: int) -> bool:
    """Say yes or no to who wants to follow an account; returns whether somebody did."""
    if not drop_request(state, account_id, follower):
        return False
    if on:
        state.shelves.put(ADMITTED, account_id, follower, at_ms)
    state.tell(state.shard_of_account(follower), ANSWERED, account_id, follower, on, at_ms)
    return True


def on_requested(
    state: ShardState, source: int, actor: int, account_id: int, on: bool, at_ms: int, born_day: int
) -> None:
    """Note who wants to follow an account of this shard, or no more. Who isn't locked says yes, who is full no."""
    row = state.people.row_of.get(account_id)
    if not on:
        drop_request(state, account_id, actor)
        state.shelves.drop(ADMITTED, account_id, actor)
    elif row is None or state.graph.related(row, BLOCK, actor):
        state.tell(source, ANSWERED, account_id, actor, False, at_ms)
    elif not is_locked(state, row):
        state.tell(source, ANSWERED, account_id, actor, True, at_ms)
    elif state.shelves.count(FOLLOW_REQUEST, account_id) < FOLLOW_REQUEST.limit:
        if state.shelves.put(FOLLOW_REQUEST, account_id, actor, at_ms):
            notify(state, account_id, Happened("follow_request", actor, 0, at_ms, born_day))
    else:
        state.tell(source, ANSWERED, account_id, actor, False, at_ms)


def on_answered(state: ShardState, source: int, actor: int, account_id: int, on: bool, at_ms: int) -> None:
    """Follow who says yes, if that is still wanted; forget the request, and after a no what was wanted as well."""
    row = state.people.row_of.get(account_id)
    if not on or row is None or not _may_follow(state, row, actor):
        drop_sent(state, account_id, actor)
        added = 0
    elif added := state.shelves.drop(REQUEST_SENT, account_id, actor):
        edge = (np.array([account_id], "<i8").tobytes(), np.array([actor], "<i8").tobytes())
        added = follow(state, *edge, at_ms)
    if on and not added:
        state.tell(source, REQUESTED, account_id, actor, False, at_ms, 0)


def _may_follow(state: ShardState, row: int, target: int) -> bool:
    graph = state.graph
    is_blocked = graph.related(row, BLOCK, target) or graph.related(row, BLOCKED_BY, target)
    return not is_blocked and bool(graph.following.length[row] < limits.FOLLOWING_COUNT_MAX)


def prepare_request_follow(
    shard: Lookups, now_ms: int, account_id: int, target: int, reposts: bool | None = None, notify: bool | None = None,
    languages: list[str] | None = None,
) -> Prepared:  # fmt: skip
    """Ask to follow an account, with options as of `follow_as`; the reply is whether it wasn't asked.

    Nothing changes if it is followed. Raises as `prepare_follow_as`.
    """
    shard.require_level(REQUEST_SENT.from_level)
    prepared = prepare_follow(shard, now_ms, account_id, target)
    if account_id == target:
        raise InvalidError(f"account {account_id} can't follow itself", "id")
    check_options(shard, account_id, target, reposts, notify, languages)
    if prepared.command is None:
        return nothing(False)
    if not shard.state.shelves.contains(REQUEST_SENT, account_id, target):
        shard.state.shelves.require_room(REQUEST_SENT, account_id, "id")
    elif reposts is None and notify is None and languages is None:
        return nothing(False)
    return Prepared(["request_follow", account_id, target, reposts, notify, languages, now_ms], same)


def prepare_withdraw_request(shard: Lookups, now_ms: int, account_id: int, target: int) -> Prepared:
    """Ask to follow an account no more; the reply is whether it was asked."""
    shard.require_level(REQUEST_SENT.from_level)
    shard.row(account_id)
    if not shard.state.shelves.contains(REQUEST_SENT, account_id, arguments.an_id(target, "id")):
        return nothing(False)
    return Prepared(["withdraw_request", account_id, target, now_ms], same)


def prepare_answer_request(shard: Lookups, now_ms: int, account_id: int, follower: int, on: bool) -> Prepared:
    """Say yes or no to who wants to follow an account; the reply is True. Raises NotFoundError if he doesn't."""
    shard.require_level(FOLLOW_REQUEST.from_level)
    shard.row(account_id)
    arguments.a_bool(on, "on")
    if not shard.state.shelves.contains(FOLLOW_REQUEST, account_id, arguments.an_id(follower, "id")):
        raise NotFoundError(f"account {follower} doesn't want to follow account {account_id} (any more)", "id")
    return Prepared(["answer_request", account_id, follower, on, now_ms], same)


_CARRIED = ("actor", "account", "on", "at_ms")
REQUESTED = Effect(
    "requested", on_requested, To.ACCOUNT, (*_CARRIED, "born_day"), undone_by="requested", settles=Settles.ANSWERED
)
ANSWERED = Effect("answered", on_answered, To.ACCOUNT, _CARRIED, settles=Settles.ANSWERED)

FEATURE = Feature(
    "follow_requests",
    kinds=(REQUEST_SENT, FOLLOW_REQUEST, ADMITTED),
    writes=(
        Write("request_follow", prepare_request_follow),
        Write("withdraw_request", prepare_withdraw_request),
        Write("answer_request", prepare_answer_request),
    ),
    commands={"request_follow": request_follow, "withdraw_request": withdraw_request, "answer_request": answer_request},
    effects=(REQUESTED, ANSWERED),
)
