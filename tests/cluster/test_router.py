"""The router with fake actors and an injected clock: the map on disk, registration, supervision."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import replace

import pytest

from actors.core.errors import InvalidError
from actors.core.levels import LEVEL
from cluster.lane.certificates import make_authority
from cluster.lane.handshake import LaneKeys
from cluster.placement.shard_map import ShardMap
from cluster.router.draining import Node
from cluster.router.files import AUTHORITY_NAME, SECRET_NAME, STATE_NAME, VAPID_NAME, RouterStateError
from cluster.router.router import ANSWER_FRESH_S, RECREATE_FIRST_S, Endpoints, PingAnswer, Presence, Router


def endpoints(pid: int = 1, port: int = 4000) -> Endpoints:
    return Endpoints("", "127.0.0.1", port, "node", pid)


class FakeActors:
    """Actors by name: True answers, False is silent, absent is gone."""

    def __init__(self) -> None:
        self.answering: dict[str, bool] = {}
        self.endpoints: dict[str, Endpoints] = {}
        self.created: list[str] = []
        self.create_error: Exception | None = None
        self.leads: dict[str, int] = {}
        self.search: dict[str, dict] = {}
        self.others: dict[str, int] = {}

    async def ask(self, replica, op, args, timeout_s):
        """A replica whose disk is in order: it promises, leads and learns."""
        if not self.answering.get(replica.actor_name):
            raise ConnectionError("nobody listens")
        if op == "prepare":
            return [True, f"disk-{replica.index}", 0, 0]
        if op == "lead":
            self.leads[replica.actor_name] = ShardMap.from_wire(args[0]).term_of(replica.shard)
        return True

    async def levels_of_others(self):
        return self.others

    async def retire(self, replicas):
        for replica in replicas:
            self.answering.pop(replica.actor_name, None)

    async def ping(self, actor_name):
        if actor_name not in self.answering:
            return PingAnswer(Presence.GONE)
        if not self.answering[actor_name]:
            return PingAnswer(Presence.SILENT)
        search = self.search.get(actor_name)
        return PingAnswer(
            Presence.ANSWERS, self.endpoints.get(actor_name), self.leads.get(actor_name, 0), search=search
        )

    async def create(self, shard, index, actor_name, node_id):
        self.created.append(actor_name)
        if self.create_error:
            raise self.create_error
        self.answering[actor_name] = True
        self.endpoints[actor_name] = endpoints(pid=len(self.created), port=4000 + shard)


@pytest.fixture
def actors():
    return FakeActors()


@pytest.fixture
def make_router(tmp_path, actors):
    """Make routers over the same directory; at the end the last one's invariants must hold."""
    made = []

    def make(shard_count=2, cluster="test", **options):
        made.append(Router(tmp_path, cluster, shard_count, actors, **options))
        return made[-1]

    yield make
    if made:
        assert made[-1].check() == []


