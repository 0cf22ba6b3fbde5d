"""Follow edges: decided by the follower's shard, mirrored by the followee's.

    u's shard                                  v's shard
    following(u), local followers of v         followers(v), and how many of them each shard has
    follow    --gained, with the ring's floor-->   may answer refused, or backfill and pull_start
    unfollow  --lost-->
              <--follower_removed--   remove_follower: u's shard unfollows

Rules of this file
- Both sides agree once messages have drained; u's shard decides, v's may refuse.
- An edge to oneself is kept: imported graphs hold some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from actors.core import arguments, ids, limits
from actors.core.errors import ForbiddenError, InvalidError
from actors.core.features.asked_follows import ADMITTED, admits, is_locked
from actors.core.features.followee_options import forget_followee
from actors.core.features.pull_authors import start_pull_logs_above_threshold
from actors.core.flags import BLOCK, BLOCKED_BY
from actors.core.stores.account_flags import HIDES_COLLECTIONS
from actors.core.terms import (
    NOTICES_FROM_LEVEL,
    Effect,
    Feature,
    Key,
    Notified,
    Notifies,
    Prepared,
    Read,
    Settles,
    To,
    Write,
    nothing,
    same,
)
from actors.core.timelines.arriving import fill_ring, newest_entries

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

Ints = npt.NDArray[np.int64]


def int64s(data: bytes) -> Ints:
    """Decode little-endian int64 bytes."""
    return np.frombuffer(data, dtype="<i8").astype(np.int64)


def follow(state: ShardState, followers: bytes, followees: bytes, at_ms: int = 0, is_notified: bool = False) -> int:
    """Add follow edges; those that exist are passed over. int64 arrays. Returns how many are new.

    is_notified: whether who is followed is to know; bulk loads, and who said yes to a request, aren't told.
    """
    us, vs = int64s(followers), int64s(followees)
    begins = np.ones(len(us), dtype=np.bool_)  # where another follower's edges begin: many stand together as a rule
    begins[1:] = us[1:] != us[:-1]
    rows_of_runs = np.array([state.people.row_of.get(u, -1) for u in us[begins].tolist()], dtype=np.int64)
    rows = rows_of_runs[np.cumsum(begins) - 1]
    added = state.graph.add_following(rows, us, vs)
    us, vs, rows = us[added], vs[added], rows[added]
    state.changes.following.log(us, vs, True)
    state.people.all_changed(us)
    # The floor tells the followee's shard how far back to send; -1: asleep, nothing to fill. A followee of this
    # very shard sends all it has: a floor is a cache, and what follows from it here must not differ in a replay.
    here = state.owner[ids.buckets_of_accounts(vs)] == state.shard
    floors = np.where(here, 0, state.rings.floor[rows])
    floors = np.where(state.rings.awake[rows] == 1, floors, -1)
    if len(us):
        level, born_day = state.level, (state.people.born_day(int(us[0])),) if is_notified else ()
        state.send_by_owner(
            vs,
            lambda of: GAINED.told(level, (us[of].tobytes(), vs[of].tobytes(), floors[of].tobytes(), at_ms, *born_day)),
        )
    return int(added.sum())


def unfollow(state: ShardState, account_id: int, target: int, at_ms: int = 0) -> bool:
    """Remove one follow edge and the target's tweets from the account's ring. False: there is none, or no account."""
    row = state.people.own(account_id)
    if row is None or not drop_following(state, row, account_id, target):
        return False
    if account_id != target:
        state.rings.purge(row, target)
    state.tell(state.shard_of_account(target), LOST, account_id, target, at_ms)
    return True


def drop_following(state: ShardState, row: int, account_id: int, target: int) -> bool:
    """Remove one follow edge here, and what is kept of it; whether it was there."""
    if not drop_edge(state, row, account_id, target):
        return False
    forget_followee(state, account_id, target)
    return True


def drop_edge(state: ShardState, row: int, account_id: int, target: int) -> bool:
    """Remove one follow edge alone; whether it was there. The last follower takes the author's pull log along."""
    if not state.graph.remove_following(row, account_id, target):
        return False
    state.changes.following.log_one(account_id, target, False)
    state.people.changed(account_id)
    if account_id != target and not state.graph.local_follower_count(target):
        state.pull_logs.drop(target)
        state.changes.pulls.add(target)
    return True


