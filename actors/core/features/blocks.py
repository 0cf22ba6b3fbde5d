"""Blocks and mutes: whom an account doesn't see, and who doesn't see it.

    block --> BLOCK shelf of the blocker --blocked--> BLOCKED_BY shelf of the blocked one, who follows no more
    mute  --> MUTE shelf    mute_as --> and a paper MUTE_OPTION: until when, of notifications too? --(due)--> unmuted

Rules of this file
- A block stands on both sides.
- The other side of a mute is told as well, from level 1 on, and notes nothing: if there is no such account (any more),
  block and mute are taken back.
- Both are filters of reads (`visibility.py`, `kernels.page`); rings aren't rewritten. Reads look in the graph's sets,
  which are as these shelves are.
- Below level 1 checkpoints and moves hold them as they did before shelves, without an order: a rising level numbers
  them by account id (`rising.py`). Their stamps say when from then on.

Costs: a block or mute is found among the others of its shelf: 1 us for 1,000, 40 us for 100,000. It takes 18 bytes
there, and what the sets take: 66 to 121. Looking one up in these is as quick as ever, 0.1 us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from actors.core import arguments, flags, ids, limits
from actors.core.errors import InvalidError
from actors.core.features.asked_follows import forget_request
from actors.core.features.follows import unfollow
from actors.core.terms import (
    FULL_FROM_LEVEL,
    Effect,
    Feature,
    Kind,
    Owner,
    PaperKind,
    Prepared,
    Read,
    Settles,
    To,
    Write,
    nothing,
    same,
)

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


ENDS_MS, OF_NOTICES = range(2)  # of a mute option's document: for ever, never used otherwise


def _unblock(state: ShardState, account_id: int, target: int, at_ms: int) -> None:
    """Have a block stand no more at its other side: who blocks is deleted."""
    state.tell(state.shard_of_account(target), BLOCKED, account_id, target, False, at_ms)


def _have_unblocked(state: ShardState, account_id: int, blocker: int, at_ms: int) -> None:
    """Have a block stand no more at who blocks: who is blocked is deleted."""
    state.tell(state.shard_of_account(blocker), UNRELATED, blocker, account_id, at_ms)


BLOCK = Kind(
    8, "block", Owner.ACCOUNT, Owner.ACCOUNT, limits.RELATED_COUNT_MAX, from_level=0, left=_unblock,
    relation=flags.BLOCK,
)  # fmt: skip
BLOCKED_BY = Kind(  # as many as there are who block: nobody is asked
    9, "blocker", Owner.ACCOUNT, Owner.ACCOUNT, ids.ID_MAX, from_level=0, left=_have_unblocked,
    relation=flags.BLOCKED_BY,
)  # fmt: skip
MUTE = Kind(
    10, "mute", Owner.ACCOUNT, Owner.ACCOUNT, limits.RELATED_COUNT_MAX, from_level=0, relation=flags.MUTE
)  # fmt: skip


def mute_ends_ms(document: Any) -> int:
    """Return when a mute ends, Unix ms; 0 for never."""
    ends_ms: int = document[ENDS_MS]
    return ends_ms


def check_mute_option(document: Any) -> None:
    """Refuse what says nothing of a mute. Raises RookeryError."""
    arguments.whole(document[ENDS_MS], 0, ids.ID_MAX, "ends_ms")
    arguments.a_bool(document[OF_NOTICES], "notifications")


def _end_mute(state: ShardState, account_id: int, target: int, document: Any) -> None:
    """Have a muted account's tweets in one's timeline again: the time is over."""
    relate(state, account_id, "mute", target, False)


MUTE_OPTION: Final = PaperKind(  # by whom is muted; absent where it is for ever, and of notifications too
    29, "mute option", Owner.ACCOUNT, limits.RELATED_COUNT_MAX, check_mute_option, mute_ends_ms, fall_due=_end_mute,
    from_level=3,
)  # fmt: skip


def relate(
    state: ShardState, account_id: int, kind: str, target: int, on: bool, at_ms: int = 0, of_notices: bool = True
) -> bool:
    """Set or clear a `block` or `mute`. A block ends the follows between the two.

    What the other one has notified the account of goes; of_notices: whether a mute is of that, too.
    """
    which = BLOCK if kind == "block" else MUTE
    shelves = state.shelves
    if not (shelves.put(which, account_id, target, at_ms) if on else shelves.drop(which, account_id, target)):
        return False
    if on and of_notices:
        state.notices.drop(account_id, actor=target)
    if which is BLOCK:
        if on:
            unfollow(state, account_id, target, at_ms)
            forget_request(state, account_id, target)
        state.tell(state.shard_of_account(target), BLOCKED, account_id, target, on, at_ms)
    elif not on:
        state.papers.drop(MUTE_OPTION, account_id, target)
    elif state.level >= FULL_FROM_LEVEL:
        state.tell(state.shard_of_account(target), MUTED, account_id, target, at_ms)
    return True


def mute_as(state: ShardState, account_id: int, target: int, of_notices: bool, ends_ms: int, at_ms: int) -> bool:
    """Mute an account, or mute it otherwise; returns whether it wasn't muted."""
    is_new = relate(state, account_id, "mute", target, True, at_ms, of_notices)
    if of_notices and not ends_ms:
        state.papers.drop(MUTE_OPTION, account_id, target)
    else:
        state.papers.put(MUTE_OPTION, account_id, target, {ENDS_MS: ends_ms, OF_NOTICES: of_notices})
    return is_new


