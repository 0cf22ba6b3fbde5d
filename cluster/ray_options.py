"""Every Ray option and every actor name of the cluster, in one place.

Rules of this file
- Actor classes are plain; they become Ray actors only through `as_actor` and the tables here.
- num_cpus is explicit and small: it only steers placement (the work is memory-bound and mostly asleep), and 8 shards,
  the router, the trends, a dispatcher, a media actor and an API worker must fit on a laptop's 2 cores: 8 x 0.15 + 0.05
  + 3 x 0.02 + 0.1 = 1.41.
- Methods that are called all the time leave no task events: those go through Ray's control store (Ray issue 42076).

Verified on Ray 2.60 (tests/cluster/test_real_ray.py and experiments): an async actor's constructor runs on its running
uvloop; a full default concurrency group doesn't delay another group; an actor whose constructor raises is dead for good
and its name free; a killed process is back after about 1 s, but a call submitted in that moment may wait for longer.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.placement.shard_map import SHARD_PREFIX, shard_actor_name

__all__ = [
    "API_PREFIX", "DEFAULT_NAMESPACE", "ROUTER_NAME", "SHARD_PREFIX", "TRENDS_NAME", "api_actor_name",
    "api_name_prefix", "as_actor", "dispatch_actor_name", "in_placement_group", "media_actor_name",
    "remove_placement_group",
    "shard_actor_name",
]  # fmt: skip

DEFAULT_NAMESPACE = "rookery"
ROUTER_NAME = "rookery:router"
TRENDS_NAME = "rookery:trends"
API_PREFIX = "rookery:api-"
DISPATCH_PREFIX = "rookery:dispatch-"
MEDIA_PREFIX = "rookery:media-"
NODE_ID_DIGITS = 12  # of 56: enough to tell nodes apart, short enough for a label of metrics

# max_concurrency counts waiting coroutines of methods without a group of their own; max_pending_calls counts, per
# caller, what Ray has queued: above it the caller gets PendingCallLimitExceeded instead of filling memory.
_COMMON: dict[str, Any] = {"lifetime": "detached", "max_restarts": -1, "max_task_retries": 0, "get_if_exists": True}
ROUTER_OPTIONS: dict[str, Any] = {
    **_COMMON, "num_cpus": 0.05, "max_concurrency": 256, "max_pending_calls": 1024,
    "concurrency_groups": {"health": 16},
}  # fmt: skip
SHARD_OPTIONS: dict[str, Any] = {
    **_COMMON, "num_cpus": 0.15, "max_concurrency": 256, "max_pending_calls": 1024,
    "concurrency_groups": {"health": 16, "deliveries": 256, "fallback": 256}, "scheduling_strategy": "SPREAD",
}  # fmt: skip
API_OPTIONS: dict[str, Any] = {
    **_COMMON, "num_cpus": 0.1, "max_concurrency": 64, "max_pending_calls": 256,
    "concurrency_groups": {"health": 8},
}  # fmt: skip
TRENDS_OPTIONS: dict[str, Any] = {
    **_COMMON, "num_cpus": 0.02, "max_concurrency": 64, "max_pending_calls": 256, "concurrency_groups": {"health": 4},
}  # fmt: skip
DISPATCH_OPTIONS: dict[str, Any] = {
    **_COMMON, "num_cpus": 0.02, "max_concurrency": 512, "max_pending_calls": 1024,
    "concurrency_groups": {"health": 4},
}  # fmt: skip
# Files that wait are calls that wait; `media.queue_max` is the bound that callers meet.
MEDIA_OPTIONS: dict[str, Any] = {
    **_COMMON, "num_cpus": 0.02, "max_concurrency": 1_024, "max_pending_calls": 1_024,
    "concurrency_groups": {"health": 4},
}  # fmt: skip

# method -> ray.method options; a class that doesn't have the method is left as it is
_QUIET: dict[str, Any] = {"enable_task_events": False}
ROUTER_METHODS: dict[str, dict[str, Any]] = {
    "get_map": _QUIET,
    "register_replica": _QUIET,
    "change_in_sync": _QUIET,
    "ready": {**_QUIET, "concurrency_group": "health"},
    "readiness": {**_QUIET, "concurrency_group": "health"},
    "status": {"concurrency_group": "health"},
}
SHARD_METHODS: dict[str, dict[str, Any]] = {
    "ping": {**_QUIET, "concurrency_group": "health"},
    "join": {**_QUIET, "concurrency_group": "health"},
    "deliver": {**_QUIET, "concurrency_group": "deliveries"},
    "lane_call": {**_QUIET, "concurrency_group": "fallback"},
}
API_METHODS: dict[str, dict[str, Any]] = {"ping": {**_QUIET, "concurrency_group": "health"}}
TRENDS_METHODS: dict[str, dict[str, Any]] = {"get": _QUIET, "ping": {**_QUIET, "concurrency_group": "health"}}
DISPATCH_METHODS: dict[str, dict[str, Any]] = {"dispatch": _QUIET, "ping": {**_QUIET, "concurrency_group": "health"}}

MEDIA_METHODS: dict[str, dict[str, Any]] = {
    "process": _QUIET, "look": _QUIET, "ping": {**_QUIET, "concurrency_group": "health"},
}  # fmt: skip


def api_actor_name(node_id: str, index: int) -> str:
    """Return the name of an API worker's actor: of which node, and which of its workers, `rookery:api-3f2a91c0d1e5-0`.

    A node that comes back to Ray is another node with another id, so a name is never of two places.
    """
    return f"{api_name_prefix(node_id)}{index}"


def api_name_prefix(node_id: str) -> str:
    """Return what the names of a node's API workers begin with."""
    return f"{API_PREFIX}{node_id[:NODE_ID_DIGITS]}-"


