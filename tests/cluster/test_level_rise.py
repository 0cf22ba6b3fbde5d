"""The level of a cluster: a new one has that of this code, an old one rises once all know it, whatever dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest

from actors.core.errors import ConflictError, InvalidError, MovedError
from actors.core.levels import LEVEL
from cluster.placement.shard_map import WIRE_NAME, ShardMap
from cluster.router.files import load_state, save_state
from cluster.router.level_rise import NOT_SAID, LevelRise
from cluster.router.router import Endpoints, Router

SHARDS, REPLICAS = 2, 2
WHERE = {"unix_path": "/run/lane", "host": "", "port": 0, "node_id": "node", "pid": 1}


class CrashError(Exception):
    """The router's process ends here."""


class World:
    """A router's disk, and what it meets: leaders that journal levels, other processes that say what they know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        save_state(folder, "0" * 16, ShardMap.even("test", SHARDS, REPLICAS))
        self.replicas = {r.actor_name: LEVEL for r in self.map.replicas}
        self.others = {"rookery:api-1": LEVEL, "rookery:trends": LEVEL}
        self.levels = dict.fromkeys(range(SHARDS), 0)
        self.asked: list[tuple[int, str, list[int]]] = []
        self.refusing: set[int] = set()
        self.steps_until_crash = -1

    @property
    def map(self) -> ShardMap:
        state = load_state(self.folder)
        assert state is not None
        return state[1]

    async def run(self) -> ShardMap:
        """Have a router of now do what it can, and look at its disk."""
        rise = LevelRise(lambda: self.map, self._change, self._ask, self._ask_others)
        if rise.wanted:
            await rise.step(self.replicas)
        return self.map

    def _change(self, new: ShardMap) -> None:
        self._live_on()
        save_state(self.folder, "0" * 16, new)
        self._live_on()

    async def _ask(self, replica, op, args, timeout_s):
        self._live_on()
        self.asked.append((replica.shard, op, args))
        if replica.shard in self.refusing:
            raise MovedError("another replica leads")
        self.levels[replica.shard] = max(self.levels[replica.shard], args[0])
        self._live_on()
        return True

    async def _ask_others(self):
        self._live_on()
        return self.others

    def _live_on(self) -> None:
        self.steps_until_crash -= 1
        if self.steps_until_crash == 0:
            raise CrashError


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    assert made.map.check() == []
    assert min(made.levels.values()) >= made.map.level
    assert max(made.levels.values()) <= made.map.next_level


async def test_a_cluster_of_before_rises_when_every_process_has_said_that_it_knows_the_level(world):
    after = await world.run()
    assert (after.level, after.next_level) == (LEVEL, LEVEL)
    assert world.asked == [(shard, "level", [LEVEL]) for shard in range(SHARDS)]
    assert await world.run() == after  # nothing more to do
    assert len(world.asked) == SHARDS


@pytest.mark.parametrize("said", [0, NOT_SAID], ids=["it is older", "it does not answer"])
@pytest.mark.parametrize("who", ["rookery:shard-01:replica-1", "rookery:api-1", "rookery:trends"])
async def test_one_process_that_has_not_said_so_keeps_the_level_down(world, who, said):
    told = world.replicas if who in world.replicas else world.others
    told[who] = said
    before = world.map
    assert await world.run() == before
    assert world.asked == []
    told[who] = LEVEL
    assert (await world.run()).level == LEVEL


async def test_a_shard_whose_leader_is_away_is_asked_again_and_nobody_uses_the_level_meanwhile(world):
    world.refusing = {1}
    for _ in range(3):
        after = await world.run()
        assert (after.level, after.next_level) == (0, LEVEL)
    world.refusing = set()
    assert (await world.run()).level == LEVEL


@pytest.mark.parametrize("steps", range(1, 10))
async def test_a_router_that_dies_anywhere_is_carried_on_by_the_next(world, steps):
    world.steps_until_crash = steps
    try:
        await world.run()
    except CrashError:
        assert world.map.level == 0 or world.levels == dict.fromkeys(range(SHARDS), LEVEL)
    after = await world.run()
    assert (after.level, after.next_level, world.levels) == (LEVEL, LEVEL, dict.fromkeys(range(SHARDS), LEVEL))


# ---- the map ----------------------------------------------------------------------------------------------------


def test_a_map_of_level_0_looks_to_older_processes_as_it_always_did():
    wire = ShardMap.even("test", SHARDS, REPLICAS).to_wire()
    assert (wire[:2], len(wire)) == ([WIRE_NAME, 2], 8)


@pytest.mark.parametrize("levels", [(0, 1), (1, 1)])
def test_a_map_that_rises_is_refused_by_older_processes_and_carries_its_levels(levels):
    shard_map = ShardMap.even("test", SHARDS, REPLICAS).with_next_level(levels[1])
    shard_map = shard_map.with_level_reached() if levels[0] else shard_map
    wire = shard_map.to_wire()
    assert wire[:2] == [WIRE_NAME, 3]
    found = ShardMap.from_wire(msgpack.unpackb(msgpack.packb(wire)))
    assert found == shard_map
    assert (found.level, found.next_level) == levels


def test_what_a_newer_version_adds_to_the_end_of_a_map_is_passed_over():
    wire = ShardMap.even("test", SHARDS, level=1).to_wire()
    wire[-1]["something new"] = [1, 2]
    assert ShardMap.from_wire(wire).level == 1


@pytest.mark.parametrize("levels", [[1, 0], [-1, 1], [1], [0, 1, 1], ["0", "1"], [True, True], None])
def test_levels_that_make_no_sense_are_refused(levels):
    wire = ShardMap.even("test", SHARDS, level=1).to_wire()
    wire[-1]["levels"] = levels
    with pytest.raises(InvalidError):
        ShardMap.from_wire(wire)


@pytest.mark.parametrize("levels", [(LEVEL, LEVEL + 1), (LEVEL + 1, LEVEL + 1)])
def test_a_process_that_is_older_than_the_cluster_takes_no_part_and_says_why(tmp_path, levels):
    wire = ShardMap.even("test", SHARDS, level=LEVEL).to_wire()
    wire[-1]["levels"] = list(levels)
    sentence = f"cluster 'test' is at level {LEVEL + 1}, and this code knows levels up to {LEVEL} only.*can't be rolled"
    with pytest.raises(ConflictError, match=sentence):
        ShardMap.from_wire(wire)
    save_state(tmp_path, "0" * 16, _AsIs(wire))
    with pytest.raises(ConflictError, match=sentence):
        load_state(tmp_path)


class _AsIs:
    """Something with a wire form."""

    def __init__(self, wire) -> None:
        self._wire = wire

    def to_wire(self):
        return self._wire


# ---- processes ----------------------------------------------------------------------------------------------------


def test_a_process_that_reports_no_level_has_level_0():
    assert Endpoints.from_wire(WHERE).level == 0
    assert Endpoints.from_wire({**WHERE, "level": 7}).level == 7


@pytest.mark.parametrize("level", [-1, "1", None, True])
def test_a_report_that_is_no_level_is_refused(level):
    with pytest.raises(InvalidError, match="level"):
        Endpoints.from_wire({**WHERE, "level": level})


def test_the_router_forgets_what_a_process_knew_when_another_one_takes_its_place(tmp_path):
    router = Router(tmp_path, "test", 1, NobodyThere())
    assert router.shard_map.level == LEVEL  # a new cluster has no older processes
    assert [r["level"] for r in router.status(0.0)["replicas"]] == [NOT_SAID]
    router.register_replica(0, 0, Endpoints.from_wire({**WHERE, "level": LEVEL}), 0.0)
    assert [r["level"] for r in router.status(0.0)["replicas"]] == [LEVEL]
    router.register_replica(0, 0, Endpoints.from_wire({**WHERE, "pid": 2}), 0.0)
    assert [r["level"] for r in router.status(0.0)["replicas"]] == [0]


class NobodyThere:
    """A world in which nobody answers."""

    async def ask(self, replica, op, args, timeout_s):
        raise ConnectionError

    async def levels_of_others(self):
        return {}

    async def retire(self, replicas):
        """Nothing is left to end."""
