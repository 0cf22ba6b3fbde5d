"""A shard replica as a Ray actor: how it comes to be, joins its cluster, and ends; what it serves is `ServedReplica`'s.

    constructor: files -> replica, lane -> router: join, register -> serving -> stop, retire, or a crash

Rules of this file
- The constructor restores everything, because Ray runs nothing else when it restarts the actor.
- What Ray calls on threads of its own is carried out on the constructor's loop, which all state belongs to.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import psutil
import ray
import structlog
from ray.exceptions import RayError

from actors.core import warm
from actors.core.errors import OverloadedError, RookeryError
from actors.core.levels import LEVEL
from actors.garbage import collect_seldom
from actors.log_bound import LogBound
from actors.metrics import Histogram
from actors.outgoing.blobs import LocalRemoval
from actors.shard.due_times import DueTimes
from actors.shard.inquiring_writes import QuestionsBound
from actors.shard.lane_listening import listen
from actors.shard.places import failure_file, shard_directory
from actors.shard.served_replica import ServedReplica
from actors.shard.storage import Storage, open_storage
from cluster.client.cluster_client import ClusterClient
from cluster.client.connect import NamedActors, router_handle
from cluster.lane.handshake import LaneKeys
from cluster.lane.server import LaneServer
from cluster.life import spare_workers
from cluster.life.code_on_disk import require_current
from cluster.life.liveness import take_part
from cluster.placement.shard_map import ShardMap, shard_actor_name
from cluster.ray_options import dispatch_actor_name
from configs.logging import configure_logging
from configs.settings import Settings

T = TypeVar("T")
SPARE_LOOK_S = 10.0  # between looks whether the node has its spare workers
SPARE_PAUSE_S = 1.0  # before the first: readers catch up
SPARE_SEARCH_S = 30.0  # that one waits for the search engine to come up, at most
SPARE_STAGGER_S = 0.5  # between the looks of two shards, so that the later one sees what the earlier one asked for
ROUTER_ANSWER_S = 2.0  # one call to the router
DISPATCH_S = 45.0  # that a dispatcher may take for what it is given: more than its channels may
STOP_PATIENCE_S = 5.0  # that a clean stop waits for followers to have everything
REJOIN_S = 0.5  # between attempts to reach the router while it restarts


@functools.cache
def prepare() -> None:
    """Load the compiled kernels, once in a process; what is loaded by now lives as long as that. 0.7 s, once cached."""
    warm.main()
    gc.collect()
    gc.freeze()


class ShardActor(ServedReplica):
    """One replica of one shard, serving."""

    def __init__(self, shard: int, index: int, settings: dict[str, Any]) -> None:
        require_current()
        ours, name = Settings.from_dict(settings), shard_actor_name(shard, index)
        configure_logging(ours.log.format, ours.log.level, component=name, bound=LogBound())
        self.log = structlog.get_logger()
        heartbeat = take_part(name, ours.cluster.namespace, ours.cluster.hang_ms / 1000)
        storage = self._recover(ours, shard, index)
        super().__init__(storage, ours, shard, index, self._ask_router, heartbeat)
        self._joined: dict[str, Any] | None = None
        self._endpoints: dict[str, Any] | None = None
        self._peers: ClusterClient | None = None
        self._dispatchers = NamedActors(ours.cluster.namespace)
        self._tasks = [self._loop.create_task(self._start_or_end())]
        self._heartbeat.start()

    # ---- life -------------------------------------------------------------------------------------------------

    def _recover(self, settings: Settings, shard: int, index: int) -> Storage:
        """Bring the shard back from its files; if that can't be, leave word for whoever started the cluster."""
        prepare()
        begin = time.perf_counter()
        gc.disable()  # collections would walk what is being built again and again, a quarter of the time, for nothing
        try:
            storage = open_storage(settings, shard, index)
        except Exception as error:
            _leave_word(settings, shard, index, error)
            self.log.critical("the shard can't recover", reason=str(error))
            raise
        finally:
            gc.enable()
        collect_seldom()
        self.log.info(
            "shard recovered", position=storage.replica.state.position, accounts=len(storage.replica.state.people),
            replayed=storage.report.records_replayed, cut_bytes=storage.report.cut_bytes,
            seconds=round(time.perf_counter() - begin, 3),
        )  # fmt: skip
        return storage

    def _leave_word(self, error: Exception) -> None:
        """Tell whoever started the cluster why this replica isn't there."""
        _leave_word(self.settings, self.shard, self.index, error)

    async def _start_or_end(self) -> None:
        """Start; what can't join its cluster serves nobody, so it ends, and Ray tries again in another process."""
        try:
            await self._start()
        except Exception as error:  # noqa: BLE001  whatever it is, it is logged
            self.log.critical("the shard can't join the cluster; this process ends", reason=repr(error))
            try:
                self._leave_word(error)
            finally:
                os._exit(1)

    async def _start(self) -> None:
        """Join the cluster: get the secret, open the lane, report where it listens, begin to send."""
        self._joined = joined = await self._call_router("join")
        lane, self.replication.keys = self.settings.lane, LaneKeys.from_join(joined)
        self.lane = LaneServer(
            self.handle, self.replication.keys, shard_actor_name(self.shard, self.index),
            connection_count_max=lane.connections_max, in_flight_count_max=lane.inflight_max,
            refusals=self.metrics.refusals,
        )  # fmt: skip
        self.replication.node_id = ray.get_runtime_context().get_node_id()
        listening = await listen(self.lane, self.settings, self.storage.directory)
        self._endpoints = {**listening, "node_id": self.replication.node_id, "pid": os.getpid(), "level": LEVEL}
        self.exchange.start()
        self.search.start()
        due_times = DueTimes(self.commits, lambda: self.replication.leads)
        running = (self._tick, self._flush_counts, self._export, self.figures.measure_disk, due_times.run,
                   self.outgoing.run, self.previewing.run)  # fmt: skip
        self.previewing.connect(self._dispatch)
        self.outgoing.connect(LocalRemoval.around(self.settings, self._dispatch))
        self._tasks += [asyncio.create_task(run()) for run in running]
        wire = await self._call_router("register_replica", self.shard, self.index, self._endpoints)
        self.replication.learn(ShardMap.from_wire(wire))
        self._peers = await open_peers(self)
        self._tasks.append(asyncio.create_task(self._keep_spares()))

    async def _keep_spares(self) -> None:
        """See to it that this node has workers that are ready to become a shard."""
        pause = SPARE_PAUSE_S + SPARE_STAGGER_S * self.shard
        await self.search.wait_until_up(SPARE_SEARCH_S)  # loading a spare takes a processor 2 s
        while self.settings.cluster.spares:
            await asyncio.sleep(pause)
            try:
                await asyncio.to_thread(spare_workers.look, self.settings.cluster.spares)
            except (OSError, psutil.Error) as error:
                self.log.warning("no spare worker was made", reason=str(error))
            pause = SPARE_LOOK_S

    async def _call_router(self, method: str, *args: Any) -> Any:
        while True:
            try:
                router = await asyncio.to_thread(router_handle, self.settings.cluster.namespace)
                return await getattr(router, method).remote(*args)
            except (RayError, OverloadedError) as error:
                self.log.warning("the router does not answer", method=method, reason=str(error).splitlines()[0])
                await asyncio.sleep(REJOIN_S)

    async def _ask_router(self, method: str, *args: Any) -> Any:
        """Call the router once; None when it doesn't answer."""
        try:
            async with asyncio.timeout(ROUTER_ANSWER_S):
                router = await asyncio.to_thread(router_handle, self.settings.cluster.namespace)
                return await getattr(router, method).remote(*args)
        except (RayError, OverloadedError, TimeoutError) as error:
            self.log.warning("the router does not answer", method=method, reason=str(error).splitlines()[:1])
            return None

    async def _dispatch(self, rows: list[list[Any]]) -> list[list[int]]:
        """Have this shard's dispatcher bring items out. Raises what Ray does, TimeoutError, ValueError without one."""
        name = dispatch_actor_name(self.shard % self.settings.outgoing.dispatchers)
        async with asyncio.timeout(DISPATCH_S):
            outcomes: list[list[int]] = await self._dispatchers.call(name, "dispatch", rows)
            return outcomes

    async def join(self) -> dict[str, Any] | None:
        """Return what the router told this shard, for API workers that start while it is away; None before that."""
        shard_map = self.replication.shard_map
        return None if self._joined is None or shard_map is None else {**self._joined, "map": shard_map.to_wire()}

    async def ping(self) -> dict[str, Any] | None:
        """Return where the lane listens, the level that this code knows, which term this replica leads in (0: none) and
        the epoch of its map.

        None while the lane doesn't listen yet.
        """
        if self._endpoints is None:
            return None
        replication = self.replication
        leads = replication.term if replication.role == "primary" else 0
        epoch = 0 if replication.shard_map is None else replication.shard_map.epoch
        said = {"moves": self.moves.figures(), "search": self.search.readiness()}
        return {**self._endpoints, "leads": leads, "epoch": epoch, **said}

    async def stop(self) -> int:
        """End cleanly: no more requests, everything durable and folded into the checkpoint. Returns the position."""
        if not self._stopping:
            await self._stop_serving(STOP_PATIENCE_S)
            await self.commits.close()
            self._heartbeat.close()
        return self.state.position

    async def _stop_serving(self, followers_s: float) -> None:
        """Take no more requests. followers_s: how long followers are given to get what they lack."""
        self._stopping = True
        await self.replication.stop(followers_s)
        await self.search.stop()
        self.exchange.stop()
        self.outgoing.stop()
        self.previewing.stop()
        self.settlements.give_up()
        if self._peers is not None:
            self._peers.close()
        for task in self._tasks:
            task.cancel()
        if self.lane is not None:
            await self.lane.close()

    async def retire(self) -> None:
        """End for good: the shard owns nothing any more. What it has on disk stays, as it is, under another name."""
        await self._stop_serving(0.0)
        await self.commits.abandon()
        self.storage.close()
        directory = shard_directory(self.settings.storage.data_dir, self.shard, self.index)
        aside = directory.with_name(f"{directory.name}.given-up-{self.state.map_epoch}")
        with contextlib.suppress(FileNotFoundError):  # it lay in the folder of the node's first replica
            await asyncio.to_thread(directory.rename, aside)
        self.log.info("this shard was given up", folder=str(aside))

    # ---- calls through Ray ------------------------------------------------------------------------------------------

    async def lane_call(self, op: str, args: list[Any]) -> list[Any]:
        """Answer a lane operation as an actor call: `[0, body]` or `[1, error]`. For peers, and when a lane is down."""
        return await self._on_own_loop(self._lane_call(op, args))

    async def _lane_call(self, op: str, args: list[Any]) -> list[Any]:
        request = _CallRequest(op, args)
        self.handle(request)  # type: ignore[arg-type]
        failed, body = answer = await request.answer
        if failed:
            self.metrics.refusals[body[0]] += 1
        return answer

    async def deliver(self, source: int, term: int, first_seq: int, count: int, batch: bytes) -> int:
        """Take a batch of messages from another shard; see `Exchange.deliver`."""
        if self._stopping:
            raise OverloadedError(f"shard {self.shard} is stopping")
        return await self._on_own_loop(self.exchange.deliver(source, term, first_seq, count, batch))

    async def deliver_told(self, source: int, term: int, first_seq: int, count: int, batch: bytes) -> list[int]:
        """Take a batch of messages from another shard; see `Exchange.deliver_told`."""
        if self._stopping:
            raise OverloadedError(f"shard {self.shard} is stopping")
        return await self._on_own_loop(self.exchange.deliver_told(source, term, first_seq, count, batch))

    async def _on_own_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop of the constructor, which all state belongs to.

        Ray gives each concurrency group of an async actor a thread and a loop of its own: run there, two threads would
        apply commands at once and the journal's order would not be the state's.
        """
        if asyncio.get_running_loop() is self._loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


async def open_peers(served: ServedReplica) -> ClusterClient:
    """Let a replica that knows its cluster's map ask other shards, over lanes that are dialled when they are used."""

    async def own_map() -> Any:
        shard_map = served.replication.shard_map
        return None if shard_map is None else shard_map.to_wire()

    peers = ClusterClient(own_map, served.replication.keys, served.replication.node_id)
    peers.share_places(QuestionsBound(), QuestionsBound())
    await peers.open()
    served.inquiring.connect(peers)
    return peers


def _leave_word(settings: Settings, shard: int, index: int, error: Exception) -> None:
    path = failure_file(settings.storage.data_dir, shard, index)
    path.write_text(f"{type(error).__name__}: {error}\n", encoding="utf-8")


class _CallRequest:
    """A lane request that came as an actor call."""

    is_abandoned = False  # nobody can tell
    __slots__ = ("answer", "args", "begun", "op", "timed")

    def __init__(self, op: str, args: list[Any]) -> None:
        self.op, self.args = op, args
        self.begun = 0.0
        self.timed: Histogram | None = None
        self.answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    @property
    def answered(self) -> bool:
        return self.answer.done()

    def reply(self, body: Any) -> None:
        if self.timed is not None and not self.answer.done():
            self.timed.observe(time.perf_counter() - self.begun)
        self._settle([0, body])

    def fail(self, error: RookeryError) -> None:
        self._settle([1, error.to_wire()])

    def _settle(self, answer: list[Any]) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


def make_shard(shard: int, index: int, settings: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    """Tell the router how to make a shard actor (`shard_factory` of cluster/router_actor.py)."""
    return ShardActor, {"shard": shard, "index": index, "settings": settings}
