"""The router: owns the shard map, remembers it across restarts, and watches over the replicas.

Rules of this file
- No Ray and no clock: effects come in through ReplicaActors, `now` (seconds, monotonic) through arguments.
- A map is on disk before anyone sees it, so an epoch that was handed out is never handed out again for another map.
- On no request's path: everybody else goes on with their cached map while the router is away.

How it works
Under the data directory lie `router.msgpack` (the map and the cluster id, with a checksum, replaced atomically) and
`cluster.secret` (32 random bytes, made once, with the first map), `vapid.pem`, and `cluster-ca.pem` where nodes talk
over TLS; see router/files.py.
A replica says where its lane listens whenever it has started (`register_replica`); its answer to a ping says the same,
so a registration that got lost heals by itself. Only a change of addresses makes a new epoch. `supervise_once` pings
all replicas at once and judges:

    answers           -> alive
    doesn't answer    -> silent; Ray is restarting it, or it is busy recovering: wait
    there is none     -> gone (killed for good, or its constructor failed): create it again, with growing pauses

A shard without a leader gets one by an election (elections.py): when a replica registers, when the lane to the leader
breaks, or when a round of pings finds out. Every change of the map goes to all replicas, which tell their clients.

Costs: a map change one fsync of 3 KB (0.4 ms); everything else O(replicas).
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from actors.core.errors import InvalidError
from actors.core.ids import BUCKET_COUNT
from actors.core.levels import LEVEL
from actors.core.replication import Member
from cluster.lane.handshake import LaneKeys
from cluster.placement.rebalancer import Rebalancer
from cluster.placement.shard_map import ReplicaPlace, ShardMap, crc_of_buckets
from cluster.router.draining import Draining, Nodes
from cluster.router.elections import UNREACHABLE, Elections
from cluster.router.files import (
    load_or_create_authority,
    load_or_create_secret,
    load_or_create_vapid,
    load_state,
    new_cluster_id,
    save_state,
)
from cluster.router.level_rise import NOT_SAID, LevelRise
from cluster.router.router_figures import RouterCounts

logger = logging.getLogger("rookery.router")

SUPERVISE_INTERVAL_S = 0.5  # a dead actor is back in about 1 s, so looking more often shows nothing new
PING_TIMEOUT_S = 2.0  # a busy shard answers within one batch, 50 ms; Ray holds a call to a dying actor for longer
TELL_TIMEOUT_S = 2.0  # for a replica to take over a map
ANSWER_FRESH_S = 3 * (SUPERVISE_INTERVAL_S + PING_TIMEOUT_S)  # an answer older than three rounds proves nothing
RECREATE_FIRST_S, RECREATE_MAX_S = 0.5, 30.0  # pauses between attempts to create an actor whose constructor fails


class Presence(enum.Enum):
    """What a ping found out."""

    ANSWERS = "answers"
    SILENT = "silent"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a replica's lane listens, which process it is, and the level that it knows: 0 if it says none."""

    unix_path: str
    host: str
    port: int
    node_id: str
    pid: int
    level: int = 0

    @classmethod
    def from_wire(cls, wire: Any) -> Endpoints:
        """Rebuild from a dict of these fields; others are passed over. Raises InvalidError that names what is wrong."""
        expected = {"unix_path": str, "host": str, "port": int, "node_id": str, "pid": int}
        if not isinstance(wire, dict) or any(type(wire.get(key)) is not kind for key, kind in expected.items()):
            fields = ", ".join(expected)
            raise InvalidError(f"a replica's endpoints must be a dict of {fields}; got {wire!r}", "endpoints")
        if not wire["unix_path"] and not 0 < wire["port"] < 65536:
            raise InvalidError("a replica must listen on a Unix socket or a TCP port", "endpoints")
        level = wire.get("level", 0)
        if type(level) is not int or level < 0:
            raise InvalidError(f"a replica's level must be a whole number, not {level!r}", "endpoints")
        return cls(**{key: wire[key] for key in expected}, level=level)


