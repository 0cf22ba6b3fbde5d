"""One cluster on three Ray nodes: requests that cross nodes, a node that is killed, a head that is killed."""

from __future__ import annotations

import asyncio
import copy
import random
import socket
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import psutil
import pytest

from bench.processes import free_port
from cluster.lane_certificates import make_authority
from cluster.lane_client import LaneClient
from cluster.lane_handshake import ANSWER_BYTES, SECRET_BYTES, ClientHandshake, LaneKeys, Meant
from cluster.lane_protocol import FRAME_BYTES_MAX, LaneImpostorError, LaneProtocolError, pack
from cluster.router_files import AUTHORITY_NAME, SECRET_NAME
from tests.persistence.redis_processes import RedisProcess
from tests.ray_cluster.ray_nodes import ADDRESSES, HEAD, SECOND, THIRD, ManyNodes, Person, many_nodes, nodes_of
from tests.serving import command, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]

PEOPLE_PER_NODE = 2
ACCOUNT_COUNT, FOLLOW_COUNT, TWEET_COUNT, OPERATION_COUNT = 200, 1_200, 300, 8_000
STORM_BEGUN = 300  # journal records
HEAD_AWAY_S = 8.0  # with neither head nor control store


def people_of(cluster: ManyNodes, prefix: str) -> list[Person]:
    """Register people until every node owns some of them; each follows all."""
    people: list[Person] = []
    owned: Counter[str] = Counter()
    while set(owned) < set(ADDRESSES) or min(owned.values()) < PEOPLE_PER_NODE:
        people.append(Person(cluster, f"{prefix}_{len(people)}"))
        owned[cluster.owner_of(people[-1].id).host] += 1
    for person in people:
        assert {person.follow(SECOND, other) for other in people if other is not person} == {200}
    return people


@pytest.fixture(scope="module")
def cluster() -> Iterator[ManyNodes]:
    with many_nodes() as made:
        yield made


@pytest.fixture(scope="module")
def people(cluster: ManyNodes) -> Iterator[list[Person]]:
    made = people_of(cluster, "ada")
    yield made
    for person in made:
        person.close()


def test_every_node_has_a_shard_and_an_api_worker(cluster):
    report = cluster.run("status")
    assert {node["address"]: (node["shards"], node["api_workers"]) for node in report["nodes"]} == dict.fromkeys(
        ADDRESSES, (1, 1)
    )
    assert nodes_of("api", report) == nodes_of("shard", report) == list(ADDRESSES)
    assert set(nodes_of("router", report)) <= set(ADDRESSES)
    assert all(p["rss_bytes"] > 1e6 for p in report["processes"] if p["role"] != "router")
    assert {p["niceness"] for p in report["processes"] if p["role"] == "api"} == {psutil.Process().nice()}


def test_a_node_serves_the_accounts_of_the_others_over_tcp(cluster, people):
    for number, person in enumerate(people):
        owner = cluster.owner_of(person.id)
        foreign = next(address for address in ADDRESSES if address != owner.host)
        text = f"hello {number}"
        assert person.tweet(foreign, text) == 201
        assert text in person.home(foreign)[1]
        reader = people[number - 1]
        wait_for(lambda text=text, reader=reader: all(text in reader.home(address)[1] for address in ADDRESSES))
    report = cluster.run("status")
    lanes = {(replica.host, replica.port) for replica in cluster.shard_map().replicas}
    for process in report["processes"]:
        if process["role"] == "api":
            connected = {c.raddr for c in psutil.Process(process["pid"]).net_connections("tcp") if c.raddr}
            assert lanes & connected == {lane for lane in lanes if lane[0] != process["host"]}, process["host"]


