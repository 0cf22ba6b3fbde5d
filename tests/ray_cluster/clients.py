"""A client that tweets and reads over HTTP while a cluster is being worked on, and remembers what it was told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx

from actors.core.ids import bucket_of_name
from cluster.placement.shard_map import even_buckets
from tests.serving import ServedCluster

SHARDS = 2  # of every cluster here
WORKER_ENDS = "this worker ends"
PAUSE_S = 0.1  # between a client's requests: six of them at twice the pace took a whole processor


def names_of_all_shards(begin: str, count: int, buckets: Sequence[int] | None = None) -> list[str]:
    """Return so many user names of each shard; an account is made where its name lies.

    buckets: which shard owns which, where they aren't any more as they were at the start.
    """
    buckets = buckets or even_buckets(SHARDS)
    names = [f"{begin}_{n}" for n in range(100)]
    theirs = [[name for name in names if buckets[bucket_of_name(name)] == shard] for shard in range(SHARDS)]
    return [name for of_shard in theirs for name in of_shard[:count]]


class Client(threading.Thread):
    """Tweets and reads in turn until told to stop; remembers what it was told.

    A connection that a worker has closed between two requests is dialled again, as HTTP asks of clients: the tweet's
    key makes that safe. asks_again: whether it answers a worker's refusal because it ends in the same way. Those
    of the archived tree refuse a request whose head has come and whose body hasn't; today's wait for it.
    """

    def __init__(self, cluster: ServedCluster, name: str, asks_again: bool = False) -> None:
        super().__init__()
        self.asks_again = asks_again
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}/api/v1", timeout=60)
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
            answer = self.http.request(method, path, **arguments)
            if not (self.asks_again and answer.status_code == 503 and WORKER_ENDS in answer.text):
                return answer
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            pass
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


@contextmanager
def at_work(cluster: ServedCluster, prefix: str, count: int, asks_again: bool = False) -> Iterator[list[Client]]:
    """Let so many clients write and read while the block runs."""
    clients = [Client(cluster, f"{prefix}_{number}", asks_again) for number in range(count)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        for client in clients:
            client.done.set()
        for client in clients:
            client.join()
