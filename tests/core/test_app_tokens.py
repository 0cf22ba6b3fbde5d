"""Tokens of apps alone: good until they end, wherever the app's bucket is, and gone with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.core import ids, limits, scopes
from actors.core.errors import ConflictError, NotFoundError, OverloadedError, UnauthorizedError
from actors.core.features import app_tokens
from actors.core.features.app_tokens import APP_TOKEN, FROM_LEVEL, key_of
from cluster.placement import rebalancing
from tests.core.harness import Shards
from tests.core.test_apps import DAY, NOW_MS, client_on, create, fall_due, shards  # noqa: F401 - a fixture

MASK = scopes.READ


@pytest.fixture
def app_id(shards):  # noqa: F811
    return create(shards, shards.client)


def tokens_of(shards, app_id):  # noqa: F811
    return shards.replicas[0].state.papers.keys(APP_TOKEN, app_id)


def test_a_token_is_for_what_it_was_made_for(shards, app_id):  # noqa: F811
    assert shards.do("make_app_token", app_id, b"token", MASK) is True
    assert shards.read("app_token", app_id, b"token") == MASK
    with pytest.raises(UnauthorizedError):
        shards.read("app_token", app_id, b"another")


def test_making_it_again_writes_nothing_and_another_one_of_its_hash_is_refused(shards, app_id):  # noqa: F811
    shards.do("make_app_token", app_id, b"token", MASK)
    before = len(shards.journals[0])
    assert shards.do("make_app_token", app_id, b"token", MASK) is True
    assert len(shards.journals[0]) == before
    with pytest.raises(ConflictError):
        shards.do("make_app_token", app_id, b"token", MASK | scopes.WRITE)


def test_a_token_that_ends_is_good_for_nothing_and_told(shards, app_id):  # noqa: F811
    shards.do("make_app_token", app_id, b"token", MASK)
    shards.replicas[0].state.revoked.clear()
    assert shards.do("end_app_token", app_id, b"token") is True
    assert shards.replicas[0].state.revoked == [(app_id, b"token")]
    assert shards.do("end_app_token", app_id, b"token") is False
    with pytest.raises(UnauthorizedError):
        shards.read("app_token", app_id, b"token")


def test_of_too_many_the_oldest_ends(shards, app_id, monkeypatch):  # noqa: F811
    monkeypatch.setattr(app_tokens, "APP_TOKEN", replace(APP_TOKEN, limit=3))
    for number in range(5):
        shards.now_ms += 1
        shards.do("make_app_token", app_id, b"token%d" % number, MASK)
    assert set(tokens_of(shards, app_id)) == {key_of(b"token%d" % number) for number in (2, 3, 4)}


def test_an_app_that_nobody_uses_takes_its_tokens_along(shards, app_id):  # noqa: F811
    shards.do("make_app_token", app_id, b"token", MASK)
    fall_due(shards, NOW_MS + (limits.APP_UNUSED_DAYS + 2) * DAY)
    assert not tokens_of(shards, app_id)
    for op, args in (("make_app_token", (app_id, b"x", MASK)), ("end_app_token", (app_id, b"token"))):
        with pytest.raises(NotFoundError):
            shards.do(op, *args)
    with pytest.raises(NotFoundError):
        shards.read("app_token", app_id, b"token")


def test_tokens_go_where_their_app_goes(shards, app_id):  # noqa: F811
    shards.do("make_app_token", app_id, b"token", MASK)
    shards.carry_out(rebalancing.move(0, 1, [ids.bucket_of_thing(app_id)], shards.now))
    assert shards.read("app_token", app_id, b"token") == MASK
    shards.sweep()
    assert not tokens_of(shards, app_id)


def test_below_its_level_there_are_none():
    old = Shards(level=FROM_LEVEL - 1)
    app_id = create(old, client_on(old, 0))
    with pytest.raises(OverloadedError):
        old.do("make_app_token", app_id, b"token", MASK)
