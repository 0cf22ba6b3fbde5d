"""A real cluster with three replicas: everything restarted while clients go on, API workers without the router."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.chaos.copies import map_on_disk
from tests.serving import LONG_DEADLINE, PATIENT, ServedCluster, served, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]

REPLICAS, SHARDS, API_WORKERS = 3, 2, 2
PAUSE_S = 0.02  # between a client's requests: the machine has other things to do, too


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


class Client(threading.Thread):
    """Tweets and reads in turn until told to stop; remembers what it was told.

    A connection that a worker has closed between two requests is dialled again, as HTTP asks of clients: the tweet's
    key makes that safe.
    """

    def __init__(self, cluster: ServedCluster, name: str) -> None:
        super().__init__()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}/api/v1", timeout=30)
        made = self.http.post("/users", json={"username": name, "password": "a long password"})
        assert made.status_code == 201, made.text
        self.user = {key: made.json()[key] for key in ("user_id", "auth_token")}
        self.headers = {"Authorization": f"Bearer {made.json()['auth_token']}"}
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.dialled_again = 0
        self.slowest_write_s = self.slowest_read_s = 0.0
        self.done = threading.Event()

    def _ask(self, method: str, path: str, **arguments: object) -> httpx.Response:
        try:
            return self.http.request(method, path, **arguments)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            self.dialled_again += 1
            return self.http.request(method, path, **arguments)

    def run(self) -> None:
        number = 0
        while not self.done.wait(PAUSE_S):
            number += 1
            begin = time.monotonic()
            body = {**self.user, "status": f"number {number}"}
            written = self._ask("POST", "/tweet", json=body, headers={"Idempotency-Key": f"key-{number}"})
            self.slowest_write_s = max(self.slowest_write_s, time.monotonic() - begin)
            if written.status_code == 201:
                self.acknowledged.append(written.json()["tweet_id"])
            begin = time.monotonic()
            params = {"user_id": self.user["user_id"], "count": 5}
            read = self._ask("GET", "/home_timeline", params=params, headers=self.headers)
            self.slowest_read_s = max(self.slowest_read_s, time.monotonic() - begin)
            self.refused += [answer.text for answer in (written, read) if answer.status_code not in (200, 201)]

    def served_ids(self) -> list[str]:
        ids: list[str] = []
        while True:
            params = {"user_id": self.user["user_id"], "count": 200} | ({"max_id": ids[-1]} if ids else {})
            page = self.http.get("/home_timeline", params=params, headers=self.headers).json()
            if not page:
                return ids
            ids += [tweet["tweet_id"] for tweet in page]


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
