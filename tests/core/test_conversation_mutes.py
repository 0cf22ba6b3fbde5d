"""Muted conversations: which tweets the reader's flags say are of one, and that they stay when the shard doesn't."""

from __future__ import annotations

from typing import Any

import pytest

from actors.core import limits
from actors.core.errors import NotFoundError, OverloadedError
from actors.core.features.conversation_mutes import MUTED_CONVERSATION
from actors.core.features.viewer_flags import CONVERSATION_MUTED
from actors.core.terms import NOTICES_FROM_LEVEL
from actors.core.verify import digest
from tests.core.harness import Shards, memory_store


@pytest.fixture
def world():
    made: Any = Shards(2)
    made.ada, made.bob = made.account_on(0), made.account_on(1)
    made.register(made.ada, made.bob)
    made.do("follow", made.ada, made.bob)
    yield made
    made.check()
    for shard, replica in enumerate(made.replicas):
        before = digest(replica.state)
        assert digest(made.replayed(shard).state) == before
        store = memory_store()
        made.seal_into(shard, store)
        assert digest(made.restore_from(shard, store).state) == before


def muted(world: Any, *tweets: int, parents: tuple[int, ...] = ()) -> list[bool]:
    """Return which tweets ada's shard says are of a muted conversation."""
    columns = [b"".join(each.to_bytes(8, "little") for each in column) for column in (tweets, parents)]
    flags = world.read("viewer_flags", world.ada, columns[0], columns[0], columns[0], columns[1])
    return [bool(flag & CONVERSATION_MUTED) for flag in flags]


def test_answers_to_a_muted_tweet_are_muted_as_far_down_as_the_shard_knows_them(world):
    first = world.post(world.bob)
    line = [first]
    for _ in range(3):
        line.append(world.post(world.bob, in_reply_to=line[-1], reply_author=world.bob))
    assert world.do("mute_conversation", world.ada, [first]) is True
    assert world.do("mute_conversation", world.ada, [first]) is False
    assert muted(world, *line, world.post(world.bob)) == [True] * 4 + [False]
    assert world.do("unmute_conversation", world.ada, [line[1], first]) is True
    assert muted(world, *line) == [False] * 4


def test_what_a_tweet_answers_is_told_of_those_that_the_shard_does_not_know(world):
    first, elsewhere = world.post(world.bob), (1 << 60) + 64
    world.do("mute_conversation", world.ada, [first])
    assert muted(world, elsewhere) == [False]
    assert muted(world, elsewhere, parents=(first,)) == [True]


def test_the_way_up_is_bounded(world):
    line = [world.post(world.bob)]
    for _ in range(limits.MUTED_HOPS_MAX):
        line.append(world.post(world.bob, in_reply_to=line[-1], reply_author=world.bob))
    world.do("mute_conversation", world.ada, [line[0]])
    assert muted(world, line[-2], line[-1]) == [True, False]


def test_below_its_level_nothing_is_muted_and_nobody_else_is_muted_for():
    world = Shards(1, level=NOTICES_FROM_LEVEL - 1)
    world.register(1)
    with pytest.raises(OverloadedError):
        world.do("mute_conversation", 1, [64])
    with pytest.raises(NotFoundError):
        Shards(1).do("unmute_conversation", 2, [64])
    assert world.replicas[0].state.shelves.count(MUTED_CONVERSATION, 1) == 0
