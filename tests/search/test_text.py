"""Texts to words: tables of examples for each script, and that the fast ways find what the slow one finds."""

from __future__ import annotations

import itertools
import sys
import threading
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from actors.core import folding
from actors.text import text as text_module
from actors.text.text import (
    MARKUP_CHARS_MAX,
    STEMMERS,
    UNKNOWN_LANGUAGE,
    WORD_CHARS_MAX,
    Token,
    cashtags,
    fold,
    hashtags,
    is_pair,
    is_word,
    join_words,
    language_of,
    leading_tags,
    mentions,
    query_stems,
    stems,
    tokens,
    words,
)


def tokens_of(given: str) -> list[str]:
    """Return the words that `tokens` finds."""
    return [token.word for token in tokens(given)]


WORDS = [
    ("Hello, World!", ["hello", "world"]),
    ("", []),
    ("!!! ... ---", []),
    ("snake_case a1 1a 3.14", ["snake_case", "a1", "1a", "3", "14"]),
    # apostrophes
    ("don't John's O’Neill 'quoted' rock'n'roll 'tis", ["dont", "johns", "oneill", "quoted", "rocknroll", "tis"]),
    ("a''b ’ c'", ["a", "b", "c"]),
    ("Hawaiʻi donʼt ŉ", ["hawaii", "dont", "n"]),
    # markup
    ("<p>Hello</p><p class='x'>World</p>a<br/>b", ["hello", "world", "a", "b"]),
    ("I <3 you > me < b", ["i", "3", "you", "me", "b"]),
    ("<p" + "x" * (MARKUP_CHARS_MAX + 1) + ">", ["p" + "x" * (WORD_CHARS_MAX - 1)]),
    ("fish &amp; chips caf&eacute; &#39;x&#39; &lt;b&gt; R&D &nosuch; &#xe9;", [
        "fish", "chips", "cafe", "x", "b", "r", "d", "nosuch", "e"]),
    ("e&#769;e", ["ee"]),
    # Latin
    ("Ünïcödé Crème BRÛLÉE", ["unicode", "creme", "brulee"]),
    ("Cafe\u0301 café", ["cafe", "cafe"]),
    ("Straße STRASSE", ["strasse", "strasse"]),
    ("ﬁne ﬂag ﬀ", ["fine", "flag", "ff"]),
    ("ＦＵＬＬ　ｗｉｄｔｈ１２", ["full", "width12"]),
    ("İstanbul ISPARTA ısparta Iğdır", ["istanbul", "isparta", "isparta", "igdir"]),
    ("soft\u00adhyphen zero\u200bspace x\u2060y", ["softhyphen", "zero", "space", "xy"]),
    ("m² x₂ ½", ["m2", "x2", "1", "2"]),
    ("Ǆungla ĳs", ["dzungla", "ijs"]),
    # Greek and Cyrillic
    ("ΟΔΟΣ οδός", ["οδοσ", "οδοσ"]),
    ("Й Ёлка ёлка Київ русский", ["й", "елка", "елка", "киів", "русский"]),
    # Arabic, Hebrew, Persian
    ("السَّلام عليكم", ["السَّلام", "عليكم"]),
    ("שלום, עולם", ["שלום", "עולם"]),
    ("می\u200cخواهم", ["میخواهم"]),
    ("\ufdfa", ["صلى", "الله", "عليه", "وسلم"]),
    # Indic: vowel signs and viramas stay
    ("हिन्दी में", ["हिन्दी", "में"]),
    ("தமிழ் বাংলা", ["தமிழ்", "বাংলা"]),
    ("क्\u200dष", ["क्ष"]),
    # without spaces
    ("日本語", ["日本", "本語", "語"]),
    ("日", ["日"]),
    ("iPhone買った3月", ["iphone", "買っ", "った", "た", "3", "月"]),
    ("ラーメン ｶﾞﾝﾀﾞﾑ", ["ラー", "ーメ", "メン", "ン", "ガン", "ンダ", "ダム", "ム"]),
    ("한국어 \u1112\u1161\u11ab", ["한국", "국어", "어", "한"]),
    ("ไทยดี", ["ไท", "ทย", "ยด", "ดี", "ี"]),
    ("ສະບາຍ", ["ສະ", "ະບ", "ບາ", "າຍ", "ຍ"]),
    ("ខ្មែរ", ["ខ្", "្ម", "មែ", "ែរ", "រ"]),
    ("မြန်", ["မြ", "ြန", "န်", "်"]),
    ("東京、大阪。", ["東京", "京", "大阪", "阪"]),
    # emoji
    ("love🎉🎉you", ["love", "🎉", "🎉", "you"]),
    ("👍🏽 👩‍👩‍👧‍👦 ❤️ ❤", ["👍🏽", "👩‍👩‍👧‍👦", "❤", "❤"]),
    ("👩🏿‍🚀x", ["👩🏿‍🚀", "x"]),
    ("🇺🇸🇬🇧 🏴󠁧󠁢󠁥󠁮󠁧󠁿", ["🇺🇸", "🇬🇧", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]),
    ("1️⃣ #️⃣", ["1"]),
    ("a" * 100, ["a" * WORD_CHARS_MAX]),
    ("é" * 100, ["e" * WORD_CHARS_MAX]),
    ("\ud800x", ["x"]),
    ("@Ada #Tag $TSLA https://x.com/a?b=1", ["ada", "tag", "tsla", "https", "x", "com", "a", "b", "1"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WORDS)
def test_a_text_has_these_words(text, expected):
    assert words(text) == expected
    assert [token.word for token in tokens(text)] == expected


OFFSETS = [
    ("Hello, World", [Token("hello", 0, 5), Token("world", 7, 12)]),
    ("caf&eacute; x", [Token("cafe", 0, 11), Token("x", 12, 13)]),
    ("<b>ab</b> c", [Token("ab", 3, 5), Token("c", 10, 11)]),
    ("&lt;é&amp;b", [Token("e", 4, 5), Token("b", 10, 11)]),
    ("Cafe\u0301 don't", [Token("cafe", 0, 5), Token("dont", 6, 11)]),
    ("aﬁb ß", [Token("afib", 0, 3), Token("ss", 4, 5)]),
    ("日本語", [Token("日本", 0, 2), Token("本語", 1, 3), Token("語", 2, 3)]),
    ("x 👩‍👩‍👧 y", [Token("x", 0, 1), Token("👩‍👩‍👧", 2, 7), Token("y", 8, 9)]),
    ("ไทยดี", [Token("ไท", 0, 2), Token("ทย", 1, 3), Token("ยด", 2, 5), Token("ดี", 3, 5), Token("ี", 3, 5)]),
    ("❤️", [Token("❤", 0, 2)]),
]


@pytest.mark.parametrize(("text", "expected"), OFFSETS)
def test_words_stand_at_these_offsets_of_the_original_text(text, expected):
    assert tokens(text) == expected


NASTY = st.text(
    alphabet=st.one_of(
        st.sampled_from(
            "abI_1 .'’<>/&#;-é\u0301\u0306и\u0e33\u0e35ก日本ーｶﾞ한\u1112\u1161\u11ab\uffa1\uffc2हि\u094d\u200d\u200c"
            "\ufe0f👩👍🏽🇺🇸❤ß\ufb01İıſ\u0345ᾳ\u00ad\u034f\ufdfa½\u2044\u0f73\u0344\u1e9e\u212b\u20e3\u3099\u309b\n\u0640\u0e49"
        ),
        st.characters(),
    ),
    max_size=40,
)


@given(NASTY)
def test_the_fast_ways_find_what_the_slow_one_finds(text):
    assert words(text) == [token.word for token in tokens(text)]


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=150))
def test_the_way_for_ascii_finds_what_the_slow_one_finds(text):
    assert words(text) == [token.word for token in tokens(text)]


