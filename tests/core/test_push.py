"""Push subscriptions on shards that are replayed and restored: one a token, and what they are told."""

from __future__ import annotations

import pytest

from actors.core import limits
from actors.core.errors import InvalidError, NotFoundError, OverloadedError, RookeryError
from actors.core.features.push import CHANNEL, POLICIES, SUBSCRIPTION, check_subscription
from actors.core.outbound import SendVerdict, read_outbound
from actors.core.terms import NOTICES_FROM_LEVEL, NOTIFICATION_TYPE_OF
from tests.core.harness import Shards
from tests.core.test_moving import Moving

ENDPOINT, KEY, AUTH = "https://push.example/1", b"\x04" * 65, b"a" * 16
MENTION, FOLLOW = (1 << NOTIFICATION_TYPE_OF[name] for name in ("mention", "follow"))
PHONE, LAPTOP = b"phone", b"laptop"


@pytest.fixture
def shards():
    made = Moving()
    made.ada, made.bob = made.account_on(0), made.account_on(1)
    made.do("register", f"user{made.ada}", made.ada, "", "", "hash", [PHONE, LAPTOP])
    made.register(made.bob)
    yield made
    made.check_whole()


def subscribe(shards, token=PHONE, types=MENTION, policy="all", endpoint=ENDPOINT):
    return shards.do(
        "subscribe", shards.ada, token, endpoint, KEY, AUTH, types, POLICIES.index(policy), True
    )  # fmt: skip


def items(shards):
    state = shards.state_of(shards.ada)
    keys = state.papers.keys(CHANNEL.kind, shards.ada)
    return [(key, read_outbound(state.papers.get(CHANNEL.kind, shards.ada, key))) for key in keys]


def told(shards, now_ms=None):
    lookups = shards.replicas[shards.shard_of(shards.ada)].lookups
    found = [CHANNEL.facts(lookups, now_ms or shards.now_ms, shards.ada, key, item) for key, item in items(shards)]
    return [facts and (facts[0], facts[6]) for facts in found]


def mention(shards):
    return shards.post(shards.bob, "hello", mentions=[shards.ada])


def test_each_token_is_told_what_it_wants(shards):
    subscribe(shards, PHONE, MENTION)
    subscribe(shards, LAPTOP, FOLLOW, endpoint=f"{ENDPOINT}2")
    mention(shards)
    assert told(shards) == [(ENDPOINT, shards.bob)]
    shards.do("follow", shards.bob, shards.ada)
    assert told(shards) == [(ENDPOINT, shards.bob), (f"{ENDPOINT}2", shards.bob)]


def test_one_notice_for_two_subscriptions_is_two_items(shards):
    subscribe(shards, PHONE)
    subscribe(shards, LAPTOP, endpoint=f"{ENDPOINT}2")
    mention(shards)
    assert sorted(told(shards)) == [(ENDPOINT, shards.bob), (f"{ENDPOINT}2", shards.bob)]


def test_a_token_has_one_subscription_and_reads_its_own(shards):
    first = subscribe(shards)
    assert shards.read("push_subscription", shards.ada, PHONE) == first
    assert first[1:] == [ENDPOINT, MENTION, 0, True]
    with pytest.raises(NotFoundError):
        shards.read("push_subscription", shards.ada, LAPTOP)
    second = subscribe(shards, endpoint=f"{ENDPOINT}2")
    assert second[0] != first[0]
    assert len(shards.state_of(shards.ada).papers.keys(SUBSCRIPTION, shards.ada)) == 1
    changed = shards.do("change_subscription", shards.ada, PHONE, FOLLOW, 2)
    assert changed == [second[0], f"{ENDPOINT}2", FOLLOW, 2, True]
    assert shards.do("change_subscription", shards.ada, PHONE, MENTION, None)[3] == 2


