"""What leaves the cluster as a queue that is state: who is told of what, when it is tried again, when it goes."""

from __future__ import annotations

from typing import Any

import pytest

from actors.core import ids, limits, outbound
from actors.core.errors import ConflictError, InvalidError, NotFoundError, OverloadedError
from actors.core.features.webhooks import CHANNEL, TEST, TYPES_ALL
from actors.core.outbound import SendVerdict
from actors.core.replica import Replica
from actors.core.scopes import EVERYTHING
from actors.core.stores.people import token_id
from actors.core.terms import NOTIFICATION_TYPE_OF
from actors.core.verify import check, digest
from cluster.placement import rebalancing
from tests.core.harness import Shards, memory_store
from tests.core.test_moving import three_people

URL, SECRET = "https://example.org/hook", b"s" * 32
HOUR_MS = 3_600_000
world = pytest.fixture(three_people)


def hook(world: Any, account_id: int, *types: str, url: str = URL) -> int:
    bits = sum(1 << NOTIFICATION_TYPE_OF[name] for name in types) or TYPES_ALL
    return int(world.do("make_webhook", account_id, url, bits, SECRET)[0])


def waiting(world: Any, account_id: int) -> dict[int, outbound.Outbound]:
    """Return what waits to leave for an account, by id."""
    papers = world.state_of(account_id).papers
    keys = papers.keys(CHANNEL.kind, account_id)
    return {key: outbound.read_outbound(papers.get(CHANNEL.kind, account_id, key)) for key in keys}


def told(world: Any, account_id: int) -> list[tuple[int, int, int]]:
    """Return of what the items that wait tell: (webhook, type, actor)."""
    return [(item.subscription, *outbound.read_facts_of(item)[1:3]) for item in waiting(world, account_id).values()]


def due(world: Any, account_id: int) -> list[int]:
    """Return which items of an account are due now."""
    heap = world.state_of(account_id).papers.outbound
    return [item.key for item in heap.first(world.now_ms, 1_000) if item.owner == account_id]


def settle(world: Any, account_id: int, verdict: SendVerdict, after_ms: int = 0) -> None:
    """Say what came of everything of an account that is due."""
    items = waiting(world, account_id)
    rows = [
        [CHANNEL.kind.number, account_id, key, items[key].attempts, int(verdict), after_ms]
        for key in due(world, account_id)
    ]
    world.run(world.shard_of(account_id), ["outcome", world.now_ms, rows])


def facts(world: Any, account_id: int, item_id: int) -> Any:
    lookups = world.replicas[world.shard_of(account_id)].lookups
    return CHANNEL.facts(lookups, world.now_ms, account_id, item_id, waiting(world, account_id)[item_id])


# ---- what is put there ----------------------------------------------------------------------------------------------


def test_a_webhook_is_told_of_the_types_that_it_wants_with_the_id_of_the_notice(world):
    webhook_id = hook(world, world.ada, "mention", "favourite")
    tweet_id = world.post(world.ada)
    world.do("like", world.bob, tweet_id)
    world.do("follow", world.bob, world.ada)
    assert told(world, world.ada) == [(webhook_id, NOTIFICATION_TYPE_OF["favourite"], world.bob)]
    (item_id,) = waiting(world, world.ada)
    notice_ids = [row[0] for row in world.read("notices", world.ada, TYPES_ALL, 0, [], 0, 0, 0, 9)[0]]
    assert item_id in notice_ids
    assert facts(world, world.ada, item_id)[:2] == [URL, [SECRET]]


def test_nobody_without_a_webhook_has_anything_that_waits(world):
    world.do("like", world.bob, world.post(world.ada))
    assert not waiting(world, world.ada)


def test_two_webhooks_get_an_item_each_with_ids_of_their_own(world):
    first, second = hook(world, world.ada), hook(world, world.ada, url="https://example.org/other")
    world.do("like", world.bob, world.post(world.ada))
    items = waiting(world, world.ada)
    assert sorted(item.subscription for item in items.values()) == sorted([first, second])
    assert len({outbound.read_facts_of(item)[0] for item in items.values()}) == 1  # of one notice


