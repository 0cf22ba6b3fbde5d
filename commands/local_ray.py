"""The Ray that `serve` starts for itself, or joins.

Rules of this file
- A Ray of our own listens on loopback alone, keeps its session in a folder of our user alone, and is asked once without
  its token: what answers then would run code for every user of the machine, so `serve` doesn't go on.
- What it leaves behind is removed: at a clean stop at once, after a kill by the next start.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import ray

from actors.core.errors import ConflictError
from cluster.client.connect import keep_ray_on_loopback, keep_to_loopback_of
from cluster.life import spare_workers
from commands.launch import require_free_port
from commands.ray_token import write_private
from configs.settings import Settings
from persistence.private import OTHERS

OBJECT_STORE_BYTES = 128 * 1024 * 1024  # Rookery passes messages, not objects; Ray's default takes 30% of the memory
DASHBOARD_ATTEMPT_COUNT = 3  # clusters that start at once may find the same port free
SLOW_ATTEMPT_COUNT = 1  # more, where Ray has given itself up after its 30 s: the machine does something else
TOO_SLOW = "timed out during startup"
DASHBOARD_PORT_COUNT = 64  # clusters side by side on one machine
ASK_S = 10.0  # for Ray's answer to one question
RAY_FOLDER_FILE, RAY_FOLDER_PREFIX = "ray.folder", "rookery-"


def first_free_port(host: str, port: int) -> int:
    """Return the first port from `port` on that is free: several clusters on a machine each have a dashboard."""
    for candidate in range(port, port + DASHBOARD_PORT_COUNT):
        try:
            require_free_port(host, candidate)
        except ConflictError:
            continue
        return candidate
    raise ConflictError(f"no port of {port} to {candidate} is free for the dashboard; set cluster.dashboard_port")


def make_ray_folder(data_dir: Path) -> Path:
    """Make the folder of a local Ray's session, for our user alone; the one that a killed `serve` has left is removed.

    Ray makes its own folder, below this one, writable for everybody: who may rename a socket in there gets whatever a
    process sends to it, Ray's token first. Not in the data folder, as the path of a socket has 107 bytes at most.
    """
    remove_ray_folder(data_dir)
    parent = "/tmp" if os.path.isdir("/tmp") else None  # on macOS the other one is too long
    folder = tempfile.mkdtemp(prefix=RAY_FOLDER_PREFIX, dir=parent)
    write_private(data_dir / RAY_FOLDER_FILE, folder)
    return Path(folder)


def remove_ray_folder(data_dir: Path) -> None:
    """Remove the session's folder that the data folder names, if it is one of ours."""
    note = data_dir / RAY_FOLDER_FILE
    with contextlib.suppress(FileNotFoundError):
        folder = Path(note.read_text(encoding="utf-8").strip())
        if folder.exists():
            found = folder.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & OTHERS
            if ours and folder.name.startswith(RAY_FOLDER_PREFIX):
                shutil.rmtree(folder, ignore_errors=True)  # an agent of Ray may still write; the next start tries again
        if not folder.exists():
            note.unlink()


def give_up_ray(data_dir: Path) -> None:
    """Kill what this process has started, and remove the session's folder: for when Ray doesn't end in time."""
    kill_all(_children())
    remove_ray_folder(data_dir)


