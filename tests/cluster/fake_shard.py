"""The smallest shard actor that keeps the contract of router_actor.py: it answers every operation with its pid."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import ray

from cluster.client.connect import router_handle
from cluster.lane.handshake import LaneKeys
from cluster.lane.server import LaneRequest, LaneServer
from cluster.placement.shard_map import ShardMap, shard_actor_name


class FakeShardActor:
    """One lane server; `close_lane` closes it, so that only the actor answers from then on."""

    def __init__(self, shard: int, index: int, folder: str, namespace: str) -> None:
        self.shard = shard
        self.index = index
        self.folder = folder
        self.term = 0
        self.namespace = namespace
        self.endpoints: dict[str, Any] | None = None
        self.server: LaneServer | None = None
        self.starting = asyncio.get_running_loop().create_task(self.start())

    async def start(self) -> None:
        router = await asyncio.to_thread(router_handle, self.namespace)
        keys = LaneKeys.from_join(await router.join.remote())
        self.server = LaneServer(self.handle, keys, shard_actor_name(self.shard, self.index))
        path = os.path.join(self.folder, f"{self.shard}.sock")
        await self.server.start_unix(path)
        port = await self.server.start_tcp("127.0.0.1")
        node_id = ray.get_runtime_context().get_node_id()
        self.endpoints = {
            "unix_path": path, "host": "127.0.0.1", "port": port, "node_id": node_id, "pid": os.getpid(),
        }  # fmt: skip
        await router.register_replica.remote(self.shard, self.index, self.endpoints)

    def handle(self, request: LaneRequest) -> None:
        if request.op == "prepare":
            request.reply([True, f"disk-{self.index}", 0, 0])
            return
        if request.op in ("lead", "learn_map"):
            self.term = ShardMap.from_wire(request.args[0]).term_of(self.shard) if request.op == "lead" else self.term
            request.reply(True)
            return
        request.reply(["lane", self.shard, os.getpid()])
        if request.op == "close_lane" and self.server is not None:
            self.starting = asyncio.get_running_loop().create_task(self.server.close())

    async def ping(self) -> dict[str, Any] | None:
        return None if self.endpoints is None else {**self.endpoints, "leads": self.term}

    async def lane_call(self, op: str, args: list[Any]) -> list[Any]:
        if op == "missing":
            return [1, ["not_found", "no such account", None, None]]
        return [0, ["actor", self.shard, os.getpid()]]


def make_fake_shard(shard: int, index: int, settings: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    """The shard factory that the router is given."""
    return FakeShardActor, {"shard": shard, "index": index, **settings}
