"""The router as a Ray actor: a thin shell that gives Router its effects, its clock and its life.

Rules of this file
- No decisions: they are router.py's. Blocking Ray calls (looking up a name, creating an actor) run in a thread,
  so that a slow control store doesn't stop the loop.
- The constructor restores everything: Ray runs nothing but it when it restarts the actor. It reads the files, starts
  the supervision loop, and the first round finds the shard actors again by their names.
- This package knows no shard class. `shard_factory` names a function "module:function"; called in the router's process
  as function(shard, index, settings) it returns (plain class, keyword arguments of its constructor).

What a shard actor must offer (all async)
    ping() -> {"unix_path", "host", "port", "node_id", "pid", "level", "leads", "epoch", "moves", "search"} | None
                                                                                           None = no lane yet
    lane_call(op, args) -> [0, body] | [1, [code, message, field, retry_after_s]]    the way round a broken lane
and it should call `router.register_replica.remote(shard, index, endpoints)` as soon as its lane listens, which makes a
restart visible at once; without it, the next ping does. On its lane it must answer prepare, lead, learn_map and level
(docs/lane.md). API workers and trends say in their pings which "level" they know.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.core.errors import ConflictError
from actors.core.replication import Member
from actors.metrics.figure import Told, snapshot
from actors.metrics.process import ProcessFigures
from actors.metrics.process_rows import PROCESS_FIGURES
from actors.metrics.ray_export import RayExporter, export_for_ever
from actors.metrics.router_rows import ROUTER_FIGURES
from cluster.client.connect import api_and_trends_names, api_names, living_nodes, local_node_id, media_names
from cluster.life.code_on_disk import require_current
from cluster.life.liveness import HANG_S_DEFAULT, take_part
from cluster.placement.shard_map import ReplicaPlace
from cluster.ray_options import (
    DEFAULT_NAMESPACE,
    ROUTER_METHODS,
    ROUTER_NAME,
    ROUTER_OPTIONS,
    SHARD_METHODS,
    SHARD_OPTIONS,
    api_name_prefix,
    as_actor,
    in_placement_group,
    media_actor_name,
    remove_placement_group,
)
from cluster.router.draining import Node
from cluster.router.lanes import RouterLanes
from cluster.router.level_rise import NOT_SAID
from cluster.router.router import PING_TIMEOUT_S, SUPERVISE_INTERVAL_S, Endpoints, PingAnswer, Presence, Router
from cluster.router.router_figures import figures_of

logger = logging.getLogger("rookery.router")

FLUSH_MS_DEFAULT = 1_000
STOP_TIMEOUT_S = 60.0  # for an actor to end cleanly: a shard folds the rest of its journal into its checkpoint

ShardFactory = Callable[[int, int, dict[str, Any]], tuple[type, dict[str, Any]]]


def import_factory(path: str) -> ShardFactory:
    """Return the function that "module:function" names. Raises ValueError, ImportError or AttributeError."""
    module, separator, function = path.partition(":")
    if not separator:
        raise ValueError(f"shard_factory is {path!r}; it must look like 'module:function'")
    factory: ShardFactory = getattr(importlib.import_module(module), function)
    return factory


class RayReplicaActors:
    """ReplicaActors by means of Ray."""

    def __init__(
        self, namespace: str, factory: ShardFactory, settings: dict[str, Any], replica_count: int, lanes: RouterLanes
    ) -> None:
        self.ask = lanes.ask
        self._replica_count = replica_count
        self._placing = asyncio.Lock()  # two replicas of a shard must not both make its group
        self._namespace = namespace
        self._factory = factory
        self._settings = settings
        self._handles: dict[str, Any] = {}  # may outlive the actor

    async def ping(self, actor_name: str) -> PingAnswer:
        """Ask an actor for its endpoints. Cost: one actor call, 1 ms."""
        try:
            if actor_name not in self._handles:
                found = await asyncio.to_thread(ray.get_actor, actor_name, namespace=self._namespace)
                self._handles[actor_name] = found
            handle = self._handles[actor_name]
            async with asyncio.timeout(PING_TIMEOUT_S):
                wire = await handle.ping.remote()
        except (ValueError, ActorDiedError) as error:  # ValueError: nobody has that name
            if actor_name in self._handles:  # the name may belong to a new actor by now: look it up afresh first
                del self._handles[actor_name]
                return PingAnswer(Presence.SILENT)
            logger.info("%s is not there: %s", actor_name, str(error).splitlines()[0])
            return PingAnswer(Presence.GONE)
        except (ActorUnavailableError, TimeoutError):
            return PingAnswer(Presence.SILENT)
        except RayError as error:
            logger.warning("ping of %s failed: %s", actor_name, str(error).splitlines()[0])
            return PingAnswer(Presence.SILENT)
        if wire is None:
            return PingAnswer(Presence.ANSWERS)
        return PingAnswer(
            Presence.ANSWERS, Endpoints.from_wire(wire), int(wire.get("leads", 0)), int(wire.get("epoch", 0)),
            wire.get("moves"), wire.get("search"),
        )  # fmt: skip

    async def create(self, shard: int, index: int, actor_name: str, node_id: str) -> None:
        """Create a shard actor under its name, or find the one that has it. Cost: 5 ms here, 1 s until it answers.

        node_id: where it lives until it or the node ends, "" to leave that to Ray.
        """
        cls, arguments = self._factory(shard, index, self._settings)
        options = {**SHARD_OPTIONS, "scheduling_strategy": "SPREAD"}
        if node_id:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)
        elif self._replica_count > 1:
            async with self._placing:
                options["scheduling_strategy"] = await asyncio.to_thread(
                    in_placement_group, self._namespace, shard, index, self._replica_count
                )
        actor_class = as_actor(cls, actor_name, self._namespace, options, SHARD_METHODS)
        self._handles[actor_name] = await asyncio.to_thread(lambda: actor_class.remote(**arguments))
        logger.info("created %s", actor_name)

    async def nodes(self) -> list[Node]:
        """Return the nodes that live. Raises ConnectionError when Ray's control store is away."""
        try:
            found = await asyncio.to_thread(living_nodes)
        except RayError as error:
            raise ConnectionError(f"nodes can't be looked at: {error}") from error
        return [Node(node["NodeID"], node["NodeManagerAddress"], node["Resources"].get("CPU", 0) > 0) for node in found]

    async def stop(self, actor_name: str) -> None:
        """End a shard actor for good: everything durable and folded into its checkpoint, if it answers."""
        await self._end(actor_name)
        self._handles.pop(actor_name, None)

    async def stop_api_workers(self, node_ids: list[str]) -> int:
        """End the API workers of some nodes for good, once their requests have been answered; then the media actors."""
        prefixes = tuple(map(api_name_prefix, node_ids))
        names = [name for name in await asyncio.to_thread(api_names, self._namespace) if name.startswith(prefixes)]
        await asyncio.gather(*map(self._end, names))
        wanted = set(map(media_actor_name, node_ids))
        media = wanted.intersection(await asyncio.to_thread(media_names, self._namespace))
        await asyncio.gather(*map(self._end, media))
        return len(names)

    async def levels_of_others(self) -> dict[str, int]:
        """Ask API workers and trends for the levels that they know. Cost: one actor call each, all at once."""
        try:
            names = await asyncio.to_thread(api_and_trends_names, self._namespace)
        except RayError as error:
            logger.info("processes can't be looked up: %s", str(error).splitlines()[:1])
            return {"Ray's control store": NOT_SAID}
        return dict(zip(names, await asyncio.gather(*map(self._level_of, names)), strict=True))

    async def _level_of(self, actor_name: str) -> int:
        try:
            handle = await asyncio.to_thread(ray.get_actor, actor_name, namespace=self._namespace)
            async with asyncio.timeout(PING_TIMEOUT_S):
                return int((await handle.ping.remote()).get("level", 0))
        except (ValueError, RayError, TimeoutError):
            return NOT_SAID

    async def retire(self, replicas: list[ReplicaPlace]) -> None:
        """End replicas of shards that were given up, for good, putting what they have stored aside."""
        for replica in replicas:
            await self._end(replica.actor_name, "retire")
            self._handles.pop(replica.actor_name, None)
        for shard in {replica.shard for replica in replicas}:
            await asyncio.to_thread(remove_placement_group, self._namespace, shard)

    async def _end(self, actor_name: str, method: str = "stop") -> None:
        try:
            handle = await asyncio.to_thread(ray.get_actor, actor_name, namespace=self._namespace)
        except ValueError:  # nobody has that name
            return
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await getattr(handle, method).remote()
        except (RayError, TimeoutError) as error:
            logger.warning("%s did not stop by itself: %s", actor_name, str(error).splitlines()[:1])
        await asyncio.to_thread(ray.kill, handle, no_restart=True)
        logger.info("ended %s", actor_name)


