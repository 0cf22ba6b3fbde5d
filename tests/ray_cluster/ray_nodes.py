"""A Ray cluster of several nodes on this machine, each at a loopback address of its own; and Rookery served on it.

Nodes are raylets with their workers, started by `ray.cluster_utils.Cluster`: to Ray, and to the lane, they are as
different as machines are. They share the data folder.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import psutil
from ray._private.node import Node
from ray.cluster_utils import Cluster

from actors.core.ids import bucket_of_account
from bench.processes import REPOSITORY, free_port
from cluster.placement.shard_map import ReplicaPlace, ShardMap
from cluster.router.files import load_state
from tests.serving import COMMAND_TIMEOUT_S, ServedCluster, command, wait_for

HEAD, SECOND, THIRD = ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
OBJECT_STORE_BYTES = 80_000_000
PEOPLE_PER_NODE = 2
PAUSE_S = 0.2  # of each who reads or tweets: a dozen of them at twice the pace take a whole processor
CPU_COUNT = 2  # to Ray; the actors ask for 0.75 in all
# What docs/deployment.md tells to start nodes with, without spares; and a health check that finds a dead node in 4 s,
# not in 15, and doesn't take one for dead whose machine does something else for a while.
NODE_ENVIRONMENT = {
    "PYTHONPATH": str(REPOSITORY), "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "1000", "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "5000", "RAY_health_check_failure_threshold": "8",
}  # fmt: skip
# Nobody here scales automatically, or reads in one place what all nodes log: two processes less.
HEAD_ARGUMENTS = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
ANSWER_S = 60.0  # that an answer may take: a bound for what hangs


class RayNodes:
    """Ray nodes by address. redis: HOST:PORT of the server where Ray's control store keeps its tables."""

    def __init__(self, redis: str) -> None:
        self._redis = {"RAY_REDIS_ADDRESS": redis}
        self._cluster = Cluster()
        self._nodes: dict[str, Node] = {}
        self.head_port = free_port()

    def add(self, address: str) -> None:
        """Start a node, the head first; a head that was killed comes back at its old port."""
        head = {**HEAD_ARGUMENTS, "gcs_server_port": self.head_port} if address == HEAD else {}
        with patch.dict(os.environ, {**NODE_ENVIRONMENT, **(self._redis if head else {})}):
            self._nodes[address] = self._cluster.add_node(
                node_ip_address=address, num_cpus=CPU_COUNT, object_store_memory=OBJECT_STORE_BYTES, **head
            )

    def kill(self, address: str) -> None:
        """End everything of a node at once, as a power cut would: its raylet, its workers, the control store."""
        node = self._nodes.pop(address)
        ours = [psutil.Process(p.process.pid) for infos in node.all_processes.values() for p in infos]
        ours = [process for one in ours for process in (one, *one.children(recursive=True))]
        for process in ours:
            with suppress(psutil.NoSuchProcess):  # it went with one that was killed before
                process.kill()
        psutil.wait_procs(ours, timeout=10)
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        """End all nodes, once."""
        if self._nodes:
            self._nodes.clear()
            self._cluster.shutdown()


