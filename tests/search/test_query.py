"""The query language: tables of what is read and what is refused where, and that a tree's text is read as that tree."""

from __future__ import annotations

import re

import msgpack
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from actors.core.errors import InvalidError, MalformedError
from actors.core.ids import ID_MAX
from actors.text.costs import KINDS_MAX, TERMS_MAX, cost_of_tree
from actors.text.query import (
    ACCOUNTS_MAX,
    DEPTH_MAX,
    QUERY_CHARS_MAX,
    TREE_NODES_MAX,
    QueryError,
    check_tree,
    corrected_text,
    has_follows,
    names_of,
    parse,
    positive_leaves,
    replace_words,
    resolve,
    to_text,
    wants_reposts,
    words_of,
)

DAY = 86_400_000 << 16
NEW_YEAR = 1_767_225_600_000 << 16  # 2026-01-01


def w(word):
    return ["word", word]


A, B, C = w("a"), w("b"), w("c")

READ = [
    ("Hello", w("hello")),
    ("  Ünïcödé\u3000World ", ["and", w("unicode"), w("world")]),
    ("a b", ["and", A, B]),
    ("a AND b", ["and", A, B]),
    ("a and b or not", ["and", A, w("and"), B, w("or"), w("not")]),
    ("a OR b c", ["or", A, ["and", B, C]]),
    ("(a OR b) c", ["and", ["or", A, B], C]),
    ("a(b)c", ["and", A, B, C]),
    ("a -b", ["and", A, ["not", B]]),
    ("-a b", ["and", ["not", A], B]),
    ("NOT a AND b", ["and", ["not", A], B]),
    ("a AND NOT -b", ["and", A, B]),
    ("--a", A),
    ("a - b -- c", ["and", A, B, C]),
    ("a -(b OR c)", ["and", A, ["not", ["or", B, C]]]),
    ("(-a -b) c", ["and", ["not", A], ["not", B], C]),
    ("-(-a -b)", ["or", A, B]),
    ("-OR a", ["and", ["not", w("or")], A]),
    ("a a A", A),
    ("(a b) (b c)", ["and", A, B, C]),
    ("(a OR b) OR (b OR c)", ["or", A, B, C]),
    ("((((a))))", A),
    ("a !!! (...) b", ["and", A, B]),
    ("a OR !!!", A),
    # words
    ("e-mail", ["phrase", ["e", "mail"]]),
    ("a -e-mail", ["and", A, ["not", ["phrase", ["e", "mail"]]]]),
    ("don't", w("dont")),
    ("AT&T f**k", ["and", ["phrase", ["at", "t"]], ["phrase", ["f", "k"]]]),
    ("12:30", ["phrase", ["12", "30"]]),
    ("https://x.com/a?b", ["phrase", ["https", "x", "com", "a", "b"]]),
    ("re: hello", ["and", w("re"), w("hello")]),
    ('"from":bob', ["and", ["phrase", ["from"]], w("bob")]),
    ("🎉 🎉🎉", ["and", w("🎉"), ["phrase", ["🎉", "🎉"]]]),
    ("STRASSE", w("strasse")),
    # phrases
    ('"Hello World"', ["phrase", ["hello", "world"]]),
    ("“Hello World” „so“ «la»", ["and", ["phrase", ["hello", "world"]], ["phrase", ["so"]], ["phrase", ["la"]]]),
    ('"cats"', ["phrase", ["cats"]]),
    ('-"a b" c', ["and", ["not", ["phrase", ["a", "b"]]], C]),
    ('"a (b OR c) -d"', ["phrase", ["a", "b", "or", "c", "d"]]),
    ('"" a', A),
    # CJK
    ("日本語", ["phrase", ["日本", "本語"]]),
    ('"日本"', ["phrase", ["日本"]]),
    ("日", ["prefix", "日"]),
    ("日* 日本*", ["and", ["prefix", "日"], ["phrase", ["日本"]]]),
    ("3月", ["and", w("3"), ["prefix", "月"]]),
    ("東京2020", ["phrase", ["東京", "京", "2020"]]),
    ("a -3月", ["and", A, ["not", ["and", w("3"), ["prefix", "月"]]]]),
    ("ไทย", ["phrase", ["ไท", "ทย"]]),
    # prefixes
    ("ca* don't*", ["and", ["prefix", "ca"], ["prefix", "dont"]]),
    ("a *", A),
    ("👍*", ["prefix", "👍"]),
    # tags and names
    ("#Tōkyō #日本", ["and", ["tag", "tokyo"], ["tag", "日本"]]),
    ("＃Tag,#b", ["and", ["tag", "tag"], ["tag", "b"]]),
    ("#123 #", w("123")),
    ("$TSLA $5", ["and", ["cash", "tsla"], w("5")]),
    ("@Ada mentions:@BOB @bob's", ["and", ["mention", "ada"], ["mention", "bob"]]),
    ("@a@b", ["phrase", ["a", "b"]]),
    ("a -#b", ["and", A, ["not", ["tag", "b"]]]),
    # operators
    ("FROM:Ada to:@bob", ["and", ["from", "ada"], ["to_name", "bob"]]),
    ("lang:EN", ["lang", "en"]),
    ("lang:und", ["lang", "und"]),
    ("since:2026-01-01", ["ids", NEW_YEAR, 0]),
    ("until:2026-01-01", ["ids", 0, NEW_YEAR]),
    ("since:2026-01-01 until:2026-01-02", ["and", ["ids", NEW_YEAR, 0], ["ids", 0, NEW_YEAR + DAY]]),
    ("since:0001-01-01", ["ids", 0, 0]),
    ("until:1970-01-01", ["ids", 0, 1]),
    ("since:9999-12-31", ["ids", ID_MAX, 0]),
    ("until:9999-12-31", ["ids", 0, ID_MAX]),
    ("until:2024-02-29", ["ids", 0, 1_709_164_800_000 << 16]),
    ("has:ALT has:image", ["and", ["has", "alt"], ["has", "image"]]),
    ("has:Media has:links", ["and", ["has", "media"], ["has", "links"]]),
    ("is:reply -is:repost", ["and", ["is", "reply"], ["not", ["is", "repost"]]]),
    ("min_likes:010", ["likes", 10]),
    ("min_likes:1000000000", ["likes", 1_000_000_000]),
    ("filter:follows", ["follows"]),
]

