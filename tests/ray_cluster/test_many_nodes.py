"""One cluster on three Ray nodes: requests that cross nodes, a node that is killed, one that joins."""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import threading
from collections.abc import Iterator

import psutil
import pytest

from cluster.lane.certificates import make_authority
from cluster.lane.client import LaneClient
from cluster.lane.handshake import ANSWER_BYTES, SECRET_BYTES, ClientHandshake, LaneKeys, Meant
from cluster.lane.protocol import FRAME_BYTES_MAX, LaneImpostorError, LaneProtocolError, pack
from cluster.router.files import AUTHORITY_NAME, SECRET_NAME
from tests.ray_cluster.ray_nodes import (
    ADDRESSES,
    ANSWER_S,
    HEAD,
    SECOND,
    THIRD,
    ManyNodes,
    Person,
    RayNodes,
    nodes_of,
    people_of,
    serving_on,
)
from tests.serving import command, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("three_nodes"),
]  # fmt: skip

ACCOUNT_COUNT, FOLLOW_COUNT, TWEET_COUNT, OPERATION_COUNT = 200, 1_200, 300, 5_000
STORM_BEGUN = 300  # journal records


@pytest.fixture(scope="module")
def cluster(three_nodes: RayNodes) -> Iterator[ManyNodes]:
    with serving_on(three_nodes, "search.enabled=false") as made:
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
    with socket.create_connection(address, timeout=ANSWER_S) as peer:
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
