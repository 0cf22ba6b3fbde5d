"""What a search may answer: the visibility table, and the ranking, each against a naive twin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.facts import read_facts
from actors.core.postings.found import FoundTweets, Viewer, Weights, account_rows
from actors.core.stores.account_flags import UNINDEXED
from actors.core.verify import check
from tests.core.harness import Shards

HOUR_MS = 3_600_000
NONE = np.zeros(0, dtype=np.int64)
NOBODY = Viewer(0, NONE, NONE)


class World:
    """Two shards with some accounts on each, and what a search on each shard answers."""

    def __init__(self) -> None:
        self.shards = Shards()
        self.here = [self.shards.account_on(0, i) for i in range(4)]
        self.there = [self.shards.account_on(1, i) for i in range(2)]
        self.shards.register(*self.here, *self.there)
        self.found = [FoundTweets(replica.lookups) for replica in self.shards.replicas]

    def viewer(self, account_id: int) -> Viewer:
        """Return who reads, as the account's own shard tells it."""
        following, hidden = self.shards.read("reader", account_id)
        return Viewer(
            account_id, *(np.frombuffer(packed, dtype="<i8").astype(np.int64) for packed in (following, hidden))
        )

    def seen(self, tweet_ids: list[int], viewer: Viewer) -> list[int]:
        """Return the ids that the shard of the first one's author shows."""
        shard = self.shards.shard_for("tweet", tweet_ids)
        return [tweet_id for _, tweet_id, _ in self.found[shard].rows(tweet_ids, viewer, len(tweet_ids))]


@pytest.fixture
def world() -> World:
    return World()


# ---- who may see what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("visibility", "is_found"), [(0, True), (1, False), (2, False)])
@pytest.mark.parametrize("reader", ["nobody", "author", "follower", "mentioned", "stranger"])
def test_only_public_tweets_are_shown_to_whoever_reads(world, visibility, is_found, reader):
    author, follower, mentioned, stranger = world.here
    world.shards.do("follow", follower, author)
    tweet = world.shards.post(author, visibility=visibility, mentions=[mentioned])
    readers = {"author": author, "follower": follower, "mentioned": mentioned, "stranger": stranger}
    viewer = NOBODY if reader == "nobody" else world.viewer(readers[reader])
    assert world.seen([tweet], viewer) == ([tweet] if is_found else [])
    assert world.found[0].is_searchable(tweet) == is_found


@pytest.mark.parametrize("author_is_here", [True, False])
@pytest.mark.parametrize(
    ("relation", "by_reader", "hides"),
    [("block", True, True), ("block", False, True), ("mute", True, True), ("mute", False, False)],
)
def test_blocks_hide_both_ways_and_mutes_one(world, author_is_here, relation, by_reader, hides):
    reader = world.here[0]
    author = world.here[1] if author_is_here else world.there[0]
    tweet = world.shards.post(author)
    repost = world.shards.repost(world.here[2], tweet)
    pair = (reader, author) if by_reader else (author, reader)
    world.shards.do(relation, *pair)
    for tweet_id in (tweet, repost):
        assert world.seen([tweet_id], world.viewer(reader)) == ([] if hides else [tweet_id])
        assert world.seen([tweet_id], NOBODY) == [tweet_id]
        assert world.seen([tweet_id], world.viewer(world.here[3])) == [tweet_id]
    world.shards.do(f"un{relation}", *pair)
    assert world.seen([repost], world.viewer(reader)) == [repost]
    assert world.seen([tweet], world.viewer(reader)) == [tweet]


def test_a_block_holds_on_the_authors_shard_before_the_readers_shard_has_heard_of_it(world):
    reader, author = world.there[0], world.here[0]
    tweet, before = world.shards.post(author), world.viewer(reader)
    world.shards.send("block", author, reader)  # its message waits
    assert world.seen([tweet], before) == []


def test_the_authors_shard_knows_of_a_block_by_a_reader_whose_list_is_old(world):
    reader, author = world.there[0], world.here[0]
    tweet, before = world.shards.post(author), world.viewer(reader)
    world.shards.do("block", reader, author)
    assert world.seen([tweet], before) == []


def say_indexed(world: World, account_id: int, on: bool) -> None:
    world.shards.do("update_profile", account_id, {"flags": [UNINDEXED, 0 if on else UNINDEXED]})


