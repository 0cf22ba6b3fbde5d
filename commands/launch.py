"""Starting, finding and stopping a cluster: what `run_cluster.py serve`, `status` and `stop` do.

Rules of this file
- Starting is idempotent: named actors that run already are found, not doubled. Stopping goes from the outside in (API,
  router's supervision, shards), so that nothing acknowledged is cut off and everything is folded into the checkpoints.
- `cluster.json` in the data folder tells other processes of this machine where the cluster is. It holds no secret.
- `status`, `stop` and the like import this file, too. What only a start needs (the web framework, the kernels, the
  databases' drivers) is imported there: 1 s of the processor each time, of 2.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import ray
from ray.exceptions import RayError

from actors.core.errors import ConflictError, OverloadedError
from actors.shard.places import failure_file
from cluster.client.connect import api_names, dispatch_names, local_node_id, media_names, shard_names
from cluster.placement.shard_map import shard_of_actor
from cluster.ray_options import ROUTER_NAME, TRENDS_NAME, remove_placement_group, shard_actor_name
from cluster.router.files import load_state
from configs.sections import NODE_ADDRESS
from configs.settings import Settings
from persistence.private import make_private

if TYPE_CHECKING:
    from commands.api_workers import ApiWorkers

SHARD_FACTORY = "actors.shard_actor:make_shard"
READY_POLL_S = 0.1  # between looks at the router and at what failed shards have left word of
KILLED_PATIENCE_S = 6.0  # processes of a cluster whose `serve` was killed are gone by then
FAILURE_PATIENCE_S = 6.0  # Ray and the router try a shard again within this time
STOP_TIMEOUT_S = 120.0  # folding the last journal records into the checkpoint
API_SHARE = 0.4  # of a stop's patience, for the API workers to answer what they have begun
EVERYWHERE = ("0.0.0.0", "::")  # all interfaces
INFO_FILE, LOCK_FILE = "cluster.json", "serve.lock"


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """Where a cluster runs: what its data folder says to other processes."""

    pid: int
    ray_address: str
    namespace: str
    url: str
    dashboard_url: str
    shards: int
    timeline_length: int
    auth_mode: str
    storage_backend: str = "duckdb"
    redis_url: str = ""  # only if it holds no password
    media_store_url: str = ""
    media_folder: str = ""

    def save(self, data_dir: Path) -> None:
        """Write `cluster.json` atomically."""
        temporary = data_dir / f"{INFO_FILE}.new"
        temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        temporary.replace(data_dir / INFO_FILE)

    @classmethod
    def load(cls, data_dir: Path) -> ClusterInfo | None:
        """Read `cluster.json`; None when no cluster has been started there. It stays when the cluster stops.

        Members that only a later version knows are passed over.
        """
        try:
            written = json.loads((data_dir / INFO_FILE).read_text(encoding="utf-8"))
            return cls(**{field.name: written[field.name] for field in fields(cls) if field.name in written})
        except (FileNotFoundError, NotADirectoryError, TypeError, ValueError):  # none, or of another version
            return None


def serving_pid(data_dir: Path) -> int:
    """Return the process that serves a data folder, 0 when nobody does.

    The lock decides, not the number: a process id may belong to somebody else by now.
    """
    try:
        with open(data_dir / LOCK_FILE, "r+", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except BlockingIOError:
        text = (data_dir / LOCK_FILE).read_text(encoding="utf-8").strip()
        return int(text) if text.isdecimal() else 0
    return 0


def require_unserved(data_dir: Path) -> None:
    """Raise ConflictError naming the process that serves a data folder. Nothing is made or changed."""
    if pid := serving_pid(data_dir):
        raise _served(data_dir, pid)


def _served(data_dir: Path, pid: int | str) -> ConflictError:
    return ConflictError(f"{data_dir} is served by process {pid} already; stop it, or give --data")


@contextlib.contextmanager
def serving_lock(data_dir: Path) -> Iterator[bool]:
    """Hold the data folder while serving; gives whether whoever had it before ended without giving it up.

    Raises ConflictError naming the process that has it.
    """
    if still_open := make_private(data_dir):
        logging.getLogger("rookery").warning("%s", still_open)
    with open(data_dir / LOCK_FILE, "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise _served(data_dir, lock.read().strip() or "?") from error
        if not os.fstat(lock.fileno()).st_nlink:  # whoever had it has just taken it away (commands/restore.py)
            raise ConflictError(f"{data_dir} was given up by somebody else at this moment; try again")
        lock.seek(0)
        was_killed = bool(lock.read().strip())
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield was_killed
        lock.truncate(0)


def require_free_port(host: str, port: int, patience_s: float = 0.0, option: str = "--port") -> None:
    """Raise ConflictError if somebody listens there, still after patience_s.

    Workers share the port, so the kernel would not object.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return _try_port(host, port, option)
        except ConflictError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(READY_POLL_S)


