"""The head of three Ray nodes is killed, whose tables are in Redis; and a cluster that outlives its `serve`."""

from __future__ import annotations

import copy
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.persistence.redis_processes import RedisProcess
from tests.ray_cluster.ray_nodes import ADDRESSES, HEAD, SECOND, THIRD, Load, ManyNodes, RayNodes, people_of, serving_on
from tests.serving import command, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("three_nodes"),
]  # fmt: skip

HEAD_AWAY_S = 8.0  # with neither head nor control store


@pytest.fixture(scope="module")
def durable(three_nodes: RayNodes, nodes_redis: RedisProcess) -> Iterator[ManyNodes]:
    with serving_on(
        three_nodes, "storage.backend=redis", f"storage.redis_url=redis://127.0.0.1:{nodes_redis.port}/1",
        "cluster.outlive_serve=true", "server.deadline_ms=5000", "search.enabled=false", keeps_head=False,
    ) as made:  # fmt: skip
        yield made
    three_nodes.close()  # nobody uses them after this file, and the session goes on for minutes


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
        durable.has_console = True  # nobody kills this one
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