class RouterActor:
    """See the module header. All arguments must be picklable; Ray keeps them for restarts."""

    def __init__(
        self,
        data_dir: str,
        cluster: str,
        shard_count: int,
        shard_factory: str,
        shard_settings: dict[str, Any],
        namespace: str = DEFAULT_NAMESPACE,
        replica_count: int = 1,
        copies: int = 1,
    ) -> None:
        require_current()
        hang_ms = shard_settings.get("cluster", {}).get("hang_ms", HANG_S_DEFAULT * 1000)
        self._heartbeat = take_part(ROUTER_NAME, namespace, hang_ms / 1000)
        lanes = RouterLanes(
            lambda: self._router.keys, local_node_id(), lambda replica: self._router.note_lane_lost(replica)
        )
        actors = RayReplicaActors(namespace, import_factory(shard_factory), shard_settings, replica_count, lanes)
        portable = shard_settings.get("storage", {}).get("backend") == "redis"
        # A local Ray is one node: its lanes are Unix sockets.
        tls = bool(shard_settings.get("cluster", {}).get("ray_address")) and shard_settings.get("lane", {}).get(
            "tls", True
        )
        self._router = Router(Path(data_dir), cluster, shard_count, actors, replica_count, copies, portable, tls)
        self._process = ProcessFigures(ROUTER_NAME, self._heartbeat.late_seconds)
        self._exporting = asyncio.get_running_loop().create_task(self._export(shard_settings.get("metrics", {})))
        self._supervision = asyncio.get_running_loop().create_task(self._supervise_for_ever())
        self._heartbeat.start()

    async def _supervise_for_ever(self) -> None:
        while True:
            await self._router.supervise_once(time.monotonic())
            await asyncio.sleep(SUPERVISE_INTERVAL_S)

    async def _export(self, settings: dict[str, Any]) -> None:
        """Hand the figures to Ray's metrics every so often."""
        if not settings.get("ray_export", True):
            return
        held: dict[str, Any] = {}
        exporters = [
            RayExporter(ROUTER_FIGURES, held.get, ()), RayExporter(PROCESS_FIGURES, self._process.get, (ROUTER_NAME,)),
        ]  # fmt: skip

        def measure() -> None:
            held.update(figures_of(self._router, time.monotonic()))
            self._process.measure()

        await export_for_ever(exporters, measure, settings.get("flush_ms", FLUSH_MS_DEFAULT) / 1000)

    async def figures(self) -> dict[str, Any]:
        """Return the id of the router's node, and what it and its process have counted."""
        held = figures_of(self._router, time.monotonic())
        own = Told("router", (), snapshot(ROUTER_FIGURES, held.get))
        return {"node": local_node_id(), "told": [own, self._process.told()]}

    async def join(self) -> dict[str, Any]:
        """Return what a process needs to take part: {"cluster_id", "lane": keys in wire form, "map": wire}.

        Version 1 of the lane was handed a "secret". An old process mustn't get it: it would answer whoever listens.
        """
        router = self._router
        return {"cluster_id": router.cluster_id, "lane": router.keys.to_wire(), "map": router.shard_map.to_wire()}

    async def get_map(self, since_epoch: int = 0) -> list[Any] | None:
        """Return the map in wire form if it is newer than since_epoch, else None."""
        shard_map = self._router.get_map(since_epoch)
        return None if shard_map is None else shard_map.to_wire()

    async def register_replica(self, shard: int, index: int, endpoints: dict[str, Any]) -> list[Any]:
        """Note where a replica's lane listens; return the current map in wire form."""
        return self._router.register_replica(shard, index, Endpoints.from_wire(endpoints), time.monotonic()).to_wire()

    async def change_in_sync(self, shard: int, term: int, members: list[list[Any]]) -> bool:
        """Persist the in-sync set that a leader asks for, [[index, store_id], ...]; False: it leads no more."""
        return self._router.change_in_sync(shard, term, [Member(int(i), str(store_id)) for i, store_id in members])

    async def ready(self) -> bool:
        """Whether every bucket has a live primary that answered lately."""
        return self._router.ready(time.monotonic())

    async def readiness(self) -> dict[str, Any]:
        """Return what `/readyz` judges by; see Router.readiness."""
        return self._router.readiness(time.monotonic())

    async def status(self) -> dict[str, Any]:
        """Return the router's pid, the map's epoch and each replica's state; see Router.status."""
        return {**self._router.status(time.monotonic()), "pid": os.getpid(), "hangs": self._heartbeat.hangs}

    async def hand_over(self, shard: int) -> int:
        """Give a shard another leader, in sync and not on a drained node; returns its index.

        Raises ConflictError if nobody can lead, OverloadedError if it came to nothing.
        """
        draining = self._router.draining
        successor = draining.successor(shard, await draining.drained_ids())
        if successor is None:
            raise ConflictError(f"shard {shard} has no follower that is in sync and may lead")
        await self._router.elections.hand_over(shard, successor.index)
        return successor.index

    async def rebalance(self, shard_count: int, buckets_at_once: int) -> None:
        """Begin to spread the buckets evenly over that many shards. Raises InvalidError, ConflictError."""
        self._router.rebalancer.begin(shard_count, buckets_at_once)

    async def cancel_rebalance(self) -> None:
        """Stop after the move that is under way."""
        self._router.rebalancer.cancel()

    async def rebalance_status(self) -> dict[str, Any] | None:
        """Return the progress of the last rebalance, None if there was none; see Progress."""
        return self._router.rebalancer.status()

    async def drain(self, node: str) -> list[str]:
        """Begin to take what lives on a node away from there; returns the ids of all drained nodes that live.

        node: its address or its id. Raises InvalidError or ConflictError, see Draining.drain.
        """
        return [drained.node_id for drained in await self._router.draining.drain(node)]

    async def undo_drain(self, node: str) -> list[str]:
        """Let a node take part again; returns as `drain`. Raises InvalidError if it isn't drained."""
        return [drained.node_id for drained in await self._router.draining.undo(node)]

    async def drained_nodes(self) -> list[str]:
        """Return the ids of the drained nodes that live: nothing is to be started there."""
        return await self._router.draining.drained_ids()

    async def check(self) -> list[str]:
        """Return what is wrong with the map in memory and on disk; [] when nothing is."""
        return self._router.check()

    async def stop_supervision(self) -> None:
        """Leave dead actors dead, and elect nobody, from now on; the first step of stopping a cluster."""
        self._supervision.cancel()
        self._exporting.cancel()
        self._router.elections.stop()


def start_router(
    data_dir: str,
    cluster: str,
    shard_count: int,
    shard_factory: str,
    shard_settings: dict[str, Any],
    namespace: str = DEFAULT_NAMESPACE,
    replica_count: int = 1,
    copies: int = 1,
) -> Any:
    """Create the router actor, or return the handle of the one that runs; it creates the shards by itself."""
    actor_class = as_actor(RouterActor, ROUTER_NAME, namespace, ROUTER_OPTIONS, ROUTER_METHODS)
    return actor_class.remote(
        data_dir, cluster, shard_count, shard_factory, shard_settings, namespace, replica_count, copies
    )