@dataclass(frozen=True, slots=True)
class PingAnswer:
    """The outcome of one ping. When the replica answered and listens: where, the term it leads in, its map's epoch.

    moves: what it says of moves of buckets: {"frozen", "arriving", "buckets_crc"}; search: of its search engine:
    {"state", "left", "serves", "has_served"}, None from an older one.
    """

    presence: Presence
    endpoints: Endpoints | None = None
    leads: int = 0
    epoch: int = 0
    moves: dict[str, Any] | None = None
    search: dict[str, Any] | None = None


class ReplicaActors(Nodes, Protocol):
    """What the router needs from the world. RouterActor implements it with Ray; tests with a dict."""

    async def ping(self, actor_name: str) -> PingAnswer:
        """Ask one replica whether it is there; decides within PING_TIMEOUT_S."""

    async def create(self, shard: int, index: int, actor_name: str, node_id: str) -> None:
        """Create a replica's actor if no actor has that name, on any node if node_id is ""; waits for no recovery."""

    async def retire(self, replicas: list[ReplicaPlace]) -> None:
        """End replicas of shards that were given up, for good."""

    async def levels_of_others(self) -> dict[str, int]:
        """Ask API workers and trends for the levels that they know, by actor's name; NOT_SAID if one doesn't answer."""

    async def ask(self, replica: ReplicaPlace, op: str, args: list[Any], timeout_s: float) -> Any:
        """Send a lane request to one replica. Raises OSError, LaneProtocolError or a RookeryError."""


@dataclass(slots=True)
class ReplicaWatch:
    """What supervision remembers of one replica; lost with the router, found out again by the next ping."""

    presence: Presence = Presence.SILENT
    answered_at: float = float("-inf")
    created_count: int = 0
    create_pause_s: float = RECREATE_FIRST_S
    create_after: float = float("-inf")
    search: dict[str, Any] | None = None  # what this process of it said last
    level: int = NOT_SAID  # that this process knows
    is_recovering: bool = False  # a process that isn't the map's answers: it has still to say where it listens


class TasksBeside:
    """What runs beside what the router does: held, as loops hold tasks only weakly, and heard when it fails."""

    def __init__(self) -> None:
        self.running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any] | None:
        """Run something; without a loop (a router that is only being looked at) it isn't run: None."""
        try:
            task = asyncio.get_running_loop().create_task(work)
        except RuntimeError:
            work.close()
            return None
        self.running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a task of the router failed", exc_info=task.exception())


