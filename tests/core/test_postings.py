"""Posting lists beside a plain twin: random documents and searches, BM25 by hand, bounds, and what must be refused."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.postings import kernels as postings_kernels
from actors.core.postings import lists as postings
from actors.core.postings import segment_bitmaps
from actors.core.postings.found import Weights
from actors.core.postings.kernels import LANGUAGES_MAX, TF_MAX
from actors.core.postings.lists import LENGTH_MAX, Asked, Document, Postings, whole
from tests.core.twins import TwinPostings

LANGS = ["en", "de", "fr", "ja", "und"]
STEMS = ["a", "b", "c", "d"]
TERMS = ["#x", "#y", "$z", "@ada"]
WORDS = [
    *[(stem, {}) for stem in STEMS],
    ("as", {"en": "a", "de": "a"}), ("cats", {"en": "c", "fr": "d", "ja": "b"}), ("b", {"en": "a", "und": "never"}),
    ("nosuchword", {}),
]  # fmt: skip
COUNTS = st.sampled_from([1, 2, 3, 5, 100])

documents = st.lists(
    st.tuples(
        st.integers(1, 3), st.sampled_from(LANGS), st.sampled_from([0, 1, 2, 7, 40, 1_000, 70_000]),
        st.dictionaries(st.sampled_from(STEMS), st.sampled_from([1, 1, 2, 3, 63, 64, 100])),
        st.lists(st.sampled_from(TERMS), unique=True, max_size=3),
    ),
    max_size=40,
).map(lambda drawn: [
    Document(int(tweet_id), n, lang, length, list(tfs), list(tfs.values()), terms)
    for n, (tweet_id, (_, lang, length, tfs, terms)) in enumerate(
        zip(100 + np.cumsum([gap for gap, *_ in drawn]), drawn, strict=True)
    )
])  # fmt: skip


@st.composite
def searches(draw):
    """(words, terms, no words, no terms, since_id, max_id, count): with a word or a term, and no_words with a word."""
    words = draw(st.lists(st.sampled_from(WORDS), max_size=3))
    terms = draw(st.lists(st.sampled_from(TERMS), max_size=2, min_size=0 if words else 1))
    no_words = draw(st.lists(st.sampled_from(WORDS), max_size=2)) if words else []
    no_terms = draw(st.lists(st.sampled_from(TERMS), max_size=2))
    bound = st.sampled_from([0, 0, 0, 90, 101, 110, 125, 150, 300])
    return words, terms, no_words, no_terms, draw(bound), draw(bound), draw(COUNTS)


def lists_of(lists, word):
    key, choose = word
    return lists.lists_of(repr(word), lambda: choose | dict.fromkeys(set(LANGS) - set(choose), key), lambda _: [
        key, *sorted(set(choose.values()) - {key})
    ])  # fmt: skip


def asked_of(lists, words, terms, no_words=(), no_terms=()):
    """Return the lists of a search, None if nothing can match."""
    rows = [lists.row(term) for term in terms]
    if -1 in rows:
        return None
    no_rows = [row for term in no_terms if (row := lists.row(term)) >= 0]

    def laid(some):
        return np.array([lists_of(lists, word) for word in some], dtype=np.int32).reshape(len(some), LANGUAGES_MAX)

    return Asked(laid(words), np.array(rows, np.int64), laid(no_words), np.array(no_rows, np.int64))


def newest(lists, words, terms, no_words=(), no_terms=(), since_id=0, max_id=0, count=100):
    asked = asked_of(lists, words, terms, no_words, no_terms)
    return [] if asked is None else ids_of(lists, whole(lists.newest(asked, max_id, since_id, count)))


def best(lists, rank, words, terms, no_words=(), no_terms=(), since_id=0, max_id=0, count=100):
    asked = asked_of(lists, words, terms, no_words, no_terms)
    found = ([], []) if asked is None else whole(lists.best(asked, max_id, since_id, count, rank))
    return None if found is None else list(zip(map(float, found[1]), ids_of(lists, found[0]), strict=True))


def ids_of(lists, found):
    return None if found is None else [] if not len(found) else lists.ids(found)


def filled(found):
    lists = Postings(tidy_from=8)
    lists.append(found)
    assert lists.check() == []
    return lists


def document(tweet_id, *stems, lang="en", terms=(), length=None, tfs=None):
    tfs = [1] * len(stems) if tfs is None else tfs
    return Document(tweet_id, tweet_id % 7, lang, len(stems) if length is None else length, stems, tfs, terms)


# ---- ranks -----------------------------------------------------------------------------------------------------------


def by_score(found, scores, count, ids, slots):
    return count


def equal(found, scores, count, ids, slots):
    scores[:count] = np.floor(scores[:count] * 2)
    return count


def of_even_slots(found, scores, count, ids, slots):
    here = slots[found[:count]] % 2 == 0
    kept = int(here.sum())
    found[:kept], scores[:kept] = found[:count][here], -scores[:count][here]
    return kept


PLAIN = {
    by_score: lambda d, score: score, equal: lambda d, score: np.floor(score * 2),
    of_even_slots: lambda d, score: -score if d[1] % 2 == 0 else None,
}  # fmt: skip


def below(cursor):
    """Return a rank of those that come after a cursor."""

    def rank(found, scores, count, ids, slots):
        here = [i for i in range(count) if (scores[i], ids[found[i]]) < cursor]
        found[: len(here)], scores[: len(here)] = found[here], scores[here]
        return len(here)

    return rank


def pairs_equal(found, wanted):
    """Whether (rank, id) are the same; ranks that are as good as equal may have changed places."""
    if [i for _, i in found] != [i for _, i in wanted]:
        found, wanted = ([(round(s, 7), i) for s, i in some] for some in (found, wanted))
        found, wanted = sorted(found, reverse=True), sorted(wanted, reverse=True)
    return [i for _, i in found] == [i for _, i in wanted] and np.allclose(
        [s for s, _ in found], [s for s, _ in wanted], rtol=1e-9, atol=0
    )


# ---- beside the twin -------------------------------------------------------------------------------------------------


@contextmanager
def sized(size):
    """Have searches go through so many postings a step, and segments be so large, with bits of what is so frequent."""
    places = (postings, "STEP_WORK"), (segment_bitmaps, "SEGMENT_SHIFT"), (segment_bitmaps, "SPARSENESS")
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), value in zip(places, size, strict=True):
            patch.setattr(module, name, value)
        yield


sizes = st.tuples(st.sampled_from([1, 3, 20_000]), st.sampled_from([1, 3, 7, 14]), st.sampled_from([1, 2, 4, 256]))


def all_alike(found, scores, count, ids, slots):
    scores[:count] = 0
    return count


@settings(max_examples=150)
@given(found=documents, search=searches(), size=sizes)
def test_what_is_added_between_two_steps_is_not_found_and_disturbs_nothing(found, search, size):
    *words, since_id, max_id, count = search
    wanted = newest(filled(found), *search[:-1], count=count)
    with sized(size):
        for rank in (None, all_alike):
            lists = filled(found)
            asked = asked_of(lists, *words)
            if asked is None:
                return
            if rank is None:
                steps = lists.newest(asked, max_id, since_id, count)
            else:
                steps = lists.best(asked, max_id, since_id, count, rank)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    left = end.value if rank is None else end.value[0]
                    break
                lists.append([found[0]._replace(tweet_id=lists.last_id + 1)])
            assert ids_of(lists, left) == wanted


@settings(max_examples=150)
@given(
    found=documents, parts=st.lists(st.integers(0, 9)), some=st.lists(searches(), min_size=1, max_size=6),
    size=sizes,
)  # fmt: skip
def test_whatever_is_added_in_parts_is_found_as_by_looking_at_each(found, parts, some, size):
    with sized(size):
        looked_for(found, parts, some)


def looked_for(found, parts, some):
    lists, twin = Postings(tidy_from=8), TwinPostings(TF_MAX, LENGTH_MAX)
    left = list(found)
    for size in [*parts, len(found)]:
        part, left = left[:size], left[size:]
        lists.append(iter(part))
        twin.documents += part
        assert lists.check() == []
        assert lists.last_id == (twin.documents[-1][0] if twin.documents else 0)
        for *asked, count in some:
            assert newest(lists, *asked, count) == [d[0] for d in twin.matching(*asked)][:count]
    for d in found:
        assert lists.place(d.tweet_id) == d.slot
    assert lists.count == len(found)


@settings(max_examples=150)
@given(found=documents, search=searches(), rank=st.sampled_from(list(PLAIN)), size=sizes)
def test_the_best_are_those_of_bm25_by_hand(found, search, rank, size):
    with sized(size):
        ranked_by_hand(found, search, rank)


def ranked_by_hand(found, search, rank):
    lists, twin = filled(found), TwinPostings(TF_MAX, LENGTH_MAX)
    twin.documents = list(found)
    *asked, count = search
    wanted = [(PLAIN[rank](d, twin.score(d, asked[0])), d[0]) for d in twin.matching(*asked)]
    wanted = sorted(((s, i) for s, i in wanted if s is not None), reverse=True)
    everything = best(lists, rank, *asked, len(found) + 1)
    assert pairs_equal(everything, wanted)
    assert everything == sorted(everything, reverse=True)
    assert best(lists, rank, *asked, count) == everything[:count]
    assert lists.check() == []


@given(found=documents, search=searches(), size=st.integers(1, 4))
def test_pages_below_a_cursor_are_the_whole_in_its_order(found, search, size):
    lists = filled(found)
    *asked, _ = search
    wanted = best(lists, by_score, *asked, len(found) + 1)
    paged, cursor = [], (np.inf, 0)
    while page := best(lists, below(cursor), *asked, size):
        paged += page
        cursor = page[-1]
    assert paged == wanted


@settings(max_examples=40)
@given(data=st.data())
def test_the_rank_of_top_is_that_of_its_formula(data):
    count = data.draw(st.integers(0, 12))
    ints = st.integers(0, 50)
    column = {name: np.array(data.draw(st.lists(ints, min_size=16, max_size=16)), np.int32)
              for name in ("likes", "reposts", "replies")}  # fmt: skip
    authors = np.array(data.draw(st.lists(st.integers(1, 6), min_size=16, max_size=16)))
    now_ms = 1_000_000
    ids = np.array([(now_ms - 40_000 * (12 - n)) << 16 | n for n in range(16)])
    slots = np.array(data.draw(st.permutations(range(16))))
    tweet_ids = np.zeros(16, np.int64)
    tweet_ids[slots] = ids
    gone = data.draw(st.sets(st.integers(0, 15), max_size=3))
    tweet_ids[[slots[n] for n in gone]] = 99
    following = np.array(sorted(data.draw(st.sets(st.integers(0, 8)))), np.int64)
    weights = Weights(half_life_ms=100_000.0)
    scores = np.array([1.0 + n % 3 for n in range(16)])
    places = sorted(data.draw(st.permutations(range(16)))[:count])

    def ranked():
        found, worth = np.array([*places, 0]), np.array([*scores[places], 0.0])
        left = postings_kernels.ranked(
            found, worth, count, ids, slots, tweet_ids, column["likes"], column["reposts"], column["replies"], authors,
            following, now_ms, weights.freshness_floor, -1 / weights.half_life_ms, 1 + weights.closeness_bonus,
            np.empty(count),
        )  # fmt: skip
        return sorted(zip(worth[:left].tolist(), ids[found[:left]].tolist(), strict=True), reverse=True)

    wanted = []
    for n in places:
        slot, age_ms = slots[n], max(now_ms - (int(ids[n]) >> 16), 0)
        engagement = column["likes"][slot] + 2.0 * column["reposts"][slot] + column["replies"][slot]
        score = scores[n] * np.log2(2 + engagement) * (0.05 + 0.95 * 2 ** (-age_ms / 100_000))
        if n not in gone:
            wanted.append((score * (2 if authors[slot] in following else 1), int(ids[n])))
    assert pairs_equal(ranked(), sorted(wanted, reverse=True))


@given(found=documents, data=st.data())
def test_where_documents_lie_among_the_arrivals_is_believed_as_long_as_it_holds(found, data):
    lists = filled(found)
    count, hidden_flags = len(found), 2
    slots = {d.tweet_id: n for n, d in enumerate(found)}
    for d in found:
        lists.moved(lists.place(d.tweet_id), slots[d.tweet_id])
    some = st.sets(st.integers(0, max(count - 1, 0)))
    gone, hidden, known, left = (data.draw(some) for _ in range(4))
    tweet_ids = np.array([0 if n in gone else d.tweet_id for n, d in enumerate(found)], np.int64)
    flags = np.array([hidden_flags | 1 if n in hidden else 1 for n in range(count)], np.uint8)
    arrived = np.array([0 if n in left else d.tweet_id for n, d in enumerate(found)][::-1], np.int64)
    for n in known & set(range(count)):
        lists.arrived(lists.place(found[n].tweet_id), count - 1 - n)
    places = lists.arrivals(np.array([lists.place(d.tweet_id) for d in found], np.int64), tweet_ids, flags, 2, arrived)
    is_known = [n in known and n not in gone | hidden | left for n in range(count)]
    assert places == [count - 1 - n if is_known[n] else -1 for n in range(count)]


# ---- what can't be added ---------------------------------------------------------------------------------------------


def test_what_comes_too_late_is_refused_and_what_came_before_it_is_there(monkeypatch):
    monkeypatch.setattr(postings, "LATE_MAX", 1)
    lists = filled([document(10, "a"), document(20, "a", "b")])
    with pytest.raises(ValueError, match="tweet 5 "):
        lists.append([document(5, "a", "new", lang="fr", terms=["#new"]), document(40, "a")])
    assert lists.check() == []
    assert newest(lists, [("a", {})], []) == [20, 10]
    with pytest.raises(ValueError, match="tweet 9 "):
        lists.append([document(30, "a", terms=["#x"]), document(9, "a"), document(40, "a")])
    assert lists.check() == []
    assert newest(lists, [("a", {})], []) == [30, 20, 10]
    assert newest(lists, [], ["#x"]) == [30]
    assert lists.row("#new") == -1
    lists.append([document(29, "a"), document(31, "a")])
    assert newest(lists, [("a", {})], [], count=1) == [31]
    assert lists.check() == []


@settings(max_examples=100)
@given(st.permutations(range(1, 60)), st.integers(1, 9), sizes, st.data())
def test_tweets_in_any_order_are_found_in_theirs(order, count, size, data):
    with sized(size):
        found_in_any_order(order, count, data)


def found_in_any_order(order, count, data):
    lists, ids = Postings(), [n * 10 for n in order]
    lists.append([document(n, "a", *(["b"] if n % 3 else []), lang="en" if n % 4 else "fr") for n in ids])
    assert lists.check() == []
    assert all(lists.place(n) == place for place, n in enumerate(ids))
    assert lists.place(data.draw(st.sampled_from(ids)) + 1) == -1
    max_id, since_id = data.draw(st.integers(0, 610)), data.draw(st.integers(0, 610))
    left = [n for n in sorted(ids, reverse=True) if n >= since_id and (not max_id or n < max_id)]
    assert newest(lists, [("a", {})], [], max_id=max_id, since_id=since_id, count=count) == left[:count]
    both = [n for n in left if n % 3]
    assert newest(lists, [("a", {}), ("b", {})], [], max_id=max_id, since_id=since_id, count=count) == both[:count]


def test_a_language_too_many_is_refused_and_what_came_before_it_is_there():
    most = LANGUAGES_MAX - 1  # beside what has none
    lists = filled([document(n, "a", f"own{n}", lang=f"l{n}") for n in range(1, most)])
    with pytest.raises(ValueError, match="no room for language 'toomany'"):
        lists.append([
            document(1_000, "a", "b", lang=f"l{most}"), document(1_001, "a", "z", lang="toomany", terms=["#z"])
        ])  # fmt: skip
    assert lists.check() == []
    assert lists.last_id == 1_000
    asked = Asked(lists.lists_of("a", dict, lambda _: ["a"])[np.newaxis], *[np.zeros(0, np.int64)] * 3)
    asked = asked._replace(no_words=np.zeros((0, LANGUAGES_MAX), np.int32))
    assert lists.ids(whole(lists.newest(asked, 0, 0, 1_000))) == [1_000, *range(most - 1, 0, -1)]
    assert lists.ids(whole(lists.newest(asked, 0, 0, 3))) == [1_000, most - 1, most - 2]
    lists.append([document(1_002, "a", lang="l7")])
    assert lists.ids(whole(lists.newest(asked, 0, 0, 2))) == [1_002, 1_000]


def test_what_does_not_belong_together_is_refused():
    lists = filled([document(1, "a")])
    with pytest.raises(ValueError, match="tweet 2 "):
        lists.append([document(2, "a", "b", tfs=[1])])
    assert lists.check() == []
    assert newest(lists, [("a", {})], []) == [1]


def test_more_documents_than_a_posting_can_number_are_refused(monkeypatch):
    monkeypatch.setattr(postings, "DOCUMENTS_MAX", 2)
    with pytest.raises(ValueError, match="as number 2"):
        Postings().append(document(n, "a") for n in (1, 2, 3))


# ---- bounds ----------------------------------------------------------------------------------------------------------


def test_a_search_that_would_go_through_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(postings, "SEARCH_WORK_MAX", 10)
    lists = filled([
        *[document(n, "a", *(["rare"] if n == 7 else []), terms=["#x"]) for n in range(1, 9)],
        *[document(n, "a", lang="de") for n in range(9, 12)],
    ])  # fmt: skip
    a, rare = ("a", {}), ("rare", {})
    assert newest(lists, [a], []) is None  # 8 in one language and 3 in the other
    assert best(lists, by_score, [a], []) is None
    assert newest(lists, [a, rare], []) == [7]  # the shortest list counts
    assert newest(lists, [a], ["#x"]) is None  # it may have to be gone through in either
    assert len(best(lists, by_score, [], ["#x"])) == 8
    assert newest(lists, [rare], [], no_words=[a]) == []
    lists.append([document(n, terms=["#x"]) for n in range(20, 22)])
    assert newest(lists, [], ["#x"], count=3) == [21, 20, 8]
    lists.append([document(22, terms=["#x"])])
    assert newest(lists, [], ["#x"]) is best(lists, by_score, [], ["#x"]) is None


def test_of_equal_ranks_the_newer_come_first():
    lists = filled([document(n, "a", *["b"] * (n % 5 == 0)) for n in range(1, 41)])

    def five_are_better(found, scores, count, ids, slots):
        scores[:count] = ids[found[:count]] % 5 == 0
        return count

    found = best(lists, five_are_better, [("a", {})], [], count=11)
    assert found == [*[(1.0, n) for n in range(40, 0, -5)], (0.0, 39), (0.0, 38), (0.0, 37)]
    assert best(lists, five_are_better, [("a", {})], [], count=3) == [(1.0, 40), (1.0, 35), (1.0, 30)]


def test_without_documents_or_matches_nothing_is_found():
    lists = Postings()
    lists.append([])
    assert lists.check() == []
    assert (lists.last_id, lists.count, lists.term_count, lists.place(5), lists.row("#x")) == (0, 0, 0, -1, -1)
    assert newest(lists, [("a", {})], []) == best(lists, by_score, [("a", {})], []) == []
    lists.append([document(3), document(4, "a"), document(5, "b", lang="de")])
    assert lists.check() == []
    for words in ([("a", {}), ("b", {})], [("nosuch", {})], [("a", {}), ("nosuch", {})]):
        assert newest(lists, words, []) == best(lists, by_score, words, []) == []
    assert newest(lists, [("a", {})], [], max_id=4) == newest(lists, [("a", {})], [], since_id=5) == []
    assert newest(lists, [("a", {})], [], since_id=4, max_id=5) == [4]
    assert newest(lists, [("a", {})], [], since_id=5, max_id=4) == []


# ---- what changes later ----------------------------------------------------------------------------------------------


def test_a_word_that_is_met_in_another_language_is_found_there_although_its_lists_were_kept():
    word = ("cats", {"en": "cat", "fr": "chat"})
    lists = filled([document(1, "dog")])
    assert newest(lists, [word], []) == []
    seen = []
    for tweet_id, stem, lang, is_found in (
        (2, "cat", "en", True), (3, "chat", "en", False), (4, "chat", "fr", True), (5, "cats", "ja", True),
        (6, "cat", "ja", False), (7, "cats", "en", False), (8, "cats", "de", True),
    ):  # fmt: skip
        lists.append([document(tweet_id, stem, lang=lang)])
        seen += [tweet_id] * is_found
        assert newest(lists, [word], []) == seen[::-1]
        assert newest(lists, [("dog", {})], []) == [1]


def test_lists_of_a_word_are_kept_until_one_of_its_stems_is_met_elsewhere():
    lists, calls = filled([document(1, "cat")]), []

    def choose():
        calls.append(1)
        return {"en": "cat"}

    for _ in range(3):
        lists.lists_of("cats", choose, lambda _: ["cat", "cats"])
    lists.append([document(2, "cat"), document(3, "other", lang="fr")])
    lists.lists_of("cats", choose, lambda _: ["cat", "cats"])
    assert len(calls) == 1
    lists.append([document(4, "cats", lang="fr")])
    lists.lists_of("cats", choose, lambda _: ["cat", "cats"])
    assert len(calls) == 2


def test_more_words_than_are_kept_are_found_all_the_same(monkeypatch):
    monkeypatch.setattr(postings, "WORDS_KEPT", 3)
    lists = filled([document(n, f"w{n}") for n in range(1, 9)])
    for _ in range(2):
        for n in (1, 2, 3, 4, 5, 6, 7, 8, 7, 1):
            assert newest(lists, [(f"w{n}", {})], []) == [n]
            assert len(lists._kept) <= 3


def test_a_documents_place_is_known_and_what_rests_elsewhere_is_noted():
    lists = filled([document(n, "a") for n in (10, 20, 30)])
    assert [lists.place(n) for n in (5, 10, 15, 20, 30, 31)] == [-1, 0, -1, 1, 2, -1]
    assert lists.missing(np.array([30, 5, 20, 31])).tolist() == [5, 31]
    assert lists.missing(np.zeros(0, np.int64)).tolist() == []
    lists.moved(1, 77)
    rested = []

    def rank(found, scores, count, ids, slots):
        rested.extend(slots[found[:count]].tolist())
        return 0

    assert best(lists, rank, [("a", {})], []) == []
    assert sorted(rested) == sorted([10 % 7, 77, 30 % 7])
    assert lists.gone_count == 0


# ---- many ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [5, 9, 12, 14])
def test_thousands_of_documents_make_columns_arena_and_bitmaps_grow(shift):
    with sized((4_000, shift, 20)):
        thousands_are_found(shift)


def thousands_are_found(shift):
    rng = np.random.default_rng(3)
    lists, twin = Postings(tidy_from=64), TwinPostings(TF_MAX, LENGTH_MAX)
    bytes_before = lists.nbytes()
    for first in range(0, 6_000, 37):
        part = []
        for n in range(first, min(first + 37, 6_000)):
            stems = [f"s{k}" for k in np.unique(rng.zipf(1.3, 8) % 500)]
            terms = ["#often"] * (n % 3 == 0) + [f"#t{n % 700}"]
            part.append(document(
                n * 10 + 5, *stems, lang=LANGS[n % 3], tfs=rng.integers(1, 90, len(stems)).tolist(), terms=terms,
                length=int(rng.integers(1, 60)),
            ))  # fmt: skip
        lists.append(part)
        twin.documents += part
    assert lists.check() == []
    assert lists.nbytes() > bytes_before
    assert bool(lists.bitmaps.container_count) == (shift < 14)
    for words, terms, no_words, no_terms in (
        ([("s1", {})], [], [], []), ([("s1", {}), ("s2", {})], [], [("s3", {})], []), ([], ["#often"], [], ["#t0"]),
        ([("s5", {"en": "s6"})], ["#often"], [], []), ([("s1", {}), ("s2", {}), ("s4", {})], [], [], ["#often"]),
        ([("s7", {})], ["#t7"], [], []), ([("s499", {})], [], [], []),
    ):  # fmt: skip
        wanted = [d[0] for d in twin.matching(words, terms, no_words, no_terms)]
        assert newest(lists, words, terms, no_words, no_terms, count=6_000) == wanted
        assert newest(lists, words, terms, no_words, no_terms, count=21) == wanted[:21]
        middle = 30_005
        older = [i for i in wanted if 20_000 <= i < middle]
        assert newest(lists, words, terms, no_words, no_terms, 20_000, middle, 21) == older[:21]
        found = best(lists, by_score, words, terms, no_words, no_terms, count=6_000)
        assert sorted(i for _, i in found) == sorted(wanted)
        assert best(lists, by_score, words, terms, no_words, no_terms, count=30) == found[:30]


def test_where_memory_ends_lists_are_looked_up_without_bits(monkeypatch):
    def words(elements):
        return SimpleNamespace(data=np.zeros(elements, np.uint64))

    found = [document(n, "a", *["b"] * (n % 2), *["c"] * (n % 3 == 0)) for n in range(1, 400)]
    for room in (0, 3, 40):
        monkeypatch.setattr(segment_bitmaps, "Reserved", lambda dtype, room=room: words(room))
        with sized((4_000, 6, 8)):
            lists = filled(found)
        assert lists.bitmaps.container_count == min(room, 18)
        assert newest(lists, [("a", {}), ("b", {})], [], [("c", {})]) == [
            n for n in range(399, 0, -1) if n % 2 and n % 3
        ][:100]  # fmt: skip


def test_a_check_finds_bits_that_are_not_what_the_lists_have():
    with sized((4_000, 4, 4)):
        lists = filled([document(n, "a", *["b"] * (n % 2)) for n in range(1, 40)])
    lists.bitmaps.bits[1] ^= np.uint64(1 << 3)
    assert [problem[:40] for problem in lists.check()] == ["the container of list 1 and segment 0 is"]
    lists.bitmaps.containers[2, 0] = 0
    assert any("containers belong to a list" in problem for problem in lists.check())
