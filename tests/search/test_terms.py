"""What posting lists in memory find is what the index finds: the same tweets in both, and hundreds of queries."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.postings.lists import Document, Postings, whole
from actors.search.documents import read_tweet
from actors.search.index import TweetIndex
from actors.search.terms import NODES_MAX, PostingsQuery, query_of, terms_of
from actors.shard.search_postings import lists_of
from actors.text import text
from actors.text.query import QueryError, check_tree, has_follows, wants_reposts
from tests.search.sample_tweets import (
    CASHTAGS,
    NAMES,
    SENTENCES,
    START_MS,
    TAGS,
    WORDS,
    make_sample,
    make_texts,
    multiply,
    samples,
)
from tests.search.suite import QUERIES, tree_of

ROOT = Path(__file__).parent.parent.parent
TWEETS = 1_200
EXACT_WORDS = 40  # tantivy rounds the lengths of longer tweets
EVERYTHING = 10_000


class Both:
    """The same tweets in an index and in posting lists."""

    def __init__(self, directory, found):
        self.index, self.lists = TweetIndex(directory), Postings()
        self.facts = [read_tweet(sample.row) for sample in found]
        for facts in self.facts:
            self.index.add(facts)
        self.index.commit()
        plain = [terms_of(facts) for facts in self.facts if "repost" not in facts.marks]
        self.lists.append(Document(tweet_id, n, *rest) for n, (tweet_id, *rest) in enumerate(plain))
        assert self.lists.check() == []

    def newest(self, tree, max_id=0, count=EVERYTHING):
        query = query_of(tree)
        asked = lists_of(self.lists, query)
        bounds = [bound for bound in (max_id, query.max_id) if bound]
        if asked is None:
            return []
        return self.lists.ids(whole(self.lists.newest(asked, min(bounds, default=0), query.since_id, count)))

    def scores(self, tree):
        query = query_of(tree)
        asked = lists_of(self.lists, query)
        if asked is None:
            return {}
        found, scores = whole(self.lists.best(asked, query.max_id, query.since_id, EVERYTHING, as_they_are))
        return dict(zip(self.lists.ids(found), scores.tolist(), strict=True))

    def differ(self, tree):
        """Say in what the two differ on the newest; "" for nothing."""
        wanted = self.index.latest(tree, 0, EVERYTHING)
        if self.newest(tree) != wanted:
            return f"{len(self.newest(tree))} of {len(wanted)}"
        for at in (len(wanted) // 3, len(wanted) - 1):
            if wanted and self.newest(tree, wanted[at], 5) != self.index.latest(tree, wanted[at], 5):
                return f"the page below number {at}"
        return ""


def as_they_are(found, scores, count, ids, slots):
    return count


@pytest.fixture(scope="module")
def found():
    texts = make_texts(TWEETS // 2, seed=5)
    return samples(texts + multiply(texts, TWEETS - len(texts), seed=6), seed=7)


@pytest.fixture(scope="module")
def both(found, tmp_path_factory):
    made = Both(tmp_path_factory.mktemp("both"), found)
    yield made
    made.index.close()


@pytest.fixture(scope="module")
def short(found, tmp_path_factory):
    """Without reposts, which count in the index's statistics, and without long ones."""
    rest = [s for s in found if not s.tweet.is_repost and len(read_tweet(s.row).stems) <= EXACT_WORDS]
    assert len(rest) > TWEETS / 2
    made = Both(tmp_path_factory.mktemp("short"), rest)
    yield made
    made.index.close()


# ---- the same is found -----------------------------------------------------------------------------------------------


