"""The follow graph, own tweets, outboxes and the id clock beside their plain twins."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.core import ids, limits
from actors.core.entries import Entry
from actors.core.flags import BLOCK, BLOCKED_BY, MUTE
from actors.core.ids import TweetIdClock
from actors.core.outbox import Outbox
from actors.core.stores.graph import FollowGraph
from actors.core.stores.tweets import OwnTweets
from tests.core.twins import TwinClock, TwinGraph

ROWS, SHARDS = 5, 3
ROW = st.integers(0, ROWS - 1)
TARGET = st.integers(100, 100 + ROWS + 3)  # some of our own, some of others
OTHER = st.integers(1, 9)


class GraphMachine(RuleBasedStateMachine):
    """Row r belongs to account 100 + r."""

    @initialize()
    def start(self) -> None:
        self.graph, self.twin = FollowGraph(SHARDS), TwinGraph()
        self.graph.ensure_rows(ROWS)
        self.people = SimpleNamespace(accounts=[SimpleNamespace(account_id=100 + r) for r in range(ROWS)])

    @rule(edges=st.lists(st.tuples(st.integers(-1, ROWS - 1), TARGET), max_size=12))
    def follow(self, edges) -> None:
        rows, targets = (np.array([e[side] for e in edges], dtype=np.int64) for side in (0, 1))
        added = self.graph.add_following(rows, rows + 100, targets)
        assert added.tolist() == [row >= 0 and self.twin.follow(100 + row, target) for row, target in edges]

    @rule(row=ROW, followee=TARGET)
    def unfollow(self, row, followee) -> None:
        assert self.graph.remove_following(row, 100 + row, followee) == self.twin.unfollow(100 + row, followee)

    @rule(gained=st.lists(st.tuples(ROW, OTHER), unique=True, max_size=6))
    def gain(self, gained) -> None:
        """Sources live on the shard of their number, as the owner map would have it."""
        for shard in range(SHARDS):
            new = [(r, s) for r, s in gained if s % SHARDS == shard and (s, shard) not in self.followers(r)]
            rows, sources = (np.array([g[side] for g in new], dtype=np.int64) for side in (0, 1))
            self.graph.add_followers(np.append(rows, -1), np.append(sources, 99), shard)
            for row, source in new:
                self.followers(row).append((source, shard))

    @rule(row=ROW, source=OTHER)
    def lose(self, row, source) -> None:
        known = (source, source % SHARDS) in self.followers(row)
        assert self.graph.remove_follower(row, source, source % SHARDS) == known
        if known:
            self.followers(row).remove((source, source % SHARDS))

    @rule(row=ROW, kind=st.sampled_from([BLOCK, BLOCKED_BY, MUTE]), other=OTHER, on=st.booleans())
    def relate(self, row, kind, other, on) -> None:
        edge = (row, kind, other)
        assert self.graph.relate(row, kind, other, on) == ((edge in self.twin.relations) != on)
        (self.twin.relations.add if on else self.twin.relations.discard)(edge)

    def followers(self, row) -> list[tuple[int, int]]:
        return self.twin.followers.setdefault(row, [])

    @invariant()
    def equal_and_sound(self) -> None:
        if not hasattr(self, "graph"):
            return
        assert self.graph.check(self.people) == []
        assert self.graph.edge_count == sum(len(targets) for targets in self.twin.following.values())
        for row in range(ROWS):
            assert self.graph.following.view(row).tolist() == self.twin.following.get(100 + row, [])
            assert self.graph.followers.view(row).tolist() == [source for source, _ in self.followers(row)]
            assert self.graph.destinations(row) == sorted({shard for _, shard in self.followers(row)})
            assert self.graph.hidden(row).tolist() == sorted({o for r, _, o in self.twin.relations if r == row})
        for target in range(100, 100 + ROWS + 4):
            assert self.graph.local_follower_count(target) == len(self.twin.local_followers(target))


TestGraph = GraphMachine.TestCase


class OwnTweetsMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.tweets, self.twin = OwnTweets(), {}
        self.tweets.log.ensure_rows(ROWS)
        self.next_id = 1

    @rule(row=ROW, reposts=st.booleans(), mentions=st.lists(OTHER, max_size=2), body=st.binary(max_size=3))
    def add(self, row, reposts, mentions, body) -> None:
        orig = b"packed" if reposts else None
        entry = Entry(self.next_id, 100 + row, 2 * reposts, 0, self.next_id, 0, 0, 0, 0, body, mentions, orig)
        self.next_id += 1
        self.tweets.add(row, entry)
        self.twin[entry.tweet_id] = entry

    @rule(tweet_id=st.integers(1, 12), name=st.sampled_from(["replies", "reposts", "likes"]), step=st.integers(-2, 2))
    def count(self, tweet_id, name, step) -> None:
        known = self.twin.get(tweet_id)
        assert self.tweets.count(tweet_id, name, step) == (known is not None)
        if known is not None:
            self.twin[tweet_id] = known._replace(**{name: max(0, getattr(known, name) + step)})

    @rule(tweet_id=st.integers(1, 12))
    def remove(self, tweet_id) -> None:
        known = self.twin.pop(tweet_id, None)
        if known is not None:
            self.tweets.remove(known.author_id - 100, tweet_id)

    @invariant()
    def equal_and_sound(self) -> None:
        if not hasattr(self, "tweets"):
            return
        assert self.tweets.check() == []
        assert len(self.tweets) == len(self.twin)
        for tweet_id in range(1, self.next_id + 1):
            assert self.tweets.get(tweet_id) == self.twin.get(tweet_id)
        for row in range(ROWS):
            mine = [t for t, entry in sorted(self.twin.items()) if entry.author_id == 100 + row]
            assert self.tweets.log.view(row).tolist() == mine
        columns = self.tweets.columns_of(sorted(self.twin))
        assert columns["likes"].tolist() == [self.twin[t].likes for t in sorted(self.twin)]
        assert columns["body"] == [self.twin[t].body for t in sorted(self.twin)]
        assert self.tweets._body_bytes == sum(len(entry.body) for entry in self.twin.values())


TestOwnTweets = OwnTweetsMachine.TestCase


class OutboxMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.outbox, self.made, self.trimmed, self.position = Outbox(), [], 0, 0

    @rule(message=st.binary(min_size=1, max_size=5), later=st.booleans())
    def push(self, message, later) -> None:
        self.position += later
        self.outbox.push(self.position, message)
        self.made.append((self.position, message))

    @rule(seq=st.integers(0, 30))
    def trim(self, seq) -> None:
        self.outbox.trim(seq)
        self.trimmed = max(self.trimmed, min(seq, len(self.made)))

    @rule(durable=st.integers(0, 20))
    def batch(self, durable) -> None:
        first, messages = self.outbox.batch(durable)
        waiting = self.made[self.trimmed :]
        assert first == self.trimmed + 1
        assert messages == [message for position, message in waiting if position <= durable]

    @invariant()
    def sound(self) -> None:
        if hasattr(self, "outbox"):
            assert self.outbox.check() == []
            assert self.outbox.next_seq == len(self.made) + 1
            assert len(self.outbox.waiting) == len(self.made) - self.trimmed


TestOutbox = OutboxMachine.TestCase


def test_a_batch_ends_at_its_limits_but_always_holds_a_message(monkeypatch):
    outbox = Outbox()
    for size in (50, 4, 4, 4, 4):
        outbox.push(1, bytes(size))
    monkeypatch.setattr(limits, "BATCH_BYTES_MAX", 10)
    assert [len(m) for m in outbox.batch(1)[1]] == [50]
    outbox.trim(1)
    assert outbox.batch(1) == (2, [bytes(4), bytes(4)])
    monkeypatch.setattr(limits, "BATCH_COUNT_MAX", 1)
    assert outbox.batch(1) == (2, [bytes(4)])


@given(steps=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(1, 70)), max_size=12))
def test_tweet_ids_of_a_bucket_only_grow_whatever_the_clock_does(steps):
    clock, twin, handed_out = TweetIdClock(), TwinClock(), []
    for bucket, now_ms, count in steps:
        for _ in range(count):
            tweet_id = clock.next_id(bucket, now_ms) if count % 2 else clock.take(bucket, now_ms)
            assert tweet_id == twin.next_id(bucket, now_ms)
            assert ids.bucket_of_tweet(tweet_id) == bucket
            assert ids.ms_of_tweet(tweet_id) >= now_ms
            clock.observe(tweet_id)
            twin.observe(bucket, tweet_id)
            handed_out.append(tweet_id)
    assert len(set(handed_out)) == len(handed_out)
    for bucket in range(3):
        mine = [t for t in handed_out if ids.bucket_of_tweet(t) == bucket]
        assert mine == sorted(mine)


@given(st.lists(st.integers(1, ids.ID_MAX), max_size=20))
def test_buckets_of_many_accounts_are_those_of_each(account_ids):
    found = ids.buckets_of_accounts(np.array(account_ids, dtype=np.int64)).tolist()
    assert found == [ids.bucket_of_account(a) for a in account_ids]


def test_names_compare_without_case():
    assert ids.bucket_of_name("Ada") == ids.bucket_of_name("aDA")


@pytest.mark.parametrize(
    "wrong", [{"arrivals_max": 100}, {"arrivals_max": 4}, {"timeline_length": 0}, {"pieces_bytes_max": -1}]
)
def test_a_tuning_that_cannot_work_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        limits.Tuning(**wrong)