class ManyNodes(ServedCluster):
    """Rookery by `serve --profile cluster` on RayNodes; the process of `serve` is on the second node.

    keeps_head: whether nobody kills the head, at which a console joins, and with which it goes.
    """

    def __init__(self, data: Path, nodes: RayNodes, *sets: str, keeps_head: bool) -> None:
        super().__init__(data, *sets, environ=NODE_ENVIRONMENT, has_console=keeps_head)
        self.nodes = nodes

    def start(self) -> None:
        self.close_console()
        values = ("server.host=node", "metrics.http=shared", f"cluster.ray_node_ip={SECOND}",
                  "cluster.code_on_nodes=true", "cluster.spares=0", "cluster.require_ray_token=false",
                  "limits.enabled=false", "auth.argon2_memory_kib=8", "auth.argon2_time_cost=1",
                  *self.sets)  # fmt: skip
        sets = [arg for value in values for arg in ("--set", value)]
        args = command("serve", "--profile", "cluster", "--data", str(self.data), "--port", str(self.port), "--address",
                       f"{HEAD}:{self.nodes.head_port}", "--shards", "3", "--no-sample", *sets)  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(args, stdout=log, stderr=log, cwd=REPOSITORY, env=self.environ)
        wait_for(lambda: self._has_ended() or (all(map(self.is_ready, ADDRESSES)) and self._says_where()))
        assert not self._has_ended(), self.log.read_text()[-3000:]

    def _has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def _says_where(self) -> bool:
        info = self.data / "cluster.json"
        return info.exists() and self.process is not None and f'"pid": {self.process.pid},' in info.read_text()

    def close(self) -> None:
        """End `serve`."""
        self.close_console()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(COMMAND_TIMEOUT_S)

    def is_ready(self, address: str) -> bool:
        """Whether the API worker of a node says that every bucket is served."""
        try:
            with urllib.request.urlopen(f"http://{address}:{self.port}/readyz", timeout=ANSWER_S) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def shard_map(self) -> ShardMap:
        """The router's map, as it is on disk."""
        state = load_state(self.data)
        assert state is not None
        return state[1]

    def owner_of(self, account_id: int) -> ReplicaPlace:
        """Return the primary of an account's shard."""
        shard_map = self.shard_map()
        return shard_map.primary_of(shard_map.shard_of_bucket(bucket_of_account(account_id)))

    def record_count(self) -> int:
        """Return how many journal records the replicas have; each node tells of its own."""
        texts = [httpx.get(f"http://{address}:{self.port}/metrics", timeout=ANSWER_S).text for address in ADDRESSES]
        found = re.findall(r"^rookery_journal_position\{.*\} (\S+)$", "\n".join(texts), re.MULTILINE)
        return sum(int(float(number)) for number in found)


def nodes_of(role: str, report: dict[str, Any]) -> list[str]:
    """Return the addresses of the nodes where a report of `status` has the processes of a role, ascending."""
    addresses = {node["node"]: node["address"] for node in report["nodes"]}
    return sorted(addresses.get(p["node"], "") for p in report["processes"] if p["role"] == role)


