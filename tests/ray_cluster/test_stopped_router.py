"""A real cluster whose API workers must do without the router."""

from __future__ import annotations

import os
import signal

import httpx
import psutil
import pytest

from tests.ray_cluster.clients import Client
from tests.serving import ServedCluster, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("three_replicas"),
]  # fmt: skip


@pytest.fixture(scope="module")
def cluster(three_replicas: ServedCluster) -> ServedCluster:
    return three_replicas


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
        return httpx.get(f"http://127.0.0.1:{cluster.port}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def pids(cluster: ServedCluster) -> dict[str, int]:
    return {process["name"]: process["pid"] for process in cluster.status()["processes"]}
