"""What each command does, and does when it comes twice, on two shards whose messages arrive when a test says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.core import ids, limits
from actors.core.apply import apply
from actors.core.errors import ConflictError, ForbiddenError, InvalidError, MovedError, NotFoundError, UnauthorizedError
from actors.core.features import likes
from actors.core.features.likes import LIKE
from actors.core.timelines.home import HomeQuery
from actors.core.verify import digest
from tests.core.harness import NOW_MS, SMALL, Shards, packed_original


@pytest.fixture
def shards():
    cluster = Shards()
    cluster.ada, cluster.eve = cluster.account_on(0, 0), cluster.account_on(0, 1)
    cluster.bob, cluster.joe = cluster.account_on(1, 0), cluster.account_on(1, 1)
    cluster.register(cluster.ada, cluster.eve, cluster.bob, cluster.joe)
    yield cluster
    cluster.exchange()
    cluster.check()
    for shard in (0, 1):
        assert digest(cluster.replayed(shard).state) == cluster.digests()[shard], "a replay gives another state"


def counts(shards, tweet_id):
    entry = shards.replicas[shards.owner[ids.bucket_of_tweet(tweet_id)]].state.tweets.get(tweet_id)
    return entry.replies, entry.reposts, entry.likes


# ---- registration ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("home", [0, 1])
def test_registering_twice_gives_the_same_account_whether_or_not_it_lives_with_its_name(shards, home):
    name, account = shards.name_on(0, 5), shards.account_on(home, 5)
    for _ in range(2):
        assert shards.do("register", name, account, "N", "", None, []) == account
    assert shards.replicas[0].state.people.names[name] == (account, True)
    assert len(shards.state_of(account).people) == 3


def test_a_name_that_is_taken_is_refused_in_any_case(shards):
    name = shards.name_on(0, 5)
    shards.do("register", name, shards.account_on(1, 5), "", "", None, [])
    with pytest.raises(ConflictError, match="taken"):
        shards.do("register", name.upper(), shards.account_on(1, 6), "", "", None, [])
    nobody, elsewhere = shards.name_on(0, 6), shards.name_on(1, 6)
    found = shards.replicas[0].read("names", [[name.upper(), nobody, elsewhere]])
    assert found == [shards.account_on(1, 5), 0, -1]
    with pytest.raises(MovedError):
        shards.replicas[0].read("names", [[elsewhere, nobody]])


def test_an_id_that_is_taken_here_is_refused_and_the_name_stays_free(shards):
    name = shards.name_on(0, 5)
    before = shards.digests()
    with pytest.raises(ConflictError, match="id"):
        shards.do("register", name, shards.ada, "", "", None, [])
    assert shards.digests() == before
    assert name not in shards.replicas[0].state.people.names


def test_an_id_that_is_taken_on_another_shard_releases_the_name(shards):
    name = shards.name_on(0, 5)
    shards.send("register", name, shards.bob, "", "", None, [])
    assert shards.replicas[0].read("names", [[name]]) == [0]
    shards.exchange()
    assert name not in shards.replicas[0].state.people.names
    assert shards.state_of(shards.bob).people.get(shards.bob).username == f"user{shards.bob}"


def test_registering_many_answers_zero_for_the_names_that_are_taken(shards):
    name, other = shards.name_on(0, 5), shards.name_on(0, 6)
    shards.do("register", name, shards.account_on(0, 5), "", "", None, [])
    rows = [[name, shards.account_on(0, 6), "", "", None, []], [other, shards.account_on(0, 7), "", "", None, []]]
    assert shards.write_on(0, "register_many", [rows]) == [0, shards.account_on(0, 7)]


def test_the_oldest_token_is_revoked_when_there_are_too_many(shards):
    for i in range(limits.TOKENS_PER_ACCOUNT_MAX + 1):
        shards.do("login_token", shards.ada, b"token%d" % i)
    assert shards.state_of(shards.ada).revoked == [(shards.ada, b"token0")]
    assert shards.read("token", shards.ada, b"token1")
    with pytest.raises(UnauthorizedError):
        shards.read("token", shards.ada, b"token0")


def test_a_revoked_token_is_announced_and_not_valid_any_more(shards):
    shards.do("login_token", shards.ada, b"t")
    shards.do("login_token", shards.ada, b"t")
    assert shards.state_of(shards.ada).people.get(shards.ada).tokens == [b"t"]
    for _ in range(2):
        shards.do("revoke_token", shards.ada, b"t")
        assert shards.state_of(shards.ada).revoked.pop() == (shards.ada, b"t")
    with pytest.raises(UnauthorizedError):
        shards.read("token", shards.ada, b"t")


def test_a_profile_changes_only_in_the_fields_that_are_given(shards):
    shards.do("update_profile", shards.ada, {"bio": "hello", "fields": [["site", "x"]]})
    body = shards.do("update_profile", shards.ada, {"url": "u"})
    assert b'"bio":"hello"' in body
    assert b'{"name":"site","value":"x"}' in body
    assert b'"url":"u"' in body


# ---- tweets ---------------------------------------------------------------------------------------------------


def test_a_tweet_reaches_the_rings_of_followers_on_both_shards_and_its_author(shards):
    for follower in (shards.eve, shards.bob):
        shards.do("follow", follower, shards.ada)
    for reader in (shards.ada, shards.eve, shards.bob, shards.joe):
        shards.home(reader)
    tweet = shards.post(shards.ada)
    assert [shards.home(a) for a in (shards.ada, shards.eve, shards.bob, shards.joe)] == [[tweet]] * 3 + [[]]


def test_a_tweet_goes_to_no_shard_without_a_follower(shards):
    shards.send("post", shards.ada, "x", 0, 0, 0, b"", [], [], None)
    assert not shards.replicas[0].state.outboxes[1].waiting


def test_the_same_key_makes_one_tweet_until_it_expires(shards):
    first = shards.post(shards.ada, key=b"k")
    again = shards.post(shards.ada, key=b"k")
    assert again == first
    assert shards.post(shards.eve, key=b"k") != first  # a key belongs to its author
    shards.now_ms += limits.IDEMPOTENCY_TTL_MS + 10
    shards.post(shards.ada, key=b"other")
    assert (shards.ada, b"k") not in shards.state_of(shards.ada).idempotency
    assert shards.post(shards.ada, key=b"k") != first


def test_the_same_key_twice_in_one_batch_makes_one_tweet(shards):
    row = [shards.ada, "x", 0, 0, 0, b"", [], [], b"k"]
    made = shards.write_on(0, "post_many", [[row, row, [*row[:8], None], [*row[:8], None]]])
    assert made[0] == made[1]
    assert len(set(made)) == 3
    assert shards.write_on(0, "post_many", [[row]]) == made[:1]


def test_a_key_whose_tweet_was_deleted_makes_no_second_one(shards):
    tweet = shards.post(shards.ada, key=b"k")
    shards.do("delete", tweet, shards.ada)
    with pytest.raises(NotFoundError, match="Idempotency-Key"):
        shards.post(shards.ada, key=b"k")


def test_only_the_newest_keys_are_kept():
    shards = Shards(1, replace(SMALL, idempotency_keys_max=2))
    ada = shards.account_on(0)
    shards.register(ada)
    for key in (b"a", b"b", b"c"):
        shards.post(ada, key=key)
    assert [key for _, key in shards.replicas[0].state.idempotency] == [b"b", b"c"]


def test_deleting_a_tweet_takes_its_reposts_along_on_both_shards(shards):
    tweet = shards.post(shards.ada)
    reposts = [shards.repost(shards.eve, tweet), shards.repost(shards.bob, tweet)]
    assert counts(shards, tweet)[1] == 2
    shards.do("follow", shards.joe, shards.bob)
    assert shards.home(shards.joe) == reposts[1:]
    shards.do("delete", tweet, shards.ada)
    assert all(len(r.state.tweets) == 0 for r in shards.replicas)
    assert shards.home(shards.joe) == []
    with pytest.raises(NotFoundError):
        shards.do("delete", tweet, shards.ada)


def test_a_repost_of_a_tweet_that_was_deleted_meanwhile_is_refused_here_and_taken_back_elsewhere(shards):
    tweet = shards.post(shards.ada)
    entry = shards.read("tweet_ref", tweet, 0)[3]
    shards.do("delete", tweet, shards.ada)
    with pytest.raises(NotFoundError):
        shards.do("repost", shards.eve, entry)
    shards.send("repost", shards.bob, entry)
    assert len(shards.state_of(shards.bob).tweets) == 1
    shards.exchange()
    assert len(shards.state_of(shards.bob).tweets) == 0


def test_reposting_twice_answers_the_first_repost_and_taking_it_back_twice_changes_nothing(shards):
    tweet = shards.post(shards.ada)
    assert shards.repost(shards.bob, tweet) == shards.repost(shards.bob, tweet)
    assert counts(shards, tweet) == (0, 1, 0)
    assert shards.do("unrepost", shards.bob, tweet) is True
    assert shards.do("unrepost", shards.bob, tweet) is False
    assert counts(shards, tweet) == (0, 0, 0)


@pytest.mark.parametrize("flags", [4, 8])
def test_what_is_not_public_cannot_be_reposted(shards, flags):
    with pytest.raises(ForbiddenError):
        shards.do("repost", shards.ada, packed_original(shards.eve, shards.post(shards.eve), flags=flags))


def test_an_entry_that_is_no_original_cannot_be_reposted(shards):
    tweet = shards.post(shards.bob)
    for wrong in (
        {"flags": 2}, {"orig_id": 5}, {"orig_author": 5}, {"orig": b"x"}, {"author_id": shards.ada}, {"flags": 16},
        {"author_id": shards.ada, "orig_author": shards.ada}, {"likes": 1 << 31}, {"mention_ids": ["x"]},
    ):  # fmt: skip
        with pytest.raises(InvalidError):
            shards.do("repost", shards.ada, packed_original(shards.bob, tweet, **wrong))


def test_a_direct_tweet_is_seen_by_its_author_and_whom_it_mentions(shards):
    for follower in (shards.eve, shards.bob, shards.joe):
        shards.do("follow", follower, shards.ada)
        shards.home(follower)
    tweet = shards.post(shards.ada, visibility=2, mentions=[shards.bob])
    assert [shards.home(a) for a in (shards.ada, shards.bob, shards.eve, shards.joe)] == [[tweet], [tweet], [], []]
    assert shards.read("tweet", tweet, shards.bob)
    for stranger in (0, shards.eve, shards.joe):
        with pytest.raises(NotFoundError):
            shards.read("tweet", tweet, stranger)


def test_a_direct_tweet_goes_to_no_shard_without_anybody_it_mentions(shards):
    shards.do("follow", shards.bob, shards.ada)
    shards.send("post", shards.ada, "x", 2, 0, 0, b"", [], [shards.eve], None)
    assert not shards.replicas[0].state.outboxes[1].waiting


def test_a_followers_only_tweet_is_seen_by_followers_only(shards):
    shards.do("follow", shards.bob, shards.ada)
    tweet = shards.post(shards.ada, visibility=1)
    assert shards.home(shards.bob) == [tweet]
    assert shards.read("user_timeline", shards.ada, shards.bob, 0, 0, 0, 5)[1] == tweet
    for stranger in (0, shards.joe):
        assert shards.read("user_timeline", shards.ada, stranger, 0, 0, 0, 5) == [b"[]", 0, 0]


def test_replies_are_counted_and_no_longer_when_they_are_deleted(shards):
    tweet = shards.post(shards.ada)
    replies = [shards.post(a, in_reply_to=tweet, reply_author=shards.ada) for a in (shards.eve, shards.bob)]
    assert counts(shards, tweet) == (2, 0, 0)
    shards.do("delete", replies[1], shards.bob)
    assert counts(shards, tweet) == (1, 0, 0)


def test_liking_twice_counts_once_and_unliking_twice_too(shards):
    tweet = shards.post(shards.ada)
    assert [shards.do("like", shards.bob, tweet) for _ in range(2)] == [True, False]
    assert counts(shards, tweet) == (0, 0, 1)
    assert [shards.do("unlike", shards.bob, tweet) for _ in range(2)] == [True, False]
    assert counts(shards, tweet) == (0, 0, 0)


def test_a_like_of_a_tweet_that_is_gone_is_taken_back(shards):
    tweet = shards.post(shards.ada)
    shards.do("delete", tweet, shards.ada)
    shards.send("like", shards.bob, tweet)
    assert shards.state_of(shards.bob).shelves.contains(LIKE, shards.bob, tweet)
    shards.exchange()
    assert not shards.state_of(shards.bob).shelves.contains(LIKE, shards.bob, tweet)


def test_changed_counts_are_flushed_in_one_message_a_shard_and_then_not_again(shards):
    shards.do("follow", shards.bob, shards.ada)
    shards.home(shards.bob)
    tweets = [shards.post(shards.ada) for _ in range(3)]
    for tweet in tweets:
        shards.do("like", shards.eve, tweet)
    sent = shards.replicas[0].state.outboxes[1].next_seq
    assert shards.run(0, ["flush_counts"]) == 3
    assert shards.replicas[0].state.outboxes[1].next_seq == sent + 1
    assert shards.run(0, ["flush_counts"]) == 0
    shards.exchange()
    window = shards.replicas[1].state.arrivals
    assert [window.entry(window.number_of[t]).likes for t in tweets] == [1, 1, 1]


# ---- follows, blocks, mutes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["eve", "bob"])
def test_following_twice_changes_nothing_the_second_time(shards, side):
    target = getattr(shards, side)
    assert [shards.do("follow", shards.ada, target) for _ in range(2)] == [True, False]
    assert shards.read("followers", target, 0, 0, 9)[0] == [shards.ada]
    assert [shards.do("unfollow", shards.ada, target) for _ in range(2)] == [True, False]
    assert shards.read("followers", target, 0, 0, 9)[0] == []


@pytest.mark.parametrize("shard", [0, 1])
def test_following_somebody_who_does_not_exist_is_undone(shards, shard):
    nobody = shards.account_on(shard, 9)
    shards.do("follow", shards.ada, nobody)
    assert shards.read("following", shards.ada, 0, 0, 9)[0] == []


@pytest.mark.parametrize("side", ["eve", "bob"])
def test_a_block_removes_the_follows_both_ways_and_forbids_new_ones(shards, side):
    other = getattr(shards, side)
    shards.do("follow", shards.ada, other)
    shards.do("follow", other, shards.ada)
    assert [shards.do("block", shards.ada, other) for _ in range(2)] == [True, False]
    for account in (shards.ada, other):
        assert shards.read("following", account, account, 0, 9)[0] == []
        assert shards.read("followers", account, account, 0, 9)[0] == []
    for one, two in ((shards.ada, other), (other, shards.ada)):
        with pytest.raises(ForbiddenError):
            shards.do("follow", one, two)
    assert [shards.do("unblock", shards.ada, other) for _ in range(2)] == [True, False]
    assert shards.do("follow", other, shards.ada) is True


def test_a_follow_that_crosses_a_block_is_refused_when_it_arrives(shards):
    shards.send("block", shards.ada, shards.bob)
    assert shards.send("follow", shards.bob, shards.ada) is True
    shards.deliver(1, 0)
    shards.deliver(0, 1)
    shards.exchange()
    assert shards.read("following", shards.bob, shards.bob, 0, 9)[0] == []
    assert shards.read("followers", shards.ada, shards.ada, 0, 9)[0] == []


def test_a_mute_hides_and_unmuting_shows_again_without_a_trace_in_the_ring(shards):
    shards.do("follow", shards.bob, shards.ada)
    shards.home(shards.bob)
    tweet = shards.post(shards.ada)
    shards.do("mute", shards.bob, shards.ada)
    assert shards.home(shards.bob) == []
    shards.do("unmute", shards.bob, shards.ada)
    assert shards.home(shards.bob) == [tweet]


def test_nobody_may_block_themselves_or_follow_more_than_the_limit(shards, monkeypatch):
    with pytest.raises(InvalidError):
        shards.do("block", shards.ada, shards.ada)
    monkeypatch.setattr(limits, "FOLLOWING_COUNT_MAX", 1)
    shards.do("follow", shards.ada, shards.eve)
    with pytest.raises(InvalidError, match="may follow 1"):
        shards.do("follow", shards.ada, shards.bob)
    both = b"".join(a.to_bytes(8, "little") for a in (shards.ada, shards.joe))
    with pytest.raises(InvalidError, match="may follow 1"):
        shards.write_on(1, "follow_many", [shards.joe.to_bytes(8, "little") * 2, both])


# ---- the journal ----------------------------------------------------------------------------------------------


def test_a_command_at_the_wrong_position_is_refused_before_anything_changes(shards):
    state, before = shards.replicas[0].state, shards.digests()
    for wrong in (state.position, state.position + 2, 0):
        with pytest.raises(ValueError, match="does not follow"):
            apply(state, wrong, ["tick", NOW_MS])
    assert shards.digests() == before


def test_the_clock_going_back_makes_no_id_twice(shards):
    first = shards.post(shards.ada)
    shards.now_ms -= 10_000
    assert shards.post(shards.ada) > first


# ---- bounds ---------------------------------------------------------------------------------------------------


def test_an_account_may_like_and_block_only_so_much_and_older_ones_still_answer(shards, monkeypatch):
    monkeypatch.setattr(likes, "LIKE", replace(LIKE, limit=2))
    monkeypatch.setattr(limits, "RELATED_COUNT_MAX", 1)
    tweets = [shards.post(shards.ada) for _ in range(3)]
    assert [shards.do("like", shards.bob, tweet_id) for tweet_id in tweets[:2]] == [True, True]
    with pytest.raises(InvalidError):
        shards.do("like", shards.bob, tweets[2])
    assert shards.do("like", shards.bob, tweets[0]) is False
    assert shards.do("block", shards.bob, shards.joe)
    with pytest.raises(InvalidError):
        shards.do("block", shards.bob, shards.eve)
    assert shards.do("mute", shards.bob, shards.eve), "mutes are counted apart"


def test_a_token_without_an_account_in_it_leads_to_its_owner_until_it_is_revoked(shards):
    shards.do("login_token", shards.ada, b"imported")
    replica = shards.replicas[0]
    assert replica.read("token_owner", [b"imported"]) == shards.ada
    assert replica.read("token_owner", [b"another"]) == 0
    shards.do("revoke_token", shards.ada, b"imported")
    assert replica.read("token_owner", [b"imported"]) == 0
    for n in range(limits.TOKENS_PER_ACCOUNT_MAX + 1):
        shards.do("login_token", shards.ada, b"%d" % n)
    assert replica.read("token_owner", [b"0"]) == 0, "the oldest was dropped"
    assert replica.read("token_owner", [b"1"]) == shards.ada


@pytest.mark.parametrize(("skip", "count"), [(0, 4), (3, 4), (4, 4), (9, 4), (2, 12), (7, 12), (11, 30), (99, 30)])
def test_a_page_may_leave_out_its_newest_entries_in_memory_and_below_the_floor(shards, skip, count):
    tweets = [shards.post(shards.ada) for _ in range(20)][::-1]  # the ring holds six
    found = tweets[skip:count]
    ends = [found[0], found[-1]] if found else [0, 0]
    assert shards.home(shards.ada, count, skip=skip) == found
    ready = shards.replicas[0].try_home(HomeQuery(shards.ada, 0, 0, 0, count, skip))
    assert ready[1:] == ends if count <= 6 else ready is None
    assert shards.read("user_timeline", shards.ada, 0, 0, 0, 0, count, skip)[1:] == ends