REFUSED = [  # query, 0-based position, a part of the message
    ("", 0, "no word"),
    ("   ", 0, "no word"),
    ('"!!!"', 0, "no word"),
    ("***", 0, "no word"),
    ("-a", 0, "only what to leave out"),
    ("-a -b", 0, "only what to leave out"),
    ("-!!! -a", 0, "only what to leave out"),
    ("a OR -b", 5, "only what to leave out"),
    ("-a OR b", 0, "only what to leave out"),
    ("c (a OR (-b -c))", 8, "only what to leave out"),
    ("a OR", 4, "must follow OR"),
    ("a OR OR b", 5, "must follow OR"),
    ("OR a", 0, "nothing stands before OR"),
    ("a (AND b)", 3, "nothing stands before AND"),
    ("a AND", 5, "must follow AND"),
    ("a AND OR b", 6, "must follow AND"),
    ("a NOT", 5, "must follow NOT"),
    ("(a NOT)", 6, "must follow NOT"),
    ("(a", 0, "never closed"),
    ("a (b (c)", 2, "never closed"),
    ("a) b", 1, "no \"(\" before"),
    ("a ()", 2, "nothing stands in these parentheses"),
    ('a "b', 2, "never closed"),
    ("a foo:bar", 2, 'no operator "foo:"; there are from:'),
    ("http:x", 0, 'no operator "http:"'),
    ("from:", 5, "a user name"),
    ('from:"bob"', 5, "a user name"),
    ("from:bob-x", 5, "a user name"),
    ("to:" + "x" * 31, 3, "a user name"),
    ("lang:english", 5, "2 or 3 letters"),
    ("lang:pt-BR", 5, "2 or 3 letters"),
    ("since:2026-02-29", 6, "a day that exists"),
    ("since:20260101", 6, "a day that exists"),
    ("until:2026-1-1", 6, "a day that exists"),
    ("until:0000-01-01", 6, "a day that exists"),
    ("since:２０２６-01-01", 6, "a day that exists"),
    ("has:cats", 4, "media, image, video, audio, alt or links"),
    ("is:quote", 3, "reply or repost"),
    ("min_likes:-1", 10, "a whole number"),
    ("min_likes:1000000001", 10, "a whole number"),
    ("min_likes:1.5", 10, "a whole number"),
    ("min_likes:" + "9" * 300, 10, "a whole number"),
    ("filter:foo", 7, "follows"),
    ("a b*", 2, "at least 2"),
    ("e-ma*", 0, "single word"),
    ("#foo*", 0, "not tags and names"),
    ("a" * (QUERY_CHARS_MAX + 1), QUERY_CHARS_MAX, "at most 500"),
    (" ".join(f"w{n}" for n in range(TERMS_MAX + 1)), 190, "at most 50"),
    ("日本" * (TERMS_MAX // 2 + 1), 0, "at most 50"),
    (" OR ".join(f"ab{n}*" for n in range(9)), 64, "at most 8 words shortened with *"),
    (" ".join(f"-{n}月" for n in range(9)) + " a", 33, "at most 8 words shortened with * (CJK: single characters)"),
    (" ".join(f'"a b{n}"' for n in range(17)), 118, "at most 16 phrases"),
    (" ".join(f"(w{n} OR filter:follows)" for n in range(5)), 99, "at most 4 times filter:follows"),
    ("(" * (DEPTH_MAX + 1) + "a" + ")" * (DEPTH_MAX + 1), DEPTH_MAX, "at most 10"),
    ("#" + "\ufb01" * 150, 0, "at most 280"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "tree"), READ)
def test_a_query_means_this(text, tree):
    query = parse(text)
    assert query.tree == tree
    assert query.text == text
    check_tree(tree, resolved=False)


@pytest.mark.parametrize(("text", "tree"), READ)
def test_a_tree_is_written_as_a_query_that_means_it(text, tree):
    assert parse(to_text(tree)).tree == tree


@pytest.mark.parametrize(("text", "position", "part"), REFUSED)
def test_a_query_is_refused_with_its_position(text, position, part):
    with pytest.raises(QueryError, match=re.escape(part)) as refusal:
        parse(text)
    assert (refusal.value.position, refusal.value.field, refusal.value.status) == (position, "query", 400)


def test_a_refusal_says_what_stands_where():
    with pytest.raises(MalformedError, match=re.escape('character 3 of the query, "(b": this "(" is never closed')):
        parse("a (b")


def test_the_limits_themselves_are_allowed():
    assert parse("a" * QUERY_CHARS_MAX).tree == w("a" * 64)
    assert len(parse(" ".join(f"w{n}" for n in range(TERMS_MAX))).tree) == TERMS_MAX + 1
    assert parse("(" * DEPTH_MAX + "a" + ")" * DEPTH_MAX).tree == A
    for kind, term in (("prefix", "ab{}*"), ("phrase", '"a b{}"'), ("follows", "(w{} OR filter:follows)")):
        at_most = " ".join(term.format(n) for n in range(KINDS_MAX[kind]))
        check_tree(parse(at_most).tree)


@pytest.mark.parametrize("kind", KINDS_MAX)
def test_a_shard_bounds_the_kinds_of_terms_as_the_parser_does(kind):
    def tree(count: int) -> list:
        return ["or", *[{"prefix": ["prefix", f"ab{n}"], "phrase": ["phrase", ["a", f"b{n}"]],
                         "follows": ["follows"]}[kind] for n in range(count)]]  # fmt: skip

    check_tree(tree(KINDS_MAX[kind]))
    with pytest.raises(QueryError, match=f"at most {KINDS_MAX[kind]} "):
        check_tree(tree(KINDS_MAX[kind] + 1))
    with pytest.raises(QueryError, match=f"at most {KINDS_MAX[kind]} "):
        check_tree(["and", ["word", "a"], ["not", tree(KINDS_MAX[kind] + 1)]])


def test_the_dear_costs_more_than_the_cheap_and_by_rank_more_than_by_time():
    costs = [cost_of_tree(parse(text).tree, "latest") for text in ("a b", '"a b"', "ab*", "ab* -(ba* ca*)")]
    assert costs == [2, 2, 5, 15]
    assert cost_of_tree(parse("ab*").tree, "top") == 15


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            ["a", "b", "Cats", "OR", "AND", "NOT", "-", "(", ")", '"', "“", " ", " ", " ", "*", "ca*", "#tag", "#",
             "$tsla",
             "@ada", "from:bob", "to:x", "is:repost", "has:media", "lang:de", "since:2026-01-31", "until:1960-01-01",
             "min_likes:3", "filter:follows", "foo:", "日本", "日", "3", "月", "é", "🎉", "e-mail", "<b>", "&amp;", "'",
             "ไทย", "ี", "한", "\u200d", "~", "･"]
        ),
        st.characters(),
    ),
    max_size=25,
).map("".join)  # fmt: skip
BALANCED = st.recursive(
    st.sampled_from(["a", "b", "c", "-a", "-b", '"a b"', "日本語", "3月", "#t", "to:x", "is:reply", "NOT c", "d-e"]),
    lambda inner: st.tuples(st.sampled_from(["", "-", "NOT "]), st.lists(inner, min_size=1, max_size=3),
                            st.sampled_from([" ", " OR ", " AND "]))
    .map(lambda parts: f"{parts[0]}({parts[2].join(parts[1])})"),
    max_leaves=12,
)  # fmt: skip
QUERIES = st.one_of(PIECES, BALANCED, st.text(max_size=60))


