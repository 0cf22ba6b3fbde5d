"""A shard replica that is served: the parts round a `Replica`, the requests of its lane, what it does by itself.

    lane request --> handle --> a read: the replica answers (home_requests.py if it must ask others first)
                            \\-> a write: commits.py applies and journals it; answered when durable;
                                exchange.py sends its messages

Rules of this file
- No decisions about timelines: those are in `actors/core/`. Everything here runs on one event loop.
- How a replica comes to be, joins its cluster and ends is `actors/shard_actor.py`'s.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from actors.core import limits
from actors.core.errors import FrozenError, InvalidError, MovedError, OverloadedError, RookeryError
from actors.core.features import ASKING, READS, WRITES, hides
from actors.core.features.blobs import BLOB
from actors.core.features.cards import tend_cards
from actors.core.features.media import MEDIA
from actors.core.verify import check, digest
from actors.core.visibility import is_question
from actors.metrics import ShardMetrics
from actors.shard.backup_source import OPERATIONS as BACKUP
from actors.shard.backup_source import BackupSource
from actors.shard.carried_reads import CarriedReads, wrapped
from actors.shard.commits import Commits
from actors.shard.delivery_pace import DeliveryPace
from actors.shard.exchange import Exchange
from actors.shard.handover import Handover
from actors.shard.home_requests import HomeRequests
from actors.shard.inquiring_writes import InquiringWrites
from actors.shard.leavings import LeavingPace
from actors.shard.listening import OPERATIONS as LISTENING
from actors.shard.listening import Listening
from actors.shard.measured import OTHER_READS, OwnFigures, bounds_of, count_other, measure
from actors.shard.moves import OPERATIONS as MOVES
from actors.shard.moves import Moves
from actors.shard.outgoing import OutgoingQueue
from actors.shard.previewing import Previewing
from actors.shard.replication import OPERATIONS as REPLICATION
from actors.shard.replication import Replication
from actors.shard.search_requests import OPERATIONS as SEARCH
from actors.shard.search_requests import make_search
from actors.shard.settlements import Settlements
from actors.shard.storage import Storage
from actors.shard.touches import Touches
from cluster.lane.server import LaneRequest, LaneServer
from cluster.life.heartbeat import Heartbeat, busy
from cluster.placement.shard_map import ShardMap, shard_actor_name
from configs.settings import Settings

TIDY_PAUSES = 20  # length of the pause after a step of tidying memory, in steps of about 1 ms: 5 % of a core
TICK_S = 1.0  # segment limits, reads of the day and the calendar are looked at this often
WALK_S = 300.0  # that a walk over the whole state may hold the loop: some seconds for a million accounts


class ServedReplica:
    """One replica of one shard with its parts, on the running event loop.

    ask_router(method, *arguments): one call to the router, None when it doesn't answer; heartbeat: this process's.
    """

    def __init__(
        self, storage: Storage, settings: Settings, shard: int, index: int,
        ask_router: Callable[..., Awaitable[Any]], heartbeat: Heartbeat,
    ) -> None:  # fmt: skip
        self.settings, self.shard, self.index, self._heartbeat = settings, shard, index, heartbeat
        self.storage, self.replica, self.state = storage, storage.replica, storage.replica.state
        self.metrics = ShardMetrics(limits=bounds_of(self))
        self.figures = OwnFigures(self, shard_actor_name(shard, index), heartbeat.late_seconds)
        self.delivered_before = self.state.rings.delivery_count  # by the recovery
        self.commits = Commits(storage, self.metrics, self.settings.checkpoint.queue_batches_max)
        self.replication = Replication(
            self.commits, storage, index, ask_router, self._on_lead, self._on_map,
            Handover(self.handle, self.settings.limits.mailbox_max),
        )  # fmt: skip
        self.backup = BackupSource(self.commits, storage, self.replication)
        mailbox_max = self.settings.limits.mailbox_max
        self.moves = Moves(self.commits, lambda: self.replication.leads, self.handle, mailbox_max)
        self.leavings = LeavingPace(self.commits, lambda: self.replication.leads)
        self.exchange = Exchange(
            self.commits, self.metrics, self.settings.cluster.namespace, lambda: self.replication.leads
        )
        self.settlements = Settlements(self.commits, self.metrics, self.settings.cluster.replicas > 1)
        self.exchange.on_acknowledged, self.exchange.on_heard = self.settlements.acknowledged, self.settlements.heard
        self.outgoing = OutgoingQueue(
            self.commits, lambda: self.replication.leads, self.settings.channels
        )  # fmt: skip
        self.previewing = Previewing(self.commits, lambda: self.replication.leads, self.settings.previews)
        self.homes = HomeRequests(self.commits, self.exchange, self.metrics)
        self.listening = Listening(
            self.commits, self.homes.accounts, self.metrics, lambda: self.replication.role == "primary"
        )
        self.inquiring = InquiringWrites(self.replica, self._write_asked, self._refuse)
        self.touches = Touches(self.commits, self.exchange)
        self.search = make_search(
            self.settings.search, self.commits, self.replica.lookups, storage.directory / "search"
        )
        self.carried = CarriedReads(self.replica, self.homes, self.search, self._home, self._require_lead)
        self.deliveries = DeliveryPace(self.state.deliveries, self.metrics, lambda: self.replication.leads)
        self.commits.on_applied = self._announce
        self.lane: LaneServer | None = None
        self._stopping = self._tidying = False
        self._hollow = not self.state.position  # began empty: it can't say yet that something isn't there
        self._reads, self._writes = frozenset(READS), frozenset(WRITES)
        self._reads_at = self._reads | SEARCH | {"home", "shaped"}
        self._loop = asyncio.get_running_loop()

    # ---- requests ---------------------------------------------------------------------------------------------

    def handle(self, request: LaneRequest) -> None:
        """Carry out one lane request, or set out to."""
        op, metrics, is_new = request.op, self.metrics, not request.begun  # one that was kept has begun before
        if is_new:
            request.begun = time.perf_counter()
        try:
            if op in self._writes:
                metrics.writes += is_new
                self._write(request, op, request.args)
                return
            if op == "home" or op in self._reads:
                metrics.reads += is_new
                request.timed = metrics.read_seconds
            else:
                count_other(metrics, request, is_new)
            if self._hollow and (op in self._reads or op in OTHER_READS):
                self._require_contents()
            if op == "home":
                self._home(request, request.args)
            elif op in self._reads:
                request.reply(self.replica.read(op, request.args))
            else:
                self._operate(request)
        except RookeryError as error:
            self._refuse(request, error)

    def _refuse(self, request: LaneRequest, error: RookeryError) -> None:
        """Refuse a request, or keep it if it only has to wait."""
        if isinstance(error, MovedError) and self.replication.handover.keep(request):
            return
        if isinstance(error, FrozenError) and self.moves.keep(request):
            return
        request.fail(error)

    def _home(self, request: LaneRequest, args: list[Any]) -> None:
        query = self.replica.query(args)
        ready = self.replica.try_home(query)
        if ready is not None:
            request.reply(ready)
        else:
            self._require_lead()
            self.homes.start(request, query)

    def _require_contents(self) -> None:
        """Refuse reads of a replica that began empty, until it leads or is in sync: whoever takes it for the primary
        that it was, before its damaged files were put aside, would believe that nothing is there."""
        shard_map, replication = self.replication.shard_map, self.replication
        own = None if shard_map is None else shard_map.replica(self.shard, self.index)
        is_full = own is not None and own.in_sync and own.store_id == replication.file.store_id
        if replication.role != "primary" and not is_full:
            raise MovedError(f"replica {self.index} of shard {self.shard} is being filled")
        self._hollow = False

    def _require_lead(self) -> None:
        if not self.replication.leads:
            raise MovedError(f"replica {self.index} of shard {self.shard} doesn't lead it")

    def _write(
        self, request: LaneRequest, op: str, args: list[Any], how: str = "", may_ask: bool = True
    ) -> None:  # fmt: skip
        """Carry out a write, or have it ask other shards first. how: "tracked", "settled" or neither."""
        request.timed, begin = self.metrics.write_seconds, time.perf_counter()
        sent = self.settlements.begin() if how == "settled" else None
        try:
            body = self._apply(op, args)
        finally:
            if sent is not None:
                self.settlements.noted()
        self.metrics.apply_seconds.observe(time.perf_counter() - begin)
        if may_ask and op in ASKING and is_question(body) and self.inquiring.begin(request, op, args, how):
            return
        if sent is not None:
            self.commits.when_committed(self.settlements.of(request, sent), body)
            return
        if how and not isinstance(body, RookeryError):
            body = [self.state.position, body]
        self.commits.when_committed(request, body)

    def _write_asked(self, request: LaneRequest, op: str, args: list[Any], how: str) -> None:
        self._write(request, op, args, how, False)

    def _apply(self, op: str, args: list[Any]) -> Any:
        """Carry out a write; returns the reply's body, a refusal too, to be given once it is committed."""
        self._require_lead()
        waiting = len(self.commits.waiting) + len(self.settlements)
        if self._stopping or waiting >= self.settings.limits.mailbox_max:
            raise OverloadedError(f"shard {self.shard} has {waiting} requests waiting", retry_after_s=1.0)
        body = self.commits.write(op, args, int(time.time() * 1000))
        if self.lane is not None and hides(op, args):
            self.lane.push("hidden", 0)
        return body

    def _operate(self, request: LaneRequest) -> None:
        op = request.op
        if op in SEARCH:
            self.search.handle(request, op, request.args)
        elif op in REPLICATION:
            self.replication.handle(request)
        elif op in BACKUP:
            self.backup.handle(request)
        elif op in LISTENING:
            self.listening.handle(request)
        elif op in MOVES:
            self.moves.handle(request)
        elif op in ("tracked", "settled"):
            self._write(request, *wrapped(op, request.args, 0, self._writes), op)
        elif op == "at":
            inner, args = wrapped(op, request.args, 1, self._reads_at)
            if not self.replication.leads and self.state.position < request.args[0]:
                raise MovedError(f"replica {self.index} of shard {self.shard} is behind position {request.args[0]}")
            self.carried.answer(request, inner, args)
        elif op == "shaped":
            self.carried.shaped(request, request.args)
        elif op == "touched":
            self.touches.take(request.args)
            request.reply(True)
        elif op == "status":
            request.reply(self.status())
        elif op == "check":
            with busy("check", WALK_S):
                request.reply(check(self.state))
        elif op == "digest":
            with busy("digest", WALK_S):
                request.reply(digest(self.state))
        elif op in ("home_ids", "explain"):
            self._require_lead()
            self.homes.start_asked(request, op, request.args)
        else:
            raise InvalidError(f"the lane has no operation {op!r}; see docs/lane.md")

    def _on_lead(self) -> None:
        """This replica takes writes from now on."""
        self.moves.lead(self.replication.shard_map)
        if not self.state.frozen:
            self.commits.run(["tick", max(int(time.time() * 1000), self.state.day * limits.DAY_MS)])
        self.exchange.start()
        self.exchange.wake_senders()
        self.outgoing.wake()
        self.leavings.look()

    def _on_map(self, shard_map: ShardMap) -> None:
        """The cluster's map has changed: API workers fetch it."""
        self.exchange.learn(shard_map)
        if shard_map.primary_of(self.shard).index != self.index:
            self.moves.stop_leading(MovedError(f"shard {self.shard} has another leader"))
            self.listening.stop()
        if self.lane is not None:
            self.lane.push("map", shard_map.epoch)

    def _announce(self) -> None:
        """After a command: large deliveries go on, readers of woken accounts too, API workers forget revoked tokens."""
        self.moves.look()
        if self.state.people.leaving:
            self.leavings.look()
        if self.exchange.shard_count < self.state.shard_count - 1:
            self.exchange.start()
        if self.state.deliveries.backlog or self.state.deliveries.ended:
            self._deliver_piece()
        if self.state.woken:
            self.homes.announce_woken()
        if self.state.revoked:
            if self.lane is not None:
                for revoked in self.state.revoked:
                    self.lane.push("revoked", list(revoked))
            self.state.revoked.clear()

    def _deliver_piece(self) -> None:  # a method of this name is looked for by what was started of old code
        """Have large deliveries go on, and those timed that have ended."""
        self.deliveries.look()

    def _tidy_step(self) -> None:
        begin = time.perf_counter()
        self._tidying = self.state.tidy()
        if self._tidying:
            spent = time.perf_counter() - begin
            self._loop.call_later(spent * TIDY_PAUSES, self._tidy_step)

    # ---- every second -----------------------------------------------------------------------------------------

    async def _flush_counts(self) -> None:
        while True:
            await asyncio.sleep(self.settings.timeline.counts_flush_ms / 1000)
            if self.state.dirty_counts and self.replication.leads and not self.state.frozen:
                self.commits.run(["flush_counts"])

    async def _tell_touched(self) -> None:  # a method of this name is looked for by what was started of old code
        """Tell the primary who has read here."""
        await self.touches.tell(TICK_S)

    async def _tick(self) -> None:
        storage = self.settings.storage
        while True:
            await asyncio.sleep(TICK_S)
            now_ms = int(time.time() * 1000)
            if self.replication.leads and not self.state.frozen:
                if now_ms // limits.DAY_MS > self.state.day:
                    self.commits.run(["tick", now_ms])
                self.touches.journal(now_ms)
            elif not self.replication.leads:
                await self._tell_touched()
            self.homes.accounts.ask_anew(tend_cards(self.state, int(time.monotonic() * 1000)))
            self.replication.records.tend()
            if not self._tidying:
                self._tidy_step()
            interval_s = self.settings.checkpoint.interval_s
            self.commits.tend(storage.segment_records_max, storage.segment_bytes_max, interval_s)

    async def _export(self) -> None:  # a method of this name is looked for by what was started of old code
        """Hand the figures to Ray's metrics every so often."""
        await self.figures.export()

    def _measure(self) -> None:  # likewise
        """Bring the gauges up to date."""
        measure(self)

    def status(self) -> dict[str, Any]:
        """Return figures of this replica for `status` and `/metrics`."""
        told = self.figures.told()
        return {
            "shard": self.shard,
            "replica": self.index,
            "primary": self.replication.role == "primary",
            "pid": os.getpid(),
            "hangs": self._heartbeat.hangs,
            "rss_bytes": self.figures.process.get("memory_bytes"),
            "epoch": self.storage.journal.epoch,
            "level": self.state.level,
            **self.replication.figures(),
            **self.moves.figures(),
            "lane_connections": 0 if self.lane is None else self.lane.connection_count,
            "lane_strangers": {} if self.lane is None else self.lane.strangers(),
            "tidying": self._tidying,
            "search": self.search.figures(),
            "outgoing": self.outgoing.figures(),
            "previews": self.previewing.figures(),
            **self.replica.lookups.facts(),
            "uploads": self.state.papers.count(MEDIA),
            "media_to_remove": self.state.papers.count(BLOB),
            **self.homes.accounts.figures(),
            **self.listening.figures(),
            **self.commits.figures(),
            "told": told,
        }
