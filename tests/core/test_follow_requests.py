"""Locked accounts: who wants to follow asks, on one shard and across two, and nobody follows without a yes."""

from __future__ import annotations

from typing import Any

import pytest

from actors.core import limits
from actors.core.errors import ForbiddenError, InvalidError, NotFoundError, OverloadedError
from actors.core.features import relations as bits
from actors.core.features.asked_follows import ADMITTED, FOLLOW_REQUEST, REQUEST_SENT
from actors.core.features.follow_requests import FOLLOW_REQUEST as BOUNDED
from actors.core.stores.account_flags import LOCKED
from actors.core.terms import NOTICES_FROM_LEVEL
from actors.core.verify import digest
from tests.core.harness import Shards, memory_store
from tests.core.test_deletion import clear

NO_OPTIONS = (None, None, None)
KINDS = (REQUEST_SENT, FOLLOW_REQUEST, ADMITTED)


def lock(world: Any, account: int, on: bool = True) -> None:
    world.do("update_profile", account, {"flags": [LOCKED, LOCKED if on else 0]})


@pytest.fixture(params=["on one shard", "on two shards"])
def world(request, monkeypatch):
    """monkeypatch: taken back after what was done is done again."""
    made: Any = Shards(2)
    made.ada = made.account_on(0)
    made.bob = made.account_on(0, 1) if request.param == "on one shard" else made.account_on(1)
    made.register(made.ada, made.bob)
    lock(made, made.bob)
    yield made
    made.check()
    for shard, replica in enumerate(made.replicas):
        before = digest(replica.state)
        assert digest(made.replayed(shard).state) == before
        store = memory_store()
        made.seal_into(shard, store)
        assert digest(made.restore_from(shard, store).state) == before


def left_of(world: Any) -> list[int]:
    """Return how much is kept of requests, by kind."""
    return [sum(len(r.state.shelves.marks.dump(kind.number)[0]) for r in world.replicas) for kind in KINDS]


def stands(world: Any, account: int, other: int) -> int:
    return world.read("relations", account, [other])[0][0]


def test_who_is_admitted_follows_and_who_is_not_may_ask_again(world):
    assert [world.do("request_follow", world.ada, world.bob, *NO_OPTIONS) for _ in range(2)] == [True, False]
    assert (stands(world, world.ada, world.bob), stands(world, world.bob, world.ada)) == (
        bits.REQUESTED | bits.SHOWING_REPOSTS, bits.REQUESTED_BY
    )  # fmt: skip
    assert world.read("followers", world.bob, 0, 0, 20)[0] == []
    assert world.do("answer_request", world.bob, world.ada, False) is True
    assert (stands(world, world.ada, world.bob), left_of(world)) == (0, [0, 0, 0])
    world.do("request_follow", world.ada, world.bob, *NO_OPTIONS)
    assert world.do("answer_request", world.bob, world.ada, True) is True
    assert stands(world, world.ada, world.bob) == bits.FOLLOWING | bits.SHOWING_REPOSTS
    assert stands(world, world.bob, world.ada) == bits.FOLLOWED_BY
    assert (left_of(world), world.do("request_follow", world.ada, world.bob, *NO_OPTIONS)) == ([0, 0, 0], False)
    with pytest.raises(NotFoundError):
        world.do("answer_request", world.bob, world.ada, True)


def test_nobody_follows_a_locked_account_without_a_yes_and_old_followers_stay(world):
    world.do("follow", world.ada, world.bob)
    assert stands(world, world.ada, world.bob) == 0
    lock(world, world.bob, on=False)
    world.do("follow", world.ada, world.bob)
    lock(world, world.bob)
    assert stands(world, world.bob, world.ada) == bits.FOLLOWED_BY
    world.do("unfollow", world.ada, world.bob)
    world.do("follow", world.ada, world.bob)
    assert (stands(world, world.ada, world.bob), stands(world, world.bob, world.ada)) == (0, 0)


def test_a_request_that_is_withdrawn_is_gone_even_when_the_yes_is_under_way(world):
    world.do("request_follow", world.ada, world.bob, *NO_OPTIONS)
    assert [world.do("withdraw_request", world.ada, world.bob) for _ in range(2)] == [True, False]
    assert left_of(world) == [0, 0, 0]
    world.do("request_follow", world.ada, world.bob, *NO_OPTIONS)
    if world.shard_of(world.ada) != world.shard_of(world.bob):
        world.send("answer_request", world.bob, world.ada, True)
        world.send("withdraw_request", world.ada, world.bob)
        world.exchange()
        assert (stands(world, world.ada, world.bob), left_of(world)) == (0, [0, 0, 0])


