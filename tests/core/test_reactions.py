"""Reactions to announcements, and what weeks have seen: counted once, wherever they are and whatever has gone."""

from __future__ import annotations

from typing import Any

import pytest

from actors.core import limits
from actors.core.errors import InvalidError, OverloadedError
from actors.core.features import activity
from actors.core.features.activity import WEEK_MS
from actors.core.features.reactions import FREE, PLACES, check_places, forget_reactions, thing_of_announcement
from actors.core.levels import LEVEL
from tests.core.harness import NOW_MS, Shards
from tests.core.test_moving import three_people

SEVEN = thing_of_announcement(7)


world = pytest.fixture(three_people)


def react(world: Any, account_id: int, name: str, on: bool = True) -> bool:
    return bool(world.do("react", SEVEN, 7, name, account_id, on))


def found(world: Any, account_id: int = 0) -> list[list[Any]]:
    return world.read("reactions", SEVEN, account_id)


def test_each_account_counts_once_for_each_emoji(world):
    assert react(world, world.ada, "👍")
    assert not react(world, world.ada, "👍")
    assert react(world, world.bob, "👍")
    assert react(world, world.ada, "blob_cat")
    assert found(world, world.ada) == [["👍", 2, True], ["blob_cat", 1, True]]
    assert found(world, world.bob) == [["👍", 2, True], ["blob_cat", 1, False]]
    assert found(world) == [["👍", 2, False], ["blob_cat", 1, False]]


def test_what_the_last_one_takes_back_gives_its_place_to_another_emoji(world):
    for n in range(limits.REACTION_NAMES_MAX):
        react(world, world.ada, f"e{n}")
    with pytest.raises(InvalidError, match="8 different"):
        react(world, world.bob, "more")
    assert react(world, world.bob, "e3")
    assert react(world, world.ada, "e3", False)
    with pytest.raises(InvalidError, match="8 different"):
        react(world, world.bob, "more")
    assert react(world, world.bob, "e3", False)
    assert not react(world, world.bob, "e3", False)
    assert react(world, world.bob, "more")
    assert [name for name, *_ in found(world)] == ["e0", "e1", "e2", "more", "e4", "e5", "e6", "e7"]


def test_who_is_gone_takes_reactions_along(world):
    react(world, world.ada, "👍")
    react(world, world.bob, "👍")
    react(world, world.bob, "👎")
    world.do("delete_account", world.bob)
    world.run(1, ["clear_left", world.bob, 100])
    world.exchange()
    assert found(world) == [["👍", 1, False]]
    (state,) = (replica.state for replica in world.replicas if replica.state.papers.get(PLACES, SEVEN))
    forget_reactions(state, world.bob)
    assert found(world) == [["👍", 1, False]]


@pytest.mark.parametrize("wrong", [
    [SEVEN, 8, "x", 5, True], [SEVEN, 7, "", 5, True], [SEVEN, 7, "x" * 257, 5, True], [SEVEN, 7, "x", 0, True],
    [SEVEN, 7, "x", 5, 1],
])  # fmt: skip
def test_what_is_no_reaction_is_refused(world, wrong):
    with pytest.raises(Exception, match=r"must be|has a name|not the id|may take"):
        world.do("react", *wrong)
    assert found(world) == []


@pytest.mark.parametrize("document", [[], ["a", "a"], ["a"] * 9, [1], ["x" * 257]])
def test_a_document_that_is_none_is_refused(document):
    with pytest.raises(Exception, match=r"must be|emoji|may take"):
        check_places(document)
    check_places(["a", FREE, FREE, "b"])


def test_nothing_is_written_below_level_3():
    old = Shards(2, level=2)
    with pytest.raises(OverloadedError):
        old.do("react", SEVEN, 7, "x", old.account_on(0), True)
    assert LEVEL >= 3


# ---- weeks ----------------------------------------------------------------------------------------------------------


def weeks_of(world: Any, begin_ms: int, count: int) -> list[list[int]]:
    sums, row = [[0] * count for _ in range(3)], -1
    for replica in world.replicas:
        row = -1
        while row:
            row, *part = replica.read("activity", [max(row, 0), begin_ms, count])
            sums = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(sums, part, strict=True)]
    return sums


def test_a_week_has_what_was_written_who_signed_in_and_who_came(world, monkeypatch):
    monkeypatch.setattr(activity, "ROWS_MAX", 1)
    begin_ms = NOW_MS - WEEK_MS
    world.post(world.ada)
    gone = world.post(world.bob)
    world.do("login_token", world.ada, b"one", None)
    world.do("login_token", world.ada, b"two", None)
    world.now_ms += WEEK_MS
    world.post(world.bob)
    world.do("login_token", world.bob, b"three", None)
    world.do("delete", gone, world.bob)
    assert weeks_of(world, begin_ms, 3) == [[0, 1, 1], [0, 1, 1], [0, 3, 0]]
    assert weeks_of(world, NOW_MS, 1) == [[1], [1], [3]]


@pytest.mark.parametrize("wrong", [[-1, 0, 1], [0, -1, 1], [0, 0, 0], [0, 0, 13], [0, 1 << 63, 1]])
def test_weeks_that_cannot_be_are_refused(world, wrong):
    with pytest.raises(InvalidError):
        world.replicas[0].read("activity", wrong)
