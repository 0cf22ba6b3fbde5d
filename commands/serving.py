"""`serve`: a whole cluster's life in one process, from the first lock to the last checkpoint.

Rules of this file
- What signals mean at each moment says signals.py. A stop takes `cluster.stop_ms` at most, and GIVE_UP_S for Ray's end.
- A local Ray lives and dies with this process: if it is killed, Ray's own reaper ends the rest. On a joined Ray
  cluster only our actors are ended, and with `cluster.outlive_serve` not even these. Then a node can be taken away with
  the `serve` on it, and another `serve` finds what runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
from rich.console import Console
from rich.table import Table

from actors.api_actor import metrics_are_shared
from api.http.readiness import START_PATIENCE_S
from cluster.client.connect import open_client
from cluster.life.heartbeat import remove, remove_stale
from cluster.life.liveness import machine_folder
from commands.api_workers import ApiWorkers
from commands.launch import (
    KILLED_PATIENCE_S,
    READY_POLL_S,
    ClusterInfo,
    require_free_port,
    serving_lock,
    start_actors,
    stop_actors,
    with_stored_shards,
)
from commands.loading import BulkLoader
from commands.local_ray import give_up_ray, remove_ray_folder, require_ray_token, start_ray
from commands.observability.served import ServedFiles
from commands.observability.written import FOLDER
from commands.progress import Bars
from commands.ray_token import TOKEN_FILE, write_private
from commands.sample import SAMPLE_READER, load_sample, sample_size
from commands.signals import Signals
from configs.explain import mask_url
from configs.settings import Settings

REPOSITORY = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 300.0  # recovery of a large shard; progress is in the log
SAMPLE_FILE = "sample.json"
READY_PATIENCE_S = START_PATIENCE_S + 30.0  # API workers wait no longer for search either
READY_ANSWER_S = 5.0
GIVE_UP_S = 2.0  # for Ray itself to end, after the actors


def serve(settings: Settings, sample: bool, out: Console, err: Console) -> None:
    """Run a cluster until told to stop, also while it starts. Raises RookeryError, RayError, ConnectionError."""
    signals = Signals(lambda line: err.print(line, style="yellow"))
    signals.install()
    data_dir = settings.storage.data_dir
    with serving_lock(data_dir) as was_killed:
        asked, settings = settings.cluster.shards, with_stored_shards(settings)
        if settings.cluster.shards != asked:
            note = f"{data_dir} has {settings.cluster.shards} shards; `rebalance --shards {asked}` makes them {asked}"
            err.print(note, highlight=False, soft_wrap=True)
        if not settings.cluster.ray_address:  # else the port may be that of workers which run already
            patience_s = KILLED_PATIENCE_S if was_killed else 0.0
            require_free_port(settings.server.host, settings.server.port, patience_s)
            _require_free_metrics(settings, patience_s)
        with err.status(f"asking {settings.storage.backend} what it keeps"):
            warning = _storage_warning(settings)
        if warning:
            err.print(f"warning: {warning}", style="yellow", highlight=False)
        try:
            _serve(settings, sample, signals, out, err)
        except (KeyboardInterrupt, SystemExit):  # SystemExit: SIGTERM while Ray's own handler was in place
            err.print("interrupted; what was acknowledged is in the journals", style="yellow")


def _storage_warning(settings: Settings) -> str:
    if settings.storage.backend != "redis":
        return ""
    from actors.shard.redis_storage import storage_warning  # and kernels, which are nothing to `serve`

    return storage_warning(settings)


def _serve(settings: Settings, sample: bool, signals: Signals, out: Console, err: Console) -> None:
    data_dir, c = settings.storage.data_dir, settings.cluster
    started, api_workers, files = False, ApiWorkers(settings), ServedFiles(settings)
    try:
        files.tell_ray()
        with err.status("starting Ray"):
            context = start_ray(settings, {"PYTHONPATH": str(REPOSITORY)})
        signals.install()
        if c.require_ray_token:
            require_ray_token(context.address_info["gcs_address"])
        remove_stale(machine_folder(c.namespace))
        with err.status(f"starting {c.shards} shards, recovering from {data_dir}"):
            url = start_actors(settings, api_workers, START_TIMEOUT_S)
        started = True
        info = _save_info(settings, context, url)
        files.write(urlsplit(url).port or settings.server.port, info.dashboard_url)
        if c.ray_address:
            api_workers.watch(files.look)
        reader = asyncio.run(_sample(settings, err)) if sample else {}
        with err.status("waiting until everything is served"):
            trouble = wait_until_ready(url, READY_PATIENCE_S)
        if trouble:
            err.print(f"warning: {url}/readyz isn't 200 yet: {trouble}", style="yellow", highlight=False)
        _welcome(info, settings, reader, out)
        signals.wait()
    finally:
        if signals.told:
            give_up = (lambda: None) if c.ray_address else partial(give_up_ray, data_dir)
            signals.stop_within(c.stop_ms / 1000 + GIVE_UP_S, give_up)
        _stop(settings, api_workers, started, err)


def wait_until_ready(url: str, patience_s: float) -> str:
    """Return "" once `/readyz` answers 200; after so long, what it said last: the rest is served all the same."""
    deadline, said = time.monotonic() + patience_s, ""
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # whatever the environment says of proxies
    while True:
        try:
            with ask(f"{url}/readyz", timeout=READY_ANSWER_S) as answer:
                answer.read()
                return ""
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
        except OSError as error:
            said = str(error)
        if time.monotonic() >= deadline:
            return said
        time.sleep(READY_POLL_S)


def _stop(settings: Settings, api_workers: ApiWorkers, started: bool, err: Console) -> None:
    """Take down what was started. started: whether all actors have come up, and can be asked to stop."""
    c = settings.cluster
    machine = machine_folder(c.namespace) if ray.is_initialized() else None
    api_workers.end()
    # A local Ray ends with its actors, and those that recover can't be asked: they would be waited for in vain.
    if ray.is_initialized() and (started or c.ray_address) and not (started and c.outlive_serve):
        with err.status("stopping: finishing requests, folding the journal into the checkpoint"):
            positions = stop_actors(c.namespace, c.stop_ms / 1000)
        err.print(f"stopped; shards at positions {positions}", highlight=False)
    ray.shutdown()
    if machine is not None and not c.ray_address:
        remove(machine)
        remove_ray_folder(settings.storage.data_dir)


def _save_info(settings: Settings, context: Any, url: str) -> ClusterInfo:
    dashboard = f"http://{context.dashboard_url}" if context.dashboard_url else ""
    storage = settings.storage
    open_url = storage.redis_url if mask_url(storage.redis_url) == storage.redis_url else ""
    info = ClusterInfo(
        os.getpid(), context.address_info["address"], settings.cluster.namespace, url, dashboard,
        settings.cluster.shards, settings.timeline.length, settings.auth.mode, storage.backend,
        open_url if storage.backend == "redis" else "", settings.media.store_url, settings.media.folder,
    )  # fmt: skip
    info.save(settings.storage.data_dir)
    return info


async def _sample(settings: Settings, err: Console) -> dict[str, str]:
    """Load the sample into an empty cluster, or finish loading it; returns its reader, {} if there is no sample."""
    path = settings.storage.data_dir / SAMPLE_FILE
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if known.get("complete"):
        return {name: known[name] for name in ("user_id", "token")}
    from api.access.auth import make_token
    from api.text.entities import find_entities, pack_entities

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


def _require_free_metrics(settings: Settings, patience_s: float) -> None:
    """Raise ConflictError if figures can't be served where they are to be."""
    for index in range(settings.cluster.workers):
        if (address := settings.metrics.address) is not None:
            require_free_port(address[0], address[1] + index, patience_s, "--set metrics.http=HOST:PORT")


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
    if settings.web.enabled:
        table.add_row("web", info.url)
        if reader:
            table.add_row("", f"{info.url}/signed-in#token={reader['token']}")
            table.add_row("", "looks around as the sample's ada (keep the link to yourself)")
    table.add_row("API", info.url)
    table.add_row("docs", f"{info.url}/docs")
    table.add_row("metrics", _metrics_place(settings, info.url))
    table.add_row("dashboards", f"{data_dir / FOLDER}: for Grafana and Prometheus")
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
