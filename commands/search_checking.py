"""`check --search`: whether each replica's search index has what its memory has, and mending what differs.

Rules of this file
- Every replica is asked itself, through its actor: the lane would take any one of them.
- A difference of a moment is none: what differs is asked for again before it counts, as tweets arrive meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

from actors.core.errors import RookeryError, from_wire
from cluster.placement.shard_map import ReplicaPlace, ShardMap
from commands.checking import Outcome

DIFFERENCES = ("missing", "extra", "stale", "accounts_missing", "accounts_extra", "unlisted")
ANSWER_TIMEOUT_S = 120.0  # comparing some million tweets
PATIENCE_S = 10.0  # that an index is given to get what is on its way
REPAIR_PATIENCE_S = 600.0
PAUSE_S = 0.5

Ask = Callable[[ReplicaPlace, bool], Any]


def ask_by_actor(namespace: str) -> Ask:
    """Return the way to a replica's actor."""

    async def ask(replica: ReplicaPlace, repair: bool) -> dict[str, int]:
        actor = await asyncio.to_thread(ray.get_actor, replica.actor_name, namespace=namespace)
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            status, body = await actor.lane_call.remote("search_check", [repair])
        if status:
            raise from_wire(body)
        return dict(body)

    return ask


async def check_search(shard_map: ShardMap, ask: Ask, repair: bool, outcome: Outcome) -> None:
    """Compare every replica's index with its memory. repair: have the difference fed, and wait until it is."""
    indexed = 0
    for replica in shard_map.replicas:
        try:
            found = await _settled(replica, ask, repair)
        except (RayError, RookeryError, TimeoutError, ValueError) as error:
            outcome.add([f"{replica.actor_name}: its search index can't be checked: {error}"])
            continue
        indexed += found["indexed"] if replica.primary else 0
        different = {name: found[name] for name in DIFFERENCES if found[name]}
        if different:
            told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in different.items())
            outcome.add([f"{replica.actor_name}: the search index differs from memory: {told}; --repair feeds it"])
    outcome.figures["search_documents"] = indexed


def has_search(readiness: dict[str, Any]) -> bool:
    """Whether there are search engines. readiness: as the router tells it."""
    states = {replica["search"]["state"] for replica in readiness["replicas"] if replica["search"]}
    return bool(states - {"off"})


async def _settled(replica: ReplicaPlace, ask: Ask, repair: bool) -> dict[str, int]:
    """Return how far an index is from memory, once it has had time to come up."""
    deadline = time.monotonic() + (REPAIR_PATIENCE_S if repair else PATIENCE_S)
    while True:
        found: dict[str, int] = await ask(replica, repair)
        repair = False
        if not any(found[name] for name in DIFFERENCES) or time.monotonic() > deadline:
            return found
        await asyncio.sleep(PAUSE_S)
