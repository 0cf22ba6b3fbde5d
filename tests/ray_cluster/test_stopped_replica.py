"""One of three replicas stops without dying: reads over HTTP stay nearly as quick.

Windows with and without a stopped replica take turns, and the medians of their p99s are compared, so that what else
the machine does meets both.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import statistics
import threading
import time

import httpx
import pytest

from tests.chaos.copies import map_on_disk
from tests.ray_cluster.test_replicas import names_of_all_shards, wait_until_all_are_in_sync
from tests.serving import ServedCluster

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

ROUNDS, CLIENTS, WINDOW_READS = 6, 4, 1_600  # 16 reads of a window are slower than its p99
TWEETS = 20


@pytest.fixture(scope="module")
def cluster(three_replicas: ServedCluster) -> ServedCluster:
    return three_replicas


@pytest.fixture(scope="module")
def reader(cluster: ServedCluster) -> str:
    """Return an account of shard 0 with a page of tweets in its timeline."""
    with httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}/api/v1", timeout=30) as api:
        made = api.post("/users", json={"username": names_of_all_shards("reader", 1)[0], "password": "long enough"})
        user_id = made.json()["user_id"]
        for number in range(TWEETS):
            assert api.post("/tweet", json={"user_id": user_id, "status": f"number {number}"}).status_code == 201
    return str(user_id)


def p99_of_reads(cluster: ServedCluster, user_id: str) -> float:
    """Read the home timeline with several clients at once; returns the p99 in seconds."""
    taken: list[float] = []

    def read() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=30)
        for _ in range(WINDOW_READS // CLIENTS):
            begin = time.perf_counter()
            connection.request("GET", f"/api/v1/home_timeline?user_id={user_id}&count={TWEETS}")
            answer = connection.getresponse()
            body = answer.read()
            taken.append(time.perf_counter() - begin)
            assert answer.status == 200, body
        assert len(json.loads(body)) == TWEETS
        connection.close()

    clients = [threading.Thread(target=read) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert len(taken) == WINDOW_READS
    return sorted(taken)[WINDOW_READS * 99 // 100]


@pytest.mark.parametrize("leads", [False, True])
def test_a_stopped_replica_at_most_doubles_the_p99_of_reads(cluster, reader, leads):
    p99_of_reads(cluster, reader)  # lanes are dialled, and what they cost is known
    normal, stopped = [], []
    for _ in range(ROUNDS):
        wait_until_all_are_in_sync(cluster)
        normal.append(p99_of_reads(cluster, reader))
        victim = next(r for r in map_on_disk(cluster.data).replicas_of(0) if r.primary == leads)
        os.kill(victim.pid, signal.SIGSTOP)
        try:
            stopped.append(p99_of_reads(cluster, reader))
        finally:
            os.kill(victim.pid, signal.SIGCONT)
    assert statistics.median(stopped) <= 2 * statistics.median(normal), (normal, stopped)
