"""An API worker as a Ray actor: the shell that gives `api.worker.ApiWorker` its settings and its way to the shards.

Rules of this file
- No routes and no decisions. The constructor begins to serve, because Ray runs nothing else when it restarts the actor.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable
from typing import Any

import structlog
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.core.errors import OverloadedError
from api.positions import positions_of_request
from api.worker import ApiWorker
from cluster.client import CALL_TIMEOUT_S, ClusterClient
from cluster.connect import open_client, router_handle
from cluster.ray_options import API_METHODS, API_OPTIONS, api_actor_name, as_actor
from configs.logging import configure_logging
from configs.settings import Settings

RETRY_S = 0.5  # between attempts to start: the router or the port may come a moment later
READY_TIMEOUT_S = 5.0


def api_settings(settings: Settings) -> dict[str, Any]:
    """Return what `ApiSettings.from_mapping` takes."""
    limits, auth = settings.limits, settings.auth

    def rate(name: str) -> list[float]:
        return [getattr(limits, f"{name}_per_min") / 60, getattr(limits, f"{name}_burst")]

    return {
        "auth_mode": auth.mode,
        "tweet_max_chars": settings.tweet.max_chars,
        "body_bytes_max": limits.body_bytes_max,
        "request_timeout_s": settings.server.deadline_ms / 1000,
        "in_flight_count_max": limits.inflight_max,
        "token_cache_s": auth.token_cache_s,
        "access_log": settings.server.access_log,
        "wrk2_api": settings.server.wrk2_api,
        "rate_limits": {
            "enabled": limits.enabled,
            "account_read": rate("account_reads"),
            "account_write": rate("account_writes"),
            "address_read": rate("address_reads"),
            "address_write": rate("address_writes"),
            "login": rate("address_logins"),
            "register": rate("address_registers"),
            "trusted_proxies": list(settings.server.trusted_proxies),
        },
        "passwords": {
            "time_cost": auth.argon2_time_cost,
            "memory_kib": auth.argon2_memory_kib,
            "parallelism": auth.argon2_parallelism,
        },
    }


class ApiCluster:
    """`api.ports.Cluster` over the lane."""

    def __init__(self, client: ClusterClient, namespace: str) -> None:
        self.client = client
        self.send = client.send  # for home reads that carry no positions
        self.figures = client.figures
        self.shard_of = client.shard_of
        self.close = client.close
        self._namespace = namespace

    @property
    def shard_count(self) -> int:
        """How many shards there are."""
        return self.client.shard_count

    async def call(self, bucket: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        """Ask the shard that owns a bucket."""
        seen = positions_of_request.get()
        return await self.client.call(bucket, op, args, timeout_s or CALL_TIMEOUT_S, seen=seen)

    async def call_shard(self, shard: int, op: str, args: list[Any]) -> Any:
        """Ask one shard by its number."""
        return await self.client.call_shard(shard, op, args, seen=positions_of_request.get())

    async def ready(self) -> bool:
        """Whether every bucket has a live primary, as the router sees it."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                router = await asyncio.to_thread(router_handle, self._namespace)
                return bool(await router.ready.remote())
        except (RayError, OverloadedError, TimeoutError):
            return False


class ApiActor:
    """One API worker, serving from its construction on."""

    def __init__(self, index: int, settings: dict[str, Any]) -> None:
        self._settings = Settings.from_dict(settings)
        configure_logging(self._settings.log.format, self._settings.log.level, component=api_actor_name(index))
        self._log = structlog.get_logger()
        server = self._settings.server
        self._worker = ApiWorker(
            api_settings(self._settings), self._connect, server.host, server.port, api_actor_name(index)
        )
        self._started = asyncio.get_running_loop().create_task(self._start())

    async def _connect(self, drop_token: Callable[[int, bytes], None]) -> ApiCluster:
        def on_push(topic: str, value: Any) -> None:
            if topic == "revoked":
                drop_token(value[0], value[1])

        namespace = self._settings.cluster.namespace
        return ApiCluster(await open_client(namespace, on_push), namespace)

    async def _start(self) -> int:
        while True:
            try:
                port = await self._worker.start()
                gc.collect()
                gc.freeze()  # the imports alone make a full collection take 60 ms, and they live as long as we do
                return port
            except OverloadedError as error:
                self._log.warning("the API waits for the cluster", reason=error.message)
                await asyncio.sleep(RETRY_S)

    async def port(self) -> int:
        """Return the port once connections are accepted. Raises what kept the worker from starting."""
        return await asyncio.shield(self._started)

    async def ping(self) -> dict[str, Any]:
        """Return the worker's figures."""
        return {**await self._worker.stats(), "pid": os.getpid(), "serving": self._started.done()}

    async def stop(self) -> None:
        """Let running requests end, and close."""
        self._started.cancel()
        await self._worker.stop()


def create_api_actor(index: int, settings: Settings, node_id: str) -> Any:
    """Create (or find) API worker `index` on a node; returns its handle."""
    pinned = {"scheduling_strategy": _on_node(node_id)}
    actor_class = as_actor(
        ApiActor, api_actor_name(index), settings.cluster.namespace, {**API_OPTIONS, **pinned}, API_METHODS
    )
    return actor_class.remote(index, settings.to_dict())


def _on_node(node_id: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node_id=node_id, soft=True)
