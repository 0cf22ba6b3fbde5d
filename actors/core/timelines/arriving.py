"""From a tweet that comes to be, here or elsewhere, to this shard's timelines.

    own account's tweet --publish--> store, log --deliver--> arrivals window --> rings of followers, or a pull log
                            +--tweet--> every other shard that holds a follower --deliver--> ...

Rules of this file
- Functions on the state, used by the features that make tweets arrive; no operation and no message of its own.
- Which messages leave may depend on the journal only, never on what the window or a ring still holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from actors.core.entries import Entry, TweetBatch, unpack
from actors.core.flags import FLAG_DIRECT
from actors.core.hashtags import tags_in
from actors.core.heard import TWEET
from actors.core.visibility import is_for

if TYPE_CHECKING:
    from actors.core.state import ShardState

Ints = npt.NDArray[np.int64]


def publish(state: ShardState, entry: Entry) -> None:
    """Store a tweet or repost of an own account and send it to every shard that holds a follower."""
    row = state.people.row_of[entry.author_id]
    state.tweets.add(row, entry)
    state.people.changed(entry.author_id)
    state.clock.observe(entry.tweet_id)
    state.note_tweet(entry.tweet_id, True)
    deliver(state, entry, row)
    shards = [s for s in state.graph.destinations(row) if s != state.shard]
    if entry.flags & FLAG_DIRECT:
        wanted = {state.shard_of_account(a) for a in entry.mention_ids}
        shards = [s for s in shards if s in wanted]
    if state.tag_shards:
        shards = sorted(wanting(state, entry.flags, entry.body).difference((state.shard,)).union(shards))
    if shards:
        state.send_all(shards, ["tweet", *entry])


def wanting(state: ShardState, flags: int, body: bytes) -> set[int]:
    """Return the shards on which somebody follows a hashtag of a tweet."""
    return set().union(*(state.tag_shards.get(tag, ()) for tag in tags_in(flags, body)))


def arrive(state: ShardState, entry: Entry) -> tuple[int, bool]:
    """Give a tweet its arrival number; returns (n, whether it is newer than all before it)."""
    n, is_new = state.arrivals.add(entry)
    in_order = is_new and entry.tweet_id > state.arrivals.newest_id
    if in_order:
        state.arrivals.newest_id = entry.tweet_id
    if is_new:
        state.changes.arrivals.add(entry.tweet_id)
    return n, in_order


def deliver(state: ShardState, entry: Entry, own_row: int) -> None:
    """Bring a tweet to this shard's timelines: to the author's pull log, or to the rings of its followers.

    own_row: the author's row when the author lives here, else -1.
    """
    n, in_order = arrive(state, entry)
    if state.heard is not None:
        state.heard.note(state.position, TWEET, entry.tweet_id, entry.author_id, is_own=own_row >= 0)
    author_row = state.graph.author_row.get(entry.author_id, -1)
    if state.tag_logs.logs:
        state.tag_logs.take(n, entry.tweet_id, entry.flags, entry.body)
    if entry.author_id in state.pull_logs.logs:
        if not entry.flags & FLAG_DIRECT:
            state.pull_logs.insert(entry.author_id, n, entry.tweet_id)
        author_row = -1
    if entry.flags & FLAG_DIRECT:
        state.deliveries.add(n, entry.tweet_id, -1, own_row, in_order)
        state.deliveries.land()
        deliver_direct(state, entry, n)
        return
    state.deliveries.add(n, entry.tweet_id, author_row, own_row, in_order)


def deliver_batch(state: ShardState, batch: TweetBatch, author_rows: Ints, own_rows: Ints) -> None:
    """As `deliver` for a batch. author_rows: the authors among the followed (kept); own_rows: as there."""
    known = state.arrivals.number_of.keys()
    if len(batch) > state.arrivals.capacity // 4 or not known.isdisjoint(batch.id_list):
        for entry, own_row in zip(batch.entries(), own_rows.tolist(), strict=True):
            deliver(state, entry, own_row)
        return
    if state.heard is not None:
        state.heard.tweets(state.position, batch.id_list, batch.author_id.tolist(), (own_rows >= 0).tolist())
    state.deliveries.land()
    newest = state.arrivals.newest_id
    before = np.maximum.accumulate(np.append(newest, batch.tweet_id))
    numbers = state.arrivals.add_many(batch)
    state.arrivals.newest_id = int(before[-1])
    state.changes.arrivals.update(batch.id_list)
    if state.tag_logs.logs:
        for i, (flags, body) in enumerate(zip(batch.flags.tolist(), batch.bodies, strict=True)):
            state.tag_logs.take(int(numbers[i]), batch.id_list[i], flags, body)
    logs = state.pull_logs.logs
    if logs:
        for i, author_id in enumerate(batch.author_id.tolist()):
            if author_id in logs:
                state.pull_logs.insert(author_id, int(numbers[i]), batch.id_list[i])
                author_rows[i] = -1
    state.deliveries.land_batch(numbers, batch.tweet_id, author_rows, own_rows, batch.tweet_id > before[:-1])


def deliver_direct(state: ShardState, entry: Entry, n: int) -> None:
    """Insert a direct tweet into the rings of those mentioned who follow its author."""
    rows = [state.people.row_of.get(a, -1) for a in entry.mention_ids]
    rows = [r for r in rows if r >= 0 and state.graph.following.contains(r, entry.author_id)]
    count = len(rows)
    state.rings.insert(
        np.array(rows, dtype=np.int64), np.full(count, n, dtype=np.uint32), np.full(count, entry.tweet_id, np.int64)
    )


def learn_originals(state: ShardState, reposts: list[Entry]) -> None:
    """Keep reposted tweets beside their reposts and ask their shards for fresh counts.

    They are asked for even if they are here already: what a shard sends must follow from the journal alone, and
    the arrivals window is a cache.
    """
    asked: dict[int, list[int]] = {}
    for entry in reposts:
        if entry.orig is not None:
            arrive(state, Entry(*unpack(entry.orig)))
            asked.setdefault(state.shard_of_tweet(entry.orig_id), []).append(entry.orig_id)
    for shard, tweet_ids in asked.items():
        state.send(shard, ["count_ask", tweet_ids])


def newest_entries(
    state: ShardState, reader: int, authors: list[int], max_id: int, since_id: int, count: int
) -> tuple[list[Entry], int]:
    """Collect the newest tweets of some own accounts that may be in the ring of `reader`, who follows them.

    Ids within (since_id, max_id); authors that don't live here are passed over.
    Returns (at most count entries, newest first; the floor above which they are complete, 0 if nothing is left).
    """
    known = [row for a in authors if (row := state.people.row_of.get(a)) is not None]
    rows = np.array(known, dtype=np.int64)
    newest = state.tweets.newest(rows, max_id, since_id, count + 1)
    floor = int(newest[count - 1]) - 1 if len(newest) > count else 0
    entries = [e for t in newest[:count].tolist() if (e := state.tweets.get(t)) is not None]
    return [e for e in entries if is_for(reader, e.author_id, e.flags, e.mention_ids)], floor


def newest_tagged(
    state: ShardState, tags: list[int], max_id: int, since_id: int, count: int
) -> tuple[list[Entry], int]:
    """As `newest_entries`, of the tweets that have some hashtag, by accounts that are this shard's."""
    newest = state.tweets.by_tag.newest(tags, max_id, since_id, count + 1)
    floor = newest[count - 1] - 1 if len(newest) > count else 0
    entries = [e for t in newest[:count] if (e := state.tweets.get(t)) is not None]
    return [e for e in entries if e.author_id in state.people.row_of], floor


def fill_ring(state: ShardState, row: int, entries: list[Any], above: int) -> None:
    """Insert tweets into one ring, complete above the id `above`; authors not followed (any more) are left out."""
    state.rings.raise_floor(row, above)
    authors = {state.people.accounts[row].account_id, *state.graph.following.view(row).tolist()}
    oldest_first = [Entry(*fields) for fields in reversed(entries) if fields[1] in authors]
    learn_originals(state, oldest_first)
    numbers = [(arrive(state, entry)[0], entry.tweet_id) for entry in oldest_first]
    ns = np.array([n for n, _ in numbers], dtype=np.uint32)
    tweet_ids = np.array([t for _, t in numbers], dtype=np.int64)
    state.rings.insert(np.full(len(ns), row, dtype=np.int64), ns, tweet_ids)