@pytest.mark.parametrize(
    ("policy", "before", "is_told"),
    [
        ("all", None, True), ("none", ("follow", "both"), False), ("followed", None, False),
        ("followed", ("follow", "ada"), True), ("follower", ("follow", "ada"), False),
        ("follower", ("follow", "bob"), True),
    ],
)  # fmt: skip
def test_whom_it_hears_of_is_its_policy(shards, policy, before, is_told):
    if before is not None:
        for one, other in ((shards.ada, shards.bob), (shards.bob, shards.ada)):
            if before[1] in ("both", "ada" if one == shards.ada else "bob"):
                shards.do("follow", one, other)
    subscribe(shards, policy=policy)
    mention(shards)
    assert any(told(shards)) is is_told


def test_a_subscription_ends_with_its_token(shards):
    subscribe(shards, PHONE)
    subscribe(shards, LAPTOP, endpoint=f"{ENDPOINT}2")
    mention(shards)
    shards.do("revoke_token", shards.ada, PHONE)
    assert [facts for facts in told(shards) if facts] == [(f"{ENDPOINT}2", shards.bob)]
    mention(shards)
    assert len(items(shards)) == 3, "nothing more is put for it"
    subscribe(shards, LAPTOP)
    assert len(shards.state_of(shards.ada).papers.keys(SUBSCRIPTION, shards.ada)) == 1, "and it is gone by now"
    with pytest.raises(NotFoundError):
        subscribe(shards, PHONE)


def test_who_ends_a_subscription_is_told_nothing_of_what_waits(shards):
    subscribe(shards)
    mention(shards)
    assert shards.do("unsubscribe", shards.ada, PHONE) is True
    assert items(shards) == []
    assert shards.do("unsubscribe", shards.ada, PHONE) is True


def test_a_service_that_says_gone_ends_the_subscription(shards):
    subscribe(shards)
    mention(shards)
    ((key, _),) = items(shards)
    shards.run(0, ["outcome", shards.now_ms, [[CHANNEL.kind.number, shards.ada, key, 0, SendVerdict.GONE, 0]]])
    with pytest.raises(NotFoundError):
        shards.read("push_subscription", shards.ada, PHONE)


def test_what_is_old_undone_or_of_somebody_who_is_blocked_now_isnt_sent(shards):
    subscribe(shards)
    tweet_id = mention(shards)
    assert told(shards, shards.now_ms + limits.PUSH_LIVES_MS) == [None]
    shards.do("delete", tweet_id, shards.bob)
    assert told(shards) == [None]
    mention(shards)
    assert told(shards)[1] is not None
    shards.do("block", shards.ada, shards.bob)
    assert told(shards) == [None, None]


def test_a_test_goes_to_every_subscription(shards):
    assert shards.do("test_push", shards.ada) == 0
    subscribe(shards, PHONE)
    subscribe(shards, LAPTOP, endpoint=f"{ENDPOINT}2")
    assert shards.do("test_push", shards.ada) == 2
    assert sorted(told(shards)) == [(ENDPOINT, 0), (f"{ENDPOINT}2", 0)]


def test_they_move_and_go_with_the_account(shards):
    subscribe(shards)
    mention(shards)
    shards.move(1, shards.ada)
    assert told(shards) == [(ENDPOINT, shards.bob)]
    shards.do("delete_account", shards.ada, "hash")
    assert shards.replicas[1].state.papers.keys(SUBSCRIPTION, shards.ada) == []


def test_below_its_level_there_are_none():
    old = Shards(level=NOTICES_FROM_LEVEL - 1)
    old.ada = old.account_on(0)
    old.do("register", f"user{old.ada}", old.ada, "", "", "hash", [PHONE])
    with pytest.raises(OverloadedError):
        subscribe(old)


@pytest.mark.parametrize(("place", "value"), [(0, b""), (1, ""), (2, b"x"), (3, b"x"), (4, -1), (5, 4), (6, 1), (7, 0)])
def test_what_a_move_brings_is_looked_at(place, value):
    document = [PHONE, ENDPOINT, KEY, AUTH, 1, 0, True, 7]
    check_subscription(document)
    document[place] = value
    with pytest.raises(RookeryError):
        check_subscription(document)


def test_types_that_there_arent_are_refused(shards):
    with pytest.raises(InvalidError):
        subscribe(shards, types=1 << 12)
