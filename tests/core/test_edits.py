"""Edits: what a tweet says wherever it is shown, what it said before, and in which order shards may hear of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core import limits
from actors.core.entries import Entry, pack, unpack
from actors.core.errors import ForbiddenError, InvalidError, NotFoundError, OverloadedError, TooLargeError
from actors.core.facts import read_facts
from actors.core.features.edits import HISTORY
from actors.core.levels import LEVEL
from actors.core.moves import moving
from actors.core.verify import digest
from tests.core.harness import SMALL, Shards, memory_store
from tests.core.test_moving import Moving


class World(Shards):
    """ada writes on shard 0; bob and eve read on shard 1, zoe on shard 2, who follows bob alone."""

    def __init__(self, level: int = LEVEL, tuning: limits.Tuning = SMALL) -> None:
        super().__init__(3, tuning, level)
        self.ada, self.bob, self.eve = self.account_on(0), self.account_on(1), self.account_on(1, 1)
        self.zoe = self.account_on(2)
        self.register(self.ada, self.bob, self.eve, self.zoe)
        for reader, author in ((self.bob, self.ada), (self.eve, self.ada), (self.eve, self.bob), (self.zoe, self.bob)):
            self.do("follow", reader, author)
        for reader in (self.ada, self.bob, self.eve, self.zoe):
            self.home(reader)


def edit(world: Shards, tweet_id: int, author: int, text: str, mentions: tuple[int, ...] = ()) -> Any:
    world.now_ms += 1_000
    return orjson.loads(world.do("edit", tweet_id, author, text, b"", list(mentions)))


def home(world: Shards, reader: int) -> list[dict[str, Any]]:
    """Read a home timeline as the hot path does."""
    replica = world.replicas[world.shard_of(reader)]
    reply = replica.try_home(replica.query([reader, 0, 0, 0, 20]))
    assert reply is not None
    return orjson.loads(reply[0])


def said(tweets: list[dict[str, Any]]) -> list[str]:
    """Return what tweets say, of reposts what is reposted."""
    return [tweet.get("repost_of", tweet)["status"] for tweet in tweets]


def versions(world: Shards, tweet_id: int, viewer: int = 0) -> list[str]:
    return [each["status"] for each in orjson.loads(world.read("history", tweet_id, viewer))["versions"]]


def copies(world: Shards, tweet_id: int) -> list[tuple[int, str]]:
    """Return (shard, text) of every copy of a tweet there is: stored, arrived, and packed in reposts of both kinds."""
    found = []
    for replica in world.replicas:
        state = replica.state
        entries = [state.tweets.get(t) for t in state.tweets.slot_of]
        entries += [state.arrivals.entry(n) for n in state.arrivals.number_of.values()]
        for entry in entries:
            if entry is not None and entry.tweet_id == tweet_id:
                found.append((state.shard, read_facts(entry.body).text))
            elif entry is not None and entry.orig_id == tweet_id and entry.orig is not None:
                found.append((state.shard, read_facts(Entry(*unpack(entry.orig)).body).text))
    return found


@pytest.fixture
def world():
    made = World()
    yield made
    made.check()
    for shard in range(3):
        before = digest(made.replicas[shard].state)
        assert digest(made.replayed(shard).state) == before
        store = memory_store()
        made.replayed(shard)
        made.seal_into(shard, store)
        assert digest(made.restore_from(shard, store).state) == before


def test_an_edit_is_shown_in_every_timeline_and_inside_reposts_on_other_shards(world):
    tweet = world.post(world.ada, "one")
    world.repost(world.bob, tweet)
    assert edit(world, tweet, world.ada, "two")["status"] == "two"
    assert {said(home(world, reader))[0] for reader in (world.ada, world.bob, world.eve, world.zoe)} == {"two"}
    body, _, _ = world.read("user_timeline", world.ada, 0, 0, 0, 0, 20)
    assert said(orjson.loads(body)) == ["two"]
    assert {text for _, text in copies(world, tweet)} == {"two"}
    assert {shard for shard, _ in copies(world, tweet)} == {0, 1, 2}


def test_only_an_edited_tweet_says_when_and_its_id_and_time_stay(world):
    tweet, other = world.post(world.ada, "one"), world.post(world.ada, "other")
    before = orjson.loads(world.read("tweet", tweet, 0))
    after = edit(world, tweet, world.ada, "two")
    assert after.pop("edited_at") == "Tue Nov 14 22:13:21 +0000 2023"
    assert after == {**before, "status": "two"}
    assert b"edited_at" not in world.read("tweet", other, 0)


def test_what_it_said_before_is_kept_and_shown_to_whoever_may_see_it(world):
    tweet = world.post(world.ada, "one", visibility=1)
    for text in ("two", "three"):
        edit(world, tweet, world.ada, text)
    assert versions(world, tweet, world.bob) == ["one", "two", "three"]
    with pytest.raises(NotFoundError):
        versions(world, tweet, world.zoe)
    times = [each["created_at"] for each in orjson.loads(world.read("history", tweet, world.ada))["versions"]]
    assert times == [f"Tue Nov 14 22:13:2{second} +0000 2023" for second in (0, 1, 2)]
    world.do("delete", tweet, world.ada)
    assert world.replicas[0].state.papers.keys(HISTORY, tweet) == []


def test_the_same_text_again_is_no_edit(world):
    tweet = world.post(world.ada, "one")
    position = world.replicas[0].state.position
    assert "edited_at" not in edit(world, tweet, world.ada, "one")
    assert (world.replicas[0].state.position, versions(world, tweet)) == (position, ["one"])


def test_an_edit_in_the_millisecond_of_the_tweet_is_a_later_version(world):
    tweet = world.post(world.ada, "one")
    world.do("edit", tweet, world.ada, "two", b"", [])
    assert versions(world, tweet) == ["one", "two"]
    state = world.state_of(world.ada)
    ((first_ms, *_),) = state.papers.get(HISTORY, tweet)
    assert first_ms < read_facts(state.tweets.get(tweet).body).edited_ms


def test_a_clock_that_goes_back_leaves_versions_in_order(world):
    tweet = world.post(world.ada, "one")
    edit(world, tweet, world.ada, "two")
    world.now_ms -= 60_000
    edit(world, tweet, world.ada, "three")
    assert versions(world, tweet) == ["one", "two", "three"]


def test_what_cannot_be_edited_is_refused_and_says_why(world):
    tweet = world.post(world.ada, "one")
    repost = world.repost(world.bob, tweet)
    with pytest.raises(ForbiddenError, match="is not yours to edit"):
        edit(world, tweet, world.bob, "two")
    with pytest.raises(ForbiddenError, match="is a repost"):
        edit(world, repost, world.bob, "two")
    hidden = world.post(world.ada, "one", visibility=2)
    for gone in (hidden, tweet + (1 << 16)):
        with pytest.raises(NotFoundError):
            edit(world, gone, world.bob, "two")


def test_a_direct_tweet_keeps_whom_it_is_for(world):
    tweet = world.post(world.ada, "one", visibility=2, mentions=[world.bob, world.eve])
    assert edit(world, tweet, world.ada, "two", (world.eve, world.bob))["status"] == "two"
    for mentions in ((world.bob,), (world.bob, world.eve, world.zoe), ()):
        with pytest.raises(InvalidError, match="must mention the same"):
            edit(world, tweet, world.ada, "three", mentions)
    assert said(home(world, world.bob)) == ["two"]


def test_an_edit_mentions_others_who_may_see_a_tweet_for_followers_then(world):
    tweet = world.post(world.ada, "one", visibility=1, mentions=[world.zoe])
    assert world.read("seen", tweet, world.zoe) == world.ada
    edit(world, tweet, world.ada, "two")
    with pytest.raises(NotFoundError):
        world.read("seen", tweet, world.zoe)


def test_versions_are_bounded_in_number_and_bytes(monkeypatch):
    monkeypatch.setattr(limits, "EDITS_PER_TWEET_MAX", 2)
    world = World(tuning=replace(SMALL, papers_bytes_max=3_000))
    tweet = world.post(world.ada, "one")
    for text in ("two", "three"):
        edit(world, tweet, world.ada, text)
    with pytest.raises(InvalidError, match="was edited 2 times, and may be no more"):
        edit(world, tweet, world.ada, "four")
    long = world.post(world.ada, "x" * 3_000)
    with pytest.raises(OverloadedError, match="this shard holds 3000 bytes of papers"):
        edit(world, long, world.ada, "short")
    longest = world.post(world.ada, "x" * 65_535)
    with pytest.raises(TooLargeError, match="too long to be kept"):
        edit(world, longest, world.ada, "short")
    world.check()


def test_nothing_is_edited_until_the_whole_cluster_knows_of_it():
    world = World(level=0)
    tweet = world.post(world.ada, "one")
    with pytest.raises(OverloadedError, match="being upgraded"):
        edit(world, tweet, world.ada, "two")
    for shard in range(3):
        world.run(shard, ["level", LEVEL])
    assert edit(world, tweet, world.ada, "two")["status"] == "two"
    assert versions(world, tweet) == ["one", "two"]
    world.check()


def test_a_repost_of_an_older_text_is_told_of_the_edit_whichever_comes_first(world):
    """bob's shard reposts what it was given before; zoe's hears of the edit first, and of the repost then."""
    tweet = world.post(world.ada, "one")
    entry = world.read("tweet_ref", tweet, world.bob)[3]
    world.now_ms += 1_000
    world.send("edit", tweet, world.ada, "two", b"", [])
    world.deliver(0, 2)
    world.send("repost", world.bob, entry)
    world.deliver(1, 2)
    world.exchange()
    assert {text for _, text in copies(world, tweet)} == {"two"}
    assert said(home(world, world.zoe)) == ["two"]


def test_a_repost_whose_original_has_left_the_window_says_what_it_says_now(world):
    tweet = world.post(world.ada, "one")
    world.repost(world.bob, tweet)
    world.replicas[2].state.arrivals.mark_deleted(tweet)  # as if it had left before the repost did
    edit(world, tweet, world.ada, "two")
    assert said(home(world, world.zoe)) == ["two"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("post", "edit", "edit", "repost", "unrepost", "delete", "deliver", "deliver", "seal")),
        st.integers(0, 3), st.integers(0, 7),
    ), max_size=30,
)  # fmt: skip


@given(STEPS)
@settings(max_examples=30)
def test_every_copy_says_the_last_text_once_all_has_arrived_in_whatever_order(steps):
    world, stores = World(tuning=replace(SMALL, arrivals_max=16)), [memory_store() for _ in range(3)]
    people, texts, authors = [world.ada, world.bob, world.eve, world.zoe], dict[int, str](), dict[int, int]()
    for number, (what, who, which) in enumerate(steps):
        account, world.now_ms = people[who], world.now_ms + 1
        tweet = list(texts)[which % len(texts)] if texts else 0
        if what == "post":
            made = int(orjson.loads(world.send("post", account, f"{number}", 0, 0, 0, b"", [], [], None))["tweet_id"])
            texts[made], authors[made] = f"{number}", account
        elif what == "deliver":
            world.deliver(who % 3, (who + 1 + which % 2) % 3)
        elif what == "seal":
            shard = which % 3
            world.seal_into(shard, stores[shard])
            before = digest(world.replicas[shard].state)
            assert digest(world.restore_from(shard, stores[shard]).state) == before
        elif tweet and what == "edit":
            texts[tweet] = f"{number} again"
            world.send("edit", tweet, authors[tweet], texts[tweet], b"", [])
        elif tweet and what == "delete":
            world.send("delete", tweet, authors[tweet])
            del texts[tweet]
        elif tweet and what == "repost":
            world.send("repost", account, world.read("tweet_ref", tweet, 0)[3])
        elif tweet and what == "unrepost":
            world.send("unrepost", account, tweet)
    world.exchange()
    world.check()
    for tweet, text in texts.items():
        assert {copy for _, copy in copies(world, tweet)} == {text}
    for shard in range(3):
        assert digest(world.replayed(shard).state) == digest(world.replicas[shard].state)


def test_edits_move_with_their_tweets_and_reposts_of_them_too(monkeypatch):
    monkeypatch.setattr(moving, "PART_BYTES", 300)
    world = Moving()
    world.run(0, ["level", LEVEL])
    world.run(1, ["level", LEVEL])
    ada, bob = world.account_on(0), world.account_on(1)
    world.register(ada, bob)
    world.do("follow", bob, ada)
    world.home(bob)
    tweet = world.post(ada, "one")
    world.repost(bob, tweet)
    edit(world, tweet, ada, "two")
    done = []

    def between() -> None:
        """Edit once more, once the tweet has been given."""
        if not done and tweet in world.replicas[1].state.tweets:
            done.append(edit(world, tweet, ada, "three"))

    world.between = between
    world.move(1, ada)
    world.between = lambda: None
    assert done, "an edit came while it moved"
    world.sweep()
    assert versions(world, tweet) == ["one", "two", "three"]
    world.move(0, bob)
    world.sweep()
    edit(world, tweet, ada, "four")
    assert {text for _, text in copies(world, tweet)} == {"four"}
    world.home(ada)  # wakes the account that has moved
    assert said(home(world, ada)) == ["four"]
    world.check()


def test_a_part_with_a_history_that_is_none_is_refused():
    world = Moving()
    ada = world.account_on(0)
    world.register(ada)
    tweet = world.post(ada, "one")
    world.ask(1, "take", 7, [world.owner.index(0)])
    for spoilt in ([[1, "x"]], [["1", "x", b""]], [[1, 2, b""]], [[1, "x", "y"]], [[1, "x", b"\xc1"]], 5):
        answer = world.ask(1, "take_part", 7, pack([["papers", 7, tweet, True, [[0, pack(spoilt)]]]]))
        assert isinstance(answer, Exception), spoilt
