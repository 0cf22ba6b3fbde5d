"""What one shard tells another: every message and what it does where it arrives.

    sender's event                      message                receiver
    tweet of an author followed there   tweet, tweets          -> rings, or the author's pull log
    tweet deleted (to all)              deleted                -> hidden; reposts of it are deleted too
    u follows v / no longer             gained / lost          v's shard: followers(v); may answer refused or backfill
    v may not be followed               refused                u's shard: takes the edge back
    v's newest tweets for u             backfill               -> u's ring
    u wakes                             wake_ask               v's shard: answers wake_answer -> u's ring
    v has become a pull author          pull_start             -> a pull log
    counts (to all), asked for          counts, count_ask
    like, repost, reply                 liked, reposted, replied   the tweet's shard counts, or answers
                                        tweet_gone / deleted       if there is no such tweet any more
    block                               blocked                -> the other side's follow ends
    registration                        create_account, name_settled

Rules of this file
- Messages of one source arrive in order, each exactly once. Two sources are not ordered against each other, so every
  effect here is right whichever comes first, or provokes the message that puts it right.
- An answer that arrives too late (the follow was undone, the wake was superseded) is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np
import numpy.typing as npt

from actors.core import ids, kernels, limits
from actors.core.entries import Entry, TweetBatch, unpack
from actors.core.graph import BLOCK, BLOCKED_BY
from actors.core.people import Account
from actors.core.visibility import is_for

if TYPE_CHECKING:
    from actors.core.state import ShardState

Ints = npt.NDArray[np.int64]


def split_batch(batch: bytes) -> Iterator[list[Any]]:
    """Iterate over the messages of a batch: packed values one after the other."""
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=0)
    unpacker.feed(batch)
    return iter(unpacker)


# ---- tweets -----------------------------------------------------------------------------------------------


def on_tweet(state: ShardState, source: int, *fields: Any) -> None:
    entry = Entry(*fields)
    if state.graph.local_follower_count(entry.author_id):
        learn_originals(state, [entry])
        state.deliver(entry, -1)


def on_tweets(state: ShardState, source: int, *columns: Any) -> None:
    batch = TweetBatch.from_message(*columns)
    rows = state.graph.author_rows(batch.author_id)
    wanted = np.nonzero((rows >= 0) & (state.graph.local_followers.length[rows] > 0))[0]
    if len(wanted):
        kept = batch if len(wanted) == len(batch) else batch.take(wanted)
        state.deliver_batch(kept, rows[wanted], np.full(len(kept), -1, dtype=np.int64))


def learn_originals(state: ShardState, reposts: list[Entry]) -> None:
    """Keep reposted tweets beside their reposts and ask their shards for fresh counts.

    They are asked for even if they are here already: what a shard sends must follow from the journal alone, and
    the arrivals window is a cache.
    """
    asked: dict[int, list[int]] = {}
    for entry in reposts:
        if entry.orig is not None:
            state.arrive(Entry(*unpack(entry.orig)))
            asked.setdefault(state.shard_of_tweet(entry.orig_id), []).append(entry.orig_id)
    for shard, tweet_ids in asked.items():
        state.send(shard, ["count_ask", tweet_ids])


def on_deleted(state: ShardState, source: int, tweet_id: int) -> None:
    state.arrivals.mark_deleted(tweet_id)
    for repost_id in sorted(state.reposts_of.get(tweet_id, ())):
        state.delete(repost_id)


def newest_entries(
    state: ShardState, reader: int, authors: list[int], max_id: int, since_id: int, count: int
) -> tuple[list[Entry], int]:
    """Collect the newest tweets of some own accounts that may be in the ring of `reader`, who follows them.

    Ids within (since_id, max_id); authors that don't live here are passed over.
    Returns (at most count entries, newest first; the floor above which they are complete, 0 if nothing is left).
    """
    known = [row for a in authors if (row := state.people.row_of.get(a)) is not None]
    rows = np.array(known, dtype=np.int64)
    log = state.tweets.log
    rows = rows[log.klass[rows] >= 0] if len(rows) else rows
    room = min(int(log.length[rows].sum()), len(rows) * (count + 1)) if len(rows) else 0
    out = np.empty(room, dtype=np.int64)
    found = kernels.newest_of_logs(log.data, log.start, log.length, rows, max_id, since_id, count + 1, out)
    newest = np.sort(out[:found])[::-1]
    floor = int(newest[count - 1]) - 1 if len(newest) > count else 0
    entries = [e for t in newest[:count].tolist() if (e := state.tweets.get(t)) is not None]
    return [e for e in entries if is_for(reader, e.author_id, e.flags, e.mention_ids)], floor


# ---- follow edges -----------------------------------------------------------------------------------------


def on_gained(state: ShardState, source: int, us: bytes, vs: bytes, floors: bytes) -> None:
    followers, followees, filled = (np.frombuffer(b, dtype="<i8").astype(np.int64) for b in (us, vs, floors))
    rows = np.array([state.people.row_of.get(v, -1) for v in followees.tolist()], dtype=np.int64)
    if state.graph.relations[BLOCK]:
        for i in range(len(rows)):
            if rows[i] >= 0 and state.graph.related(int(rows[i]), BLOCK, int(followers[i])):
                rows[i] = -1
    refused = rows < 0
    if refused.any():
        state.send(source, ["refused", followers[refused].tolist(), followees[refused].tolist()])
    state.graph.add_followers(rows, followers, source)
    kept = ~refused
    state.changes.followers.log(followees[kept], followers[kept], True)
    for i in np.nonzero(kept & (filled >= 0))[0].tolist():
        _answer_backfill(state, source, int(followers[i]), int(followees[i]), int(filled[i]))
    _start_pull_logs(state, source, rows[kept])


def _answer_backfill(state: ShardState, source: int, reader: int, author: int, floor: int) -> None:
    """Send an author's tweets above a reader's floor.

    The answer says above which id it is complete, because the reader's floor may be lower again when it arrives: a
    recovery builds rings with fewer entries than overflowed before.
    """
    entries, above = newest_entries(state, reader, [author], ids.ID_MAX, floor, state.tuning.timeline_length)
    if state.tweets.log.length[state.people.row_of[author]]:
        state.send(source, ["backfill", reader, author, [list(e) for e in entries], max(above, floor)])


def _start_pull_logs(state: ShardState, source: int, rows: Ints) -> None:
    """Turn authors above the threshold into pull authors; give every shard that follows one its log."""
    for row in np.unique(rows[state.graph.followers.length[rows] > state.tuning.pull_threshold]).tolist():
        start_pull_logs(state, row)


def start_pull_logs(state: ShardState, row: int) -> None:
    """Give every shard that follows a pull author its log, where it has none."""
    author_id = state.people.accounts[row].account_id
    shards = state.pull_shards.setdefault(author_id, set())
    missing = [s for s in state.graph.destinations(row) if s not in shards]
    if missing:
        shards.update(missing)
        state.changes.accounts.add(row)
        entries, above = newest_entries(state, 0, [author_id], ids.ID_MAX, 0, state.tuning.timeline_length)
        oldest_first = [list(e) for e in reversed(entries)]
        state.send_all(missing, ["pull_start", author_id, oldest_first, above])


def on_lost(state: ShardState, source: int, follower: int, followee: int) -> None:
    row = state.people.row_of.get(followee)
    if row is not None and state.graph.remove_follower(row, follower, source):
        state.changes.followers.log_one(followee, follower, False)
        if not state.graph.shard_followers[row, source] and followee in state.pull_shards:
            state.pull_shards[followee].discard(source)
            state.changes.accounts.add(row)


def on_refused(state: ShardState, source: int, followers: list[int], followees: list[int]) -> None:
    for follower, followee in zip(followers, followees, strict=True):
        state.unfollow(follower, followee)


def on_blocked(state: ShardState, source: int, blocker: int, target: int, on: bool) -> None:
    row = state.people.row_of.get(target)
    if row is not None:
        state.graph.relate(row, BLOCKED_BY, blocker, on)
        state.changes.relations.add((target, BLOCKED_BY, blocker))
        if on:
            state.unfollow(target, blocker)


# ---- rings ------------------------------------------------------------------------------------------------


def on_backfill(state: ShardState, source: int, reader: int, author: int, entries: list[Any], above: int) -> None:
    row = state.people.row_of[reader]
    if state.rings.awake[row] and state.graph.following.contains(row, author):
        fill_ring(state, row, entries, above)


def fill_ring(state: ShardState, row: int, entries: list[Any], above: int) -> None:
    """Insert tweets into one ring, complete above the id `above`; authors not followed (any more) are left out."""
    state.rings.raise_floor(row, above)
    authors = {state.people.accounts[row].account_id, *state.graph.following.view(row).tolist()}
    oldest_first = [Entry(*fields) for fields in reversed(entries) if fields[1] in authors]
    learn_originals(state, oldest_first)
    numbers = [(state.arrive(entry)[0], entry.tweet_id) for entry in oldest_first]
    ns = np.array([n for n, _ in numbers], dtype=np.uint32)
    tweet_ids = np.array([t for _, t in numbers], dtype=np.int64)
    state.rings.insert(np.full(len(ns), row, dtype=np.int64), ns, tweet_ids)


def on_wake_ask(state: ShardState, source: int, reader: int, number: int, authors: bytes) -> None:
    wanted = np.frombuffer(authors, dtype="<i8").tolist()
    entries, above = newest_entries(state, reader, wanted, ids.ID_MAX, 0, state.tuning.timeline_length)
    state.send(source, ["wake_answer", reader, number, [list(e) for e in entries], above])


def on_wake_answer(state: ShardState, source: int, reader: int, number: int, entries: list[Any], above: int) -> None:
    known, shards = state.waking.get(reader, (0, set()))
    if known != number or source not in shards:
        return
    fill_ring(state, state.people.row_of[reader], entries, above)
    shards.discard(source)
    state.changes.accounts.add(state.people.row_of[reader])
    if not shards:
        del state.waking[reader]
        state.woken.append(reader)


def on_pull_start(state: ShardState, source: int, author: int, entries: list[Any], above: int) -> None:
    if not state.graph.local_follower_count(author):
        return
    state.pull_logs.start(author, above)
    state.changes.pulls.add(author)
    oldest_first = [Entry(*fields) for fields in entries]
    learn_originals(state, oldest_first)
    for entry in oldest_first:
        if not entry.flags & kernels.FLAG_DIRECT:
            state.pull_logs.insert(author, state.arrive(entry)[0], entry.tweet_id)


# ---- counts -----------------------------------------------------------------------------------------------


def on_counts(state: ShardState, source: int, rows: list[list[int]]) -> None:
    for tweet_id, replies, reposts, likes in rows:
        if state.arrivals.set_counts(tweet_id, replies, reposts, likes):
            state.changes.arrivals.add(tweet_id)


def on_count_ask(state: ShardState, source: int, tweet_ids: list[int]) -> None:
    found = [e for t in tweet_ids if (e := state.tweets.get(t)) is not None]
    if found:
        state.send(source, ["counts", [[e.tweet_id, e.replies, e.reposts, e.likes] for e in found]])
    for tweet_id in tweet_ids:
        if tweet_id not in state.tweets:
            state.send(source, ["deleted", tweet_id])


def _count(state: ShardState, tweet_id: int, name: str, step: int) -> bool:
    if not state.tweets.count(tweet_id, name, step):
        return False
    state.dirty_counts[tweet_id] = None
    state.note_tweet(tweet_id, False)
    return True


def on_liked(state: ShardState, source: int, account_id: int, tweet_id: int, step: int) -> None:
    if not _count(state, tweet_id, "likes", step) and step > 0:
        state.send(source, ["tweet_gone", account_id, tweet_id])


def on_tweet_gone(state: ShardState, source: int, account_id: int, tweet_id: int) -> None:
    row = state.people.row_of[account_id]
    if state.likes.get(row, {}).pop(tweet_id, 0) is None:
        state.changes.like(account_id, tweet_id)


def on_reposted(state: ShardState, source: int, tweet_id: int, repost_id: int, step: int) -> None:
    if not _count(state, tweet_id, "reposts", step) and step > 0:
        state.send(source, ["deleted", tweet_id])


def on_replied(state: ShardState, source: int, tweet_id: int, step: int) -> None:
    """Count a reply, 1 or -1. 0 is what one that isn't public leaves: a message that changes no count.

    It is sent, and handled like any other, so that replicas of two versions number their messages alike.
    """
    _count(state, tweet_id, "replies", step)


# ---- registration -----------------------------------------------------------------------------------------


def on_create_account(state: ShardState, source: int, fields: list[Any], at_ms: int) -> None:
    username, account_id, display_name, bio, password_hash, tokens = fields
    existing = state.people.get(account_id)
    if existing is None:
        kept = list(tokens)[-limits.TOKENS_PER_ACCOUNT_MAX :]
        account = Account(account_id, username, at_ms, display_name, bio, password_hash=password_hash, tokens=kept)
        row = state.people.add(account)
        state.ensure_rows(row + 1)
        state.changes.accounts.add(row)
        if state.news is not None:
            state.news.account(account_id)
    settled = existing is None or existing.username == username
    shard = int(state.owner[ids.bucket_of_name(username)])
    state.send(shard, ["name_settled", username.lower(), account_id, settled])


def on_name_settled(state: ShardState, source: int, name: str, account_id: int, settled: bool) -> None:
    if state.people.names.get(name, (0, False))[0] == account_id:
        if settled:
            state.people.names[name] = (account_id, True)
        else:
            del state.people.names[name]
        state.changes.names.add(name)


MESSAGES: dict[str, Callable[..., None]] = {
    name[3:]: function for name, function in list(globals().items()) if name.startswith("on_")
}