@given(QUERIES)
def test_every_text_is_read_or_refused_at_a_place_in_it(text):
    tree, error = read(text)
    if error is not None:
        assert 0 <= error.position <= len(text)
        assert error.field == "query"
    else:
        check_tree(tree, resolved=False)
        check_tree(resolve(tree, {}))
        check_tree(msgpack.unpackb(msgpack.packb(tree)), resolved=False)
        assert_one_form(tree)


def read(text):
    """Return the tree and no error, or no tree and the error."""
    try:
        return parse(text).tree, None
    except QueryError as error:
        return None, error


def assert_one_form(node):
    if node[0] in ("and", "or"):
        assert len(node) > 2
        assert all(part[0] != node[0] for part in node[1:])
        assert len({repr(part) for part in node[1:]}) == len(node) - 1
    if node[0] == "not":
        assert node[1][0] != "not"
    if node[0] in ("and", "or", "not"):
        for part in node[1:]:
            assert_one_form(part)


@given(QUERIES)
def test_the_text_of_a_tree_is_read_as_that_tree(text):
    tree = tree_or_reject(text)
    written = to_text(tree)
    assume(len(written) <= QUERY_CHARS_MAX)
    assert parse(written).tree == tree
    assert to_text(parse(written).tree) == written


def tree_or_reject(text):
    tree, _ = read(text)
    assume(tree is not None)
    return tree


