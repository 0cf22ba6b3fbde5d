"""Sealed at any moment and restored: the same state, the same timelines, and it goes on in the same way."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core import limits
from actors.core.checkpoints.snapshot import TABLES
from actors.core.errors import RookeryError
from actors.core.replica import Replica
from actors.core.verify import digest
from persistence.duckdb_checkpoint import DuckDBCheckpointStore
from tests.core.harness import NOW_MS, SMALL, Shards, memory_store

TINY = replace(SMALL, timeline_length=3, pull_threshold=2, arrivals_max=8, idempotency_keys_max=4)
PEOPLE = st.integers(0, 4)
STEP = st.one_of(
    st.tuples(
        st.sampled_from(["follow", "follow", "unfollow", "block", "unblock", "mute", "unmute", "read"]), PEOPLE, PEOPLE
    ),
    st.tuples(st.sampled_from(["post", "post", "back", "reply", "repost", "like", "unlike", "delete"]), PEOPLE, PEOPLE),
    st.tuples(
        st.sampled_from(["seal", "recover", "exchange", "day", "flush", "login", "password", "end"]), PEOPLE, PEOPLE
    ),
)


class History:
    """A cluster that random steps happen to; sealing goes to a store a shard."""

    def __init__(self, make_store) -> None:
        self.shards = Shards(2, TINY)
        self.people = [self.shards.account_on(n % 2, n // 2) for n in range(5)]
        for account_id in self.people:
            self.shards.do("register", f"user{account_id}", account_id, "", "", "a hash", [])
        self.stores = [make_store(n) for n in range(2)]
        self.sealed_at = [0, 0]
        self.tweets: list[int] = []
        self.keys = 0

    def step(self, kind: str, one: int, two: int) -> None:
        me, other = self.people[one], self.people[two]
        if hasattr(self, f"do_{kind}"):
            getattr(self, f"do_{kind}")(me, other)
        elif me != other:
            try:
                self.shards.send(kind, me, other)
            except RookeryError:
                assert kind == "follow"

    def tweet(self, two: int) -> int:
        return self.tweets[two % len(self.tweets)] if self.tweets else 1 << 16

    def do_post(self, me: int, other: int, in_reply_to: int = 0) -> None:
        self.keys += 1
        self.shards.now_ms += 1
        mentions, key = [other], b"%d" % (self.keys % 9)
        args = (me, "text", self.keys % 3, in_reply_to, other if in_reply_to else 0, b"", [], mentions, key)
        try:
            self.tweets.append(int(self.shards.send("post", *args).split(b'"tweet_id":"')[1].split(b'"')[0]))
        except RookeryError:
            assert in_reply_to == 0 or self.tweets

    def do_back(self, me: int, other: int) -> None:
        self.shards.now_ms -= 5
        self.do_post(me, other)

    def do_reply(self, me: int, other: int) -> None:
        self.do_post(me, other, self.tweet(other))

    def do_repost(self, me: int, other: int) -> None:
        with contextlib.suppress(RookeryError):
            self.shards.send("repost", me, self.shards.read("tweet_ref", self.tweet(other + me), me)[3])

    def do_like(self, me: int, other: int) -> None:
        self.shards.send("like", me, self.tweet(other + me))

    def do_unlike(self, me: int, other: int) -> None:
        self.shards.send("unlike", me, self.tweet(other + me))

    def do_delete(self, me: int, other: int) -> None:
        with contextlib.suppress(RookeryError):
            self.shards.send("delete", self.tweet(other + me), me)

    def do_read(self, me: int, other: int) -> None:
        self.shards.home(me, count=5)

    def do_exchange(self, me: int, other: int) -> None:
        self.shards.exchange()

    def do_day(self, me: int, other: int) -> None:
        self.shards.now_ms += 16 * limits.DAY_MS
        self.shards.run(other % 2, ["tick", self.shards.now_ms])

    def do_flush(self, me: int, other: int) -> None:
        self.shards.run(other % 2, ["flush_counts"])

    def do_login(self, me: int, other: int) -> None:
        self.shards.send("login_token", me, b"%d" % other)

    def do_password(self, me: int, other: int) -> None:
        (seen,) = self.shards.read("credentials", me)
        kept = [b"%d" % self.people[0]] if other % 2 else None
        fresh = b"fresh %d" % other if me % 3 else None
        self.keys += 1
        self.shards.send("change_password", me, seen, f"hash {self.keys}", kept, fresh)

    def do_end(self, me: int, other: int) -> None:
        self.shards.send("revoke_tokens", me, [b"%d" % other])

    def do_seal(self, me: int, other: int) -> None:
        self.seal(other % 2)

    def seal(self, shard: int) -> None:
        self.shards.seal_into(shard, self.stores[shard])
        self.sealed_at[shard] = len(self.shards.journals[shard])

    def do_recover(self, me: int, other: int) -> None:
        """Crash one shard: checkpoint, then the journal's tail, as `recover` does."""
        self.recover(other % 2)

    def recover(self, shard: int) -> None:
        shards, at = self.shards, self.sealed_at[shard]
        before = digest(shards.replicas[shard].state)
        fresh = Replica(shard, shards.owner, shards.tuning)
        fresh.load(self.stores[shard].load())
        assert fresh.state.position == at
        for position, record in enumerate(shards.journals[shard][at:], start=at + 1):
            fresh.replay(position, record)
        shards.replicas[shard] = fresh
        assert digest(fresh.state) == before

    def settle(self) -> None:
        self.shards.exchange()
        for shard in (0, 1):
            self.shards.run(shard, ["flush_counts"])
        self.shards.exchange()
        self.shards.check()

    def homes(self) -> list[list[int]]:
        return [self.shards.home(a, count=50) for a in self.people]


