"""Shards are added and given up on a real cluster, while clients write and read and processes are killed.

That such a cluster starts with its own number of shards, test_hung_processes.py says.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.processes import REPOSITORY
from tests.chaos.copies import map_on_disk
from tests.ray_cluster.clients import Client, at_work
from tests.ray_cluster.rounds_under_kills import wait_until_all_are_in_sync
from tests.serving import COMMAND_TIMEOUT_S, ServedCluster, command, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("three_replicas"),
]  # fmt: skip

ACCOUNTS = 150
KILLS_AFTER_S = (1.0, 1.5, 1.5)


@pytest.fixture(scope="module")
def cluster(three_replicas: ServedCluster) -> ServedCluster:
    graph = three_replicas.data.parent / "graph.txt"
    graph.write_text("".join(f"{u} {u * k % ACCOUNTS + 1}\n" for u in range(1, ACCOUNTS + 1) for k in (7, 11, 13)))
    three_replicas.run("load", "--graph", str(graph))
    wait_until_all_are_in_sync(three_replicas)
    return three_replicas


@contextmanager
def clients_of(cluster: ServedCluster, prefix: str) -> Iterator[list[Client]]:
    """Write and read while the block runs; afterwards each is shown what was acknowledged, all of it and once."""
    with at_work(cluster, prefix, 6) as clients:
        yield clients
    assert [client.refused for client in clients] == [[]] * len(clients)
    for client in clients:
        assert sorted(client.served_ids()) == sorted(client.acknowledged)


def test_shards_are_added_while_clients_write_and_leaders_and_the_router_are_killed_on_the_way(cluster):
    with clients_of(cluster, "killed"):
        watching = subprocess.Popen(
            command("rebalance", "--shards", "3", "--at-once", "8", "--data", str(cluster.data), "--json"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY,
        )  # fmt: skip
        try:
            wait_for(lambda: map_on_disk(cluster.data).shard_count == 3)
            for seconds, kind in zip(KILLS_AFTER_S, ("shard", "router", "shard"), strict=True):
                time.sleep(seconds)
                report = cluster.status()
                if kind == "router":
                    victim = next(p["pid"] for p in report["processes"] if p["role"] == "router")
                else:
                    victim = next(p["pid"] for p in report["processes"] if p["role"] == "shard" and p["primary"])
                os.kill(victim, signal.SIGKILL)
            assert watching.wait(COMMAND_TIMEOUT_S) == 0
        finally:
            if watching.poll() is None:
                watching.terminate()
                watching.wait()
    owned = [len(map_on_disk(cluster.data).buckets_of_shard(shard)) for shard in range(3)]
    assert max(owned) - min(owned) <= 1
    assert cluster.run("check", "--oracle")["problem_count"] == 0


def test_a_shard_is_given_up_while_clients_write_and_read(cluster, capsys):
    if map_on_disk(cluster.data).shard_count == 2:  # the test before hasn't been here
        cluster.run("rebalance", "--shards", "3", "--at-once", "32")
    with clients_of(cluster, "even") as clients:
        done = cluster.run("rebalance", "--shards", "2", "--at-once", "32")
        assert done["done"] is True
        assert done["left_buckets"] == 0
        sizes = [len(map_on_disk(cluster.data).buckets_of_shard(shard)) for shard in range(2)]
        assert max(sizes) - min(sizes) <= 1
        with capsys.disabled():
            waits = sorted(done["freeze_ms"])
            print(
                f"\n{done['moved_buckets']} buckets moved in {done['seconds']} s, {done['failed_moves']} moves "
                f"repeated; writes waited for {waits[len(waits) // 2]} ms (median), {waits[-1]} ms at most; "
                f"slowest write of a client {max(client.slowest_write_s for client in clients) * 1000:.0f} ms"
            )
    assert map_on_disk(cluster.data).shard_count == 2
    assert sum(len(client.acknowledged) for client in clients) > 20
    assert cluster.run("check", "--oracle")["problem_count"] == 0
