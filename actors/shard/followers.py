"""A leader's followers during its term: a connection to each, what it has, and which of them are in sync.

Rules of this file
- It follows the leader's decisions (`replication.py`, by the rules of `actors/core/replication.py`): here are the
  connections, and the question to the router which set it is to note.
- Records are shipped while this disk still syncs them; one request is under way for each follower.
- All of it ends with the term: whoever finds that another leads stops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.core.errors import DeposedError, RookeryError
from actors.core.replication import Leader
from actors.shard.handover import PAUSE_S
from cluster.lane.client import LaneClient
from cluster.lane.protocol import LaneProtocolError
from cluster.placement.shard_map import ReplicaPlace
from persistence.errors import JournalCorruptError
from persistence.snapshot_pieces import pack_piece

if TYPE_CHECKING:
    from actors.shard.replication import Replication

HEARTBEAT_S = 0.25  # an idle leader tells how far everything is committed, and finds out who is gone
APPEND_TIMEOUT_S = 1.0  # a follower that takes longer leaves the in-sync set, so that writes go on without it
ATTACH_TIMEOUT_S = 5.0  # it syncs its journal and its replica file meanwhile
GRACE_S = 2.0  # how long a new leader waits for a second copy before it takes writes with fewer
RETRY_FIRST_S, RETRY_MAX_S = 0.02, 0.5  # between attempts to reach a follower
ROUTER_PAUSE_S = 0.05  # between attempts to have the router note another in-sync set
PIECE_ROWS = 20_000  # rows of a snapshot's piece
UNREACHABLE = (OSError, LaneProtocolError, RookeryError)


class Followers:
    """The followers of one leader in one term; indices: of the shard's other replicas."""

    def __init__(self, replication: Replication, leader: Leader, indices: list[int]) -> None:
        self._replication, self._leader = replication, leader
        self.links = {index: FollowerLink(replication, leader, index) for index in indices}
        self._tend_soon, self._changed = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """From now on keep every follower attached, and the in-sync set what it should be; not if there is none."""
        self._tasks = [asyncio.create_task(link.run()) for link in self.links.values()]
        self._tasks.append(asyncio.create_task(self._tend()))
        self._replication.commits.on_committed.append(self._look)

    def end(self) -> None:
        """Another leads, or this process ends."""
        if self._tasks:
            self._replication.commits.on_committed.remove(self._look)
        for task in self._tasks:
            task.cancel()
        self._tasks, self.links = [], {}

    def remember(self, record: bytes) -> None:
        """There is another record of this leader's."""
        self._replication.records.remember(record)
        for link in self.links.values():
            link.more.set()

    def _look(self) -> None:
        """More may be acknowledged or committed: somebody waits for that, or another in-sync set is wanted."""
        self._changed.set()
        if self._leader.proposal() is not None:
            self._tend_soon.set()

    async def until(self, is_so: Callable[[], bool], timeout_s: float) -> None:
        """Return once followers have acknowledged what makes that true. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    def positions(self) -> dict[int, int]:
        """Return how far attached followers have acknowledged, by index."""
        return {index: link.acked for index, link in self.links.items() if link.acked >= 0}

    async def _tend(self) -> None:
        """Have the router note the in-sync set that is wanted, whenever there is one."""
        replication, leader = self._replication, self._leader
        while replication.leader is leader:
            wanted = leader.proposal()
            if wanted is None:
                self._tend_soon.clear()
                await self._tend_soon.wait()
                continue
            disks = {i: link.store_id for i, link in self.links.items()} | {
                replication.index: replication.file.store_id
            }
            members = [[i, disks[i]] for i in sorted(wanted)]
            accepted = await replication.call_router("change_in_sync", replication.shard, leader.term, members)
            if accepted is None:
                await asyncio.sleep(ROUTER_PAUSE_S)
            elif accepted:
                replication.log.info("in sync", replicas=sorted(wanted), position=leader.committed)
                replication.advance(leader.decided())
            else:
                replication.depose(f"the router knows of a term above {leader.term}")


class FollowerLink:
    """A leader's connection to one follower: attach, then one append after the other; after trouble, from the start."""

    def __init__(self, replication: Replication, leader: Leader, index: int) -> None:
        self.replication, self.leader, self.index = replication, leader, index
        self.acked, self.store_id = -1, ""
        self.more = asyncio.Event()
        self._look = asyncio.Event()

    def look_again(self) -> None:
        """The map is newer: the follower may have an address by now."""
        self._look.set()

    async def run(self) -> None:
        """Keep the follower attached until this replica leads no more."""
        pause = RETRY_FIRST_S
        while self.replication.leader is self.leader:
            try:
                await self._attach_and_ship()
            except DeposedError as error:
                if not self.replication.handover.paused:
                    self.replication.depose(error.message)
                    return
                await asyncio.sleep(PAUSE_S)  # the follower was asked for its vote first; ours ends this task
                continue
            except JournalCorruptError as error:  # this replica's own: the follower can't have these records from here
                self.replication.damaged(error)
            except UNREACHABLE as error:
                if self.acked >= 0:
                    self.replication.log.warning("a follower is lost", replica=self.index, reason=str(error))
                    pause = RETRY_FIRST_S
            if self.replication.leader is not self.leader:
                return
            if self.acked >= 0:
                self.replication.records.hold(self.index, self.acked)
            self.acked = -1
            self.replication.advance(self.leader.lose(self.index))
            self._look.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._look.wait()
            pause = min(pause * 2, RETRY_MAX_S)

    async def _attach_and_ship(self) -> None:
        replication = self.replication
        assert replication.shard_map is not None
        peer = replication.shard_map.replica(replication.shard, self.index)
        lane = await self._dial(peer)
        try:
            history = [list(term) for term in replication.shard_map.terms[replication.shard]]
            self.store_id, position = await lane.request("attach", [self.leader.term, history], ATTACH_TIMEOUT_S)
            if position < replication.journal.first_position - 1:  # -1 included
                await self._send_snapshot(lane)
                return
            self._acknowledge(position)
            while replication.leader is self.leader:
                first, records = self.acked + 1, []
                self.more.clear()
                if self.acked < replication.state.position:
                    records = await replication.records.read(first)
                else:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(HEARTBEAT_S):
                            await self.more.wait()
                    if self.acked < replication.state.position:
                        continue
                arguments = [self.leader.term, first, self.leader.committed, records]
                self._acknowledge(await lane.request("append", arguments, APPEND_TIMEOUT_S))
        finally:
            lane.close()

    async def _dial(self, peer: ReplicaPlace) -> LaneClient:
        address = peer.address(self.replication.node_id)
        if address is None:
            raise ConnectionError(f"no lane leads to {peer.actor_name} from this node")
        lane = LaneClient(address, self.replication.keys, peer.actor_name)
        await lane.connect(APPEND_TIMEOUT_S)
        return lane

    def _acknowledge(self, position: int) -> None:
        if self.replication.leader is self.leader:
            self.acked = position
            self.replication.advance(self.leader.ack(self.index, position))
            self.replication.records.forget_acknowledged()

    async def _send_snapshot(self, lane: LaneClient) -> None:
        """Stream the checkpoint; the journal keeps what follows it."""
        replication, term = self.replication, self.leader.term
        replication.records.hold(self.index, replication.commits.figures()["checkpoint_position"])
        reader = await asyncio.to_thread(replication.storage.store.read_pieces, PIECE_ROWS)
        try:
            replication.log.info("sending a snapshot", replica=self.index, position=reader.position)
            await lane.request("snapshot", [term, "begin"], ATTACH_TIMEOUT_S)
            pieces = iter(reader)
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                packed = await asyncio.to_thread(pack_piece, piece)
                await lane.request("snapshot", [term, "piece", packed], ATTACH_TIMEOUT_S)
            await lane.request("snapshot", [term, "end", reader.position], ATTACH_TIMEOUT_S + GRACE_S)
        finally:
            await asyncio.to_thread(reader.close)
        replication.records.hold(self.index, reader.position)
