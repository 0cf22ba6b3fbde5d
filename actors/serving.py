"""`serve`: a whole cluster's life in one process, from the first lock to the last checkpoint.

Rules of this file
- Until everything serves, SIGINT and SIGTERM end the start; what was started is taken down again. Journals make
  that safe at any point.
- While serving, the first signal stops cleanly, the second is answered with "still stopping", the third gives up.
- A local Ray lives and dies with this process: if it is killed, Ray's own reaper ends the rest. On a joined Ray
  cluster only our actors are ended, and with `cluster.outlive_serve` not even these. Then a node can be taken away with
  the `serve` on it, and another `serve` finds what runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from rich.console import Console
from rich.table import Table

from actors.api_actor import metrics_are_shared
from actors.api_workers import ApiWorkers
from actors.launch import (
    ClusterInfo,
    require_free_port,
    serving_lock,
    start_actors,
    start_ray,
    stop_actors,
    with_stored_shards,
)
from actors.progress import Bars
from actors.ray_token import TOKEN_FILE, write_private
from actors.storage import storage_warning
from api.auth import make_token
from api.entities import find_entities, pack_entities
from cluster.connect import open_client
from cluster.loading import BulkLoader
from cluster.sample import SAMPLE_READER, load_sample, sample_size
from configs.explain import mask_url
from configs.settings import Settings

REPOSITORY = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 300.0  # recovery of a large shard; progress is in the log
SAMPLE_FILE = "sample.json"
GIVE_UP_SIGNAL_COUNT = 3


class Signals:
    """What SIGINT and SIGTERM mean at the moment."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = threading.Event()
        self._count = 0
        self.starting = True

    def install(self) -> None:
        """Take over both signals; again after Ray's start, which sets its own handlers."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if (self.starting and self._count == 1) or self._count >= GIVE_UP_SIGNAL_COUNT:
            raise KeyboardInterrupt
        if self._told.is_set():
            self._console.print("still stopping; once more to give up waiting", style="yellow")
        self._told.set()

    def wait(self) -> None:
        """Return when told to stop."""
        self.starting = False
        while not self._told.wait(1.0):
            continue


def serve(settings: Settings, sample: bool, out: Console, err: Console) -> bool:
    """Run a cluster until told to stop; returns whether it came up. Raises RookeryError, RayError, ConnectionError."""
    signals = Signals(err)
    signals.install()
    data_dir = settings.storage.data_dir
    with serving_lock(data_dir):
        asked, settings = settings.cluster.shards, with_stored_shards(settings)
        if settings.cluster.shards != asked:
            note = f"{data_dir} has {settings.cluster.shards} shards; `rebalance --shards {asked}` makes them {asked}"
            err.print(note, highlight=False, soft_wrap=True)
        if not settings.cluster.ray_address:  # else the port may be that of workers which run already
            require_free_port(settings.server.host, settings.server.port)
            _require_free_metrics(settings)
        with err.status(f"asking {settings.storage.backend} what it keeps"):
            warning = storage_warning(settings)
        if warning:
            err.print(f"warning: {warning}", style="yellow", highlight=False)
        try:
            _serve(settings, sample, signals, out, err)
        except (KeyboardInterrupt, SystemExit):  # SystemExit: SIGTERM while Ray's own handler was in place
            err.print("interrupted; what was acknowledged is in the journals", style="yellow")
            return not signals.starting
        return True


def _serve(settings: Settings, sample: bool, signals: Signals, out: Console, err: Console) -> None:
    data_dir, c = settings.storage.data_dir, settings.cluster
    clean, api_workers = c.outlive_serve, ApiWorkers(settings)
    try:
        with err.status("starting Ray"):
            context = start_ray(settings, {"PYTHONPATH": str(REPOSITORY)})
        signals.install()
        with err.status(f"starting {c.shards} shards, recovering from {data_dir}"):
            url = start_actors(settings, api_workers, START_TIMEOUT_S)
        if c.ray_address:
            api_workers.watch()
        info = _save_info(settings, context, url)
        reader = asyncio.run(_sample(settings, err)) if sample else {}
        _welcome(info, settings, reader, out)
        signals.wait()
        api_workers.end()
        if not c.outlive_serve:
            with err.status("stopping: finishing requests, folding the journal into the checkpoint"):
                positions = stop_actors(c.namespace)
            clean = True
            err.print(f"stopped; shards at positions {positions}", highlight=False)
    finally:
        api_workers.end()
        if c.ray_address and not clean and ray.is_initialized():
            stop_actors(c.namespace)
        ray.shutdown()


def _save_info(settings: Settings, context: Any, url: str) -> ClusterInfo:
    dashboard = f"http://{context.dashboard_url}" if context.dashboard_url else ""
    storage = settings.storage
    open_url = storage.redis_url if mask_url(storage.redis_url) == storage.redis_url else ""
    info = ClusterInfo(
        os.getpid(), context.address_info["address"], settings.cluster.namespace, url, dashboard,
        settings.cluster.shards, settings.timeline.length, settings.auth.mode, storage.backend,
        open_url if storage.backend == "redis" else "",
    )  # fmt: skip
    info.save(settings.storage.data_dir)
    return info


async def _sample(settings: Settings, err: Console) -> dict[str, str]:
    """Load the sample into an empty cluster, or finish loading it; returns its reader, {} if there is no sample."""
    path = settings.storage.data_dir / SAMPLE_FILE
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if known.get("complete"):
        return {name: known[name] for name in ("user_id", "token")}
    client = await open_client(settings.cluster.namespace)
    try:
        loader = BulkLoader(client)
        if not known:
            if await loader.total("names"):
                return {}
            token, secret_hash = make_token(SAMPLE_READER)
            known = {"user_id": str(SAMPLE_READER), "token": token, "hash": secret_hash.hex(), "complete": False}
            write_private(path, json.dumps(known))
        with Bars(err) as bars:
            await load_sample(
                loader, bytes.fromhex(known["hash"]), lambda text, ids: pack_entities(find_entities(text), ids),
                bars.start("sample", sample_size()),
            )  # fmt: skip
        known["complete"] = True
        write_private(path, json.dumps(known))
        return {name: known[name] for name in ("user_id", "token")}
    finally:
        client.close()


def _require_free_metrics(settings: Settings) -> None:
    """Raise ConflictError if figures can't be served where they are to be."""
    for index in range(settings.cluster.workers):
        if (address := settings.metrics.address) is not None:
            require_free_port(address[0], address[1] + index, "--set metrics.http=HOST:PORT")