NEW_WORDS = st.dictionaries(
    st.sampled_from(["a", "b", "cats", "foo"]), st.sampled_from(["x", "from", "d-e", "日", "!", "b"])
)


@given(QUERIES, NEW_WORDS)
def test_a_corrected_text_means_the_tree_with_other_words(text, new_of):
    tree = replace_words(tree_or_reject(text), new_of)
    assert_one_form(tree)
    corrected = corrected_text(text, new_of)
    assume(len(corrected) <= QUERY_CHARS_MAX)
    assert parse(corrected).tree == tree


def test_a_corrected_text_keeps_everything_else_as_it_was_typed():
    new_of = {"teh": "the", "speling": "spelling"}
    assert corrected_text('Teh  (SPELING OR "teh x") -teh,', new_of) == 'the  (spelling OR "teh x") -the,'
    assert corrected_text("#teh teh* teh-x @teh", new_of) == "#teh teh* teh-x @teh"
    assert corrected_text("teh:", {"teh": "from"}) == "from"
    assert corrected_text("nothing wrong", new_of) == "nothing wrong"


def test_words_are_those_that_are_to_be_there():
    tree = parse('cats "dogs" bird* -fish (cats OR x) #tag').tree
    assert words_of(tree) == ["cats", "x"]
    assert words_of(parse("a -(b -c)").tree) == ["a", "c"]
    assert [leaf[0] for leaf in positive_leaves(tree)] == ["word", "phrase", "prefix", "word", "word", "tag"]


def test_words_are_replaced_and_the_tree_keeps_its_one_form():
    tree = parse("a (b OR c) -d").tree
    assert replace_words(tree, {"b": "c", "d": "x-y"}) == ["and", A, C, ["not", ["phrase", ["x", "y"]]]]
    assert replace_words(tree, {}) == tree
    assert replace_words(A, {"a": "!!!"}) == A
    assert tree == parse("a (b OR c) -d").tree


