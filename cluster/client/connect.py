"""How a process joins a running cluster: find Ray, find the router, get the map and the secret.

Rules of this file
- Handles are looked up by name and again when they fail: a router that was created afresh has another identity.
- Blocking Ray calls run in a thread when called from a coroutine.
"""

from __future__ import annotations

import asyncio
import atexit
import os
from typing import Any

import ray
from ray.exceptions import ActorDiedError

from actors.core.errors import OverloadedError
from cluster.client.cluster_client import ClusterClient
from cluster.client.map_cache import FetchMap
from cluster.client.positions import WritePositions
from cluster.client.retried_calls import ActorCall
from cluster.lane.client import PushCallback
from cluster.lane.handshake import LaneKeys
from cluster.lane.protocol import REPLY_ERROR, error_from_reply
from cluster.placement.shard_map import ShardMap
from cluster.ray_options import (
    API_PREFIX,
    DEFAULT_NAMESPACE,
    DISPATCH_PREFIX,
    MEDIA_PREFIX,
    ROUTER_NAME,
    SHARD_PREFIX,
    TRENDS_NAME,
)

JOIN_TIMEOUT_S = 30.0  # a router that restarts is back within seconds
JOIN_FIRST_S = 1.0  # for one that is there; then shards are asked, which know what it says


def keep_ray_on_loopback() -> None:
    """Let a Ray of one machine, and whoever joins it, use 127.0.0.1 alone. Call before ray.init.

    Ray listens on all interfaces and names its node by an outer address, on macOS and Windows excepted; this is the
    switch that it has for those two (ray_constants.ENABLE_RAY_CLUSTER, read at import, so both are set).
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False


def keep_to_loopback_of(address: str) -> None:
    """Use 127.0.0.1 if the Ray cluster to join is there; Ray would put an outer address in its place."""
    if address.startswith("127.0.0.1:"):
        keep_ray_on_loopback()


def connect(address: str | None = None, namespace: str = DEFAULT_NAMESPACE) -> None:
    """Join a running Ray cluster ("auto" finds one on this machine); nothing happens if this process has joined one.

    Raises ConnectionError when there is none.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    keep_to_loopback_of(address or "")
    # Whoever joins prints data on stdout, and Ray would put "a node was lost" between it, also without log_to_driver.
    ray._private.worker._worker_logs_enabled = False
    ray.init(address=address or "auto", namespace=namespace, log_to_driver=False)
    atexit.register(ray.shutdown)  # before Ray's own, which sleeps 0.5 s so that such lines are printed


def local_node_id() -> str:
    """Return Ray's id of the node this process runs on."""
    node_id: str = ray.get_runtime_context().get_node_id()
    return node_id


def living_nodes() -> list[dict[str, Any]]:
    """Return Ray's description of each node that lives. Blocks. Raises RayError when the control store is away."""
    return [node for node in ray.nodes() if node["Alive"]]


def api_names(namespace: str) -> list[str]:
    """Return the names of the API workers of all nodes, ascending."""
    return _names(namespace, API_PREFIX)


def api_and_trends_names(namespace: str) -> list[str]:
    """Return the names of what isn't in the shard map but takes part: API workers, trends, dispatchers, media."""
    return [
        *api_names(namespace), *_names(namespace, TRENDS_NAME), *dispatch_names(namespace), *media_names(namespace),
    ]  # fmt: skip


def dispatch_names(namespace: str) -> list[str]:
    """Return the names of the dispatchers, ascending."""
    return _names(namespace, DISPATCH_PREFIX)


def media_names(namespace: str) -> list[str]:
    """Return the names of the media actors of all nodes, ascending."""
    return _names(namespace, MEDIA_PREFIX)


def shard_names(namespace: str) -> list[str]:
    """Return the names of all shards' replicas, ascending."""
    return _names(namespace, SHARD_PREFIX)


def _names(namespace: str, prefix: str) -> list[str]:
    names = (item["name"] for item in ray.util.list_named_actors(all_namespaces=True) if item["namespace"] == namespace)
    return sorted(name for name in names if name.startswith(prefix))


def router_handle(namespace: str = DEFAULT_NAMESPACE) -> Any:
    """Return the router actor's handle. Raises OverloadedError when no Rookery cluster runs in the namespace."""
    try:
        return ray.get_actor(ROUTER_NAME, namespace=namespace)
    except ValueError as error:
        raise OverloadedError(f"no Rookery cluster runs in Ray namespace {namespace!r}", None, 1.0) from error


class NamedActors:
    """Actor handles by name, looked up once and again after a death."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._handles: dict[str, Any] = {}

    async def call(self, actor_name: str, method: str, *args: Any) -> Any:
        """Call an actor's method. Raises what Ray raises; ValueError when nobody has the name."""
        handle = self._handles.get(actor_name)
        if handle is None:
            handle = await asyncio.to_thread(ray.get_actor, actor_name, namespace=self._namespace)
            self._handles[actor_name] = handle
        try:
            return await getattr(handle, method).remote(*args)
        except ActorDiedError:
            self._handles.pop(actor_name, None)
            raise


def make_fetch_map(actors: NamedActors, first: Any) -> FetchMap:
    """Return ClusterClient's way to the router's map. first: a map in wire form, to begin with."""
    known = [first]

    async def fetch_map() -> Any:
        if known:
            return known.pop()
        return await actors.call(ROUTER_NAME, "get_map")

    return fetch_map


def make_actor_call(actors: NamedActors) -> ActorCall:
    """Return ClusterClient's way round a broken lane: the shard actor's `lane_call`."""

    async def actor_call(actor_name: str, op: str, args: list[Any]) -> Any:
        kind, body = await actors.call(actor_name, "lane_call", op, args)
        if kind == REPLY_ERROR:
            raise error_from_reply(body)
        return body

    return actor_call


async def _join(actors: NamedActors, namespace: str) -> dict[str, Any]:
    """Return what the router tells those who join, from whoever knows it."""
    error: Exception | None = None
    for whom, timeout_s in (("router", JOIN_FIRST_S), ("shards", JOIN_FIRST_S), ("router", JOIN_TIMEOUT_S)):
        for name in [ROUTER_NAME] if whom == "router" else await asyncio.to_thread(shard_names, namespace):
            try:
                async with asyncio.timeout(timeout_s):
                    joined: dict[str, Any] | None = await actors.call(name, "join")
            except (ray.exceptions.RayError, TimeoutError, ValueError, AttributeError) as failure:  # an older shard
                error = failure
                continue
            if joined is not None:
                return joined
    raise OverloadedError(f"the router does not answer: {type(error).__name__}", None, 1.0) from error


async def open_client(
    namespace: str = DEFAULT_NAMESPACE, on_push: PushCallback | None = None, positions: WritePositions | None = None
) -> ClusterClient:
    """Return an open ClusterClient; the keys and the map come from the router through Ray.

    While the router is away a shard hands them out. Call connect() (or be a Ray actor) first. Raises OverloadedError
    when there is no router, or neither it nor a shard answers; ConflictError if it speaks another version of the lane,
    or the cluster's level is above what this code knows.
    """
    await asyncio.to_thread(router_handle, namespace)  # says clearly when there is no cluster
    actors = NamedActors(namespace)
    joined = await _join(actors, namespace)
    ShardMap.from_wire(joined["map"])  # says clearly when this code is too old for the cluster
    fetch_map, actor_call = make_fetch_map(actors, joined["map"]), make_actor_call(actors)
    client = ClusterClient(
        fetch_map, LaneKeys.from_join(joined), local_node_id(), actor_call, on_push, positions=positions
    )
    await client.open()
    return client
