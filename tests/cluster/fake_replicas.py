"""Shards with several replicas as lane servers in this process, and a router that is just a map.

Each replica keeps to docs/lane.md: `tracked` and `at`, reads from any, `moved` for the rest. What a test wants to go
wrong it sets on a FakeReplica.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from actors.core.errors import MovedError, RookeryError
from actors.core.replication import Term
from cluster.client.cluster_client import ClusterClient
from cluster.client.replica_group import FOLLOWER_READS, TRACKED_WRITES
from cluster.lane.server import LaneRequest, LaneServer
from cluster.placement.shard_map import ShardMap, shard_actor_name
from tests.cluster.conftest import KEYS


class FakeReplica:
    """One copy: how far its journal is, and how it behaves."""

    def __init__(self, shard: int, index: int, primary: bool):
        self.shard, self.index, self.primary = shard, index, primary
        self.position = 0
        self.delay_s = 0.0
        self.silent = False  # takes requests and answers none, as a stopped process does; `resume` answers them
        self.refuses: dict[str, RookeryError] = {}  # by operation
        self.asked: list[tuple[str, list]] = []  # as they came over the lane
        self.held: list[LaneRequest] = []
        self.followers: list[FakeReplica] = []  # that get each write at once
        self.server: LaneServer | None = None

    def handle(self, request: LaneRequest) -> None:
        self.asked.append((request.op, request.args))
        if self.silent:
            self.held.append(request)
        elif self.delay_s:
            asyncio.get_running_loop().call_later(self.delay_s, self.answer, request)
        else:
            self.answer(request)

    def resume(self) -> None:
        self.silent = False
        held, self.held = self.held, []
        for request in held:
            self.answer(request)

    def answer(self, request: LaneRequest) -> None:
        try:
            request.reply(self.result(request.op, request.args))
        except RookeryError as error:
            request.fail(error)

    def result(self, op: str, args: list) -> object:
        if op == "at":
            min_position, op, args = args
            if not self.primary and self.position < min_position:
                raise MovedError(f"replica {self.index} is behind")
        if op == "tracked":
            op, args = args
            assert op in TRACKED_WRITES
            return [self.write(op), self.body(op, args)]
        if op in TRACKED_WRITES:
            self.write(op)
        return self.body(op, args)

    def write(self, op: str) -> int:
        if op in self.refuses:
            raise self.refuses[op]
        if not self.primary:
            raise MovedError(f"replica {self.index} is not the primary")
        self.position += 1
        for follower in self.followers:
            follower.position = self.position
        return self.position

    def body(self, op: str, args: list) -> object:
        if op in self.refuses:
            raise self.refuses[op]
        if not self.primary and op not in FOLLOWER_READS and op not in TRACKED_WRITES:
            raise MovedError(f"replica {self.index} is not the primary")
        return [self.index, self.position, *args]


class FakeReplicaSet:
    """One shard's replicas; replica 0 is the primary of term 1, all are in sync."""

    def __init__(self, folder, replica_count: int):
        self.folder = folder
        self.shard_map = ShardMap.even("test", 1, replica_count)
        self.replicas = [FakeReplica(0, index, index == 0) for index in range(replica_count)]
        self.fetch_count = 0
        self.fetch_delay_s = 0.0
        self.change(terms=((Term(1, 0, 1),),))
        for replica in self.shard_map.replicas:
            self.set_replica(replica.index, in_sync=True)

    def change(self, **fields):
        self.shard_map = replace(self.shard_map, epoch=self.shard_map.epoch + 1, **fields)

    def set_replica(self, index: int, **fields):
        self.shard_map = self.shard_map.with_replica(replace(self.shard_map.replica(0, index), **fields))

    async def start(self, index: int):
        server = self.replicas[index].server = LaneServer(self.replicas[index].handle, KEYS, shard_actor_name(0, index))
        path = str(self.folder / f"{index}.sock")
        await server.start_unix(path)
        self.set_replica(index, unix_path=path, node_id="here")

    async def stop(self, index: int):
        server, self.replicas[index].server = self.replicas[index].server, None
        if server is not None:
            await server.close()

    def promote(self, index: int, announce: bool = True):
        """Make a follower the primary, with the others in sync, and tell every client that has a lane."""
        for replica in self.replicas:
            replica.primary = replica.index == index
        replicas = tuple(replace(r, primary=r.index == index, in_sync=True) for r in self.shard_map.replicas)
        number = self.shard_map.term_of(0) + 1
        self.change(replicas=replicas, terms=((*self.shard_map.terms[0], Term(number, 0, 1)),))
        if announce:
            self.announce()

    def announce(self):
        for replica in self.replicas:
            if replica.server is not None and not replica.silent:
                replica.server.push("map", self.shard_map.epoch)

    async def fetch_map(self):
        self.fetch_count += 1
        await asyncio.sleep(self.fetch_delay_s)
        return self.shard_map.to_wire()

    async def open_client(self, **options) -> ClusterClient:
        client = ClusterClient(self.fetch_map, KEYS, "here", **options)
        await client.open()
        return client

    def asked(self, index: int, op: str) -> list[list]:
        return [args for name, args in self.replicas[index].asked if name == op]
