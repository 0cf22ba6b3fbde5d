"""The public timeline of a shard: what strangers come across, newest first, without what is gone or hidden."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core import limits
from actors.core.stores.public_tweets import ELSEWHERE, PublicTweets
from tests.core.harness import NOW_MS, Shards, memory_store
from tests.core.test_moving import Moving


@pytest.fixture
def world():
    made = Moving()
    made.ada, made.bob = made.account_on(0), made.account_on(0, 1)
    made.cyd = made.account_on(1)
    made.register(made.ada, made.bob, made.cyd)
    yield made
    made.check()


def public(world: Shards, viewer: int = 0, shard: int = 0, count: int = 20, **window: int) -> list[int]:
    return page(world, viewer, shard, count, **window)[0]


def page(world: Shards, viewer: int = 0, shard: int = 0, count: int = 20, **window: int) -> tuple[list[int], int]:
    ids = [window.get(name, 0) for name in ("max_id", "since_id", "min_id")]
    body, stopped = world.replicas[shard].read("public_tweets", [viewer, *ids, count])
    return [int(tweet["tweet_id"]) for tweet in orjson.loads(body)], stopped


def test_public_originals_that_answer_nobody_are_shown(world):
    first = world.post(world.ada)
    world.post(world.ada, visibility=1)
    world.post(world.ada, visibility=2)
    world.post(world.bob, in_reply_to=first, reply_author=world.ada)
    world.repost(world.bob, first)
    second, elsewhere = world.post(world.bob), world.post(world.cyd)
    assert public(world) == [second, first]
    assert public(world, shard=1) == [elsewhere]
    assert public(world, viewer=world.cyd) == [second, first]


def test_a_page_is_any_part_of_it(world):
    tweets = [world.post(world.ada) for _ in range(5)][::-1]
    assert public(world, count=2) == tweets[:2]
    assert public(world, max_id=tweets[1], count=2) == tweets[2:4]
    assert public(world, since_id=tweets[2]) == tweets[:2]
    assert public(world, min_id=tweets[4], count=2) == tweets[2:4]
    assert public(world, min_id=tweets[4], max_id=tweets[2], count=2) == [tweets[3]]


def test_what_is_deleted_or_behind_a_block_is_left_out(world):
    tweets = [world.post(author) for author in (world.ada, world.bob, world.ada)][::-1]
    world.do("delete", tweets[0], world.ada)
    assert public(world) == tweets[1:]
    world.do("block", world.bob, world.cyd)
    assert public(world, viewer=world.cyd) == tweets[2:]
    assert public(world, viewer=world.bob) == tweets[1:]
    world.do("delete_account", world.ada)
    assert public(world) == tweets[1:2], "also while what it leaves is being taken back"


def test_it_is_the_same_after_a_replay_a_restart_and_a_move(world):
    tweets = [world.post(author) for author in (world.ada, world.bob, world.ada)][::-1]
    world.do("delete", tweets[1], world.bob)
    expected = [tweets[0], tweets[2]]
    replayed = world.replayed(0)
    assert orjson.loads(replayed.read("public_tweets", [0, 0, 0, 0, 20])[0]) == orjson.loads(
        world.replicas[0].read("public_tweets", [0, 0, 0, 0, 20])[0]
    )
    store = memory_store()
    world.seal_into(0, store)
    world.restore_from(0, store)
    assert public(world) == expected
    world.move(1, world.ada)
    assert public(world, shard=1) == expected
    assert public(world) == []
    world.sweep()
    world.move(0, world.ada)
    assert public(world) == expected


def test_a_read_that_would_look_too_far_says_where_it_stopped(world, monkeypatch):
    monkeypatch.setattr(limits, "PUBLIC_LOOKED_COUNT_MAX", 3)
    bobs = [world.post(world.bob) for _ in range(2)][::-1]
    adas = [world.post(world.ada) for _ in range(4)][::-1]
    world.do("block", world.ada, world.cyd)
    assert page(world, world.cyd) == ([], adas[2])
    assert page(world, world.cyd, max_id=adas[2]) == (bobs, 0)
    assert page(world, world.cyd, max_id=adas[2], count=1) == ([bobs[0]], 0), "a full page says nothing"
    assert page(world, world.cyd, min_id=bobs[0]) == ([], adas[1])


MOVES = st.lists(st.tuples(st.integers(1, 60), st.sampled_from((0, 0, 0, 1, 2, 4, 8, 64))), max_size=60)


@given(first=MOVES, second=MOVES, dropped=st.lists(st.integers(1, 60), max_size=9))
def test_ids_are_the_newest_of_those_that_came_in_whatever_order(first, second, dropped):
    public = PublicTweets(count_max=8)
    for tweet_id, flags in first:
        public.add(tweet_id, flags)
    public.drop(dropped)
    ids, flags = np.array(second, dtype=np.int64).reshape(-1, 2).T
    public.add_many(ids, flags)
    came = {tweet_id for tweet_id, bits in first if not bits & ELSEWHERE} - set(dropped)
    came |= {tweet_id for tweet_id, bits in second if not bits & ELSEWHERE}
    assert [i for i in public.ids().tolist() if i > public.floor] == sorted(i for i in came if i > public.floor)
    stored = np.array(sorted(came), dtype=np.int64)
    assert public.check(stored, np.zeros(len(stored), dtype=np.int64)) == []


def test_memory_is_bounded():
    public = PublicTweets(count_max=1_000)
    for tweet_id in range(NOW_MS, NOW_MS + 20_000):
        public.add(tweet_id, 0)
    public.add_many(np.arange(1, 5_000, dtype=np.int64), np.zeros(4_999, dtype=np.int64))
    assert public.nbytes() < 8 * 12 * 1_000
    assert public.ids()[-1_000:].tolist() == list(range(NOW_MS + 19_000, NOW_MS + 20_000))
    missing: Any = public.check(np.array([NOW_MS + 30_000]), np.array([0]))
    assert missing, "what should be here and isn't is found"
