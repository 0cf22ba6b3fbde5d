"""The index finds exactly what a look at every tweet finds: a suite of queries, random trees, and BM25 by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.search.documents import NEW, TweetFacts
from actors.search.index import TweetIndex
from actors.text.query import check_tree
from tests.search import oracle
from tests.search.random_trees import trees
from tests.search.sample_tweets import AUTHORS, make_sample, make_texts, multiply, samples
from tests.search.suite import (
    QUERIES,
    Shards,
    difference,
    main,
    queries,
    tree_of,
)

TWEETS = 2_000
FOLLOWS = {7, 9, *range(100, 400)}


@pytest.fixture(scope="module")
def found():
    texts = make_texts(TWEETS // 2, seed=1)
    return samples(texts + multiply(texts, TWEETS - len(texts), seed=1), seed=1)


@pytest.fixture(scope="module")
def shards(found, tmp_path_factory):
    """One index."""
    made = Shards(tmp_path_factory.mktemp("one"), 1)
    made.fill(found, seed=1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def three(found, tmp_path_factory):
    """The same tweets in three."""
    made = Shards(tmp_path_factory.mktemp("three"), 3)
    made.fill(found, seed=1)
    yield made
    made.close()


@pytest.mark.parametrize("text", QUERIES)
def test_a_query_finds_what_a_look_at_every_tweet_finds(shards, text):
    assert difference(shards, tree_of(text), FOLLOWS) == ""


def test_queries_made_of_the_tweets_own_words_find_what_a_look_at_every_tweet_finds(found, shards):
    asked = queries([sample.tweet for sample in found], 100, seed=2)[len(QUERIES) :]
    assert len(asked) == 100
    assert {text: d for text in asked if (d := difference(shards, tree_of(text), FOLLOWS))} == {}


def test_tweets_shared_by_several_shards_are_found_as_in_one(shards, three):
    assert three.tweets == shards.tweets
    differ = {text: d for text in QUERIES[::3] if (d := difference(three, tree_of(text), FOLLOWS))}
    assert differ == {}


def test_most_queries_of_the_suite_find_something_and_leave_something(shards):
    sizes = [len(shards.latest(tree_of(text), FOLLOWS)) for text in QUERIES]
    assert sum(0 < size < len(shards.tweets) for size in sizes) > len(QUERIES) * 0.85


def test_whoever_follows_nobody_finds_nothing_by_follows(shards):
    for text in ("filter:follows", "love -filter:follows", "love OR filter:follows"):
        assert difference(shards, tree_of(text), set()) == ""
    assert shards.latest(tree_of("filter:follows"), set()) == []


def test_pages_have_bounds_on_both_sides(shards):
    tree, tweets = tree_of("the OR love"), shards.tweets.values()
    ids = oracle.search(tweets, tree, set(), count=10**6)
    high, low = ids[40], ids[120]
    assert shards.latest(tree, set(), max_id=high, count=5) == ids[41:46]
    assert shards.latest(tree, set(), min_id=low, count=5) == ids[115:120]
    assert shards.latest(tree, set(), max_id=ids[118], min_id=low, count=5) == [ids[119]]
    assert shards.latest(tree, set(), max_id=ids[10], min_id=ids[20], count=50) == ids[11:20]
    assert shards.latest(tree, set(), max_id=low, min_id=high, count=5) == []
    assert shards.latest(tree, set(), max_id=1) == []


def test_bounds_of_pages_and_of_the_query_both_hold(shards):
    ids = sorted(shards.tweets)
    tree = ["and", ["ids", ids[100], ids[900]], ["not", ["ids", ids[300], ids[600]]]]
    assert difference(shards, tree, set()) == ""
    wanted = oracle.search(shards.tweets.values(), tree, set(), max_id=ids[200], count=10)
    assert shards.latest(tree, set(), max_id=ids[200], count=10) == wanted


# ---- random trees ----------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(tree=trees(), follows=st.sets(st.sampled_from([7, 8, 9, 150, 200, 300])))
def test_any_tree_finds_what_a_look_at_every_tweet_finds(shards, tree, follows):
    check_tree(tree)
    assert difference(shards, tree, follows, pages_max=4) == ""


# ---- what is fed again and taken out ---------------------------------------------------------------------------------


def test_a_tweet_that_is_fed_again_is_there_once_with_its_last_likes(tmp_path):
    shards = Shards(tmp_path, 1)
    samples_fed = [make_sample(n, 5, f"number {n} of the whales", likes=n) for n in range(11, 41)]
    shards.feed(samples_fed)
    shards.feed(sample.with_likes(100) for sample in samples_fed[:10])  # in the same commit
    shards.commit()
    shards.feed(sample.with_likes(200) for sample in samples_fed[5:15])
    shards.feed(sample.with_likes(300) for sample in samples_fed[5:15])
    shards.remove(samples_fed[20:25])
    shards.remove(samples_fed[20:21])
    shards.commit()
    shards.remove([samples_fed[25]])
    shards.feed([samples_fed[20].with_likes(7)])
    shards.commit()
    for text in ("whale", "whale min_likes:101", "whale -min_likes:100", "min_likes:300", "number min_likes:7"):
        assert difference(shards, tree_of(text), set()) == ""
    ids, likes, _ = shards.indexes[0].contents()
    assert ids.tolist() == sorted(shards.tweets, reverse=True)
    assert likes.tolist() == [shards.tweets[tweet_id].likes for tweet_id in ids.tolist()]
    shards.close()


def test_what_is_not_committed_is_not_found(tmp_path):
    shards = Shards(tmp_path, 1)
    shards.feed([make_sample(3, 5, "hello")])
    assert shards.latest(tree_of("hello"), set()) == []
    assert shards.candidates(tree_of("hello"), set(), 5) == []
    shards.commit()
    assert shards.latest(tree_of("hello"), set()) == [3]
    shards.close()


def test_a_closed_index_is_opened_again_with_all_that_was_in_it(tmp_path, found):
    shards = Shards(tmp_path, 1)
    shards.feed(found[:200])
    shards.close()
    again = Shards(tmp_path, 1)
    again.tweets, again.lists = shards.tweets, shards.lists  # lists are in memory only
    for text in QUERIES[::5]:
        assert difference(again, tree_of(text), FOLLOWS) == ""
    again.close()


# ---- BM25 by hand ----------------------------------------------------------------------------------------------------

K1, B = 1.2, 0.75


def bm25(documents: list[list[str]], terms: list[str]) -> list[float]:
    """Return the score of each document (Robertson et al., with the never negative IDF)."""
    mean = sum(map(len, documents)) / len(documents)
    scores = []
    for words in documents:
        score = 0.0
        for term in terms:
            having = sum(term in other for other in documents)
            idf = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
            frequency = words.count(term)
            score += idf * frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * len(words) / mean))
        scores.append(score)
    return scores


DOCUMENTS = [
    "cat dog dog bird", "cat", "dog bird bird bird tree sun moon", "tree", "sun cat cat cat cat cat", "moon bird",
]  # fmt: skip


def word_index(tmp_path: Path, engagements: list[int]) -> TweetIndex:
    index = TweetIndex(tmp_path)
    for n, (text, engagement) in enumerate(zip(DOCUMENTS, engagements, strict=True), 1):
        words = text.split()
        index.add(TweetFacts(n, 1, 0, words, words, words, [], [], [], [], "en", [], engagement, engagement, NEW))
    index.commit()
    return index


@pytest.mark.parametrize(
    ("tree", "terms"),
    [
        (["word", "cat"], ["cat"]),
        (["word", "bird"], ["bird"]),
        (["and", ["word", "dog"], ["word", "bird"]], ["dog", "bird"]),
        (["or", ["word", "cat"], ["word", "tree"]], ["cat", "tree"]),
        (["or", ["word", "moon"], ["and", ["word", "dog"], ["word", "bird"]]], ["moon", "dog", "bird"]),
        (["and", ["word", "cat"], ["not", ["word", "sun"]]], ["cat"]),
        (["and", ["word", "cat"], ["likes", 0], ["lang", "en"], ["author", [1]], ["ids", 1, 9]], ["cat"]),
        (["and", ["word", "bird"], ["prefix", "tr"]], ["bird"]),
        (["phrase", ["tree"]], ["tree"]),
    ],
)
def test_word_scores_are_bm25_whatever_the_engagement(tmp_path, tree, terms):
    index = word_index(tmp_path, engagements=[0, 1, 2, 30, 400, 5_000])
    documents = [text.split() for text in DOCUMENTS]
    wanted = dict(enumerate(bm25(documents, terms), 1))
    ids, scores = index.candidates(tree, 10)
    assert ids
    for tweet_id, score in zip(ids, scores, strict=True):
        matched = [term for term in terms if term in documents[tweet_id - 1]]
        whole = wanted[tweet_id] if len(matched) == len(terms) else bm25(documents, matched)[tweet_id - 1]
        if tree[0] == "or" and tree[-1][0] == "and" and len(matched) < len(terms):
            whole = bm25(documents, ["moon"] if "moon" in matched else [])[tweet_id - 1]
            if {"dog", "bird"} <= set(matched):
                whole += bm25(documents, ["dog", "bird"])[tweet_id - 1]
        assert score == pytest.approx(whole, rel=1e-5)
    index.close()


def test_a_phrase_scores_as_a_term_of_its_own_frequency(tmp_path):
    index = word_index(tmp_path, engagements=[0] * 6)
    documents = [text.split() for text in DOCUMENTS]
    ids, scores = index.candidates(["phrase", ["bird", "bird"]], 10)
    assert ids == [3]
    idf = sum(math.log(1 + (6 - 3 + 0.5) / (3 + 0.5)) for _ in range(2))  # of both its words
    mean = sum(map(len, documents)) / 6
    assert scores == pytest.approx([idf * 2 * (K1 + 1) / (2 + K1 * (1 - B + B * 7 / mean))], rel=1e-5)
    index.close()


@pytest.mark.parametrize("tree", [["likes", 0], ["prefix", "tr"], ["or", ["lang", "en"], ["prefix", "do"]]])
def test_without_words_every_tweet_scores_one(tmp_path, tree):
    index = word_index(tmp_path, engagements=[0, 1, 2, 30, 400, 5_000])
    _, scores = index.candidates(tree, 10)
    assert scores == pytest.approx([1.0] * len(scores))
    assert len(scores)
    index.close()


def test_candidates_are_the_best_by_word_score_and_engagement_and_the_newest(tmp_path):
    index = TweetIndex(tmp_path)
    rng = np.random.default_rng(1)
    documents = [["cat"] * int(rng.integers(1, 9)) + ["x"] * int(rng.integers(0, 20)) for _ in range(300)]
    engagements = rng.integers(0, 5_000, 300).tolist()
    for n, (words, engagement) in enumerate(zip(documents, engagements, strict=True), 1):
        index.add(TweetFacts(n, 1, 0, words, words, words, [], [], [], [], "en", [], 0, engagement, NEW))
        if n % 70 == 0:
            index.commit()
    index.commit()
    wanted = bm25(documents, ["cat"])
    worth = [score * math.log2(2 + engagement) for score, engagement in zip(wanted, engagements, strict=True)]
    best = sorted(range(1, 301), key=lambda n: -worth[n - 1])[:20]
    ids, scores = index.candidates(["word", "cat"], 20)
    assert set(ids) == {*best, *range(281, 301)}
    assert scores == pytest.approx([wanted[n - 1] for n in ids], rel=1e-4)
    index.close()


# ---- the command line ------------------------------------------------------------------------------------------------


def test_the_suite_runs_over_given_files(tmp_path, monkeypatch, capsys):
    file = tmp_path / "tweets.txt"
    file.write_text("\n".join(make_texts(100, seed=4)) + "\n\n", encoding="utf-8")
    arguments = ["suite", "--tweets", str(file), "--count", "50", "--queries", "5"]
    monkeypatch.setattr("sys.argv", arguments)
    assert main() == 0
    assert f"{len(QUERIES) + 5} of {len(QUERIES) + 5} queries equal" in capsys.readouterr().out


def test_a_run_of_the_suite_fails_when_an_index_lacks_a_tweet(tmp_path, monkeypatch, capsys):
    file = tmp_path / "tweets.txt"
    file.write_text("\n".join(make_texts(100, seed=4)), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["suite", "--tweets", str(file), "--queries", "0"])
    rightly = TweetIndex.latest
    monkeypatch.setattr(TweetIndex, "latest", lambda *given: rightly(*given)[1:])
    assert main() == 1
    assert "DIFFERS 'love': latest lacks" in capsys.readouterr().out


def test_the_suite_tells_what_differs(shards, found):
    sample = next(sample for sample in found if sample.tweet.tweet_id in shards.tweets and not sample.tweet.is_repost)
    kept = shards.tweets[sample.tweet.tweet_id]
    shards.tweets[sample.tweet.tweet_id] = replace(kept, author_id=AUTHORS["ada"] + 10_000)
    try:
        assert "lacks 1" in difference(shards, ["author", [AUTHORS["ada"] + 10_000]], set())
    finally:
        shards.tweets[sample.tweet.tweet_id] = kept
