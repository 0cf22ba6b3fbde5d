"""A sweep tells of each tweet what the oracle tells, which looks at it for one query alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search import oracle
from tests.search.oracle import OracleTweet
from tests.search.random_trees import trees
from tests.search.sample_tweets import make_texts, multiply, samples
from tests.search.suite import EVERYTHING, QUERIES, queries, tree_of
from tests.search.sweep import STRIDE, Sweep, leaves

FOLLOWS = {7, 9, *range(100, 400)}
SOME = 100  # tweets for each of the random trees


@pytest.fixture(scope="module")
def tweets():
    """More than a stride of them, and not a whole number of strides; in no order."""
    texts = make_texts(STRIDE, seed=5)
    found = samples(texts + multiply(texts, STRIDE // 2, seed=5), seed=5)
    return [sample.tweet for sample in found[::2] + found[1::2]]


def test_a_sweep_finds_for_every_query_what_the_oracle_finds(tweets):
    asked = {text: tree_of(text) for text in queries(tweets, 100, seed=6)}
    sweep = Sweep(tweets, asked.values(), FOLLOWS)
    found = {text: sweep.search(tree) for text, tree in asked.items()}
    assert found == {text: oracle.search(tweets, tree, FOLLOWS, count=EVERYTHING) for text, tree in asked.items()}
    assert sum(0 < len(ids) < len(tweets) for ids in found.values()) > len(asked) * 0.8


def test_every_node_of_every_query_holds_for_the_tweets_for_which_the_oracle_says_so(tweets):
    asked = [tree_of(text) for text in QUERIES]
    sweep = Sweep(tweets[:SOME], asked, FOLLOWS)
    nodes = [*asked, *(leaf for tree in asked for leaf in leaves(tree))]
    for node in nodes:
        assert sweep.holds(node).tolist() == [oracle.holds(tweet, node, FOLLOWS) for tweet in tweets[:SOME]], node


@settings(max_examples=60)
@given(tree=trees(), follows=st.sets(st.sampled_from([7, 8, 9, 150, 200, 300])), begin=st.integers(0, STRIDE))
def test_a_sweep_finds_for_any_tree_what_the_oracle_finds(tweets, tree, follows, begin):
    some = tweets[begin : begin + SOME]
    assert Sweep(some, [tree], follows).search(tree) == oracle.search(some, tree, follows, count=EVERYTHING)


def test_leaves_that_differ_in_an_argument_are_told_apart():
    some = [OracleTweet(n, n, reply_author=n + 1, text="one two") for n in range(1, 5)]
    asked = [["author", [1]], ["to", [3]], ["author", [1, 2]], ["phrase", ["one", "two"]], ["phrase", ["two", "one"]]]
    sweep = Sweep(some, asked, set())
    assert [sweep.search(tree) for tree in asked] == [[1], [2], [2, 1], [4, 3, 2, 1], []]


def test_a_tree_that_was_not_given_is_refused():
    sweep = Sweep([OracleTweet(1, 1, text="one")], [["word", "one"]], set())
    with pytest.raises(KeyError):
        sweep.search(["word", "two"])


def test_a_sweep_of_no_tweets_finds_nothing():
    assert Sweep([], [["not", ["word", "one"]]], set()).search(["not", ["word", "one"]]) == []
