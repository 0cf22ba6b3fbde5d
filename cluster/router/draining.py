"""Drained nodes: what lives there goes elsewhere, and nothing new comes, until that is taken back.

    leaders --> hand over to a follower in sync on another node
    followers --> stopped; made anew on a node that has none of the shard's replicas, or left stopped if there is none
    the only replica of a shard --> the same, with a pause; only if any node can bring the shard back from its storage
    API workers --> stopped

Rules of this file
- No Ray and no clock; effects come in as functions. `step` looks what is left to do and does some of it: it is called
  again and again, so that what a crash or an election put back there goes, too, and a new router goes on.
- One replica of a shard at a time, and only while all others that are wanted are in sync.
- The list is on disk before anybody is told (`drained.json`: node ids and addresses, as they were given). A node that
  was given by its address stays drained when it comes back under another id.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from actors.core.errors import ConflictError, InvalidError, RookeryError
from cluster.placement.shard_map import ReplicaPlace, ShardMap
from cluster.router.elections import Elections
from cluster.router.files import RouterStateError, replace_file

logger = logging.getLogger("rookery.draining")

FILE_NAME = "drained.json"
NODE_DIGITS_MIN = 6  # of a node's id, for those who don't want to type 56


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the Ray cluster. hosts: whether it takes actors."""

    node_id: str
    address: str
    hosts: bool


class Nodes(Protocol):
    """What draining needs from the world. RayReplicaActors implements it with Ray."""

    async def nodes(self) -> list[Node]:
        """Return the nodes that live. Raises ConnectionError when they can't be had."""

    async def stop(self, actor_name: str) -> None:
        """End a replica's actor cleanly and for good; nothing happens if there is none."""

    async def stop_api_workers(self, node_ids: list[str]) -> int:
        """End the API workers of these nodes cleanly and for good; returns how many there were."""


