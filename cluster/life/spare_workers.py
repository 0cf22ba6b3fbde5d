"""Spares: idle Ray workers that have already loaded what a shard needs, so that a killed shard is back sooner.

    worker process of a dead shard          Ray's idle workers on that node
                x                           [spare] [spare]
    Ray restarts the actor ----------------> in a spare: its constructor begins some 20 ms after the death,
                                             not after Ray, NumPy, Numba and DuckDB have been imported (2 to 3 s)
    the shard serves again ----------------> and asks for another spare

Ray gives a restarted actor an idle worker if one has the actor's job and runtime environment and has never run anything
else. It makes none of itself once the actors run; its raylet does when told (`PrestartWorkers`, the call behind Ray's
own prestart tests). `RAY_preload_python_modules` makes workers import `actors.spare` before they take work.

Rules of this file
- Nothing depends on spares. Without one, or without that call, Ray starts a process as ever.
- A spare holds no state and no file: it isn't a replica.
- Shards look one after the other, each asking for at most one, so that the number stays what it should be.

Costs: 130 MB a spare, most of it libraries; a look 2 ms in a thread.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import ray

SPARE_MODULE = "actors.spare"
WANTED_VARIABLE = "ROOKERY_SPARES_WANTED"  # names the file without which workers are left as Ray makes them
KEEP_S = 10 * 365 * 24 * 3600  # how long Ray keeps an idle worker: as long as the cluster runs
CALL_TIMEOUT_S = 5.0
MEMORY_USED_PERCENT_MAX = 85.0  # above that no spare is made: Ray begins to kill at 95 %


def arrange(data_dir: Path) -> None:
    """Before a local Ray starts: its workers are to load what a shard needs, once somebody has asked for spares."""
    wanted = data_dir.resolve() / "spares.wanted"
    wanted.unlink(missing_ok=True)
    os.environ |= {"RAY_preload_python_modules": SPARE_MODULE, WANTED_VARIABLE: str(wanted)}


def are_wanted() -> bool:
    """Whether a worker that starts now is to be a spare; if nobody arranged it, that is what it was preloaded for."""
    path = os.environ.get(WANTED_VARIABLE)
    return path is None or os.path.exists(path)


def count_idle() -> int:
    """Return how many workers of this worker's node are idle or just starting. 2 ms."""
    found = 0
    for process in psutil.Process(os.getppid()).children():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        found += bool(command) and (command[0] == "ray::IDLE" or any("default_worker.py" in part for part in command))
    return found


def look(wanted_count: int) -> bool:
    """Ask for one spare if this worker's node has fewer than wanted; returns whether it did. Blocks: use a thread.

    Raises ConnectionError when the raylet can't be asked.
    """
    if ray.get_runtime_context().get_runtime_env_string() not in ("", "{}"):
        return False  # a worker without it would not fit
    if psutil.virtual_memory().percent > MEMORY_USED_PERCENT_MAX or count_idle() >= wanted_count:
        return False
    if WANTED_VARIABLE in os.environ:
        Path(os.environ[WANTED_VARIABLE]).touch()
    return _ask_raylet()


def _ask_raylet() -> bool:
    import grpc  # nobody else here needs it: 0.1 s of an import that can wait
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import common_pb2, node_manager_pb2, node_manager_pb2_grpc

    worker = ray._private.worker.global_worker
    channel = init_grpc_channel(f"{worker.node.node_ip_address}:{worker.node.node_manager_port}")
    try:
        request = node_manager_pb2.PrestartWorkersRequest(
            language=common_pb2.PYTHON, job_id=worker.current_job_id.binary(), num_workers=1,
            keep_alive_duration_secs=KEEP_S,
        )  # fmt: skip
        node_manager_pb2_grpc.NodeManagerServiceStub(channel).PrestartWorkers(request, timeout=CALL_TIMEOUT_S)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return False  # a busy node; the worker may come yet, and the next look counts
        raise ConnectionError(f"the raylet makes no worker: {error}") from error
    finally:
        channel.close()
    return True
