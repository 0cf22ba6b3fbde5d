"""The same request with the same Idempotency-Key gets the same answer and does nothing again: every write."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.conftest import LiveServer, ServerThread
from tests.api.core_cluster import CoreCluster


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    core = CoreCluster()
    with ServerThread(fake=core) as live:
        yield live
    core.end_search()


def send(http: httpx.Client, method: str, path: str, key: str, **body: Any) -> httpx.Response:
    return http.request(method, path, json=body, headers={"Idempotency-Key": key})


def fresh() -> str:
    return uuid.uuid4().hex


WRITES = [
    ("POST", "/api/v1/tweet/{tweet}/like", {}), ("DELETE", "/api/v1/tweet/{tweet}/like", {}),
    ("POST", "/api/v1/tweet/{tweet}/repost", {}), ("DELETE", "/api/v1/tweet/{tweet}/repost", {}),
    ("POST", "/api/v1/tweet/{tweet}/bookmark", {}), ("DELETE", "/api/v1/tweet/{tweet}/bookmark", {}),
    ("POST", "/api/v1/tweet/{own}/pin", {}), ("DELETE", "/api/v1/tweet/{own}/pin", {}),
    ("DELETE", "/api/v1/tweet/{own}", {}), ("PATCH", "/api/v1/tweet/{own}", {"status": "other words"}),
    ("POST", "/{me}/follow/{them}", {}), ("DELETE", "/{me}/follow/{them}", {}),
    ("POST", "/{me}/mute/{them}", {}), ("DELETE", "/{me}/mute/{them}", {}),
    ("POST", "/{me}/block/{them}", {}), ("DELETE", "/{me}/block/{them}", {}),
    ("PATCH", "/{me}/profile", {"bio": "a bio"}),
    ("PATCH", "/{me}/scheduled/{later}", {"scheduled_at": "2024-06-01T00:00:00Z"}),
    ("DELETE", "/{me}/scheduled/{later}", {}),
]  # fmt: skip


def test_a_repeated_post_is_answered_though_what_it_answers_is_gone(register):
    me, them = register(), register()
    about, key = them.tweet("hello")["tweet_id"], fresh()
    first = send(me.http, "POST", "/tweet", key, status="an answer", in_reply_to=about)
    assert first.status_code == 201, first.text
    them.http.delete(f"/api/v1/tweet/{about}")
    again = send(me.http, "POST", "/tweet", key, status="an answer", in_reply_to=about)
    assert (again.status_code, again.json()["tweet_id"]) == (201, first.json()["tweet_id"])
    assert send(me.http, "POST", "/tweet", fresh(), status="an answer", in_reply_to=about).status_code == 404


@pytest.mark.parametrize(("method", "path", "body"), WRITES, ids=[f"{method} {path}" for method, path, _ in WRITES])
def test_a_repeated_write_gets_the_answer_of_the_first(register, method, path, body):
    me, them = register(), register()
    tweet, own = them.tweet("hello")["tweet_id"], me.tweet("mine")["tweet_id"]
    later = me.tweet("later", scheduled_at="2024-05-01T00:00:00Z")["scheduled_id"]
    where = path.format(tweet=tweet, own=own, me=me.user_id, them=them.user_id, later=later)
    key = fresh()
    first = send(me.http, method, where, key, **body)
    assert first.status_code == 200, first.text
    them.http.delete(f"/api/v1/tweet/{tweet}")  # what it was about may be gone
    again = send(me.http, method, where, key, **body)
    assert (again.status_code, again.content) == (first.status_code, first.content)


def test_a_delete_without_a_key_is_told_that_nothing_is_there(register):
    me = register()
    tweet = me.tweet("hello")["tweet_id"]
    assert me.http.delete(f"/api/v1/tweet/{tweet}").status_code == 200
    assert me.http.delete(f"/api/v1/tweet/{tweet}").status_code == 404


def test_a_repetition_changes_nothing_that_came_between(register):
    me, them = register(), register()
    tweet, key = them.tweet("hello")["tweet_id"], fresh()
    like = f"/api/v1/tweet/{tweet}/like"
    assert send(me.http, "POST", like, key).status_code == 200
    assert me.http.delete(like).status_code == 200
    assert send(me.http, "POST", like, key).json()["liked"] is True
    assert me.http.get(f"/api/v1/tweet/{tweet}").json()["counts"]["likes"] == 0


def test_a_key_of_another_request_is_refused_by_name(register):
    me, them = register(), register()
    key = fresh()
    assert send(me.http, "PATCH", f"/{me.user_id}/profile", key, bio="one").status_code == 200
    for other in (
        send(me.http, "PATCH", f"/{me.user_id}/profile", key, bio="two"),
        send(me.http, "POST", f"/{me.user_id}/mute/{them.user_id}", key),
        send(me.http, "POST", "/api/v1/tweet", key, user_id=me.user_id, status="x"),
    ):
        assert other.status_code == 409, other.text
        assert other.json()["error"]["field"] == "Idempotency-Key"
    assert me.http.get(f"/{me.user_id}/profile").json()["bio"] == "one"


def test_a_refusal_is_not_remembered(register):
    me, them = register(), register()
    key, follow = fresh(), f"/{me.user_id}/follow/{them.user_id}"
    block = f"/{them.user_id}/block/{me.user_id}"
    assert them.http.post(block).status_code == 200
    assert send(me.http, "POST", follow, key).status_code == 403
    assert them.http.delete(block).status_code == 200
    assert send(me.http, "POST", follow, key).status_code == 200


def test_somebody_elses_tweet_is_not_deleted_whatever_the_key(register):
    me, them = register(), register()
    tweet = them.tweet("hello")["tweet_id"]
    assert send(me.http, "DELETE", f"/api/v1/tweet/{tweet}", fresh()).status_code == 403
    assert me.http.get(f"/api/v1/tweet/{tweet}").status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 129, "a\x7f"])
def test_what_is_no_key_is_refused_and_nothing_is_done(register, key):
    me, them = register(), register()
    tweet = them.tweet("hello")["tweet_id"]
    answer = send(me.http, "POST", f"/api/v1/tweet/{tweet}/like", key)
    assert answer.status_code in (400, 422), answer.text
    assert me.http.get(f"/api/v1/tweet/{tweet}").json()["counts"]["likes"] == 0
