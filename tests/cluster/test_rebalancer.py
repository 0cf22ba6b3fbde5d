"""The router's part in moves of buckets, beside shards in the same thread: progress, restarts, cancelling, refusals."""

from __future__ import annotations

import asyncio

import pytest

from actors.core.errors import ConflictError, InvalidError
from actors.core.replica import Replica
from cluster.placement.rebalancer import FILE_NAME, Rebalancer
from cluster.router.files import RouterStateError
from tests.core.test_moving import Moving


class World:
    """Shards, and a router's map over them."""

    def __init__(self, folder):
        self.folder = folder
        self.shards = Moving(2)
        self.accounts = [self.shards.account_on(shard, i) for shard in range(2) for i in range(8)]
        self.shards.register(*self.accounts)
        for account in self.accounts:
            self.shards.do("follow", account, self.accounts[0])
        self.tweets = [self.shards.post(account) for account in self.accounts]
        self.retired = []
        self.dead = set()
        self.asked = 0
        self.stop_after = 0
        self.stored_epoch = 0  # born_epoch of what new shards find in their storage

    def make(self):
        return Rebalancer(self.folder, lambda: self.shards.map, self.install, self.ask, self.retire)

    def install(self, new):
        shards = self.shards
        shards.map, shards.owner = new, list(new.buckets)
        del shards.replicas[new.shard_count :], shards.journals[new.shard_count :]
        for shard in range(len(shards.replicas), new.shard_count):
            shards.replicas.append(Replica(shard, [0] * 1024, shards.tuning))
            shards.journals.append([])
            shards.ask(shard, "remap", new.epoch, new.shard_count, new.buckets)
            if self.stored_epoch:
                shards.replicas[-1].state.born_epoch = self.stored_epoch

    async def ask(self, replica, op, args, timeout_s):
        self.asked += 1
        if self.asked == self.stop_after:
            raise asyncio.CancelledError
        await asyncio.sleep(0)
        if replica.shard in self.dead:
            raise ConnectionError("nobody listens")
        body = self.shards.ask(replica.shard, op, *args)
        self.shards.exchange()
        self.shards.sweep()
        if isinstance(body, Exception):
            raise body
        return body

    async def retire(self, replicas):
        self.stored_epoch = 0
        self.retired += [replica.actor_name for replica in replicas]

    def require_all_there(self):
        self.shards.check()
        assert not any(replica.state.frozen for replica in self.shards.replicas)
        first = self.accounts[0]
        for account, tweet_id in zip(self.accounts, self.tweets, strict=True):
            assert self.shards.home(account) == sorted({self.tweets[0], tweet_id}, reverse=True)
        state = self.shards.state_of(first)
        assert sorted(state.graph.followers.view(state.people.row_of[first]).tolist()) == sorted(self.accounts)


async def until(look):
    async with asyncio.timeout(60):
        while not look():  # noqa: ASYNC110  what is looked at is no event
            await asyncio.sleep(0.01)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


async def test_shards_are_added_and_given_up(world):
    rebalancer = world.make()
    rebalancer.begin(3, 64)
    await rebalancer.run()
    assert rebalancer.status()["done"] is True
    assert rebalancer.status()["moved_buckets"] == 341
    assert len(rebalancer.freeze_ms) >= 341 // 64
    world.require_all_there()
    rebalancer.begin(1, 64)
    await rebalancer.run()
    assert world.shards.map.shard_count == 1
    assert world.retired == ["rookery:shard-01:replica-0", "rookery:shard-02:replica-0"]
    world.require_all_there()
    assert not (world.folder / FILE_NAME).exists()
    rebalancer.begin(2, 64)
    await rebalancer.run()
    world.require_all_there()


@pytest.mark.parametrize("stop_after", [3, 20, 45, 46, 47, 48, 50, 52, 55, 60, 100, 150])
async def test_another_router_goes_on_where_one_died(world, stop_after):
    rebalancer = world.make()
    rebalancer.begin(3, 64)
    world.stop_after = world.asked + stop_after
    with pytest.raises(asyncio.CancelledError):
        await rebalancer.run()
    another = world.make()
    assert another.wanted
    await another.run()
    assert another.status()["done"] is True
    sizes = [len(world.shards.map.buckets_of_shard(shard)) for shard in range(3)]
    assert max(sizes) - min(sizes) <= 1
    world.require_all_there()


async def test_a_dead_shard_is_waited_for_and_the_reason_told(world):
    rebalancer = world.make()
    rebalancer.begin(3, 64)
    world.dead = {1}
    task = asyncio.create_task(rebalancer.run())
    await asyncio.sleep(0.3)
    assert not task.done()
    world.dead = set()
    await task
    world.require_all_there()


async def test_a_rebalance_can_be_cancelled_and_another_one_begun(world):
    rebalancer = world.make()
    rebalancer.begin(4, 1)
    with pytest.raises(ConflictError, match="4 shards goes on"):
        rebalancer.begin(2, 1)
    task = asyncio.create_task(rebalancer.run())
    await until(lambda: rebalancer.progress.moved_buckets)
    rebalancer.cancel()
    await task
    assert rebalancer.progress.problem == "cancelled"
    assert rebalancer.progress.moved_buckets < 512
    assert not world.make().wanted
    world.require_all_there()
    rebalancer.begin(2, 64)
    await rebalancer.run()
    assert world.shards.map.shard_count == 2
    world.require_all_there()


async def test_what_an_earlier_shard_has_left_is_put_aside_before_anything_moves_there(world):
    world.stored_epoch = world.shards.map.epoch
    rebalancer = world.make()
    rebalancer.begin(3, 64)
    await rebalancer.run()
    assert world.retired == ["rookery:shard-02:replica-0"]
    assert rebalancer.progress.failed_moves == 1
    assert len(world.shards.map.buckets_of_shard(2)) == 341
    world.require_all_there()


@pytest.mark.parametrize(("shards", "at_once"), [(0, 8), (257, 8), (True, 8), ("2", 8), (2, 0), (2, 65), (2, None)])
def test_numbers_that_make_no_sense_are_refused(world, shards, at_once):
    with pytest.raises(InvalidError):
        world.make().begin(shards, at_once)
    assert not (world.folder / FILE_NAME).exists()


def test_a_file_that_is_none_of_ours_is_named(world):
    (world.folder / FILE_NAME).write_text("{}")
    with pytest.raises(RouterStateError, match=FILE_NAME):
        world.make()
