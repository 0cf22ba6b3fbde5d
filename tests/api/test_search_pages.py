"""Pages that are made of the answers of several shards, against all tweets sorted in one list."""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.search.cache import ShardsHeard
from api.search.cursor import parse_cursor_of_top, unpack_ids
from api.search.pages import Found, Gathering, Question, share_of

NOBODY: list[Any] = [0, b"", b""]
TREE = ["word", "x"]
Tweets = list[tuple[float, int]]  # (score, id)

shards_of_tweets = st.lists(st.tuples(st.integers(0, 3), st.sampled_from((0.5, 1.0, 2.0))), max_size=60).map(
    lambda found: [[(score, 100 + i) for i, (at, score) in enumerate(found) if at == s] for s in range(4)]
)


def question(order: str, count: int, **more: Any) -> Question:
    fields = {
        "max_id": 0,
        "since_id": 0,
        "min_id": 0,
        "at_ms": 7,
        "shown": b"",
        "exact": False,
        "highlights": False,
    }
    return Question(text="x", order=order, count_max=count, reader=0, **(fields | more))


class Shard:
    """Answers as a shard does. looks_at: tweets that it goes through for one answer at most."""

    def __init__(self, tweets: Tweets, hidden: set[int], looks_at: int = 10_000) -> None:
        self.tweets, self.hidden, self.looks_at = tweets, hidden, looks_at
        self.asked = 0

    def search(self, args: list[Any]) -> list[Any]:
        _, order, count, cursor, _, _, highlight = args
        self.asked += 1
        if order == "top":
            shown = unpack_ids(cursor)
            found = sorted((t for t in self.tweets if t[1] not in shown), reverse=True)
        else:
            max_id, min_id = cursor
            found = [t for t in self.tweets if (not max_id or t[1] < max_id) and t[1] > min_id]
            found.sort(key=lambda t: t[1], reverse=not min_id)
        looked = found[: self.looks_at]
        rows = [t for t in looked if t[1] not in self.hidden][: count + 1]
        is_more = len(rows) > count
        rows = rows[:count]
        edge = rows[-1][1] if is_more else looked[-1][1] if len(looked) < len(found) else 0
        if order == "top":
            edge = int(is_more)
        elif min_id:
            rows.reverse()
        return [[[score, i, b"%d" % i] for score, i in rows], edge, [[i] for _, i in rows] if highlight else []]


def page(
    shards: list[Shard], asked: Question, failing: tuple[int, ...] = (), meanwhile: Callable[[], None] = lambda: None
) -> Found:
    """Return a page as `TweetSearch` makes it. failing: shards that don't answer a second time; meanwhile(): is called
    between the two questions."""
    gathering = Gathering(asked, len(shards))
    args = gathering.question(TREE, NOBODY)
    for i, shard in enumerate(shards):
        gathering.take(i, shard.search(args))
    ends = gathering.open_ends()
    meanwhile()
    for i, edge, count in ends:
        if i not in failing:
            gathering.take(i, shards[i].search(gathering.question_beyond(TREE, NOBODY, i, edge, count)))
    return gathering.found(ShardsHeard(len(shards), len(shards)))


def next_of(asked: Question, found: Found) -> Question | None:
    if found.cursor is None:
        return None
    if asked.order == "latest":
        return asked._replace(max_id=int(found.cursor))
    at_ms, shown = parse_cursor_of_top(found.cursor)
    return asked._replace(at_ms=at_ms, shown=shown)


@pytest.mark.parametrize("order", ["latest", "top"])
@given(tweets=shards_of_tweets, count=st.integers(1, 25), hidden=st.sets(st.integers(100, 160)), one=st.booleans())
def test_pages_are_those_of_one_list_of_all_tweets(order, tweets, count, hidden, one):
    if one:  # all of one shard: those of the others' share are missing at first
        tweets = [[t for part in tweets for t in part], [], [], []]
    key = (lambda t: t) if order == "top" else (lambda t: t[1])
    everything = sorted((t for part in tweets for t in part if t[1] not in hidden), key=key, reverse=True)
    shards = [Shard(part, hidden) for part in tweets]
    asked: Question | None = question(order, count)
    seen: list[int] = []
    while asked is not None:
        found = page(shards, asked)
        ids = [row[1] for row in found.rows]
        assert ids == [i for _, i in everything[len(seen) : len(seen) + count]]
        seen += ids
        asked = next_of(asked, found)
        assert asked is None or ids, "a page without tweets leads nowhere"
    assert seen == [i for _, i in everything]


@given(
    tweets=shards_of_tweets, count=st.integers(1, 25), hidden=st.sets(st.integers(100, 160)),
    looks_at=st.integers(1, 9), failing=st.sets(st.integers(0, 3)), order=st.sampled_from(("latest", "top")),
)  # fmt: skip
def test_pages_lead_through_everything_once_though_shards_look_at_little_or_fail(
    tweets, count, hidden, looks_at, failing, order
):
    looks_at = 10_000 if order == "top" else looks_at
    shards = [Shard(part, hidden, looks_at) for part in tweets]
    asked: Question | None = question(order, count)
    seen: list[int] = []
    for _ in range(200):
        found = page(shards, asked, tuple(failing))
        seen += [row[1] for row in found.rows]
        asked = next_of(asked, found)
        if asked is None:
            break
    key = (lambda t: t) if order == "top" else (lambda t: t[1])
    everything = sorted((t for part in tweets for t in part if t[1] not in hidden), key=key, reverse=True)
    assert seen == [i for _, i in everything]