@contextmanager
def serving_on(nodes: RayNodes, *sets: str, keeps_head: bool = True) -> Iterator[ManyNodes]:
    """Serve on nodes, where nobody else does, while the block runs. keeps_head: see ManyNodes."""
    folder = Path(tempfile.mkdtemp(prefix="rk-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        made = ManyNodes(folder / "data", nodes, *sets, keeps_head=keeps_head)
        stack.callback(made.close)
        made.start()
        yield made


class Person:
    """An account, its token, and what it was told."""

    def __init__(self, cluster: ManyNodes, name: str) -> None:
        self._cluster = cluster
        self._http = {address: self._client(address, cluster.port) for address in ADDRESSES}
        answer = self._http[SECOND].post("/api/v1/users", json={"username": name, "password": "long enough"})
        assert answer.status_code == 201, answer.text
        self.id = int(answer.json()["user_id"])
        self._headers = {"Authorization": f"Bearer {answer.json()['auth_token']}"}
        self.acknowledged: list[str] = []
        self.refusals: set[str] = set()  # what tweets were answered instead

    @staticmethod
    def _client(address: str, port: int) -> httpx.Client:
        return httpx.Client(base_url=f"http://{address}:{port}", timeout=ANSWER_S)

    def tweet(self, address: str, text: str) -> int:
        """Post through a node's API worker; returns the status, 0 when there is nobody."""
        answer = self._ask("POST", address, "/api/v1/tweet", json={"status": text})
        if answer is not None and answer.status_code == 201:
            self.acknowledged.append(answer.json()["tweet_id"])
        elif answer is not None:
            self.refusals.add(answer.text)
        return 0 if answer is None else answer.status_code

    def follow(self, address: str, other: Person) -> int:
        """Follow somebody; returns the status."""
        answer = self._ask("POST", address, f"/{self.id}/follow/{other.id}")
        return 0 if answer is None else answer.status_code

    def home(self, address: str) -> tuple[int, list[str]]:
        """Return the status and the texts of the newest entries of the home timeline."""
        answer = self._ask("GET", address, "/api/v1/home_timeline", params={"user_id": self.id, "count": 20})
        if answer is None or answer.status_code != 200:
            return (0 if answer is None else answer.status_code), []
        return 200, [tweet["status"] for tweet in answer.json()]

    def lost(self, address: str) -> list[str]:
        """Return the acknowledged tweets that the account's own timeline doesn't show exactly once."""
        shown: Counter[str] = Counter()
        max_id: dict[str, str] = {}
        while True:
            answer = self._ask("GET", address, "/api/v1/user_timeline",
                               params={"user_id": self.id, "count": 100, **max_id})  # fmt: skip
            assert answer is not None
            assert answer.status_code == 200, answer.text
            ids = [tweet["tweet_id"] for tweet in answer.json()]
            if not ids:
                return [tweet_id for tweet_id in self.acknowledged if shown[tweet_id] != 1]
            shown.update(ids)
            max_id = {"max_id": ids[-1]}

    def _ask(self, method: str, address: str, path: str, **arguments: Any) -> httpx.Response | None:
        try:
            return self._http[address].request(method, path, headers=self._headers, **arguments)
        except httpx.TransportError:  # the node is gone, or went meanwhile
            return None

    def close(self) -> None:
        """Hang up."""
        for http in self._http.values():
            http.close()


class Load:
    """People who read and tweet through the nodes that stay, one thread a person, until told to stop."""

    def __init__(self, cluster: ManyNodes, people: list[Person], addresses: tuple[str, ...]) -> None:
        self.reads: dict[str, Counter[int]] = defaultdict(Counter)  # owner's address -> status of home reads
        self.writes: dict[str, Counter[int]] = defaultdict(Counter)
        self.slowest_read_s: dict[str, float] = defaultdict(float)
        self._stop = threading.Event()
        owners = [cluster.owner_of(person.id).host for person in people]
        self._threads = [
            threading.Thread(target=self._run, args=(person, owner, act, addresses))
            for person, owner in zip(people, owners, strict=True) for act in (self._read, self._tweet)
        ]  # fmt: skip
        for thread in self._threads:
            thread.start()

    def _run(
        self, person: Person, owner: str, act: Callable[[Person, str, str, int], None], on: tuple[str, ...]
    ) -> None:
        number = 0
        while not self._stop.wait(PAUSE_S):
            act(person, owner, on[number % len(on)], number)
            number += 1

    def _read(self, person: Person, owner: str, address: str, number: int) -> None:
        begin = time.perf_counter()
        self.reads[owner][person.home(address)[0]] += 1
        self.slowest_read_s[owner] = max(self.slowest_read_s[owner], time.perf_counter() - begin)

    def _tweet(self, person: Person, owner: str, address: str, number: int) -> None:
        self.writes[owner][person.tweet(address, f"number {number}")] += 1

    def forget(self) -> None:
        """Count from now on."""
        self.reads.clear()
        self.writes.clear()
        self.slowest_read_s.clear()

    def stop(self) -> None:
        """End, and wait for what is under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def people_of(cluster: ManyNodes, prefix: str) -> list[Person]:
    """Register people until every node owns some of them; each follows all."""
    people: list[Person] = []
    owned: Counter[str] = Counter()
    while set(owned) < set(ADDRESSES) or min(owned.values()) < PEOPLE_PER_NODE:
        people.append(Person(cluster, f"{prefix}_{len(people)}"))
        owned[cluster.owner_of(people[-1].id).host] += 1
    for person in people:
        assert {person.follow(SECOND, other) for other in people if other is not person} == {200}
    return people
