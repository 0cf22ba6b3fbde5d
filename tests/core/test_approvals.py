"""Accounts that wait: nobody gets in before an operator says so, and then with what was asked for."""

from __future__ import annotations

import pytest

from actors.core import scopes
from actors.core.errors import ConflictError, NotFoundError, OverloadedError, UnauthorizedError
from actors.core.features.approvals import FROM_LEVEL, WAITING
from tests.core.harness import NOW_MS, Shards
from tests.core.test_moving import Moving

FACTS = ["hash of a password", b"token", "Client", scopes.READ, 5, "I like it here"]


@pytest.fixture
def shards():
    made = Moving()
    made.ada = made.account_on(0)
    made.register(made.ada)
    yield made
    made.check_whole()


def test_who_waits_has_nothing_to_get_in_with(shards):
    assert shards.do("await_approval", shards.ada, *FACTS) is True
    assert shards.read("credentials", shards.ada) == [None]
    with pytest.raises(UnauthorizedError):
        shards.read("token_scopes", shards.ada, b"token")
    assert shards.replicas[0].read("waiting", [10]) == [[shards.ada, f"user{shards.ada}", FACTS[-1], NOW_MS]]


def test_who_is_approved_has_all_that_was_asked_for(shards):
    shards.do("await_approval", shards.ada, *FACTS)
    assert shards.do("approve", shards.ada) is True
    assert shards.read("credentials", shards.ada) == [FACTS[0]]
    assert shards.read("token_scopes", shards.ada, b"token") == [scopes.READ, 5]
    assert shards.replicas[0].read("waiting", [10]) == []
    with pytest.raises(NotFoundError):
        shards.do("approve", shards.ada)


def test_it_may_have_asked_for_no_token(shards):
    shards.do("await_approval", shards.ada, FACTS[0], b"", *FACTS[2:])
    shards.do("approve", shards.ada)
    assert shards.read("tokens", shards.ada) == []


def test_asking_again_writes_nothing_and_for_something_else_is_refused(shards):
    shards.do("await_approval", shards.ada, *FACTS)
    before = len(shards.journals[0])
    assert shards.do("await_approval", shards.ada, *FACTS) is True
    assert len(shards.journals[0]) == before
    with pytest.raises(ConflictError):
        shards.do("await_approval", shards.ada, "another", *FACTS[1:])


def test_an_account_that_is_in_use_does_not_begin_to_wait(shards):
    shards.do("login_token", shards.ada, b"x")
    with pytest.raises(ConflictError):
        shards.do("await_approval", shards.ada, *FACTS)


def test_who_is_deleted_waits_no_more(shards):
    shards.do("await_approval", shards.ada, *FACTS)
    shards.do("delete_account", shards.ada)
    assert shards.replicas[0].read("waiting", [10]) == []
    assert not shards.replicas[0].state.papers.keys(WAITING, shards.ada)


def test_below_its_level_nobody_waits():
    old = Shards(level=FROM_LEVEL - 1)
    ada = old.account_on(0)
    old.register(ada)
    with pytest.raises(OverloadedError):
        old.do("await_approval", ada, *FACTS)
