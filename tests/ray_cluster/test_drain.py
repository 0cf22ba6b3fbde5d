"""A node of three is drained while people read and tweet through the others, and comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ray_cluster.ray_nodes import HEAD, SECOND, THIRD, Load, ManyNodes, Person, RayNodes, serving_on
from tests.serving import LONG_DEADLINE, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("three_nodes"),
]  # fmt: skip

PEOPLE_COUNT = 4


@pytest.fixture(scope="module")
def cluster(three_nodes: RayNodes) -> Iterator[ManyNodes]:
    with serving_on(
        three_nodes, "cluster.replicas=2", "durability.ack=replica", "search.enabled=false", LONG_DEADLINE
    ) as made:
        wait_for(lambda: all(replica.in_sync for replica in made.shard_map().replicas))
        yield made


def leaders_on(cluster: ManyNodes, address: str) -> int:
    return sum(replica.primary and replica.host == address for replica in cluster.shard_map().replicas)


def test_a_drained_node_hands_over_and_is_empty_and_no_request_fails(cluster, capsys):
    people = [Person(cluster, f"ada_{number}") for number in range(PEOPLE_COUNT)]
    busiest = max((HEAD, THIRD), key=lambda address: leaders_on(cluster, address))
    others = tuple({HEAD, SECOND, THIRD} - {busiest})
    assert leaders_on(cluster, busiest) > 0
    load = Load(cluster, people, others)
    try:
        wait_for(lambda: sum(counts[201] for counts in load.writes.values()) > 20)
        done = cluster.run("drain", busiest)
    finally:
        load.stop()
    slowest_s = max(load.slowest_read_s.values())
    with capsys.disabled():
        print(f"\ndrained {busiest}: {len(done['moved'])} replicas moved, slowest read {slowest_s:.2f} s")
    assert done["drained"] == [busiest]
    assert done["left_stopped"] == {}
    assert done["moved"]
    assert busiest not in {replica.host for replica in cluster.shard_map().replicas}
    assert all(replica.in_sync for replica in cluster.shard_map().replicas)
    assert not cluster.is_ready(busiest), "its API worker is gone"
    assert {status for counts in load.writes.values() for status in counts} == {201}
    assert {status for counts in load.reads.values() for status in counts} == {200}
    assert [person.lost(SECOND) for person in people] == [[]] * len(people)
    for person in people:
        person.close()

    assert cluster.run("drain", busiest, "--undo") == {"drained": []}
    wait_for(lambda: cluster.is_ready(busiest))


def test_a_node_that_is_not_there_is_refused_with_those_that_are(cluster):
    status, _, err = cluster.tell("drain", "127.0.0.9")
    assert status == 1
    assert "no node that lives is called '127.0.0.9'" in err
    assert all(address in err for address in (HEAD, SECOND, THIRD))
