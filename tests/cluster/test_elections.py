"""Handing over a shard with fake replicas: who leads after, and what is left when something goes wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.core.errors import ConflictError, MovedError, OverloadedError
from actors.core.replication import Member, Term
from cluster.placement.shard_map import ShardMap
from cluster.router.elections import Elections


class Replicas:
    """Three replicas of a shard, replica 0 leads in term 1; all have everything unless `positions` says otherwise."""

    def __init__(self) -> None:
        shard_map = ShardMap.even("test", 1, 3).with_in_sync(0, [Member(i, f"disk-{i}") for i in range(3)])
        for index in range(3):
            shard_map = shard_map.with_replica(replace(shard_map.replica(0, index), port=4000 + index, pid=index + 1))
        self.map = replace(shard_map, terms=((Term(1, 0, 2),),))
        self.positions = [70, 70, 70]
        self.asked: list[tuple[int, str]] = []
        self.failing: dict[tuple[int, str], Exception] = {}
        self.elections = Elections(lambda: self.map, self.change, self.ask, 2)
        self.elections.note_ping(self.map.primary_of(0), 1)

    def change(self, new: ShardMap) -> None:
        self.map = new

    async def ask(self, replica, op, args, timeout_s):
        self.asked.append((replica.index, op))
        if (replica.index, op) in self.failing:
            raise self.failing[replica.index, op]
        if op == "prepare":
            return [True, f"disk-{replica.index}", 1, self.positions[replica.index]]
        return self.positions[replica.index]


@pytest.fixture
def replicas():
    return Replicas()


@pytest.mark.parametrize("index", [1, 2])
async def test_the_wished_replica_leads_in_the_next_term(replicas, index):
    await replicas.elections.hand_over(0, index)
    assert replicas.map.primary_of(0).index == index
    assert replicas.map.term_of(0) == 2
    assert replicas.asked[0] == (0, "hand_over")
    assert replicas.asked[-1] == (index, "lead")
    assert replicas.elections.has_leader(0)


async def test_a_replica_that_is_further_leads_whatever_was_wished(replicas):
    replicas.positions = [70, 69, 70]
    with pytest.raises(OverloadedError, match="was not elected"):
        await replicas.elections.hand_over(0, 1)
    assert replicas.map.primary_of(0).index == 0
    assert replicas.map.term_of(0) == 2
    assert replicas.elections.has_leader(0)


async def test_a_leader_that_does_not_hand_over_leads_on(replicas):
    replicas.failing[0, "hand_over"] = MovedError("it can't")
    with pytest.raises(OverloadedError, match="leads on"):
        await replicas.elections.hand_over(0, 1)
    assert replicas.asked == [(0, "hand_over")]
    assert replicas.map.term_of(0) == 1
    assert replicas.elections.has_leader(0)


async def test_a_replica_that_is_not_in_sync_takes_nothing_over(replicas):
    replicas.map = replicas.map.with_in_sync(0, [Member(0, "disk-0"), Member(2, "disk-2")])
    with pytest.raises(ConflictError, match="in sync"):
        await replicas.elections.hand_over(0, 1)
    assert replicas.asked == []


async def test_a_successor_that_dies_meanwhile_leaves_the_shard_to_the_others(replicas):
    replicas.failing[1, "prepare"] = ConnectionError("gone")
    with pytest.raises(OverloadedError, match="was not elected"):
        await replicas.elections.hand_over(0, 1)
    assert replicas.map.primary_of(0).index == 0
    assert replicas.elections.has_leader(0)


async def test_a_successor_that_dies_when_it_is_elected_leaves_the_shard_to_the_next_election(replicas):
    replicas.failing[2, "lead"] = ConnectionError("gone")
    with pytest.raises(OverloadedError, match="was not elected"):
        await replicas.elections.hand_over(0, 2)
    assert not replicas.elections.has_leader(0), "the next look elects"
    replicas.failing.clear()
    assert await replicas.elections.elect(0)


async def test_handing_over_to_the_leader_changes_nothing(replicas):
    await replicas.elections.hand_over(0, 0)
    assert replicas.asked == []