def kill_all(processes: set[psutil.Process]) -> None:
    """Kill processes; those that have ended meanwhile have."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def start_ray(settings: Settings, environment: dict[str, str]) -> Any:
    """Start a local Ray, or join the one that `cluster.ray_address` names. Returns Ray's context.

    environment: what workers need; on a joined cluster whose nodes have the code already, they have that too, and
    workers without a runtime environment of their own start sooner and can have spares.
    """
    c = settings.cluster
    if c.ray_address:
        keep_to_loopback_of(c.ray_address)
        worker = {"env_vars": environment} if environment and not c.code_on_nodes else None
        return ray.init(
            address=c.ray_address, namespace=c.namespace, runtime_env=worker, log_to_driver=True,
            _node_ip_address=c.ray_node_ip or None,
        )  # fmt: skip
    keep_ray_on_loopback()
    # The workers inherit what they need. A runtime environment would start each by way of Ray's agent and of a process
    # that only imports Ray and starts the next one, 0.8 s in all, and no worker that is idle already would fit it.
    folders = [environment.get("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")]
    os.environ |= {**environment, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
    spare_workers.arrange(settings.storage.data_dir)
    # Ray gives its workers niceness 15, so that a desktop stays smooth under batch jobs; ours answer requests.
    os.environ.setdefault("RAY_worker_niceness", "0")
    folder = make_ray_folder(settings.storage.data_dir)
    before, slow_count = _children(), 0
    for _ in range(DASHBOARD_ATTEMPT_COUNT):
        port = first_free_port(c.dashboard_host, c.dashboard_port) if c.dashboard else c.dashboard_port
        try:
            without = contextlib.nullcontext() if c.dashboard else _without_api_server()
            with _own_process_groups(), _without_autoscaler(), _complete(), without:
                return ray.init(
                    address="local", namespace=c.namespace, num_cpus=c.ray_num_cpus or None, log_to_driver=True,
                    include_dashboard=c.dashboard, dashboard_host=c.dashboard_host, dashboard_port=port,
                    object_store_memory=OBJECT_STORE_BYTES, _temp_dir=str(folder / "ray"),
                )  # fmt: skip
        except Exception as error:  # noqa: BLE001  Ray raises bare Exceptions, also when another cluster took the port
            reason = error
            ray.shutdown()
            kill_all(_children() - before)  # what Ray has started knows nobody who would end it
            slow_count += TOO_SLOW in str(error)
            if slow_count > SLOW_ATTEMPT_COUNT or not (TOO_SLOW in str(error) or "dashboard" in str(error).lower()):
                break
    raise ConnectionError(f"Ray did not start: {str(reason).strip()[-1000:]}") from reason


def _children() -> set[psutil.Process]:
    """Return the processes that descend from this one."""
    return set(psutil.Process().children(recursive=True))


def require_ray_token(address: str) -> None:
    """Ask Ray's control store something without a token; raises ConflictError if it answers.

    Whoever may talk to it can run code as the user that the cluster runs as. Cost: one call, 2 ms.
    """
    import grpc
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
        try:
            stub.GetAllNodeInfo(gcs_service_pb2.GetAllNodeInfoRequest(), timeout=ASK_S)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return
            raise ConnectionError(
                f"Ray at {address} can't be asked whether it wants a token: {error.code()}"
            ) from error
    raise ConflictError(
        f"Ray at {address} answers without a token, so whoever reaches it can run code as you: start it with"
        f" RAY_AUTH_MODE=token (here it is {os.environ.get('RAY_AUTH_MODE') or 'not set'!r}), or set"
        " cluster.require_ray_token=false if nobody else can reach it"
    )


@contextlib.contextmanager
def _own_process_groups() -> Iterator[None]:
    """Give Ray's processes groups of their own (Linux).

    What is sent to our group (by `timeout`, by process managers) is meant for `serve`, which ends Ray's in order; a
    control store that is gone already lets nothing end in order. Elsewhere Ray's reaper needs them in one group.
    """
    services = ray._private.services
    popen = services.ConsolePopen
    if sys.platform == "linux":
        services.ConsolePopen = functools.partial(popen, process_group=0)
    try:
        yield
    finally:
        services.ConsolePopen = popen


@contextlib.contextmanager
def _without_autoscaler() -> Iterator[None]:
    """Have Ray start no monitor, the process that adds nodes where it may: a local Ray is one node for good.

    `ray start` has an option for that, `ray.init` none. 0.7 s of the processor at a start, and 100 MB.
    """
    parameter = ray._private.parameter
    made = parameter.RayParams
    parameter.RayParams = functools.partial(made, no_monitor=True)
    try:
        yield
    finally:
        parameter.RayParams = made


@contextlib.contextmanager
def _complete() -> Iterator[None]:
    """Spare Ray the import of all that its agent needs, by which it finds out whether that is installed: it is.

    0.3 s of the processor.
    """
    utils = ray._private.utils
    asked = utils.get_dashboard_dependency_error
    utils.get_dashboard_dependency_error = lambda: None
    try:
        yield
    finally:
        utils.get_dashboard_dependency_error = asked


@contextlib.contextmanager
def _without_api_server() -> Iterator[None]:
    """Have Ray start none where the dashboard is off: it would start one that only counts usage, and wait for it.

    1 s of the processor, and of the start.
    """
    services = ray._private.services
    started = services.start_api_server
    services.start_api_server = lambda *_, **__: ("", None)
    try:
        yield
    finally:
        services.start_api_server = started