def _metrics_place(settings: Settings, url: str) -> str:
    if metrics_are_shared(settings):
        return f"{url}/metrics"
    if (address := settings.metrics.address) is None:
        return "off (metrics.http)"
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    last = address[1] + settings.cluster.workers - 1
    return f"http://{host}:{address[1]}/metrics" + (f" to :{last}" if last > address[1] else "")


def _welcome(info: ClusterInfo, settings: Settings, reader: dict[str, str], out: Console) -> None:
    data_dir = settings.storage.data_dir
    table = Table.grid(padding=(0, 2))
    table.add_row("API", info.url)
    table.add_row("docs", f"{info.url}/docs")
    table.add_row("metrics", _metrics_place(settings, info.url))
    table.add_row("Ray dashboard", info.dashboard_url or "off")
    token = data_dir.resolve() / TOKEN_FILE
    if info.dashboard_url and os.environ.get("RAY_AUTH_TOKEN_PATH") == str(token):
        table.add_row("", f"it asks for a token: cat {token}")
    table.add_row("data", str(data_dir))
    out.print(table, highlight=False, soft_wrap=True)
    if reader:
        out.print("\nthe home timeline of the sample's ada:", highlight=False)
        where = f"{info.url}/api/v1/home_timeline?user_id={reader['user_id']}"
        out.print(f"curl -H 'Authorization: Bearer {reader['token']}' '{where}'", highlight=False, soft_wrap=True)
    out.print("\nCtrl-C stops.", highlight=False)
    out.file.flush()
