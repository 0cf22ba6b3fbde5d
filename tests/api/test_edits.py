"""Edits over HTTP, over the real core and index: shown everywhere, with their history, and nothing else changed."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from actors.core.ids import bucket_of_name
from tests.api.conftest import LiveServer, ServerThread, User, assert_error
from tests.api.core_cluster import CoreCluster

_numbers = itertools.count(1)


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
def register_on(register, core) -> Any:
    def make(shard: int) -> User:
        names = (f"edited_{n}" for n in _numbers)
        return register(next(name for name in names if core.shard_of(bucket_of_name(name)) == shard))

    return make


@pytest.fixture
def ada(register_on) -> User:
    return register_on(0)


@pytest.fixture
def bob(register_on) -> User:
    return register_on(1)


def edit(who: User, tweet_id: str, status: str, **headers: str) -> dict[str, Any]:
    reply = who.http.patch(f"/api/v1/tweet/{tweet_id}", json={"status": status}, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.json()


def read(who: User, path: str, **query: Any) -> Any:
    reply = who.http.get(path, params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def follow(who: User, whom: User) -> None:
    assert who.http.post(f"/{who.user_id}/follow/{whom.user_id}").status_code == 200


def test_an_edit_is_answered_as_the_tweet_and_shown_by_every_read(ada, bob):
    follow(bob, ada)
    bob.home()
    word = f"w{uuid.uuid4().hex[:8]}"
    made = ada.tweet(f"{word} one")
    repost = bob.http.post(f"/api/v1/tweet/{made['tweet_id']}/repost").json()
    reply = bob.tweet("an answer", in_reply_to=made["tweet_id"])
    changed = edit(ada, made["tweet_id"], f"{word} two #{word} @{bob.username}")
    assert changed["edited_at"]
    assert changed["entities"]["hashtags"][0]["text"] == word
    assert changed["entities"]["mentions"][0]["user_id"] == bob.user_id
    kept = ("created_at", "tweet_id", "user_id", "username", "visibility", "media", "in_reply_to")
    assert {name: changed[name] for name in kept} == {name: made[name] for name in kept}
    path = f"/api/v1/tweet/{made['tweet_id']}"
    shown = [
        read(bob, path), read(ada, "/api/v1/user_timeline", user_id=ada.user_id)[0], ada.home()[-1],
        next(tweet for tweet in bob.home() if tweet["tweet_id"] == made["tweet_id"]),
        read(bob, f"/api/v1/tweet/{repost['tweet_id']}")["repost_of"],
        read(bob, f"/api/v1/tweet/{reply['tweet_id']}/thread")["ancestors"][0],
        read(bob, "/api/v1/search", query=word)["tweets"][0], read(bob, f"/search/tags/{word}")[0],
    ]  # fmt: skip
    assert [tweet["status"] for tweet in shown] == [changed["status"]] * len(shown)


def test_search_finds_an_edited_tweet_by_what_it_says_now_and_marks_that(ada, bob):
    before, after = f"b{uuid.uuid4().hex[:8]}", f"a{uuid.uuid4().hex[:8]}"
    tweet_id = ada.tweet(f"{before} #{before}")["tweet_id"]
    assert [t["tweet_id"] for t in read(bob, "/api/v1/search", query=before)["tweets"]] == [tweet_id]
    assert read(bob, f"/search/tags/{before}")[0]["tweet_id"] == tweet_id
    edit(ada, tweet_id, f"now {after} #{after}")
    for order in ("latest", "top"):
        assert read(bob, "/api/v1/search", query=before, order=order)["tweets"] == []
        found = read(bob, "/api/v1/search", query=after, order=order, highlights="true")
        assert [t["tweet_id"] for t in found["tweets"]] == [tweet_id]
        assert found["highlights"][tweet_id][0] == [4, 4 + len(after)]
    assert read(bob, f"/search/tags/{before}") == []
    assert read(bob, f"/search/tags/{after}")[0]["tweet_id"] == tweet_id


def test_history_has_every_version_for_whoever_may_see_the_tweet(ada, bob):
    tweet_id = ada.tweet("one", visibility="followers")["tweet_id"]
    edit(ada, tweet_id, "two #tag")
    path = f"/api/v1/tweet/{tweet_id}/history"
    history = read(ada, path)
    assert (history["tweet_id"], [each["status"] for each in history["versions"]]) == (tweet_id, ["one", "two #tag"])
    assert [len(each["entities"]["hashtags"]) for each in history["versions"]] == [0, 1]
    assert_error(bob.http.get(path), 404, "tweet_id")
    follow(bob, ada)
    assert read(bob, path) == history
    assert ada.http.delete(f"/api/v1/tweet/{tweet_id}").status_code == 200
    assert_error(ada.http.get(path), 404, "tweet_id")


def test_a_tweet_that_was_never_edited_has_one_version_and_says_nothing_of_edits(ada):
    made = ada.tweet("one")
    assert "edited_at" not in made
    (only,) = read(ada, f"/api/v1/tweet/{made['tweet_id']}/history")["versions"]
    assert only == {"created_at": made["created_at"], "status": "one", "entities": made["entities"]}
    assert edit(ada, made["tweet_id"], "one") == made


def test_only_its_author_edits_a_tweet_and_nobody_a_repost(ada, bob):
    tweet_id = ada.tweet("one")["tweet_id"]
    assert_error(bob.http.patch(f"/api/v1/tweet/{tweet_id}", json={"status": "x"}), 403, "tweet_id")
    hidden = ada.tweet("one", visibility="direct")["tweet_id"]
    assert_error(bob.http.patch(f"/api/v1/tweet/{hidden}", json={"status": "x"}), 404, "tweet_id")
    repost = bob.http.post(f"/api/v1/tweet/{tweet_id}/repost").json()["tweet_id"]
    assert_error(bob.http.patch(f"/api/v1/tweet/{repost}", json={"status": "x"}), 403, "tweet_id")


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"status": ""}, 422), ({"status": "x" * 281}, 422), ({"status": "\x00"}, 422), ({"status": 5}, 400)],
    ids=["nothing", "empty", "too long", "a control character", "a number"],
)
def test_a_text_that_could_not_be_posted_is_refused_by_name(ada, body, status):
    tweet_id = ada.tweet("one")["tweet_id"]
    assert_error(ada.http.patch(f"/api/v1/tweet/{tweet_id}", json=body), status, "status")
    assert read(ada, f"/api/v1/tweet/{tweet_id}")["status"] == "one"


def test_a_direct_tweet_keeps_whom_it_mentions(ada, bob):
    tweet_id = ada.tweet(f"one @{bob.username}", visibility="direct")["tweet_id"]
    assert edit(ada, tweet_id, f"two @{bob.username}")["status"].startswith("two")
    message = assert_error(ada.http.patch(f"/api/v1/tweet/{tweet_id}", json={"status": "three"}), 422, "status")
    assert "must mention the same" in message["message"]


def test_the_same_key_edits_once(ada):
    tweet_id, key = ada.tweet("one")["tweet_id"], uuid.uuid4().hex
    first = edit(ada, tweet_id, "two", **{"Idempotency-Key": key})
    edit(ada, tweet_id, "three")
    assert edit(ada, tweet_id, "two", **{"Idempotency-Key": key}) == first
    assert read(ada, f"/api/v1/tweet/{tweet_id}")["status"] == "three"


def test_below_level_1_it_is_503_and_says_why(ada, monkeypatch):
    tweet_id = ada.tweet("one")["tweet_id"]
    monkeypatch.setattr(CoreCluster, "level", 0)
    for reply in (
        ada.http.patch(f"/api/v1/tweet/{tweet_id}", json={"status": "two"}),
        ada.http.get(f"/api/v1/tweet/{tweet_id}/history"),
    ):
        assert "is being upgraded" in assert_error(reply, 503, None)["message"]