def _try_port(host: str, port: int, option: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConflictError(
                f"{host}:{port} can't be used ({error.strerror}); choose another with {option}"
            ) from error


def with_stored_shards(settings: Settings) -> Settings:
    """Return the settings with as many shards as the data folder has, if it has any: `rebalance` changes that.

    Raises RouterStateError if the folder is damaged.
    """
    state = load_state(settings.storage.data_dir)
    if state is None or state[1].shard_count == settings.cluster.shards:
        return settings
    cluster = settings.cluster.model_copy(update={"shards": state[1].shard_count})
    return settings.model_copy(update={"cluster": cluster})


def start_actors(settings: Settings, api_workers: ApiWorkers, timeout_s: float) -> str:
    """Start router, shards and API workers, or find them; returns the API's URL once everything answers.

    Raises OverloadedError that says which shard did not come up, and why if it left word; ConflictError if somebody
    else has the API's port on this node.
    """
    from actors.dispatch_actor import create_dispatch_actors
    from actors.trends_actor import create_trends_actor
    from cluster.router_actor import start_router
    from commands.api_workers import serving_nodes

    c = settings.cluster
    if c.ray_address and not api_names(c.namespace) and local_node_id() in serving_nodes():
        host = settings.server.host
        require_free_port(ray.util.get_node_ip_address() if host == NODE_ADDRESS else host, settings.server.port)
    for shard, index in itertools.product(range(c.shards), range(c.replicas)):
        failure_file(settings.storage.data_dir, shard, index).unlink(missing_ok=True)
    router = start_router(
        str(settings.storage.data_dir),
        c.namespace,
        c.shards,
        SHARD_FACTORY,
        settings.to_dict(),
        c.namespace,
        c.replicas,
        copies_of(settings),
    )
    ray.get(router.ready.remote(), timeout=timeout_s)  # from now on it answers, also which nodes are drained
    api_workers.look()  # their processes load what they need while the shards recover
    _wait_until_ready(router, settings, timeout_s)
    if settings.search.enabled:
        create_trends_actor(settings)
    create_dispatch_actors(settings)
    port, host = api_workers.start(timeout_s), settings.server.host
    if host == NODE_ADDRESS or (c.ray_address and host in EVERYWHERE):  # not an address to dial
        host = ray.util.get_node_ip_address()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def copies_of(settings: Settings) -> int:
    """Return how many replicas must have a write on disk before it is acknowledged."""
    replicas = settings.cluster.replicas
    return {"journal": 1, "replica": min(2, replicas), "majority": replicas // 2 + 1}[settings.durability.ack]


def _wait_until_ready(router: Any, settings: Settings, timeout_s: float) -> None:
    """Wait for every shard, but no longer than FAILURE_PATIENCE_S for one that says why it can't start.

    It may be about to succeed: a process that was killed a moment ago can still hold a file's lock.
    """
    deadline, failed_at = time.monotonic() + timeout_s, float("inf")
    while not ray.get(router.ready.remote(), timeout=timeout_s):
        failed = failures(settings)
        failed_at = min(failed_at, time.monotonic()) if failed else float("inf")
        if time.monotonic() > min(deadline, failed_at + FAILURE_PATIENCE_S):
            missing = ray.get(router.status.remote(), timeout=timeout_s)["missing_shards"]
            raise OverloadedError("\n  ".join([f"shards {missing} can't start", *failed]))
        time.sleep(READY_POLL_S)


def failures(settings: Settings) -> list[str]:
    """Return what shards that could not start have left word of."""
    found = []
    for shard, index in itertools.product(range(settings.cluster.shards), range(settings.cluster.replicas)):
        path = failure_file(settings.storage.data_dir, shard, index)
        if path.exists():
            found.append(f"{shard_actor_name(shard, index)}: {path.read_text(encoding='utf-8').strip()}")
    return found


def stop_actors(namespace: str, patience_s: float = STOP_TIMEOUT_S) -> dict[int, int]:
    """Stop a cluster's actors cleanly. Returns each shard's last position, all of it durable and checkpointed.

    patience_s: for all of them together. Who hasn't stopped by then is ended, and missing in what is returned: its
    journal has everything, and the next start replays it.
    """
    deadline = time.monotonic() + patience_s
    names = [*api_names(namespace), TRENDS_NAME, *dispatch_names(namespace), *media_names(namespace)]
    ended = [handle for name in names if (handle := _find(name, namespace)) is not None]
    router = _find(ROUTER_NAME, namespace)
    positions: dict[int, int] = {}
    shards: set[int] = set()
    try:
        _settle([worker.stop.remote() for worker in ended], min(deadline, time.monotonic() + patience_s * API_SHARE))
        for primaries in _replicas(router, namespace, deadline):
            shards.update(shard for shard, _ in primaries)
            handles = [(shard, handle) for shard, name in primaries if (handle := _find(name, namespace)) is not None]
            ended += [handle for _, handle in handles]
            stopped = _settle([handle.stop.remote() for _, handle in handles], deadline)
            for (shard, _), position in zip(handles, stopped, strict=True):
                if isinstance(position, int):
                    positions[shard] = max(position, positions.get(shard, 0))
        for shard in shards:
            remove_placement_group(namespace, shard)
    finally:
        for handle in [*ended, *([router] if router is not None else [])]:
            ray.kill(handle, no_restart=True)
    return positions


def _replicas(router: Any, namespace: str, deadline: float) -> list[list[tuple[int, str]]]:
    """Return (shard, name) of the primaries, then of the others; a router that hangs can't say which are which.

    Primaries stop first: they give their followers what these lack. From here on the router starts nobody again.
    """
    status: Any = None
    if router is not None:
        status, _ = _settle([router.status.remote(), router.stop_supervision.remote()], deadline)
    if not isinstance(status, dict):
        return [[(shard_of_actor(name), name) for name in shard_names(namespace)]]
    replicas = status["replicas"]
    return [[(r["shard"], r["actor"]) for r in replicas if r["primary"] == primary] for primary in (True, False)]


def _find(name: str, namespace: str) -> Any:
    """Return an actor's handle, None if it is dead: then its journal has everything, and the next start recovers it."""
    try:
        return ray.get_actor(name, namespace=namespace)
    except ValueError:
        return None


def _settle(calls: list[Any], deadline: float) -> list[Any]:
    """Wait for all calls until a time of `time.monotonic`; a call that failed gives its error in place of a result."""
    results: list[Any] = []
    for call in calls:
        try:
            results.append(ray.get(call, timeout=max(deadline - time.monotonic(), 0.0)))
        except RayError as error:
            results.append(error)
    return results


def stop_serving(data_dir: Path) -> int:
    """Tell the process that serves a data folder to stop, and wait until it has. Returns its id, 0 if nobody served.

    Raises OverloadedError if it is still there after STOP_TIMEOUT_S.
    """
    pid = serving_pid(data_dir)
    if not pid:
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while psutil.pid_exists(pid) and serving_pid(data_dir) == pid:
        if time.monotonic() > deadline:
            raise OverloadedError(f"process {pid} is still stopping after {STOP_TIMEOUT_S:.0f} s")
        time.sleep(0.05)
    return pid
