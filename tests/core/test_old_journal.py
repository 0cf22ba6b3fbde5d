"""A journal from before replies that aren't public went uncounted: it replays to the messages and counts that it made.

Rules: `tests/data/journal_before_private_replies.msgpack` was made by the code before, with the script beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import pytest

from actors.core.entries import unpack
from actors.core.facts import read_facts
from actors.core.flags import FLAG_DIRECT, FLAG_FOLLOWERS, FLAG_REPLY, FLAG_UNCOUNTED
from actors.core.verify import digest
from tests.core.harness import Shards, memory_store

FILE = Path(__file__).parent.parent / "data" / "journal_before_private_replies.msgpack"
MADE = msgpack.unpackb(FILE.read_bytes())
PRIVATE = FLAG_FOLLOWERS | FLAG_DIRECT


def replay(shards: Shards, shard: int) -> list[bytes]:
    """Apply a shard's records, one by one, and compare the numbers after each; return the messages that left."""
    made, state, other = MADE["shards"][shard], shards.replicas[shard].state, 1 - shard
    outbox, messages = state.outboxes[other], []
    seen = 1
    for position, (record, numbers) in enumerate(zip(made["records"], made["numbers"], strict=True), start=1):
        waited = len(outbox.waiting)
        shards.replicas[shard].replay(position, record)
        assert [outbox.next_seq, state.inbox[other]] == numbers, f"after record {position}: {unpack(record)[0]}"
        assert len(outbox.waiting) >= waited or unpack(record)[0] == "acked"
        messages += [message for seq, _, message in outbox.waiting if seq >= seen]
        seen = outbox.next_seq
        shards.journals[shard].append(record)
    return messages


@pytest.fixture
def replayed() -> Shards:
    shards = Shards(2, level=0)
    for shard in (0, 1):
        assert replay(shards, shard) == MADE["shards"][shard]["messages"]
    return shards


def tweets_of(shards: Shards, shard: int) -> list[Any]:
    tweets = shards.replicas[shard].state.tweets
    entries = [tweets.get(tweet_id) for tweet_id in sorted(tweets.slot_of)]
    return [[e.tweet_id, e.author_id, e.flags, read_facts(e.body).in_reply_to, *e[6:9]] for e in entries]


def answered(shards: Shards) -> list[Any]:
    """Return a tweet, and its direct replies that the old code counted."""
    rows = [row for shard in (0, 1) for row in tweets_of(shards, shard)]
    for tweet_id, author_id, *_ in rows:
        direct = [row[:2] for row in rows if row[3] == tweet_id and row[2] == FLAG_REPLY | FLAG_DIRECT]
        if direct:
            return [tweet_id, author_id, direct]
    raise AssertionError("no direct reply in the journal")


def replies(shards: Shards, tweet_id: int) -> int:
    return shards.replicas[shards.shard_for("tweet", [tweet_id])].state.tweets.get(tweet_id).replies


def test_an_old_journal_comes_to_the_state_that_it_came_to(replayed):
    for shard in (0, 1):
        assert tweets_of(replayed, shard) == MADE["shards"][shard]["tweets"]
        assert digest(replayed.replicas[shard].state) == MADE["shards"][shard]["digest"]
    replayed.check()


def test_the_journal_holds_replies_of_every_kind_on_both_shards():
    for shard in (0, 1):
        posted = [row for r in MADE["shards"][shard]["records"] if (c := unpack(r))[0] == "post" for row in c[1]]
        flags = {row[2] for row in posted if row[4]}
        assert {FLAG_REPLY, FLAG_REPLY | FLAG_FOLLOWERS, FLAG_REPLY | FLAG_DIRECT} <= flags
        assert not any(row[2] & FLAG_UNCOUNTED for row in posted)
        deleted = [unpack(r)[1] for r in MADE["shards"][shard]["records"] if unpack(r)[0] == "delete"]
        assert {row[0] for row in posted if row[2] & PRIVATE and row[4]} & set(deleted)


@pytest.mark.parametrize("from_checkpoint", [False, True])
def test_what_was_counted_is_taken_back_once_and_what_was_not_never(replayed, from_checkpoint):
    tweet_id, author_id, old = answered(replayed)
    if from_checkpoint:
        for shard in (0, 1):
            store = memory_store()
            replayed.seal_into(shard, store)
            replayed.restore_from(shard, store)
    before = replies(replayed, tweet_id)
    replayed.now_ms += 60_000
    new = [
        (by, replayed.post(by, "psst", 2, in_reply_to=tweet_id, reply_author=author_id, mentions=[author_id]))
        for _, by in old
    ]
    assert replies(replayed, tweet_id) == before
    for by, reply_id in new:
        replayed.do("delete", reply_id, by)
    assert replies(replayed, tweet_id) == before
    for gone, (reply_id, by) in enumerate(old, start=1):
        replayed.do("delete", reply_id, by)
        assert replies(replayed, tweet_id) == before - gone
    replayed.check()
