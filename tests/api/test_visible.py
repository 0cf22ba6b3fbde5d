"""What an API worker asks so that nobody sees or does what a block forbids: over the real core, on two shards."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from actors.core.errors import OverloadedError
from actors.core.flags import BLOCKED_BY
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
        names = (f"placed_{n}" for n in _numbers)
        return register(next(name for name in names if core.shard_of(bucket_of_name(name)) == shard))

    return make


@pytest.fixture
def scene(register_on) -> tuple[User, User, User, str, str]:
    """An author on shard 1, a reposter on 0 and a reader on 1; the ids of a tweet and of its repost."""
    author, reposter, reader = register_on(1), register_on(0), register_on(1)
    x = author.tweet("the text")["tweet_id"]
    r = reposter.http.post(f"/api/v1/tweet/{x}/repost").json()["tweet_id"]
    return author, reposter, reader, x, r


def block(who: User, whom: User) -> None:
    assert who.http.post(f"/{who.user_id}/block/{whom.user_id}").json()["blocking"] is True


def counts(author: User, tweet_id: str) -> dict[str, int]:
    return author.http.get(f"/api/v1/tweet/{tweet_id}").json()["counts"]


def asked_for(core: CoreCluster, reader: User, path: str) -> list[str]:
    core.asked.clear()
    assert reader.http.get(path).status_code == 200
    return [op for op in core.asked if op != "token"]


def test_the_readers_shard_is_asked_only_where_reposts_of_others_are_shown(scene, core):
    author, reposter, reader, x, r = scene
    assert asked_for(core, reader, f"/api/v1/tweet/{x}") == ["tweet"]
    assert asked_for(core, reader, f"/api/v1/tweet/{r}") == ["tweet", "blocked_among", "tweet"]
    assert asked_for(core, author, f"/api/v1/tweet/{r}") == ["tweet"]
    timeline = f"/api/v1/user_timeline?user_id={reposter.user_id}"
    assert asked_for(core, reader, timeline) == ["user_timeline", "blocked_among", "user_timeline"]
    assert asked_for(core, reposter, timeline) == ["user_timeline"]
    assert asked_for(core, reader, f"/feed?user_id={reader.user_id}") == ["home"]


def test_a_block_that_is_answered_holds_on_both_sides(register_on, core):
    ada, bob = register_on(0), register_on(1)
    tweet_id = bob.tweet("hi")["tweet_id"]
    core.drains = False
    try:
        block(ada, bob)
        state = core.sim.shards[1].replica.state
        assert state.graph.related(state.people.row_of[int(bob.user_id)], BLOCKED_BY, int(ada.user_id))
        assert_error(ada.http.get(f"/api/v1/tweet/{tweet_id}"), 404)
        assert_error(bob.http.get(f"/{ada.user_id}/profile"), 404)
    finally:
        core.drains = True


def test_a_block_is_answered_also_if_the_others_shard_is_away(register_on, core, monkeypatch):
    ada, bob = register_on(0), register_on(1)
    call = core.call

    async def away(bucket: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        if op == "blocked_among":
            raise OverloadedError("shard 1 is away", None, 1.0)
        return await call(bucket, op, args, timeout_s)

    monkeypatch.setattr(core, "call", away)
    block(ada, bob)


def test_the_originals_own_shard_decides_about_a_repost_through_another_one(register_on, core, monkeypatch):
    """The author's shard knows of his block at once; the shards of the repost and of whoever acts have yet to hear."""
    author, reposter, reader = register_on(1), register_on(0), register_on(0)
    x = author.tweet("the text")["tweet_id"]
    r = reposter.http.post(f"/api/v1/tweet/{x}/repost").json()["tweet_id"]
    held: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(core.sim, "transmit", lambda *batch: held.append(batch))
        patch.setattr(core, "drains", False)
        core.sim.shards[1].run(["relate", int(author.user_id), "block", int(reader.user_id), True])
        error = assert_error(reader.http.post(f"/api/v1/tweet/{r}/repost"), 404, "tweet_id")
    assert r in error["message"]
    for batch in held:
        core.sim.transmit(*batch)
    core.sim.drain()
    assert counts(author, x)["reposts"] == 1