def on_blocked(state: ShardState, source: int, blocker: int, target: int, on: bool, at_ms: int = 0) -> None:
    """Note who blocks an account of this shard, which then follows him no more. If it is gone, the block goes, too."""
    if target not in state.people.row_of:
        if on and state.level >= FULL_FROM_LEVEL:
            state.tell(source, UNRELATED, blocker, target, at_ms)
    elif on:
        state.shelves.put(BLOCKED_BY, target, blocker, at_ms)
        state.notices.drop(target, actor=blocker)
        unfollow(state, target, blocker, at_ms)
        forget_request(state, target, blocker)
    else:
        state.shelves.drop(BLOCKED_BY, target, blocker)


def on_muted(state: ShardState, source: int, actor: int, target: int, at_ms: int = 0) -> None:
    """See whether an account that somebody mutes is here: if not, the mute goes. Nothing is noted."""
    if target not in state.people.row_of:
        state.tell(source, UNRELATED, actor, target, at_ms)


def on_unrelated(state: ShardState, source: int, account_id: int, target: int, at_ms: int = 0) -> None:
    """Take back an account's block and mute of one that is gone."""
    if state.people.own(account_id) is not None:
        for kind in (BLOCK, MUTE):
            state.shelves.drop(kind, account_id, target)
        state.papers.drop(MUTE_OPTION, account_id, target)


def is_hushed(state: ShardState, account_id: int, row: int, actor: int) -> bool:
    """Whether an account wants to hear nothing of another one, or mayn't."""
    related = state.graph.related
    if related(row, flags.BLOCK, actor) or related(row, flags.BLOCKED_BY, actor):
        return True
    if not related(row, flags.MUTE, actor):
        return False
    option = state.papers.get(MUTE_OPTION, account_id, actor)
    return option is None or bool(option[OF_NOTICES])


def forget_relations(state: ShardState, target: int) -> None:
    """Take back all blocks and mutes of an account that is gone. 50 ns an account of this shard that has any."""
    for kind, relation in state.shelves.relations():
        if kind.key is not Owner.ACCOUNT:
            continue
        for row in [row for row, others in state.graph.relations[relation].items() if target in others]:
            account_id = state.people.accounts[row].account_id
            state.shelves.drop(kind, account_id, target)
            state.papers.drop(MUTE_OPTION, account_id, target)


def _prepare(shard: Lookups, now_ms: int, account_id: int, kind: str, target: int, on: bool) -> Prepared:
    """Set or clear a `block` or `mute`; the reply is whether that changed anything."""
    shard.row(account_id)
    arguments.an_id(target, "id")
    if account_id == target:
        raise InvalidError(f"account {account_id} can't {kind} itself", "id")
    which = BLOCK if kind == "block" else MUTE
    if shard.state.shelves.contains(which, account_id, target) == on:
        return nothing(False)
    if on and shard.state.shelves.count(which, account_id) >= limits.RELATED_COUNT_MAX:
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


def prepare_mute_as(
    shard: Lookups, now_ms: int, account_id: int, target: int, of_notices: bool, lasts_ms: int
) -> Prepared:
    """Mute an account for a while (0: for ever), its notifications too or not; the reply is whether it wasn't muted.

    Of one that is muted that is said anew. From level 3 on.
    """
    shard.require_level(MUTE_OPTION.from_level)
    arguments.a_bool(of_notices, "notifications")
    ends_ms = now_ms + lasts_ms if arguments.whole(lasts_ms, 0, limits.MUTE_MS_MAX, "duration") else 0
    prepared = _prepare(shard, now_ms, account_id, "mute", target, True)
    is_plain = of_notices and not ends_ms
    if not is_plain:
        shard.state.papers.require_room(MUTE_OPTION, account_id, 16, True, "id")
    elif prepared.command is None and shard.state.papers.get(MUTE_OPTION, account_id, target) is None:
        return prepared
    return Prepared(["mute_as", account_id, target, of_notices, ends_ms, now_ms], same)


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


MUTED = Effect(
    "muted", on_muted, To.ACCOUNT, ("actor", "account", "at_ms"), undone_by="unrelated", settles=Settles.ARRIVED
)
UNRELATED = Effect("unrelated", on_unrelated, To.ACCOUNT, ("actor", "account", "at_ms"), settles=Settles.ARRIVED)
BLOCKED = Effect(
    "blocked", on_blocked, To.ACCOUNT, ("actor", "account", "on", "at_ms"), short=3, undone_by="blocked",
    settles=Settles.ANSWERED,
)  # fmt: skip

FEATURE = Feature(
    "blocks",
    kinds=(BLOCK, BLOCKED_BY, MUTE),
    papers=(MUTE_OPTION,),
    writes=(
        Write("block", prepare_block, hides=True),
        Write("unblock", prepare_unblock),
        Write("mute", prepare_mute, hides=True),
        Write("mute_as", prepare_mute_as, hides=True),
        Write("unmute", prepare_unmute),
    ),
    reads=(Read("reader", answer_reader), Read("blocked_among", answer_blocked_among)),
    commands={"relate": relate, "mute_as": mute_as},
    effects=(BLOCKED, MUTED, UNRELATED),
)