@given(st.lists(st.sampled_from(["<b>", "</p>", "&amp;", "&eacute;", "&#769;", "&#x1F44D;", "🏽", "<", "&", "e", " "])))
def test_markup_is_the_same_in_every_way(pieces):
    text = "".join(pieces)
    assert words(text) == [token.word for token in tokens(text)]


@given(NASTY)
def test_a_word_stands_where_its_offsets_say(text):
    found = tokens(text)
    for token in found:
        assert 0 <= token.start < token.end <= len(text)
        piece = text[token.start : token.end]
        assert token.word in "".join(words(piece)) or token.word in join_words(words(piece))
    assert all(a.start <= b.start and a.end <= b.end for a, b in itertools.pairwise(found))


@given(NASTY)
def test_a_word_taken_as_a_text_is_that_word(text):
    for word in words(text):
        if is_pair(word):
            assert words(word)[:1] == [word] or regex.match(r"\p{M}", word)
        else:
            assert words(word) == [word]
        assert is_word(word)
        assert fold(word) == word


@given(NASTY)
def test_words_joined_and_cut_again_are_the_same(text):
    found = words(text)
    assert words(join_words(found)) == found


@given(NASTY)
def test_every_piece_of_a_run_is_found_in_it(text):
    run = "".join(regex.findall(r"[[\p{Han}\p{Hiragana}\p{Katakana}]&&\p{L}]", text, flags=regex.V1)) + "日本語東京"
    run = fold(run)
    own = words(run)
    for start, end in itertools.combinations(range(len(run) + 1), 2):
        piece = words(run[start:end])
        wanted = piece[:-1] if end - start > 1 else None
        if wanted is None:
            assert any(word.startswith(run[start]) for word in own)
        else:
            assert any(own[at : at + len(wanted)] == wanted for at in range(len(own)))


