"""A shard replica as a Ray actor: the shell that gives a `Replica` its disk, its clock, its lane and its peers.

Rules of this file
- No decisions about timelines: those are in `actors/core/`. Everything here runs on the actor's event loop; the journal
  is flushed and the checkpoint written on threads of their own, which only hand results back to the loop.
- A reply leaves, and a message may leave, once its journal position is durable (`_durable`).
- The constructor restores everything, because Ray runs nothing else when it restarts the actor.
- Fail-stop: if the journal can't be written, the memory is ahead of the disk for good; the process ends and recovers.

    lane request --> Replica.write --> journal.append --> [group commit thread: write + fdatasync] --> _durable
                                                                                             replies <--+--> senders
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import structlog
from ray.exceptions import ActorDiedError, RayError

from actors.core import ids, limits
from actors.core.errors import InvalidError, OverloadedError, RookeryError
from actors.core.home import Ask, Query, Wake
from actors.core.replica import READS, WRITES, Replica, home_reply
from actors.core.snapshot import TABLES
from actors.core.verify import check, digest
from actors.metrics import RayExporter, ShardMetrics
from cluster.connect import router_handle
from cluster.lane_server import LaneRequest, LaneServer
from cluster.shard_map import even_buckets, shard_actor_name
from configs.logging import configure_logging
from configs.settings import Settings
from persistence.checkpointer import Checkpointer
from persistence.duckdb_checkpoint import DuckDBCheckpointStore
from persistence.file_journal import FileJournal
from persistence.group_commit import GroupCommit
from persistence.recovery import RecoveryReport, recover

DELIVER_TIMEOUT_S = 30.0  # one batch to another shard: above any recovery; a late answer is harmless (numbers decide)
RETRY_FIRST_S, RETRY_MAX_S = 0.05, 1.0  # between attempts to reach a shard that is down: Ray restarts one in about 1 s
WAKE_TIMEOUT_S = 8.0  # a reader waits this long for the answers of other shards, then is told to come again
SLOW_HOMES_MAX = 1_000  # home reads that wait for other shards at once: 1,000 of them hold about 100 MB at worst
REWAKE_AFTER_S = 60.0  # a ring that the arrivals window has overtaken is rebuilt at most this often
TICK_S = 1.0  # figures, segment limits and idle accounts are looked at this often
REJOIN_S = 0.5  # between attempts to reach the router while it restarts


def shard_directory(data_dir: Path, shard: int) -> Path:
    """Return where a shard keeps its journal and checkpoint."""
    return data_dir / f"shard-{shard:02d}"


def tuning_of(settings: Settings) -> limits.Tuning:
    """Return the core's bounds as the configuration sets them."""
    return limits.Tuning(
        timeline_length=settings.timeline.length,
        pull_threshold=settings.timeline.pull_threshold,
        dormant_after_days=settings.timeline.dormant_after_days,
        arrivals_max=settings.timeline.arrivals_max,
        accounts_max=settings.limits.accounts_per_shard_max,
        tweets_max=settings.limits.tweets_per_shard_max,
        outbox_messages_max=settings.limits.outbox_messages_max,
    )


class Storage:
    """A replica with its journal and checkpoint store, recovered. Also what `check` opens of a stopped cluster."""

    def __init__(self, settings: Settings, shard: int, epoch: int = 1) -> None:
        """Open and recover one shard. Raises StorageError that names the file when something is damaged or in use."""
        directory = shard_directory(settings.storage.data_dir, shard)
        directory.mkdir(parents=True, exist_ok=True)
        self.epoch = epoch
        self.journal = FileJournal(directory / "journal", shard, epoch)
        try:
            self.store = DuckDBCheckpointStore(directory / "checkpoint.duckdb", shard, TABLES)
            self.replica = Replica(shard, list(even_buckets(settings.cluster.shards)), tuning_of(settings))
            self.report: RecoveryReport = recover(
                self.store, self.journal, self.replica.load, self.replica.replay, time.perf_counter, epoch
            )
        except BaseException:
            self.journal.close()
            raise

    def close(self) -> None:
        """Release the files."""
        self.journal.close()
        self.store.close()


