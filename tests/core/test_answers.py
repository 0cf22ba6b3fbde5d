"""Idempotency keys of every write: the same answer again, nothing done twice, whatever is lost or restored between."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core import limits
from actors.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, OverloadedError
from actors.core.features import WRITES
from actors.core.features.answers import remember_key, remember_keys
from actors.core.features.likes import LIKE
from actors.core.ids import make_tweet_id
from actors.core.verify import digest
from tests.core.harness import Shards, memory_store

KEY, PRINT = b"key", b"fingerprint"


class World(Shards):
    def __init__(self, level: int = 1) -> None:
        super().__init__(2, level=level)
        self.ada, self.bob, self.joe = self.account_on(0), self.account_on(1), self.account_on(0, 1)
        self.register(self.ada, self.bob, self.joe)

    def once(self, account: int, op: str, args: list[Any], key: bytes = KEY, fingerprint: bytes = PRINT) -> Any:
        return self.do("keyed", account, key, fingerprint, op, args)


@pytest.fixture
def world():
    made = World()
    yield made
    made.check()
    for shard in (0, 1):
        assert digest(made.replayed(shard).state) == digest(made.replicas[shard].state)
        store = memory_store()
        made.seal_into(shard, store)
        assert digest(made.restore_from(shard, store).state) == digest(made.replicas[shard].state)


def test_a_repeated_delete_gets_the_tweet_that_it_deleted(world):
    tweet = world.post(world.ada)
    first = world.once(world.ada, "delete", [tweet, world.ada])
    assert world.once(world.ada, "delete", [tweet, world.ada]) == first
    with pytest.raises(NotFoundError):
        world.do("delete", tweet, world.ada)


def test_a_repetition_is_answered_as_then_and_does_nothing_whatever_came_between(world):
    tweet = world.post(world.bob)
    assert world.once(world.ada, "like", [world.ada, tweet]) is True
    world.do("unlike", world.ada, tweet)
    assert world.once(world.ada, "like", [world.ada, tweet]) is True
    assert not world.state_of(world.ada).shelves.contains(LIKE, world.ada, tweet)
    assert world.read("answered", world.ada, KEY, PRINT) == [True]
    assert world.read("answered", world.ada, b"another", PRINT) == []


def test_an_answer_that_nothing_had_to_be_done_is_kept_as_well(world):
    tweet = world.post(world.bob)
    world.do("like", world.ada, tweet)
    assert world.once(world.ada, "like", [world.ada, tweet]) is False
    world.do("unlike", world.ada, tweet)
    assert world.once(world.ada, "like", [world.ada, tweet]) is False


def test_a_refusal_is_not_kept(world):
    world.do("block", world.bob, world.ada)
    with pytest.raises(ForbiddenError):
        world.once(world.ada, "follow", [world.ada, world.bob])
    world.do("unblock", world.bob, world.ada)
    assert world.once(world.ada, "follow", [world.ada, world.bob]) is True


def test_a_key_of_another_request_is_refused_and_changes_nothing(world):
    tweet = world.post(world.bob)
    world.once(world.ada, "like", [world.ada, tweet])
    before = world.digests()
    for act in (
        lambda: world.once(world.ada, "unlike", [world.ada, tweet], fingerprint=b"another"),
        lambda: world.do("post", world.ada, "x", 0, 0, 0, b"", [], [], KEY),
        lambda: world.write_on(0, "post_many", [[[world.ada, "x", 0, 0, 0, b"", [], [], KEY]]]),
        lambda: world.read("answered", world.ada, KEY, b"another"),
    ):  # fmt: skip
        with pytest.raises(ConflictError, match="used for another request"):
            act()
    assert world.digests() == before


def test_a_key_of_a_tweet_is_no_key_of_something_else(world):
    world.post(world.ada, key=KEY)
    with pytest.raises(ConflictError, match="used for another request"):
        world.once(world.ada, "unmute", [world.ada, world.bob])


def test_keys_of_two_accounts_are_two(world):
    tweet = world.post(world.bob)
    assert world.once(world.ada, "like", [world.ada, tweet]) is True
    assert world.once(world.joe, "like", [world.joe, tweet]) is True


def test_keys_are_forgotten_after_a_day(world):
    tweet = world.post(world.ada)
    world.once(world.ada, "delete", [tweet, world.ada])
    world.now_ms += limits.IDEMPOTENCY_TTL_MS + 1
    world.once(world.ada, "mute", [world.ada, world.bob], key=b"later")
    with pytest.raises(NotFoundError):
        world.once(world.ada, "delete", [tweet, world.ada])


def test_what_answers_with_a_secret_or_has_a_key_of_its_own_is_not_kept(world):
    kept = {name for name, write in WRITES.items() if write.keyed}
    assert {"delete", "like", "follow", "repost", "update_profile", "bookmark"} <= kept
    for op in ("post", "login_token", "change_password", "register", "keyed", "nothing", None, 7):
        with pytest.raises(InvalidError, match="no write whose answer is kept"):
            world.once(world.ada, op, [])


def test_answers_are_kept_from_level_1_on():
    world = World(level=0)
    with pytest.raises(OverloadedError, match="being upgraded"):
        world.once(world.ada, "mute", [world.ada, world.bob])


@given(
    st.lists(st.tuples(st.sampled_from(("like", "unlike", "mute", "unmute", "seal")), st.integers(0, 3)), max_size=16)
)
def test_whatever_is_restored_between_each_key_does_one_thing_once(steps):
    world, store = World(), memory_store()
    tweet, answers = world.post(world.bob), {}
    for op, key in steps:
        if op == "seal":
            world.seal_into(0, store)
            assert digest(world.restore_from(0, store).state) == digest(world.replicas[0].state)
            continue
        about = tweet if op in ("like", "unlike") else world.bob
        key_of = f"{op}{key}".encode()
        said = world.once(world.ada, op, [world.ada, about], key_of, key_of)
        assert answers.setdefault(key_of, said) == said
    assert digest(world.replayed(0).state) == digest(world.replicas[0].state)


HALF_DAYS = st.integers(0, 5)  # after which a key is forgotten: two of them
KEYS = st.tuples(st.integers(1, 2), st.binary(min_size=1, max_size=1), HALF_DAYS)


@given(keys_max=st.integers(1, 6), batches=st.lists(st.lists(KEYS, min_size=1, max_size=5), max_size=6))
def test_keys_of_a_batch_are_remembered_and_forgotten_as_one_after_the_other(keys_max, batches):
    def no_keys() -> Any:
        changes, tuning = SimpleNamespace(idempotency={}), SimpleNamespace(idempotency_keys_max=keys_max)
        return SimpleNamespace(idempotency=OrderedDict(), changes=changes, tuning=tuning)

    together, apart, number = no_keys(), no_keys(), 0
    for batch in batches:
        made: dict[tuple[int, bytes], int] = {}
        for account, key, half_days in batch:
            number += 1
            made[account, key] = make_tweet_id(half_days * limits.IDEMPOTENCY_TTL_MS // 2 + number, 0, 0)
        fresh = [(*pair, tweet) for pair, tweet in made.items() if pair not in apart.idempotency]
        if fresh:
            remember_keys(together, fresh)
        for account, key, tweet in fresh:
            remember_key(apart, account, key, tweet)
        assert list(together.idempotency.items()) == list(apart.idempotency.items())
        assert list(together.changes.idempotency) == list(apart.changes.idempotency)
