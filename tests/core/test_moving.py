"""Buckets that move between shards in one thread: with writes between any two steps, and requests that make no sense.

Faults are the simulation's part (tests/sim); here are the contents of parts, refusals, and the plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.core import ids
from actors.core.entries import pack, unpack
from actors.core.errors import FrozenError, InvalidError, MovedError, OverloadedError, RookeryError
from actors.core.features.likes import LIKE
from actors.core.moves import moving
from actors.core.replica import MOVES, Replica
from actors.core.verify import check, digest
from cluster.placement import rebalancing
from cluster.placement.rebalancing import AskLeaders, Install, MoveFailedError
from cluster.placement.shard_map import ShardMap
from tests.core.harness import SMALL, Shards, memory_store
from tests.core.test_hostile_arguments import ANYTHING


class Moving(Shards):
    """Shards whose buckets move; `between` is called after each step of a coordinator."""

    def __init__(self, count=2, tuning=SMALL):
        super().__init__(count, tuning)
        self.map = ShardMap.even("test", count).with_buckets(dict(enumerate(self.owner)))
        self.between = lambda: None
        self.seconds = 0.0
        self.carry_out(rebalancing.settle())

    def now(self):
        self.seconds += 0.0001
        return self.seconds

    def ask(self, shard, op, *args):
        try:
            record, body = self.replicas[shard].move(op, list(args))
        except RookeryError as error:
            return error
        if record is not None:
            self.journals[shard].append(record)
        return body

    def sweep(self):
        for shard, replica in enumerate(self.replicas):
            while replica.mover.sweeping and not replica.state.frozen:
                command = replica.mover.sweep_step()
                if command is not None:
                    self.run(shard, command)

    def check_whole(self):
        """What has moved away is forgotten; a replay, and a recovery from what is sealed, give the same state."""
        self.sweep()
        self.check()
        for shard in range(len(self.replicas)):
            before = digest(self.replicas[shard].state)
            assert digest(self.replayed(shard).state) == before
            store = memory_store()
            self.seal_into(shard, store)
            assert digest(self.restore_from(shard, store).state) == before

    def carry_out(self, steps):
        answer = None
        while True:
            try:
                need = steps.send(answer)
            except StopIteration as stop:
                return stop.value
            answer = None
            if isinstance(need, Install):
                answer = self.map = need.change(self.map)
                self.owner = list(self.map.buckets)
            elif isinstance(need, AskLeaders):
                answer = {shard: self.ask(shard, op, *args) for shard, (op, args) in need.requests.items()}
            else:
                self.sweep()
            self.exchange()
            self.between()

    def move(self, target, *accounts):
        buckets = sorted({ids.bucket_of_account(account) for account in accounts})
        self.carry_out(rebalancing.move(self.shard_of(accounts[0]), target, buckets, self.now))


def three_people() -> Iterator[Any]:
    """Yield a cluster with ada on one shard, bob and eve on the other; at the end what was done replays and restores.

    A fixture of whoever imports it: `world = pytest.fixture(three_people)`.
    """
    made: Any = Moving()
    made.ada, made.bob, made.eve = made.account_on(0), made.account_on(1), made.account_on(1, 1)
    made.register(made.ada, made.bob, made.eve)
    yield made
    made.sweep()
    made.check()
    for shard, replica in enumerate(made.replicas):
        before = digest(replica.state)
        assert digest(made.replayed(shard).state) == before
        store = memory_store()
        made.seal_into(shard, store)
        assert digest(made.restore_from(shard, store).state) == before


def facts_of(shards, account_id):
    """Everything that an account is, wherever it is."""
    state = shards.state_of(account_id)
    row = state.people.row_of[account_id]
    log = state.tweets.log.view(row).tolist() if state.tweets.log.klass[row] >= 0 else []
    return [
        state.people.accounts[row].to_row(), state.graph.following.view(row).tolist(),
        state.graph.followers.view(row).tolist(), [state.tweets.get(t) for t in log],
        [sorted(kind.get(row, ())) for kind in state.graph.relations], state.shelves.view(LIKE, account_id)[0].tolist(),
        sorted(state.reposts.get(row, {}).items()), account_id in state.pull_shards,
        sorted((k, v) for k, v in state.idempotency.items() if k[0] == account_id),
    ]  # fmt: skip


@pytest.fixture
def shards():
    made = Moving()
    here, there = [made.account_on(0, i) for i in range(4)], [made.account_on(1, i) for i in range(4)]
    made.here, made.there = here, there
    made.register(*here, *there)
    for one in (*here, *there):
        for other in (*here, *there):
            if one != other:
                made.do("follow", one, other)
    made.tweets = [made.post(account, key=b"key-%d" % account) for account in (*here, *there)]
    made.do("block", here[0], there[1])
    made.do("like", here[0], made.tweets[5])
    made.repost(here[0], made.tweets[6])
    return made


@pytest.mark.parametrize("edges", [1, 3, 1 << 15])
def test_an_account_is_the_same_wherever_it_has_moved(shards, edges, monkeypatch):
    monkeypatch.setattr(moving, "EDGES_OF_PART", edges)
    monkeypatch.setattr(moving, "PART_BYTES", 300)
    before = [facts_of(shards, account) for account in (*shards.here, *shards.there)]
    homes = [shards.home(account) for account in (*shards.here, *shards.there)]
    shards.move(1, shards.here[0], shards.here[1])
    assert shards.shard_of(shards.here[0]) == 1
    assert [facts_of(shards, account) for account in (*shards.here, *shards.there)] == before
    assert [shards.home(account) for account in (*shards.here, *shards.there)] == homes
    shards.sweep()
    shards.check()
    assert not shards.replicas[0].state.people.away
    shards.move(0, shards.here[0])  # and back, into a row that was freed
    shards.sweep()
    shards.check()
    assert [facts_of(shards, account) for account in (*shards.here, *shards.there)] == before
    for shard in range(2):
        assert digest(shards.replayed(shard).state) == digest(shards.replicas[shard].state)


def test_what_changes_while_an_account_moves_moves_along(shards, monkeypatch):
    monkeypatch.setattr(moving, "EDGES_OF_PART", 2)
    monkeypatch.setattr(moving, "PART_BYTES", 200)
    star, fan = shards.here[0], shards.there[0]
    count = 0

    def between():
        nonlocal count
        count += 1
        if shards.replicas[0].state.frozen or shards.shard_of(star) != 0:
            return
        kind = count % 6
        if kind == 0:
            shards.post(star, f"tweet {count}")
        elif kind in (1, 2):
            shards.do("unfollow" if kind == 1 else "follow", fan, star)
        elif kind == 3:
            shards.do("unfollow" if count % 12 == 3 else "follow", star, fan)
        elif kind == 4:
            shards.do("like", fan, shards.tweets[0])
            shards.do("unlike", fan, shards.tweets[0])
        else:
            shards.do("update_profile", star, {"bio": f"bio {count}"})

    shards.between = between
    taken = {}

    def note(need):
        state = shards.replicas[0].state
        if state.frozen and not taken and star in state.people.row_of:
            taken["facts"] = facts_of(shards, star)

    steps = rebalancing.move(0, 1, [ids.bucket_of_account(star)], shards.now)
    original, shards.between = between, lambda: (note(None), original())
    shards.carry_out(steps)
    shards.between = lambda: None
    assert count > 20
    assert facts_of(shards, star) == taken["facts"]
    shards.sweep()
    shards.check()


def test_a_frozen_shard_reads_and_takes_messages_but_no_writes(shards):
    ada = shards.here[0]
    assert shards.home(ada)
    assert shards.ask(0, "freeze", 1000) is True
    before = digest(shards.replicas[0].state)
    with pytest.raises(FrozenError):
        shards.do("post", ada, "no", 0, 0, 0, b"", [], [], None)
    with pytest.raises(FrozenError):
        shards.run(0, ["tick", shards.now_ms])
    assert digest(shards.replicas[0].state) == before
    assert shards.home(ada)
    assert shards.ask(1, "thaw", 1000) is True
    shards.send("post", shards.there[0], "yes", 0, 0, 0, b"", [], [], None)
    shards.exchange()
    assert shards.ask(0, "thaw", 1000) is True
    shards.post(ada)


def test_a_freeze_that_comes_after_its_thaw_does_nothing(shards):
    assert shards.ask(0, "thaw", 50) is True
    assert isinstance(shards.ask(0, "freeze", 50), InvalidError)
    assert shards.replicas[0].state.frozen == 0
    assert moving.freeze(shards.replicas[0].state, 50) is False


def test_a_move_whose_taker_lacks_something_is_undone(shards, monkeypatch):
    monkeypatch.setattr(moving.Outgoing, "tail", lambda self: b"")
    count = len(facts_of(shards, shards.here[0])[3])

    def between():
        if shards.shard_of(shards.here[0]) == 0 and not shards.replicas[0].state.frozen:
            shards.post(shards.here[0])

    shards.between = between
    with pytest.raises(MoveFailedError, match="gave"):
        shards.move(1, shards.here[0])
    shards.between = lambda: None
    shards.sweep()
    assert shards.shard_of(shards.here[0]) == 0
    assert not shards.replicas[1].state.people.away
    assert [replica.state.frozen for replica in shards.replicas] == [0, 0]
    assert len(facts_of(shards, shards.here[0])[3]) > count
    shards.check()


def test_a_pull_authors_tweets_come_to_a_shard_that_its_first_follower_has_just_moved_to():
    made = Moving(3, replace(SMALL, pull_threshold=1))
    star, fans = made.account_on(0), [made.account_on(1, 0), made.account_on(1, 1)]
    made.register(star, *fans)
    for fan in fans:
        made.do("follow", fan, star)
    tweets = [made.post(star) for _ in range(3)]
    assert made.state_of(star).pull_shards == {star: {1}}
    made.move(2, fans[0])
    assert made.state_of(star).pull_shards == {star: {1, 2}}
    made.home(fans[0])
    tweets.append(made.post(star))
    assert made.home(fans[0]) == made.home(fans[1]) == tweets[::-1]
    made.move(2, fans[1])
    assert made.state_of(star).pull_shards == {star: {2}}
    made.move(1, star)
    tweets.append(made.post(star))
    assert made.home(fans[0]) == made.home(fans[1]) == tweets[::-1]
    made.sweep()
    made.check()


def test_a_taker_forgets_first_what_an_earlier_move_left(shards):
    bucket = ids.bucket_of_account(shards.here[0])
    assert isinstance(shards.ask(1, "take", 7, [bucket]), OverloadedError)  # it looks whether there is anything
    shards.sweep()
    assert shards.ask(1, "take", 7, [bucket]) is True
    shards.ask(0, "give", 7, [bucket])
    while part := shards.ask(0, "give_part", 7):
        assert shards.ask(1, "take_part", 7, part) is True
    assert shards.here[0] in shards.replicas[1].state.people.away
    for number in (8, 9):
        assert isinstance(shards.ask(1, "take", number, [bucket]), OverloadedError)
    shards.sweep()
    assert not shards.replicas[1].state.people.away
    assert shards.ask(1, "take", 10, [bucket]) is True
    assert isinstance(shards.ask(1, "take_part", 7, b"\x90"), InvalidError)
    shards.check()


def test_what_isnt_ours_is_not_given_and_what_is_ours_not_taken(shards):
    mine, other = ids.bucket_of_account(shards.here[0]), ids.bucket_of_account(shards.there[0])
    assert isinstance(shards.ask(0, "give", 5, [other]), MovedError)
    assert isinstance(shards.ask(0, "take", 5, [mine]), InvalidError)


# ---- requests that make no sense --------------------------------------------------------------------------


def _a_part():
    made = Moving()
    account = made.account_on(0)
    made.register(account, made.account_on(1))
    made.do("follow", account, made.account_on(1))
    made.post(account, key=b"k")
    bucket = ids.bucket_of_account(account)
    made.ask(1, "take", 5, [bucket])
    made.sweep()
    made.ask(1, "take", 5, [bucket])
    made.ask(0, "give", 5, [bucket])
    return made, made.ask(0, "give_part", 5)


BASE, PART = _a_part()


def _mutated(draw):
    """A part in which one value, anywhere, is something else."""
    items = unpack(PART)
    place = items
    while isinstance(place, list) and place:
        index = draw(st.integers(0, len(place) - 1))
        if not isinstance(place[index], list) or not place[index] or draw(st.booleans()):
            place[index] = draw(ANYTHING)
            break
        place = place[index]
    return pack(items)


@given(st.composite(_mutated)())
@settings(max_examples=200)
def test_a_part_that_makes_no_sense_is_refused_or_harmless(part):
    fresh = Replica(1, BASE.owner, BASE.tuning)
    for position, record in enumerate(BASE.journals[1], start=1):
        fresh.replay(position, record)
    before = digest(fresh.state)
    try:
        fresh.move("take_part", [5, part])
    except RookeryError:
        assert digest(fresh.state) == before
    assert check(fresh.state) == []
    fresh.seal()


@given(st.sampled_from(MOVES), st.lists(ANYTHING, max_size=4))
@example("remap", [1 << 62, 300, b"\0" * 1024])
@example("remap", [1 << 62, 2, b"\2" * 1024])
@example("take", [5, [[]]])
@settings(max_examples=300)
def test_arguments_that_make_no_sense_are_refused(op, args):
    fresh = Replica(0, BASE.owner, BASE.tuning)
    try:
        record, _ = fresh.move(op, msgpack.unpackb(msgpack.packb(args), strict_map_key=False))
    except RookeryError:
        return
    except (TypeError, ValueError, OverflowError):
        if not _packs(args):
            return
        raise
    assert record is None or isinstance(record, bytes)
    assert check(fresh.state) == []


def _packs(args):
    try:
        msgpack.unpackb(msgpack.packb(args), strict_map_key=False)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


# ---- the plan ---------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 6), min_size=1024, max_size=1024), st.integers(1, 9), st.integers(1, 64))
@settings(max_examples=100)
def test_a_plan_evens_out_with_as_few_moves_as_can_be(owners, count, at_once):
    buckets = list(owners)
    moves = rebalancing.plan(buckets, count, at_once)
    for source, target, moved in moves:
        assert 0 < len(moved) <= at_once
        assert source != target
        for bucket in moved:
            assert buckets[bucket] == source
            buckets[bucket] = target
    sizes = Counter(buckets)
    assert max(sizes) < count
    assert max(sizes.values()) - min(sizes.get(shard, 0) for shard in range(count)) <= 1
    most = sorted((Counter(owners).get(shard, 0) for shard in range(count)), reverse=True)
    kept = sum(min(size, 1024 // count + (rank < 1024 % count)) for rank, size in enumerate(most))
    assert sum(len(moved) for _, _, moved in moves) == 1024 - kept
    assert rebalancing.plan(buckets, count, at_once) == []