class Draining:
    """See the module header.

    is_there(replica): whether its process has answered lately; portable: whether any node can bring back a shard.
    Raises RouterStateError if the file can't be read.
    """

    def __init__(
        self, data_dir: Path, get_map: Callable[[], ShardMap], elections: Elections, world: Nodes,
        is_there: Callable[[ReplicaPlace], bool], portable: bool,
    ) -> None:  # fmt: skip
        self._path = data_dir / FILE_NAME
        self._get_map, self._elections, self._world = get_map, elections, world
        self._is_there, self._portable = is_there, portable
        self.marks = self._load()
        self.homeless: dict[str, str] = {}  # actor name -> why it is left stopped
        self._known: list[Node] = []  # as of the last look

    def _load(self) -> frozenset[str]:
        if not self._path.exists():
            return frozenset()
        try:
            marks = json.loads(self._path.read_text(encoding="utf-8"))["drained"]
            if not isinstance(marks, list) or not all(isinstance(mark, str) for mark in marks):
                raise ValueError("it holds no list of nodes")
        except (ValueError, KeyError, TypeError) as error:
            raise RouterStateError(f"{self._path} can't be used: {error}. Without it no node is drained") from error
        return frozenset(marks)

    def _save(self, marks: frozenset[str]) -> None:
        replace_file(self._path, json.dumps({"drained": sorted(marks)}).encode() + b"\n")
        self.marks = marks

    # ---- what is asked ----------------------------------------------------------------------------------------

    async def drain(self, name: str) -> list[Node]:
        """Take what lives on a node away from there; returns the nodes that are drained now.

        name: an address or an id (NODE_DIGITS_MIN of its digits are enough). Raises InvalidError if no node, or more
        than one, is called so; ConflictError if what is there can't be had anywhere else.
        """
        found = _named(await self._look(), name)
        drained = {node.node_id for node in self._known if self._is_drained(node)} | {found.node_id}
        if not any(node.hosts and node.node_id not in drained for node in self._known):
            raise ConflictError(f"{name} is the last node that takes actors: there is nowhere to go")
        here = [r.actor_name for r in self._get_map().replicas if r.node_id == found.node_id and self._is_there(r)]
        if len(self._get_map().replicas_of(0)) == 1 and here and not self._portable:
            raise ConflictError(
                f"{', '.join(here)} can't leave {name}: with cluster.replicas = 1 the journal in that node's files is "
                "the only copy. Serve with more replicas, or with storage.backend = redis, which any node reaches"
            )
        self._save(self.marks | {found.address if name == found.address else found.node_id})
        logger.info("node %s at %s is being drained", found.node_id, found.address)
        return [node for node in self._known if self._is_drained(node)]

    async def undo(self, name: str) -> list[Node]:
        """Let a node have its share again; returns the nodes that are still drained. Raises InvalidError as `drain`."""
        known = [node for node in await self._look() if name == node.address or _is_digits_of(name, node)]
        gone = {m for m in self.marks if m == name or any(m in (node.node_id, node.address) for node in known)}
        if not gone:
            raise InvalidError(f"{name} is not drained; {', '.join(sorted(self.marks)) or 'no node'} is", "node")
        self._save(self.marks - gone)
        self.homeless.clear()
        logger.info("node %s takes part again", name)
        return [node for node in self._known if self._is_drained(node)]

    async def drained_ids(self) -> list[str]:
        """Return the ids of the nodes that live and are drained."""
        return [node.node_id for node in await self._look() if self._is_drained(node)] if self.marks else []

    def _is_drained(self, node: Node) -> bool:
        return node.node_id in self.marks or node.address in self.marks

    async def _look(self) -> list[Node]:
        self._known = await self._world.nodes()
        return self._known

    # ---- what is done -----------------------------------------------------------------------------------------

    async def step(self) -> None:
        """Do what can be done now. A replica that refuses is asked again at the next step."""
        ids = await self.drained_ids()
        if not ids:
            return
        for shard in range(self._get_map().shard_count):
            try:
                await self._step(shard, ids)
            except RookeryError as error:
                logger.warning("shard %d stays where it is for now: %s", shard, error.message)
        await self._world.stop_api_workers(ids)

    async def _step(self, shard: int, drained: list[str]) -> None:
        replicas = self._get_map().replicas_of(shard)
        there = [r for r in replicas if r.node_id in drained and self._is_there(r)]
        leader = self._get_map().primary_of(shard)
        if leader in there and len(replicas) > 1:
            successor = self.successor(shard, drained)
            if successor is not None:
                await self._elections.hand_over(shard, successor.index)
            return
        staying = [r for r in replicas if r not in there and r.actor_name not in self.homeless]
        if there and all(r.in_sync and self._is_there(r) for r in staying):
            logger.info("%s leaves its node", there[0].actor_name)
            await self._world.stop(there[0].actor_name)

    def successor(self, shard: int, avoided: list[str]) -> ReplicaPlace | None:
        """Return who should lead a shard next: in sync, not on the avoided nodes, where the fewest leaders are."""
        shard_map = self._get_map()
        leaders = Counter(r.node_id for r in shard_map.replicas if r.primary)
        able = [
            r for r in shard_map.replicas_of(shard)
            if r.in_sync and not r.primary and r.node_id not in avoided and self._is_there(r)
        ]  # fmt: skip
        return min(able, key=lambda r: (leaders[r.node_id], r.index), default=None)

    async def place(self, replica: ReplicaPlace) -> str | None:
        """Return the node for a replica that has none: an id, "" if any will do, None if it must wait."""
        if not self.marks:
            return ""
        nodes = await self._look()
        free = {node.node_id for node in nodes if node.hosts and not self._is_drained(node)}
        others = [r for r in self._get_map().replicas if r.index != replica.index or r.shard != replica.shard]
        taken = {r.node_id for r in others if r.shard == replica.shard and r.actor_name not in self.homeless}
        load = Counter(r.node_id for r in others)
        if not free - taken:
            if replica.actor_name not in self.homeless:
                logger.warning("%s is left stopped: no other node has room for it", replica.actor_name)
            self.homeless[replica.actor_name] = "every node that isn't drained has a replica of this shard already"
            return None
        self.homeless.pop(replica.actor_name, None)
        return min(free - taken, key=lambda node_id: (load[node_id], node_id))

    def report(self) -> dict[str, Any]:
        """Return what is drained and which replicas are left stopped, as msgpack-able values."""
        return {"nodes": sorted(self.marks), "left_stopped": dict(self.homeless)}


def _is_digits_of(name: str, node: Node) -> bool:
    return len(name) >= NODE_DIGITS_MIN and node.node_id.startswith(name)


def _named(nodes: list[Node], name: str) -> Node:
    found = [node for node in nodes if node.address == name] or [node for node in nodes if _is_digits_of(name, node)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{node.address} ({node.node_id[:12]})" for node in nodes)
    problem = "no node that lives is called" if not found else "several nodes are called"
    raise InvalidError(f"{problem} {name!r}; there are {listed}. Give an address or an id of `status`", "node")
