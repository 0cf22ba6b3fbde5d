"""What pages and threads are made of: many tweets at once, a tweet with what it answers, and whose a tweet is."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from actors.core.errors import InvalidError, NotFoundError
from tests.core.harness import Shards

PUBLIC, FOLLOWERS, DIRECT = 0, 1, 2
PLACES = list(itertools.product((0, 1), repeat=3))


def id_of(tweet: Any) -> int:
    return int(orjson.loads(tweet)["tweet_id"])


class World(Shards):
    """An author, somebody else and a reader, placed as a test wants."""

    def __init__(self, author: int = 0, other: int = 0, reader: int = 0) -> None:
        super().__init__(2)
        self.author, self.other, self.reader = (self.account_on(s, i) for i, s in enumerate((author, other, reader)))
        self.register(self.author, self.other, self.reader)

    def answer(self, who: int, tweet_id: int, visibility: int = PUBLIC, **more: Any) -> int:
        author = self.read("tweet_ref", tweet_id, who)[0]
        return self.post(who, visibility=visibility, in_reply_to=tweet_id, reply_author=author, **more)

    def lineage(self, viewer: int, tweet_id: int, count: int = 64) -> tuple[list[int], int]:
        if viewer:
            line, following = self.ask_as(viewer, "lineage", tweet_id, viewer, count)
        else:
            line, following = self.read("lineage", tweet_id, 0, count)
        return [id_of(tweet) for tweet in line], following

    def one_by_one(self, viewer: int, tweet_ids: list[int]) -> list[bytes | None]:
        """Return what `tweet` says of each."""
        found: list[bytes | None] = []
        for tweet_id in tweet_ids:
            try:
                found.append(self.ask_as(viewer, "tweet", tweet_id, viewer))
            except NotFoundError:
                found.append(None)
        return found


@pytest.fixture(params=PLACES, ids=lambda places: "author {} other {} reader {}".format(*places))
def placed(request):
    made = World(*request.param)
    yield made
    made.exchange()
    made.check()


@pytest.fixture
def world():
    made = World()
    yield made
    made.check()


# ---- many at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocked", ["nobody", "by author", "by reader"])
def test_many_tweets_are_answered_as_each_by_itself(placed, blocked):
    x = placed.post(placed.author)
    mine = [placed.post(placed.other, visibility=kind) for kind in (PUBLIC, FOLLOWERS, DIRECT)]
    mine += [placed.repost(placed.other, x), placed.post(placed.other)]
    placed.do("delete", mine[-1], placed.other)
    if blocked != "nobody":
        pair = (placed.author, placed.reader) if blocked == "by author" else (placed.reader, placed.author)
        placed.do("block", *pair)
    (tweets,) = placed.ask_as(placed.reader, "tweets", mine, placed.reader)
    questions = placed.question_count
    assert tweets == placed.one_by_one(placed.reader, mine)
    assert [tweet is not None for tweet in tweets] == [True, False, False, blocked == "nobody", False]
    assert questions <= 1, "all accounts of a page are asked about at once"
    assert [tweet is None for (tweets,) in [placed.read("tweets", mine, 0)] for tweet in tweets] == [
        False, True, True, False, True,
    ]  # fmt: skip


def test_without_facts_what_is_not_sure_is_left_out():
    world = World(1, 0, 1)
    repost, own = world.repost(world.other, world.post(world.author)), world.post(world.other)
    (tweets,) = world.read("tweets", [repost, own], world.reader)
    assert (tweets[0], id_of(tweets[1])) == (None, own)


def test_tweets_of_another_shard_are_named_and_none_is_no_question(world):
    here, there = world.post(world.author), World(1).post(World(1).author)
    gone = world.post(world.author)
    world.do("delete", gone, world.author)
    assert world.shard_for("tweet", [there]) == 1
    (tweets,) = world.read("tweets", [gone, there, here], 0)
    assert (tweets[:2], id_of(tweets[2])) == ([None, False], here)
    assert world.read("tweets", [gone, here], 0)[0] != [None], "a list of one list: what begins with nil asks"


def test_a_page_of_too_many_tweets_is_refused(world):
    with pytest.raises(InvalidError, match="at most 200, not 201"):
        world.read("tweets", [world.post(world.author)] * 201, 0)


# ---- upwards ------------------------------------------------------------------------------------------------------


def test_a_lineage_goes_up_as_far_as_it_is_of_the_same_shard():
    world = World(0, 1, 0)
    first = world.post(world.author)
    second = world.answer(world.author, first)
    there = world.answer(world.other, second)
    third = world.answer(world.author, there)
    last = world.answer(world.author, third)
    assert world.lineage(0, last) == ([last, third], there)
    assert world.lineage(0, there) == ([there], second)
    assert world.lineage(0, second) == ([second, first], 0)


def test_a_lineage_has_as_many_as_were_asked_for_and_says_where_it_goes_on(world):
    line = [world.post(world.author)]
    for _ in range(4):
        line.append(world.answer(world.author, line[-1]))
    upwards = line[::-1]
    assert world.lineage(0, line[-1], 2) == (upwards[:2], upwards[2])
    assert world.lineage(0, line[-1], 5) == (upwards, 0)
    for count in (0, 65, -1, True, None):
        with pytest.raises(InvalidError, match="count"):
            world.read("lineage", line[-1], 0, count)


@pytest.mark.parametrize("how", ["deleted", "for followers", "block"])
def test_a_lineage_ends_where_something_is_gone_or_hidden(world, how):
    first = world.post(world.author)
    middle = world.answer(world.author, first, FOLLOWERS if how == "for followers" else PUBLIC)
    last = world.answer(world.other if how == "block" else world.author, middle)
    if how == "deleted":
        world.do("delete", middle, world.author)
    if how == "block":
        world.do("block", world.author, world.reader)
    assert world.lineage(world.author, last) == (([last] if how == "deleted" else [last, middle, first]), 0)
    assert world.lineage(world.reader, last) == ([last], 0)


@pytest.mark.parametrize("is_blocked", [False, True])
def test_a_lineage_through_a_repost_asks_the_readers_shard(placed, is_blocked):
    x = placed.post(placed.author)
    repost = placed.repost(placed.other, x)
    reply = placed.answer(placed.other, repost)
    if is_blocked:
        placed.do("block", placed.author, placed.reader)
    assert placed.lineage(placed.reader, reply) == (([reply], 0) if is_blocked else ([reply, repost], 0))
    unknown = placed.shard_of(placed.other) not in (placed.shard_of(placed.author), placed.shard_of(placed.reader))
    assert placed.question_count == int(unknown)
    if unknown:
        line, following = placed.read("lineage", reply, placed.reader, 64)
        assert ([id_of(tweet) for tweet in line], following) == ([reply], 0), "without facts nothing that isn't sure"


# ---- whose it is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_blocked", [False, True])
def test_whose_a_tweet_is_says_only_who_may_see_it(placed, is_blocked):
    x = placed.post(placed.author)
    repost = placed.repost(placed.other, x)
    if is_blocked:
        placed.do("block", placed.reader, placed.author)
    for tweet_id, author, is_seen in (
        (x, placed.author, not is_blocked),
        (repost, placed.other, not is_blocked),
        (placed.post(placed.author, visibility=FOLLOWERS), placed.author, False),
    ):
        assert placed.ask_as(placed.other, "seen", x, placed.other) == placed.author
        if is_seen:
            assert placed.ask_as(placed.reader, "seen", tweet_id, placed.reader) == author
        else:
            with pytest.raises(NotFoundError):
                placed.ask_as(placed.reader, "seen", tweet_id, placed.reader)