@pytest.fixture(autouse=True)
def loop():
    """One event loop for all that a router does in a test."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def supervise(loop):
    return lambda router, now: loop.run(settled(router, router.supervise_once(now)))


@pytest.fixture
def register(loop):
    async def call(router, *args):
        router.register_replica(*args)

    return lambda router, *args: loop.run(settled(router, call(router, *args)))


async def settled(router, work):
    """Do some work, and wait for what follows from it: elections, and telling replicas of maps."""
    await work
    while router._beside.running:
        await asyncio.gather(*router._beside.running)


def test_a_new_cluster_gets_an_even_map_an_id_and_a_private_secret(make_router, tmp_path):
    router = make_router(4)
    assert router.shard_map == ShardMap.even("test", 4, level=LEVEL)
    assert len(router.keys.secret) == 32
    assert stat.S_IMODE((tmp_path / SECRET_NAME).stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == [SECRET_NAME, STATE_NAME, VAPID_NAME]


def test_a_restarted_router_finds_its_map_id_and_secret_again(make_router):
    before = make_router()
    before.register_replica(1, 0, endpoints(pid=99), now=0.0)
    after = make_router()
    assert after.shard_map == before.shard_map
    assert after.shard_map.epoch == 2
    assert (after.cluster_id, after.keys.secret) == (before.cluster_id, before.keys.secret)


def test_only_a_change_of_addresses_makes_a_new_epoch(make_router):
    router = make_router()
    assert router.register_replica(0, 0, endpoints(), 0.0).epoch == 2
    assert router.register_replica(0, 0, endpoints(), 1.0).epoch == 2
    assert router.register_replica(0, 0, endpoints(pid=2), 2.0).epoch == 3
    assert router.get_map(2).epoch == 3
    assert router.get_map(3) is None


def test_a_replica_that_is_not_in_the_map_cannot_register(make_router):
    router = make_router()
    with pytest.raises(InvalidError):
        router.register_replica(7, 0, endpoints(), 0.0)
    assert router.shard_map.epoch == 1


@pytest.mark.parametrize(
    "wire",
    [None, {}, {"unix_path": "", "host": "h", "port": 0, "node_id": "n", "pid": 1},
     {"unix_path": "", "host": "h", "port": "80", "node_id": "n", "pid": 1}],
)  # fmt: skip
def test_endpoints_that_make_no_sense_are_refused(wire):
    with pytest.raises(InvalidError):
        Endpoints.from_wire(wire)


def test_the_persisted_shard_count_holds_whatever_the_configuration_says(make_router):
    make_router(4)
    assert make_router(8).shard_map.shard_count == 4


def test_another_clusters_data_is_refused(make_router):
    make_router(cluster="test")
    with pytest.raises(InvalidError, match="belongs to cluster 'test', not 'other'"):
        make_router(cluster="other")


@pytest.mark.parametrize("damage", [b"", b"\xc1", bytes(100), b"\x94\xa1x\x01\x00\xc0"])
def test_a_damaged_state_file_is_an_error_that_names_it_and_is_left_alone(make_router, tmp_path, damage):
    make_router()
    good = (tmp_path / STATE_NAME).read_bytes()
    (tmp_path / STATE_NAME).write_bytes(damage)
    with pytest.raises(RouterStateError, match=STATE_NAME):
        make_router()
    assert (tmp_path / STATE_NAME).read_bytes() == damage
    (tmp_path / STATE_NAME).write_bytes(good)


def test_every_flipped_bit_of_the_state_file_is_noticed(make_router, tmp_path):
    router = make_router()
    good = (tmp_path / STATE_NAME).read_bytes()
    for position in range(0, len(good), 7):
        damaged = bytearray(good)
        damaged[position] ^= 1 << position % 8
        (tmp_path / STATE_NAME).write_bytes(damaged)
        with pytest.raises(RouterStateError):
            make_router()
    (tmp_path / STATE_NAME).write_bytes(good)
    assert make_router().shard_map == router.shard_map


def test_a_crash_between_write_and_rename_leaves_the_old_map(make_router, monkeypatch):
    router = make_router()
    with monkeypatch.context() as broken:
        broken.setattr("pathlib.Path.rename", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space"):
            router.register_replica(0, 0, endpoints(), 0.0)
    assert router.shard_map.epoch == 1  # nobody has seen a map that is not on disk
    restarted = make_router()
    assert restarted.shard_map.epoch == 1
    assert restarted.register_replica(0, 0, endpoints(), 0.0).epoch == 2


def test_a_lost_or_cut_secret_is_an_error_and_an_open_one_is_closed(make_router, tmp_path):
    secret = make_router().keys.secret
    path = tmp_path / SECRET_NAME
    path.chmod(0o644)
    assert make_router().keys.secret == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(secret[:10])
    with pytest.raises(RouterStateError, match="has 10 bytes"):
        make_router()
    path.unlink()
    with pytest.raises(RouterStateError, match="missing"):
        make_router()
    path.write_bytes(secret)


def test_an_authority_is_made_once_where_nodes_talk_over_tls_and_is_private(make_router, tmp_path):
    path = tmp_path / AUTHORITY_NAME
    assert make_router().keys.authority == b""
    assert not path.exists()
    made = make_router(tls=True).keys.authority  # in a folder of before there was one
    assert made == path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert make_router(tls=True).keys.authority == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make_router().keys.authority == b""  # lane.tls=false hands none out


@pytest.mark.parametrize("damage", ["empty", "cut", "another's key"])
def test_a_damaged_authority_is_an_error_that_says_what_to_do(make_router, tmp_path, damage):
    path = tmp_path / AUTHORITY_NAME
    made, other = make_router(tls=True).keys.authority, make_authority("another")
    key = made.index(b"-----BEGIN PRIVATE KEY")
    path.write_bytes({"empty": b"", "cut": made[:key], "another's key": made[:key] + other[key:]}[damage])
    with pytest.raises(RouterStateError, match=r"cluster-ca.pem can't be used: .*another one is made"):
        make_router(tls=True)


def test_the_key_of_push_messages_is_made_once_for_all_and_is_private(make_router, tmp_path):
    path = tmp_path / VAPID_NAME
    made = make_router().keys
    assert made.vapid == path.read_bytes()
    assert LaneKeys.from_join({"lane": made.to_wire()}) == made, "whoever joins has it"
    path.chmod(0o644)
    assert make_router().keys.vapid == made.vapid
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    older = {name: value for name, value in made.to_wire().items() if name != "vapid"}
    assert LaneKeys.from_join({"lane": older}).vapid == b"", "a router of before there was one"


@pytest.mark.parametrize("damage", [b"", b"x", make_authority("another").partition(b"-----BEGIN PRIVATE")[0]])
def test_a_damaged_key_of_push_messages_is_an_error_that_says_what_to_do(make_router, tmp_path, damage):
    make_router()
    (tmp_path / VAPID_NAME).write_bytes(damage)
    with pytest.raises(RouterStateError, match=r"vapid.pem can't be used: .*subscribes anew"):
        make_router()


def test_supervision_creates_missing_actors_and_is_ready_once_they_answer(make_router, actors, supervise):
    router = make_router(3)
    assert not router.ready(0.0)
    supervise(router, 0.0)
    assert actors.created == [replica.actor_name for replica in router.shard_map.replicas]
    assert router.missing_shards(0.0) == [0, 1, 2]
    supervise(router, 1.0)
    assert router.ready(1.0)
    assert [replica.port for replica in router.shard_map.replicas] == [4000, 4001, 4002]


def test_a_silent_replica_is_not_ready_and_not_created_again(make_router, actors, supervise):
    router = make_router()
    supervise(router, 0.0)
    supervise(router, 1.0)
    name = router.shard_map.primary_of(1).actor_name
    actors.answering[name] = False
    supervise(router, 2.0)
    assert router.missing_shards(2.0) == [1]
    assert len(actors.created) == 2
    actors.answering[name] = True
    supervise(router, 3.0)
    assert router.ready(3.0)


def test_a_restarted_replica_is_found_by_ping_even_if_its_registration_got_lost(make_router, actors, supervise):
    router = make_router()
    supervise(router, 0.0)
    supervise(router, 1.0)
    epoch = router.shard_map.epoch
    actors.endpoints[router.shard_map.primary_of(0).actor_name] = endpoints(pid=777)
    supervise(router, 2.0)
    assert router.shard_map.primary_of(0).pid == 777
    assert router.shard_map.epoch == epoch + 2  # its address; and an election, since another process doesn't just go on
    assert router.shard_map.term_of(0) == 2


def test_a_leader_that_ends_with_its_cluster_gets_no_successor(make_router, actors, supervise):
    router = make_router(1)
    supervise(router, 0.0)
    supervise(router, 1.0)
    leader = router.shard_map.primary_of(0)
    assert router.shard_map.term_of(0) == 1
    router.elections.stop()
    actors.leads.pop(leader.actor_name)
    supervise(router, 2.0)
    assert not router.elections.has_leader(0)
    assert router.shard_map.term_of(0) == 1


def test_an_actor_that_dies_in_its_constructor_is_tried_again_with_growing_pauses(make_router, actors, supervise):
    router = make_router(1)
    actors.create_error = RuntimeError("journal is corrupt")
    now, attempts = 0.0, []
    while now < 8 * RECREATE_FIRST_S:
        supervise(router, now)
        attempts.append(len(actors.created))
        now += RECREATE_FIRST_S
    assert attempts == [1, 2, 2, 3, 3, 3, 3, 4]


def test_trouble_with_one_replica_does_not_stop_the_watch_over_the_others(make_router, actors, supervise):
    router = make_router(2)
    supervise(router, 0.0)
    bad = router.shard_map.primary_of(0).actor_name
    ping = actors.ping

    async def ping_or_fail(actor_name):
        if actor_name == bad:
            raise RuntimeError("Ray is confused")
        return await ping(actor_name)

    actors.ping = ping_or_fail
    supervise(router, 1.0)
    assert router.missing_shards(1.0) == [0]


def test_an_old_answer_proves_nothing(make_router, actors, register):
    router = make_router(1)
    actors.answering[router.shard_map.primary_of(0).actor_name] = True
    register(router, 0, 0, endpoints(), 10.0)
    assert router.ready(10.0 + ANSWER_FRESH_S)
    assert not router.ready(10.1 + ANSWER_FRESH_S)


def test_status_tells_an_operator_what_is_missing(make_router, actors, register):
    router = make_router(2)
    actors.answering[router.shard_map.primary_of(0).actor_name] = True
    register(router, 0, 0, endpoints(pid=5), 0.0)
    status = router.status(0.0)
    assert status["missing_shards"] == [1]
    assert [(entry["pid"], entry["live"]) for entry in status["replicas"]] == [(5, True), (0, False)]


def test_readiness_tells_of_each_replica_what_its_process_said_last(make_router, actors, supervise):
    ready = {"state": "ready", "left": 0, "serves": True, "has_served": True}
    router = make_router()
    supervise(router, 0.0)
    assert router.readiness(0.0)["unserved_shards"] == [0, 1]
    supervise(router, 1.0)
    assert router.readiness(1.0)["unserved_shards"] == []
    assert [each["search"] for each in router.readiness(1.0)["replicas"]] == [None, None]
    actors.search = {router.shard_map.primary_of(1).actor_name: ready}
    supervise(router, 2.0)
    assert router.readiness(2.0) == {
        "unserved_shards": [],
        "replicas": [
            {"shard": 0, "replica": 0, "live": True, "in_sync": True, "search": None},
            {"shard": 1, "replica": 0, "live": True, "in_sync": True, "search": ready},
        ],
    }
    router.register_replica(1, 0, endpoints(pid=99, port=4001), 2.1)
    assert router.readiness(2.1)["replicas"][1]["search"] is None, "that is another process"
    actors.answering[router.shard_map.primary_of(0).actor_name] = False
    late = router.readiness(3.0 + ANSWER_FRESH_S)
    assert (late["unserved_shards"], late["replicas"][0]["live"]) == ([0, 1], False)


class NodesToo(FakeActors):
    """Actors on two nodes, which can be ended."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped: list[str] = []

    async def nodes(self):
        return [Node("node", "127.0.0.1", True), Node("other", "127.0.0.2", True)]

    async def stop(self, actor_name):
        self.stopped.append(actor_name)
        self.answering.pop(actor_name, None)

    async def stop_api_workers(self, node_ids):
        return 0


def test_what_recovers_elsewhere_is_not_taken_for_what_was_on_the_drained_node(tmp_path, loop, supervise, register):
    actors = NodesToo()
    router = Router(tmp_path, "test", 1, actors, portable=True)
    name = router.shard_map.replica(0, 0).actor_name
    actors.answering[name], actors.endpoints[name] = True, endpoints(pid=1)
    register(router, 0, 0, endpoints(pid=1), 0.0)
    supervise(router, 1.0)
    loop.run(router.draining.drain("127.0.0.1"))
    supervise(router, 2.0)
    assert actors.stopped == [name]
    supervise(router, 3.0)
    assert actors.created == [name]
    actors.endpoints.pop(name)  # it answers, and has still to recover
    for second in range(4, 8):
        supervise(router, float(second))
        assert not router.ready(float(second))
    register(router, 0, 0, replace(endpoints(pid=2), node_id="other"), 8.0)
    actors.endpoints[name] = replace(endpoints(pid=2), node_id="other")
    supervise(router, 9.0)
    assert (actors.stopped, router.shard_map.replica(0, 0).node_id) == ([name], "other")
