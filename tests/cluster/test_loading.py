"""Grouping of bulk loads, who writes what, the sample, and the oracle that judges them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import ConflictError
from actors.core.features.addresses import thing_of_address
from actors.core.ids import BUCKET_COUNT, bucket_of_account, bucket_of_name, bucket_of_thing
from api.access.mail_addresses import hash_of_address
from cluster.placement.shard_map import even_buckets
from commands.input_files import Edges, TextLine
from commands.loading import (
    REGISTER_BATCH_COUNT,
    BulkLoader,
    account_batches,
    draw_authors,
    follow_batches,
    idempotency_key,
    message_numbers,
)
from commands.oracle import DIRECT, REPLY, REPOST, Fact, NetworkFacts
from commands.sample import make_sample
from tests.api.core_cluster import CoreCluster

IDS = st.integers(1, 1 << 40)


@given(edges=st.lists(st.tuples(IDS, IDS), max_size=200), shards=st.integers(1, 8), size=st.integers(1, 50))
def test_follows_go_to_the_followers_shard_each_once_in_the_files_order(edges, shards, size):
    owner = even_buckets(shards)
    us, vs = (np.array([e[i] for e in edges], dtype=np.int64) for i in (0, 1))
    grouped = follow_batches(Edges(us, vs), np.frombuffer(owner, np.uint8).astype(np.int64), size)
    sent: list[tuple[int, int]] = []
    for shard, batches in grouped.items():
        for batch in batches:
            followers, followees = (np.frombuffer(side, "<i8").tolist() for side in batch.args)
            assert 1 <= batch.row_count == len(followers) == len(followees) <= size
            assert {owner[bucket_of_account(u)] for u in followers} == {shard}
            sent += zip(followers, followees, strict=True)
    assert Counter(sent) == Counter(edges)
    for u in {u for u, _ in edges}:
        assert [v for w, v in sent if w == u] == [v for w, v in edges if w == u]


def test_accounts_go_to_the_shard_of_their_name():
    owner = even_buckets(4)
    rows = [[f"User{i}", i, "", "", None, []] for i in range(1, 6_000)]
    grouped = account_batches(rows, lambda bucket: owner[bucket])
    assert sorted(row[1] for batches in grouped.values() for b in batches for row in b.args[0]) == list(range(1, 6_000))
    for shard, batches in grouped.items():
        assert all(b.row_count <= REGISTER_BATCH_COUNT for b in batches)
        assert all(owner[bucket_of_name(row[0])] == shard for b in batches for row in b.args[0])


async def test_addresses_are_whose_they_are_loaded_for_and_loading_again_changes_nothing():
    cluster = CoreCluster()
    loader, owners = BulkLoader(cluster), {f"a{i}@mail.example": i for i in range(1, 200)}
    counted: list[int] = []
    for _ in range(2):
        assert (await loader.addresses(owners, counted.append)).given == 199
    assert sum(counted) == 2 * 199
    thing = thing_of_address(hash_of_address("A7@mail.EXAMPLE"))
    assert cluster.answer(bucket_of_thing(thing), "address", [thing]) == 7
    with pytest.raises(ConflictError):
        await loader.addresses({"a7@mail.example": 8}, counted.append)


def test_authors_follow_a_power_law_and_the_seed():
    accounts = np.arange(10, 1_010)
    followees = np.repeat(np.array([500, 600]), [40, 30])
    drawn = draw_authors(accounts, followees, 20_000, seed=3)
    assert np.array_equal(drawn, draw_authors(accounts, followees, 20_000, seed=3))
    assert np.array_equal(drawn[:50], draw_authors(accounts, followees, 50, seed=3))
    assert not np.array_equal(drawn, draw_authors(accounts, followees, 20_000, seed=4))
    most = Counter(drawn.tolist()).most_common(2)
    assert [author for author, _ in most] == [500, 600]  # those with most followers write most
    assert 1.5 < most[0][1] / most[1][1] < 2.1  # 2 ** 0.8 = 1.74
    assert set(drawn.tolist()) <= set(accounts.tolist())


def test_keys_tell_lines_seeds_and_texts_apart():
    keys = {idempotency_key(seed, TextLine(n, text)) for seed in (1, 2) for n in (1, 2) for text in "ab"}
    assert len(keys) == 8
    assert {len(key) for key in keys} == {16}


def test_message_numbers_meet_when_nothing_is_under_way():
    statuses = [
        {"shard": 0, "sent": {"1": 7}, "inbox": {"1": 4}, "delivery_backlog": 0},
        {"shard": 1, "sent": {"0": 5}, "inbox": {"0": 7}, "delivery_backlog": 0},
    ]
    sent, arrived = message_numbers(statuses)
    assert (sent, arrived) == ({"0>1": 7, "1>0": 5}, {"0>1": 7, "1>0": 4})


def test_the_sample_is_the_same_every_time_and_sound():
    sample = make_sample()
    assert sample == make_sample()
    assert len(sample.usernames) == len(set(sample.usernames)) == len(sample.display_names) == len(sample.bios) >= 60
    assert len(sample.follows) == len(set(sample.follows)) > 200
    assert all(u != v for u, v in sample.follows)
    assert len(sample.tweets) == 400
    assert all(1 <= len(tweet.text) <= 280 and tweet.answers < i for i, tweet in enumerate(sample.tweets))
    assert sum(u == 0 for u, _ in sample.follows) >= 8  # ada follows enough to have a timeline


# ---- the oracle -------------------------------------------------------------------------------------------------


def fact(tweet_id: int, author: int, flags: int = 0, reply_author: int = 0, orig: tuple[int, int] = (0, 0), seen=()):
    return Fact(tweet_id, author, flags, reply_author, orig[0] or tweet_id, orig[1] or author, tuple(seen))


def home(*facts: Fact, follows=(2, 3), hidden=(), length: int = 800) -> list[int]:
    everything = NetworkFacts({1: set(follows)}, {}, {1: set(hidden)})
    everything.add_tweets(facts)
    return everything.home(1, length)


def test_home_holds_own_and_followed_newest_first_up_to_its_length():
    assert home(fact(5, 2), fact(9, 1), fact(7, 3), fact(8, 4)) == [9, 7, 5]
    assert home(fact(5, 2), fact(9, 1), fact(7, 3), length=2) == [9, 7]


def test_home_leaves_out_whom_the_reader_does_not_see():
    assert home(fact(5, 2), fact(6, 3), hidden={2}) == [6]
    assert home(fact(5, 3, REPOST, orig=(4, 9)), hidden={9}) == []


def test_home_shows_direct_tweets_to_those_mentioned_and_replies_among_followees():
    assert home(fact(5, 2, DIRECT, seen=[1]), fact(6, 2, DIRECT, seen=[3]), fact(7, 1, DIRECT)) == [7, 5]
    assert home(fact(5, 2, REPLY, 3), fact(6, 2, REPLY, 9), fact(7, 2, REPLY, 1), fact(8, 2, REPLY, 2)) == [8, 7, 5]


def test_home_shows_a_repost_only_if_the_tweet_is_not_just_below():
    assert home(fact(5, 2), fact(6, 3, REPOST, orig=(5, 2))) == [5]
    filler = [fact(n, 2) for n in range(10, 50)]
    assert home(fact(5, 2), *filler, fact(60, 3, REPOST, orig=(5, 2)))[0] == 60


def test_buckets_are_bytes():
    assert len(even_buckets(3)) == BUCKET_COUNT