async def test_a_lane_between_nodes_wants_proofs_and_is_encrypted(cluster):
    secret, authority = [(cluster.data / name).read_bytes() for name in (SECRET_NAME, AUTHORITY_NAME)]
    keys = LaneKeys(secret, authority)
    for replica in cluster.shard_map().replicas:
        address, name = (replica.host, replica.port), replica.actor_name
        known = LaneClient(address, keys, name)
        await known.connect()
        assert (await known.request("status", []))["shard"] == replica.shard
        known.close()
        for wrong, meant in (
            (LaneKeys(bytes(SECRET_BYTES), authority), name), (keys, f"{name}0"),
            (LaneKeys(secret, make_authority("another")), name),
        ):  # fmt: skip
            with pytest.raises(LaneImpostorError):
                await LaneClient(address, wrong, meant).connect()
        with pytest.raises((LaneProtocolError, TimeoutError)):
            await LaneClient(address, LaneKeys(secret), name).connect(0.5)  # without TLS
    assert await asyncio.to_thread(answer_without_proof, address, name) == b""


def answer_without_proof(address: tuple[str, int], name: str) -> bytes:
    """Send a request in place of the proof; return what comes behind the server's until it hangs up."""
    with socket.create_connection(address, timeout=10) as peer:
        peer.sendall(ClientHandshake(bytes(SECRET_BYTES), Meant(name, address)).hello)
        assert len(peer.recv(FRAME_BYTES_MAX)) == ANSWER_BYTES
        peer.sendall(pack([1, "status", []]))
        try:
            return b"".join(iter(lambda: peer.recv(FRAME_BYTES_MAX), b""))
        except ConnectionResetError:
            return b""


def test_a_killed_node_costs_nothing_that_was_acknowledged(cluster):
    rng = random.Random(7)
    numbers = range(1, ACCOUNT_COUNT + 1)
    edges = {(rng.choice(numbers), rng.choice(numbers)) for _ in range(FOLLOW_COUNT)}
    graph, tweets = cluster.data.parent / "graph.txt", cluster.data.parent / "tweets.txt"
    graph.write_text("".join(f"{u} {v}\n" for u, v in sorted(edges) if u != v))
    tweets.write_text("".join(f"tweet {n}\n" for n in range(TWEET_COUNT)))
    assert cluster.run("load", "--graph", str(graph), "--tweets", str(tweets))["tweets"]["new"] == TWEET_COUNT
    begin, found = cluster.record_count(), {}
    storm = threading.Thread(
        target=lambda: found.update(cluster.run("storm", "--operations", str(OPERATION_COUNT), "--seed", "4"))
    )
    storm.start()
    wait_for(lambda: cluster.record_count() > begin + STORM_BEGUN)
    cluster.nodes.kill(THIRD)
    assert storm.is_alive(), "the node was killed after the storm: give it more operations"
    storm.join()
    assert (found["problem_count"], found["figures"]["operations"]) == (0, OPERATION_COUNT)
    report = cluster.run("status")
    assert set(nodes_of("shard", report)) == {HEAD, SECOND}
    assert nodes_of("api", report) == [HEAD, SECOND]


def test_a_node_that_joins_is_given_an_api_worker(cluster, people):
    cluster.nodes.add(THIRD)
    wait_for(lambda: cluster.is_ready(THIRD))
    assert nodes_of("api", cluster.run("status")) == list(ADDRESSES)
    assert people[0].tweet(THIRD, "through the new node") == 201


def test_a_stopped_cluster_holds_the_same_and_leaves_the_nodes_alone(cluster):
    running = cluster.run("check")
    cluster.stop()
    stopped = cluster.run("check", "--oracle")
    assert (stopped["problem_count"], stopped["digests"]) == (0, running["digests"])
    done = subprocess.run(
        command("status", "--address", f"{HEAD}:{cluster.nodes.head_port}", "--data", str(cluster.data)),
        capture_output=True, check=False,
    )  # fmt: skip
    assert b"no Rookery cluster runs in Ray namespace 'rookery'" in done.stderr


# ---- the head, with Ray's own tables in Redis ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redis_process() -> Iterator[RedisProcess]:
    port = free_port()
    made = RedisProcess("--port", str(port), "--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always")
    made.port = port
    yield made
    made.close()


@pytest.fixture(scope="module")
def durable(redis_process: RedisProcess) -> Iterator[ManyNodes]:
    with many_nodes(
        "storage.backend=redis", f"storage.redis_url=redis://127.0.0.1:{redis_process.port}/1",
        "cluster.outlive_serve=true", "server.deadline_ms=2000", redis=f"127.0.0.1:{redis_process.port}",
    ) as made:  # fmt: skip
        yield made


