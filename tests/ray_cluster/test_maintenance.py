"""A real cluster with three replicas: everything restarted while clients go on, API workers without the router."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.chaos.copies import map_on_disk
from tests.ray_cluster.clients import Client
from tests.serving import LONG_DEADLINE, PATIENT, ServedCluster, served, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]

REPLICAS, SHARDS, API_WORKERS = 3, 2, 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[ServedCluster]:
    sets = (
        f"cluster.replicas={REPLICAS}",
        "durability.ack=replica",
        f"cluster.workers={API_WORKERS}",
        PATIENT,
        LONG_DEADLINE,
    )
    with served(*sets) as made:
        wait_for(lambda: all(replica.in_sync for replica in map_on_disk(made.data).replicas))
        yield made


def test_api_workers_come_back_while_the_router_does_not_answer(cluster):
    before = pids(cluster)
    client = Client(cluster, "ada")
    os.kill(before["rookery:router"], signal.SIGSTOP)
    try:
        for name, pid in before.items():
            if "api" in name:
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: serves(cluster))
        assert psutil.Process(before["rookery:router"]).status() == psutil.STATUS_STOPPED
        body = {**client.user, "status": "the router is away"}
        assert client.http.post("/tweet", json=body).status_code == 201
    finally:
        os.kill(before["rookery:router"], signal.SIGCONT)
    wait_for(lambda: all(now != before[name] for name, now in pids(cluster).items() if "api" in name))


def serves(cluster: ServedCluster) -> bool:
    """Whether somebody answers on the API's port."""
    try:
        return httpx.get(f"http://127.0.0.1:{cluster.port}/healthz", timeout=1).status_code == 200
    except httpx.TransportError:
        return False


def pids(cluster: ServedCluster) -> dict[str, int]:
    return {process["name"]: process["pid"] for process in cluster.status()["processes"]}


def test_everything_is_restarted_under_load_without_a_failed_a_lost_or_a_doubled_request(cluster, capsys):
    before = pids(cluster)
    assert len(before) == SHARDS * REPLICAS + API_WORKERS + 1
    clients = [Client(cluster, f"client_{number}") for number in range(4)]
    for client in clients:
        client.start()
    try:
        done = cluster.run("roll")
    finally:
        for client in clients:
            client.done.set()
        for client in clients:
            client.join()
    with capsys.disabled():
        print(
            f"\nrolled {len(done['restarted'])} processes in {done['seconds']} s under "
            f"{sum(len(c.acknowledged) for c in clients)} tweets; slowest write "
            f"{max(c.slowest_write_s for c in clients):.2f} s, read {max(c.slowest_read_s for c in clients):.2f} s; "
            f"connections dialled again: {sum(c.dialled_again for c in clients)}"
        )
    assert [client.refused for client in clients] == [[]] * len(clients)
    assert all(sorted(client.served_ids()) == sorted(client.acknowledged) for client in clients)
    after = pids(cluster)
    assert after.keys() == before.keys()
    assert not [name for name in before if before[name] == after[name]]
    assert cluster.run("check", "--oracle")["problem_count"] == 0