@given(tweets=shards_of_tweets, count=st.integers(1, 25), since_id=st.integers(100, 160), is_min=st.booleans())
def test_windows_are_those_of_one_list(tweets, count, since_id, is_min):
    newer = sorted((i for part in tweets for _, i in part if i > since_id), reverse=True)
    asked = question("latest", count, **{"min_id" if is_min else "since_id": since_id})
    found = page([Shard(part, set()) for part in tweets], asked)
    assert [row[1] for row in found.rows] == (newer[-count:] if is_min else newer[:count])


@given(tweets=shards_of_tweets, count=st.integers(1, 25), order=st.sampled_from(("latest", "top")))
def test_highlights_are_those_of_the_page(tweets, count, order):
    found = page([Shard(part, set()) for part in tweets], question(order, count, highlights=True))
    assert found.spans == {str(row[1]): [row[1]] for row in found.rows}


# ---- ranks that move -------------------------------------------------------------------------------------------------


class Moving:
    """Shards whose tweets come, go, and change their ranks."""

    def __init__(self, shards: list[Shard]) -> None:
        self.shards = shards
        self.stayed = {i for shard in shards for _, i in shard.tweets}  # that were there all the time
        self.unmoved = set(self.stayed)  # and whose ranks never changed
        self._next_id = 200

    def change(self, what: str, n: int, score: float) -> None:
        shard = self.shards[n % len(self.shards)]
        if what == "comes":
            shard.tweets.append((score, self._next_id))
            self._next_id += 1
        elif shard.tweets:
            _, tweet_id = shard.tweets.pop(n % len(shard.tweets))
            self.unmoved.discard(tweet_id)
            if what == "goes":
                self.stayed.discard(tweet_id)
            else:
                shard.tweets.append((score, tweet_id))


changes = st.lists(
    st.lists(st.tuples(st.sampled_from(("moves", "moves", "goes", "comes")), st.integers(0, 60), st.floats(0, 3)),
             max_size=6),
    max_size=40,
)  # fmt: skip
failures = st.lists(st.sets(st.integers(0, 3)), max_size=20)


@given(tweets=shards_of_tweets, count=st.integers(1, 25), between=changes, within=changes, failing=failures)
def test_pages_by_rank_repeat_nothing_and_leave_nothing_out_whatever_moves(tweets, count, between, within, failing):
    moving = Moving([Shard(part, set()) for part in tweets])
    asked: Question | None = question("top", count)
    seen: list[int] = []
    for n in range(400):

        def meanwhile(n: int = n) -> None:
            for each in within[n] if n < len(within) else ():
                moving.change(*each)

        found = page(moving.shards, asked, tuple(failing[n]) if n < len(failing) else (), meanwhile)
        assert len(found.rows) <= count
        assert [row[:2] for row in found.rows] == sorted((row[:2] for row in found.rows), reverse=True)
        seen += [row[1] for row in found.rows]
        asked = next_of(asked, found)
        if asked is None:
            break
        for each in between[n] if n < len(between) else ():
            moving.change(*each)
    assert len(seen) == len(set(seen))
    assert moving.stayed <= set(seen)


@given(tweets=shards_of_tweets, count=st.integers(1, 25), between=changes, most=st.integers(1, 30))
def test_a_list_by_rank_has_so_many_tweets_and_what_stayed_as_it_was_comes_in_its_place(tweets, count, between, most):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("api.search.pages.RANKED_COUNT_MAX", most)
        moving = Moving([Shard(part, set()) for part in tweets])
        asked: Question | None = question("top", count)
        seen: list[int] = []
        least = float("inf")
        for n in range(100):
            found = page(moving.shards, asked)
            seen += [row[1] for row in found.rows]
            least = min([least, *(row[0] for row in found.rows)])
            asked = next_of(asked, found)
            if asked is None:
                break
            for each in between[n] if n < len(between) else ():
                moving.change(*each)
    scores = {i: score for shard in moving.shards for score, i in shard.tweets}
    assert len(seen) == len(set(seen)) <= most
    if len(seen) < most:
        assert moving.stayed <= set(seen)
    assert all(scores[i] <= least for i in moving.unmoved - set(seen))


def test_a_tweet_whose_rank_has_fallen_meanwhile_is_on_the_page_once():
    first, second = Shard([(9.0, i) for i in range(100, 140)], set()), Shard([], set())

    def fall() -> None:
        first.tweets = [(8.0, 139), *((9.0, i) for i in range(100, 102))]

    ids = [row[1] for row in page([first, second], question("top", 20), (), fall).rows]
    assert len(ids) == len(set(ids))


def test_a_tweet_whose_rank_has_risen_meanwhile_is_on_this_page_or_on_the_next():
    first, second = Shard([(9.0 - n, 100 + n) for n in range(40)], set()), Shard([], set())

    def rise() -> None:
        first.tweets[30] = (99.0, 130)

    asked = question("top", 20)
    found = page([first, second], asked, (), rise)
    again = page([first, second], next_of(asked, found))
    assert sorted(row[1] for row in [*found.rows, *again.rows]) == list(range(100, 140))


def test_a_shard_is_asked_for_what_it_likely_has_of_a_page():
    assert [share_of(20, shards) for shards in (1, 2, 4, 8)] == [20, 14, 10, 7]
    for count in (1, 2, 5, 20, 40, 80):
        for shards in (1, 2, 3, 8, 64):
            share = share_of(count, shards)
            assert 1 <= share <= count
            beyond = sum(
                comb(count, n) * (shards - 1) ** (count - n) / shards**count for n in range(share + 1, count + 1)
            )
            assert shards * beyond <= 0.05


def test_few_pages_of_tweets_on_all_shards_alike_need_a_second_question():
    shards = [Shard([(1.0, i) for i in range(s, 4000, 2)], set()) for s in range(2)]
    found = page(shards, question("latest", 20))
    assert len(found.rows) == 20
    assert [shard.asked for shard in shards] == [1, 1]
