"""Pins: which tweets an account may pin, to whom they are shown, and that they go with their tweet."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core import limits
from actors.core.errors import ForbiddenError, InvalidError, MovedError, NotFoundError, OverloadedError
from actors.core.features.pins import PIN
from actors.core.features.viewer_flags import PINNABLE, PINNED
from actors.core.levels import LEVEL
from actors.core.moves import moving
from actors.core.verify import digest
from tests.core.harness import Shards, memory_store
from tests.core.test_moving import Moving


def settled(world: Any) -> Any:
    """Give a world ada and eve on shard 0, bob on shard 1, who follows ada."""
    world.ada, world.eve, world.bob = world.account_on(0), world.account_on(0, 1), world.account_on(1)
    world.register(world.ada, world.eve, world.bob)
    world.do("follow", world.bob, world.ada)
    return world


def pin(world: Shards, account: int, tweet: int) -> bool:
    world.now_ms += 1
    return bool(world.do("pin", account, tweet))


def pins(world: Shards, account: int, viewer: int = 0) -> list[int]:
    return [int(tweet["tweet_id"]) for tweet in orjson.loads(world.read("pins", account, viewer))]


def is_whole(world: Shards) -> None:
    """A journal and a checkpoint lead to the same state, in which only own tweets are pinned that may be."""
    world.check()
    for shard, replica in enumerate(world.replicas):
        assert digest(world.replayed(shard).state) == digest(replica.state)
        owners, tweets, _ = replica.state.shelves.marks.dump(PIN.number)
        for owner, tweet in zip(owners.tolist(), tweets.tolist(), strict=True):
            entry = replica.state.tweets.get(tweet)
            assert entry is not None
            assert (entry.author_id, entry.is_repost) == (owner, False)
        store, before = memory_store(), digest(replica.state)
        world.seal_into(shard, store)
        assert digest(world.restore_from(shard, store).state) == before


@pytest.fixture
def world():
    made = settled(Shards(2))
    yield made
    is_whole(made)


def test_pinned_tweets_are_shown_with_the_newest_pin_first(world):
    tweets = [world.post(world.ada, f"tweet {n}") for n in range(3)]
    for tweet in (tweets[1], tweets[2], tweets[0]):
        assert pin(world, world.ada, tweet) is True
    assert pin(world, world.ada, tweets[1]) is False, "again, which changes nothing"
    assert pins(world, world.ada) == [tweets[0], tweets[2], tweets[1]]
    assert orjson.loads(world.read("pins", world.ada, 0))[0] == orjson.loads(world.read("tweet", tweets[0], 0))
    assert world.do("unpin", world.ada, tweets[2]) is True
    assert world.do("unpin", world.ada, tweets[2]) is False
    pin(world, world.ada, tweets[2])
    assert pins(world, world.ada) == [tweets[2], tweets[0], tweets[1]]
    assert pins(world, world.bob) == []


def test_all_pins_in_use_refuse_another_until_one_is_free(world):
    tweets = [world.post(world.ada) for _ in range(limits.PINS_COUNT_MAX + 1)]
    for tweet in tweets[:-1]:
        pin(world, world.ada, tweet)
    with pytest.raises(InvalidError, match="an account may have 5 pins; take some back"):
        pin(world, world.ada, tweets[-1])
    assert pin(world, world.ada, tweets[0]) is False
    world.do("delete", tweets[3], world.ada)
    assert pin(world, world.ada, tweets[-1]) is True
    assert pins(world, world.ada) == [tweets[-1], tweets[4], *tweets[2::-1]]


def test_only_original_tweets_of_ones_own_that_are_not_direct_can_be_pinned(world):
    near, far = world.post(world.eve), world.post(world.bob)
    gone = world.post(world.ada)
    world.do("delete", gone, world.ada)
    for tweet in (near, far, gone, 7):
        with pytest.raises(ForbiddenError, match=f"tweet {tweet} is not yours to pin"):
            pin(world, world.ada, tweet)
    with pytest.raises(ForbiddenError, match="is a repost, so it can't be pinned"):
        pin(world, world.ada, world.repost(world.ada, far))
    with pytest.raises(ForbiddenError, match="is direct, so it can't be pinned"):
        pin(world, world.ada, world.post(world.ada, visibility=2, mentions=[world.bob]))
    reply = world.post(world.ada, "indeed", in_reply_to=far, reply_author=world.bob)
    assert pin(world, world.ada, reply) is True
    assert pins(world, world.ada) == [reply]


def test_a_tweet_that_is_deleted_is_pinned_no_more(world):
    stays, goes = world.post(world.ada), world.post(world.ada)
    for tweet in (stays, goes):
        pin(world, world.ada, tweet)
    world.do("delete", goes, world.ada)
    assert pins(world, world.ada, world.ada) == [stays]
    assert world.state_of(world.ada).shelves.view(PIN, world.ada)[0].tolist() == [stays]
    assert world.do("unpin", world.ada, goes) is False


def test_pins_are_shown_to_whoever_may_see_the_tweet(world):
    everybody, followers = world.post(world.ada), world.post(world.ada, visibility=1)
    for tweet in (everybody, followers):
        pin(world, world.ada, tweet)
    for viewer in (0, world.eve):
        assert pins(world, world.ada, viewer) == [everybody]
    for viewer in (world.bob, world.ada):
        assert pins(world, world.ada, viewer) == [followers, everybody]
    world.do("block", world.bob, world.ada)
    assert pins(world, world.ada, world.bob) == []


def test_pins_of_an_account_that_is_not_here_or_nowhere_are_refused(world):
    with pytest.raises(MovedError):
        world.replicas[1].read("pins", [world.ada, 0])
    with pytest.raises(NotFoundError):
        pins(world, world.account_on(0, 5))


def test_an_edited_tweet_stays_pinned_and_says_what_it_says_now(world):
    tweet = world.post(world.ada, "before")
    pin(world, world.ada, tweet)
    world.do("edit", tweet, world.ada, "after", b"", [])
    assert [each["status"] for each in orjson.loads(world.read("pins", world.ada, 0))] == ["after"]


def test_the_readers_flags_tell_what_he_has_pinned(world):
    tweets = [world.post(world.ada), world.post(world.ada)]
    pin(world, world.ada, tweets[0])
    ids, authors = (b"".join(each.to_bytes(8, "little") for each in column) for column in (tweets, [world.ada] * 2))
    for reader, expected in ((world.ada, [PINNED | PINNABLE, PINNABLE]), (world.eve, [0, 0])):
        assert list(world.read("viewer_flags", reader, ids, ids, authors)) == expected


def test_pins_move_with_their_account_and_what_is_done_meanwhile_moves_along(monkeypatch):
    monkeypatch.setattr(moving, "PART_BYTES", 100)
    world = settled(Moving())
    tweets = [world.post(world.ada) for _ in range(8)]
    for tweet in tweets[:5]:
        pin(world, world.ada, tweet)
    expected, waiting = tweets[:5], tweets[5:]

    def between():
        if waiting and world.shard_of(world.ada) == 0 and not world.replicas[0].state.frozen:
            world.do("delete", expected.pop(0), world.ada)
            expected.append(waiting.pop(0))
            pin(world, world.ada, expected[-1])

    world.between = between
    world.move(1, world.ada)
    assert (world.shard_of(world.ada), waiting) == (1, [])
    assert pins(world, world.ada, world.bob) == expected[::-1]
    world.do("delete", expected.pop(1), world.ada)
    assert pins(world, world.ada, world.bob) == expected[::-1]
    world.sweep()
    is_whole(world)


def test_pins_go_with_their_account(world):
    for _ in range(2):
        pin(world, world.ada, world.post(world.ada))
    world.do("delete_account", world.ada)
    with pytest.raises(NotFoundError):
        pins(world, world.ada)
    while world.ada in world.replicas[0].state.people.leaving:
        world.run(0, ["clear_left", world.ada, 1])
    assert world.replicas[0].state.shelves.marks.total == 0


def test_pins_wait_until_the_whole_cluster_knows_them():
    world = settled(Shards(2, level=PIN.from_level - 1))
    tweet = world.post(world.ada)
    for op in ("pin", "unpin"):
        with pytest.raises(OverloadedError, match="being upgraded"):
            world.do(op, world.ada, tweet)
    assert pins(world, world.ada) == []
    world.run(0, ["level", LEVEL])
    assert pin(world, world.ada, tweet) is True


@given(st.lists(st.tuples(st.sampled_from(("post", "pin", "pin", "unpin", "delete")), st.integers(0, 9)), max_size=40))
def test_pins_are_those_of_a_plain_list(acts):
    world, tweets, expected = settled(Shards(2)), [], []
    for what, which in acts:
        tweet = tweets[which % len(tweets)] if tweets else 0
        if what == "post" or not tweets:
            tweets.append(world.post(world.ada))
        elif what == "delete":
            world.do("delete", tweet, world.ada)
            tweets.remove(tweet)
            expected = [each for each in expected if each != tweet]
        elif what == "unpin":
            assert world.do("unpin", world.ada, tweet) is (tweet in expected)
            expected = [each for each in expected if each != tweet]
        elif tweet not in expected and len(expected) == limits.PINS_COUNT_MAX:
            with pytest.raises(InvalidError):
                pin(world, world.ada, tweet)
        else:
            assert pin(world, world.ada, tweet) is (tweet not in expected)
            expected = expected if tweet in expected else [tweet, *expected]
        assert pins(world, world.ada) == expected
    is_whole(world)
