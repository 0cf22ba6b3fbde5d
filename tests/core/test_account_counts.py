"""What is shown of an account beside its profile: exact counts of one's own shard, at most a minute old of others'."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core import account_counts
from actors.core.account_counts import counts_of
from actors.core.cards import FRESH_MS, pack_card, read_card
from actors.core.errors import RookeryError
from actors.core.features.cards import learn_accounts, tend_cards
from actors.core.ids import ms_of_tweet
from actors.core.renderers.mastodon import MastodonRenderer
from actors.core.renderers.timestamps import timestamp
from actors.core.shape_table import MASTODON, MASTODON_FROM_LEVEL
from actors.core.stores.people import NO_COUNTS, AccountCounts
from tests.core.harness import Shards
from tests.core.test_shapes import ROOMY

NAMES = ("followers_count", "following_count", "statuses_count", "last_status_at")


class World(Shards):
    """Two shards that show accounts: two accounts of the first, one of the second."""

    def __init__(self) -> None:
        super().__init__(2, ROOMY)
        self.ada, self.bob, self.far = self.account_on(0), self.account_on(0, 1), self.account_on(1)
        self.everyone = [self.ada, self.bob, self.far]
        self.register(*self.everyone)
        self.shapes = [replica.shaped(MASTODON).shape for replica in self.replicas]  # type: ignore[union-attr]

    def shown(self, account_id: int) -> dict[str, Any]:
        """Return what the shard of an account shows of it."""
        shard = self.shard_of(account_id)
        found: dict[str, Any] = orjson.loads(self.shapes[shard].account(self.account(account_id)))
        return found

    def account(self, account_id: int) -> Any:
        return self.state_of(account_id).people.accounts[self.row_of(account_id)]

    def counts(self, account_id: int) -> list[Any]:
        shown = self.shown(account_id)
        return [shown[name] for name in NAMES]


@pytest.fixture
def world() -> World:
    return World()


def test_who_has_nothing_has_nothing_counted(world):
    assert world.counts(world.ada) == [0, 0, 0, None]


def test_followers_followed_and_statuses_are_counted_as_they_come_and_go(world):
    world.do("follow", world.ada, world.bob)
    world.do("follow", world.far, world.bob)
    first = world.post(world.bob)
    second = world.post(world.bob)
    day = timestamp(ms_of_tweet(second))[:10]
    assert world.counts(world.bob) == [2, 0, 2, day]
    assert world.counts(world.ada) == [0, 1, 0, None]
    assert world.counts(world.far) == [0, 1, 0, None]
    world.do("unfollow", world.far, world.bob)
    world.do("delete", second, world.bob)
    assert world.counts(world.bob) == [1, 0, 1, timestamp(ms_of_tweet(first))[:10]]
    assert world.counts(world.far) == [0, 0, 0, None]


def test_what_is_not_for_everybody_is_not_told_of(world):
    first = world.post(world.bob)
    world.now_ms += 5 * 86_400_000
    world.post(world.bob, "for followers", visibility=1)
    assert world.counts(world.bob)[2:] == [1, timestamp(ms_of_tweet(first))[:10]]


def test_where_the_last_public_one_lies_far_back_nothing_is_said_of_it(world, monkeypatch):
    world.post(world.bob)
    world.post(world.bob, "for followers", visibility=1)
    monkeypatch.setattr(account_counts, "LOOKED_AT_MAX", 1)
    assert counts_of(world.state_of(world.bob), world.row_of(world.bob)) == AccountCounts(0, 0, 1, 0)


ACTS = st.tuples(
    st.sampled_from(["follow", "unfollow", "block", "unblock", "post", "private", "repost", "delete", "profile"]),
    st.integers(0, 2), st.integers(0, 2),
)  # fmt: skip


@given(st.lists(ACTS, max_size=25))
@settings(max_examples=40)
def test_what_is_kept_of_an_account_is_what_would_be_made_of_it_now(acts):
    world = World()
    tweets: dict[int, list[int]] = {account_id: [] for account_id in world.everyone}
    reposts: dict[int, list[int]] = {account_id: [] for account_id in world.everyone}
    for act, i, j in acts:
        one, other = world.everyone[i], world.everyone[j]
        try:
            if act in ("follow", "unfollow", "block", "unblock"):
                world.do(act, one, other)
            elif act in ("post", "private"):
                tweets[one].append(world.post(one, "said", visibility=int(act == "private")))
            elif act == "repost" and tweets[other]:
                reposts[one].append(world.repost(one, tweets[other][-1]))
            elif act == "delete" and (reposts[one] or tweets[one]):
                world.do("delete", (reposts[one] or tweets[one]).pop(), one)
            elif act == "profile":
                world.do("update_profile", one, {"display_name": act})
        except RookeryError:  # blocks, what is private, what is there twice
            continue
        for account_id in world.everyone:
            state, row = world.state_of(account_id), world.row_of(account_id)
            fresh = MastodonRenderer(ROOMY.public_url).account(world.account(account_id), counts_of(state, row))
            assert world.shapes[world.shard_of(account_id)].account(world.account(account_id)) == fresh


def test_many_tweets_at_once_are_counted(world):
    assert [world.counts(account_id)[2] for account_id in (world.ada, world.bob)] == [0, 0]
    rows = [[author, "said", 0, 0, 0, b"", [], [], None] for author in (world.ada, world.bob) for _ in range(6)]
    world.write_on(0, "post_many", [rows])
    assert [world.counts(account_id)[2] for account_id in (world.ada, world.bob)] == [6, 6]


def test_a_card_carries_the_counts_from_their_level_on():
    for level in (MASTODON_FROM_LEVEL - 1, MASTODON_FROM_LEVEL):
        shards = Shards(2, ROOMY, level)
        ada, far = shards.account_on(0), shards.account_on(1)
        shards.register(ada, far)
        shards.do("follow", ada, far)
        _, [facts] = shards.replicas[1].read("accounts", [[far]])
        account, counts = read_card(far, facts)
        assert counts == (AccountCounts(followers=1) if level == MASTODON_FROM_LEVEL else NO_COUNTS)
        assert (facts == pack_card(account)) == (level < MASTODON_FROM_LEVEL)


def test_an_account_elsewhere_is_shown_as_its_card_says_and_the_card_is_asked_for_anew_after_a_minute(world):
    state = world.replicas[0].state

    def ask() -> None:
        learn_accounts(state, 1, [world.far], world.replicas[1].read("accounts", [[world.far]]))

    def shown() -> int:
        found = orjson.loads(world.shapes[0].again(world.shapes[0].pulled([entry])[0][1]).account)
        return int(found["followers_count"])

    entry = world.state_of(world.far).tweets.get(world.post(world.far))
    ask()
    assert shown() == 0
    world.do("follow", world.ada, world.far)
    assert shown() == 0
    tend_cards(state, FRESH_MS)
    assert shown() == 0
    assert tend_cards(state, FRESH_MS + 1_000) == {1: [world.far]}
    ask()
    assert shown() == 1