def on_gained(
    state: ShardState, source: int, us: bytes, vs: bytes, floors: bytes, at_ms: int = 0, born_day: int = 0
) -> None:
    """Take in followers of this shard's accounts, refuse others', and send tweets from above their rings' floors."""
    followers, followees, filled = (np.frombuffer(b, dtype="<i8").astype(np.int64) for b in (us, vs, floors))
    rows = np.array([state.people.row_of.get(v, -1) for v in followees.tolist()], dtype=np.int64)
    if state.graph.relations[BLOCK]:
        for i in range(len(rows)):
            if rows[i] >= 0 and state.graph.related(int(rows[i]), BLOCK, int(followers[i])):
                rows[i] = -1
    _refuse_unasked(state, source, rows, followers, followees)
    refused = rows < 0
    if refused.any():
        state.tell(source, REFUSED, followers[refused].tolist(), followees[refused].tolist(), at_ms)
    state.graph.add_followers(rows, followers, source)
    kept = ~refused
    state.changes.followers.log(followees[kept], followers[kept], True)
    state.people.all_changed(followees[kept])
    for i in np.nonzero(kept & (filled >= 0))[0].tolist():
        _answer_backfill(state, source, int(followers[i]), int(followees[i]), int(filled[i]))
    start_pull_logs_above_threshold(state, rows[kept])


def _refuse_unasked(state: ShardState, source: int, rows: Ints, followers: Ints, followees: Ints) -> None:
    """Make -1 of the rows of locked accounts that haven't admitted their follower. 0.1 us each."""
    if state.level < ADMITTED.from_level:
        return
    is_one = len(rows) == 1
    for i, row in enumerate(rows.tolist()):
        asks = row >= 0 and (is_one or is_locked(state, row))
        if asks and not admits(state, source, row, int(followees[i]), int(followers[i])):
            rows[i] = -1


def _answer_backfill(state: ShardState, source: int, reader: int, author: int, floor: int) -> None:
    """Send an author's tweets above a reader's floor.

    The answer says above which id it is complete, because the reader's floor may be lower again when it arrives: a
    recovery builds rings with fewer entries than overflowed before.
    """
    entries, above = newest_entries(state, reader, [author], ids.ID_MAX, floor, state.tuning.timeline_length)
    if state.tweets.log.length[state.people.row_of[author]]:
        state.tell(source, BACKFILL, reader, author, [list(e) for e in entries], max(above, floor))


def on_lost(state: ShardState, source: int, follower: int, followee: int, at_ms: int = 0) -> None:
    """Take a follower off; the last one of a shard takes that shard's pull log along."""
    row = state.people.row_of.get(followee)
    if row is not None and state.graph.remove_follower(row, follower, source):
        state.changes.followers.log_one(followee, follower, False)
        state.people.changed(followee)
        if not state.graph.shard_followers[row, source] and followee in state.pull_shards:
            state.pull_shards[followee].discard(source)
            state.changes.accounts.add(row)


def on_refused(state: ShardState, source: int, followers: list[int], followees: list[int], at_ms: int = 0) -> None:
    """Take edges back that the other side doesn't have: no such account, or a block."""
    for follower, followee in zip(followers, followees, strict=True):
        unfollow(state, follower, followee, at_ms)


def on_backfill(state: ShardState, source: int, reader: int, author: int, entries: list[Any], above: int) -> None:
    """Put a new followee's tweets into a ring; if it sleeps, or follows no more, they come too late."""
    row = state.people.row_of.get(reader)
    if row is not None and state.rings.awake[row] and state.graph.following.contains(row, author):
        fill_ring(state, row, entries, above)


