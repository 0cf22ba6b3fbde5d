"""One of three replicas stops without dying: reads over HTTP pass it over, and don't wait for it one by one.

Counts decide: a read that had met the stopped replica would be answered by a second one, a hedge. How quick reads stay,
`make chaos` measures.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import threading
import time

import httpx
import pytest

from tests.chaos.copies import map_on_disk
from tests.ray_cluster.clients import names_of_all_shards
from tests.ray_cluster.rounds_under_kills import wait_until_all_are_in_sync
from tests.serving import ServedCluster

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("three_replicas"),
]  # fmt: skip

CLIENTS, WINDOW_READS = 4, 800
MET_SHARE_MAX = 0.25  # of reads; chosen without looking, one in three would meet the one of three that is stopped
FIGURES_S = 1.2
TWEETS = 20


@pytest.fixture(scope="module")
def cluster(three_replicas: ServedCluster) -> ServedCluster:
    return three_replicas


@pytest.fixture(scope="module")
def reader(cluster: ServedCluster) -> str:
    """Return an account of shard 0 with a page of tweets in its timeline."""
    with httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}/api/v1", timeout=60) as api:
        made = api.post("/users", json={"username": names_of_all_shards("reader", 1)[0], "password": "long enough"})
        user_id = made.json()["user_id"]
        for number in range(TWEETS):
            assert api.post("/tweet", json={"user_id": user_id, "status": f"number {number}"}).status_code == 201
    return str(user_id)


def read_a_window(cluster: ServedCluster, user_id: str) -> None:
    """Read the home timeline with several clients at once."""
    answered: list[int] = []

    def read() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=60)
        for _ in range(WINDOW_READS // CLIENTS):
            connection.request("GET", f"/api/v1/home_timeline?user_id={user_id}&count={TWEETS}")
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            answered.append(len(json.loads(body)))
        connection.close()

    clients = [threading.Thread(target=read) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert answered == [TWEETS] * WINDOW_READS


def figure(cluster: ServedCluster, name: str) -> float:
    """Return a figure of the API workers; they are made once a second."""
    time.sleep(FIGURES_S)
    text = httpx.get(f"http://127.0.0.1:{cluster.port}/metrics", timeout=60).text
    values = re.findall(rf"^rookery_{name}{{.*}} (\S+)$", text, re.MULTILINE)
    assert values
    return sum(map(float, values))


@pytest.mark.parametrize("leads", [False, True])
def test_reads_do_not_wait_for_a_stopped_replica_one_by_one(cluster, reader, leads):
    read_a_window(cluster, reader)  # lanes are dialled, and what they cost is known
    wait_until_all_are_in_sync(cluster)
    victim = next(r for r in map_on_disk(cluster.data).replicas_of(0) if r.primary == leads)
    before = figure(cluster, "hedges_total")
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        read_a_window(cluster, reader)
        hedges = figure(cluster, "hedges_total") - before
    finally:
        os.kill(victim.pid, signal.SIGCONT)
    assert hedges <= WINDOW_READS * MET_SHARE_MAX
    wait_until_all_are_in_sync(cluster)
