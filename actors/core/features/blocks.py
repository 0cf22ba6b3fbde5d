"""Blocks and mutes: whom an account doesn't see, and who doesn't see it.

Rules of this file
- A block stands on both sides: BLOCK at the blocker, BLOCKED_BY at the blocked one, who follows no more.
- The other side of a mute is told as well, from level 1 on, and notes nothing: if there is no such account (any more),
  block and mute are taken back.
- Both are filters of reads (`visibility.py`, `kernels.page`); rings aren't rewritten.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

from actors.core import arguments, limits
from actors.core.errors import InvalidError
from actors.core.features.follows import unfollow
from actors.core.flags import BLOCK, BLOCKED_BY, KINDS, MUTE
from actors.core.terms import FULL_FROM_LEVEL, Effect, Feature, Prepared, Read, To, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def relate(state: ShardState, account_id: int, kind: str, target: int, on: bool, at_ms: int = 0) -> bool:
    """Set or clear a `block` or `mute`. A block ends the follows between the two."""
    row = state.people.row_of[account_id]
    which = BLOCK if kind == "block" else MUTE
    if not state.graph.relate(row, which, target, on):
        return False
    state.changes.relations.add((account_id, which, target))
    if which == BLOCK:
        if on:
            unfollow(state, account_id, target, at_ms)
        state.tell(state.shard_of_account(target), BLOCKED, account_id, target, on, at_ms)
    elif on and state.level >= FULL_FROM_LEVEL:
        state.tell(state.shard_of_account(target), MUTED, account_id, target, at_ms)
    return True


def on_blocked(state: ShardState, source: int, blocker: int, target: int, on: bool, at_ms: int = 0) -> None:
    """Note who blocks an account of this shard, which then follows him no more. If it is gone, the block goes, too."""
    row = state.people.row_of.get(target)
    if row is None and on and state.level >= FULL_FROM_LEVEL:
        state.tell(source, UNRELATED, blocker, target, at_ms)
    elif row is not None:
        state.graph.relate(row, BLOCKED_BY, blocker, on)
        state.changes.relations.add((target, BLOCKED_BY, blocker))
        if on:
            unfollow(state, target, blocker, at_ms)


def on_muted(state: ShardState, source: int, actor: int, target: int, at_ms: int = 0) -> None:
    """See whether an account that somebody mutes is here: if not, the mute goes. Nothing is noted."""
    if target not in state.people.row_of:
        state.tell(source, UNRELATED, actor, target, at_ms)


def on_unrelated(state: ShardState, source: int, account_id: int, target: int, at_ms: int = 0) -> None:
    """Take back an account's block and mute of one that is gone."""
    row = state.people.own(account_id)
    for kind in (BLOCK, MUTE):
        if row is not None and state.graph.relate(row, kind, target, False):
            state.changes.relations.add((account_id, kind, target))


def forget_relations(state: ShardState, target: int) -> None:
    """Take back all blocks and mutes of an account that is gone. 50 ns an account of this shard that has any."""
    for kind in KINDS:
        for row in [row for row, others in state.graph.relations[kind].items() if target in others]:
            state.graph.relate(row, kind, target, False)
            state.changes.relations.add((state.people.accounts[row].account_id, kind, target))


def leave_relations(state: ShardState, account_id: int, row: int, count: int) -> int:
    """Take back `count` blocks and mutes by and of an account that is deleted; return how many there were."""
    at_ms, left = state.people.accounts[row].left_ms, count
    for kind in KINDS:
        others = heapq.nsmallest(left, state.graph.relations[kind].get(row, ()))  # a set has an order of its own
        for other in others:
            state.graph.relate(row, kind, other, False)
            state.changes.relations.add((account_id, kind, other))
            if kind == BLOCK:
                state.tell(state.shard_of_account(other), BLOCKED, account_id, other, False, at_ms)
            elif kind == BLOCKED_BY:
                state.tell(state.shard_of_account(other), UNRELATED, other, account_id, at_ms)
        left -= len(others)
    return count - left


def _prepare(shard: Lookups, now_ms: int, account_id: int, kind: str, target: int, on: bool) -> Prepared:
    """Set or clear a `block` or `mute`; the reply is whether that changed anything."""
    row = shard.row(account_id)
    arguments.an_id(target, "id")
    if account_id == target:
        raise InvalidError(f"account {account_id} can't {kind} itself", "id")
    which = BLOCK if kind == "block" else MUTE
    if shard.state.graph.related(row, which, target) == on:
        return nothing(False)
    if on and len(shard.state.graph.relations[which].get(row, ())) >= limits.RELATED_COUNT_MAX:
        raise InvalidError(f"an account may {kind} {limits.RELATED_COUNT_MAX} others", "id")
    return Prepared(shard.timed(["relate", account_id, kind, target, on], now_ms), same)


def prepare_block(shard: Lookups, now_ms: int, account_id: int, target: int) -> Prepared:
    """Block an account: neither sees the other, and neither follows the other any more."""
    return _prepare(shard, now_ms, account_id, "block", target, True)


def prepare_unblock(shard: Lookups, now_ms: int, account_id: int, target: int) -> Prepared:
    """Take a block back; what it ended stays ended."""
    return _prepare(shard, now_ms, account_id, "block", target, False)


def prepare_mute(shard: Lookups, now_ms: int, account_id: int, target: int) -> Prepared:
    """Leave an account's tweets out of one's timeline."""
    return _prepare(shard, now_ms, account_id, "mute", target, True)


def prepare_unmute(shard: Lookups, now_ms: int, account_id: int, target: int) -> Prepared:
    """Have a muted account's tweets in one's timeline again."""
    return _prepare(shard, now_ms, account_id, "mute", target, False)


def answer_reader(shard: Lookups, account_id: int) -> list[bytes]:
    """What a search has to know of its reader: `[following, hidden]`, account ids ascending as int64 bytes.

    hidden: accounts blocked, muted or blocking.
    """
    row = shard.row(account_id)
    graph = shard.state.graph
    return [np.sort(graph.following.view(row)).astype("<i8").tobytes(), graph.hidden(row).astype("<i8").tobytes()]


def answer_blocked_among(shard: Lookups, account_id: int, others: bytes) -> bytes:
    """Those of some accounts (int64 bytes) between which and this one a block stands, whoever of the two made it.

    What a read on another shard has to know of its viewer.
    """
    row = shard.row(account_id)
    asked = arguments.packed_ids(others, limits.ASKED_COUNT_MAX, "others")
    return np.array(shard.visibility.blocked_among(row, asked), dtype="<i8").tobytes()


MUTED = Effect("muted", on_muted, To.ACCOUNT, ("actor", "account", "at_ms"), undone_by="unrelated")
UNRELATED = Effect("unrelated", on_unrelated, To.ACCOUNT, ("actor", "account", "at_ms"))
BLOCKED = Effect("blocked", on_blocked, To.ACCOUNT, ("actor", "account", "on", "at_ms"), short=3, undone_by="blocked")

FEATURE = Feature(
    "blocks",
    writes=(
        Write("block", prepare_block, hides=True),
        Write("unblock", prepare_unblock),
        Write("mute", prepare_mute, hides=True),
        Write("unmute", prepare_unmute),
    ),
    reads=(Read("reader", answer_reader), Read("blocked_among", answer_blocked_among)),
    commands={"relate": relate},
    effects=(BLOCKED, MUTED, UNRELATED),
    leave=leave_relations,
)
