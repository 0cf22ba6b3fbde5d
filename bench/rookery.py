"""Rookery as a contestant: a cluster of its own, started by the users' command and loaded by its own write path.

Rules of this file
- `run_cluster.py serve` with a temporary data folder, a free port and a Ray of its own; durable as always.
- Loading goes through `commands.loading.BulkLoader`, so it is validated, journalled and fanned out like a client's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgpack
import numpy as np
import orjson
import ray
import uvloop

from bench.dataset import Ints, Network
from bench.lane import LaneTarget
from bench.processes import BenchError, free_port, running
from cluster.client.connect import NamedActors, connect, open_client
from cluster.lane.handshake import LaneKeys
from cluster.ray_options import ROUTER_NAME
from commands.checking import for_each
from commands.input_files import Edges
from commands.loading import BulkLoader, OnCount, Post

START_TIMEOUT_S = 300.0  # with a million accounts to recover
LOG_FILE = "rookery.log"
NO_ENTITIES: bytes = msgpack.packb({"mentions": [], "hashtags": [], "urls": []})
READ_CONCURRENCY = 16
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RookeryCluster:
    """A running cluster. data: its folder."""

    port: int
    namespace: str
    ray_address: str
    shards: int
    data: Path

    def with_loader(self, work: Callable[[BulkLoader], Awaitable[T]]) -> T:
        """Join the cluster's Ray, do some work with a loader, leave again: an idle driver costs CPU."""

        async def run() -> T:
            client = await open_client(self.namespace)
            try:
                return await work(BulkLoader(client))
            finally:
                client.close()

        for name in ("ray", "ray._private.worker"):  # the second says that it connects; Ray sets the first one's level
            logging.getLogger(name).setLevel(logging.ERROR)
        connect(self.ray_address, self.namespace)
        try:
            return uvloop.run(run())
        finally:
            ray.shutdown()

    async def lane_of(self, loader: BulkLoader, shard: int) -> LaneTarget:
        """Return what a lane to a shard leads to (a Unix socket); for use by `with_loader`."""
        joined = await NamedActors(self.namespace).call(ROUTER_NAME, "join")
        primary = loader.client.shard_map.primary_of(shard)
        return LaneTarget(primary.unix_path, LaneKeys.from_join(joined), primary.actor_name)

    def home(self, client: httpx.Client, account_id: int, token: str) -> bytes:
        """Return one home timeline as served."""
        return get_home(client, self.port, account_id, token)


def new_namespace() -> str:
    """Return the name of a cluster that nobody else has."""
    return f"bench-{uuid.uuid4().hex[:8]}"


@contextmanager
def rookery_cluster(
    folder: Path, shards: int = 2, auth: str = "token", sets: Sequence[str] = (), namespace: str = ""
) -> Iterator[RookeryCluster]:
    """Run a cluster with a data folder of its own while the block runs.

    namespace: give the same one to start a cluster again with the data that it left in the folder.
    """
    port, data = free_port(), folder / "rookery"
    namespace = namespace or new_namespace()
    settings = [f"auth.mode={auth}", "limits.enabled=false", f"cluster.namespace={namespace}"]
    settings += [f"cluster.dashboard_port={free_port()}", *sets]
    command = [sys.executable, "run_cluster.py", "serve", "--data", str(data), "--port", str(port)]
    command += ["--shards", str(shards), "--no-sample", *(part for s in settings for part in ("--set", s))]
    info = data / "cluster.json"
    info.unlink(missing_ok=True)  # of an earlier start
    with running(command, folder / LOG_FILE, lambda: info.exists() and _is_ready(port), START_TIMEOUT_S):
        yield RookeryCluster(port, namespace, json.loads(info.read_text())["ray_address"], shards, data)


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5.0).status_code == 200
    except httpx.HTTPError:
        return False


def get_home(client: httpx.Client, port: int, account_id: int, token: str) -> bytes:
    """Return one home timeline as served; raises BenchError for anything but 200."""
    answer = client.get(
        f"http://127.0.0.1:{port}/api/v1/home_timeline?user_id={account_id}",
        headers={"authorization": f"Bearer {token}"} if token else {},
    )
    if answer.status_code != 200:
        raise BenchError(f"home timeline of {account_id} on port {port}: {answer.status_code} {answer.text[:300]}")
    return answer.content


def edges_of(followers: Ints, followees: Ints) -> Edges:
    """Return what the loader takes."""
    return Edges(np.ascontiguousarray(followers), np.ascontiguousarray(followees))


def ignore(count: int) -> None:
    """Take a count of things done and report nothing."""


async def load_accounts(
    loader: BulkLoader, accounts: Sequence[int], tokens: dict[int, tuple[str, bytes]], on_count: OnCount = ignore
) -> None:
    """Register accounts named user<id>, each with a token if it has one."""
    rows: list[list[Any]] = [
        [f"user{a}", a, f"User {a}", "", None, [tokens[a][1]] if a in tokens else []] for a in accounts
    ]
    await loader.accounts(rows, on_count)


async def load_network(loader: BulkLoader, network: Network) -> dict[str, float]:
    """Load accounts, follows and tweets, and wake every account. Returns seconds by phase."""
    accounts = network.accounts.tolist()
    await load_accounts(loader, accounts, network.tokens)
    follows = await loader.follows(edges_of(network.followers, network.followees), ignore)
    await wake_all(loader, accounts)  # the peer fans out to everyone, so nobody here may be dormant
    posts = [
        Post(author, text, NO_ENTITIES, [], number.to_bytes(16, "big"))
        for number, (author, text) in enumerate(network.tweets, 1)
    ]
    tweets = await loader.tweets(posts, ignore)
    return {"follows_s": follows.seconds, "tweets_s": tweets.seconds}


async def wake_all(loader: BulkLoader, accounts: Sequence[int], on_count: OnCount = ignore) -> None:
    """Give every account its ring, as its first home read does."""

    async def wake(account_id: int) -> None:
        await loader.client.account(account_id, "home", 0, 0, 0, 20, timeout_s=60.0)
        on_count(1)

    await for_each(list(accounts), wake)


async def tweets_of(loader: BulkLoader, accounts: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """Return (tweet id, author, JSON as served) of everything that those accounts wrote, in the order of ids."""
    gate = asyncio.Semaphore(READ_CONCURRENCY)
    found: list[tuple[int, int, bytes]] = []

    async def read(account_id: int) -> None:
        max_id = 0
        while True:
            async with gate:
                body, _, oldest = await loader.client.account(account_id, "user_timeline", 0, max_id, 0, 0, 200)
            page = [(int(t["tweet_id"]), account_id, orjson.dumps(t)) for t in orjson.loads(body)]
            found.extend(page)
            if len(page) < 200:
                return
            max_id = oldest

    await asyncio.gather(*(read(a) for a in accounts))
    return sorted(found)