def test_every_character_folds_to_what_stays_as_it_is():
    for code in itertools.chain(range(0xD800), range(0xE000, 0x20000), range(0xE0000, 0xE0200)):
        folded = fold(chr(code))
        assert fold(folded) == folded
        assert not folded.split()[1:]


def test_every_plain_character_is_a_word_by_re_exactly_if_it_is_by_regex():
    for code in itertools.chain(*folding._PLAIN_RANGES):
        char = chr(code)
        if folding._PLAIN.fullmatch(char) and char:
            assert bool(text_module._PLAIN_WORD.fullmatch(char)) == bool(text_module._SCAN.fullmatch(char)), hex(code)


FOLDED = [("Müller", "muller"), ("ＲＯＯＫ", "rook"), ("İ", "i"), ("ŞŞ", "ss"), ("か゛", "が"), ("メ～テレ", "メ~テレ"),
          ("A b", "ab"), ("हिन्दी", "हिन्दी"), ("Straße", "strasse"), ("il·lusió", "il·lusio")]  # fmt: skip


def test_what_stands_for_many_characters_has_words_unless_a_text_is_full_of_it():
    assert words("محمد ﷺ ㍿㍿ ½…") == tokens_of("محمد ﷺ ㍿㍿ ½…")
    assert {"صلى", "株式"} <= set(words("محمد ﷺ ㍿㍿ ½…"))
    assert len(words("ﷺ" * 7)) > 7
    for char in ("ﷺ", "㌕", "㍿", "½", "…"):
        text = "see " + char * 400 + " whale"
        assert words(text) == tokens_of(text) == ["see", "whale"]
        assert fold(text) == "seewhale"
    assert words("see &#64250;" + "ﷺ" * 279) == ["see"]


def test_every_character_that_stands_for_many_is_known():
    composed = [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.decomposition(char)]
    many = [char for char in composed if len(folding.fold_once(char)) >= folding.EXPANDING_CHARS_MIN]
    assert [char for char in many if not folding._EXPANDING.fullmatch(char)] == []


@given(
    st.text(st.sampled_from("é\u0316\u05b0\u0591\u0f73\uff9eא\u200d\u00ad\U0001e94a👩日"), min_size=20, max_size=200)
)
def test_many_marks_fold_as_few_do(text):
    assert folding.fold_once(text, folding.normalize_for(text)) == folding.fold_once(text)


@pytest.mark.parametrize(("name", "expected"), FOLDED)
def test_a_name_is_folded(name, expected):
    assert fold(name) == expected


def test_pairs_are_told_from_words():
    assert all(map(is_pair, ["日本", "日", "ー", "ไท", "한", "မြ"]))
    assert not any(map(is_pair, ["ab", "é", "3", "👍", "हि", ""]))


