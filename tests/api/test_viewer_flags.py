"""`viewer=true`: what the reader has done about each tweet, in every list, over the real core on two shards."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from actors.core.ids import bucket_of_name
from tests.api.conftest import LiveServer, ServerThread, User, assert_error
from tests.api.core_cluster import CoreCluster

_numbers = itertools.count(1)
NOTHING = {"liked": False, "reposted": False, "bookmarked": False, "muted": False, "pinned": False}


@pytest.fixture(scope="module")
def core() -> CoreCluster:
    return CoreCluster()


@pytest.fixture(scope="module")
def server(core) -> Iterator[LiveServer]:
    with ServerThread({"search_cache_s": 60.0}, core) as live:
        live.fake = None
        yield live


@pytest.fixture
def register_on(register, core) -> Any:
    def make(shard: int) -> User:
        names = (f"flagged_{n}" for n in _numbers)
        return register(next(name for name in names if core.shard_of(bucket_of_name(name)) == shard))

    return make


@pytest.fixture
def ada(register_on) -> User:
    return register_on(0)


@pytest.fixture
def bob(register_on) -> User:
    return register_on(1)


def post(who: User, status: str, **more: Any) -> str:
    reply = who.http.post("/api/v1/tweet", json={"status": status, **more})
    assert reply.status_code == 201, reply.text
    return reply.json()["tweet_id"]


def act(who: User, path: str) -> dict[str, Any]:
    reply = who.http.post(path)
    assert reply.status_code in (200, 201), reply.text
    return reply.json()


def lists_of(who: User, whose: User, tweet_id: str, tag: str) -> dict[str, tuple[str, Any]]:
    """Return all lists that show a tweet: path, and what takes the tweets out of an answer."""
    return {
        "home": (f"/api/v1/home_timeline?user_id={who.user_id}", lambda body: body),
        "feed": (f"/feed?user_id={who.user_id}", lambda body: body),
        "user timeline": (f"/api/v1/user_timeline?user_id={whose.user_id}", lambda body: body),
        "tweet": (f"/api/v1/tweet/{tweet_id}?", lambda body: [body]),
        "likes": (f"/{who.user_id}/likes?", lambda body: body["tweets"]),
        "bookmarks": (f"/{who.user_id}/bookmarks?", lambda body: body["tweets"]),
        "thread": (f"/api/v1/tweet/{tweet_id}/thread?", lambda body: [body["tweet"]]),
        "search": (f"/api/v1/search?query={tag}", lambda body: body["tweets"]),
        "hashtag": (f"/search/tags/{tag}?", lambda body: body),
    }


def test_every_list_says_what_the_reader_has_done_and_without_asking_no_list_changes(ada, bob):
    tag = f"flags{next(_numbers)}"
    act(ada, f"/{ada.user_id}/follow/{bob.user_id}")
    tweet_id = post(bob, f"see #{tag}")
    for what in ("like", "bookmark"):
        act(ada, f"/api/v1/tweet/{tweet_id}/{what}")
    wanted = {**NOTHING, "liked": True, "bookmarked": True}
    for name, (path, tweets) in lists_of(ada, bob, tweet_id, tag).items():
        plain = ada.http.get(path)
        assert plain.status_code == 200, (name, plain.text)
        assert "viewer" not in plain.text, name
        reply = ada.http.get(f"{path}&viewer=true")
        assert reply.status_code == 200, (name, reply.text)
        (shown,) = (tweet for tweet in tweets(reply.json()) if tweet["tweet_id"] == tweet_id)
        assert shown.pop("viewer") == wanted, name
        (before,) = (tweet for tweet in tweets(plain.json()) if tweet["tweet_id"] == tweet_id)
        assert shown == before, name
        assert list(shown) == list(before), name
        assert ada.http.get(f"{path}&viewer=false").content == plain.content, name
        assert reply.headers["cache-control"].startswith("private"), name


def test_it_is_the_readers_own_and_others_see_theirs(ada, bob, register_on):
    tweet_id = post(bob, "for all")
    act(ada, f"/api/v1/tweet/{tweet_id}/like")
    path = f"/api/v1/tweet/{tweet_id}?viewer=true"
    assert ada.http.get(path).json()["viewer"]["liked"] is True
    assert bob.http.get(path).json()["viewer"] == NOTHING
    assert register_on(0).http.get(path).json()["viewer"] == NOTHING


def test_a_repost_says_it_of_itself_and_of_what_it_reposts(ada, bob, register_on):
    eve = register_on(0)
    tweet_id = post(bob, "worth it")
    act(eve, f"/api/v1/tweet/{tweet_id}/repost")
    act(ada, f"/{ada.user_id}/follow/{eve.user_id}")
    act(ada, f"/api/v1/tweet/{tweet_id}/like")
    act(ada, f"/api/v1/tweet/{tweet_id}/repost")
    (shown,) = (
        tweet
        for tweet in ada.http.get(f"/api/v1/user_timeline?user_id={eve.user_id}&viewer=true").json()
        if tweet.get("repost_of")
    )
    assert shown["viewer"] == {**NOTHING, "reposted": True}  # the like is of the original
    assert shown["repost_of"]["viewer"] == {**NOTHING, "liked": True, "reposted": True}


def test_what_is_undone_is_said_no_more(ada, bob):
    tweet_id = post(bob, "now and then")
    path = f"/api/v1/tweet/{tweet_id}?viewer=true"
    for what, name in (("like", "liked"), ("bookmark", "bookmarked"), ("repost", "reposted")):
        act(ada, f"/api/v1/tweet/{tweet_id}/{what}")
        assert ada.http.get(path).json()["viewer"] == {**NOTHING, name: True}
        assert ada.http.delete(f"/api/v1/tweet/{tweet_id}/{what}").status_code == 200
        assert ada.http.get(path).json()["viewer"] == NOTHING


def test_a_muted_author_is_marked(ada, bob):
    tweet_id = post(bob, "noise")
    act(ada, f"/{ada.user_id}/mute/{bob.user_id}")
    assert ada.http.get(f"/api/v1/tweet/{tweet_id}?viewer=true").json()["viewer"] == {**NOTHING, "muted": True}


def test_a_whole_thread_is_marked(ada, bob):
    first = post(bob, "one")
    second = post(ada, "two", in_reply_to=first)
    third = post(bob, "three", in_reply_to=second)
    for tweet_id in (first, third):
        act(ada, f"/api/v1/tweet/{tweet_id}/like")
    body = ada.http.get(f"/api/v1/tweet/{second}/thread?viewer=true").json()
    liked = {t["tweet_id"]: t["viewer"]["liked"] for t in [*body["ancestors"], body["tweet"], *body["replies"]]}
    assert liked == {first: True, second: False, third: True}


def test_pages_link_on_with_it_and_an_empty_page_is_empty(ada, bob):
    for number in range(3):
        post(bob, f"page {number}")
    path = f"/api/v1/user_timeline?user_id={bob.user_id}"
    reply = ada.http.get(f"{path}&count=2&viewer=true")
    assert "viewer=true" in reply.headers["link"]
    assert ada.http.get(f"{path}&max_id=1&viewer=true").json() == []


@pytest.mark.parametrize("path", ["/api/v1/user_timeline?user_id={0}", "/api/v1/search?query=page", "/search/tags/x?"])
def test_who_shows_no_token_is_told_so(anonymous, bob, path):
    reply: httpx.Response = anonymous.get(path.format(bob.user_id) + "&viewer=true")
    assert_error(reply, 401)


def test_what_is_neither_true_nor_false_is_refused(ada, bob):
    for path, _ in lists_of(ada, bob, post(bob, "x"), "x").values():
        reply = ada.http.get(f"{path}&viewer=perhaps")
        assert reply.status_code == 400, reply.text
        assert reply.json()["error"]["field"] == "viewer"


def test_while_the_cluster_is_upgraded_it_says_so(ada, bob, core, monkeypatch):
    tweet_id = post(bob, "soon")
    monkeypatch.setattr(type(core), "level", 0)
    assert_error(ada.http.get(f"/api/v1/tweet/{tweet_id}?viewer=true"), 503)
    assert ada.http.get(f"/api/v1/tweet/{tweet_id}").status_code == 200
