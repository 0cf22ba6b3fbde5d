"""A cluster of the commit before levels is rolled to this code while clients write, wherever modules are by now.

Today's tree runs under the old `serve`, so whatever Ray was told by the old code is found by its old path
(actors/moved.py), and old and new processes talk to each other until the last one is new. First the old router meets
new shards; then it is killed, comes back with the new code, and meets old ones.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors.core.levels import LEVEL
from cluster.ray_options import ROUTER_NAME
from tests.chaos.copies import map_on_disk
from tests.old_tree import unpack_old_tree, upgrade_in_place
from tests.ray_cluster.clients import Client, at_work
from tests.serving import PATIENT, START_TIMEOUT_S, ServedCluster

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

SHARDS, REPLICAS, API_WORKERS, CLIENTS = 2, 2, 2, 3
SETS = (f"cluster.replicas={REPLICAS}", "durability.ack=replica", f"cluster.workers={API_WORKERS}", PATIENT)
LOOK_S = 0.02  # between looks at the map on disk
WRITES_AFTER = 5  # that each client is to make at the new level


@pytest.fixture
def old_cluster() -> Iterator[ServedCluster]:
    """Yield a cluster that runs the code of the commit before, from a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="rk-"))
    made = ServedCluster(folder / "data", *SETS, repository=unpack_old_tree(folder / "tree"))
    try:
        made.start()
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)


class Watch(threading.Thread):
    """Looks at the map on disk all the time, and writes down when its levels change and which processes live then.

    Kills the router once shard 0 has been rolled.
    """

    def __init__(self, cluster: ServedCluster) -> None:
        super().__init__()
        self.cluster, self.begin = cluster, time.monotonic()
        self.routers_killed: list[int] = []
        self.seen: list[tuple[int, int]] = []
        self.alive: list[set[int]] = []
        self.diary: list[str] = []
        self.done = threading.Event()

    def note(self, what: str) -> None:
        self.diary.append(f"{time.monotonic() - self.begin:5.1f} s  {what}")

    def run(self) -> None:
        old_pids = {replica.pid for replica in map_on_disk(self.cluster.data).replicas}
        while not self.done.wait(LOOK_S):
            shard_map = map_on_disk(self.cluster.data)
            if not self.routers_killed and not old_pids & {r.pid for r in shard_map.replicas_of(0)}:
                self._kill_the_router()
            levels = shard_map.level, shard_map.next_level
            if not self.seen or self.seen[-1] != levels:
                self.seen.append(levels)
                self.alive.append(set(psutil.pids()))
                self.note(f"epoch {shard_map.epoch}: level {levels[0]}, next level {levels[1]}")

    def _kill_the_router(self) -> None:
        assert self.cluster.process is not None
        for process in psutil.Process(self.cluster.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if "RouterActor" in process.cmdline()[0]:
                    process.kill()
                    self.routers_killed.append(process.pid)
        self.note(f"shard 0 has been rolled; the router is killed: {self.routers_killed}")

    def __str__(self) -> str:
        return "\n" + "\n".join(self.diary)


def write_on(clients: list[Client]) -> None:
    """Wait until each client has had some more writes acknowledged."""
    before = [len(client.acknowledged) for client in clients]
    deadline = time.monotonic() + START_TIMEOUT_S
    while any(len(c.acknowledged) < n + WRITES_AFTER for c, n in zip(clients, before, strict=True)):
        assert time.monotonic() < deadline, [client.refused[-3:] for client in clients]
        time.sleep(0.05)


def test_a_cluster_of_the_commit_before_is_rolled_to_this_one_while_clients_write(old_cluster):
    watch = Watch(old_cluster)
    watch.start()
    try:
        with at_work(old_cluster, "client", CLIENTS, asks_again=True) as clients:
            write_on(clients)
            watch.note("clients write; the code is replaced")
            upgrade_in_place(old_cluster.repository)
            watch.note("roll")
            rolled = old_cluster.run("roll")
            watch.note(f"rolled: {rolled}")
            write_on(clients)
    finally:
        watch.done.set()
        watch.join()
    require_the_level_rose_last(watch, rolled)
    watch.note(f"acknowledged {[len(client.acknowledged) for client in clients]} tweets")
    assert [client.refused for client in clients] == [[]] * CLIENTS, watch
    assert all(sorted(client.served_ids()) == sorted(client.acknowledged) for client in clients), watch
    assert old_cluster.run("check", "--oracle")["problem_count"] == 0, watch
    status = old_cluster.run("status")
    levels = {process["name"]: process["level"] for process in status["processes"]}
    assert set(levels.values()) == {LEVEL}, (levels, watch)
    assert [shard["level"] for shard in status["shards"]] == [LEVEL] * SHARDS, watch
    require_a_clean_end(old_cluster, watch)


def require_a_clean_end(cluster: ServedCluster, watch: Watch) -> None:
    """The `serve` of before stops what is new by now, and what both have written recovers."""
    cluster.end()
    assert cluster.process is not None
    assert cluster.process.returncode == 0, (cluster.log.read_text()[-3000:], watch)
    assert cluster.run("check", "--oracle")["problem_count"] == 0, watch


def require_the_level_rose_last(watch: Watch, rolled: dict[str, Any]) -> None:
    """The map was of level 0 until no process of the old code lived; then the shards were raised, then the map."""
    replaced = {process["old_pid"]: process["process"] for process in rolled["restarted"]}
    assert len(replaced) == SHARDS * REPLICAS + API_WORKERS + 1, watch
    assert len(watch.routers_killed) == 1, watch
    assert replaced.keys().isdisjoint(watch.routers_killed), f"the router didn't come back with the new code{watch}"
    old_pids = {pid for pid, name in replaced.items() if name != ROUTER_NAME} | {*watch.routers_killed}
    assert (rolled["level"], watch.seen[0], watch.seen[-1]) == (LEVEL, (0, 0), (LEVEL, LEVEL)), watch
    assert set(watch.seen[1:-1]) <= {(0, LEVEL)}, watch
    still_there = old_pids & watch.alive[1]
    assert not still_there, f"the level rose while the old processes {still_there} lived{watch}"