def test_what_is_kept_apart_tells_nobody(world):
    hook(world, world.ada)
    world.do("set_notification_policy", world.ada, [1, 1, 1, 1, 1])
    world.do("like", world.bob, world.post(world.ada))
    assert not waiting(world, world.ada)


def test_of_somebody_who_is_blocked_since_nothing_leaves(world):
    hook(world, world.ada)
    world.do("like", world.bob, world.post(world.ada))
    (item_id,) = waiting(world, world.ada)
    world.do("block", world.ada, world.bob)
    assert facts(world, world.ada, item_id) is None


def test_where_all_waits_that_may_a_new_notice_is_told_in_the_list_alone(monkeypatch):
    monkeypatch.setattr(limits, "OUTBOUND_PER_SHARD_MAX", 3)
    shards = Shards(1)
    shards.register(1, 2)
    webhook_id = hook(shards, 1)
    for _ in range(5):
        shards.do("like", 2, shards.post(1))
    assert len(waiting(shards, 1)) == 3
    assert len(shards.read("notices", 1, TYPES_ALL, 0, [], 0, 0, 0, 9)[0]) == 5
    with pytest.raises(OverloadedError):
        shards.do("test_webhook", 1, webhook_id)


def test_one_account_has_so_many_that_wait_and_no_more(world):
    webhook_id = hook(world, world.ada)
    for _ in range(CHANNEL.kind.limit):
        world.now_ms += 1
        world.do("test_webhook", world.ada, webhook_id)
    with pytest.raises(OverloadedError):
        world.do("test_webhook", world.ada, webhook_id)
    other = hook(world, world.bob)
    assert world.do("test_webhook", world.bob, other)


# ---- what becomes of it ---------------------------------------------------------------------------------------------


@pytest.fixture
def one(world):
    """A message that waits for ada's webhook."""
    world.webhook_id = hook(world, world.ada)
    world.do("test_webhook", world.ada, world.webhook_id)
    return world


def test_what_was_taken_is_there_no_more(one):
    settle(one, one.ada, SendVerdict.DONE)
    assert not waiting(one, one.ada)
    assert one.read("webhooks", one.ada)[0][0] == one.webhook_id


