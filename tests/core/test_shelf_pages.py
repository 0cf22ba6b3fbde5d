"""Pages of shelves by stamps, beside the whole list; and boosts for followers alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.entries import Entry, unpack
from actors.core.errors import ForbiddenError, InvalidError, NotFoundError, OverloadedError
from actors.core.features.bookmarks import BOOKMARK
from actors.core.features.likes import LIKE, LIKER
from actors.core.flags import FLAG_FOLLOWERS
from actors.core.terms import NOTICES_FROM_LEVEL
from tests.core.harness import Shards, packed_original

WORLD: Any = Shards(2)
ADA, BOB = WORLD.account_on(0), WORLD.account_on(1)
WORLD.register(ADA, BOB)
TWEETS = [WORLD.post(BOB) for _ in range(9)]
for tweet in TWEETS:
    WORLD.now_ms += 1
    WORLD.do("bookmark", ADA, tweet)
KEYS, STAMPS = (side.tolist() for side in WORLD.state_of(ADA).shelves.view(BOOKMARK, ADA))
CURSOR = st.just(0) | st.sampled_from([*STAMPS, STAMPS[0] - 1, STAMPS[-1] + 1])


@given(CURSOR, CURSOR, CURSOR, st.integers(1, 12))
def test_a_page_is_cut_out_of_the_whole_list(max_stamp, since_stamp, min_stamp, count):
    within = [
        (key, stamp) for key, stamp in zip(KEYS, STAMPS, strict=True)
        if (not max_stamp or stamp < max_stamp) and stamp > max(since_stamp, min_stamp)
    ]  # fmt: skip
    expected = within[:count] if min_stamp else within[-count:]
    keys, newest, oldest, has_more = WORLD.read("shelf", ADA, BOOKMARK.number, max_stamp, since_stamp, min_stamp, count)
    assert keys == [key for key, _ in reversed(expected)]
    assert (newest, oldest) == ((expected[-1][1], expected[0][1]) if expected else (0, 0))
    if expected and not min_stamp:
        assert has_more == (len(within) > count)


def test_a_kind_that_accounts_have_none_of_is_refused_by_its_number():
    for kind in (LIKER.number, 1 << 40, "like", None):
        with pytest.raises(InvalidError, match="accounts have no shelf"):
            WORLD.read("shelf", ADA, kind, 0, 0, 0, 20)
    with pytest.raises(InvalidError, match="tweets have no shelf"):
        WORLD.read("shelf_of_tweet", TWEETS[0], 0, LIKE.number, 0, 0, 0, 20)


def test_likers_are_told_to_whoever_may_see_the_tweet_but_for_those_that_a_block_hides():
    world = Shards(2)
    author, reader, liker = world.account_on(0), world.account_on(1), world.account_on(1, 1)
    world.register(author, reader, liker)
    tweet, direct = world.post(author), world.post(author, visibility=2)
    for who in (author, liker):
        world.now_ms += 1
        world.do("like", who, tweet)
    asked = ("shelf_of_tweet", tweet, reader, LIKER.number, 0, 0, 0, 1)
    keys, newest, oldest, has_more = world.ask_as(reader, *asked)
    assert (keys, newest == oldest, has_more) == ([liker], True, True)
    world.do("block", reader, liker)
    assert world.ask_as(reader, *asked) == [[], newest, oldest, True]
    with pytest.raises(NotFoundError):
        world.read("shelf_of_tweet", direct, reader, LIKER.number, 0, 0, 0, 20)


def test_a_boost_for_followers_is_seen_by_them_alone_and_what_is_theirs_is_boosted_by_its_author_alone():
    world = Shards(2)
    ada, bob, eve = world.account_on(0), world.account_on(1), world.account_on(1, 1)
    world.register(ada, bob, eve)
    world.do("follow", bob, ada)
    public, private = world.post(eve), world.post(ada, visibility=1)
    boost = world.do("boost", ada, packed_original(eve, public), 1)
    assert world.do("boost", ada, packed_original(eve, public), 0) == boost, "there is one already"
    entry: Entry = world.state_of(ada).tweets.get(boost)
    assert (entry.flags & FLAG_FOLLOWERS, entry.is_repost) == (FLAG_FOLLOWERS, True)
    assert world.home(bob) == [boost, private]
    assert world.ask_as(bob, "tweet", boost, bob)
    with pytest.raises(NotFoundError):
        world.ask_as(eve, "tweet", boost, eve)
    packed = world.read("tweet_ref", private, ada)[3]
    assert unpack(packed)[2] == FLAG_FOLLOWERS
    with pytest.raises(ForbiddenError):
        world.do("boost", bob, packed, 1)
    own = world.do("boost", ada, packed, 0)
    assert world.state_of(ada).tweets.get(own).flags & FLAG_FOLLOWERS, "whatever was asked for"
    with pytest.raises(NotFoundError):
        world.ask_as(eve, "tweet", own, eve)
    world.do("unrepost", ada, private)
    world.do("delete", private, ada)
    world.check()


def test_a_boost_waits_for_its_level_and_for_an_original_that_is_there():
    old = Shards(1, level=NOTICES_FROM_LEVEL - 1)
    old.register(1)
    with pytest.raises(OverloadedError):
        old.do("boost", 1, packed_original(1, old.post(1)), 0)
    world = Shards(1)
    world.register(1)
    gone = world.post(1)
    packed = packed_original(1, gone)
    world.do("delete", gone, 1)
    with pytest.raises(NotFoundError):
        world.do("boost", 1, packed, 0)
    with pytest.raises(InvalidError):
        world.do("boost", 1, packed_original(1, gone), 2)
