"""Whose notifications an account wants, kept by its shard."""

from __future__ import annotations

import pytest

from actors.core.errors import NotFoundError, OverloadedError, RookeryError
from actors.core.features.notification_policies import POLICY, check_policy
from actors.core.verify import digest
from tests.core.harness import Shards
from tests.core.test_moving import Moving


@pytest.fixture
def world():
    made = Moving()
    made.ada, made.bob = made.account_on(0), made.account_on(1)
    made.register(made.ada, made.bob)
    yield made
    made.check_whole()


def test_a_policy_changes_where_something_is_said_and_stays_elsewhere(world):
    assert world.read("notification_policy", world.ada) == [0, 0, 0, 0, 0]
    assert world.do("set_notification_policy", world.ada, [1, None, 2, None, None]) == [1, 0, 2, 0, 0]
    assert world.do("set_notification_policy", world.ada, [None, 1, 0, None, None]) == [1, 1, 0, 0, 0]
    assert world.read("notification_policy", world.ada) == [1, 1, 0, 0, 0]
    assert world.read("notification_policy", world.bob) == [0, 0, 0, 0, 0]


def test_who_accepts_everybody_again_has_no_paper_and_what_changes_nothing_writes_nothing(world):
    world.do("set_notification_policy", world.ada, [1, 1, 1, 1, 1])
    assert world.do("set_notification_policy", world.ada, [0, 0, 0, 0, 0]) == [0, 0, 0, 0, 0]
    assert world.state_of(world.ada).papers.get(POLICY, world.ada) is None
    before = len(world.journals[0])
    assert world.do("set_notification_policy", world.ada, [None] * 5) == [0, 0, 0, 0, 0]
    assert len(world.journals[0]) == before


@pytest.mark.parametrize("verdicts", [[], [0] * 4, [0] * 6, [3, 0, 0, 0, 0], [True, 0, 0, 0, 0], ["drop"] * 5, 7])
def test_what_is_no_policy_is_refused_and_nothing_changes(world, verdicts):
    before = digest(world.state_of(world.ada))
    with pytest.raises(RookeryError):
        world.do("set_notification_policy", world.ada, verdicts)
    assert digest(world.state_of(world.ada)) == before


@pytest.mark.parametrize("document", [[0] * 4, [0] * 17, [0, 0, 0, 0, 3]])
def test_a_paper_that_is_no_policy_is_refused(document):
    with pytest.raises(RookeryError):
        check_policy(document)


def test_what_a_later_version_adds_at_the_end_stays():
    shards = Shards()
    ada = shards.account_on(0)
    shards.register(ada)
    papers = shards.state_of(ada).papers
    papers.put(POLICY, ada, 0, [0, 0, 0, 0, 0, 2])
    assert shards.do("set_notification_policy", ada, [1, None, None, None, None]) == [1, 0, 0, 0, 0]
    assert papers.get(POLICY, ada) == (1, 0, 0, 0, 0, 2)
    assert shards.do("set_notification_policy", ada, [0, 0, 0, 0, 0]) == [0, 0, 0, 0, 0]
    assert papers.get(POLICY, ada) == (0, 0, 0, 0, 0, 2)


def test_it_moves_with_its_account(world):
    world.do("set_notification_policy", world.ada, [2, 1, 0, 0, 0])
    world.move(1, world.ada)
    assert world.read("notification_policy", world.ada) == [2, 1, 0, 0, 0]


def test_it_waits_for_its_level_and_belongs_to_somebody():
    shards = Shards(level=2)
    ada = shards.account_on(0)
    shards.register(ada)
    with pytest.raises(OverloadedError, match="being upgraded"):
        shards.do("set_notification_policy", ada, [1, 0, 0, 0, 0])
    with pytest.raises(NotFoundError):
        Shards().do("set_notification_policy", ada, [1, 0, 0, 0, 0])