def test_what_failed_is_tried_again_after_pauses_that_double_for_48_hours_in_all(one):
    (item_id,) = waiting(one, one.ada)
    began_ms, pauses = one.now_ms, []
    while waiting(one, one.ada):
        before_ms = one.now_ms
        settle(one, one.ada, SendVerdict.LATER)
        if items := waiting(one, one.ada):
            assert list(items) == [item_id]
            assert not due(one, one.ada)
            one.now_ms = items[item_id].due_ms
            pauses.append(one.now_ms - before_ms)
    assert all(60_000 << n <= pause <= (60_000 << n) * 5 // 4 for n, pause in enumerate(pauses))
    assert len(pauses) == 11
    assert 24 * HOUR_MS < one.now_ms - began_ms < 48 * HOUR_MS


def test_a_receiver_that_names_a_pause_is_left_alone_for_so_long(one):
    settle(one, one.ada, SendVerdict.LATER, 2 * HOUR_MS)
    one.now_ms += 2 * HOUR_MS - 1
    assert not due(one, one.ada)
    one.now_ms += 1
    assert due(one, one.ada)


def test_pauses_of_items_made_in_one_moment_are_spread():
    pauses = {outbound.retry_ms((1_700_000_000_000 << 16) + 32 * n, 1) for n in range(64)}
    assert len(pauses) > 32
    assert all(60_000 <= pause <= 75_000 for pause in pauses)


def test_a_receiver_that_is_gone_ends_its_webhook_and_what_waits_for_it_alone(one):
    hook(one, one.ada, url="https://example.org/other")
    one.do("like", one.bob, one.post(one.ada))
    assert len(waiting(one, one.ada)) == 3
    (first, *_) = waiting(one, one.ada)
    row = [CHANNEL.kind.number, one.ada, first, 0, int(SendVerdict.GONE), 0]
    one.run(one.shard_of(one.ada), ["outcome", one.now_ms, [row]])
    ended = waiting(one, one.ada)[min(waiting(one, one.ada))].subscription if len(waiting(one, one.ada)) == 1 else 0
    assert ended
    assert [webhook[0] for webhook in one.read("webhooks", one.ada)] == [ended]


def test_an_outcome_of_an_attempt_of_before_says_nothing(one):
    (item_id,) = waiting(one, one.ada)
    settle(one, one.ada, SendVerdict.LATER)
    row = [CHANNEL.kind.number, one.ada, item_id, 0, int(SendVerdict.DONE), 0]
    assert one.run(one.shard_of(one.ada), ["outcome", one.now_ms, [row, [99, 1, 1, 0, 0, 0]]]) == 0
    assert item_id in waiting(one, one.ada)


def test_what_falls_due_here_leaves_what_is_to_leave_the_cluster_alone(one):
    replica = one.replicas[one.shard_of(one.ada)]
    assert replica.due_command(one.now_ms + 100 * HOUR_MS) is None
    assert waiting(one, one.ada)


# ---- it stays when a shard does not ---------------------------------------------------------------------------------


def test_a_shard_that_comes_back_has_what_waits_with_its_ids_and_times(one):
    settle(one, one.ada, SendVerdict.LATER)
    one.do("like", one.bob, one.post(one.ada))
    shard = one.shard_of(one.ada)
    here, replayed, store = one.replicas[shard], one.replayed(shard), memory_store()
    store.write(replayed.state.position, 1, replayed.seal())
    restored = Replica(shard, one.owner, one.tuning)
    restored.load(store.load())
    for replica in (restored, replayed):
        assert digest(replica.state) == digest(here.state)
        assert check(replica.state) == []
        assert replica.state.papers.outbound.first(1 << 60, 99) == here.state.papers.outbound.first(1 << 60, 99)


def test_what_waits_moves_with_its_account_and_is_due_there_alone(one):
    (item_id,) = waiting(one, one.ada)
    before, after = one.shard_of(one.ada), 1 - one.shard_of(one.ada)
    one.carry_out(rebalancing.move(before, after, [ids.bucket_of_account(one.ada)], one.now))
    assert list(waiting(one, one.ada)) == [item_id]
    heaps = [replica.state.papers.outbound.first(one.now_ms, 9) for replica in one.replicas]
    assert [item.key for item in heaps[after]] == [item_id]
    assert heaps[before] == []
    row = [CHANNEL.kind.number, one.ada, item_id, 0, int(SendVerdict.DONE), 0]
    assert one.run(before, ["outcome", one.now_ms, [row]]) == 0  # a call that was under way meanwhile
    assert one.run(after, ["outcome", one.now_ms, [row]]) == 1


def test_an_account_that_is_deleted_tells_nobody_any_more(one):
    one.do("delete_account", one.ada)
    assert not waiting(one, one.ada)
    assert not one.state_of(one.ada).papers.outbound.first(1 << 60, 9)


def test_below_its_level_there_are_no_webhooks():
    shards = Shards(1, level=2)
    shards.register(1)
    with pytest.raises(OverloadedError):
        shards.do("make_webhook", 1, URL, TYPES_ALL, SECRET)


# ---- webhooks -------------------------------------------------------------------------------------------------------


def test_an_account_has_so_many_webhooks_and_one_for_an_address(world):
    for n in range(limits.WEBHOOKS_COUNT_MAX):
        hook(world, world.ada, url=f"{URL}/{n}")
    for types, secret in ((TYPES_ALL, b"t" * 32), (1, SECRET)):
        with pytest.raises(ConflictError):
            world.do("make_webhook", world.ada, f"{URL}/0", types, secret)
    with pytest.raises(InvalidError):
        hook(world, world.ada, url=f"{URL}/more")


def test_after_a_rotation_both_secrets_sign_for_a_day_and_then_the_new_one_alone(one):
    (item_id,) = waiting(one, one.ada)
    one.do("rotate_webhook", one.ada, one.webhook_id, b"t" * 32)
    assert facts(one, one.ada, item_id)[1] == [b"t" * 32, SECRET]
    one.now_ms += limits.WEBHOOK_ROTATION_MS
    assert facts(one, one.ada, item_id)[1] == [b"t" * 32]


def test_a_webhook_that_is_ended_takes_what_waits_for_it_along(one):
    one.do("drop_webhook", one.ada, one.webhook_id)
    assert not waiting(one, one.ada)
    assert one.read("webhooks", one.ada) == []
    with pytest.raises(NotFoundError):
        one.do("test_webhook", one.ada, one.webhook_id)


def test_a_request_that_comes_again_makes_and_changes_nothing(one):
    before = one.read("webhooks", one.ada)
    again = one.do("make_webhook", one.ada, URL, TYPES_ALL, SECRET, b"nonce")
    assert again == [*before[0], b"nonce"]
    rotated = one.do("rotate_webhook", one.ada, one.webhook_id, b"t" * 32, b"n")
    one.now_ms += 1
    assert one.do("rotate_webhook", one.ada, one.webhook_id, b"t" * 32, b"n") == rotated
    (item_id,) = waiting(one, one.ada)
    assert facts(one, one.ada, item_id)[1] == [b"t" * 32, SECRET]


class TestWhoseAWebhookIs:
    """What a token of an app has made ends with it, whatever ends it; what is the account's own stays."""

    APP, OWN = b"a" * 32, b"o" * 32

    @pytest.fixture
    def made(self, world):
        shards = world
        shards.do("login_token", shards.ada, self.APP, None, "app", EVERYTHING, 99)
        shards.do("login_token", shards.ada, self.OWN)
        for token in (self.APP, self.OWN):
            name = token[:1].decode()
            webhook_id = shards.do("make_webhook", shards.ada, f"{URL}/{name}", TYPES_ALL, SECRET, b"", token)[0]
            shards.do("test_webhook", shards.ada, webhook_id)
        assert len(waiting(shards, shards.ada)) == 2
        return shards

    @pytest.mark.parametrize(
        "ending",
        [
            ("revoke_token", APP), ("end_token", token_id(APP)), ("revoke_tokens", []), ("revoke_tokens", [OWN]),
        ],
    )  # fmt: skip
    def test_it_ends_with_the_apps_token(self, made, ending):
        op, *args = ending
        made.do(op, made.ada, *args)
        assert [row[1] for row in made.read("webhooks", made.ada)] == [f"{URL}/o"]
        assert len(waiting(made, made.ada)) == 1

    def test_it_ends_with_a_password_by_which_all_tokens_end(self, made):
        made.run(made.shard_of(made.ada), ["change_password", made.ada, "another", [], None])
        assert [row[1] for row in made.read("webhooks", made.ada)] == [f"{URL}/o"]

    def test_it_ends_when_newer_tokens_take_its_place(self, made):
        for n in range(limits.TOKENS_PER_ACCOUNT_MAX):
            made.do("login_token", made.ada, n.to_bytes(32, "big"))
        assert [row[1] for row in made.read("webhooks", made.ada)] == [f"{URL}/o"]

    def test_it_stays_while_other_tokens_end(self, made):
        made.do("revoke_token", made.ada, self.OWN)
        made.do("revoke_tokens", made.ada, [self.APP])
        assert len(made.read("webhooks", made.ada)) == 2

    def test_none_is_made_by_a_token_that_has_ended(self, made):
        made.do("revoke_token", made.ada, self.APP)
        with pytest.raises(NotFoundError, match="token"):
            made.do("make_webhook", made.ada, f"{URL}/late", TYPES_ALL, SECRET, b"", self.APP)


def test_a_test_says_that_it_is_one(one):
    (item_id,) = waiting(one, one.ada)
    assert facts(one, one.ada, item_id)[2:4] == [item_id, TEST]
