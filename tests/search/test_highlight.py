"""Highlights: what is shown of a text, as the text between brackets."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from actors.text.highlight import HIGHLIGHTS_MAX, highlights
from actors.text.query import QueryError, parse
from tests.search.oracle import OracleTweet, matches
from tests.search.test_text import NASTY


def shown(text: str, query: str, lang: str | None = "en") -> str:
    """Return the text with its highlights in brackets."""
    at, pieces = 0, []
    for start, end in highlights(text, parse(query).tree, lang):
        pieces += text[at:start], "[", text[start:end], "]"
        at = end
    return "".join([*pieces, text[at:]])


CASES = [
    ("The cats sat", "cat", "The [cats] sat"),
    ("The cat sat, catlike", "CATS", "The [cat] sat, catlike"),
    ("The cats sat", '"cat"', "The cats sat"),
    ("The cats sat down", '"cats sat"', "The [cats sat] down"),
    ("a b a b a", '"a b a"', "[a b a b a]"),
    ("Catalogue of cats", "cat*", "[Catalogue] of [cats]"),
    ("cats and dogs", "cats -dogs", "[cats] and dogs"),
    ("cats and dogs", "dogs OR birds", "cats and [dogs]"),
    ("cats and dogs", "x -(y -dogs)", "cats and [dogs]"),
    ("Go #Tōkyō! Tokyo", "#tokyo", "Go [#Tōkyō]! Tokyo"),
    ("Go #Tōkyō! Tokyo", "tokyo", "Go #[Tōkyō]! [Tokyo]"),
    ("hi @Ada and ada", "@ada", "hi [@Ada] and ada"),
    ("hi @Ada", "mentions:ada", "hi [@Ada]"),
    ("buy $TSLA tsla", "$tsla", "buy [$TSLA] tsla"),
    ("I don't", "dont", "I [don't]"),
    ("caf&eacute; <b>cafe\u0301</b>", "cafe", "[caf&eacute;] <b>[cafe\u0301]</b>"),
    ("ﬁne ＦＩＮＥ", "fine", "[ﬁne] [ＦＩＮＥ]"),
    ("Straße", "strasse", "[Straße]"),
    ("東京都へ行く", "京都", "東[京都]へ行く"),
    ("東京都へ行く", "都", "東京[都]へ行く"),
    ("東京都へ行く", "東京都へ", "[東京都へ]行く"),
    ("東京都", "都", "東京[都]"),
    ("3月は3月", "3月", "[3月]は[3月]"),
    ("nice 👍🏽👍", "👍", "nice 👍🏽[👍]"),
    ("nice 👍🏽👍", "👍*", "nice [👍🏽👍]"),
    ("ไทยดี", "ดี", "ไทย[ดี]"),
    ("हिन्दी में", "हिन्दी", "[हिन्दी] में"),
    ("cats", "from:ada lang:en has:media", "cats"),
    ("", "cats", ""),
]


@pytest.mark.parametrize(("text", "query", "expected"), CASES)
def test_what_a_query_finds_is_shown(text, query, expected):
    assert shown(text, query) == expected


def test_words_are_stemmed_in_the_language_of_the_text():
    text = "Les chevaux mangeaient tranquillement dans la prairie"
    assert shown(text, "manger", lang=None) == text.replace("mangeaient", "[mangeaient]")
    assert shown(text, "manger", lang="en") == text


def test_at_most_so_many_places_are_shown():
    assert len(highlights("cat " * 100, ["word", "cat"])) == HIGHLIGHTS_MAX


@given(NASTY, NASTY)
def test_spans_are_ascending_apart_and_inside_the_text_and_what_is_found_is_shown(text, query):
    try:
        tree = parse(query).tree
    except QueryError:
        assume(False)
    spans = highlights(text, tree, "en")
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))
    if matches(OracleTweet(1, 1, text=text, hashtags=[]), tree, set()) and tree[0] in ("word", "phrase", "prefix"):
        assert spans


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # what is no query isn't looked at
@given(st.text(alphabet="日本語東 a'é🎉-", min_size=1, max_size=12), st.data())
def test_a_piece_of_a_text_is_found_in_it_and_shown(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    piece = text[start : data.draw(st.integers(start + 1, len(text)))]
    assume(not piece.isascii() and all(char in "日本語東" for char in piece))
    tree = parse(piece).tree
    assert matches(OracleTweet(1, 1, text=text), tree, set())
    assert piece in "".join(text[a:b] for a, b in highlights(text, tree))
