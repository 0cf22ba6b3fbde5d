"""Shards, lanes and one API worker in threads of this process: what a profiler can look into, which Ray's actors hide.

    client (any thread) --HTTP--> thread `worker`: ApiWorker, ClusterClient --lanes--> thread `shards`: ServedReplicas
                                                                                         with journals in a folder

Rules of this file
- Everything between the sockets is the product's own. What stands in for the cluster is small: a map made here in
  place of the router's, an election by hand, and messages that are handed over in place of Ray's actor calls.
- Nothing ticks: counts are flushed and segments folded by nobody, so that only requests run.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import uvloop

from actors.api_actor import ApiCluster, api_settings, pushes_to
from actors.core.levels import LEVEL
from actors.core.replication import Candidate
from actors.metrics import Histogram
from actors.shard.served_replica import ServedReplica
from actors.shard.storage import open_storage, shard_directory
from actors.shard_actor import _CallRequest, open_peers, prepare
from api.worker import ApiWorker
from cluster.client.cluster_client import ClusterClient
from cluster.lane.handshake import LaneKeys
from cluster.lane.server import LaneServer
from cluster.life.heartbeat import Heartbeat
from cluster.placement.shard_map import ShardMap, shard_actor_name
from configs.settings import Settings, load_settings

T = TypeVar("T")
NODE, TERM = "this-node", 1
START_S = 60.0


class NoHeartbeat:
    """A process that nobody watches."""

    def __init__(self) -> None:
        self.hangs, self.late_seconds = {"count": 0}, Histogram()


class LoopThread:
    """An event loop that runs on a thread of its own."""

    def __init__(self, name: str) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry something out there and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(START_S)

    def close(self) -> None:
        """End the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(START_S)
        self.loop.close()


class _Method:
    """A method of an actor's handle."""

    def __init__(self, remote: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self.remote = remote


class _Peer:
    """The handle of a shard in this process."""

    def __init__(self, served: ServedReplica) -> None:
        self.deliver = _Method(served.exchange.deliver)
        self.deliver_told = _Method(served.exchange.deliver_told)
        self.lane_call = _Method(self._ask)
        self._served = served

    async def _ask(self, op: str, args: list[Any]) -> list[Any]:
        request = _CallRequest(op, args)
        self._served.handle(request)  # type: ignore[arg-type]
        return await request.answer


class OneProcess:
    """A cluster of `shard_count` shards, one replica each, and a worker at `port`, while a block runs."""

    def __init__(self, folder: Path, shard_count: int = 2) -> None:
        """folder: for the shards' files; short, as sockets lie there."""
        prepare()
        sets = [
            f"storage.data_dir={folder}",
            f"cluster.shards={shard_count}",
            "limits.enabled=false",
            "auth.token_cache_s=60",
        ]
        self.settings: Settings = load_settings("test", sets, environ={})
        self.keys = LaneKeys(secrets.token_bytes(32))
        self.served: list[ServedReplica] = []
        self._peers: list[ClusterClient] = []
        self.port = 0

    def __enter__(self) -> OneProcess:
        self._shards, self._workers = LoopThread("shards"), LoopThread("worker")
        self.map = self._shards.run(self._serve())
        self.port = self._workers.run(self._start_worker())
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.run(self._worker.stop())
        self._shards.run(self._stop())
        self.served.clear()
        self._workers.close()
        self._shards.close()

    async def _serve(self) -> ShardMap:
        """Recover, listen, elect: what the actors, the router and its map are for."""
        shard_map = ShardMap.even("one-process", self.settings.cluster.shards, level=LEVEL)
        for shard in range(shard_map.shard_count):
            served = ServedReplica(
                open_storage(self.settings, shard, 0), self.settings, shard, 0, _ask_nobody,
                cast(Heartbeat, NoHeartbeat()),
            )  # fmt: skip
            path = shard_directory(self.settings.storage.data_dir, shard) / "lane.sock"
            served.lane = LaneServer(
                served.handle, self.keys, shard_actor_name(shard, 0), refusals=served.metrics.refusals
            )
            await served.lane.start_unix(str(path))
            served.exchange.peer = self._peer  # type: ignore[method-assign]
            self.served.append(served)
            place = replace(shard_map.replica(shard, 0), unix_path=str(path), node_id=NODE)
            shard_map = shard_map.with_replica(place)
        for served in self.served:
            _, store_id, term, position = await _ask(served, "prepare", [TERM])
            shard_map = shard_map.with_leader(served.shard, Candidate(0, store_id, term, position), TERM, 1)
        for served in self.served:
            served.replication.keys, served.replication.node_id = self.keys, NODE
            await _ask(served, "lead", [shard_map.to_wire(), False])
            self._peers.append(await open_peers(served))
        return shard_map

    async def _peer(self, shard: int) -> Any:
        return _Peer(self.served[shard])

    async def _start_worker(self) -> int:
        async def fetch_map() -> Any:
            return self.map.to_wire()

        async def connect(drop_token: Any) -> ApiCluster:
            client = ClusterClient(fetch_map, self.keys, NODE, on_push=pushes_to(self._worker, drop_token))
            await client.open()
            return ApiCluster(client, "one-process", self.settings.storage.data_dir, False)

        self._worker = ApiWorker(api_settings(self.settings), connect, "127.0.0.1", 0)
        return await self._worker.start()

    async def _stop(self) -> None:
        for peers in self._peers:
            peers.close()
        for served in self.served:
            served.exchange.stop()
            await served.replication.stop(0.0)
            if served.lane is not None:
                await served.lane.close()
            await served.commits.close()


async def _ask_nobody(method: str, *arguments: Any) -> None:
    """Stand for a router that doesn't answer."""


async def _ask(served: ServedReplica, op: str, args: list[Any]) -> Any:
    request = _CallRequest(op, args)
    served.handle(request)  # type: ignore[arg-type]
    failed, body = await request.answer
    if failed:
        raise RuntimeError(f"{op} of shard {served.shard} failed: {body}")
    return body
