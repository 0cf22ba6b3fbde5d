"""Shelves as features use them: who likes, reposts and answers; bookmarks; and what a rising level tells."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core import limits
from actors.core.errors import InvalidError, NotFoundError, OverloadedError
from actors.core.features import likes
from actors.core.features.bookmarks import BOOKMARK
from actors.core.features.likes import LIKE, LIKER
from actors.core.features.replies import REPLY
from actors.core.features.reposts import REPOSTER
from actors.core.levels import LEVEL
from actors.core.verify import digest
from tests.core.harness import SMALL, Shards, memory_store


class World(Shards):
    def __init__(self, level: int = LEVEL, tuning: limits.Tuning = SMALL) -> None:
        super().__init__(2, tuning, level)
        self.here = [self.account_on(0, i) for i in range(3)]
        self.there = [self.account_on(1, i) for i in range(3)]
        self.people = [*self.here, *self.there]
        self.register(*self.people)

    def likers(self, tweet: int, viewer: int = 0, count: int = 20, before: int = 0) -> list[int]:
        return self.read("likers", tweet, viewer, before, count)[0]

    def like(self, account: int, tweet: int) -> None:
        self.now_ms += 1
        self.do("like", account, tweet)

    def shelf(self, kind, owner: int) -> list[int]:
        shard = self.owner_of(kind, owner)
        return self.replicas[shard].state.shelves.view(kind, owner)[0].tolist()

    def owner_of(self, kind, owner: int) -> int:
        return self.shard_of(owner) if kind in (LIKE, BOOKMARK) else self.shard_for("tweet", [owner])


@pytest.fixture
def world():
    made = World()
    yield made
    made.check()
    for shard in (0, 1):
        assert digest(made.replayed(shard).state) == digest(made.replicas[shard].state)


def test_likers_are_listed_with_the_newest_first_and_leave_with_their_like(world):
    tweet = world.post(world.here[0])
    for account in (world.there[0], world.here[1], world.there[1]):
        world.like(account, tweet)
    assert world.likers(tweet) == [world.there[1], world.here[1], world.there[0]]
    world.do("unlike", world.here[1], tweet)
    assert world.likers(tweet) == [world.there[1], world.there[0]]
    world.like(world.here[1], tweet)
    assert world.likers(tweet)[0] == world.here[1]


def test_pages_of_likers_go_on_by_stamp_and_end(world):
    tweet = world.post(world.here[0])
    for account in world.people:
        world.like(account, tweet)
    seen, before = [], 0
    for _ in range(4):
        page, before = world.read("likers", tweet, 0, before, 2)
        seen += page
        if not before:
            break
    assert seen == world.people[::-1]


def test_likes_of_an_account_come_newest_action_first(world):
    tweets = [world.post(author) for author in (world.here[0], world.there[0], world.there[1])]
    for tweet in tweets:
        world.like(world.here[1], tweet)
    world.do("unlike", world.here[1], tweets[0])
    world.like(world.here[1], tweets[0])
    assert world.read("likes", world.here[1], 0, 20) == [[tweets[0], tweets[2], tweets[1]], 0]


def test_who_blocks_the_viewer_or_is_blocked_is_not_listed(world):
    tweet = world.post(world.here[0])
    for account in (world.here[1], world.there[0], world.there[1]):
        world.like(account, tweet)
    viewer = world.there[2]
    world.do("block", world.there[0], viewer)
    world.do("block", viewer, world.here[1])
    assert world.ask_as(viewer, "likers", tweet, viewer, 0, 20)[0] == [world.there[1]]
    assert world.question_count == 1, "the viewer's shard knows"


def test_a_tweet_that_is_not_seen_lists_nobody(world):
    tweet = world.post(world.here[0], visibility=2, mentions=[world.there[0]])
    world.like(world.there[0], tweet)
    assert world.likers(tweet, world.there[0]) == [world.there[0]]
    for op in ("likers", "reposters", "replies"):
        with pytest.raises(NotFoundError):
            world.read(op, tweet, world.there[1], 0, 20)


def test_reposters_and_replies_are_listed_until_they_are_taken_back(world):
    tweet = world.post(world.here[0])
    world.repost(world.there[0], tweet)
    world.repost(world.here[1], tweet)
    replies = [
        world.post(author, in_reply_to=tweet, reply_author=world.here[0], visibility=visibility)
        for author, visibility in ((world.there[1], 0), (world.here[2], 2))
    ]
    assert world.read("reposters", tweet, 0, 0, 20)[0] == [world.here[1], world.there[0]]
    assert world.read("replies", tweet, 0, 0, 20)[0] == replies[::-1], "a private one as well: its own shard decides"
    world.do("unrepost", world.there[0], tweet)
    world.do("delete", replies[0], world.there[1])
    assert world.read("reposters", tweet, 0, 0, 20)[0] == [world.here[1]]
    assert world.read("replies", tweet, 0, 0, 20)[0] == [replies[1]]


def test_shelves_go_with_their_tweet_and_a_slot_that_is_used_again_has_none(world):
    tweet = world.post(world.here[0])
    world.like(world.there[0], tweet)
    world.do("delete", tweet, world.here[0])
    assert world.shelf(LIKE, world.there[0]) == [tweet]
    again = world.post(world.here[0])
    assert world.likers(again) == []
    world.do("like", world.there[1], tweet)
    assert world.shelf(LIKE, world.there[1]) == [], "its shard says that it is gone"


def test_a_full_shelf_refuses_or_lets_the_oldest_go(monkeypatch):
    world = World()
    tweets = [world.post(world.here[0]) for _ in range(3)]
    monkeypatch.setattr(likes, "LIKER", replace(LIKER, limit=2))
    for account in world.people[1:4]:
        world.like(account, tweets[0])
    assert world.likers(tweets[0]) == world.people[3:1:-1]
    monkeypatch.setattr(likes, "LIKE", replace(LIKE, limit=1))
    other = world.people[0]
    assert world.do("like", other, tweets[0]) is True
    assert world.do("like", other, tweets[0]) is False
    with pytest.raises(InvalidError, match="an account may have 1 likes; take some back"):
        world.do("like", other, tweets[1])
    assert world.do("unlike", other, tweets[0]) is True


def test_a_shard_that_holds_all_the_marks_it_may_refuses_new_ones():
    world = World(tuning=replace(SMALL, marks_max=2))
    tweet = world.post(world.here[0])
    world.like(world.here[1], tweet)
    with pytest.raises(OverloadedError, match="this shard holds 2 marks, its limit"):
        world.do("bookmark", world.here[1], tweet)


def test_bookmarks_wait_until_the_whole_cluster_knows_them():
    world = World(level=0)
    tweet = world.post(world.here[0])
    with pytest.raises(OverloadedError, match="being upgraded"):
        world.do("bookmark", world.here[1], tweet)
    for shard in (0, 1):
        world.run(shard, ["level", LEVEL])
    assert world.do("bookmark", world.here[1], tweet)
    assert world.read("bookmarks", world.here[1], 0, 20) == [[tweet], 0]


ACTS = st.lists(
    st.tuples(
        st.sampled_from(("post", "like", "like", "unlike", "repost", "unrepost", "reply", "delete", "seal")),
        st.integers(0, 5), st.integers(0, 7),
    ), max_size=24,
)  # fmt: skip


def act(world: World, tweets: list[int], what: str, who: int, which: int) -> None:
    """Do one of ACTS, as far as it makes sense. Tweets are made in the same order whatever the level."""
    account = world.people[who]
    if what == "post" or not tweets:
        tweets.append(world.post(account))
        return
    tweet = tweets[which % len(tweets)]
    author = next(a for a in world.people if a in _authors(world, tweet)) if _authors(world, tweet) else 0
    if what in ("like", "unlike"):
        world.now_ms += 1
        world.do(what, account, tweet)
    elif what in ("repost", "unrepost") and author:
        world.now_ms += 1
        world.repost(account, tweet) if what == "repost" else world.do("unrepost", account, tweet)
    elif what == "reply" and author:
        tweets.append(world.post(account, in_reply_to=tweet, reply_author=author))
    elif what == "delete" and author:
        world.do("delete", tweet, author)


def _authors(world: World, tweet: int) -> list[int]:
    entry = world.replicas[world.shard_for("tweet", [tweet])].state.tweets.get(tweet)
    return [] if entry is None else [entry.author_id]


@given(ACTS, ACTS, st.booleans())
def test_a_level_that_rises_tells_what_was_not_told_before(early, late, second_first):
    """Shelves are those of a cluster that was at that level all the time, whichever shard rises first."""
    risen, always = World(level=0), World()
    made: tuple[list[int], list[int]] = ([], [])
    for step in early:
        act(risen, made[0], *step)
        act(always, made[1], *step)
    for shard in (1, 0) if second_first else (0, 1):
        risen.run(shard, ["level", LEVEL])
        risen.exchange()
    for step in late:
        act(risen, made[0], *step)
        act(always, made[1], *step)
    assert made[0] == made[1]
    for kind, owners in ((LIKE, risen.people), (LIKER, made[0]), (REPOSTER, made[0]), (REPLY, made[0])):
        for owner in owners:
            assert sorted(risen.shelf(kind, owner)) == sorted(always.shelf(kind, owner)), kind.name
    risen.check()
    for shard in (0, 1):
        before = digest(risen.replicas[shard].state)
        assert digest(risen.replayed(shard).state) == before
        store = memory_store()
        risen.seal_into(shard, store)
        assert digest(risen.restore_from(shard, store).state) == before


@given(ACTS, st.integers(0, 23))
def test_a_level_that_rises_between_two_seals_leaves_what_it_would_leave_in_memory(acts, at):
    world, stores, made = World(level=0), [memory_store(), memory_store()], []
    for number, step in enumerate(acts):
        if number == at:
            for shard in (0, 1):
                world.run(shard, ["level", LEVEL])
        if step[0] == "seal":
            world.seal_into(step[1] % 2, stores[step[1] % 2])
        else:
            act(world, made, *step)
    for shard, store in enumerate(stores):
        world.seal_into(shard, store)
        assert digest(world.restore_from(shard, store).state) == digest(world.replicas[shard].state)