def test_who_is_locked_no_more_says_yes_to_those_who_wait(world, monkeypatch):
    monkeypatch.setattr(limits, "ADMITTED_AT_ONCE_MAX", 1)
    other = world.account_on(1, 3)
    world.register(other)
    for who in (other, world.ada):
        world.now_ms += 1
        world.do("request_follow", who, world.bob, False, True, None)
    lock(world, world.bob, on=False)
    assert world.read("followers", world.bob, 0, 0, 20)[0] == [world.ada], "the newest, as many as at once"
    assert left_of(world) == [1, 1, 0]
    assert world.do("follow", other, world.bob) is True, "without a yes, as nobody is asked any more"
    assert left_of(world) == [0, 0, 0]
    assert stands(world, other, world.bob) == bits.FOLLOWING | bits.NOTIFYING, "what was wanted stays"
    assert stands(world, world.ada, world.bob) == bits.FOLLOWING | bits.NOTIFYING, "what was wanted stays"
    assert stands(world, world.bob, world.ada) == bits.FOLLOWED_BY


def test_a_follow_that_is_refused_leaves_the_request_as_it_was(world):
    world.do("request_follow", world.ada, world.bob, *NO_OPTIONS)
    world.do("follow", world.ada, world.bob)
    assert left_of(world) == [1, 1, 0]
    world.do("answer_request", world.bob, world.ada, True)
    assert stands(world, world.bob, world.ada) == bits.FOLLOWED_BY


@pytest.mark.parametrize("end", ["the asked one blocks", "the asking one blocks", "the asked one goes",
                                 "the asking one goes"])  # fmt: skip
def test_blocks_and_deletions_end_requests_on_both_sides(world, end):
    world.do("request_follow", world.ada, world.bob, *NO_OPTIONS)
    who, other = (world.bob, world.ada) if "asked" in end else (world.ada, world.bob)
    if "blocks" in end:
        world.do("block", who, other)
        assert stands(world, other, who) == bits.IS_BLOCKED
    else:
        world.do("delete_account", who, None)
        clear(world)
        assert stands(world, other, who) == 0
    assert left_of(world) == [0, 0, 0]


@pytest.mark.parametrize("end", ["yes", "no", "withdrawn", "a block"])
def test_what_is_wanted_of_an_account_is_kept_with_the_request_and_becomes_that_of_the_follow(world, end):
    assert world.do("request_follow", world.ada, world.bob, False, True, ["en"]) is True
    assert world.do("request_follow", world.ada, world.bob, None, None, ["de"]) is False
    assert world.read("relations", world.ada, [world.bob]) == [[bits.REQUESTED | bits.NOTIFYING, "", ["de"], 0]]
    if end == "withdrawn":
        world.do("withdraw_request", world.ada, world.bob)
    elif end == "a block":
        world.do("block", world.bob, world.ada)
    else:
        world.do("answer_request", world.bob, world.ada, end == "yes")
    said, _, languages, _ = world.read("relations", world.ada, [world.bob])[0]
    assert said & ~bits.IS_BLOCKED == (bits.FOLLOWING | bits.NOTIFYING if end == "yes" else 0)
    assert (languages, left_of(world)) == (["de"] if end == "yes" else None, [0, 0, 0])


def test_who_is_not_locked_any_more_says_yes_and_who_is_nowhere_no(world):
    world.do("request_follow", world.ada, 399, *NO_OPTIONS)
    assert (stands(world, world.ada, 399), left_of(world)) == (0, [0, 0, 0])
    lock(world, world.bob, on=False)
    world.do("request_follow", world.ada, world.bob, *NO_OPTIONS)
    assert stands(world, world.ada, world.bob) & bits.FOLLOWING
    assert left_of(world) == [0, 0, 0]


def test_requests_are_bounded_and_need_sense_and_a_level(world):
    assert (BOUNDED.limit, REQUEST_SENT.limit) == (limits.FOLLOW_REQUESTS_COUNT_MAX, limits.REQUESTS_SENT_COUNT_MAX)
    with pytest.raises(InvalidError, match="itself"):
        world.do("request_follow", world.ada, world.ada, *NO_OPTIONS)
    world.do("block", world.bob, world.ada)
    with pytest.raises(ForbiddenError):
        world.do("request_follow", world.ada, world.bob, *NO_OPTIONS)
    old: Any = Shards(1, level=NOTICES_FROM_LEVEL - 1)
    old.register(1, 2)
    for op, *args in (("request_follow", *NO_OPTIONS), ("withdraw_request",), ("answer_request", True)):
        with pytest.raises(OverloadedError):
            old.do(op, 1, 2, *args)
