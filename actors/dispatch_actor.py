"""A dispatcher as an actor: the process that reaches hosts outside the cluster for what shards have to tell them.

Rules of this file
- It holds nothing: whoever calls has the items, and has them still when this process dies. Ray starts it anew.
- Shards call `dispatch`; which of several dispatchers a shard calls follows from its number alone.
- Its way to the shards is for what messages show; who has none yet takes no items.

Costs: what this module loads is 114 MB, most of it Ray and numpy; no web server, no numba
(`tests/outgoing/test_process.py`). But Ray gives it a spare worker (`cluster/life/spare_workers.py`), which has loaded
all that a shard needs: then it has 160 MB of its own. What its channels cost: `actors/outgoing/`.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

import psutil
import structlog

from actors.core.errors import OverloadedError
from actors.core.ids import bucket_of_account
from actors.core.levels import LEVEL
from actors.log_bound import LogBound
from actors.outgoing.keys import outgoing_keys
from cluster.client.cluster_client import ClusterClient
from cluster.client.connect import open_client
from cluster.life.code_on_disk import require_current
from cluster.life.liveness import take_part
from cluster.ray_options import DISPATCH_METHODS, DISPATCH_OPTIONS, as_actor, dispatch_actor_name
from configs.logging import configure_logging
from configs.settings import Settings

if TYPE_CHECKING:
    from actors.outgoing.dispatcher import Dispatcher

RETRY_S: Final = 0.5  # between attempts to join the cluster
ASK_S: Final = 5.0  # that a shard may take to say what a message shows


class AskingShards:
    """`api.ports.Asking` over the lane, for what messages show."""

    def __init__(self, client: ClusterClient) -> None:
        self.cluster = client
        self.outgoing_keys = outgoing_keys(client.keys)

    async def ask_bucket(self, bucket: int, op: str, args: list[Any]) -> Any:
        """One lane request by bucket. Raises a RookeryError subclass when it is refused, or nobody answers.

        Of the primary: a follower that is behind would say that what a message is about isn't there any more.
        """
        return await self.cluster.call(bucket, op, args, ASK_S, fresh=True)

    async def ask_account(self, account_id: int, op: str, *args: Any) -> Any:
        """One lane request to the shard of an account, whose id is the first argument."""
        return await self.ask_bucket(bucket_of_account(account_id), op, [account_id, *args])


class DispatchActor:
    """Begins to join its cluster on construction, because Ray runs nothing else when it restarts an actor."""

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        from actors.outgoing.dispatcher import Dispatcher  # a second of the processor, which its creator can spare

        require_current()
        self._dispatcher_class = Dispatcher
        self._settings = Settings.from_dict(settings)
        configure_logging(self._settings.log.format, self._settings.log.level, component=name, bound=LogBound())
        self._log = structlog.get_logger()
        cluster = self._settings.cluster
        self._heartbeat = take_part(name, cluster.namespace, cluster.hang_ms / 1000)
        self._client: ClusterClient | None = None
        self._dispatcher: Dispatcher | None = None
        self._loop = asyncio.get_running_loop()
        self._joining = self._loop.create_task(self._join())
        self._joining.add_done_callback(self._end_if_failed)
        self._heartbeat.start()

    async def _join(self) -> None:
        while self._client is None:
            try:
                self._client = await open_client(self._settings.cluster.namespace)
            except OverloadedError as error:
                self._log.warning("the dispatcher waits for the cluster", reason=error.message)
                await asyncio.sleep(RETRY_S)
        self._dispatcher = self._dispatcher_class.of(self._settings, AskingShards(self._client))

    def _end_if_failed(self, joining: asyncio.Task[None]) -> None:
        """A dispatcher that can't begin is a fault of ours, or of the settings; Ray starts this process anew."""
        if joining.cancelled() or joining.exception() is None:
            return
        self._log.critical("nothing can leave; this process ends", reason=repr(joining.exception()))
        os._exit(1)

    async def dispatch(self, rows: list[list[Any]]) -> list[list[int]]:
        """Bring items out; see `Dispatcher.dispatch`. Raises OverloadedError while it hasn't joined."""
        if self._dispatcher is None:
            raise OverloadedError("this dispatcher has not joined its cluster yet", retry_after_s=1.0)
        return await self._dispatcher.dispatch(rows)

    async def ping(self) -> dict[str, Any]:
        """Return the actor's figures."""
        figures = {} if self._dispatcher is None else self._dispatcher.figures()
        return {
            **figures, "pid": os.getpid(), "joined": self._dispatcher is not None, "level": LEVEL,
            "rss_bytes": psutil.Process().memory_info().rss, "hangs": self._heartbeat.hangs,
        }  # fmt: skip

    async def stop(self) -> None:
        """Close all connections."""
        self._joining.cancel()
        await asyncio.wait([self._joining])
        if self._dispatcher is not None:
            await self._dispatcher.close()
        if self._client is not None:
            self._client.close()
        self._heartbeat.close()


def create_dispatch_actors(settings: Settings) -> list[Any]:
    """Create (or find) the cluster's dispatchers, none if no channel is configured; returns their handles."""
    if not settings.dispatched:
        return []
    handles = []
    for index in range(settings.outgoing.dispatchers):
        name = dispatch_actor_name(index)
        actor_class = as_actor(
            DispatchActor, name, settings.cluster.namespace, DISPATCH_OPTIONS, DISPATCH_METHODS
        )  # fmt: skip
        handles.append(actor_class.remote(name, settings.to_dict()))
    return handles