@pytest.mark.parametrize("has_places", [False, True])
def test_what_is_said_by_who_wants_to_be_in_no_search_only_its_author_finds_and_pages_of_hashtags_show(
    world, has_places
):
    author, follower, stranger = world.here[:3]
    world.shards.do("follow", follower, author)
    own, other = world.shards.post(author), world.shards.post(stranger)
    number_of = world.found[0].lookups.state.arrivals.number_of
    arrivals = [number_of[tweet_id] for tweet_id in (own, other)] if has_places else None

    def found(viewer: Viewer, is_page: bool = False) -> list[int]:
        rows = world.found[0].rows([own, other], viewer, 2, None, arrivals, is_page)
        return [tweet_id for _, tweet_id, _ in rows]

    assert found(NOBODY) == [own, other]
    say_indexed(world, author, False)
    for viewer in (NOBODY, world.viewer(follower), world.viewer(stranger)):
        assert (found(viewer), found(viewer, is_page=True)) == ([other], [own, other])
    assert found(world.viewer(author)) == [own, other]
    say_indexed(world, author, True)
    assert found(NOBODY) == [own, other]


def test_reposts_of_what_is_in_no_search_are_in_none_either(world):
    author, other = world.here[:2]
    tweet = world.shards.post(author)
    repost = world.shards.repost(other, tweet)
    say_indexed(world, author, False)
    assert world.seen([repost], NOBODY) == []
    assert world.seen([repost], world.viewer(author)) == [repost]
    say_indexed(world, author, True)
    say_indexed(world, other, False)
    assert world.seen([repost], NOBODY) == []


def test_each_shard_says_of_its_own_accounts_which_may_be_found(world):
    say_indexed(world, world.here[0], False)
    asked = [*world.here, *world.there, 5_000_000]
    answers = [replica.read("indexed", [asked]) for replica in world.shards.replicas]
    assert answers == [world.here[1:], world.there]
    for replica in world.shards.replicas:
        assert check(replica.state) == []


def test_what_is_gone_or_was_never_here_is_not_shown(world):
    tweet, doomed = world.shards.post(world.here[0]), world.shards.post(world.here[0])
    elsewhere = world.shards.post(world.there[0])
    repost = world.shards.repost(world.here[1], doomed)
    world.shards.do("delete", doomed, world.here[0])
    assert world.seen([doomed, tweet, repost, elsewhere, 5, -1, 1 << 70], NOBODY) == [tweet]
    for tweet_id in (doomed, repost, elsewhere, 5):
        assert not world.found[0].is_searchable(tweet_id)


def test_rows_keep_their_order_their_scores_and_hold_the_json_of_the_tweet(world):
    tweets = [world.shards.post(world.here[n % 3], f"text {n}") for n in range(5)]
    order = [tweets[i] for i in (3, 0, 4, 1, 2)]
    rows = world.found[0].rows(order, NOBODY, 5, [5.0, 4.0, 3.0, 2.0, 1.0])
    assert [row[:2] for row in rows] == list(zip([5.0, 4.0, 3.0, 2.0, 1.0], order, strict=True))
    for _, tweet_id, json in rows:
        assert json == world.shards.read("tweet", tweet_id, 0)
    assert [score for score, _, _ in world.found[0].rows(order, NOBODY, 5)] == [0.0] * 5
    assert [tweet_id for _, tweet_id, _ in world.found[0].rows(order, NOBODY, 2)] == order[:2]


def test_a_tweet_that_no_timeline_holds_any_more_is_rendered_all_the_same(world):
    first = world.shards.post(world.here[0], "the first")
    for n in range(world.shards.tuning.arrivals_max + 5):
        world.shards.post(world.here[1], f"number {n}")
    assert first not in world.found[0].lookups.state.arrivals.number_of
    assert orjson.loads(world.found[0].rows([first], NOBODY, 1)[0][2])["status"] == "the first"


def test_texts_are_those_of_originals_and_empty_for_what_is_gone(world):
    tweet = world.shards.post(world.there[0], "from elsewhere")
    repost, own = world.shards.repost(world.here[0], tweet), world.shards.post(world.here[1], "own")
    texts = world.found[0].texts([repost, 7, own])
    assert [read_facts(body).text if body else None for body in texts] == ["from elsewhere", None, "own"]


def test_accounts_are_shown_but_for_those_a_block_or_mute_hides(world):
    one, two, three, four = world.here
    reads = world.shards.replicas[0].lookups
    world.shards.do("block", one, two)
    world.shards.do("mute", one, three)

    def shown(viewer: Viewer) -> list[int]:
        rows = account_rows(reads, [four, three, two, one, world.there[0], 5_000_000], viewer)
        assert all(orjson.loads(card)["user_id"] == str(account_id) for account_id, card in rows)
        return [account_id for account_id, _ in rows]

    assert shown(NOBODY) == [four, three, two, one]
    assert shown(world.viewer(one)) == [four, one]
    assert shown(world.viewer(two)) == [four, three, two]
    assert shown(world.viewer(three)) == [four, three, two, one]


