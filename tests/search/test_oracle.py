"""The oracle by hand: one tweet, one query, one answer."""

from __future__ import annotations

import pytest

from actors.text.query import parse, resolve
from tests.search.oracle import OracleTweet, matches, search

DAY = 86_400_000 << 16
NEW_YEAR = 1_767_225_600_000 << 16  # 2026-01-01

TWEET = OracleTweet(
    tweet_id=NEW_YEAR + 5,
    author_id=7,
    reply_author=8,
    text="The <b>runners</b> don't stop: 東京マラソン with @Ada, $TSLA up 3% #Tōkyō 👍🏽",
    hashtags=["Tōkyō"],
    media="image",
    likes=10,
)
IDS = {"bob": 7, "carol": 8, "dave": 9}

FOUND = [
    "runner", "RUNNERS", "run*", "dont", "don't", '"runners dont stop"', "東京", "京マ", "ラ", "マラソン", "#tokyo",
    "#TŌKYŌ", "$tsla", "@ada", "mentions:ADA", "from:bob", "to:carol", "lang:en", "since:2026-01-01",
    "until:2026-01-02", "has:media", "is:reply", "min_likes:10", "filter:follows", "👍🏽", "stop -start",
    "start OR stop", "(start OR stop) up", "NOT start AND stop", "-(start stop) up", "has:media -has:links",
    "stop -is:repost",
    "東京*", "up 3", "tokyo", "ada", "-from:nobody stop",
]  # fmt: skip
NOT_FOUND = [
    "start", '"running"', '"stop runners"', "ran*", "京東", "東京都", "都", "#tok", "$ts", "@ad", "from:carol",
    "from:nobody", "to:bob", "lang:de", "since:2026-01-02", "until:2026-01-01", "has:links", "is:repost",
    "min_likes:11", "b", "stop -runner", "start stop", "-(start OR stop) up", "(stop -up) OR start", "👍",
]  # fmt: skip


def tree_of(text):
    return resolve(parse(text).tree, IDS)


@pytest.mark.parametrize("text", FOUND)
def test_what_stands_in_the_tweet_is_found(text):
    assert matches(TWEET, tree_of(text), {7})


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_does_not_stand_in_the_tweet_is_not_found(text):
    assert not matches(TWEET, tree_of(text), {7})


def test_follows_are_the_readers():
    assert not matches(TWEET, tree_of("filter:follows"), {8})
    assert matches(TWEET, tree_of("stop -filter:follows"), {8})


def test_a_repost_is_found_only_by_a_query_that_asks_for_reposts():
    repost = OracleTweet(3, 7, text="hello", is_repost=True)
    assert not matches(repost, tree_of("hello"), set())
    assert not matches(repost, tree_of("hello -is:repost"), set())
    assert matches(repost, tree_of("hello is:repost"), set())
    assert matches(repost, tree_of("hello OR is:repost"), set())


def test_words_are_stemmed_in_the_language_of_the_tweet_and_of_the_query_in_every_one():
    french = OracleTweet(3, 7, text="Les chevaux mangeaient", lang="fr")
    assert matches(french, tree_of("manger"), set())
    assert not matches(OracleTweet(3, 7, text="runners", lang="und"), tree_of("running"), set())
    assert matches(OracleTweet(3, 7, text="runners", lang="und"), tree_of("runners"), set())


def test_a_search_gives_the_newest_first_below_a_given_id():
    tweets = [OracleTweet(tweet_id, 1, text="cat" if tweet_id % 2 else "dog") for tweet_id in range(1, 20)]
    tree = tree_of("cats")
    assert search(tweets, tree, set(), count=3) == [19, 17, 15]
    assert search(tweets, tree, set(), max_id=15, count=3) == [13, 11, 9]
    assert search(tweets, tree_of("bird"), set()) == []
