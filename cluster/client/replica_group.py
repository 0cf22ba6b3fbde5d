"""A shard that has several replicas, as one client uses it: who takes which request, and what a write leaves behind.

Rules of this file
- Reads of FOLLOWER_READS go to any replica (read_routing.py), everything else to the primary (primary_requests.py).
- A write goes out as `tracked`, whose answer says how far the journal was; a follower is asked `at` that position for
  what this client has written (positions.py). So a client reads its own writes whoever answers.
- What decides about access is read fresh, whether the caller asks for that or not.

Cost: 10 us a read over LaneClient.request, all these files together; measured with two and three replicas.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from actors.core import features
from actors.core.errors import InvalidError, RookeryError
from cluster.client.positions import SeenPositions, WritePositions
from cluster.client.primary_requests import PrimaryRequests
from cluster.client.read_routing import ENGINE_READS, FRESH_PATIENCE_S, ReadFigures, ShardReads
from cluster.client.replica_lanes import ReplicaLanes
from cluster.lane.client import Done, LaneClient, settle
from cluster.lane.protocol import LaneDisconnected
from cluster.placement.shard_map import ReplicaPlace, ShardMap

READ_TIME_SHARE = 0.95  # of a read's time, for asking: what a follower has refused must reach the caller in time

# What any replica may be asked. `export` isn't among it: it goes on by row number, and rows differ between replicas.
FOLLOWER_READS = features.FOLLOWER_READS | ENGINE_READS | {"home", "shaped"}
# Never from a follower while the primary can be reached: what decides about access (so does `home`, if it carries a
# token), and `names`, to which an unknown name is an answer like any other: nobody would ask the primary again.
FRESH_READS = features.FRESH_READS
HOME_WITH_TOKEN_COUNT = 7  # arguments, or more: for what the token is needed
# What changes state. (`status` and the like are neither reads for followers nor writes.)
TRACKED_WRITES = frozenset(features.WRITES)


@dataclass(slots=True)
class Request:
    """What a caller wants. Either a bucket or a shard is given; deadline: on the event loop's clock."""

    bucket: int | None
    shard: int | None
    op: str
    args: list[Any]
    deadline: float
    fresh: bool
    seen: SeenPositions | None


