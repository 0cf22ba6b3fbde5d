"""Messages between two shards: exactly once, in order, and right whatever they cross on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from actors.core import limits
from actors.core.apply import handle
from actors.core.entries import pack
from actors.core.timelines import arrivals
from actors.core.verify import digest
from tests.core.harness import SMALL, Shards

DAY = limits.DAY_MS


def two_followers(tuning: limits.Tuning = SMALL) -> Shards:
    """ada on shard 0 is followed by bob on shard 1 and eve on shard 0."""
    cluster = Shards(2, tuning)
    cluster.ada, cluster.eve = cluster.account_on(0, 0), cluster.account_on(0, 1)
    cluster.bob, cluster.joe = cluster.account_on(1, 0), cluster.account_on(1, 1)
    cluster.register(cluster.ada, cluster.eve, cluster.bob, cluster.joe)
    cluster.do("follow", cluster.bob, cluster.ada)
    cluster.do("follow", cluster.eve, cluster.ada)
    return cluster


@pytest.fixture
def shards():
    cluster = two_followers()
    yield cluster
    cluster.exchange()
    cluster.check()
    for shard in (0, 1):
        assert digest(cluster.replayed(shard).state) == cluster.digests()[shard]


# ---- exactly once ---------------------------------------------------------------------------------------------


def waiting_tweets(shards, count=3):
    """Post without delivering; return the number of the first message, the messages, and the tweet ids."""
    for _ in range(count):
        shards.now_ms += 1
        shards.send("post", shards.ada, "x", 0, 0, 0, b"", [], [], None)
    first, messages = shards.replicas[0].state.outboxes[1].batch(1 << 62)
    state = shards.replicas[0].state
    return first, messages, state.tweets.log.view(shards.row_of(shards.ada))[::-1].tolist()


def receive(shards, first, messages):
    return shards.run(1, ["receive", 0, first, b"".join(messages)])


def test_a_batch_that_comes_twice_is_applied_once(shards):
    shards.home(shards.bob)
    first, messages, tweets = waiting_tweets(shards)
    assert receive(shards, first, messages) == first + 2
    before = shards.digests()
    assert receive(shards, first, messages) == first + 2
    assert shards.digests() == before
    assert shards.home(shards.bob) == tweets


def test_a_batch_after_a_gap_is_not_applied_at_all(shards):
    shards.home(shards.bob)
    first, messages, _ = waiting_tweets(shards)
    assert receive(shards, first + 1, messages[1:]) == first - 1
    assert shards.home(shards.bob) == []


def test_of_a_batch_that_overlaps_only_the_new_part_is_applied(shards):
    shards.home(shards.bob)
    first, messages, tweets = waiting_tweets(shards)
    assert receive(shards, first, messages[:2]) == first + 1
    assert receive(shards, first, messages) == first + 2
    assert shards.home(shards.bob) == tweets


def test_an_older_batch_answers_how_far_the_destination_is(shards):
    first, messages, _ = waiting_tweets(shards)
    receive(shards, first, messages)
    assert receive(shards, first, messages[:1]) == first + 2
    assert receive(shards, first, []) == first + 2


def test_an_acknowledgement_trims_the_outbox_and_a_repeated_one_changes_nothing(shards):
    first, messages, _ = waiting_tweets(shards)
    receive(shards, first, messages)
    for seq in (first, first, first + 2, first):
        shards.run(0, ["acked", 1, seq])
    assert not shards.replicas[0].state.outboxes[1].waiting


def test_messages_that_make_no_sense_any_more_change_nothing(shards):
    """Each is one that a shard may send; what it refers to is unknown here."""
    before = digest(shards.replicas[1].state)
    nobody, nothing = shards.account_on(1, 9), 77 << 16
    for message in (
        ["lost", shards.ada, nobody], ["deleted", nothing], ["blocked", shards.ada, nobody, False],
        ["counts", [[nothing, 1, 1, 1]]], ["replied", nothing, 1], ["liked", shards.ada, nothing, -1],
        ["reposted", nothing, nothing, -1], ["name_settled", "nobody", 5, False], ["count_ask", []],
        ["wake_answer", shards.bob, 99, [], 0], ["pull_start", nobody, [], 0], ["refused", [shards.bob], [nobody]],
        ["backfill", shards.bob, nobody, [], 0],
    ):  # fmt: skip
        handle(shards.replicas[1].state, 0, message)
    assert digest(shards.replicas[1].state) == before


def test_tweets_of_an_author_that_nobody_here_follows_any_more_are_dropped(shards):
    shards.home(shards.bob)
    first, messages, _ = waiting_tweets(shards)
    shards.send("unfollow", shards.bob, shards.ada)
    receive(shards, first, messages)
    assert not shards.replicas[1].state.arrivals.number_of


# ---- waking and sleeping --------------------------------------------------------------------------------------


def test_a_dormant_account_has_no_ring_and_finds_everything_when_it_reads(shards):
    tweets = [shards.post(shards.ada) for _ in range(3)]
    assert shards.state_of(shards.bob).rings.awake.sum() == 0
    assert shards.home(shards.bob) == tweets[::-1]
    assert shards.state_of(shards.bob).rings.awake.sum() == 1


def test_an_unfollow_during_a_wake_leaves_nothing_of_that_author(shards):
    tweet = shards.post(shards.ada)
    shards.run(1, ["wake", shards.bob])
    shards.deliver(1, 0)
    shards.send("unfollow", shards.bob, shards.ada)
    shards.exchange()
    assert shards.home(shards.bob) == []
    shards.do("follow", shards.bob, shards.ada)
    assert shards.home(shards.bob) == [tweet]


def test_a_tweet_that_arrives_during_a_wake_is_neither_lost_nor_doubled(shards):
    old = shards.post(shards.ada)
    shards.run(1, ["wake", shards.bob])
    new = waiting_tweets(shards, 1)[2][0]
    shards.deliver(0, 1)
    shards.exchange()
    assert shards.home(shards.bob) == [new, old]


def test_the_answer_to_a_wake_that_was_superseded_is_dropped(shards):
    tweet = shards.post(shards.ada)
    shards.run(1, ["wake", shards.bob])
    shards.deliver(1, 0)
    shards.run(1, ["tick", shards.now_ms])
    assert shards.bob not in shards.replicas[1].state.waking
    shards.exchange()
    assert shards.replicas[1].state.rings.awake.sum() == 0
    assert shards.home(shards.bob) == [tweet]


def test_an_account_sleeps_after_the_days_without_a_read_and_not_before(shards):
    state, row = shards.replicas[1].state, shards.row_of(shards.bob)
    shards.run(1, ["tick", shards.now_ms])
    shards.home(shards.bob)
    tweet = shards.post(shards.ada)
    assert shards.run(1, ["tick", shards.now_ms + 29 * DAY]) == 0
    shards.run(1, ["touch", [shards.bob]])
    assert shards.run(1, ["tick", shards.now_ms + 58 * DAY]) == 0
    assert shards.run(1, ["tick", shards.now_ms + 59 * DAY]) == 1
    assert shards.run(1, ["tick", shards.now_ms]) == 0
    assert not state.rings.awake[row]
    assert state.rings.view(row).tolist() == []
    assert shards.home(shards.bob) == [tweet]


def test_a_read_on_a_new_day_is_noted_once(shards):
    replica = shards.replicas[1]
    shards.home(shards.bob)
    shards.run(1, ["tick", shards.now_ms])
    shards.home(shards.bob)
    shards.home(shards.bob)
    assert replica.touched == {shards.bob}


# ---- backfills and floors -------------------------------------------------------------------------------------


def test_a_follow_brings_the_older_tweets_of_the_followee(shards):
    mine = shards.post(shards.joe)
    theirs = [shards.post(shards.ada) for _ in range(2)]
    assert shards.home(shards.joe) == [mine]
    shards.do("follow", shards.joe, shards.ada)
    assert shards.home(shards.joe) == [*theirs[::-1], mine]


def test_a_backfill_is_asked_for_above_the_floor_only_and_the_rest_is_pulled(shards):
    shards.home(shards.joe)
    old = [shards.post(shards.ada) for _ in range(4)]
    mine = [shards.post(shards.joe) for _ in range(40)]
    state, row = shards.state_of(shards.joe), shards.row_of(shards.joe)
    floor = int(state.rings.floor[row])
    assert floor > old[-1]
    shards.do("follow", shards.joe, shards.ada)
    ring = [int(state.arrivals.tweet_id[n & state.arrivals.mask]) for n in state.rings.view(row).tolist()]
    assert not set(ring) & set(old)
    assert shards.home(shards.joe, count=44) == [*mine[::-1], *old[::-1]]


def test_pages_below_the_ring_go_on_to_the_very_first_tweet_both_ways(shards):
    shards.home(shards.bob)
    tweets = [shards.post(shards.ada) for _ in range(30)][::-1]
    pages, cursor = [], 0
    while page := shards.home(shards.bob, count=4, max_id=cursor):
        pages += page
        cursor = page[-1]
    assert pages == tweets
    assert shards.home(shards.bob, count=3, min_id=tweets[20]) == tweets[17:20]
    assert shards.home(shards.bob, count=3, since_id=tweets[20]) == tweets[:3]


def test_a_deleted_tweet_disappears_below_the_ring_too(shards):
    shards.home(shards.bob)
    tweets = [shards.post(shards.ada) for _ in range(30)]
    for tweet in (tweets[0], tweets[-1]):
        shards.do("delete", tweet, shards.ada)
    assert shards.home(shards.bob, count=30) == tweets[1:-1][::-1]


def test_lost_entries_are_swept_out_of_rings_and_logs_when_enough_has_arrived(monkeypatch):
    monkeypatch.setattr(arrivals, "SWEEP_EVERY", 40)
    shards = two_followers(replace(SMALL, arrivals_max=8, timeline_length=50))
    shards.home(shards.bob)
    shards.home(shards.joe)
    state = shards.state_of(shards.bob)
    old = shards.post(shards.joe)
    tweets = [shards.post(shards.ada) for _ in range(45)]
    assert state.arrivals.next_sweep_n == 80
    assert not len(state.rings.view(shards.row_of(shards.joe)))
    assert state.rings.floor[shards.row_of(shards.joe)] >= old
    assert shards.home(shards.joe) == [old]
    assert shards.home(shards.bob, count=50) == tweets[::-1]


# ---- pull authors ---------------------------------------------------------------------------------------------


@pytest.fixture
def celebrity():
    """ada becomes a pull author with her third follower, joe."""
    cluster = two_followers(replace(SMALL, pull_threshold=2))
    yield cluster
    cluster.exchange()
    cluster.check()


def test_an_author_above_the_threshold_gets_a_log_on_every_shard_that_follows_her(celebrity):
    for reader in (celebrity.bob, celebrity.eve):
        celebrity.home(reader)
    before = celebrity.post(celebrity.ada)
    assert not any(r.state.pull_logs.logs for r in celebrity.replicas)
    celebrity.do("follow", celebrity.joe, celebrity.ada)
    assert all(celebrity.ada in r.state.pull_logs.logs for r in celebrity.replicas)
    rings = celebrity.replicas[1].state.rings.delivery_count
    after = celebrity.post(celebrity.ada)
    assert celebrity.replicas[1].state.rings.delivery_count == rings
    for reader in (celebrity.bob, celebrity.eve, celebrity.joe, celebrity.ada):
        assert celebrity.home(reader) == [after, before]


def test_the_log_goes_with_the_last_follower_on_a_shard_and_comes_back_with_the_next(celebrity):
    celebrity.do("follow", celebrity.joe, celebrity.ada)
    tweet = celebrity.post(celebrity.ada)
    for follower in (celebrity.joe, celebrity.bob):
        celebrity.do("unfollow", follower, celebrity.ada)
    assert not celebrity.replicas[1].state.pull_logs.logs
    assert celebrity.state_of(celebrity.ada).pull_shards == {celebrity.ada: {0}}
    celebrity.do("follow", celebrity.eve, celebrity.joe)
    celebrity.do("follow", celebrity.bob, celebrity.ada)
    celebrity.do("follow", celebrity.joe, celebrity.ada)
    assert celebrity.home(celebrity.bob) == [tweet]


def test_own_tweets_and_pulled_ones_merge_into_pages_without_gap_or_double(celebrity):
    celebrity.do("follow", celebrity.joe, celebrity.ada)
    tweets = [celebrity.post(author) for _ in range(15) for author in (celebrity.ada, celebrity.joe)][::-1]
    assert celebrity.home(celebrity.joe, count=30) == tweets
    assert celebrity.home(celebrity.joe, count=5, max_id=tweets[9]) == tweets[10:15]


def test_who_follows_himself_is_shown_his_tweets_once_at_every_depth_and_after_a_wake(shards):
    edges = [np.array(each, "<i8").tobytes() for each in ([shards.eve, shards.eve], [shards.eve, shards.joe])]
    shards.write_on(0, "follow_many", edges)
    shards.exchange()
    tweets = [shards.post(author) for _ in range(10) for author in (shards.eve, shards.joe)][::-1]
    assert shards.home(shards.eve, count=30) == tweets
    assert shards.home(shards.eve, count=4, max_id=tweets[11]) == tweets[12:16]
    assert shards.home(shards.eve, count=4, min_id=tweets[15]) == tweets[11:15]
    shards.now_ms += 100 * DAY
    shards.run(0, ["tick", shards.now_ms])
    assert shards.home(shards.eve, count=30) == tweets


def test_a_direct_tweet_of_a_pull_author_reaches_only_whom_it_mentions(celebrity):
    celebrity.do("follow", celebrity.joe, celebrity.ada)
    celebrity.home(celebrity.bob)
    tweet = celebrity.post(celebrity.ada, visibility=2, mentions=[celebrity.bob])
    assert celebrity.home(celebrity.bob) == [tweet]
    assert celebrity.home(celebrity.joe) == []


def test_a_packed_message_goes_to_other_shards_as_one_object():
    cluster = Shards(3)
    message = ["counts", [[1, 2, 3, 4]]]
    cluster.replicas[0].state.send_all([0, 1, 2], message)
    (_, _, one), (_, _, two) = (cluster.replicas[0].state.outboxes[s].waiting[0] for s in (1, 2))
    assert one is two
    assert one == pack(message)