class Router:
    """See the module header. Constructing it loads the persisted state, or creates it for a new cluster.

    tls: lanes between nodes are encrypted.
    Raises InvalidError if the persisted map has another shard count or cluster name, RouterStateError if its files
    can't be trusted.
    """

    def __init__(
        self, data_dir: Path, cluster: str, shard_count: int, actors: ReplicaActors, replica_count: int = 1,
        copies: int = 1, portable: bool = False, tls: bool = False,
    ) -> None:  # fmt: skip
        self._data_dir, self._actors = data_dir, actors
        self._announcing = False
        self.counted = RouterCounts(data_dir)
        self._beside = TasksBeside()
        self._spawn = self._beside.spawn
        self._watches: dict[tuple[int, int], ReplicaWatch] = {}
        data_dir.mkdir(parents=True, exist_ok=True)
        state = load_state(data_dir)
        secret = load_or_create_secret(data_dir, create=state is None)
        if state is None:
            self.cluster_id = new_cluster_id()
            self._map = ShardMap.even(cluster, shard_count, replica_count, LEVEL)
            save_state(data_dir, self.cluster_id, self._map)
        else:
            self.cluster_id, self._map = state
            self._look_at_shape(cluster, shard_count)
            if replica_count != len(self._map.replicas_of(0)):
                self._change_map(self._map.with_replica_count(replica_count))
        authority = load_or_create_authority(data_dir, self.cluster_id) if tls else b""
        self.keys = LaneKeys(secret, authority, load_or_create_vapid(data_dir))
        self.elections = Elections(lambda: self._map, self._change_map, actors.ask, copies)
        self._watches = {(replica.shard, replica.index): ReplicaWatch() for replica in self._map.replicas}
        self.draining = Draining(data_dir, lambda: self._map, self.elections, actors, self._is_there, portable)
        self._draining_steps: asyncio.Task[Any] | None = None
        self.rebalancer = Rebalancer(data_dir, lambda: self._map, self._change_map, actors.ask, actors.retire)
        self._rebalancing: asyncio.Task[Any] | None = None
        self._unsettled = False
        self.level_rise = LevelRise(lambda: self._map, self._change_map, actors.ask, actors.levels_of_others)
        self._rising: asyncio.Task[Any] | None = None

    def _look_at_shape(self, cluster: str, shard_count: int) -> None:
        if self._map.shard_count != shard_count:  # a rebalance has changed it, and is what changes it
            logger.info("%s has %d shards; %d is for new data", self._data_dir, self._map.shard_count, shard_count)
        if self._map.cluster != cluster:
            raise InvalidError(
                f"the data in {self._data_dir} belongs to cluster {self._map.cluster!r}, not {cluster!r}; "
                "name the right data directory or cluster",
                "cluster",
            )

    # -- the map ---------------------------------------------------------------------------------------------------

    @property
    def shard_map(self) -> ShardMap:
        """The current map."""
        return self._map

    def get_map(self, since_epoch: int = 0) -> ShardMap | None:
        """Return the map if it is newer than since_epoch, else None."""
        return self._map if self._map.epoch > since_epoch else None

    def register_replica(self, shard: int, index: int, endpoints: Endpoints, now: float) -> ShardMap:
        """Note where a replica listens and that it lives; return the current map.

        A change of addresses, process or node makes the next epoch, persisted before this returns. Raises InvalidError
        for a replica that isn't in the map.
        """
        old = self._map.replica(shard, index)
        watch = self._watches[shard, index]
        watch.presence, watch.answered_at, watch.create_pause_s = Presence.ANSWERS, now, RECREATE_FIRST_S
        watch.level, watch.is_recovering = endpoints.level, False
        new = replace(
            old,
            unix_path=endpoints.unix_path,
            host=endpoints.host,
            port=endpoints.port,
            node_id=endpoints.node_id,
            pid=endpoints.pid,
        )
        if new.pid != old.pid:
            watch.search = None
        if new != old:
            self._change_map(self._map.with_replica(new))
            logger.info("%s listens, pid %d: map epoch %d", new.actor_name, new.pid, self._map.epoch)
        self._elect_soon(shard)
        return self._map

    def change_in_sync(self, shard: int, term: int, members: list[Member]) -> bool:
        """Persist another in-sync set for a leader; False: it leads no more."""
        return self.elections.change_in_sync(shard, term, members)

    def _change_map(self, new: ShardMap) -> None:
        with self.counted.map_write_seconds.timing():
            save_state(self._data_dir, self.cluster_id, new)
        self._map = new
        keys = [(replica.shard, replica.index) for replica in new.replicas]
        self._watches = {key: self._watches.get(key) or ReplicaWatch() for key in keys}
        self._announce()

    def _announce(self) -> None:
        """Tell every replica of the map, without waiting. Who doesn't hear of it is told again after its next ping."""
        if self._announcing:
            return
        self._announcing = True

        async def announce() -> None:
            self._announcing = False
            wire = self._map.to_wire()
            await asyncio.gather(*(self._tell(r, wire) for r in self._map.replicas if r.registered))

        self._spawn(announce())

    async def _tell(self, replica: ReplicaPlace, wire: list[Any]) -> None:
        try:
            await self._actors.ask(replica, "learn_map", [wire], TELL_TIMEOUT_S)
        except UNREACHABLE as error:
            logger.info("%s was not told of the map: %s", replica.actor_name, error)

    def _elect_soon(self, shard: int) -> None:
        if not self.elections.has_leader(shard):
            self._spawn(self.elections.elect(shard))

    def note_lane_lost(self, replica: ReplicaPlace) -> None:
        """The lane to a replica broke: if it is the leader and can't be dialled again, it is dead."""
        if replica.shard >= self._map.shard_count:
            return
        current = self._map.replica(replica.shard, replica.index)
        if current.primary and current.pid == replica.pid:
            self._spawn(self._look_after_lost(current))

    async def _look_after_lost(self, replica: ReplicaPlace) -> None:
        try:
            await self._actors.ask(replica, "learn_map", [self._map.to_wire()], TELL_TIMEOUT_S)
        except UNREACHABLE:
            self.elections.note_gone(replica)
            await self.elections.elect(replica.shard)

    # -- life and death --------------------------------------------------------------------------------------------

    def missing_shards(self, now: float) -> list[int]:
        """Return the shards that own buckets and have no registered primary that has answered lately, ascending."""
        owners = sorted(set(self._map.buckets))
        return [shard for shard in owners if not self._is_live(self._map.primary_of(shard), now)]

    def ready(self, now: float) -> bool:
        """Whether every bucket has a live primary that answered lately."""
        return not self.missing_shards(now)

    def readiness(self, now: float) -> dict[str, Any]:
        """Return what `/readyz` judges by: shards that aren't served, and of each replica what it can do.

        Without those that are left stopped on purpose. search: what it said last, None if it isn't live or hasn't yet.
        """
        left_stopped = self.draining.report()["left_stopped"]
        replicas = []
        for replica in self._map.replicas:
            if replica.actor_name not in left_stopped:
                live = self._is_live(replica, now)
                search = self._watches[replica.shard, replica.index].search if live else None
                said = {"live": live, "in_sync": replica.in_sync or replica.primary, "search": search}
                replicas.append({"shard": replica.shard, "replica": replica.index, **said})
        return {"unserved_shards": self.missing_shards(now), "replicas": replicas}

    def _is_there(self, replica: ReplicaPlace) -> bool:
        """Whether the process that the map names answers: where one recovers in its place, the map's node is old."""
        watch = self._watches[replica.shard, replica.index]
        return replica.registered and watch.presence is Presence.ANSWERS and not watch.is_recovering

    def _is_live(self, replica: ReplicaPlace, now: float) -> bool:
        watch = self._watches[replica.shard, replica.index]
        if replica.primary and not self.elections.has_leader(replica.shard):
            return False
        answered_lately = now - watch.answered_at <= ANSWER_FRESH_S
        return self._is_there(replica) and answered_lately

    async def supervise_once(self, now: float) -> None:
        """Ping every replica at once, note who answers, create those that are gone. Never raises for a replica.

        Then go on with what is under way: a drained node, a rebalance, or what a dead router has left of one; and with
        the level, once every process knows a higher one.
        """
        self._unsettled = False
        with self.counted.look_seconds.timing():
            await asyncio.gather(*(self._supervise(replica, now) for replica in self._map.replicas))
        self.counted.note_look(self.missing_shards(now), self._map.shard_count, now)
        for shard in range(self._map.shard_count):
            if any(self._watches[r.shard, r.index].presence is Presence.ANSWERS for r in self._map.replicas_of(shard)):
                self._elect_soon(shard)
        if self.draining.marks and (self._draining_steps is None or self._draining_steps.done()):
            self._draining_steps = self._spawn(self.draining.step())
        if self._rebalancing is None or self._rebalancing.done():
            if self.rebalancer.wanted:
                self._rebalancing = self._spawn(self.rebalancer.run())
            elif self._unsettled:
                self._rebalancing = self._spawn(self.rebalancer.settle())
        if self.level_rise.wanted and (self._rising is None or self._rising.done()):
            self._rising = self._spawn(self.level_rise.step(self._levels()))

    def _levels(self) -> dict[str, int]:
        """Return what the processes of all replicas know, but for those that are left stopped on purpose."""
        left_stopped = self.draining.report()["left_stopped"]
        return {
            r.actor_name: self._watches[r.shard, r.index].level if self._is_there(r) else NOT_SAID
            for r in self._map.replicas if r.actor_name not in left_stopped
        }  # fmt: skip

    async def _supervise(self, replica: ReplicaPlace, now: float) -> None:
        watch = self._watches[replica.shard, replica.index]
        try:
            answer = await self._actors.ping(replica.actor_name)
            self.counted.pings[answer.presence.value] += 1
            if answer.presence is not watch.presence:
                logger.info("%s: %s -> %s", replica.actor_name, watch.presence.value, answer.presence.value)
            watch.presence = answer.presence
            if answer.presence is Presence.ANSWERS:
                watch.answered_at = now
                watch.is_recovering = answer.endpoints is None
                if answer.endpoints is None:
                    watch.level = NOT_SAID  # the process before knew what it knew
                else:
                    current = self._map.replica(replica.shard, replica.index)
                    if answer.endpoints.pid == current.pid:
                        self.elections.note_ping(current, answer.leads)
                        self._note_moves(current, answer)
                    self.register_replica(replica.shard, replica.index, answer.endpoints, now)
                    watch.search = answer.search
                    if answer.epoch < self._map.epoch:
                        self._spawn(self._tell(self._map.replica(replica.shard, replica.index), self._map.to_wire()))
            else:
                self.elections.note_gone(self._map.replica(replica.shard, replica.index))
            if answer.presence is Presence.GONE and now >= watch.create_after:
                await self._create(replica, watch, now)
        except Exception:  # one replica's trouble, or a full disk, must not stop the watch over the others
            logger.exception("supervision of %s failed", replica.actor_name)

    def _note_moves(self, leader: ReplicaPlace, answer: PingAnswer) -> None:
        """Find out whether a leader is frozen, takes buckets, or has others than the map says."""
        said = answer.moves
        if said and leader.primary and answer.leads:
            others = said["buckets_crc"] != crc_of_buckets(self._map.buckets)
            self._unsettled = self._unsettled or bool(said["frozen"] or said["arriving"] or others)

    async def _create(self, replica: ReplicaPlace, watch: ReplicaWatch, now: float) -> None:
        node_id = await self.draining.place(replica)
        if node_id is None:
            return
        watch.create_after = now + watch.create_pause_s
        watch.create_pause_s = min(2 * watch.create_pause_s, RECREATE_MAX_S)
        watch.created_count += 1
        await self._actors.create(replica.shard, replica.index, replica.actor_name, node_id)

    def status(self, now: float) -> dict[str, Any]:
        """Return what an operator wants to see, as msgpack-able values."""
        replicas = []
        for replica in self._map.replicas:
            watch = self._watches[replica.shard, replica.index]
            replicas.append(
                {
                    "actor": replica.actor_name,
                    "shard": replica.shard,
                    "index": replica.index,
                    "primary": replica.primary,
                    "in_sync": replica.in_sync,
                    "term": self._map.term_of(replica.shard),
                    "pid": replica.pid,
                    "node": replica.node_id,
                    "presence": watch.presence.value,
                    "live": self._is_live(replica, now),
                    "created_count": watch.created_count,
                    "search": None if watch.search is None else watch.search["state"],
                    "level": watch.level,
                }
            )
        return {
            "cluster": self._map.cluster,
            "cluster_id": self.cluster_id,
            "epoch": self._map.epoch,
            "level": self._map.level,
            "next_level": self._map.next_level,
            "code_level": LEVEL,
            "shards": self._map.shard_count,
            "buckets": BUCKET_COUNT,
            "ready": self.ready(now),
            "missing_shards": self.missing_shards(now),
            "elections": self.elections.count,
            "drained": self.draining.report(),
            "replicas": replicas,
        }

    def check(self) -> list[str]:
        """Return what is wrong, one sentence each: the map's own invariants, and that the disk agrees with memory."""
        problems = self._map.check()
        state = load_state(self._data_dir)
        if state is None:
            problems.append("the map is in memory but not on disk")
        elif state != (self.cluster_id, self._map):
            problems.append(f"the disk holds epoch {state[1].epoch}, memory epoch {self._map.epoch}")
        return problems
