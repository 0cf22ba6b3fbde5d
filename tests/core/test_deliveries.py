"""Deliveries to many followers in pieces, tweets in batches, rings built at once: each beside the plain way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core import ids, limits
from actors.core.arrays import restore_kernels
from actors.core.entries import TweetBatch
from actors.core.timelines.deliveries import Deliveries
from actors.core.verify import check, digest
from tests.core.harness import SMALL, Shards

MANY = 12
TUNING = replace(SMALL, timeline_length=40, arrivals_max=256, deliver_at_once_max=4)


def make(tuning: limits.Tuning = TUNING, authors: int = 2) -> tuple[Shards, list[int], list[int]]:
    """Return one shard, some authors, and readers who are awake and follow all of them."""
    cluster = Shards(1, tuning)
    everyone = list(range(1, 1 + authors + MANY))
    cluster.register(*everyone)
    writers, readers = everyone[:authors], everyone[authors:]
    for account in everyone:
        cluster.home(account)
    for reader in readers:
        for writer in writers:
            cluster.do("follow", reader, writer)
    return cluster, writers, readers


def deliveries_of(cluster: Shards) -> Deliveries:
    found: Deliveries = cluster.replicas[0].state.deliveries
    return found


def test_the_author_sees_a_tweet_at_once_and_every_follower_in_the_end():
    cluster, (ada, _), readers = make()
    tweet = cluster.post(ada)
    assert cluster.home(ada) == [tweet]
    assert [cluster.home(r) for r in readers] == [[]] * MANY
    deliveries, seen = deliveries_of(cluster), []
    while deliveries.piece(3):
        seen.append(sum(cluster.home(r) == [tweet] for r in readers))
    assert seen == [3, 6, 9]
    assert all(cluster.home(r) == [tweet] for r in readers)
    assert deliveries.waiting_count == 0
    cluster.check()


def test_turns_go_round_the_authors_and_each_author_keeps_its_order():
    cluster, (ada, bob), readers = make()
    first, second = cluster.post(ada), cluster.post(ada)
    other = cluster.post(bob)
    deliveries, finished = deliveries_of(cluster), []
    while deliveries.backlog:
        deliveries.piece(MANY)
        homes = cluster.home(readers[-1])
        finished += [t for t in homes if t not in finished]
    assert finished == [first, other, second]
    assert cluster.home(readers[0]) == [other, second, first]


def test_small_authors_do_not_wait_for_large_ones():
    cluster, (ada, _), readers = make()
    cluster.post(ada)
    zoe = 100
    cluster.register(zoe)
    cluster.do("follow", readers[0], zoe)
    tweet = cluster.post(zoe)
    assert cluster.home(readers[0]) == [tweet]
    assert deliveries_of(cluster).waiting_count == 1


@pytest.mark.parametrize("leaving", [0, 5, MANY - 1])
def test_a_follower_who_leaves_half_way_costs_nobody_the_tweet(leaving):
    """The list of followers closes the gap; the place in it has to move along."""
    cluster, (ada, _), readers = make()
    tweet = cluster.post(ada)
    deliveries_of(cluster).piece(6)
    cluster.do("unfollow", readers[leaving], ada)
    deliveries_of(cluster).drain()
    for i, reader in enumerate(readers):
        assert cluster.home(reader) == ([] if i == leaving else [tweet])
    cluster.check()


def test_a_follower_who_comes_half_way_has_the_tweet_once():
    cluster, (ada, _), readers = make()
    tweet = cluster.post(ada)
    deliveries_of(cluster).piece(6)
    late = 90
    cluster.register(late)
    cluster.home(late)
    cluster.do("follow", late, ada)
    deliveries_of(cluster).drain()
    assert all(cluster.home(r) == [tweet] for r in (*readers, late))
    cluster.check()


def test_what_waits_lands_before_it_leaves_the_window():
    cluster, (ada, _), readers = make(replace(TUNING, arrivals_max=32, timeline_length=6))
    tweet = cluster.post(ada)
    zoe = 100
    cluster.register(zoe)
    for _ in range(40):
        cluster.post(zoe)
        assert deliveries_of(cluster).check() == []
    assert deliveries_of(cluster).waiting_count == 0
    assert cluster.home(readers[0]) == [tweet]


def test_one_landing_looks_at_a_bounded_number_of_followers(monkeypatch):
    monkeypatch.setattr("actors.core.timelines.deliveries.LAND_FOLLOWERS_MAX", 20)
    cluster, (ada, bob), readers = make(replace(TUNING, deliver_at_once_max=1000))
    rows = [[author, "hello", 0, 0, 0, b"", [], [], None] for author in (ada, bob, ada, bob, ada, bob, ada, bob)]
    tweets = cluster.write_on(0, "post_many", [rows])
    assert deliveries_of(cluster).waiting_count == 7  # the first whole, the second in part
    assert cluster.home(bob) == sorted(tweets[1::2], reverse=True)
    deliveries_of(cluster).drain()
    assert all(cluster.home(r) == sorted(tweets, reverse=True) for r in readers)
    cluster.check()


def test_a_recovery_delivers_what_had_been_waiting():
    cluster, (ada, _), readers = make()
    tweet = cluster.post(ada)
    before = digest(cluster.replicas[0].state)
    recovered = Shards(1, TUNING, level=0)  # its journal is the other's
    for position, record in enumerate(cluster.journals[0], 1):
        recovered.replicas[0].replay(position, record)
    recovered.journals[0] = list(cluster.journals[0])
    assert digest(recovered.replicas[0].state) == before
    deliveries_of(recovered).drain()
    assert all(recovered.home(r) == [tweet] for r in readers)


BATCHES = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, 0, 0, 1])), min_size=8, max_size=30)


@given(batches=st.lists(BATCHES, min_size=1, max_size=3), capacity=st.sampled_from([32, 128]))
def test_many_tweets_at_once_are_the_same_tweets_one_at_a_time(batches, capacity):
    """Same ids, same stored tweets, same timelines on both shards, whichever way they came."""
    tuning = replace(TUNING, arrivals_max=capacity, timeline_length=6, deliver_at_once_max=2)
    together, apart = Shards(2, tuning), Shards(2, tuning)
    accounts = [together.account_on(0, i) for i in range(6)] + [together.account_on(1, i) for i in range(4)]
    for cluster in (together, apart):
        cluster.register(*accounts)
        for account in accounts:
            cluster.home(account)
        for i, reader in enumerate(accounts):
            for author in accounts[: i % 5]:
                if reader != author:
                    cluster.do("follow", reader, author)
    for batch in batches:
        rows = [[accounts[who], "hello", kind, 0, 0, b"", [], [accounts[-1]], None] for who, kind in batch]
        together.now_ms += 1
        apart.now_ms += 1
        made = together.write_on(0, "post_many", [rows])
        together.exchange()
        one_by_one = []
        for row in rows:
            one_by_one += apart.write_on(0, "post_many", [[row]])
        apart.exchange()
        assert made == one_by_one
    for cluster in (together, apart):
        for replica in cluster.replicas:
            replica.state.deliveries.drain()
            assert check(replica.state) == []
    tweets = [{t: r.state.tweets.get(t) for r in c.replicas for t in r.state.tweets.slot_of} for c in (together, apart)]
    assert tweets[0] == tweets[1]
    assert [together.home(a) for a in accounts] == [apart.home(a) for a in accounts]


def test_a_batch_travels_as_columns_and_comes_back_the_same():
    ids = np.array([70, 80, 90], dtype=np.int64)
    batch = TweetBatch(ids, ids + 1, np.array([0, 1, 4], np.uint8), ids + 2, [b"a", b"b", b"c"], {1: [5]})
    back = TweetBatch.from_message(*batch.take(np.array([0, 2])).to_message())
    assert [e.tweet_id for e in back.entries()] == [70, 90]
    assert back.entries()[1] == batch.entries()[2]
    assert batch.entries()[1].mention_ids == [5]


# ---- the loops of a recovery ------------------------------------------------------------------------------------


@given(given_ids=st.lists(st.integers(1, (1 << 63) - 1), max_size=40), more=st.lists(st.integers(1, 60), max_size=40))
def test_ids_are_numbered_in_the_order_in_which_they_are_first_seen(given_ids, more):
    numbering, twin = restore_kernels.Numbering(), {}
    for wanted in (given_ids, more, given_ids):
        expected = [twin.setdefault(i, len(twin)) for i in wanted]
        assert numbering.numbers_of_all(np.array(wanted, dtype=np.int64)).tolist() == expected
    assert numbering.ids().tolist() == list(twin)
    assert numbering.numbers(np.array([*more, 61], dtype=np.int64)).tolist() == [twin[i] for i in more] + [
        twin.get(61, -1)
    ]


def test_a_numbering_grows_past_its_first_table():
    ids = np.arange(1, 100_001, dtype=np.int64) * 7_919
    numbering = restore_kernels.Numbering(ids)
    assert numbering.numbers(ids[::-1]).tolist() == list(range(99_999, -1, -1))


@given(pairs=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1 << 40)), max_size=40))
def test_values_are_grouped_in_their_order(pairs):
    numbers, values = (np.array([p[i] for p in pairs], dtype=np.int64) for i in (0, 1))
    first, grouped = restore_kernels.group(numbers, values, 7)
    for number in range(7):
        expected = [v for n, v in pairs if n == number]
        assert grouped[first[number] : first[number + 1]].tolist() == expected


@given(places=st.lists(st.integers(0, 200), unique=True, max_size=60), step=st.sampled_from([1, 1_000]))
def test_places_are_put_in_order_dense_or_sparse(places, step):
    given_places = np.array(places, dtype=np.int64) * step + 7
    order = restore_kernels.order_of(given_places)
    found = given_places if order is None else given_places[order]
    assert found.tolist() == sorted(given_places.tolist())


def test_equal_places_keep_their_order():
    assert restore_kernels.order_of(np.array([3, 1, 3, 1], dtype=np.int64)).tolist() == [1, 3, 0, 2]


@given(edges=st.lists(st.tuples(st.integers(0, 3), st.integers(1, (1 << 63) - 1)), max_size=40))
def test_followers_are_counted_by_the_shards_that_own_them(edges):
    owner = np.arange(ids.BUCKET_COUNT, dtype=np.int64) % 3
    rows, accounts = (np.array([e[i] for e in edges], dtype=np.int64) for i in (0, 1))
    counts, expected = np.zeros((4, 3), dtype=np.int32), np.zeros((4, 3), dtype=np.int32)
    restore_kernels.count_owners(rows, accounts, owner, counts)
    for row, account in edges:
        expected[row, owner[ids.bucket_of_account(account)]] += 1
    assert counts.tolist() == expected.tolist()
