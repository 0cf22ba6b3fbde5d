"""Deleting an account over HTTP, with the real core behind it: who may, what is left for whom, and repetitions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from actors.core.ids import bucket_of_account
from tests.api.conftest import PASSWORD, LiveServer, ServerThread, User, assert_error
from tests.api.core_cluster import CoreCluster

_keys = itertools.count()


@pytest.fixture(scope="module")
def core() -> Iterator[CoreCluster]:
    made = CoreCluster()
    yield made
    made.end_search()


@pytest.fixture(scope="module")
def server(core: CoreCluster) -> Iterator[LiveServer]:
    with ServerThread(fake=core) as live:
        yield live


def delete(user: User, **more: Any) -> httpx.Response:
    body = {"password": PASSWORD, **more.pop("body", {})}
    return user.http.request("DELETE", f"/api/v1/users/{user.user_id}", json=body, **more)


def post(user: User, text: str, **more: Any) -> str:
    reply = user.http.post("/api/v1/tweet", json={"user_id": user.user_id, "status": text, **more})
    assert reply.status_code == 201, reply.text
    return reply.json()["tweet_id"]


def home_of(user: User) -> list[str]:
    return [tweet["tweet_id"] for tweet in user.http.get("/feed", params={"user_id": user.user_id}).json()]


def counts_of(http: httpx.Client, user: User) -> dict[str, int]:
    return http.get(f"/{user.user_id}/profile").json()["counts"]


def test_a_deleted_account_is_found_by_nobody_and_nothing_of_it_is_left(ada, bob, anonymous):
    for one, other in ((ada, bob), (bob, ada)):
        assert one.http.post(f"/{one.user_id}/follow/{other.user_id}").status_code == 200
    tweet, his = post(ada, "walrus on the beach"), post(bob, "seagull")
    answer = post(ada, "indeed", in_reply_to=his)
    for path in (f"/api/v1/tweet/{his}/like", f"/api/v1/tweet/{his}/repost", f"/api/v1/tweet/{his}/bookmark"):
        assert ada.http.post(path).status_code in (200, 201)
    assert {tweet, answer} <= set(home_of(bob))
    before = bob.http.get(f"/api/v1/tweet/{his}").json()
    assert [before["counts"][name] for name in ("replies", "reposts", "likes")] == [1, 1, 1]

    assert delete(ada).json() == {"user_id": ada.user_id, "deleted": True}

    for path in (
        f"/{ada.user_id}/profile", f"/{ada.user_id}/followers", f"/{ada.user_id}/following",
        f"/api/v1/user_timeline?user_id={ada.user_id}", f"/api/v1/tweet/{tweet}", f"/api/v1/tweet/{tweet}/likes",
        f"/api/v1/tweet/{tweet}/thread", f"/{ada.user_id}/pins",
    ):  # fmt: skip
        assert_error(anonymous.get(path), 404)
        assert_error(bob.http.get(path), 404)
    assert home_of(bob) == [his]
    after = bob.http.get(f"/api/v1/tweet/{his}").json()
    assert [after["counts"][name] for name in ("replies", "reposts", "likes")] == [0, 0, 0]
    assert [counts_of(anonymous, bob)[name] for name in ("followers", "following")] == [0, 0]
    assert anonymous.get(f"/{bob.user_id}/followers").json()["users"] == []
    assert anonymous.get(f"/api/v1/tweet/{his}/likes").json()["users"] == []
    for path in ("/api/v1/search", "/api/v1/search/accounts"):
        found = anonymous.get(path, params={"query": "walrus" if path.endswith("search") else ada.username})
        assert found.status_code == 200
        assert tweet not in found.text
        assert f'"{ada.user_id}"' not in found.text


def test_its_tokens_and_its_password_are_worth_nothing_any_more(ada, anonymous):
    assert ada.http.get("/feed", params={"user_id": ada.user_id}).status_code == 200
    other = anonymous.post("/api/v1/login", json={"username": ada.username, "password": PASSWORD}).json()["auth_token"]
    assert delete(ada).status_code == 200
    for token in (ada.token, other):
        headers = {"authorization": f"Bearer {token}"}
        for _ in range(2):
            assert_error(anonymous.get("/feed", params={"user_id": ada.user_id}, headers=headers), 401)
    assert_error(anonymous.post("/api/v1/login", json={"username": ada.username, "password": PASSWORD}), 401)
    assert_error(delete(ada), 401)


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_its_name_is_given_to_nobody_else(ada, anonymous, case):
    assert delete(ada).status_code == 200
    again = {"username": case(ada.username), "password": PASSWORD}
    assert_error(anonymous.post("/api/v1/users", json=again), 409, "username")


@pytest.mark.parametrize(("password", "status"), [("wrong password", 403), ("", 403), (5, 400), (None, 422)])
def test_a_stolen_token_is_not_enough(ada, anonymous, password, status):
    assert_error(delete(ada, body={"password": password}), status, "password")
    assert anonymous.get(f"/{ada.user_id}/profile").status_code == 200


def test_nobody_deletes_another_account(ada, bob, anonymous):
    url, body = f"/api/v1/users/{ada.user_id}", {"password": PASSWORD}
    assert_error(bob.http.request("DELETE", url, json=body), 403)
    assert_error(anonymous.request("DELETE", url, json=body), 401)
    assert_error(anonymous.request("DELETE", url, json=body, headers={"Idempotency-Key": "guess"}), 401)
    assert anonymous.get(f"/{ada.user_id}/profile").status_code == 200


def test_the_same_request_with_its_key_gets_the_same_answer_though_the_account_is_gone(ada):
    key = {"Idempotency-Key": f"leaving {next(_keys)}"}
    first = delete(ada, headers=key)
    assert first.status_code == 200
    for _ in range(2):
        again = delete(ada, headers=key)
        assert (again.status_code, again.json()) == (200, first.json())
    assert_error(delete(ada, headers=key, body={"password": "another horse"}), 401)
    assert_error(delete(ada, headers={"Idempotency-Key": "another"}), 401)


def test_a_key_that_was_used_for_something_else_deletes_nothing(ada, bob, anonymous):
    key = {"Idempotency-Key": f"used {next(_keys)}"}
    assert ada.http.post(f"/{ada.user_id}/follow/{bob.user_id}", headers=key).status_code == 200
    assert_error(delete(ada, headers=key), 409)
    assert anonymous.get(f"/{ada.user_id}/profile").status_code == 200


def test_who_follows_blocks_or_mutes_at_that_moment_leaves_nothing_behind(core, ada, bob, anonymous):
    """The worker has seen the account when it was still there; the shard of who acts is told that it isn't."""
    assert delete(ada).status_code == 200
    me, gone = int(bob.user_id), int(ada.user_id)
    for op in ("follow", "block", "mute"):
        core.sim.write(bucket_of_account(me), op, [me, gone])
        core.sim.drain()
    state = core.sim.shards[core.shard_of(bucket_of_account(me))].replica.state
    row = state.people.row_of[me]
    assert state.graph.following.view(row).tolist() == []
    assert not any(row in kind for kind in state.graph.relations)


def test_an_account_is_not_deleted_while_older_shards_are_about(core, ada, anonymous, monkeypatch):
    monkeypatch.setattr(type(core), "level", property(lambda self: 0))
    assert_error(delete(ada), 503)
    monkeypatch.undo()
    assert anonymous.get(f"/{ada.user_id}/profile").status_code == 200


def test_where_who_acts_is_taken_at_its_word_the_password_is_asked_for_all_the_same(core):
    with ServerThread({"auth_mode": "open"}, fake=core) as live, httpx.Client(base_url=live.base_url) as http:
        made = http.post("/api/v1/users", json={"username": f"open_{next(_keys)}", "password": PASSWORD}).json()
        url, key = f"/api/v1/users/{made['user_id']}", {"Idempotency-Key": "leaving"}
        assert_error(http.request("DELETE", url, json={"password": "wrong password"}, headers=key), 403, "password")
        for _ in range(2):
            reply = http.request("DELETE", url, json={"password": PASSWORD}, headers=key)
            assert reply.json() == {"user_id": made["user_id"], "deleted": True}
        assert_error(http.request("DELETE", url, json={"password": PASSWORD}), 404)
