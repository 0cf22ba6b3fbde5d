"""Drained nodes with a fake world: who hands over, who leaves, where they go, and what is refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from actors.core.errors import ConflictError, InvalidError, OverloadedError
from actors.core.replication import Term
from cluster.placement.shard_map import ShardMap
from cluster.router.draining import FILE_NAME, Draining, Node
from cluster.router.files import RouterStateError

ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
NODES = [Node(f"{number}" * 56, address, True) for number, address in enumerate(ADDRESSES, 1)]
FIRST, SECOND, THIRD = (node.node_id for node in NODES)


class World:
    """Nodes, replicas that are in sync unless told otherwise, and a router that does what it is asked at once."""

    def __init__(self, tmp_path, replicas: int, homes: list[list[str]], portable: bool = False) -> None:
        self.map = ShardMap.even("test", len(homes), replicas)
        self.map = replace(self.map, terms=((Term(1, 0, 1),),) * len(homes))
        for shard, nodes in enumerate(homes):
            for index, node_id in enumerate(nodes):
                self.change(shard, index, node_id=node_id, port=4000, pid=1, in_sync=True)
        self.alive = list(NODES)
        self.stopped: list[str] = []
        self.api_stopped: list[str] = []
        self.refuses = False
        self.folder, self.portable = tmp_path, portable
        self.draining = self.restart()

    def restart(self) -> Draining:
        """A router that starts again."""
        self.draining = Draining(self.folder, lambda: self.map, self, self, self.is_there, self.portable)
        return self.draining

    def change(self, shard: int, index: int, **fields: object) -> None:
        self.map = self.map.with_replica(replace(self.map.replica(shard, index), **fields))

    def is_there(self, replica) -> bool:
        return replica.actor_name not in self.stopped

    async def nodes(self):
        return self.alive

    async def stop(self, actor_name):
        self.stopped.append(actor_name)
        replica = next(r for r in self.map.replicas if r.actor_name == actor_name)
        self.change(replica.shard, replica.index, in_sync=False)

    async def retire(self, replicas):
        """No test of draining gives up shards."""

    async def stop_api_workers(self, node_ids):
        self.api_stopped = node_ids
        return len(node_ids)

    async def hand_over(self, shard, index):
        if self.refuses:
            raise OverloadedError("not now")
        old = self.map.primary_of(shard)
        primaries = {old.index: False, index: True}
        replicas = tuple(
            replace(r, primary=primaries.get(r.index, False)) if r.shard == shard else r for r in self.map.replicas
        )
        self.map = replace(self.map, epoch=self.map.epoch + 1, replicas=replicas)

    def name(self, shard: int, index: int) -> str:
        return self.map.replica(shard, index).actor_name


@pytest.fixture
def make(tmp_path):
    return lambda *args, **options: World(tmp_path, *args, **options)


async def test_a_leader_hands_over_first_then_its_replica_leaves(make):
    world = make(2, [[FIRST, SECOND]])
    await world.draining.drain(ADDRESSES[0])
    await world.draining.step()
    assert world.map.primary_of(0).node_id == SECOND
    assert world.stopped == []
    await world.draining.step()
    assert world.stopped == [world.name(0, 0)]
    assert world.api_stopped == [FIRST]
    assert await world.draining.place(world.map.replica(0, 0)) == THIRD


async def test_leaders_go_where_the_fewest_are(make):
    world = make(3, [[FIRST, SECOND, THIRD], [SECOND, THIRD, FIRST]])
    await world.draining.drain(FIRST[:8])
    await world.draining.step()
    assert [world.map.primary_of(shard).node_id for shard in range(2)] == [THIRD, SECOND]


async def test_a_leader_stays_while_nobody_else_is_in_sync_or_the_handover_fails(make):
    world = make(2, [[FIRST, SECOND]])
    await world.draining.drain(ADDRESSES[0])
    world.change(0, 1, in_sync=False)
    await world.draining.step()
    world.change(0, 1, in_sync=True)
    world.refuses = True
    await world.draining.step()
    assert world.map.primary_of(0).node_id == FIRST
    assert world.stopped == []


async def test_a_follower_leaves_only_while_the_others_are_in_sync(make):
    world = make(3, [[SECOND, FIRST, THIRD]])
    world.change(0, 2, in_sync=False)
    await world.draining.drain(ADDRESSES[0])
    await world.draining.step()
    assert world.stopped == []
    world.change(0, 2, in_sync=True)
    await world.draining.step()
    assert world.stopped == [world.name(0, 1)]


async def test_a_replica_without_another_node_is_left_stopped_until_the_node_is_back(make):
    world = make(3, [[SECOND, FIRST, THIRD]])
    await world.draining.drain(ADDRESSES[0])
    await world.draining.step()
    follower = world.map.replica(0, 1)
    assert await world.draining.place(follower) is None
    assert list(world.draining.report()["left_stopped"]) == [follower.actor_name]
    assert await world.draining.undo(ADDRESSES[0]) == []
    assert world.draining.report() == {"nodes": [], "left_stopped": {}}
    assert await world.draining.place(follower) == ""


async def test_a_new_router_goes_on_draining_and_an_address_stays_drained_under_another_id(make):
    world = make(2, [[FIRST, SECOND]])
    await world.draining.drain(ADDRESSES[0])
    world.restart()
    assert await world.draining.drained_ids() == [FIRST]
    world.alive[0] = Node("9" * 56, ADDRESSES[0], True)
    assert await world.draining.drained_ids() == ["9" * 56]
    await world.draining.undo("9" * 56)
    assert world.restart().marks == frozenset()


async def test_the_only_copy_in_files_stays_and_in_redis_leaves(make):
    with pytest.raises(ConflictError, match="the only copy"):
        await make(1, [[FIRST]]).draining.drain(ADDRESSES[0])
    world = make(1, [[FIRST]], portable=True)
    assert world.draining.marks == frozenset()
    await world.draining.drain(ADDRESSES[0])
    await world.draining.step()
    assert world.stopped == [world.name(0, 0)]
    assert await world.draining.place(world.map.replica(0, 0)) in (SECOND, THIRD)


async def test_the_last_node_that_takes_actors_and_names_that_fit_no_node_are_refused(make):
    world = make(1, [[SECOND]], portable=True)
    world.alive = [Node(FIRST, ADDRESSES[0], False), NODES[1]]  # a head without CPUs
    with pytest.raises(ConflictError, match="last node"):
        await world.draining.drain(ADDRESSES[1])
    with pytest.raises(InvalidError, match="no node that lives"):
        await world.draining.drain(ADDRESSES[2])
    with pytest.raises(InvalidError, match="is not drained"):
        await world.draining.undo(ADDRESSES[1])
    world.alive = [Node(FIRST, ADDRESSES[1], True), NODES[1]]
    with pytest.raises(InvalidError, match="several nodes"):
        await world.draining.drain(ADDRESSES[1])


def test_a_damaged_list_of_drained_nodes_is_refused_with_its_name(make, tmp_path):
    (tmp_path / FILE_NAME).write_text('{"drained": 7}')
    with pytest.raises(RouterStateError, match=FILE_NAME):
        make(1, [[FIRST]])


async def test_nothing_is_asked_of_the_nodes_while_none_is_drained(make):
    world = make(2, [[FIRST, SECOND]])
    world.alive = []
    assert await world.draining.drained_ids() == []
    assert await world.draining.place(world.map.replica(0, 1)) == ""
    await asyncio.wait_for(world.draining.step(), 60)
    assert world.stopped == []
