"""A whole cluster that stores in Redis: a shard comes back without its files, and an outage of Redis passes."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests.persistence.redis_processes import RedisProcess
from tests.serving import ServedCluster, served, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

OUTAGE_S = 3.0
RETURN_TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def redis_process() -> Iterator[RedisProcess]:
    process = RedisProcess("--appendonly", "yes", "--appendfsync", "always")
    yield process
    process.close()


@pytest.fixture(scope="module")
def cluster(redis_process: RedisProcess) -> Iterator[ServedCluster]:
    with served("storage.backend=redis", f"storage.redis_url={redis_process.url}") as made:
        yield made


class Clients:
    """Accounts on both shards, and every tweet of theirs that was acknowledged."""

    def __init__(self, port: int) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        users = [
            self.http.post("/api/v1/users", json={"username": f"user_{n}", "password": "long enough"}) for n in range(8)
        ]
        assert {answer.status_code for answer in users} == {201}, users[0].text
        self.accounts = [answer.json()["user_id"] for answer in users]
        self.acknowledged: list[tuple[str, str]] = []
        self.write_statuses: Counter[int] = Counter()
        self.read_statuses: Counter[int] = Counter()
        self.refusals: set[str] = set()

    def tweet(self, number: int) -> bool:
        account = self.accounts[number % len(self.accounts)]
        answer = self.http.post("/api/v1/tweet", json={"user_id": account, "status": f"number {number}"})
        self.write_statuses[answer.status_code] += 1
        if answer.status_code == 201:
            self.acknowledged.append((account, answer.json()["tweet_id"]))
        else:
            self.refusals.add(answer.text)
        return answer.status_code == 201

    def read(self, number: int) -> None:
        account = self.accounts[number % len(self.accounts)]
        answer = self.http.get("/api/v1/home_timeline", params={"user_id": account, "count": 20})
        self.read_statuses[answer.status_code] += 1

    def missing(self) -> list[tuple[str, str]]:
        """Return the acknowledged tweets that their authors' timelines don't show exactly once."""
        shown: Counter[tuple[str, str]] = Counter()
        for account in self.accounts:
            max_id = ""
            while True:
                params = {"user_id": account, "count": 100, **({"max_id": max_id} if max_id else {})}
                answer = self.http.get("/api/v1/user_timeline", params=params)
                assert answer.status_code == 200, answer.text
                ids = [tweet["tweet_id"] for tweet in answer.json()]
                if not ids:
                    break
                shown.update((account, tweet_id) for tweet_id in ids)
                max_id = ids[-1]
        return [tweet for tweet in self.acknowledged if shown[tweet] != 1]


@pytest.fixture(scope="module")
def clients(cluster: ServedCluster) -> Clients:
    made = Clients(cluster.port)
    for number in range(100):
        assert made.tweet(number)
    return made


def test_a_killed_shard_comes_back_without_its_local_files(cluster, clients):
    shard = next(p for p in cluster.run("status")["processes"] if p["role"] == "shard")
    os.kill(shard["pid"], signal.SIGKILL)
    shutil.rmtree(cluster.data / f"shard-{shard['shard']:02d}")
    deadline = time.monotonic() + RETURN_TIMEOUT_S
    while not all(clients.tweet(number) for number in range(8)):
        assert time.monotonic() < deadline, clients.refusals
        time.sleep(0.1)
    assert clients.missing() == []


def test_an_outage_of_redis_under_load_stops_writes_only_and_passes_by_itself(cluster, clients, redis_process):
    clients.write_statuses.clear()
    clients.refusals.clear()
    stop = threading.Event()

    def go_on(act):
        number = 0
        while not stop.is_set():
            act(number)
            number += 1
            time.sleep(0.01)

    threads = [threading.Thread(target=go_on, args=(act,)) for act in (clients.tweet, clients.tweet, clients.read)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    before = len(clients.acknowledged)
    redis_process.kill()
    time.sleep(0.3)
    reads = clients.read_statuses[200]
    time.sleep(OUTAGE_S)
    wait_for(lambda: clients.read_statuses[200] > reads + 20)  # reading never stopped
    assert not clients.tweet(0)  # refused at once
    redis_process.start()
    deadline = time.monotonic() + RETURN_TIMEOUT_S
    while not clients.tweet(0) or not clients.tweet(1):
        assert time.monotonic() < deadline, clients.refusals
        time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join()
    assert set(clients.read_statuses) == {200}
    assert set(clients.write_statuses) == {201, 503}
    assert any("the server can't be reached" in refusal for refusal in clients.refusals), clients.refusals
    assert len(clients.acknowledged) > before
    assert clients.missing() == []


def test_a_stopped_cluster_is_checked_on_the_server_and_holds_the_same(cluster, clients):
    running = cluster.run("check")
    cluster.stop()
    for folder in cluster.data.glob("shard-*"):
        shutil.rmtree(folder)
    stopped = cluster.run("check", "--oracle")
    assert stopped["digests"] == running["digests"]
    assert stopped["problem_count"] == running["problem_count"] == 0
