"""Three replicas of each shard, real processes: killed and stopped leaders, damaged disks, all copies equal after."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
import urllib.request
from pathlib import Path

import httpx
import pytest

from actors.shard.places import JOURNAL_DIRECTORY, shard_directory
from tests.chaos.copies import digests_on_disk, map_on_disk
from tests.chaos.damage import flip_at, flip_byte
from tests.ray_cluster.clients import SHARDS, names_of_all_shards
from tests.ray_cluster.conftest import REPLICAS
from tests.ray_cluster.rounds_under_kills import wait_until_all_are_in_sync
from tests.serving import START_TIMEOUT_S, ServedCluster, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("three_replicas"),
]  # fmt: skip

PAUSE_S = 0.03  # of a writer between two tweets


@pytest.fixture(scope="module")
def cluster(three_replicas: ServedCluster) -> ServedCluster:
    return three_replicas


def names_now(cluster: ServedCluster, begin: str, count: int) -> list[str]:
    """Return so many user names of each shard, wherever test_rebalance.py has left the buckets."""
    return names_of_all_shards(begin, count, map_on_disk(cluster.data).buckets)


class Writer(threading.Thread):
    """Posts one tweet after the other until told to stop; remembers those that were acknowledged, and the pauses."""

    def __init__(self, cluster: ServedCluster, name: str) -> None:
        super().__init__()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}/api/v1", timeout=60)
        made = self.http.post("/users", json={"username": name, "password": "a long password"})
        assert made.status_code == 201, made.text
        self.user = {key: made.json()[key] for key in ("user_id", "auth_token")}
        self.acknowledged: list[tuple[float, str]] = []
        self.refused: list[str] = []
        self.done = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.done.wait(PAUSE_S):
            number += 1
            body = {**self.user, "status": f"number {number}"}
            answer = self.http.post("/tweet", json=body, headers={"Idempotency-Key": f"key-{number}"})
            if answer.status_code == 201:
                self.acknowledged.append((time.monotonic(), answer.json()["tweet_id"]))
            else:
                self.refused.append(answer.text)

    def served_ids(self) -> list[str]:
        headers = {"Authorization": f"Bearer {self.user['auth_token']}"}
        ids: list[str] = []
        while True:
            params = {"user_id": self.user["user_id"], "count": 200} | ({"max_id": ids[-1]} if ids else {})
            page = self.http.get("/home_timeline", params=params, headers=headers).json()
            if not page:
                return ids
            ids += [tweet["tweet_id"] for tweet in page]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_writes_go_on_with_another_leader_and_nothing_is_lost_or_doubled(cluster, number):
    wait_until_all_are_in_sync(cluster)
    writers = [Writer(cluster, name) for name in names_now(cluster, f"writer_{number}", 2)]
    for writer in writers:
        writer.start()
    try:
        for shard in range(SHARDS):
            time.sleep(1)
            leader = map_on_disk(cluster.data).primary_of(shard)
            term = map_on_disk(cluster.data).term_of(shard)
            os.kill(leader.pid, number)
            deadline = time.monotonic() + START_TIMEOUT_S
            while map_on_disk(cluster.data).term_of(shard) == term:
                assert time.monotonic() < deadline, "nobody was elected"
                time.sleep(0.01)
            assert map_on_disk(cluster.data).primary_of(shard).pid != leader.pid
            time.sleep(1)
            if number == signal.SIGSTOP:
                os.kill(leader.pid, signal.SIGCONT)
            wait_until_all_are_in_sync(cluster)
    finally:
        for writer in writers:
            writer.done.set()
        for writer in writers:
            writer.join()
    for writer in writers:
        assert writer.refused == []
        acknowledged = [tweet_id for _, tweet_id in writer.acknowledged]
        assert sorted(writer.served_ids()) == sorted(acknowledged)


def test_tokens_that_were_taken_back_stay_so_under_another_leader(cluster):
    wait_until_all_are_in_sync(cluster)
    name = names_now(cluster, "robbed", 1)[0]
    old, new = "a long password", "another long password"
    with httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}", timeout=60) as http:
        user = http.post("/api/v1/users", json={"username": name, "password": old}).json()
        login = http.post("/api/v1/login", json={"username": name, "password": old}).json()
        stolen = [user["auth_token"], login["auth_token"]]

        def status(token: str) -> int:
            """Of a public read, where this cluster, too, which believes any user_id, looks at a token."""
            return http.get(f"/{user['user_id']}/profile", headers={"Authorization": f"Bearer {token}"}).status_code

        assert [status(token) for token in stolen] == [200, 200]
        body = {"password": old, "new_password": new, "auth_token": stolen[0]}
        changed = http.post(f"/{user['user_id']}/password", json=body).json()
        assert changed["revoked"] == 2
        tokens = [*stolen, changed["auth_token"]]
        assert [status(token) for token in tokens] == [401, 401, 200]
        leader = map_on_disk(cluster.data).primary_of(0)
        os.kill(leader.pid, signal.SIGKILL)
        wait_for(lambda: map_on_disk(cluster.data).primary_of(0).pid != leader.pid)
        wait_for(lambda: status(tokens[2]) == 200)
        assert [status(token) for token in tokens] == [401, 401, 200]
        for password, answer in ((old, 401), (new, 200)):
            reply = http.post("/api/v1/login", json={"username": name, "password": password})
            assert reply.status_code == answer, reply.text
    wait_until_all_are_in_sync(cluster)


@pytest.mark.parametrize("leads", [False, True])
def test_a_replica_whose_journal_goes_bad_while_it_serves_is_filled_anew(cluster, leads):
    wait_until_all_are_in_sync(cluster)
    names = names_now(cluster, f"before_{leads}", 1)
    writers = [Writer(cluster, name) for name in names]
    for writer in writers:
        writer.start()
    try:
        time.sleep(0.5)  # more than one frame
        victim = next(r for r in map_on_disk(cluster.data).replicas_of(0) if r.primary == leads)
        folder = shard_directory(cluster.data, 0, victim.index)
        aside = len(list(folder.glob("damaged-*")))
        flip_byte(folder, 0.0)
        os.kill(victim.pid, signal.SIGKILL)
        wait_for(lambda: len(list(folder.glob("damaged-*"))) == aside + 1)
        wait_for(lambda: map_on_disk(cluster.data).replica(0, victim.index).pid != victim.pid)
        wait_until_all_are_in_sync(cluster)
    finally:
        for writer in writers:
            writer.done.set()
        for writer in writers:
            writer.join()
    for writer in writers:
        assert writer.refused == []
        assert sorted(writer.served_ids()) == sorted(tweet_id for _, tweet_id in writer.acknowledged)


def grown_segment(journal: Path) -> tuple[Path, int] | None:
    """Return the newest segment once it has grown, and the bytes that it had; None if the next one is begun first."""
    newest = max(journal.glob("*.seg"))
    size = newest.stat().st_size
    wait_for(lambda: newest.stat().st_size > size + 2_000 or max(journal.glob("*.seg")) != newest)
    return (newest, size) if newest.stat().st_size > size + 2_000 else None


def test_a_leader_that_can_not_read_what_a_follower_lacks_ends_and_is_filled_anew(cluster):
    wait_until_all_are_in_sync(cluster)
    writer = Writer(cluster, names_now(cluster, "rotten", 1)[0])
    writer.start()
    try:
        leader = map_on_disk(cluster.data).primary_of(0)
        follower = next(r for r in map_on_disk(cluster.data).replicas_of(0) if not r.primary)
        journal = shard_directory(cluster.data, 0, leader.index) / JOURNAL_DIRECTORY
        os.kill(follower.pid, signal.SIGSTOP)  # it takes in nothing more, and doesn't come back before it is killed
        newest, size = wait_for(lambda: grown_segment(journal))
        flip_at(newest, size + 1_000)
        os.kill(follower.pid, signal.SIGKILL)
        wait_for(lambda: map_on_disk(cluster.data).primary_of(0).pid != leader.pid)
        wait_until_all_are_in_sync(cluster)
    finally:
        writer.done.set()
        writer.join()
    assert writer.refused == []
    assert sorted(writer.served_ids()) == sorted(tweet_id for _, tweet_id in writer.acknowledged)


def test_status_names_every_replica_its_role_and_who_is_in_sync(cluster):
    wait_until_all_are_in_sync(cluster)
    report = cluster.run("status")
    assert len([p for p in report["processes"] if p["role"] == "shard"]) == SHARDS * REPLICAS
    with urllib.request.urlopen(f"http://127.0.0.1:{cluster.port}/readyz", timeout=60) as answer:
        assert json.loads(answer.read())
    assert all(Path(r.unix_path).exists() for r in map_on_disk(cluster.data).replicas)


def test_replicas_are_equal_after_a_storm_with_kills_and_a_damaged_one_is_filled_anew(cluster):
    wait_until_all_are_in_sync(cluster)
    graph = cluster.data.parent / "graph.txt"  # the storm's clients need more accounts than they are
    graph.write_text("".join(f"{u} {u * 7 % 150 + 1}\n" for u in range(1, 151)))
    cluster.run("load", "--graph", str(graph))
    found = cluster.run("storm", "--kill", "--operations", "600", "--seed", "4")
    assert found["problem_count"] == 0
    wait_until_all_are_in_sync(cluster)
    terms = map_on_disk(cluster.data).terms
    wait_for(lambda: cluster.run("status")["totals"]["outbox_depth"] == 0)  # what is under way would arrive later
    cluster.stop()
    assert map_on_disk(cluster.data).terms == terms, "nobody is elected while a cluster stops"
    before = digests_on_disk(cluster.data, SHARDS, REPLICAS)
    assert [len(set(digests)) for digests in before] == [1] * SHARDS

    victim = next(r for r in map_on_disk(cluster.data).replicas_of(0) if not r.primary)
    folder = shard_directory(cluster.data, 0, victim.index)
    newest = max((folder / JOURNAL_DIRECTORY).glob("*.seg"))
    data = bytearray(newest.read_bytes())
    data[20] ^= 0xFF  # in its head: nobody can take that for the torn end of a write
    newest.write_bytes(data)
    gone = next(r for r in map_on_disk(cluster.data).replicas_of(1) if not r.primary)
    lost = shard_directory(cluster.data, 1, gone.index)
    for path in (lost / JOURNAL_DIRECTORY, lost / "checkpoint.duckdb", lost / "replica.msgpack"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    aside = len(list(folder.glob("damaged-*")))
    cluster.start()
    wait_until_all_are_in_sync(cluster)
    assert (folder / f"damaged-{aside + 1}" / JOURNAL_DIRECTORY / newest.name).exists()
    assert cluster.run("check", "--oracle")["problem_count"] == 0
    cluster.stop()
    assert digests_on_disk(cluster.data, SHARDS, REPLICAS) == before