def remove_follower(state: ShardState, account_id: int, follower: int, at_ms: int) -> bool:
    """Have an account's shard end its follow; it says so itself then. Always True: it is under way."""
    state.tell(state.shard_of_account(follower), FOLLOWER_REMOVED, account_id, follower, at_ms)
    return True


def on_follower_removed(state: ShardState, source: int, actor: int, account_id: int, at_ms: int) -> None:
    """End an account's follow of somebody who wants that."""
    unfollow(state, account_id, actor, at_ms)


def leave_edges(state: ShardState, account_id: int, row: int, count: int) -> int:
    """End the newest `count` follows by and of an account that is deleted; return how many there were."""
    at_ms = state.people.accounts[row].left_ms
    followees = state.graph.following.view(row)[: -count - 1 : -1].tolist()
    for target in followees:
        unfollow(state, account_id, target, at_ms)
    followers = state.graph.cut_followers(row, count - len(followees), state.owner)
    if len(followers):
        state.changes.followers.log(np.full(len(followers), account_id, dtype=np.int64), followers, False)
        state.send_by_owner(
            followers,
            lambda of: FOLLOWEE_LEFT.told(state.level, (account_id, followers[of].astype("<i8").tobytes(), at_ms)),
        )
    return len(followees) + len(followers)


def on_followee_left(state: ShardState, source: int, account_id: int, followers: bytes, at_ms: int = 0) -> None:
    """End the follows of an account that is deleted; nobody is told, as its own shard has ended them already."""
    for follower in int64s(followers)[::-1].tolist():  # the newest first, as at the other end: each is the last one
        row = state.people.own(follower)
        if row is not None and drop_following(state, row, follower, account_id):
            state.rings.purge(row, account_id)


def prepare_follow(shard: Lookups, now_ms: int, account_id: int, target: int) -> Prepared:
    """Follow an account; the reply is whether that is new. Raises ForbiddenError where a block stands."""
    row = shard.row(account_id)
    arguments.an_id(target, "id")
    graph = shard.state.graph
    if graph.related(row, BLOCKED_BY, target):
        raise ForbiddenError(f"account {target} has blocked account {account_id}", "id")
    if graph.related(row, BLOCK, target):
        raise ForbiddenError(f"account {account_id} blocks account {target}; unblock it first", "id")
    if graph.following.contains(row, target):
        return nothing(False)
    if graph.following.length[row] >= limits.FOLLOWING_COUNT_MAX:
        raise InvalidError(f"an account may follow {limits.FOLLOWING_COUNT_MAX} others", "id")
    edge = (np.array([account_id], "<i8").tobytes(), np.array([target], "<i8").tobytes())
    command = shard.timed(["follow", *edge], now_ms)
    notified = [True] if shard.state.level >= NOTICES_FROM_LEVEL else []
    return Prepared([*command, *notified], lambda added: added > 0)


def prepare_follow_many(shard: Lookups, now_ms: int, followers: bytes, followees: bytes) -> Prepared:
    """Add edges followers[i] -> followees[i] (int64 bytes) of accounts without blocks; the reply: how many are new."""
    for side in (followers, followees):
        arguments.blob(side, 0, 8 * limits.FOLLOW_COUNT_MAX, "follows")
    if len(followers) != len(followees) or len(followers) % 8:
        raise InvalidError(f"follow_many takes two equal int64 arrays of at most {limits.FOLLOW_COUNT_MAX}")
    us = np.frombuffer(followers, dtype="<i8")
    vs = np.frombuffer(followees, dtype="<i8")
    if len(vs) and int(vs.min()) < 1:
        raise InvalidError(f"account id {int(vs.min())} is not within 1 to {ids.ID_MAX}", "id")
    for account_id, count in zip(*(a.tolist() for a in np.unique(us, return_counts=True)), strict=True):
        row = shard.row(account_id)
        if shard.state.graph.following.length[row] + count > limits.FOLLOWING_COUNT_MAX:
            raise InvalidError(f"an account may follow {limits.FOLLOWING_COUNT_MAX}; {account_id} would more", "id")
        if any(row in shard.state.graph.relations[kind] for kind in (BLOCK, BLOCKED_BY)):
            raise InvalidError(f"account {account_id} has blocks; follow one by one", "user_id")
    return Prepared(shard.timed(["follow", followers, followees], now_ms), same)