class ReplicaGroup:
    """The replicas of one shard. on_late(): the primary has kept a request waiting for long."""

    def __init__(
        self,
        lanes: ReplicaLanes,
        positions: WritePositions,
        figures: ReadFigures,
        follower_reads: frozenset[str],
        on_late: Callable[[], Any],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._lanes, self._positions, self._follower_reads = lanes, positions, follower_reads
        self._replicas: list[ReplicaPlace] = []
        self._buckets: list[int] = []
        self.primary: ReplicaPlace
        self.reads = ShardReads(self._loop, random.Random(), figures)
        self.to_primary = PrimaryRequests(on_late)

    def take_map(self, new: ShardMap, replicas: list[ReplicaPlace]) -> None:
        """Take over this shard's replicas from a newer map; end what waits for a primary that is none any more."""
        primary = next(replica for replica in replicas if replica.primary)
        if self._replicas and primary.index != self.primary.index:
            self.to_primary.abandon(f"{self.primary.actor_name} is no longer the primary")
        self.primary, self._replicas = primary, replicas
        self._buckets = new.buckets_of_shard(primary.shard)
        self.reads.set_replicas((replica.index, replica.primary, replica.in_sync) for replica in replicas)
        lanes = {replica.index: self._lanes.get(replica) for replica in replicas}
        for index, lane in lanes.items():
            if lane is not None:
                self.reads.connect(index, lane)
        if any(lanes.values()):  # this client uses the shard
            self._lanes.dial_soon(self._in_sync(), self._loop.time())

    def close(self) -> None:
        """Stop the timers; requests end with their lanes."""
        self.reads.close()
        self.to_primary.close()

    def ask(self, request: Request) -> asyncio.Future[Any]:
        """As `send`, with a future."""
        future = self._loop.create_future()
        self.send(request, partial(settle, future))
        return future

    def send(self, request: Request, done: Done) -> None:
        """Ask the connected replicas; done(body, None) or done(None, error) is called exactly once, later.

        Raises at once, and never calls done, when nobody can be asked (LaneDisconnected, Unanswered) or the lane takes
        no such request. Lanes that are missing are dialled meanwhile.
        """
        now, op = self._loop.time(), request.op
        if not self.reads.complete:
            self._lanes.dial_soon(self._in_sync(), now)
        left_s = max(request.deadline - now, 0.0)
        if op in self._follower_reads:
            deadline, position = now + left_s * READ_TIME_SHARE, self._position_to_see(request, now)
            self.reads.read(op, request.args, deadline, done, position, self.must_be_fresh(request))
            return
        lane = self._lanes.get(self.primary)
        if lane is None:
            raise LaneDisconnected(f"{self.primary.actor_name} is not connected", written=False)
        if op in TRACKED_WRITES:
            self._send_write(lane, request, left_s, done)
        else:
            self.to_primary.send(lane, op, request.args, left_s, done)

    async def connect(self, request: Request) -> None:
        """Return once somebody is connected who can answer. Raises one of UNREACHABLE if nobody can be dialled.

        A read: those in sync first, whoever is there first; a fresh one waits for the primary while its patience lasts.
        """
        if request.op not in self._follower_reads:
            await self._lanes.connect(self.primary)
            return
        dial, usable = self._lanes.dial, self.reads.usable
        if self.must_be_fresh(request) and not self.reads.patience_is_over(self._loop.time()):
            if self._lanes.get(self.primary) is None:
                await asyncio.wait([dial(self.primary)], timeout=FRESH_PATIENCE_S)
            return
        failure: BaseException | None = None
        for replicas in (self._in_sync(), self._replicas):
            pending = set() if usable() else {dial(replica) for replica in replicas}
            while pending and not usable():
                ended, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                failure = next((task.exception() for task in ended if not task.cancelled()), failure)
        if not usable():
            raise failure or ConnectionError(f"no replica of shard {self.primary.shard} can be dialled")

    def note_write(self, request: Request, answer: Any) -> Any:
        """Remember how far the journal was and return the body. answer: that of `tracked`.

        Raises RookeryError when it is no such answer.
        """
        shard = self.primary.shard
        if not isinstance(answer, list) or len(answer) != 2 or type(answer[0]) is not int:
            raise RookeryError(f"shard {shard} answers a tracked {request.op} without a position")
        position, body = answer
        buckets = self._buckets if request.bucket is None else [request.bucket]
        self._positions.note(shard, buckets, position, self._loop.time())
        if request.seen is not None:
            request.seen[shard] = max(position, request.seen.get(shard, 0))
        return body

    def must_be_fresh(self, request: Request) -> bool:
        """Whether the primary comes first for this read."""
        op, args = _unshaped(request)
        return request.fresh or op in FRESH_READS or (op == "home" and len(args) >= HOME_WITH_TOKEN_COUNT)

    def _in_sync(self) -> list[ReplicaPlace]:
        return [replica for replica in self._replicas if replica.in_sync or replica.primary]

    def _position_to_see(self, request: Request, now: float) -> int:
        shard = self.primary.shard
        if request.bucket is None or _unshaped(request)[0] in features.SHARD_WIDE:
            position = self._positions.of_shard(shard, now)
        else:
            position = self._positions.of_bucket(request.bucket, now)
        return position if not request.seen else max(position, request.seen.get(shard, 0))

    def _send_write(self, lane: LaneClient, request: Request, timeout_s: float, done: Done) -> None:
        def take(answer: Any, error: Exception | None) -> None:
            body = None
            if error is None:
                try:
                    body = self.note_write(request, answer)
                except RookeryError as failure:
                    error = failure
            done(body, error)

        self.to_primary.send(lane, "tracked", [request.op, request.args], timeout_s, take)


def _unshaped(request: Request) -> tuple[str, list[Any]]:
    """Return operation and arguments of a request; of one in a shape (`["shaped", [number, op, args]]`) what it wraps.

    Raises InvalidError if it wraps nothing.
    """
    if request.op != "shaped":
        return request.op, request.args
    if len(request.args) != 3 or type(request.args[1]) is not str or type(request.args[2]) is not list:
        raise InvalidError("shaped takes [number of the shape, operation, arguments]")
    return request.args[1], request.args[2]