class Load:
    """People who read and tweet through the nodes that stay, one thread a person, until told to stop."""

    def __init__(self, cluster: ManyNodes, people: list[Person], addresses: tuple[str, ...]) -> None:
        self.reads: dict[str, Counter[int]] = defaultdict(Counter)  # owner's address -> status of home reads
        self.writes: dict[str, Counter[int]] = defaultdict(Counter)
        self.slowest_read_s: dict[str, float] = defaultdict(float)
        self._stop = threading.Event()
        owners = [cluster.owner_of(person.id).host for person in people]
        self._threads = [
            threading.Thread(target=self._run, args=(person, owner, act, addresses))
            for person, owner in zip(people, owners, strict=True) for act in (self._read, self._tweet)
        ]  # fmt: skip
        for thread in self._threads:
            thread.start()

    def _run(
        self, person: Person, owner: str, act: Callable[[Person, str, str, int], None], on: tuple[str, ...]
    ) -> None:
        number = 0
        while not self._stop.wait(0.1):
            act(person, owner, on[number % len(on)], number)
            number += 1

    def _read(self, person: Person, owner: str, address: str, number: int) -> None:
        begin = time.perf_counter()
        self.reads[owner][person.home(address)[0]] += 1
        self.slowest_read_s[owner] = max(self.slowest_read_s[owner], time.perf_counter() - begin)

    def _tweet(self, person: Person, owner: str, address: str, number: int) -> None:
        self.writes[owner][person.tweet(address, f"number {number}")] += 1

    def forget(self) -> None:
        """Count from now on."""
        self.reads.clear()
        self.writes.clear()
        self.slowest_read_s.clear()

    def stop(self) -> None:
        """End, and wait for what is under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_a_killed_head_stops_nothing_on_the_other_nodes_and_comes_back(durable, capsys):
    people = people_of(durable, "ben")
    load = Load(durable, people, (SECOND, THIRD))
    try:
        wait_for(lambda: sum(counts[201] for counts in load.writes.values()) > 50)
        load.forget()
        begin = time.monotonic()
        durable.nodes.kill(HEAD)
        time.sleep(HEAD_AWAY_S)
        reads, writes, slowest_s = copy.deepcopy((load.reads, load.writes, load.slowest_read_s))
        durable.nodes.add(HEAD)
        wait_for(lambda: durable.is_ready(SECOND) and durable.is_ready(THIRD))
        back_s = time.monotonic() - begin
        wait_for(lambda: durable.is_ready(HEAD))
    finally:
        load.stop()
    with capsys.disabled():
        for owner in ADDRESSES:
            share = reads[owner][200] / max(sum(reads[owner].values()), 1)
            print(
                f"\nhead away, shard on {owner}: {share:.1%} of {sum(reads[owner].values())} home reads answered, "
                f"slowest {slowest_s[owner]:.2f} s; writes {dict(writes[owner])}", end="",
            )  # fmt: skip
        print(f"\nevery shard served again {back_s:.1f} s after the kill")
    for address in (SECOND, THIRD):
        assert set(reads[address]) == {200}, "a shard on a node that lives answers everybody"
        assert set(writes[address]) == {201}
    assert {person.tweet(address, "after") for person in people for address in ADDRESSES} == {201}
    assert [person.lost(SECOND) for person in people] == [[]] * len(people)
    assert durable.run("check", "--oracle")["problem_count"] == 0
    for person in people:
        person.close()


def test_what_outlives_serve_is_found_by_the_next_one_and_ended_by_stop(durable):
    before = durable.run("status")
    durable.stop()
    assert all(map(durable.is_ready, ADDRESSES))
    durable.start()
    after = durable.run("status")
    assert [p["pid"] for p in after["processes"]] == [p["pid"] for p in before["processes"]]
    durable.stop()
    where = f"{HEAD}:{durable.nodes.head_port}"
    subprocess.run(command("stop", "--address", where, "--data", str(durable.data)), capture_output=True, check=True)
    assert not any(map(durable.is_ready, ADDRESSES))
