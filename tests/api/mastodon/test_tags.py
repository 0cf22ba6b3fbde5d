"""Hashtags over HTTP: what one is, followed ones, featured ones."""

from __future__ import annotations

from typing import Any

import pytest

FEATURED = "/api/v1/featured_tags"


def refused(who: Any, method: str, path: str, **body: Any) -> tuple[int, str]:
    reply = who.http.request(method, path, json=body)
    return reply.status_code, reply.json()["error"]


def names(tags: list[dict[str, Any]]) -> list[str]:
    return [tag["name"] for tag in tags]


def test_a_tag_is_followed_and_no_longer(ada, bob, stranger):
    tag = stranger.get("/api/v1/tags/Cats").json()
    assert (tag["name"], tag["history"], tag["url"].endswith("/tags/cats")) == ("Cats", [], True)
    assert "following" not in tag
    assert ada.get("/api/v1/tags/Cats")["following"] is False
    assert ada.post("/api/v1/tags/Cats/follow") == {**tag, "following": True, "featuring": False}
    assert ada.post("/api/v1/tags/cats/follow")["name"] == "Cats", "as it was written first"
    ada.post("/api/v1/tags/%23dogs/follow")
    assert names(ada.get("/api/v1/followed_tags")) == ["dogs", "Cats"]
    page = ada.http.get("/api/v1/followed_tags", params={"limit": 1})
    assert names(page.json()) == ["dogs"]
    assert names(ada.http.get(page.links["next"]["url"]).json()) == ["Cats"]
    assert bob.get("/api/v1/followed_tags") == []
    assert ada.post("/api/v1/tags/CATS/unfollow")["following"] is False
    assert names(ada.get("/api/v1/followed_tags")) == ["dogs"]


@pytest.mark.parametrize("name", ["%21%21", "a%20b", "x" * 101])
def test_what_is_no_tag_is_not_found(ada, name):
    for method, path in (("GET", ""), ("POST", "/follow"), ("POST", "/feature")):
        assert refused(ada, method, f"/api/v1/tags/{name}{path}") == (404, "Record not found")


def test_a_profile_features_tags_and_says_how_often_they_are_used(ada, bob, stranger):
    ada.says("about #Café and #tea")
    ada.says("more #CAFE")
    ada.says("private #tea", visibility="followers")
    made = ada.post(FEATURED, name="#Café")
    assert (made["name"], made["statuses_count"], len(made["last_status_at"])) == ("Café", "2", 10)
    assert ada.post("/api/v1/tags/unused/feature")["featuring"] is True
    of_ada = f"/api/v1/accounts/{ada.id}/featured_tags"
    shown = ada.get(FEATURED)
    assert [(tag["name"], tag["statuses_count"]) for tag in shown] == [("unused", "0"), ("Café", "2")]
    assert shown[0]["last_status_at"] is None
    assert stranger.get(of_ada).json() == bob.get(of_ada) == shown
    assert bob.get(FEATURED) == []
    assert refused(bob, "DELETE", f"{FEATURED}/{made['id']}") == (404, "Record not found")
    assert ada.delete(f"{FEATURED}/{made['id']}") == {}
    assert ada.post("/api/v1/tags/unused/unfeature")["featuring"] is False
    assert ada.get(FEATURED) == []


def test_what_one_uses_most_is_suggested(ada):
    ada.says("#rain #Wind")
    ada.says("#rain")
    ada.post("/api/v1/tags/wind/follow")
    suggested = ada.get(f"{FEATURED}/suggestions")
    assert [(tag["name"], tag["following"]) for tag in suggested] == [("rain", False), ("Wind", True)]
    ada.post(FEATURED, name="RAIN")
    assert names(ada.get(f"{FEATURED}/suggestions")) == ["Wind"]


@pytest.mark.parametrize("name", ["", "!", "a b", {"a": 1}])
def test_what_is_no_tag_is_not_featured(ada, name):
    status, sentence = refused(ada, "POST", FEATURED, name=name)
    assert status in (400, 422)
    assert sentence
    assert ada.get(FEATURED) == []


def test_a_stranger_follows_and_features_nothing(stranger):
    for path in ("/api/v1/followed_tags", FEATURED, f"{FEATURED}/suggestions"):
        assert stranger.get(path).status_code == 401


def test_a_followed_hashtag_brings_its_public_statuses_home(ada, bob):
    old = bob.post("/api/v1/statuses", status="all about #Cats")
    ada.post("/api/v1/tags/cats/follow")
    new = bob.post("/api/v1/statuses", status="more #CATS")
    for visibility in ("private", "unlisted", "direct"):
        bob.post("/api/v1/statuses", status="less #cats", visibility=visibility)
    assert [each["id"] for each in ada.get("/api/v1/timelines/home")] == [new["id"], old["id"]]
    ada.post("/api/v1/tags/cats/unfollow")
    assert ada.get("/api/v1/timelines/home") == []