def prepare_unfollow(shard: Lookups, now_ms: int, account_id: int, target: int) -> Prepared:
    """Follow an account no more; the reply is whether it was followed."""
    row = shard.row(account_id)
    if not shard.state.graph.following.contains(row, arguments.an_id(target, "id")):
        return nothing(False)
    return Prepared(shard.timed(["unfollow", account_id, target], now_ms), same)


def prepare_remove_follower(shard: Lookups, now_ms: int, account_id: int, follower: int) -> Prepared:
    """Have an account follow this one no more; the reply is whether it did. It may follow again. From level 3 on."""
    shard.require_level(3)
    row = shard.row(account_id)
    if not shard.state.graph.followers.contains(row, arguments.an_id(follower, "id")):
        return nothing(False)
    return Prepared(["remove_follower", account_id, follower, now_ms], same)


def answer_followers(shard: Lookups, account_id: int, viewer: int, cursor: int, count: int) -> list[Any]:
    """A page of followers, newest first: `[[account_id, ...], next_cursor or 0]`."""
    return _edges(shard, shard.state.graph.followers, account_id, viewer, cursor, count)


def answer_following(shard: Lookups, account_id: int, viewer: int, cursor: int, count: int) -> list[Any]:
    """A page of followees, newest first."""
    return _edges(shard, shard.state.graph.following, account_id, viewer, cursor, count)


def _edges(shard: Lookups, arena: Any, account_id: int, viewer: int, cursor: int, count: int) -> list[Any]:
    """cursor: how many of the oldest are still to come; 0 = start with the newest.

    Of an account that hides its lists nobody else finds anybody in them.
    """
    row, count = shard.seen_row(account_id, viewer), arguments.page_count(count)
    arguments.an_id_or_zero(cursor, "cursor")
    if shard.state.people.accounts[row].flags & HIDES_COLLECTIONS and viewer != account_id:
        return [[], 0]
    everyone = arena.view(row)
    end = min(cursor, len(everyone)) if cursor else len(everyone)
    start = max(0, end - count)
    return [everyone[start:end][::-1].tolist(), start]


GAINED = Effect(
    "gained", on_gained, To.ACCOUNT, ("actors", "accounts", "floors", "at_ms", "born_day"), short=3, later=1,
    undone_by="lost", notifies=Notifies("follow", Notified.ACCOUNT, "actor", unless="born_day"),
    settles=Settles.ANSWERED,
)  # fmt: skip
LOST = Effect("lost", on_lost, To.ACCOUNT, ("actor", "account", "at_ms"), short=2, settles=Settles.ARRIVED)
REFUSED = Effect("refused", on_refused, To.ASKER, ("actor_list", "account_list", "at_ms"), short=2)
FOLLOWER_REMOVED = Effect(
    "follower_removed", on_follower_removed, To.ACCOUNT, ("actor", "account", "at_ms"), settles=Settles.ANSWERED
)
FOLLOWEE_LEFT = Effect("followee_left", on_followee_left, To.FOLLOWERS, ("account", "actors", "at_ms"))
BACKFILL = Effect("backfill", on_backfill, To.ASKER, ("reader", "author", "entries", "above"))

FEATURE = Feature(
    "follows",
    writes=(
        Write("follow", prepare_follow),
        Write("unfollow", prepare_unfollow),
        Write("remove_follower", prepare_remove_follower),
        Write("follow_many", prepare_follow_many, Key.SHARD, keyed=False),
    ),
    reads=(Read("followers", answer_followers), Read("following", answer_following)),
    commands={"follow": follow, "unfollow": unfollow, "remove_follower": remove_follower},
    effects=(GAINED, LOST, REFUSED, FOLLOWER_REMOVED, BACKFILL, FOLLOWEE_LEFT),
    leave=leave_edges,
)
