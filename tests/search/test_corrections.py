"""Typos against the words that tweets have."""

from __future__ import annotations

import pytest

from actors.text.corrections import KNOWN_TWEETS, REFRESH_LEAST_S, SUGGESTION_COUNT_MAX, Vocabulary, choose

WORDS = [("hello", 900), ("world", 800), ("help", 300), ("hell", 200), ("cello", 40), ("tomorrow", 100), ("rare", 1)]


def corrected(*words: str, shards: list[list[tuple[str, int]]] | None = None) -> dict[str, str]:
    """Have words corrected by shards with those vocabularies."""
    vocabularies = [Vocabulary(lambda found=found: found) for found in shards or [WORDS]]
    return choose({word: [list(v.suggest(word, 0.0)) for v in vocabularies] for word in words})


@pytest.mark.parametrize(
    ("word", "meant"),
    [("helo", "hello"), ("wrold", "world"), ("worl", "world"), ("tomorow", "tomorrow"), ("tommorow", "tomorrow")],
)
def test_a_mistyped_word_becomes_the_frequent_one_nearby(word, meant):
    assert corrected(word) == {word: meant}


@pytest.mark.parametrize("word", ["hello", "help", "cello", "zzzzzz", "he", "", "x"])
def test_what_is_a_word_already_or_resembles_none_stays(word):
    assert corrected(word) == {}


def test_what_no_shard_has_often_enough_all_of_them_may_have_together():
    shards = [[("hello", 3), ("cello", 5)], [("hello", 4)], [("hello", 4)]]
    assert corrected("hullo", shards=shards) == {"hullo": "hello"}


@pytest.mark.parametrize("spread", [(8, 0), (4, 4), (0, 8), (3, 5), (2, 2, 2, 2)])
def test_what_enough_tweets_have_is_a_word_however_they_are_spread_over_shards(spread):
    shards = [[("color", 1_000), ("colour", count)] if count else [("color", 1_000)] for count in spread]
    assert corrected("colour", shards=shards) == {}


@pytest.mark.parametrize("spread", [(KNOWN_TWEETS - 1, 0), (2, 2)])
def test_what_few_tweets_have_gives_way_however_they_are_spread_over_shards(spread):
    shards = [[("color", 1_000), ("colour", count)] if count else [("color", 1_000)] for count in spread]
    assert corrected("colour", shards=shards) == {"colour": "color"}


def test_a_rare_spelling_gives_way_only_to_a_much_more_frequent_one():
    assert corrected("colour", shards=[[("color", 50), ("colour", 30)]]) == {}
    assert corrected("colour", shards=[[("color", 500), ("colour", 3)]]) == {"colour": "color"}


def test_the_vocabulary_is_read_again_only_after_a_while():
    reads = []

    def read() -> list[tuple[str, int]]:
        reads.append(len(reads))
        return [("hello", 10)]

    vocabulary = Vocabulary(read)
    for now in (5.0, 5.5, 5.0 + REFRESH_LEAST_S):
        vocabulary.suggest("helo", now)
    assert len(reads) == 2


def test_suggestions_are_bounded():
    many = [(f"h{chr(97 + i)}llo{chr(97 + j)}", 5 + i) for i in range(26) for j in range(2)]
    assert len(Vocabulary(lambda: many).suggest("hxllo0", 0.0)[1]) == SUGGESTION_COUNT_MAX