def dispatch_actor_name(index: int) -> str:
    """Return the name of one of the cluster's dispatchers."""
    return f"{DISPATCH_PREFIX}{index}"


def media_actor_name(node_id: str) -> str:
    """Return the name of a node's media actor."""
    return f"{MEDIA_PREFIX}{node_id[:NODE_ID_DIGITS]}"


def placement_group_name(namespace: str, shard: int) -> str:
    """Return the name of the placement group that spreads a shard's replicas over nodes."""
    return f"{namespace}:shard-{shard:02d}"


def in_placement_group(namespace: str, shard: int, index: int, count: int) -> PlacementGroupSchedulingStrategy:
    """Return the place of one of a shard's replicas: on another node than the others, as long as there are enough.

    Blocks. The group is made if there is none, and stays until `remove_placement_group`.
    """
    name = placement_group_name(namespace, shard)
    logging.getLogger("ray.actor").addFilter(_unlike_the_group_warning)
    try:
        group = ray.util.get_placement_group(name)
    except ValueError:
        bundles = [{"CPU": SHARD_OPTIONS["num_cpus"]} for _ in range(count)]
        group = ray.util.placement_group(bundles, strategy="SPREAD", name=name, lifetime="detached")
    return PlacementGroupSchedulingStrategy(placement_group=group, placement_group_bundle_index=index)


def _unlike_the_group_warning(record: logging.LogRecord) -> bool:
    """Leave out Ray's warning that removing a group ends its actors: they have been stopped by then."""
    return "detached actor with a placement group" not in record.getMessage()


def remove_placement_group(namespace: str, shard: int) -> None:
    """Remove the placement group of a shard whose actors have ended, if it has one. Blocks."""
    with contextlib.suppress(ValueError):
        ray.util.remove_placement_group(ray.util.get_placement_group(placement_group_name(namespace, shard)))


def as_actor(
    cls: type, name: str, namespace: str, options: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]]
) -> Any:
    """Return a Ray actor class of a plain class, under a name and with the options of this file; call `.remote(...)`.

    Ray's marks are set on the class's own functions, which stay callable as before.
    """
    for method, method_options in methods.items():
        if hasattr(cls, method):
            ray.method(**dict(method_options))(getattr(cls, method))
    return ray.remote(**{**options, "name": name, "namespace": namespace})(cls)