def test_names_become_ids_and_unknown_ones_nobody():
    tree = parse("from:Ada -to:bob from:nobody").tree
    assert names_of(tree) == {"ada", "bob", "nobody"}
    resolved = resolve(tree, {"ada": 5, "bob": 6, "nobody": None})
    assert resolved == ["and", ["author", [5]], ["not", ["to", [6]]], ["author", []]]
    check_tree(resolved)
    assert names_of(resolved) == set()
    with pytest.raises(InvalidError):
        to_text(resolved)
    with pytest.raises(InvalidError):
        to_text(["ids", 5, 0])
    with pytest.raises(QueryError):
        check_tree(tree)


def test_follows_and_reposts_are_seen():
    assert has_follows(parse("a -(b filter:follows)").tree)
    assert not has_follows(parse("a follows").tree)
    assert wants_reposts(parse("a OR is:repost").tree)
    assert wants_reposts(parse("a -(b -is:repost)").tree)
    assert not wants_reposts(parse("a -is:repost is:reply").tree)


def nested(depth):
    tree = A
    for _ in range(depth):
        tree = ["and", tree]
    return tree


NO_TREES = [
    None, 0, "word", b"word", {}, [], [[]], [["word", "a"]], ["word"], ["word", "a", "b"], ["word", ""], ["word", 5],
    ["word", b"a"], ["word", "a b"], ["word", "\ud800"], ["word", "x" * 65], ["phrase", []], ["phrase", "ab"],
    ["phrase", [["a"]]], ["phrase", ["a"] * (TERMS_MAX + 1)], ["tag", "x" * 281], ["mention", "A"], ["author", 5],
    ["author", [0]], ["author", [True]], ["author", [ID_MAX + 1]], ["author", [1] * (ACCOUNTS_MAX + 1)], ["lang", "EN"],
    ["lang", "e"], ["ids", 0], ["ids", -1, 0], ["ids", 0, ID_MAX + 1], ["ids", 0.0, 1.0], ["has", "cats"],
    ["is", ["reply"]],
    ["likes", -1], ["likes", True], ["likes", float("nan")], ["follows", 1], ["and"], ["or"], ["not"], ["not", A, B],
    ["not", A], ["and", ["not", A]], ["or", A, ["not", B]], ["and", A, ["not", ["not", B]]], ["and", A, None],
    ["nothing", "a"], ["from", "ada"], ["xor", A, B], nested(10_000), ["or", *[A] * TREE_NODES_MAX],
    ["and", *[A] * (TERMS_MAX + 1)], ("word", "a"), msgpack.ExtType(1, b"x"), ["word", msgpack.Timestamp(1)],
]  # fmt: skip


@pytest.mark.parametrize("value", NO_TREES, ids=range(len(NO_TREES)))
def test_what_is_no_tree_is_refused(value):
    with pytest.raises(QueryError):
        check_tree(value)


KINDS = ["and", "or", "not", "word", "phrase", "ids", "author", "has", "follows", "a"]
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats()
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.binary(max_size=5), st.text(max_size=5), st.sampled_from(KINDS)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=30,
)
ALMOST = st.recursive(
    st.sampled_from([A, B, ["follows"], ["ids", 1, 2], ["phrase", ["a"]], ["word", None], ["not"], 7]),
    lambda inner: st.lists(inner, max_size=4).flatmap(
        lambda parts: st.sampled_from(["and", "or", "not"]).map(lambda kind: [kind, *parts])
    ),
    max_leaves=20,
)


@given(ANYTHING | ALMOST)
def test_whatever_comes_is_a_tree_or_refused(value):
    value = msgpack.unpackb(msgpack.packb(value), strict_map_key=False)
    try:
        check_tree(value)
    except QueryError:
        return
    assert any(True for _ in positive_leaves(value))
    assert not has_follows(value) or "follows" in repr(value)


PIECES_REPEATED = [
    "(", ")", '"', "-", "NOT ", "a OR ", "#a", "#1", "@a", "$a", "a:", "a_:", "a*", "*", "<a", "&", "'a", "日", "-(",
    "#a,", "@a'", "e\u0301", "\u0301", "🇺",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES_REPEATED)
@pytest.mark.timeout(20)
def test_no_query_takes_long(piece, monkeypatch):
    """Without the limit of its length, so that a way through it that isn't linear would be seen."""
    monkeypatch.setattr("actors.text.query.QUERY_CHARS_MAX", 1_000_000)
    for text in (piece * 100, "a " + piece * 100, piece * 50_000):
        _, error = read(text)
        assert error is None or len(error.message) < 400