class ShardActor:
    """One replica of one shard, serving."""

    def __init__(self, shard: int, index: int, settings: dict[str, Any]) -> None:
        self.settings = Settings.from_dict(settings)
        configure_logging(self.settings.log.format, self.settings.log.level, component=shard_actor_name(shard, index))
        self.log = structlog.get_logger()
        self.shard, self.index = shard, index
        failure = shard_directory(self.settings.storage.data_dir, shard) / "failure.txt"
        try:
            storage = Storage(self.settings, shard)
        except Exception as error:  # whoever started the cluster reads it there: a dead actor's log is hard to find
            failure.write_text(f"{type(error).__name__}: {error}\n", encoding="utf-8")
            self.log.critical("the shard can't recover", reason=str(error))
            raise
        self.storage, self.replica, self.journal = storage, storage.replica, storage.journal
        self.state = storage.replica.state
        gc.collect()
        gc.freeze()  # what recovery built lives as long as the process: collections needn't walk it
        self.metrics = ShardMetrics()
        self._exporter = RayExporter(self.metrics, shard=str(shard), replica=str(index))
        self._loop = asyncio.get_running_loop()
        self._durable_position = self.journal.durable_position
        self._waiting: deque[tuple[int, Any, Any]] = deque()  # (position, LaneRequest or Future, body)
        self._wakers: dict[int, list[asyncio.Future[None]]] = {}
        self._sealed: deque[tuple[int, list[Any]]] = deque()
        self._sealed_position = storage.report.checkpoint_position
        self._rewoken: dict[int, float] = {}
        self._slow_homes = 0
        self.lane: LaneServer | None = None
        self._stopping = False
        self._endpoints: dict[str, Any] | None = None
        self._send_soon = {dst: asyncio.Event() for dst in self.state.outboxes}
        self.checkpointer = Checkpointer(
            storage.store, self.journal, storage.report.checkpoint_position, self._checkpoint_failed,
            self.settings.checkpoint.queue_batches_max,
        )  # fmt: skip
        self.commit = GroupCommit(
            self.journal, lambda p: self._loop.call_soon_threadsafe(self._durable, p), self._journal_failed,
            on_flush=self._flushed,
        )  # fmt: skip
        self._local_reads = dict.fromkeys(READS)
        self._writes = dict.fromkeys(WRITES)
        self._tasks = [self._loop.create_task(self._start())]
        self.log.info("shard recovered", position=self.state.position, accounts=len(self.state.people),
                      replayed=storage.report.records_replayed, cut_bytes=storage.report.cut_bytes,
                      seconds=round(storage.report.load_seconds + storage.report.replay_seconds, 3))  # fmt: skip

    # ---- life -------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Join the cluster: get the secret, open the lane, report where it listens, begin to send."""
        joined = await self._call_router("join")
        lane = self.settings.lane
        self.lane = LaneServer(
            self.handle, joined["secret"],
            connection_count_max=lane.connections_max, in_flight_count_max=lane.inflight_max,
        )  # fmt: skip
        path = str(shard_directory(self.settings.storage.data_dir, self.shard) / "lane.sock")
        try:
            await self.lane.start_unix(path)
        except ValueError as error:  # the data folder's path is too long for a socket: TCP serves this node too
            self.log.warning("no Unix socket for the lane", reason=str(error))
            path = ""
        port = await self.lane.start_tcp(lane.host)
        self._endpoints = {
            "unix_path": path, "host": lane.host, "port": port,
            "node_id": ray.get_runtime_context().get_node_id(), "pid": os.getpid(),
        }  # fmt: skip
        self._run(["tick", int(time.time() * 1000)])
        await self._call_router("register_replica", self.shard, self.index, self._endpoints)
        self._tasks += [self._loop.create_task(self._send(dst)) for dst in self.state.outboxes]
        self._tasks += [self._loop.create_task(self._tick()), self._loop.create_task(self._flush_counts())]

    async def _call_router(self, method: str, *args: Any) -> Any:
        while True:
            try:
                router = await asyncio.to_thread(router_handle, self.settings.cluster.namespace)
                return await getattr(router, method).remote(*args)
            except (RayError, OverloadedError) as error:
                self.log.warning("the router does not answer", method=method, reason=str(error).splitlines()[0])
                await asyncio.sleep(REJOIN_S)

    async def ping(self) -> dict[str, Any] | None:
        """Return where the lane listens, or None while it doesn't yet."""
        return self._endpoints

    async def stop(self) -> int:
        """End cleanly: no more requests, everything durable and folded into the checkpoint. Returns the position."""
        self._stopping = True
        if self.lane is not None:
            await self.lane.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(self.commit.close)
        if self._sealed or self.state.position > self._sealed_position:
            self._sealed.append((self.state.position, self.replica.seal()))
        await asyncio.to_thread(self._fold_and_close)
        return self.state.position

    def _fold_and_close(self) -> None:
        for position, changes in self._sealed:
            while not self.checkpointer.submit(position, self.storage.epoch, changes):
                self.checkpointer.wait_idle(1.0)
        self.checkpointer.wait_idle(60.0)
        self.checkpointer.close()
        self.storage.close()

    def _flushed(self, records: int, seconds: float) -> None:
        """Note one flush; runs on the flushing thread, the only writer of these two."""
        self.metrics.commit_records.observe(records)
        self.metrics.fsync_seconds.observe(seconds)

    def _journal_failed(self, error: BaseException) -> None:
        """Memory is ahead of the disk and must not be served: end at once, Ray starts a recovery."""
        self.log.critical("the journal can't be written; this process ends", reason=str(error))
        os._exit(1)

    def _checkpoint_failed(self, error: Exception) -> None:
        self.log.error("a checkpoint was not written; it is tried again", reason=str(error))

    # ---- writes -----------------------------------------------------------------------------------------------

    def _run(self, command: list[Any], urgent: bool = True) -> Any:
        """Apply and journal a command that no client waits for. Not urgent: it may go with the next flush."""
        with self._fail_stop():
            record, result = self.replica.command(command)
        self._append(record, urgent)
        return result

    @contextlib.contextmanager
    def _fail_stop(self) -> Iterator[None]:
        """End the process if a command fails half-way: what is in memory then follows from no journal."""
        position = self.state.position
        try:
            yield
        except Exception as error:
            if self.state.position != position:
                self.log.critical("a command failed while it was applied; this process ends", reason=repr(error))
                os._exit(1)
            raise

    def _append(self, record: bytes, urgent: bool = True) -> None:
        position = self.journal.append(record)
        if position != self.state.position:
            raise RuntimeError(f"the journal is at {position}, the state at {self.state.position}")
        self.metrics.journal_records += 1
        self.metrics.journal_bytes += len(record)
        if urgent:
            self.commit.notify()
        if self.state.woken or self.state.revoked:
            self._announce()

    def _announce(self) -> None:
        """Let readers of woken accounts go on; tell API workers which tokens to forget."""
        for account_id in self.state.woken:
            for waker in self._wakers.pop(account_id, ()):
                if not waker.done():
                    waker.set_result(None)
        self.state.woken.clear()
        for revoked in self.state.revoked if self.lane is not None else ():
            self.lane.push("revoked", list(revoked))
        self.state.revoked.clear()

    def _when_durable(self, waiter: Any, body: Any) -> None:
        """Answer a LaneRequest, or resolve a future, once everything applied so far is durable."""
        if self._durable_position >= self.state.position and not self._waiting:
            _answer(waiter, body)
        else:
            self._waiting.append((self.state.position, waiter, body))
            self.commit.notify()

    def _durable(self, position: int) -> None:
        self._durable_position = position
        waiting = self._waiting
        while waiting and waiting[0][0] <= position:
            _, waiter, body = waiting.popleft()
            _answer(waiter, body)
        for event in self._send_soon.values():
            event.set()
        while self._sealed and self._sealed[0][0] <= position:
            if not self.checkpointer.submit(self._sealed[0][0], self.storage.epoch, self._sealed[0][1]):
                break
            self._sealed.popleft()

    # ---- the lane ---------------------------------------------------------------------------------------------

    def handle(self, request: LaneRequest) -> None:
        """Carry out one lane request, or set out to."""
        begin = time.perf_counter()
        op = request.op
        try:
            if op == "home":
                self._home(request)
            elif op in self._local_reads:
                request.reply(self.replica.read(op, request.args))
            elif op in self._writes:
                self._write(request)
                self.metrics.writes += 1
                self.metrics.write_seconds.observe(time.perf_counter() - begin)
                return
            else:
                self._operate(request)
            self.metrics.reads += 1
            self.metrics.read_seconds.observe(time.perf_counter() - begin)
        except RookeryError as error:
            self.metrics.refusals += 1
            request.fail(error)

    def _write(self, request: LaneRequest) -> None:
        if self._stopping or len(self._waiting) >= self.settings.limits.mailbox_max:
            raise OverloadedError(f"shard {self.shard} has {len(self._waiting)} requests waiting", retry_after_s=1.0)
        with self._fail_stop():
            record, body = self.replica.write(request.op, request.args, int(time.time() * 1000))
        if record is not None:
            self._append(record)
        self._when_durable(request, body)

    def _operate(self, request: LaneRequest) -> None:
        op = request.op
        if op == "status":
            request.reply(self.status())
        elif op == "check":
            request.reply(check(self.state))
        elif op == "digest":
            request.reply(digest(self.state))
        elif op == "home_ids":
            account_id, max_id, count = request.args
            query = self.replica.query([account_id, max_id, 0, 0, count])
            self._slowly(request, query, ids_only=True)
        else:
            raise InvalidError(f"the lane has no operation {op!r}; see docs/lane.md")

    # ---- home timelines ---------------------------------------------------------------------------------------

    def _home(self, request: LaneRequest) -> None:
        query = self.replica.query(request.args)
        ready = self.replica.try_home(query)
        if ready is not None:
            request.reply(ready)
        else:
            self._slowly(request, query)

    def _slowly(self, request: LaneRequest, query: Query, ids_only: bool = False) -> None:
        if self._slow_homes >= SLOW_HOMES_MAX:
            raise OverloadedError(
                f"{SLOW_HOMES_MAX} timelines are being rebuilt on shard {self.shard}", retry_after_s=1.0
            )
        self._slow_homes += 1
        task = self._loop.create_task(self._home_steps(request, query, ids_only))
        task.add_done_callback(self._slow_done)

    def _slow_done(self, task: asyncio.Task[None]) -> None:
        self._slow_homes -= 1
        if not task.cancelled() and task.exception() is not None:
            self.log.error("a home timeline failed", reason=repr(task.exception()))

    async def _home_steps(self, request: LaneRequest, query: Query, ids_only: bool) -> None:
        """Drive `Replica.home_steps`: wake the reader, ask other shards, answer."""
        try:
            steps, answer = self.replica.home_steps(query), None
            while True:
                try:
                    need = steps.send(answer)
                except StopIteration as stop:
                    items = stop.value
                    break
                if isinstance(need, Wake):
                    answer = await self._wake(need)
                else:
                    self.metrics.pulls += 1
                    self._rewake(query)
                    answer = await self._ask(need)
            request.reply([tweet_id for tweet_id, _ in items] if ids_only else home_reply(items))
        except RookeryError as error:
            request.fail(error)
        except (RayError, TimeoutError) as error:
            reason = type(error).__name__
            request.fail(OverloadedError(f"another shard did not answer ({reason}); try again", retry_after_s=1.0))

    async def _wake(self, need: Wake) -> None:
        waker = self._loop.create_future()
        self._wakers.setdefault(need.account_id, []).append(waker)
        if need.start:
            self.metrics.ring_rebuilds += 1
            self._run(["wake", need.account_id])
        async with asyncio.timeout(WAKE_TIMEOUT_S):
            await waker

    def _rewake(self, query: Query) -> None:
        """Rebuild the ring of a reader whose first page the arrivals window no longer holds."""
        row = self.state.people.row_of[query.account_id]
        first_page = not (query.max_id or query.since_id or query.min_id)
        ns, _ = self.state.arrivals.above_lost(self.state.rings.arena.view(row), 0)
        if not first_page or len(ns) >= query.count or query.account_id in self.state.waking:
            return
        now = time.monotonic()
        if now - self._rewoken.get(query.account_id, -REWAKE_AFTER_S) >= REWAKE_AFTER_S:
            if len(self._rewoken) >= SLOW_HOMES_MAX:
                self._rewoken.clear()
            self._rewoken[query.account_id] = now
            self.metrics.ring_rebuilds += 1
            self._run(["wake", query.account_id])

    async def _ask(self, need: Ask) -> dict[int, Any]:
        """Put a question to each shard; this one answers at once."""

        async def one(shard: int, op: str, args: list[Any]) -> tuple[int, Any]:
            if shard == self.shard:
                return shard, self.replica.read(op, args)
            actor = await self._peer(shard)
            async with asyncio.timeout(WAKE_TIMEOUT_S):
                failed, body = await actor.lane_call.remote(op, args)
            if failed:
                raise OverloadedError(f"shard {shard} did not answer: {body[1]}", retry_after_s=1.0)
            return shard, body

        return dict(await asyncio.gather(*(one(s, op, args) for s, (op, args) in need.questions.items())))

    async def lane_call(self, op: str, args: list[Any]) -> list[Any]:
        """Answer a lane operation as an actor call: `[0, body]` or `[1, error]`. For peers, and when the lane is down."""
        request = _CallRequest(op, args, self._loop.create_future())
        self.handle(request)  # type: ignore[arg-type]
        return await request.answer

    # ---- messages between shards ------------------------------------------------------------------------------

    async def _peer(self, shard: int) -> Any:
        name = shard_actor_name(shard, 0)
        return await asyncio.to_thread(ray.get_actor, name, namespace=self.settings.cluster.namespace)

    async def _send(self, dst: int) -> None:
        """Carry messages to one shard: one batch under way, what gathers meanwhile is the next."""
        outbox, event = self.state.outboxes[dst], self._send_soon[dst]
        peer, pause = None, RETRY_FIRST_S
        while True:
            first, messages = outbox.batch(self._durable_position)
            if not messages:
                await event.wait()
                event.clear()
                continue
            try:
                peer = peer or await self._peer(dst)
                async with asyncio.timeout(DELIVER_TIMEOUT_S):
                    seq = await peer.deliver.remote(self.shard, first, len(messages), b"".join(messages))
            except (RayError, TimeoutError, ValueError) as error:  # ValueError: nobody has that name just now
                if isinstance(error, ActorDiedError | ValueError):
                    peer = None
                self.log.warning("messages wait", to=dst, count=len(outbox.waiting), reason=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_MAX_S)
                continue
            pause = RETRY_FIRST_S
            if seq < first - 1:
                self.log.critical("another shard has lost messages it had acknowledged", to=dst, seq=seq, first=first)
                await asyncio.sleep(RETRY_MAX_S)
            elif seq >= first:
                self.metrics.messages_out += len(messages)
                self._run(["acked", dst, seq], urgent=False)

    async def deliver(self, source: int, first_seq: int, count: int, batch: bytes) -> int:
        """Apply a batch of messages from another shard; returns the last number that is applied and durable."""
        self.metrics.messages_in += count
        inbox = self.state.inbox[source]
        if first_seq <= inbox + 1 and first_seq + count - 1 > inbox:
            begin = time.perf_counter()
            before, newest_id = self.state.rings.delivery_count, self.state.arrivals.newest_id
            self._run(["receive", source, first_seq, batch])
            self.metrics.deliveries += self.state.rings.delivery_count - before
            self.metrics.kernel_seconds.observe(time.perf_counter() - begin)
            self.metrics.batch_messages.observe(count)
            if self.state.arrivals.newest_id > newest_id:
                lag_s = time.time() - ids.ms_of_tweet(self.state.arrivals.newest_id) / 1000
                self.metrics.delivery_lag_seconds.observe(max(0.0, lag_s))
        else:
            self.metrics.messages_repeated += count
        durable = self._loop.create_future()
        self._when_durable(durable, self.state.inbox[source])
        return await durable  # type: ignore[no-any-return]

    # ---- every second -----------------------------------------------------------------------------------------

    async def _flush_counts(self) -> None:
        while True:
            await asyncio.sleep(self.settings.timeline.counts_flush_ms / 1000)
            if self.state.dirty_counts:
                self._run(["flush_counts"])

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now_ms = int(time.time() * 1000)
            if now_ms // limits.DAY_MS > self.state.day:
                self._run(["tick", now_ms])
            if self.replica.touched:
                touched, self.replica.touched = sorted(self.replica.touched), set()
                self._run(["touch", touched])
            storage = self.settings.storage
            behind = self.state.position - self._sealed_position
            if (
                not self._sealed
                and behind
                and (behind >= storage.segment_records_max or self.journal.segment_bytes >= storage.segment_bytes_max)
            ):
                self._seal()
            if self.journal.buffered_count:
                self.commit.notify()
            self._measure()

    def _seal(self) -> None:
        """Hand the changes up to here to the checkpointer as soon as they are durable, and begin a new segment."""
        self._sealed_position = self.state.position
        self._sealed.append((self.state.position, self.replica.seal()))
        self.commit.roll_soon()
        if self._durable_position >= self.state.position:
            self._durable(self._durable_position)

    def _measure(self) -> None:
        m, state = self.metrics, self.state
        m.mailbox_depth = len(self._waiting)
        m.outbox_messages = sum(len(o.waiting) for o in state.outboxes.values())
        m.outbox_bytes = sum(o.bytes_waiting for o in state.outboxes.values())
        m.journal_lag_records = state.position - self._durable_position
        m.checkpoint_lag_records = state.position - self.checkpointer.stats().written_position
        m.accounts, m.tweets, m.edges = len(state.people), len(state.tweets), state.graph.edge_count
        m.rings = int(state.rings.awake.sum())
        m.epoch, m.primary = self.storage.epoch, 1
        m.measure_memory()
        if self.settings.metrics.ray_export:
            self._exporter.flush()

    def status(self) -> dict[str, Any]:
        """Return figures of this replica for `status` and `/metrics`."""
        self._measure()
        commit, fold = self.commit.stats(), self.checkpointer.stats()
        return {
            "shard": self.shard, "replica": self.index, "primary": True, "pid": os.getpid(),
            "rss_bytes": self.metrics.memory_bytes, "epoch": self.storage.epoch,
            **self.replica.reads.facts(),
            "durable_position": self._durable_position,
            "journal_lag": self.state.position - self._durable_position,
            "journal_segment_bytes": self.journal.segment_bytes,
            "fsync_count": commit.flush_count, "fsync_seconds": commit.flush_seconds_sum,
            "records_per_fsync": commit.mean_batch_records,
            "checkpoint_position": fold.written_position, "checkpoint_lag": self.state.position - fold.written_position,
            "checkpoint_error": fold.last_error or "",
            "mailbox": len(self._waiting), "lane_connections": self.lane.connection_count if self.lane is not None else 0,
            "metrics": self.metrics.snapshot(),
        }  # fmt: skip


class _CallRequest:
    """A lane request that came as an actor call."""

    __slots__ = ("answer", "args", "op")

    def __init__(self, op: str, args: list[Any], answer: asyncio.Future[list[Any]]) -> None:
        self.op, self.args, self.answer = op, args, answer

    def reply(self, body: Any) -> None:
        if not self.answer.done():
            self.answer.set_result([0, body])

    def fail(self, error: RookeryError) -> None:
        if not self.answer.done():
            self.answer.set_result([1, error.to_wire()])


def _answer(waiter: Any, body: Any) -> None:
    if isinstance(waiter, asyncio.Future):
        if not waiter.done():
            waiter.set_result(body)
    else:
        waiter.reply(body)


def make_shard(shard: int, index: int, settings: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    """Tell the router how to make a shard actor (`shard_factory` of cluster/router_actor.py)."""
    return ShardActor, {"shard": shard, "index": index, "settings": settings}
