"""An API worker as a Ray actor: the shell that gives `api.worker.ApiWorker` its settings and its way to the shards.

Rules of this file
- No routes and no decisions. The constructor begins to serve, because Ray runs nothing else when it restarts the actor.
- A worker belongs to one node for good: elsewhere it would fight the workers there for their port. When its node is
  lost, Ray can't place it and it is dead; commands/api_workers.py sees to the nodes that live.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import psutil
import ray
import structlog
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.core.errors import OverloadedError
from actors.core.levels import LEVEL
from actors.garbage import collect_seldom
from actors.log_bound import LogBound
from actors.metrics.api_rows import API_FIGURES
from actors.metrics.figure import Told
from actors.metrics.process import ProcessFigures
from actors.metrics.process_rows import PROCESS_FIGURES
from actors.metrics.ray_export import RayExporter, export_for_ever
from actors.node_figures import NodeFigures
from actors.node_media import NodeMedia
from actors.outgoing.keys import outgoing_keys
from api.positions import must_read_fresh, positions_of_request
from cluster.client.cluster_client import CALL_TIMEOUT_S, ClusterClient
from cluster.client.connect import NamedActors, local_node_id, open_client, router_handle
from cluster.client.positions import shared_positions
from cluster.client.shard_owners import OPENED
from cluster.lane.client import Done
from cluster.life.code_on_disk import require_current
from cluster.life.heartbeat import all_hangs
from cluster.life.liveness import take_part
from cluster.ray_options import API_METHODS, API_OPTIONS, TRENDS_NAME, api_actor_name, as_actor, media_actor_name
from configs.checks import is_loopback
from configs.logging import configure_logging
from configs.sections import NODE_ADDRESS
from configs.settings import Settings
from persistence.objects import LocalStore, incoming_folder, object_folder, open_store

if TYPE_CHECKING:
    from api.worker import ApiWorker

RETRY_S = 0.5  # between attempts to start: the router or the port may come a moment later
READY_TIMEOUT_S = 1.5  # for the router; probes seldom wait longer than some seconds
TRENDS_READY_S = 0.4
TRENDS_TIMEOUT_S = 2.0
POSITIONS_FILE = "positions"  # of a node's workers, beside their heartbeats
TELL_S = 5.0  # that a worker which can't serve stays, to say why


def api_settings(settings: Settings) -> dict[str, Any]:
    """Return what `ApiSettings.from_mapping` takes."""
    limits, auth = settings.limits, settings.auth

    def rate(name: str) -> list[float]:
        return [getattr(limits, f"{name}_per_min") / 60, getattr(limits, f"{name}_burst")]

    return {
        "auth_mode": auth.mode,
        "registrations": settings.registrations.mode,
        "tweet_max_chars": settings.tweet.max_chars,
        "body_bytes_max": limits.body_bytes_max,
        "request_timeout_s": settings.server.deadline_ms / 1000,
        "in_flight_count_max": limits.inflight_max,
        "connection_count_max": limits.connections_max,
        "address_connection_count_max": limits.address_connections_max,
        "stream_count_max": limits.streams_max,
        "account_stream_count_max": limits.streams_per_account_max,
        "address_stream_count_max": limits.streams_per_address_max,
        "token_cache_s": auth.token_cache_s,
        "access_log": settings.server.access_log,
        "public_url": settings.server.public_url,
        "media_url": settings.media.public_url or settings.server.address,
        "web_enabled": settings.web.enabled,
        "sends_mail": "mail" in settings.channels,
        "sends_push": "push" in settings.channels,
        "webhooks": settings.outgoing.webhooks,
        "webhook_networks": list(settings.outgoing.allow_networks),
        "wrk2_api": settings.server.wrk2_api,
        "metrics_shared": metrics_are_shared(settings),
        "search_timeout_s": settings.search.timeout_ms / 1000,
        "search_cache_s": settings.search.cache_ms / 1000,
        "search_beside_home_reads": settings.search.beside_home_reads,
        "rate_limits": {
            "enabled": limits.enabled,
            "account_read": rate("account_reads"),
            "account_write": rate("account_writes"),
            "address_read": rate("address_reads"),
            "address_write": rate("address_writes"),
            "account_search": rate("account_search_units"),
            "address_search": rate("address_search_units"),
            "login": rate("address_logins"),
            "register": rate("address_registers"),
            "trusted_proxies": list(settings.server.trusted_proxies),
            "proxy_header": settings.server.proxy_header,
        },
        "media": {
            name: getattr(settings.media, name)
            for name in ("image_bytes_max", "video_bytes_max", "pixels_max", "attachments_max", "uploads_per_hour")
        },
        "instance": {name: getattr(settings.instance, name) for name in type(settings.instance).model_fields},
        "passwords": {
            "time_cost": auth.argon2_time_cost,
            "memory_kib": auth.argon2_memory_kib,
            "parallelism": auth.argon2_parallelism,
        },
    }


def metrics_are_shared(settings: Settings) -> bool:
    """Whether the API's port serves figures, too. They are for operators: by default not where strangers can ask."""
    place = settings.metrics.http
    return place == "shared" or (place == "auto" and is_loopback(settings.server.host))


