"""Writes that ask another shard first: what becomes of them, whatever that shard does."""

from __future__ import annotations

from typing import Any

import pytest

from actors.core.errors import MovedError, NotFoundError, OverloadedError, RookeryError
from actors.shard import inquiring_writes
from actors.shard.inquiring_writes import PATIENCE_S, InquiringWrites
from tests.core.harness import Shards


class Peers:
    """The way to other shards: what is asked waits until a test answers it."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.waiting: list[tuple[Any, ...]] = []
        self.is_full = False

    def send(self, bucket: int, op: str, args: Any, timeout_s: float, done: Any, fresh: bool = False) -> None:
        assert (timeout_s, fresh) == (PATIENCE_S, True)
        if self.is_full:
            raise OverloadedError("too many requests wait for that shard")
        self.waiting.append((bucket, op, args, done))

    def answer(self, error: Exception | None = None) -> None:
        """Answer what was asked first, or say that nobody does."""
        bucket, op, args, done = self.waiting.pop(0)
        body = None
        if error is None:
            try:
                body = self.shards.replicas[self.shards.owner[bucket]].read(op, args)
            except RookeryError as refusal:
                error = refusal
        done(body, error)


class World:
    """A shard that writes, and what has become of its writes."""

    def __init__(self) -> None:
        self.shards = Shards(2)
        self.me, self.near, self.far = (self.shards.account_on(shard, i) for i, shard in enumerate((0, 0, 1)))
        self.shards.register(self.me, self.near, self.far)
        self.peers = Peers(self.shards)
        self.done: list[tuple[Any, ...]] = []
        self.writes = InquiringWrites(
            self.shards.replicas[0],
            lambda *write: self.done.append(write),
            lambda request, error: self.done.append((request, error)),
        )

    def like(self, tweet_id: int, request: Any = "request") -> bool:
        """Set out to like a tweet; whether that can be."""
        return self.writes.begin(request, "if_seen", [self.me, tweet_id, "like"], "tracked")

    def whole(self, tweet_id: int) -> list[Any]:
        return [self.me, tweet_id, "like", [self.me, tweet_id]]


@pytest.fixture
def world():
    made = World()
    made.writes.connect(made.peers)
    yield made
    assert len(made.writes) == len(made.peers.waiting)
    made.shards.check()


def test_a_tweet_that_is_on_the_same_shard_by_now_needs_no_question(world):
    tweet_id = world.shards.post(world.near)
    assert world.like(tweet_id)
    assert world.done == [("request", "if_seen", world.whole(tweet_id), "tracked")]
    assert world.peers.waiting == []


def test_another_shards_answer_carries_the_write_out(world):
    tweet_id = world.shards.post(world.far)
    assert world.like(tweet_id)
    assert world.done == []
    world.peers.answer()
    assert world.done == [("request", "if_seen", world.whole(tweet_id), "tracked")]


def test_another_shards_refusal_is_the_writes(world):
    tweet_id = world.shards.post(world.far, visibility=1)
    world.like(tweet_id)
    world.peers.answer()
    [(request, error)] = world.done
    assert (request, type(error), error.message) == ("request", NotFoundError, f"tweet {tweet_id} does not exist")


def test_a_shard_that_does_not_answer_leaves_the_write_as_it_came(world):
    tweet_id = world.shards.post(world.far)
    world.like(tweet_id)
    world.peers.answer(OverloadedError("shard 1 did not answer"))
    assert world.done == [("request", "if_seen", [world.me, tweet_id, "like"], "tracked")]


def test_nobody_waits_where_nobody_can_be_asked(world, monkeypatch):
    tweet_id = world.shards.post(world.far)
    world.peers.is_full = True
    assert not world.like(tweet_id)
    world.peers.is_full = False
    monkeypatch.setattr(inquiring_writes, "UNDER_WAY_MAX", 1)
    assert world.like(tweet_id, "first")
    assert not world.like(tweet_id, "second")
    world.peers.answer()
    assert [done[0] for done in world.done] == ["first"]
    assert world.like(tweet_id, "third")
    assert not World().like(tweet_id)  # it hasn't joined


def test_a_shard_that_answers_the_first_question_only_leaves_the_write_as_it_came(world):
    reposter = world.shards.account_on(1, 3)
    world.shards.register(reposter)
    repost_id = world.shards.repost(reposter, world.shards.post(world.near))
    world.like(repost_id)
    world.peers.is_full = True
    world.peers.answer()
    assert world.done == [("request", "if_seen", [world.me, repost_id, "like"], "tracked")]


def test_nonsense_in_an_answer_ends_the_write_and_nothing_else(world):
    tweet_id = world.shards.post(world.far)
    world.like(tweet_id)
    *_, done = world.peers.waiting.pop()
    done([None, "no accounts"], None)
    [(request, error)] = world.done
    assert (request, error.status) == ("request", 422)
    assert world.like(tweet_id, "next")


def test_a_write_that_is_refused_after_all_is_refused_once(world):
    def refuse(*write: Any) -> None:
        raise MovedError("another replica leads by now")

    world.writes._commit = refuse
    world.like(world.shards.post(world.far))
    world.peers.answer()
    [(request, error)] = world.done
    assert (request, type(error)) == ("request", MovedError)
