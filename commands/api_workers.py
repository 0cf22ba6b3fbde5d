"""Seeing to it that every node that lives has its API workers: what `serve` does while it waits.

    ray.nodes() --> nodes that live and take actors --> find or create each one's workers --> does it listen?
                                                        and its media actor, once
                                                                                                |
                                     end it, and create it at the next look  <-- no: port taken-+

Rules of this file
- Nothing is remembered that a second `serve` couldn't find out: workers are found by name, and a name says which node.
- A worker whose process ends is Ray's to restart, on the same node. A worker whose node ended is dead for good and
  nobody's concern; the node that comes instead has another id and gets workers of its own.
- A look blocks on Ray's control store, for a minute if that is away. So looks have a thread of their own, and signals
  find the main thread free.

Costs: a look takes 2 ms a worker, every LOOK_S.
Not here: API workers of nodes that join while no `serve` runs; the next one starts them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ray
import structlog
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayError

from actors.api_actor import create_api_actor
from actors.core.errors import OverloadedError
from actors.media_actor import create_media_actor
from cluster.client.connect import living_nodes, local_node_id, router_handle
from cluster.ray_options import api_actor_name
from configs.settings import Settings

LOOK_S = 2.0  # a node takes seconds to join, so looking more often would show nothing new
ROUTER_ANSWER_S = 2.0  # to one question
END_TIMEOUT_S = 5.0  # a look that is under way ends within milliseconds, unless Ray is away


def serving_nodes() -> list[str]:
    """Return the ids of the nodes that live and take actors; a head node is often given no CPUs, to keep it free."""
    return [node["NodeID"] for node in living_nodes() if node["Resources"].get("CPU", 0) > 0]


class ApiWorkers:
    """The API workers of all nodes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = structlog.get_logger()
        self._starts: dict[str, tuple[Any, Any]] = {}  # name -> (actor, its port, once it listens)
        self._media: set[str] = set()  # nodes whose media actor was created or found
        self._drained: frozenset[str] = frozenset()  # node ids, as the router said last
        self._ended = threading.Event()
        self._after_look: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._watch, name="api-workers", daemon=True)

    def start(self, timeout_s: float) -> int:
        """Start workers on all nodes, or find them, and return the port of one on this node, else of any.

        Raises OverloadedError if there is no node for them or they don't listen in time; what keeps one from starting
        (OSError, RayError) as it is.
        """
        self.look()
        if not self._starts:
            raise OverloadedError("no node of the Ray cluster has a CPU for an API worker", None, 5.0)
        try:
            ports = ray.get([port for _, port in self._starts.values()], timeout=timeout_s)
        except GetTimeoutError as error:
            waiting = [name for name, (_, port) in self._starts.items() if not ray.wait([port], timeout=0)[0]]
            raise OverloadedError(f"{', '.join(waiting)} did not come up in {timeout_s:.0f} s", None, 5.0) from error
        by_name = dict(zip(self._starts, ports, strict=True))
        here = api_actor_name(local_node_id(), 0)
        return int(by_name.get(here, ports[0]))

    def look(self) -> None:
        """Find or create each node's workers; end those that could not listen. Raises RayError when Ray is away."""
        nodes = self._nodes()
        wanted = {
            api_actor_name(node, index): (node, index)
            for node in nodes
            for index in range(self._settings.cluster.workers)
        }
        for name in self._starts.keys() - wanted.keys():
            self._log.warning("an API worker's node is gone, or drained", worker=name)
            del self._starts[name]
        for name, (node, index) in wanted.items():
            if name not in self._starts:
                actor = create_api_actor(node, index, self._settings)
                self._starts[name] = actor, actor.port.remote()
            elif self._has_failed(name):
                del self._starts[name]
        self._look_at_media(nodes)

    def _look_at_media(self, nodes: list[str]) -> None:
        """Find or create each node's media actor. Its constructor doesn't fail, and Ray restarts it when it ends."""
        self._media.intersection_update(nodes)
        for node in nodes if self._settings.media.enabled else []:
            if node not in self._media:
                create_media_actor(node, self._settings)
                self._media.add(node)

    def _nodes(self) -> list[str]:
        """Return the nodes that are to have workers. Which are drained is the router's to say, also for later."""
        try:
            router = router_handle(self._settings.cluster.namespace)
            self._drained = frozenset(ray.get(router.drained_nodes.remote(), timeout=ROUTER_ANSWER_S))
        except (RayError, OverloadedError) as error:
            self._log.info("the router doesn't say which nodes are drained", reason=type(error).__name__)
        return [node for node in serving_nodes() if node not in self._drained]

    def _has_failed(self, name: str) -> bool:
        """Whether a worker has ended or can't listen; one that can't is ended, so that the next look makes it anew."""
        actor, port = self._starts[name]
        if not ray.wait([port], timeout=0)[0]:
            return False
        try:
            ray.get(port)
        except ActorUnavailableError:
            pass  # its process ended, and Ray restarts it
        except (RayError, OSError) as error:
            self._log.warning("an API worker does not serve", worker=name, reason=str(error).strip().splitlines()[-1])
            ray.kill(actor, no_restart=True)
            return True
        self._starts[name] = actor, actor.port.remote()  # the next look learns whether it still does
        return False

    def watch(self, after_look: Callable[[], None]) -> None:
        """Look every LOOK_S from now on, in a thread; then call after_look, which may block as a look does."""
        self._after_look = after_look
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            try:
                self.look()
                self._after_look()
            except (RayError, ValueError, ConnectionError) as error:  # the head is away: what runs goes on
                self._log.warning("nodes can't be looked at", reason=str(error).strip().splitlines()[0])

    def end(self) -> None:
        """Look no more; the workers stay."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(END_TIMEOUT_S)
