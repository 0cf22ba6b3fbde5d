"""One replica's part in its shard's replication: leading, following, and changing between the two.

    waiting --prepare(term)--> waiting --lead(map)----> primary --prepare(higher term)--> waiting
                                       --attach(term)--> follower        (hand_over: primary, but takes no writes)
    primary:  attach ---> follower says how far its log goes       append(first, records) ---> position on its disk
              snapshot -> a follower that is too far behind is given the checkpoint, and comes back with it

Rules of this file
- The rules themselves are `actors/core/replication.py`; here are their I/O and their order. All on the actor's loop.
- A promise, and the term of a log, are on disk before anybody is told.
- What doesn't stand (standing_position) is cut off the journal, and the process ends: memory can't go back, and the
  next process begins from what is left. A leader that learns of a higher term ends the same way.
- Records are shipped while this disk still syncs them: a commit takes the slower of the two, not their sum.
- Bounded: RECENT_BYTES_MAX of records for followers (older ones come from the journal), one request under way for each.
- The followers of a leader, and its connections to them, are `followers.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from actors.core.errors import (
    ConflictError,
    DeposedError,
    InvalidError,
    MalformedError,
    MovedError,
    OverloadedError,
    RookeryError,
)
from actors.core.replication import Leader, Term, standing_position
from actors.shard.commits import Commits
from actors.shard.follower_records import FollowerRecords
from actors.shard.followers import GRACE_S, HEARTBEAT_S, FollowerLink, Followers
from actors.shard.handover import CATCH_UP_S, PAUSE_S, Handover
from actors.shard.storage import Storage
from cluster.lane.handshake import LaneKeys
from cluster.lane.server import LaneRequest
from cluster.placement.shard_map import ShardMap
from persistence.errors import JournalCorruptError

OPERATIONS = frozenset(("prepare", "hand_over", "lead", "learn_map", "attach", "append", "snapshot"))


class Replication:
    """See the module header. `keys` and `node_id` are set once the actor has joined the cluster."""

    def __init__(
        self, commits: Commits, storage: Storage, index: int, call_router: Callable[..., Awaitable[Any]],
        on_lead: Callable[[], None], on_map: Callable[[ShardMap], None], handover: Handover,
    ) -> None:  # fmt: skip
        self.commits, self.state, self.journal = commits, commits.state, commits.journal
        self.storage, self.file = storage, storage.replica_file
        self.index, self.shard = index, commits.state.shard
        self.keys, self.node_id = LaneKeys(b""), ""
        self.role, self.prepared = "waiting", -1
        self.leader: Leader | None = None
        self.writable = False
        self.shard_map: ShardMap | None = None
        self.log = structlog.get_logger()
        self.call_router, self._on_lead, self._on_map = call_router, on_lead, on_map
        self.handover = handover
        self._change = asyncio.Lock()  # one change of role at a time
        self._followers: Followers | None = None  # while it leads
        self._serving: set[asyncio.Task[None]] = set()
        self._told = 0  # the committed position as the leader said it
        self.records = FollowerRecords(self.state, self.journal, self._positions)
        self._incoming: Any = None  # pieces of a snapshot, on disk
        commits.committed_at = self._as_told
        commits.leads = lambda: self.writable

    @property
    def leads(self) -> bool:
        """Whether this replica takes writes."""
        return self.writable

    @property
    def term(self) -> int:
        """The term whose log this replica holds."""
        return self.file.term

    # ---- requests over the lane -------------------------------------------------------------------------------

    def handle(self, request: LaneRequest) -> None:
        """Carry out one of OPERATIONS, or set out to. Raises RookeryError."""
        if request.op == "append":
            self._append(request)
        elif request.op == "learn_map":
            self.learn(ShardMap.from_wire(_arguments(request, 1)[0]))
            request.reply(True)
        else:
            task = asyncio.create_task(self._answer(request))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _answer(self, request: LaneRequest) -> None:
        try:
            if request.op == "hand_over":  # what changes the role meanwhile ends it, and needn't wait for it
                request.reply(await self._hand_over(request))
                return
            async with self._change:
                request.reply(await getattr(self, f"_{request.op}")(request))
        except RookeryError as error:
            request.fail(error)
        except Exception as error:  # a disk that refuses, above all
            self.log.exception("a change of role failed; this process ends", operation=request.op)
            request.fail(OverloadedError(f"replica {self.index} can't: {type(error).__name__}", retry_after_s=1.0))
            self._exit()

    def learn(self, shard_map: ShardMap) -> None:
        """Replace the map by a newer one."""
        if self.shard_map is not None and shard_map.epoch <= self.shard_map.epoch:
            return
        self.shard_map = shard_map
        self._on_map(shard_map)
        if self.handover.paused and shard_map.term_of(self.shard) > self.handover.term:
            self.handover.give_back(f"shard {self.shard} has another leader")
        for link in self._links.values():
            link.look_again()

    async def _prepare(self, request: LaneRequest) -> list[Any]:
        """Promise to follow nobody of a lower term: [True, store_id, term, position], or [False, the promise]."""
        term = _number(_arguments(request, 1)[0], "term")
        if term < self.file.promised or (term == self.file.promised and self.role == "primary"):
            return [False, self.file.promised]
        self._stop_leading()
        self.prepared = term
        await asyncio.to_thread(self.file.save, promised=term)
        position = await self._all_durable()
        return [True, self.file.store_id, self.file.term, position]

    async def _hand_over(self, request: LaneRequest) -> int:
        """Take no writes until a follower in sync has everything and beyond: an election follows. args: [term, index].

        Returns the position. Raises RookeryError if that can't be; this replica then leads on, as it does when no
        election has come within PAUSE_S.
        """
        term, index = _arguments(request, 2)
        leader, followers = self.leader, self._followers
        if leader is None or followers is None or leader.term != term or not self.writable:
            raise MovedError(f"replica {self.index} of shard {self.shard} doesn't lead in term {term}")
        if index == self.index or index not in leader.in_sync:
            raise ConflictError(f"replica {index} of shard {self.shard} is no follower in sync")
        self.writable = False
        self.handover.begin(term)
        asyncio.get_running_loop().call_later(PAUSE_S, self._end_pause, leader)
        try:
            await followers.until(
                lambda: min(leader.committed, leader.acked.get(index, -1)) >= self.state.position, CATCH_UP_S
            )
        except TimeoutError as error:
            self._end_pause(leader)
            raise OverloadedError(f"replica {index} is behind for {CATCH_UP_S} s", retry_after_s=1.0) from error
        return self.state.position

    def _end_pause(self, leader: Leader) -> None:
        """Lead on, if nobody else was elected since the pause began."""
        if self.handover.term != leader.term:
            return
        if self.leader is leader:
            self.log.warning("the shard was not handed over; this replica leads on", term=leader.term)
            self._take_writes()
            self.handover.resume()
        else:
            self.handover.give_back(f"replica {self.index} of shard {self.shard} doesn't lead it")

    async def _all_durable(self) -> int:
        durable: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.commits.when_durable(durable, self.state.position)
        return await durable

    # ---- leading ----------------------------------------------------------------------------------------------

    async def _lead(self, request: LaneRequest) -> bool:
        """Lead, if the map says so and this very process was elected. args: [map, whether others are about]."""
        wire, others_about = _arguments(request, 2)
        self.learn(ShardMap.from_wire(wire))
        assert self.shard_map is not None
        term = self.shard_map.term_of(self.shard)
        if self.shard_map.primary_of(self.shard).index != self.index or self.prepared != term:
            raise MovedError(f"replica {self.index} was not elected for term {term}")
        if self.role == "primary":
            return True
        newest = self.shard_map.terms[self.shard][-1]
        if newest.begin != self.state.position:
            raise InvalidError(f"term {term} begins at {newest.begin}, this replica is at {self.state.position}")
        await asyncio.to_thread(self._begin_term, term)
        self.role = "primary"
        self.leader = Leader(term, self.index, newest.begin, newest.copies)
        self.commits.committed_at = self.leader.advance
        self.log.info("leading", term=term, position=newest.begin)
        peers = [r.index for r in self.shard_map.replicas_of(self.shard) if r.index != self.index]
        self._followers = Followers(self, self.leader, peers)
        if peers:
            self.records.begin()
            self.commits.on_record = self._followers.remember
            for index in peers:  # whoever was away during the election needs what is in the journal now
                self.records.hold(index, self.commits.figures()["checkpoint_position"])
            self._followers.start()
            asyncio.get_running_loop().call_later(GRACE_S if others_about else 0.0, self._stop_waiting, self.leader)
        self.advance(self.leader.committed)
        return True

    def _begin_term(self, term: int) -> None:
        self.file.save(promised=max(term, self.file.promised), term=term)
        self.journal.begin_epoch(term)

    def _stop_waiting(self, leader: Leader) -> None:
        if self.leader is leader and not self.writable and not self.handover.paused:
            self.log.warning("taking writes with fewer copies than asked for", in_sync=sorted(leader.in_sync))
            self._take_writes()

    def _take_writes(self) -> None:
        self.writable = True
        self._on_lead()

    def _stop_leading(self) -> None:
        if self._followers is not None:
            self._followers.end()
        self.role, self.leader, self.writable, self._followers = "waiting", None, False, None
        self.commits.committed_at = self._as_told
        self.commits.on_record = None
        self.records.forget()

    def _as_told(self, durable: int) -> int:
        """Return how far everything is committed, as the leader has said it."""
        return self._told

    def advance(self, committed: int) -> None:
        """Note what is committed now that followers, or the in-sync set, have changed."""
        leader = self.leader
        assert leader is not None
        self.commits.settle(committed)
        if not self.writable and not self.handover.paused and leader.fully_replicated:
            self._take_writes()

    def depose(self, reason: str) -> None:
        """Another replica leads: end, and come back as a follower."""
        self.log.warning("deposed; this process ends and comes back as a follower", reason=reason)
        self._exit()

    def damaged(self, error: JournalCorruptError) -> None:
        """The own journal can't be read: end, if others have all that was acknowledged, and be filled anew by them."""
        leader = self.leader
        spared = leader is not None and leader.copies > 1 and leader.fully_replicated
        self.log.critical("the journal of the leader is damaged", reason=error.message, ends=spared)
        if spared:
            self._exit()

    def _exit(self) -> None:
        os._exit(0)

    @property
    def _links(self) -> dict[int, FollowerLink]:
        return {} if self._followers is None else self._followers.links

    def _positions(self) -> dict[int, int]:
        return {} if self._followers is None else self._followers.positions()

    # ---- following --------------------------------------------------------------------------------------------

    async def _attach(self, request: LaneRequest) -> list[Any]:
        """Follow the leader of a term: [store_id, position], position -1 if only a snapshot helps."""
        term, history = _arguments(request, 2)
        term = self._checked_term(_number(term, "term"))
        terms = [Term(*map(int, row)) for row in history]
        position = await self._all_durable()
        standing = standing_position(terms, self.file.term, position)
        if standing < position:
            if standing < max(self.commits.figures()["checkpoint_position"], self.journal.first_position - 1):
                return [self.file.store_id, -1]
            await asyncio.to_thread(self.journal.cut_after, standing)
            self.depose(f"{position - standing} records above {standing} were never committed, and are cut")
        await asyncio.to_thread(self._begin_term, term)
        self.role, self._told = "follower", 0
        self.commits.refuse_waiting(MovedError(f"replica {self.index} of shard {self.shard} follows now"))
        self.log.info("following", term=term, position=position)
        return [self.file.store_id, position]

    def _checked_term(self, term: int) -> int:
        if term < self.file.promised or (self.role == "primary" and term <= self.file.term):
            raise DeposedError(f"replica {self.index} of shard {self.shard} has promised term {self.file.promised}")
        if self.role == "primary":
            self._stop_leading()
        return term

    def _append(self, request: LaneRequest) -> None:
        """Apply the leader's records; answered with this disk's position once they are durable."""
        term, first, committed, records = _arguments(request, 4)
        if term < self.file.promised:
            raise DeposedError(f"replica {self.index} of shard {self.shard} has promised term {self.file.promised}")
        position = self.state.position
        if self.role != "follower" or term != self.file.term or first > position + 1:
            raise MovedError(f"replica {self.index} of shard {self.shard} is at {position}; attach first")
        self.commits.follow(records[position + 1 - first :])
        self._told = max(self._told, committed)
        self.commits.settle(self._told)
        self.commits.when_durable(request, self.state.position)

    async def _snapshot(self, request: LaneRequest) -> bool:
        """Take a leader's checkpoint in pieces: [term, "piece", bytes], and at last [term, "end", position]."""
        term, kind, *values = request.args
        self._checked_term(_number(term, "term"))
        if kind == "begin":
            self.role = "waiting"  # since it attached it has been a follower, but its log leads nowhere
            self._incoming = await asyncio.to_thread(self.storage.open_incoming)
        elif self.role == "follower" or self._incoming is None:
            raise MovedError("a snapshot begins with begin")
        elif kind == "piece":
            await asyncio.to_thread(self._incoming.write, values[0])
        else:
            self.log.info("replaced by a snapshot", position=values[0], bytes=self._incoming.bytes_written)
            await self.commits.abandon()
            await asyncio.to_thread(self.storage.install, self._incoming, term, values[0])
            request.reply(True)
            await asyncio.sleep(HEARTBEAT_S)  # the reply leaves
            self._exit()
        return True

    async def stop(self, timeout_s: float) -> None:
        """Before a clean stop: followers get what they lack."""
        if self._followers is not None:
            with contextlib.suppress(TimeoutError):
                await self._followers.until(self._nobody_lacks_records, timeout_s)
            self._followers.end()

    def _nobody_lacks_records(self) -> bool:
        return min(self._positions().values(), default=self.state.position) >= self.state.position

    def lags(self) -> dict[str, int]:
        """Return how many records each follower hasn't acknowledged; of a replica that doesn't lead, nothing."""
        return {str(index): max(0, self.state.position - link.acked) for index, link in self._links.items()}

    def figures(self) -> dict[str, Any]:
        """Return role, term and followers for `status`."""
        return {
            "role": self.role,
            "term": self.file.term,
            "writable": self.writable,
            "in_sync": sorted(self.leader.in_sync) if self.leader is not None else [],
            "followers": {str(i): link.acked for i, link in self._links.items()},
        }


def _arguments(request: LaneRequest, count: int) -> list[Any]:
    if not isinstance(request.args, list) or len(request.args) != count:
        raise MalformedError(f"{request.op} takes {count} arguments")
    return request.args


def _number(value: Any, field: str) -> int:
    if type(value) is not int or value < 0:
        raise InvalidError(f"{field} must be a whole number, not {str(value)[:40]!r}", field)
    return value
