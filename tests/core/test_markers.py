"""Markers: up to where an account has read, which its clients share, kept by its shard."""

from __future__ import annotations

import pytest

from actors.core.errors import NotFoundError, OverloadedError, RookeryError
from actors.core.features.markers import HOME, NOTIFICATIONS
from actors.core.verify import digest
from tests.core.harness import NOW_MS, Shards
from tests.core.test_moving import Moving


@pytest.fixture
def world():
    made = Moving()
    made.ada, made.bob = made.account_on(0), made.account_on(1)
    made.register(made.ada, made.bob)
    yield made
    made.check_whole()


def test_a_marker_says_up_to_where_one_has_read_and_how_often_that_has_changed(world):
    assert world.read("markers", world.ada) == []
    assert world.do("set_markers", world.ada, 70, 0) == [[HOME, 70, 1, NOW_MS]]
    world.now_ms += 5
    both = world.do("set_markers", world.ada, 90, 8)
    assert both == [[HOME, 90, 2, NOW_MS + 5], [NOTIFICATIONS, 8, 1, NOW_MS + 5]]
    world.now_ms += 5
    assert world.do("set_markers", world.ada, 90, 0) == both, "the same again is no change"
    assert world.do("set_markers", world.ada, 60, 0)[0] == [HOME, 60, 3, NOW_MS + 10], "one may go back"
    assert world.read("markers", world.bob) == []


def test_nothing_to_set_writes_nothing(world):
    before = len(world.journals[0])
    assert world.do("set_markers", world.ada, 0, 0) == []
    assert len(world.journals[0]) == before


@pytest.mark.parametrize("ids", [[-1, 0], [0, "7"], [True, 0], [1 << 63, 0], [7]])
def test_what_is_no_id_is_refused_and_nothing_changes(world, ids):
    before = digest(world.state_of(world.ada))
    with pytest.raises(RookeryError):
        world.do("set_markers", world.ada, *ids)
    assert digest(world.state_of(world.ada)) == before


def test_they_move_with_their_account(world):
    world.do("set_markers", world.ada, 70, 7)
    markers = world.read("markers", world.ada)
    world.move(1, world.ada)
    assert world.read("markers", world.ada) == markers


def test_they_wait_for_their_level_and_belong_to_somebody():
    shards = Shards(level=2)
    ada = shards.account_on(0)
    shards.register(ada)
    with pytest.raises(OverloadedError, match="being upgraded"):
        shards.do("set_markers", ada, 1, 0)
    shards = Shards()
    with pytest.raises(NotFoundError):
        shards.do("set_markers", ada, 1, 0)