def test_nothing_is_done_through_a_repost_to_a_tweet_that_its_author_keeps_from_me(scene):
    author, reposter, reader, x, r = scene
    block(author, reader)
    before = counts(author, x)
    for tweet_id in (x, r):
        for action in ("like", "repost"):
            assert_error(reader.http.post(f"/api/v1/tweet/{tweet_id}/{action}"), 404, "tweet_id")
        body = {"status": "hi", "in_reply_to": tweet_id}
        assert_error(reader.http.post("/api/v1/tweet", json=body), 404, "in_reply_to")
        assert_error(reader.http.delete(f"/api/v1/tweet/{tweet_id}"), 404)
    assert counts(author, x) == before
    assert counts(reposter, r) == {"replies": 0, "reposts": 0, "likes": 0}


def test_who_looks_at_a_list_does_not_see_whom_a_block_hides(register_on):
    star, ada, bob = register_on(0), register_on(1), register_on(0)
    for fan in (ada, bob):
        fan.http.post(f"/{fan.user_id}/follow/{star.user_id}")
    block(ada, bob)

    def listed(who: User) -> list[str]:
        return [user["user_id"] for user in who.http.get(f"/{star.user_id}/followers").json()["users"]]

    assert listed(star) == [bob.user_id, ada.user_id]
    assert listed(bob) == [bob.user_id]
    assert listed(ada) == [ada.user_id]


def acted(core: CoreCluster, who: User, method: str, path: str, **more: Any) -> list[str]:
    core.asked.clear()
    reply = who.http.request(method, path, **more)
    assert reply.status_code == 200, reply.text
    return [op for op in core.asked if op != "token"]


@pytest.mark.parametrize("act", ["like", "bookmark", "repost"])
@pytest.mark.parametrize("shard", [0, 1], ids=["another shard", "the same shard"])
def test_an_act_is_one_request_of_the_worker_with_and_without_a_key(register_on, core, act, shard):
    author, reader = register_on(shard), register_on(1)
    x = author.tweet("to act on")["tweet_id"]
    inquiry = [] if shard == 1 else ["shard asks tweet_ref" if act == "repost" else "shard asks seen"]
    path = f"/api/v1/tweet/{x}/{act}"
    assert sorted(acted(core, reader, "POST", path)) == sorted(["if_seen", *inquiry])
    key = {"headers": {"Idempotency-Key": f"{act}-{x}"}}
    assert sorted(acted(core, reader, "POST", path, **key)) == sorted(["keyed", *inquiry])
    assert acted(core, reader, "POST", path, **key) == ["keyed"]


@pytest.mark.parametrize("act", ["like", "bookmark", "repost"])
@pytest.mark.parametrize("why", ["no shard can ask another", "the cluster is being upgraded"])
def test_where_its_shard_cannot_find_out_the_worker_asks_the_tweets_shard(register_on, core, monkeypatch, act, why):
    author, reader = register_on(0), register_on(1)
    x = author.tweet("to act on")["tweet_id"]
    asked = ["tweet_ref" if act == "repost" else "seen", act]
    if why == "no shard can ask another":
        monkeypatch.setattr(core, "inquires", False)
        asked = ["if_seen", *asked]
    else:
        monkeypatch.setattr(CoreCluster, "level", 1)
    assert acted(core, reader, "POST", f"/api/v1/tweet/{x}/{act}") == asked
    block(author, reader)
    assert_error(reader.http.post(f"/api/v1/tweet/{x}/{act}"), 404, "tweet_id")


def test_while_a_tweets_shard_is_down_acts_on_it_are_503_and_others_go_on(register_on, core, monkeypatch):
    author, reader = register_on(0), register_on(1)
    x, own = author.tweet("over there")["tweet_id"], reader.tweet("here")["tweet_id"]
    ask = core.call

    async def call(bucket: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        if core.shard_of(bucket) == 0:
            raise OverloadedError("shard 0 can't be reached", None, 1.0)
        return await ask(bucket, op, args, timeout_s)

    monkeypatch.setattr(core, "inquires", False)
    monkeypatch.setattr(core, "call", call)
    for act in ("like", "bookmark", "repost"):
        reply = reader.http.post(f"/api/v1/tweet/{x}/{act}")
        assert_error(reply, 503)
        assert reply.headers["retry-after"] == "1"
        assert acted(core, reader, "POST", f"/api/v1/tweet/{own}/{act}") == ["if_seen"]