def test_tags_cashtags_and_mentions_stand_where_they_are_shown():
    text = "RT @Ada: #Tōkyō $TSLA $BRK.A a@b.com C# #1 $5 &#39; ＠Bob"
    assert [(t.word, text[t.start : t.end]) for t in hashtags(text)] == [("tokyo", "#Tōkyō")]
    assert [(t.word, text[t.start : t.end]) for t in cashtags(text)] == [("tsla", "$TSLA"), ("brk.a", "$BRK.A")]
    assert [(t.word, text[t.start : t.end]) for t in mentions(text)] == [("ada", "@Ada"), ("bob", "＠Bob")]


def test_a_piece_gives_its_leading_tags_and_the_rest():
    assert leading_tags("#a,#B!") == ([("tag", "a"), ("tag", "b")], "")
    assert leading_tags("@Ada's") == ([("mention", "ada")], "")
    assert leading_tags("$tsla/up") == ([("cash", "tsla")], "up")
    assert leading_tags("#1") == ([], "#1")
    assert leading_tags("plain#a") == ([], "plain#a")


LANGUAGES = [
    ("The quick brown fox jumps over the lazy dog", "en"),
    ("THIS IS WHAT PEOPLE WRITE WHEN THEY SHOUT", "en"),
    ("Wo ist denn hier bitte der Bahnhof?", "de"),
    ("Je ne sais pas ce que tu veux dire", "fr"),
    ("No sé qué quieres decir con eso", "es"),
    ("Привет, как у тебя сегодня дела?", "ru"),
    ("今日はいい天気ですね", "ja"),
    ("오늘은 날씨가 좋네요", "ko"),
    ("यह एक हिन्दी वाक्य है", "hi"),
    ("วันนี้อากาศดีมาก", "th"),
    ("@somebody #hashtag https://example.com/the/quick/brown/fox", UNKNOWN_LANGUAGE),
    ("lol", UNKNOWN_LANGUAGE),
    ("", UNKNOWN_LANGUAGE),
    ("🎉🎉🎉 !!! 123456789", UNKNOWN_LANGUAGE),
    ("\ud800\ud801 \x00\n", UNKNOWN_LANGUAGE),
]


@pytest.mark.parametrize(("text", "expected"), LANGUAGES)
def test_the_language_of_a_text_is_detected(text, expected):
    assert language_of(text) == expected


@given(NASTY)
def test_every_text_has_a_language(text):
    assert regex.fullmatch("[a-z]{2,3}", language_of(text))


def test_words_are_stemmed_in_their_language():
    assert stems(["running", "cats", "日本"], "en") == ["run", "cat", "日本"]
    assert stems(["laufenden", "katzen"], "de") == ["laufend", "katz"]
    assert stems(["running"], "ja") == ["running"]
    assert stems(["running"], UNKNOWN_LANGUAGE) == ["running"]
    assert stems([], "en") == []


@pytest.mark.parametrize("lang", sorted(STEMMERS))
def test_a_word_of_a_query_meets_the_stem_of_a_tweet_in_every_language(lang):
    for word in ["running", "katzen", "русский", "mangeaient", "日本", "👍", "हिन्दी", "s", "1"]:
        assert stems([word], lang)[0] in query_stems(word)


def test_the_stems_of_a_query_begin_with_english_and_are_each_there_once():
    assert query_stems("cats")[0] == "cat"
    assert "cats" in query_stems("cats")
    assert len(set(query_stems("running"))) == len(query_stems("running"))
    assert query_stems("running")[1:] == sorted(query_stems("running")[1:])
    assert query_stems("日本") == ["日本"]


@given(st.text(max_size=20))
def test_no_stem_is_empty(text):
    for word in words(text):
        assert all(query_stems(word))
        assert all(stems([word], lang)[0] for lang in STEMMERS)


def test_threads_have_stemmers_of_their_own():
    wanted = [stems([f"running{n}s", "cats"], "en") for n in range(200)]
    results: dict[int, list[list[str]]] = {}

    def work(number: int) -> None:
        results[number] = [stems([f"running{n}s", "cats"], "en") for n in range(200)]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert [results[number] for number in range(4)] == [wanted] * 4
