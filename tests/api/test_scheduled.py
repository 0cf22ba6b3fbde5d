"""Scheduled tweets over HTTP, over the real core: written, listed, put off, cancelled, published; times in any form."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from actors.core.errors import InvalidError
from actors.core.ids import bucket_of_account
from actors.core.limits import SCHEDULED_COUNT_MAX, SCHEDULED_LEAD_MS
from actors.core.render import created_at
from api.times import clean_time
from tests.api.conftest import LiveServer, ServerThread, User, assert_error
from tests.api.core_cluster import CoreCluster

MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def core() -> Iterator[CoreCluster]:
    made = CoreCluster()
    yield made
    made.end_search()


@pytest.fixture(scope="module")
def server(core) -> Iterator[LiveServer]:
    with ServerThread(fake=core) as live:
        live.fake = None
        yield live


@pytest.fixture
def ada(register) -> User:
    return register()


@pytest.fixture
def bob(register) -> User:
    return register()


def in_a_minute(core: CoreCluster, more_ms: int = 0) -> str:
    return created_at(core.sim.now + MINUTE_MS + more_ms)


def wait_for(core: CoreCluster, ms: int) -> None:
    """Let time pass on the shards, and their leaders look at their clocks."""
    core.sim.now += ms
    for shard in core.sim.shards:
        while (command := shard.replica.due_command(core.sim.now)) is not None:
            shard.run(command)
    core.sim.drain()


def read(who: User, path: str, **query: Any) -> Any:
    reply = who.http.get(path, params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def listed(who: User, **query: Any) -> list[str]:
    return [each["scheduled_id"] for each in read(who, f"/{who.user_id}/scheduled", **query)["scheduled"]]


def statuses(who: User, of: User) -> list[str]:
    return [tweet["status"] for tweet in read(who, "/api/v1/user_timeline", user_id=of.user_id)]


def test_a_scheduled_tweet_is_answered_as_one_and_published_at_its_time(ada, bob, core):
    at = in_a_minute(core)
    made = ada.tweet(f"hello @{bob.username} #later", scheduled_at=at, visibility="public")
    assert (made["scheduled_at"], made["status"]) == (at, f"hello @{bob.username} #later")
    assert "tweet_id" not in made
    assert "created_at" not in made
    assert made["entities"]["mentions"][0]["user_id"] == bob.user_id
    assert read(ada, f"/{ada.user_id}/scheduled/{made['scheduled_id']}") == made
    for reader in (ada, bob):
        assert statuses(reader, ada) == []
        assert_error(reader.http.get(f"/api/v1/tweet/{made['scheduled_id']}"), 404)
        assert read(reader, "/api/v1/search", query="#later")["tweets"] == []
    wait_for(core, MINUTE_MS)
    for reader in (ada, bob):
        assert statuses(reader, ada) == [made["status"]]
    (tweet,) = read(ada, "/api/v1/user_timeline", user_id=ada.user_id)
    assert (tweet["created_at"], tweet["entities"]) == (at, made["entities"])
    assert listed(ada) == []
    assert_error(ada.http.get(f"/{ada.user_id}/scheduled/{made['scheduled_id']}"), 404, "scheduled_id")


def test_only_its_author_sees_it(ada, bob, core):
    made = ada.tweet("later", scheduled_at=in_a_minute(core))
    path = f"/{ada.user_id}/scheduled/{made['scheduled_id']}"
    for method, where in (("GET", f"/{ada.user_id}/scheduled"), ("GET", path), ("PATCH", path), ("DELETE", path)):
        assert_error(bob.http.request(method, where), 403)
    own = path.replace(ada.user_id, bob.user_id, 1)
    for method, body in (("GET", None), ("PATCH", {"scheduled_at": in_a_minute(core, 1_000)}), ("DELETE", None)):
        assert_error(bob.http.request(method, own, **({"json": body} if body else {})), 404, "scheduled_id")
    assert listed(ada) == [made["scheduled_id"]]


def test_it_is_put_off_and_cancelled(ada, core):
    kept, gone = (ada.tweet(text, scheduled_at=in_a_minute(core)) for text in ("kept", "gone"))
    later = in_a_minute(core, 30_000)
    reply = ada.http.patch(f"/{ada.user_id}/scheduled/{kept['scheduled_id']}", json={"scheduled_at": later})
    assert reply.json() == {**kept, "scheduled_at": later}
    reply = ada.http.delete(f"/{ada.user_id}/scheduled/{gone['scheduled_id']}")
    assert (reply.status_code, reply.json()) == (200, gone)
    wait_for(core, MINUTE_MS + 1_000)
    assert statuses(ada, ada) == []
    wait_for(core, 30_000)
    assert statuses(ada, ada) == ["kept"]


def test_pages_go_on_by_cursor_and_link(ada, core):
    made = [ada.tweet(str(n), scheduled_at=in_a_minute(core))["scheduled_id"] for n in range(5)]
    found, url = [], f"/{ada.user_id}/scheduled?count=2"
    while url:
        reply = ada.http.get(url)
        found.append([each["scheduled_id"] for each in reply.json()["scheduled"]])
        link = re.search(r'<([^>]+)>; rel="next"', reply.headers.get("link", ""))
        assert (link is None) == (reply.json()["next_cursor"] is None)
        url = link[1] if link else ""
    assert found == [made[:2:-1], made[2:0:-1], made[:1]]


@pytest.mark.parametrize(
    ("given", "status"),
    [("soon", 422), ("2029-09-05", 422), ("2029-09-05T00:37:15", 422), ("2029-02-30T00:00:00Z", 422),
     ("2029-09-05T25:00:00Z", 422), ("Thu Sep 05 00:37:15 +0000 2029", 422), ("Wed Foo 05 00:37:15 +0000 2029", 422),
     ("1969-12-31T00:00:00Z", 422), (1_900_000_000, 400), (True, 400), ([], 400), ("0" * 5_000, 422)],
    ids=["words", "a day", "no zone", "no such day", "no such hour", "another weekday", "no such month",
         "before all time", "a number", "a truth", "a list", "too long"],
)  # fmt: skip
def test_a_time_that_is_none_is_refused_by_name(ada, given, status):
    reply = ada.http.post("/api/v1/tweet", json={"user_id": ada.user_id, "status": "x", "scheduled_at": given})
    assert len(assert_error(reply, status, "scheduled_at")["message"]) < 300


def test_a_time_that_is_too_near_or_too_far_is_told_which_would_do(ada, core):
    for ahead_ms, says in ((0, "or later"), (400 * 24 * 60 * MINUTE_MS, "at the latest")):
        body = {"user_id": ada.user_id, "status": "x", "scheduled_at": created_at(core.sim.now + ahead_ms)}
        message = assert_error(ada.http.post("/api/v1/tweet", json=body), 422, "scheduled_at")["message"]
        right = re.search(r"must be (.*) \+0000 (\d+) (or later|at the latest)", message)
        assert right[3] == says
        reply = ada.http.post("/api/v1/tweet", json={**body, "scheduled_at": f"{right[1]} +0000 {right[2]}"})
        assert reply.status_code == (201 if ahead_ms else 422), "the next second, where the bound lies within one"
        assert ahead_ms or SCHEDULED_LEAD_MS >= 1_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [("Wed Sep 05 00:37:15 +0000 2029", 1_883_263_035_000), ("2029-09-05T00:37:15Z", 1_883_263_035_000),
     ("2029-09-05t02:37:15.250+02:00", 1_883_263_035_250), ("2029-09-05 00:37z", 1_883_263_020_000)],
)  # fmt: skip
def test_a_time_may_have_the_form_of_answers_or_of_the_internet(text, ms):
    assert clean_time({"at": text}, "at") == ms


def test_no_time_is_none():
    for values in ({}, {"at": None}, {"at": ""}):
        assert clean_time(values, "at") == 0
    with pytest.raises(InvalidError, match="still to come"):
        clean_time({"at": "1970-01-01T00:00:00Z"}, "at")


def test_the_same_key_schedules_once_and_another_request_with_it_is_refused(ada, core):
    body = {"user_id": ada.user_id, "status": "once", "scheduled_at": in_a_minute(core)}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = ada.http.post("/api/v1/tweet", json=body, headers=headers)
    assert first.status_code == 201
    for _ in range(2):
        again = ada.http.post("/api/v1/tweet", json=body, headers=headers)
        assert (again.status_code, again.content) == (201, first.content)
    for other in ({**body, "status": "twice"}, {k: v for k, v in body.items() if k != "scheduled_at"}):
        assert_error(ada.http.post("/api/v1/tweet", json=other, headers=headers), 409, "Idempotency-Key")
    assert listed(ada) == [first.json()["scheduled_id"]]
    wait_for(core, MINUTE_MS)
    assert statuses(ada, ada) == ["once"]


def test_a_form_that_leaves_the_time_blank_posts_at_once(ada):
    reply = ada.http.post("/tweet", data={"user_id": ada.user_id, "status": "now", "scheduled_at": ""})
    assert (reply.status_code, reply.json()["status"]) == (201, "now")


def test_what_a_post_refuses_is_refused_now_and_not_later(ada, bob, core):
    hidden = bob.tweet("x", visibility="followers")["tweet_id"]
    for body, status, field in (
        ({"status": ""}, 422, "status"), ({"status": "x", "in_reply_to": hidden}, 404, "in_reply_to"),
        ({"status": "x", "visibility": "nobody"}, 422, "visibility"),
    ):  # fmt: skip
        given = {"user_id": ada.user_id, "scheduled_at": in_a_minute(core), **body}
        assert_error(ada.http.post("/api/v1/tweet", json=given), status, field)
    assert listed(ada) == []


def test_one_more_than_an_account_may_have_is_refused(ada, core):
    account_id = int(ada.user_id)
    for n in range(SCHEDULED_COUNT_MAX):
        args = [account_id, core.sim.now + MINUTE_MS, str(n), 0, 0, 0, b"", [], []]
        core.sim.write(bucket_of_account(account_id), "schedule", args)
    core.sim.drain()
    body = {"user_id": ada.user_id, "status": "x", "scheduled_at": in_a_minute(core)}
    message = assert_error(ada.http.post("/api/v1/tweet", json=body), 422, "scheduled_at")["message"]
    assert f"may have {SCHEDULED_COUNT_MAX} scheduled tweets" in message
    assert len(listed(ada, count=200)) == 200


def test_below_level_1_it_is_503_and_says_why_and_a_plain_tweet_works(ada, core, monkeypatch):
    scheduled_id = ada.tweet("x", scheduled_at=in_a_minute(core))["scheduled_id"]
    monkeypatch.setattr(CoreCluster, "level", 0)
    at = {"scheduled_at": in_a_minute(core)}
    one = f"/{ada.user_id}/scheduled/{scheduled_id}"
    for method, path, body in (
        ("POST", "/api/v1/tweet", {"user_id": ada.user_id, "status": "x", **at}), ("PATCH", one, at),
        ("GET", one, None), ("GET", f"/{ada.user_id}/scheduled", None), ("DELETE", one, None),
    ):  # fmt: skip
        reply = ada.http.request(method, path, **({"json": body} if body else {}))
        assert "is being upgraded" in assert_error(reply, 503, None)["message"]
    assert ada.tweet("now")["status"] == "now"