def asked_texts(seed, count):
    """Return queries of the kinds that memory answers."""
    rng = random.Random(seed)
    words = sorted({word for sentence in SENTENCES for word in sentence.split()} | set(WORDS))
    made = []
    while len(made) < count:
        parts = [rng.choice(words) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
        parts += rng.choices([*TAGS, *CASHTAGS, *NAMES[:4]], k=rng.choice([0, 0, 1, 2]))
        some_not = rng.choices([*words, *TAGS, *CASHTAGS, *NAMES[:4]], k=rng.choice([0, 0, 1, 2]))
        parts += ["-" + part for part in some_not]
        parts += rng.choices(["since:2026-01-02", "until:2026-01-02", "since:2026-01-01", "until:2026-01-04"],
                             k=rng.choice([0, 0, 1, 2]))  # fmt: skip
        rng.shuffle(parts)
        try:
            tree = tree_of(" ".join(parts))
        except QueryError:
            continue
        if query_of(tree) is not None:
            made.append(" ".join(parts))
    return made


def test_texts_find_in_memory_what_they_find_in_the_index(both):
    asked = [*asked_texts(seed=1, count=400), *(each for each in QUERIES if query_of(tree_of(each)) is not None)]
    assert {each: d for each in asked if (d := both.differ(tree_of(each)))} == {}
    sizes = [len(both.newest(tree_of(each))) for each in asked]
    assert sum(0 < size < both.lists.count for size in sizes) > len(asked) * 0.4
    assert sum(size > 50 for size in sizes) > 20


def test_words_of_every_tweet_find_it_in_memory(both):
    for facts in both.facts[::7]:
        words = [word for word in facts.words if text.is_word(word)][:3]
        tree = ["and", *(["word", word] for word in words), *(["tag", tag] for tag in facts.hashtags[:2])]
        if "repost" in facts.marks or query_of(tree) is None:
            continue
        assert facts.tweet_id in both.newest(tree)
        assert both.differ(tree) == ""


def leaves():
    words = [
        "love", "whale", "whales", "running", "runner", "the", "a", "cafe", "hauser", "haus", "cheval", "chevaux",
        "ninos", "nino", "мор", "мороженое", "книги", "книга", "東京", "日本", "👍", "2026", "nosuch", "friend",
    ]  # fmt: skip
    ids = [0, *((START_MS + n * 20_000_000) << 16 for n in range(7))]
    return st.one_of(
        *[st.builds(lambda word: ["word", word], st.sampled_from(words))] * 2,
        st.builds(lambda tag: ["tag", tag], st.sampled_from(["love", "ocean", "tokyo", "東京", "strasse", "nosuch"])),
        st.builds(lambda tag: ["cash", tag], st.sampled_from(["tsla", "brk.a", "btc"])),
        st.builds(lambda name: ["mention", name], st.sampled_from(["ada", "bob", "carol_99", "dave"])),
        st.builds(lambda low, high: ["ids", low, high], st.sampled_from(ids), st.sampled_from(ids)),
    )


def trees():
    some = st.tuples(
        st.lists(leaves(), min_size=1, max_size=4),
        st.lists(leaves().filter(lambda leaf: leaf[0] != "ids").map(lambda leaf: ["not", leaf]), max_size=3),
    )
    return st.one_of(leaves(), some.map(lambda parts: ["and", *parts[0], *parts[1]])).filter(query_of)  # fmt: skip


@settings(max_examples=200)
@given(tree=trees())
def test_any_tree_of_memorys_kind_finds_what_the_index_finds(both, tree):
    check_tree(tree)
    assert both.differ(tree) == ""


@settings(max_examples=100)
@given(tree=trees())
def test_the_word_scores_are_the_indexs(short, tree):
    assert short.scores(tree) == pytest.approx(
        dict(zip(*short.index.candidates(tree, EVERYTHING), strict=True)), rel=1e-4
    )


def test_the_word_scores_of_texts_are_the_indexs(short):
    for each in asked_texts(seed=2, count=150):
        wanted = dict(zip(*short.index.candidates(tree_of(each), EVERYTHING), strict=True))
        assert short.scores(tree_of(each)) == pytest.approx(wanted, rel=1e-4), each


# ---- which queries ---------------------------------------------------------------------------------------------------

W, V, TAG, CASH, AT = ["word", "w"], ["word", "v"], ["tag", "t"], ["cash", "c"], ["mention", "m"]


@pytest.mark.parametrize(
    ("tree", "wanted"),
    [
        (W, PostingsQuery(("w",), (), (), (), 0, 0)),
        (["and", W], PostingsQuery(("w",), (), (), (), 0, 0)),
        (["and", W, V, W], PostingsQuery(("w", "v", "w"), (), (), (), 0, 0)),
        (TAG, PostingsQuery((), ("#t",), (), (), 0, 0)),
        (["and", CASH, AT, TAG], PostingsQuery((), ("$c", "@m", "#t"), (), (), 0, 0)),
        (["and", W, ["not", V]], PostingsQuery(("w",), (), ("v",), (), 0, 0)),
        (["and", ["not", CASH], W, ["not", V]], PostingsQuery(("w",), (), ("v",), ("$c",), 0, 0)),
        (["and", TAG, ["not", AT]], PostingsQuery((), ("#t",), (), ("@m",), 0, 0)),
        (["and", W, ["ids", 5, 0]], PostingsQuery(("w",), (), (), (), 5, 0)),
        (["and", W, ["ids", 0, 9]], PostingsQuery(("w",), (), (), (), 0, 9)),
        (["and", ["ids", 5, 0], W, ["ids", 0, 9]], PostingsQuery(("w",), (), (), (), 5, 9)),
        (["and", W, ["ids", 5, 20], ["ids", 7, 9], ["ids", 2, 30]], PostingsQuery(("w",), (), (), (), 7, 9)),
        (["and", W, ["ids", 0, 0]], PostingsQuery(("w",), (), (), (), 0, 0)),
        (["and", *[W] * NODES_MAX], PostingsQuery(("w",) * NODES_MAX, (), (), (), 0, 0)),
    ],
)  # fmt: skip
def test_memory_takes(tree, wanted):
    check_tree(tree)
    assert query_of(tree) == wanted


@pytest.mark.parametrize(
    "tree",
    [
        ["or", W, V], ["or", W], ["phrase", ["w", "v"]], ["prefix", "w"], ["author", [1]], ["author", []], ["to", [1]],
        ["lang", "en"], ["has", "media"], ["is", "reply"], ["is", "repost"], ["likes", 1], ["follows"], ["ids", 1, 2],
        ["ids", 0, 0], ["and", ["ids", 1, 2], ["ids", 3, 4]],
    ],
)  # fmt: skip
def test_memory_leaves_to_the_index(tree):
    check_tree(tree)
    assert query_of(tree) is None
    assert tree[0] == "ids" or query_of(["and", W, tree]) is None
    if tree[0] not in ("ids", "and"):
        assert query_of(["and", W, ["not", tree]]) is None


@pytest.mark.parametrize(
    "tree",
    [
        ["and", W, ["and", V, TAG]], ["and", W, ["or", V, TAG]], ["and", W, ["not", ["and", V, TAG]]],
        ["and", W, ["not", ["or", V, TAG]]], ["and", TAG, ["not", W]], ["and", W, ["not", ["ids", 1, 2]]],
        ["and", *[W] * (NODES_MAX + 1)], ["and", ["ids", 1, 2], ["not", W]],
    ],
)  # fmt: skip
def test_memory_leaves_combinations_to_the_index(tree):
    assert query_of(tree) is None


def test_of_what_texts_ask_memory_takes_no_repost_and_nothing_about_followers():
    for each in QUERIES:
        tree = tree_of(each)
        if query_of(tree) is not None:
            assert not wants_reposts(tree)
            assert not has_follows(tree)


# ---- terms -----------------------------------------------------------------------------------------------------------


def test_the_terms_of_a_tweet_are_its_stems_and_what_it_marks():
    body = "The whales and the whale: love the #Ocean #ocean in the morning, @Ada! $TSLA"
    tweet_id, lang, length, stems, tfs, others = terms_of(read_tweet(make_sample(77, 1, body).row))
    assert (tweet_id, lang) == (77, "en")
    counts = dict(zip(stems, tfs, strict=True))
    assert (counts["whale"], counts["the"], counts["ocean"], counts["ada"]) == (2, 4, 2, 1)
    assert length == sum(tfs)
    assert others == ["#ocean", "$tsla", "@ada"]


def test_no_word_is_taken_for_a_term_of_another_kind():
    found = [
        make_sample(1 << 20, 1, "#love"),
        make_sample(2 << 20, 1, "love $btc @bob"),
        make_sample(3 << 20, 1, "btc bob"),
    ]
    lists = Postings()
    lists.append(Document(row[0], 0, *row[1:]) for row in (terms_of(read_tweet(sample.row)) for sample in found))

    def ids(tree):
        asked = lists_of(lists, query_of(tree))
        return [] if asked is None else [tweet_id >> 20 for tweet_id in lists.ids(whole(lists.newest(asked, 0, 0, 9)))]

    assert (ids(["tag", "love"]), ids(["cash", "btc"]), ids(["mention", "bob"])) == ([1], [2], [2])
    assert (ids(["word", "love"]), ids(["word", "btc"]), ids(["word", "bob"])) == ([2, 1], [3, 2], [3, 2])
    assert ids(["tag", "btc"]) == ids(["mention", "love"]) == []


def test_the_engines_process_loads_no_kernels():
    code = "import sys, actors.search.engine; print(sorted({'numba', 'ray'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[]", result.stderr
