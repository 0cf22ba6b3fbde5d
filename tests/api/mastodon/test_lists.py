"""Lists over HTTP, and their timelines."""

from __future__ import annotations

from typing import Any

import pytest

LISTS = "/api/v1/lists"


@pytest.fixture
def cyd(new_person: Any) -> Any:
    return new_person("cyd")


@pytest.fixture
def friends(ada: Any, bob: Any, cyd: Any) -> Any:
    """A list of ada's with bob, whom she follows as she does cyd."""
    for each in (bob, cyd):
        assert ada.http.post(f"/{ada.id}/follow/{each.id}").status_code in (200, 201)
    made = ada.post(LISTS, title="Friends")
    ada.post(f"{LISTS}/{made['id']}/accounts", account_ids=[bob.id])
    return made


def refused(who: Any, method: str, path: str, **body: Any) -> tuple[int, str]:
    reply = who.http.request(method, path, json=body)
    return reply.status_code, reply.json()["error"]


def ids(entities: list[dict[str, Any]]) -> list[str]:
    return [entity["id"] for entity in entities]


def test_a_list_is_made_changed_and_forgotten_by_its_account_alone(ada, bob):
    made = ada.post(LISTS, title="Friends", replies_policy="none")
    assert made == {"id": made["id"], "title": "Friends", "replies_policy": "none", "exclusive": False}
    assert ada.post(LISTS, title="Work")["replies_policy"] == "list"
    assert [each["title"] for each in ada.get(LISTS)] == ["Friends", "Work"]
    path = f"{LISTS}/{made['id']}"
    changed = ada.put(path, title="Family", replies_policy="followed")
    assert changed == {**made, "title": "Family", "replies_policy": "followed"} == ada.get(path)
    assert bob.get(LISTS) == []
    for method, where in (
        ("GET", path), ("PUT", path), ("DELETE", path), ("GET", f"{path}/accounts"), ("POST", f"{path}/accounts"),
        ("DELETE", f"{path}/accounts"), ("GET", f"/api/v1/timelines/list/{made['id']}"),
    ):  # fmt: skip
        assert refused(bob, method, where, title="Mine") == (404, "Record not found"), (method, where)
    assert ada.delete(path) == {}
    assert refused(ada, "GET", path)[0] == refused(ada, "DELETE", path)[0] == 404
    assert [each["title"] for each in ada.get(LISTS)] == ["Work"]


@pytest.mark.parametrize(("body", "named"), [
    ({}, "title"), ({"title": " "}, "title"), ({"title": "x", "replies_policy": "some"}, "some"),
    ({"title": "x", "exclusive": "perhaps"}, "exclusive"), ({"title": "x" * 1_100}, "title"),
    ({"title": ["x", {}]}, "title"),
], ids=str)  # fmt: skip
def test_what_makes_no_list_is_refused_by_name(ada, body, named):
    status, sentence = refused(ada, "POST", LISTS, **body)
    assert status in (400, 413, 422)
    assert named in sentence
    assert ada.get(LISTS) == []


def test_members_come_and_go(ada, bob, cyd, friends, new_person):
    path, stranger = f"{LISTS}/{friends['id']}/accounts", new_person("eve")
    assert ids(ada.get(path)) == [bob.id]
    assert refused(ada, "POST", path, account_ids=[cyd.id, stranger.id]) == (404, "Record not found")
    assert ada.post(path, account_ids=[cyd.id, bob.id]) == {}
    assert ids(ada.get(path)) == [cyd.id, bob.id]
    page = ada.http.get(path, params={"limit": 1})
    assert ids(page.json()) == [cyd.id]
    assert ids(ada.http.get(page.links["next"]["url"]).json()) == [bob.id]
    assert ids(ada.get(path, limit=0)) == [cyd.id, bob.id], "all at once"
    assert ada.get(f"/api/v1/accounts/{cyd.id}/lists") == [friends]
    assert ada.get(f"/api/v1/accounts/{stranger.id}/lists") == []
    assert cyd.get(f"/api/v1/accounts/{cyd.id}/lists") == []
    assert ada.http.request("DELETE", path, params={"account_ids[]": cyd.id}).json() == {}
    assert ids(ada.get(path)) == [bob.id]


def test_its_timeline_has_what_members_say_and_pages_go_on(ada, bob, cyd, friends):
    said = [each.says(text) for text in "abc" for each in (bob, cyd)]
    path, bobs = f"/api/v1/timelines/list/{friends['id']}", said[::2][::-1]
    statuses = ada.get(path)
    assert ids(statuses) == bobs
    assert {status["account"]["username"] for status in statuses} == {bob.username}
    page = ada.http.get(path, params={"limit": 2})
    assert ids(page.json()) == bobs[:2]
    assert ids(ada.http.get(page.links["next"]["url"]).json()) == bobs[2:]
    assert ids(ada.get(path, min_id=bobs[2], limit=1)) == [bobs[1]]
    assert ids(ada.get(path, since_id=bobs[1])) == [bobs[0]]
    ada.post("/api/v2/filters", title="x", context=["home"], keywords_attributes=[{"keyword": "b"}])
    assert [len(status["filtered"]) for status in ada.get(path)] == [0, 1, 0]
    assert ada.http.delete(f"/{ada.id}/follow/{bob.id}").status_code == 200
    assert ada.get(path) == []


def test_a_stranger_has_no_lists(stranger):
    for path in (LISTS, f"{LISTS}/1", f"{LISTS}/1/accounts", "/api/v1/accounts/1/lists", "/api/v1/timelines/list/1"):
        assert stranger.get(path).status_code == 401


def test_members_of_an_exclusive_list_are_not_at_home(ada, bob, cyd, friends):
    told = [each.post("/api/v1/statuses", status="hello")["id"] for each in (bob, cyd)]
    path = f"{LISTS}/{friends['id']}"
    assert ada.put(path, exclusive=True) == {**friends, "exclusive": True} == ada.get(path)
    assert ids(ada.get("/api/v1/timelines/home")) == told[1:]
    assert ids(ada.get(f"/api/v1/timelines/list/{friends['id']}")) == told[:1]
    assert ada.put(path, exclusive=False) == friends
    assert ids(ada.get("/api/v1/timelines/home")) == told[::-1]


@pytest.mark.parametrize("path", ["/api/v1/lists", "/api/v2/filters"])
def test_what_is_dropped_again_with_the_same_key_is_answered_as_before(ada, path):
    made = ada.post(path, title="short-lived", context=["home"])
    drop = {"method": "DELETE", "url": f"{path}/{made['id']}"}
    for _ in range(2):
        reply = ada.http.request(**drop, headers={"Idempotency-Key": "drop"})
        assert (reply.status_code, reply.json()) == (200, {})
    assert ada.http.request(**drop).status_code == 404
