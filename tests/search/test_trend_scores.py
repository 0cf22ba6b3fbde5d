"""Scores and lists of trends, by examples; the terms of a tweet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.search import trend_scores
from actors.search.trend_scores import (
    KINDS,
    LONG_HALF_LIFE_HOURS,
    LONG_REBASE_HOURS,
    LongMemory,
    ScoreSettings,
    TermCounts,
    rank,
    score_of,
    term_keys,
)

SETTINGS = ScoreSettings()


def term(text, tweets, authors=None, usual=0.0, kind="phrase"):
    return TermCounts(kind, text, (tweets,), tweets, tweets if authors is None else authors, usual)


def names(terms, count_max=50, settings=SETTINGS):
    return [trend.term.text for trend in rank(terms, settings, count_max)]


def test_fewer_authors_than_the_minimum_make_no_trend_however_much_they_write():
    assert score_of(term("spam", 10_000, authors=2), SETTINGS) == 0.0
    assert score_of(term("spam", 10_000, authors=2), ScoreSettings(authors_min=2)) > 0.0


def test_what_is_as_frequent_as_usual_is_no_trend():
    assert score_of(term("good morning", 1_000, usual=1_000.0), SETTINGS) == 0.0
    assert score_of(term("good morning", 1_400, usual=1_000.0), SETTINGS) == 0.0


def test_a_small_burst_beats_a_large_term_that_is_somewhat_up():
    burst, large = term("eclipse now", 60, usual=2.0), term("good morning", 1_600, usual=1_000.0)
    assert names([large, burst])[0] == "eclipse now"


def test_more_authors_with_as_many_tweets_score_higher():
    assert score_of(term("a b", 60, authors=60), SETTINGS) > 2 * score_of(term("a b", 60, authors=10), SETTINGS)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1e6))
def test_a_score_is_never_negative_and_falls_as_the_usual_level_rises(tweets, authors, usual):
    lower, higher = (score_of(term("a b", tweets, authors, level), SETTINGS) for level in (usual + 1.0, usual))
    assert 0.0 <= lower <= higher < float("inf")


def test_a_phrase_is_folded_into_a_longer_one_that_is_about_as_frequent():
    assert names([term("new york", 100), term("york city", 95), term("new york city", 90)]) == ["new york city"]


def test_a_phrase_that_is_far_more_frequent_than_the_longer_one_stays():
    assert set(names([term("new york", 100), term("new york city", 30)])) == {"new york", "new york city"}


def test_cuts_of_one_sentence_are_one_trend():
    cuts = ["thanks obama for", "obama for making", "for making breakfast", "making breakfast", "thanks obama"]
    assert len(names([term(cut, 40) for cut in cuts])) == 1


def test_phrases_that_share_a_word_by_chance_stay_apart():
    assert set(names([term("red bull", 100), term("bull market", 40)])) == {"red bull", "bull market"}


def test_the_words_of_a_hashtag_are_folded_into_what_scores_higher():
    tag, phrase = term("worldcup", 80, kind="hashtag"), term("world cup", 40)
    assert [trend.term.kind for trend in rank([phrase, tag], SETTINGS, 9)] == ["hashtag"]
    tag, phrase = term("worldcup", 40, kind="hashtag"), term("world cup", 80)
    assert [trend.term.kind for trend in rank([phrase, tag], SETTINGS, 9)] == ["phrase"]


def test_the_list_does_not_depend_on_the_order_of_the_terms():
    terms = [term(f"word{n % 7} other{n}", 20 + n % 3, kind=KINDS[n % 3]) for n in range(60)]
    assert rank(terms, SETTINGS, 50) == rank(terms[::-1], SETTINGS, 50)


def test_each_kind_has_its_own_places():
    terms = [term(f"{kind}{n}x y{n}", 50, kind=kind) for kind in KINDS for n in range(9)]
    assert len(names(terms, count_max=4)) == 12


def test_folding_compares_no_more_pairs_of_thousands_of_phrases_than_of_a_few_hundred(monkeypatch):
    compared = []
    monkeypatch.setattr(trend_scores, "_stands_for", lambda *pair: compared.append(pair))
    names([term(f"love word{n}", 50) for n in range(20_000)])
    assert len(compared) <= trend_scores.FOLDED_COUNT_MAX**2 / 2


def test_phrases_are_two_and_three_words_without_stop_words_at_their_ends():
    keys = term_keys("en", [], ["the", "state", "of", "emergency", "is", "over"], [])
    assert keys == ["_en state of emergency"]
    assert term_keys("en", [], ["Big", "Red", "dog"], []) == ["_en big red", "_en big red dog", "_en red dog"]


@pytest.mark.parametrize("words", [["good"], ["2", "1"], ["good", "\U0001f600"], ["good", ""], ["good", "x" * 33]])
def test_what_is_no_word_makes_no_phrase(words):
    assert term_keys("en", [], words, []) == []


def test_hashtags_are_the_same_with_and_without_sign_and_in_any_case():
    assert term_keys("en", ["WorldCup", "#worldcup", "\uff03worldcup"], [], []) == ["#en worldcup"] * 3


@pytest.mark.parametrize(
    ("lang", "code"),
    [("en", "en"), ("EN", "en"), ("pt-BR", "pt"), ("yue", "yue"), ("", "und"), ("x y", "und"), ("\u0430\u0431", "und")],
)
def test_languages_are_two_or_three_letters(lang, code):
    assert term_keys(lang, ["a"], [], []) == [f"#{code} a"]


def test_overlong_and_malformed_terms_are_left_out():
    assert term_keys("en", ["x" * 101, "", "#", "a b"], [], ["", "h" * 401]) == []
    assert term_keys("en", ["\ud800"], [], []) == []


def test_the_number_of_terms_of_a_tweet_is_bounded():
    words = [f"w{n}x" for n in range(10_000)]
    assert len(term_keys("en", words, words, words)) == 16 + 16 + 127 + 126


def test_the_long_memory_halves_every_three_days_and_survives_its_scaling_back():
    memory = LongMemory(0)
    memory.add_hour(0, [("a", 1_000)], 0)
    assert memory.mentions("a", 0) == 1_000.0
    assert memory.mentions("a", int(LONG_HALF_LIFE_HOURS)) == 500.0
    hour = LONG_REBASE_HOURS + 1
    memory.add_hour(hour, [("b", 1_000)], 0)
    assert memory.base_hour == hour
    assert memory.mentions("b", hour) == 1_000.0
    assert memory.mentions("a", hour) == 0.0
    assert 1.0 <= memory.hours(hour) < 1.01


def test_a_steady_term_has_its_hourly_rate_in_the_long_memory():
    memory = LongMemory(0)
    for hour in range(3_000):
        memory.add_hour(hour, [("steady", 10), (f"rare {hour}", 1)], 0)
    assert memory.mentions("steady", 3_000) / memory.hours(3_000) == pytest.approx(10.0, rel=0.05)
    back = LongMemory.from_wire(memory.to_wire())
    assert back.mentions("steady", 3_000) == memory.mentions("steady", 3_000)


def test_an_unknown_term_may_have_had_half_of_what_was_cut():
    memory = LongMemory(0)
    memory.add_hour(0, [("a", 100)], 8)
    assert memory.mentions("unknown", 0) == 4.0
