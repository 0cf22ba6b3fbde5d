"""What the processes of one node have counted, asked by the API worker that a scrape has met.

    scrape --> an API worker --> its siblings (actor calls)
                             --> replicas that are to live on this node: leaders have answered already, others are asked
                             --> the router: its figures are shown where it lives

Rules of this file
- Workers of a node share a port, so a scrape meets any one of them: each answers for all, and no series has holes.
- A replica is shown by its own node alone, or N scraped nodes would count it N times.
- Whoever doesn't tell within ASK_S is shown as not up; the others are shown all the same.

Cost: an actor call, 1 ms, for each process of the node that leads nothing, once a second at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from ray.exceptions import RayError

from actors.core.errors import RookeryError
from actors.metrics.figure import Told
from actors.metrics.text import node_snapshot
from cluster.placement.shard_map import ReplicaPlace
from cluster.ray_options import ROUTER_NAME

ASK_S = 2.0  # that a process of the node has to tell its figures; scrapers wait for 10 s as they come
# AttributeError: the process runs older code, which has no such method (a `roll` is under way).
UNTOLD = (RayError, RookeryError, TimeoutError, ValueError, AttributeError)

AskActor = Callable[..., Awaitable[Any]]


class NodeFigures:
    """See the module header.

    ask(actor's name, method, *arguments); node: its id; replicas(): of the map; worker: the one that asks; workers: the
    names of all of the node.
    """

    def __init__(
        self,
        ask: AskActor,
        node: str,
        replicas: Callable[[], Iterable[ReplicaPlace]],
        worker: str,
        workers: Sequence[str],
    ) -> None:
        self._ask_actor, self._node, self._replicas = ask, node, replicas
        self._worker, self._workers = worker, workers

    async def told(self, led: Mapping[int, Any]) -> list[Told]:
        """Return what others of this node have counted, and who of them is up. led: `status` of each shard's leader."""
        siblings = [name for name in self._workers if name != self._worker]
        here = [replica for replica in self._replicas() if replica.node_id == self._node]
        answers = await asyncio.gather(
            self._ask(ROUTER_NAME, "figures"),
            *(self._ask(name, "figures") for name in siblings),
            *(self._status(replica, led.get(replica.shard)) for replica in here),
        )
        router, of_workers, of_replicas = answers[0], answers[1 : 1 + len(siblings)], answers[1 + len(siblings) :]
        told = [each for found in of_workers if found is not None for each in found]
        told += [each for status in of_replicas if status is not None for each in status.get("told", ())]
        if router is not None and router["node"] == self._node:
            told += router["told"]
        up = node_snapshot(
            http_worker_up={
                self._worker: 1,
                **{name: int(a is not None) for name, a in zip(siblings, of_workers, strict=True)},
            },
            replica_up={
                (str(r.shard), str(r.index)): int(a is not None) for r, a in zip(here, of_replicas, strict=True)
            },
            router_up=int(router is not None),
        )
        return [*map(Told.from_wire, told), Told("node", (), up)]

    async def _ask(self, name: str, method: str, *arguments: Any) -> Any:
        try:
            async with asyncio.timeout(ASK_S):
                return await self._ask_actor(name, method, *arguments)
        except UNTOLD:  # shown as not up
            return None

    async def _status(self, replica: ReplicaPlace, led: Any) -> Any:
        """Return a replica's `status`, None if it doesn't tell. led: that of its shard's leader."""
        if led is not None and led.get("replica") == replica.index:
            return led
        failed, body = await self._ask(replica.actor_name, "lane_call", "status", []) or (1, None)
        return None if failed else body