# ---- ranking ------------------------------------------------------------------------------------------------------


def score_by_hand(facts: dict[str, Any], bm25: float, now_ms: int, follows: set[int], weights: Weights) -> float:
    engagement = math.log2(2 + facts["likes"] + 2 * facts["reposts"] + facts["replies"])
    age_ms = max(0, now_ms - facts["at_ms"])
    fresh = weights.freshness_floor + (1 - weights.freshness_floor) * 2 ** (-age_ms / weights.half_life_ms)
    close = 1 + weights.closeness_bonus if facts["author"] in follows else 1
    return bm25 * engagement * fresh * close


RANKED = World()
TWEETS = [RANKED.shards.post(RANKED.here[n % 4]) for n in range(8)]
for n, tweet_id in enumerate(TWEETS):
    for account_id in [*RANKED.here, *RANKED.there][: n % 5]:
        RANKED.shards.do("like", account_id, tweet_id)
    if n % 3 == 0:
        RANKED.shards.repost(RANKED.there[0], tweet_id)
    if n % 4 == 1:
        RANKED.shards.post(RANKED.there[1], in_reply_to=tweet_id, reply_author=RANKED.here[n % 4])
COLUMNS = RANKED.shards.replicas[0].state.tweets.columns
FACTS = {
    tweet_id: {
        "at_ms": tweet_id >> 16,
        **{name: int(COLUMNS[name][slot]) for name in ("likes", "reposts", "replies")},
        "author": int(COLUMNS["author_id"][slot]),
    }
    for tweet_id, slot in RANKED.shards.replicas[0].state.tweets.slot_of.items()
}


def test_the_counts_that_the_ranking_is_tested_with_are_of_every_kind():
    for name in ("likes", "reposts", "replies"):
        assert len({FACTS[tweet_id][name] for tweet_id in TWEETS}) > 1, name


@given(
    found=st.lists(
        st.tuples(st.sampled_from(TWEETS), st.floats(0, 40, allow_subnormal=False)), unique_by=lambda each: each[0]
    ),
    later_ms=st.integers(-10, 1_000 * HOUR_MS) | st.just(1 << 62),
    follows=st.sets(st.sampled_from(RANKED.here + RANKED.there)),
    weights=st.builds(Weights, st.floats(1.0, 1e12), st.floats(0, 1), st.floats(0, 10)),
)
def test_the_ranking_is_that_of_its_formula(found, later_ms, follows, weights):
    now_ms = RANKED.shards.now_ms + later_ms
    viewer = Viewer(RANKED.here[0], np.array(sorted(follows), dtype=np.int64), NONE)
    ids = [tweet_id for tweet_id, _ in found] + [5]  # one that has gone
    bm25 = [score for _, score in found] + [1.0]
    pairs = RANKED.found[0].ranked(ids, bm25, now_ms, viewer, weights)
    ranked, scores = [tweet_id for _, tweet_id in pairs], [score for score, _ in pairs]
    by_hand = {t: score_by_hand(FACTS[t], score, now_ms, follows, weights) for t, score in found}
    assert sorted(ranked) == sorted(by_hand)
    assert scores == pytest.approx([by_hand[tweet_id] for tweet_id in ranked])
    assert pairs == sorted(pairs, reverse=True)


def test_of_equals_the_newer_comes_first():
    ranked = RANKED.found[0].ranked(TWEETS, [0.0] * len(TWEETS), RANKED.shards.now_ms, NOBODY, Weights())
    assert [tweet_id for _, tweet_id in ranked] == sorted(TWEETS, reverse=True)


def test_freshness_halves_down_to_its_floor():
    weights = Weights(half_life_ms=24 * HOUR_MS, freshness_floor=0.0)

    def after(hours: float) -> float:
        now_ms = (TWEETS[0] >> 16) + int(hours * HOUR_MS)
        return RANKED.found[0].ranked(TWEETS[:1], [1.0], now_ms, NOBODY, weights)[0][0]

    assert after(24) == pytest.approx(after(0) / 2)
    assert after(72) == pytest.approx(after(0) / 8)
    assert after(-5) == after(0)
    weights = Weights(half_life_ms=24 * HOUR_MS, freshness_floor=0.05)
    assert after(100_000) == pytest.approx(after(0) * 0.05)


def test_ranking_nothing_gives_nothing():
    assert RANKED.found[0].ranked([], [], 0, NOBODY, Weights()) == []
