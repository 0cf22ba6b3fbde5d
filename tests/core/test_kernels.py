"""The page and log kernels beside plain loops, on random timelines."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actors.core import ids
from actors.core.arrays import kernels
from actors.core.arrays.arena import BlockArena
from actors.core.entries import Entry
from actors.core.timelines.arrivals import Arrivals
from tests.core.twins import Tweet, home, is_candidate, newest_of_logs, oldest_of_logs

AUTHORS = st.integers(1, 5)
HIDDEN = AUTHORS | AUTHORS.map(int.__neg__)  # whose tweets, and whose reposts
TWEETS = st.lists(st.tuples(AUTHORS, st.sampled_from([0, 0, 0, 1, 2, 2, 16]), AUTHORS, st.integers(1, 4)), max_size=25)
START = st.sampled_from([0, (1 << 32) - 16, (1 << 31) - 16])


def tweets_of(drawn) -> list[Tweet]:
    """Tweets with ids 10, 20, ...; a repost is of one of four tweets, 10 to 40, whose authors are 1 to 4."""
    found = []
    for i, (author, flags, reply_author, orig) in enumerate(drawn, start=1):
        reposted = (orig * 10, orig) if flags & kernels.FLAG_REPOST else (i * 10, author)
        found.append(Tweet(i * 10, author, flags, reply_author if flags & 1 else 0, *reposted))
    return found


def filled(tweets: list[Tweet], capacity: int, first_n: int) -> tuple[Arrivals, np.ndarray]:
    arrivals = Arrivals(capacity)
    arrivals.next_n = first_n
    ns = [
        arrivals.add(
            Entry(t.tweet_id, t.author, t.flags, t.reply_author, t.orig, t.orig_author, 0, 0, 0, b"", [], None)
        )
        for t in tweets
    ]
    return arrivals, np.array([n for n, _ in ns], dtype=np.uint32)


@given(
    drawn=TWEETS, me=AUTHORS, following=st.lists(AUTHORS, unique=True), hidden=st.lists(HIDDEN, unique=True),
    capacity=st.sampled_from([8, 16, 32]), floor=st.sampled_from([0, 0, 5, 55, 120]), count=st.integers(1, 30),
    max_id=st.sampled_from([ids.ID_MAX, ids.ID_MAX, 95, 150]), since_id=st.sampled_from([0, 0, 35, 100]),
    window=st.sampled_from([40, 3]), first_n=START,
)  # fmt: skip
def test_a_page_is_the_start_of_the_timeline_and_says_below_which_id_it_does_not_know(
    drawn, me, following, hidden, capacity, floor, count, max_id, since_id, window, first_n
):
    tweets = tweets_of(drawn)
    a, ns = filled(tweets, capacity, first_n)
    out = np.zeros(count, dtype=np.uint32)
    found, below = kernels.page(
        ns, a.tweet_id, a.author_id, a.flags, a.reply_author, a.orig_id, a.orig_author, a.next_n, a.capacity, floor,
        me, np.array(following, np.int64), np.array(sorted(hidden), np.int64), max_id, since_id, window, out,
    )  # fmt: skip
    page = [int(a.tweet_id[int(n) & a.mask]) for n in out[:found]]
    everything = home_within(tweets, me, following, hidden, window)
    wanted = [t for t in everything if since_id < t < max_id]
    decided = wanted if below < 0 else [t for t in wanted if t >= below]
    assert page == decided[:count]
    if below >= 0:
        assert found < count
    if floor == 0 and len(tweets) <= capacity:
        assert below == -1


def home_within(tweets, me, following, hidden, window) -> list[int]:
    if window == 40:
        return home(tweets, me, following, hidden)
    candidates = [t for t in sorted(tweets, reverse=True) if is_candidate(t, me, following, hidden)]
    return [
        t.tweet_id
        for i, t in enumerate(candidates)
        if not (t.flags & 2 and any(o.orig == t.orig for o in candidates[i + 1 : i + 1 + window]))
    ]


@given(st.tuples(AUTHORS, st.integers(0, 31), AUTHORS, AUTHORS), AUTHORS, st.lists(AUTHORS), st.lists(HIDDEN))
def test_the_rules_for_one_tweet_are_those_of_the_definition(drawn, me, following, hidden):
    author, flags, reply_author, orig_author = drawn
    got = kernels.is_candidate(
        author, flags, reply_author, orig_author, me, np.array(following, np.int64), np.array(hidden, np.int64)
    )
    assert got == is_candidate(Tweet(1, author, flags, reply_author, 1, orig_author), me, following, hidden)


@given(
    logs=st.lists(st.sets(st.integers(1, 30), max_size=8).map(sorted), min_size=1, max_size=4),
    bounds=st.tuples(st.integers(0, 31), st.integers(0, 31)),
    count=st.integers(1, 6),
)
def test_the_newest_and_the_oldest_of_many_logs_are_found(logs, bounds, count):
    arena = BlockArena(np.int64)
    for row, log in enumerate(logs):
        arena.append_many(np.full(len(log), row), np.array(log, dtype=np.int64))
    rows = np.array([row for row, log in enumerate(logs) if log], dtype=np.int64)
    held = [log for log in logs if log]
    out = np.zeros(sum(map(len, logs)), dtype=np.int64)
    found = kernels.newest_of_logs(arena.data, arena.start, arena.length, rows, *bounds, count, out)
    assert out[:found].tolist() == newest_of_logs(held, *bounds, count)
    found = kernels.oldest_of_logs(arena.data, arena.start, arena.length, rows, bounds[0], count, out)
    assert out[:found].tolist() == oldest_of_logs(held, bounds[0], count)


@given(keys=st.lists(st.integers(1, 30), unique=True), following=st.lists(st.integers(1, 30), unique=True), me=AUTHORS)
def test_members_of_a_list_count_while_they_are_followed(keys, following, me):
    members, is_followed = np.array(sorted(keys), np.int64), np.zeros(len(keys), np.bool_)
    kernels.note_followed(members, np.array(following, np.int64), me, is_followed)
    assert members[is_followed].tolist() == sorted(set(keys) & {*following, me})


@given(drawn=TWEETS, authors=st.lists(AUTHORS, unique=True), capacity=st.sampled_from([8, 16, 32]), first_n=START)
def test_entries_of_a_lists_members_are_those_above_what_is_lost(drawn, authors, capacity, first_n):
    tweets = tweets_of(drawn)
    a, ns = filled(tweets, capacity, first_n)
    above, floor_wanted = a.above_lost(ns, 5)
    out = np.empty_like(ns)
    count, floor = kernels.entries_of_authors(
        ns, a.tweet_id, a.author_id, a.next_n, a.capacity, a.lost_max_id, 5, np.array(sorted(authors), np.int64), out
    )
    of_authors = [int(n) for n in above if int(a.author_id[int(n) & a.mask]) in authors]
    assert (out[len(out) - count :].tolist(), floor) == (of_authors, floor_wanted)
