"""How long Ray takes to bring back an actor that holds nothing: what a failover is compared with.

`python -m tests.chaos.ray_restarts DATA COUNT` joins the Ray of the cluster that is served from DATA, kills an empty
detached actor COUNT times with `kill -9`, and prints the seconds from each kill to the next answered call, as JSON. It
is a process of its own because Ray must find its token before it is imported.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from commands.ray_token import use_ray_token

PATIENCE_S = 60.0
CALL_TIMEOUT_S = 0.25  # a call to a dying actor may be held for longer than its restart takes
REFUSED_PAUSE_S = 0.005  # between calls that fail at once
PAUSE_S = 0.5  # between two kills


def measure(data: Path, count: int) -> list[float]:
    """Return the seconds from each kill to the first answered call."""
    use_ray_token(data, create=False)
    import ray

    from cluster.client.connect import connect
    from commands.launch import ClusterInfo

    info = ClusterInfo.load(data)
    assert info is not None, f"nothing serves {data}"
    connect(info.ray_address, info.namespace)

    @ray.remote(num_cpus=0, max_restarts=-1, lifetime="detached", name="chaos:empty")
    class Empty:
        def pid(self) -> int:
            return os.getpid()

    actor = Empty.remote()
    try:
        pid, found = ray.get(actor.pid.remote(), timeout=PATIENCE_S), []
        for _ in range(count):
            time.sleep(PAUSE_S)
            begin = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            pid = _next_pid(ray, actor, pid, begin + PATIENCE_S)
            found.append(time.monotonic() - begin)
        return found
    finally:
        ray.kill(actor, no_restart=True)


def _next_pid(ray: Any, actor: Any, old: int, deadline: float) -> int:
    """Call until another process answers. Calls under way are waited for beside the next."""
    waiting: list[Any] = []
    while time.monotonic() < deadline:
        waiting.append(actor.pid.remote())
        ready, waiting = ray.wait(waiting, timeout=CALL_TIMEOUT_S)
        for call in ready:
            try:
                pid = ray.get(call)
            except ray.exceptions.RayError:  # it was sent to the dead process
                time.sleep(REFUSED_PAUSE_S)
                continue
            if pid != old:
                return int(pid)
    raise TimeoutError("Ray didn't restart an empty actor")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))) + "\n")
