"""Pins over HTTP, over the real core on two shards."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from actors.core.features.pins import PIN
from actors.core.ids import bucket_of_name
from tests.api.conftest import LiveServer, ServerThread, User, assert_error
from tests.api.core_cluster import CoreCluster

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def core() -> CoreCluster:
    return CoreCluster(has_search=False)


@pytest.fixture(scope="module")
def server(core) -> Iterator[LiveServer]:
    with ServerThread(fake=core) as live:
        live.fake = None
        yield live


@pytest.fixture
def register_on(register, core) -> Any:
    def make(shard: int) -> User:
        names = (f"pinning_{n}" for n in _numbers)
        return register(next(name for name in names if core.shard_of(bucket_of_name(name)) == shard))

    return make


@pytest.fixture
def ada(register_on) -> User:
    return register_on(0)


@pytest.fixture
def bob(register_on) -> User:
    return register_on(1)


def act(who: User, tweet_id: str, method: str = "POST") -> dict[str, Any]:
    reply = who.http.request(method, f"/api/v1/tweet/{tweet_id}/pin")
    assert reply.status_code == 200, reply.text
    return reply.json()


def pins(reader: Any, whose: User, **query: Any) -> list[dict[str, Any]]:
    reply = reader.get(f"/{whose.user_id}/pins", params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_pins_are_whole_tweets_with_the_newest_pin_first_for_everybody(ada, bob, anonymous):
    tweets = [ada.tweet(f"tweet {n}") for n in range(3)]
    for n in (0, 2, 1, 0):
        state = {"user_id": ada.user_id, "tweet_id": tweets[n]["tweet_id"]}
        assert act(ada, tweets[n]["tweet_id"]) == {**state, "pinned": True}
    for reader in (ada.http, bob.http, anonymous):
        assert pins(reader, ada) == [tweets[1], tweets[2], tweets[0]]
    for _ in range(2):
        assert act(ada, tweets[2]["tweet_id"], "DELETE")["pinned"] is False
    assert ada.http.delete(f"/api/v1/tweet/{tweets[0]['tweet_id']}").status_code == 200
    assert pins(bob.http, ada) == [tweets[1]]


def test_a_sixth_pin_is_refused_and_says_why(ada):
    tweets = [ada.tweet("x")["tweet_id"] for _ in range(6)]
    for tweet_id in tweets[:5]:
        act(ada, tweet_id)
    error = assert_error(ada.http.post(f"/api/v1/tweet/{tweets[5]}/pin"), 422, "tweet_id")
    assert error["message"] == "an account may have 5 pins; take some back"


def test_what_cannot_be_pinned_is_refused_and_what_is_not_seen_does_not_exist(ada, bob):
    seen, private = bob.tweet("x")["tweet_id"], bob.tweet("x", visibility="followers")["tweet_id"]
    repost = ada.http.post(f"/api/v1/tweet/{seen}/repost").json()["tweet_id"]
    direct = ada.tweet(f"@{bob.username} x", visibility="direct")["tweet_id"]
    for tweet_id, status in ((seen, 403), (repost, 403), (direct, 403), (private, 404), ("117648624382367552", 404)):
        assert_error(ada.http.post(f"/api/v1/tweet/{tweet_id}/pin"), status, "tweet_id")
        assert act(ada, tweet_id, "DELETE")["pinned"] is False
    assert pins(ada.http, ada) == []


def test_the_readers_flags_tell_an_author_what_is_pinned(ada, bob):
    tweet_id = ada.tweet("x")["tweet_id"]
    act(ada, tweet_id)
    for who, pinned in ((ada, True), (bob, False)):
        (shown,) = pins(who.http, ada, viewer="true")
        assert shown["viewer"]["pinned"] is pinned
        assert who.http.get(f"/api/v1/tweet/{tweet_id}?viewer=true").json()["viewer"]["pinned"] is pinned


def test_pins_are_one_request_and_so_is_pinning(ada, bob, core):
    tweet_id = ada.tweet("x")["tweet_id"]
    for method, path, asked in (
        ("POST", f"/api/v1/tweet/{tweet_id}/pin", ["if_seen"]),
        ("GET", f"/{ada.user_id}/pins", ["pins"]),
        ("DELETE", f"/api/v1/tweet/{tweet_id}/pin", ["unpin"]),
    ):
        core.asked.clear()
        assert ada.http.request(method, path).status_code == 200
        assert [op for op in core.asked if op != "token"] == asked


def test_below_their_level_pins_are_503_and_say_why(ada, monkeypatch):
    tweet_id = ada.tweet("x")["tweet_id"]
    monkeypatch.setattr(CoreCluster, "level", PIN.from_level - 1)
    calls = [("GET", f"/{ada.user_id}/pins"), *((m, f"/api/v1/tweet/{tweet_id}/pin") for m in ("POST", "DELETE"))]
    for method, path in calls:
        assert "is being upgraded" in assert_error(ada.http.request(method, path), 503, None)["message"]