def live_through(history: History, steps) -> None:
    for step in steps:
        history.step(*step)
    history.settle()
    homes = history.homes()
    history.shards.exchange()
    for shard in (0, 1):
        history.recover(shard)  # from the last seal, whenever that was
        history.seal(shard)
        history.recover(shard)
    history.shards.exchange()
    history.shards.check()
    assert history.homes() == homes


@given(st.lists(STEP, max_size=60))
@settings(max_examples=150)
def test_a_shard_restored_from_any_seals_is_the_shard_that_was_sealed(steps):
    live_through(History(lambda n: memory_store()), steps)


def test_a_shard_restored_from_duckdb_is_the_shard_that_was_sealed(tmp_path):
    stores = []

    def make(shard):
        stores.append(DuckDBCheckpointStore(tmp_path / f"{shard}.duckdb", shard, TABLES))
        return stores[-1]

    kinds = ["follow", "post", "read", "repost", "like", "seal", "block", "reply", "delete", "recover", "post", "day"]
    steps = [(kinds[(i * 7) % len(kinds)], (i * 3) % 5, (i * i + 1) % 5) for i in range(200)]
    live_through(History(make), steps)
    for store in stores:
        store.close()


def test_keys_are_forgotten_in_the_order_they_were_learnt_also_after_a_restore():
    """A clock that goes back makes the key that was learnt first belong to the higher id."""
    shards = Shards(1, replace(SMALL, idempotency_keys_max=2))
    ada, store = shards.account_on(0), memory_store()
    eve = next(a for a in range(1, 99) if a != ada and shards.shard_of(a) == 0)
    shards.register(ada, eve)
    shards.post(ada, key=b"first")
    shards.now_ms = NOW_MS - 1_000
    shards.post(eve, key=b"second")
    shards.seal_into(0, store)
    shards.restore_from(0, store)
    shards.post(ada, key=b"third")
    assert [key for _, key in shards.replicas[0].state.idempotency] == [b"second", b"third"]


def test_ids_of_deleted_tweets_are_not_handed_out_again_after_a_restore():
    shards = Shards(1)
    ada, store = shards.account_on(0), memory_store()
    shards.register(ada)
    tweet = shards.post(ada)
    shards.do("delete", tweet, ada)
    shards.seal_into(0, store)
    shards.restore_from(0, store)
    shards.now_ms -= 1
    assert shards.post(ada) > tweet


def test_tweets_that_a_restore_has_no_room_for_leave_the_checkpoint_too():
    """Own tweets and arrivals together may be more than the window holds; what falls out would come back some day."""
    shards = Shards(2, replace(SMALL, arrivals_max=8))
    ada, bob, store = shards.account_on(0), shards.account_on(1), memory_store()
    shards.register(ada, bob)
    shards.home(bob)
    theirs = [shards.post(ada) for _ in range(6)]
    mine = [shards.post(bob) for _ in range(8)]
    shards.do("follow", bob, ada)  # their older tweets arrive last, and are the first to go when ids decide
    shards.seal_into(1, store)
    assert set(store.load().tables["arrivals"]["tweet_id"].tolist()) == set(theirs)
    assert shards.restore_from(1, store).state.arrivals.number_of.keys() == set(mine)
    shards.run(1, ["tick", shards.now_ms])
    shards.seal_into(1, store)
    assert not len(store.load().tables["arrivals"]["tweet_id"])
    assert shards.home(bob) == [*mine[::-1], *theirs[::-1]]


def test_a_checkpoint_of_another_shard_is_refused():
    shards, store = Shards(2), memory_store()
    shards.run(0, ["tick", NOW_MS])
    shards.seal_into(0, store)
    with pytest.raises(ValueError, match="of shard 0, not of shard 1"):
        Replica(1, shards.owner, shards.tuning).load(store.load())


def test_sealing_twice_without_a_change_stores_no_rows():
    shards = Shards(2)
    shards.register(shards.account_on(0))
    shards.replicas[0].seal()
    assert [change.table.name for change in shards.replicas[0].seal()] == ["meta"]
