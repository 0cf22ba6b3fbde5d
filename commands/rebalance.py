"""`run_cluster.py rebalance`: tells the router to spread the buckets over another number of shards, and watches it.

The router does it (cluster/placement/rebalancer.py) and goes on with it whoever watches, also after its own restart.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from rich.console import Console

from actors.core.errors import OverloadedError
from cluster.placement.rebalancer import Progress
from commands.maintenance import RunningCluster
from commands.progress import Bars

POLL_S = 0.25
ROUTER_BACK_S = 60.0  # for a router that restarts meanwhile


def rebalance(namespace: str, shards: int, at_once: int, console: Console) -> dict[str, Any]:
    """Spread the buckets evenly over `shards` shards; returns the progress at the end and "seconds".

    Raises InvalidError, ConflictError if another one goes on, OverloadedError if the router is away for ROUTER_BACK_S.
    """
    cluster, begin = RunningCluster(namespace), time.monotonic()
    cluster.ask_router("rebalance", shards, at_once)
    problem, count, seen = "", None, 0
    with Bars(console) as bars:
        while True:
            progress = _progress(cluster)
            if count is None and progress["left_buckets"]:
                count = bars.start("buckets", progress["moved_buckets"] + progress["left_buckets"])
            if count is not None:
                count(progress["moved_buckets"] - seen)
                seen = progress["moved_buckets"]
            if progress["problem"] not in ("", problem):
                problem = progress["problem"]
                console.print(f"tried again: {problem}", highlight=False, soft_wrap=True, markup=False)
            if progress["done"]:
                return {**progress, "seconds": round(time.monotonic() - begin, 1)}
            time.sleep(POLL_S)


def cancel(namespace: str) -> dict[str, Any] | None:
    """Stop after the move that is under way; returns the progress, None if there was no rebalance."""
    cluster = RunningCluster(namespace)
    cluster.ask_router("cancel_rebalance")
    found: dict[str, Any] | None = cluster.ask_router("rebalance_status")
    return found


def _progress(cluster: RunningCluster) -> dict[str, Any]:
    deadline = time.monotonic() + ROUTER_BACK_S
    while True:
        try:
            found = cluster.ask_router("rebalance_status")
            if found is not None:
                return dict(found)
            return {**asdict(Progress(0, 0, done=True)), "freeze_ms": []}  # a new router: it was done before
        except OverloadedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