def metrics_address(settings: Settings, index: int) -> tuple[str, int] | None:
    """Return where worker `index` of this node serves figures, if they have ports of their own.

    Workers don't share it, or a scrape would meet any of them and the others' counters would seem to jump.
    """
    address = settings.metrics.address
    return None if address is None else (node_host(address[0]), address[1] + index)


def node_host(host: str) -> str:
    """Return an address to listen on; NODE_ADDRESS stands for the one by which Ray knows this node."""
    return str(ray.util.get_node_ip_address()) if host == NODE_ADDRESS else host


class ApiCluster:
    """`api.ports.Cluster` over the lane."""

    def __init__(
        self,
        client: ClusterClient,
        namespace: str,
        machine: Path,
        has_trends: bool = True,
        process: ProcessFigures | None = None,
        node: NodeFigures | None = None,
        media: NodeMedia | None = None,
    ) -> None:
        """machine: where the heartbeats of this machine's processes lie; has_trends: somebody is to count them;
        process: what this one measures of itself; node: what others of the node do, None if there is only this one;
        media: None for none."""
        self._process, self._node = process, node
        self.client, self._machine, self._has_trends = client, machine, has_trends
        self.send = client.send  # for home reads that carry no positions
        self.media = media or NodeMedia(LocalStore(machine), machine, self._call_nobody, "", False)
        self.share_places = client.share_places
        self.shard_of = client.shard_of
        self.close = client.close
        self._namespace = namespace
        self._actors = NamedActors(namespace)
        self.outgoing_keys = outgoing_keys(client.keys)

    async def _call_nobody(self, *call: Any) -> Any:
        raise ValueError(call[0])

    @property
    def shard_count(self) -> int:
        """How many shards there are."""
        return self.client.shard_count

    @property
    def level(self) -> int:
        """What is new up to this level may be asked for (actors/core/levels.py)."""
        return self.client.level

    def figures(self) -> dict[str, float]:
        """As in `ports.Cluster`."""
        return {**self.client.figures(), **self.media.figures()}

    async def call(self, bucket: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        """Ask the shard that owns a bucket."""
        seen = positions_of_request.get()
        return await self.client.call(bucket, op, args, timeout_s or CALL_TIMEOUT_S, must_read_fresh(), seen)

    async def settled(self, bucket: int, op: str, args: list[Any], timeout_s: float) -> Any:
        """As in `ports.Cluster`. Whether other shards have said so in time is told to nobody: it is done anyway."""
        _, body = await self.client.settled(bucket, op, args, timeout_s, seen=positions_of_request.get())
        return body

    async def call_shard(self, shard: int, op: str, args: list[Any]) -> Any:
        """Ask one shard by its number."""
        return await self.client.call_shard(shard, op, args, fresh=must_read_fresh(), seen=positions_of_request.get())

    def send_shard(self, shard: int, op: str, args: list[Any], timeout_s: float, done: Done) -> None:
        """Ask one shard by its number, without a task."""
        self.client.send_shard(shard, op, args, timeout_s, done, positions_of_request.get())

    async def trends(self, window: str, lang: str | None, kind: str | None, count: int) -> bytes:
        """Ask the trends actor."""
        try:
            async with asyncio.timeout(TRENDS_TIMEOUT_S):
                found: bytes = await self._actors.call(TRENDS_NAME, "get", window, lang, kind, count)
                return found
        except (RayError, TimeoutError, ValueError) as error:
            raise OverloadedError(f"trends are not there now ({type(error).__name__})", None, 1.0) from error

    def hangs(self) -> dict[str, int]:
        """Return how often processes of this machine were ended for hanging, by actor's name. 0.1 ms."""
        return all_hangs(self._machine)

    async def neighbours(self, led: Mapping[int, Any]) -> list[Told]:
        """As in `ports.Cluster`."""
        own = [] if self._process is None else [self._process.told()]
        return own if self._node is None else [*own, *await self._node.told(led)]

    async def readiness(self) -> dict[str, Any] | None:
        """Return what the router knows of all replicas, and whether trends are counted; None if it doesn't answer."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                router = await asyncio.to_thread(router_handle, self._namespace)
                said: dict[str, Any] = await router.readiness.remote()
        except (RayError, OverloadedError, TimeoutError):
            return None
        return {**said, "trends": await self._counts_trends() if self._has_trends else None}

    async def _counts_trends(self) -> bool:
        try:
            async with asyncio.timeout(TRENDS_READY_S):
                found = await self.trends("1h", None, None, 1)
        except (OverloadedError, TimeoutError):
            return False
        return bool(orjson.loads(found)["shards"]["of"])  # none: it has just begun, and has asked nobody yet


def pushes_to(worker: ApiWorker, drop_token: Callable[[int, bytes | None], None]) -> Callable[[str, Any], None]:
    """Return what hands a worker the news of shards."""

    def on_push(topic: str, value: Any) -> None:
        if topic == "revoked":
            drop_token(value[0], value[1])
        elif topic == "hidden":
            worker.drop_searches()
        elif topic == OPENED:  # what was revoked or hidden while there was no lane, nobody has told us
            worker.drop_tokens()
            worker.drop_searches()
        worker.take_push(topic, value)

    return on_push


class ApiActor:
    """One API worker, serving from its construction on."""

    def __init__(self, name: str, settings: dict[str, Any], index: int = 0) -> None:
        """index: among the workers of its node."""
        from api.worker import ApiWorker  # half a second of the processor, which whoever creates the actor can spare

        require_current()
        self._settings = Settings.from_dict(settings)
        configure_logging(self._settings.log.format, self._settings.log.level, component=name, bound=LogBound())
        self._log = structlog.get_logger()
        cluster, server = self._settings.cluster, self._settings.server
        self._name, self._heartbeat = name, take_part(name, cluster.namespace, cluster.hang_ms / 1000)
        self._process = ProcessFigures(name, self._heartbeat.late_seconds)
        self._index = index
        self._worker = ApiWorker(
            api_settings(self._settings), self._connect, node_host(server.host), server.port, name,
            metrics_address(self._settings, index),
        )  # fmt: skip
        self._exporting: asyncio.Task[None] | None = None
        self._started = asyncio.get_running_loop().create_task(self._start())
        self._started.add_done_callback(self._end_if_failed)
        self._heartbeat.start()

    async def _connect(self, drop_token: Callable[[int, bytes | None], None]) -> ApiCluster:
        cluster = self._settings.cluster
        namespace = cluster.namespace
        path = self._heartbeat.folder / f"{POSITIONS_FILE}-{local_node_id()}"
        positions = shared_positions(path, self._index, cluster.workers)
        client = await open_client(namespace, pushes_to(self._worker, drop_token), positions)
        actors = NamedActors(namespace)
        node = NodeFigures(
            actors.call, local_node_id(), lambda: client.shard_map.replicas, self._name,
            siblings_of(self._name, cluster.workers),
        )  # fmt: skip
        media = node_media(self._settings, actors.call, local_node_id())
        return ApiCluster(
            client, namespace, self._heartbeat.folder, self._settings.search.enabled, self._process, node, media
        )

    async def _start(self) -> int:
        while True:
            try:
                port = await self._worker.start()
                self._exporting = asyncio.get_running_loop().create_task(self._export())
                gc.collect()  # the imports alone make a full collection take 60 ms
                collect_seldom()
                return port
            except OverloadedError as error:
                self._log.warning("the API waits for the cluster", reason=error.message)
                await asyncio.sleep(RETRY_S)

    async def _export(self) -> None:
        """Hand the figures to Ray's metrics every so often."""
        if not self._settings.metrics.ray_export:
            return
        held: dict[str, Any] = {}
        exporters = [
            RayExporter(API_FIGURES, held.get, (self._name,)),
            RayExporter(PROCESS_FIGURES, self._process.get, (self._name,)),
        ]

        def measure() -> None:
            held.update(self._worker.holder())
            self._process.measure()

        await export_for_ever(exporters, measure, self._settings.metrics.flush_ms / 1000)

    def _end_if_failed(self, started: asyncio.Task[int]) -> None:
        """A worker that can't serve ends, once whoever waits for its port has been told why; Ray tries again."""
        if started.cancelled() or started.exception() is None:
            return
        self._log.critical("the API can't be served; this process ends", reason=repr(started.exception()))
        asyncio.get_running_loop().call_later(TELL_S, os._exit, 1)

    async def port(self) -> int:
        """Return the port once connections are accepted. Raises what kept the worker from starting."""
        return await asyncio.shield(self._started)

    async def figures(self) -> list[Told]:
        """Return what this worker and its process have counted, for the sibling that a scrape has met."""
        return [*self._worker.told(), self._process.told()]

    async def ping(self) -> dict[str, Any]:
        """Return the worker's figures."""
        process = psutil.Process()
        return {
            **await self._worker.stats(), "host": self._worker.host, "pid": process.pid, "niceness": process.nice(),
            "node": ray.get_runtime_context().get_node_id(), "rss_bytes": process.memory_info().rss,
            "hangs": self._heartbeat.hangs, "serving": self._started.done() and self._started.exception() is None,
            "level": LEVEL,
        }  # fmt: skip

    async def stop(self) -> None:
        """Let running requests end, and close."""
        self._started.cancel()
        if self._exporting is not None:
            self._exporting.cancel()
        await self._worker.stop()
        self._heartbeat.close()


def node_media(settings: Settings, call: Callable[..., Awaitable[Any]], node_id: str) -> NodeMedia:
    """Return a worker's way to media. call: of `NamedActors`."""
    media, data_dir = settings.media, settings.storage.data_dir
    store = open_store(media.store_url, object_folder(media.folder, data_dir))
    return NodeMedia(store, incoming_folder(data_dir), call, media_actor_name(node_id), media.enabled)


def siblings_of(name: str, count: int) -> list[str]:
    """Return the names of all API workers of the node of one of them. count: of its workers."""
    return [f"{name.rpartition('-')[0]}-{index}" for index in range(count)]


def create_api_actor(node_id: str, index: int, settings: Settings) -> Any:
    """Create (or find) API worker `index` of a node; returns its handle."""
    name = api_actor_name(node_id, index)
    pinned = {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)}
    actor_class = as_actor(ApiActor, name, settings.cluster.namespace, {**API_OPTIONS, **pinned}, API_METHODS)
    return actor_class.remote(name, settings.to_dict(), index)
