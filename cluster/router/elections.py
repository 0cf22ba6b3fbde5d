"""Elections: who leads each shard. The router's part of replication; the rules are actors/core/replication.py.

    a leader is gone --> prepare(term) to every replica --> their logs, durable, and a promise to follow nobody lower
                     --> elect() picks the most advanced --> the map with the new term is on disk --> lead(map)

    a leader is to go --> hand_over to it: it takes no writes, the successor gets everything --> as above, and of
                          replicas that are equally far the successor wins

Rules of this file
- No Ray, no clock: the way to the replicas and the persisting of maps come in as functions.
- One election a shard at a time. A term is tried once: what came of a lost answer can't be known.
- The in-sync set is what the map on disk says when the votes are counted, and changes only for the leader of the newest
  term.

Costs: about 10 ms from a death to a new leader on one machine, most of it the syncs of promise, map and journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from actors.core.errors import ConflictError, OverloadedError, RookeryError
from actors.core.replication import Candidate, Member, elect
from cluster.lane.protocol import LaneProtocolError
from cluster.placement.shard_map import ReplicaPlace, ShardMap

logger = logging.getLogger("rookery.elections")

PREPARE_TIMEOUT_S = 2.0  # a follower syncs its journal and its promise meanwhile
LEAD_TIMEOUT_S = 5.0
HAND_OVER_TIMEOUT_S = 1.5  # for the successor to get what it lacks; the leader pauses no longer than 2 s
LATECOMERS_S = 0.02  # how long an election that is decided waits for a replica that may be further
TERM_TRIES = 3  # attempts in which a replica answers that it has promised more

AskReplica = Callable[[ReplicaPlace, str, list[Any], float], Awaitable[Any]]
UNREACHABLE = (OSError, LaneProtocolError, RookeryError)


class Elections:
    """Leaders of all shards.

    ask(replica, op, args, timeout_s): a lane request, raising one of UNREACHABLE; change_map(map): persist and install
    a newer map, raising OSError; copies: replicas that must have a record before it is acknowledged.
    """

    def __init__(
        self, get_map: Callable[[], ShardMap], change_map: Callable[[ShardMap], None], ask: AskReplica, copies: int
    ) -> None:
        self._get_map, self._change_map, self._ask, self._copies = get_map, change_map, ask, copies
        self._locks: dict[int, asyncio.Lock] = {}
        self._tried: dict[int, int] = {}
        self._leading: dict[int, int] = {}  # shard -> pid of the process that leads in the newest term
        self._failures: dict[int, list[int]] = {}  # shard -> who answered in an election that came to nothing
        self._stopped = False
        self.count = 0

    def stop(self) -> None:
        """Elect nobody from now on: the cluster stops, and a leader that ends is to have no successor."""
        self._stopped = True

    # ---- what is known ----------------------------------------------------------------------------------------

    def has_leader(self, shard: int) -> bool:
        """Whether a process is known to lead a shard in its newest term."""
        return self._leading.get(shard, -1) == self._get_map().primary_of(shard).pid

    def note_ping(self, replica: ReplicaPlace, leads: int) -> None:
        """A replica has said which term it leads in (0: none)."""
        if not replica.primary:
            return
        if leads and leads == self._get_map().term_of(replica.shard):
            self._leading[replica.shard] = replica.pid
        elif not self._lock(replica.shard).locked():
            self._leading.pop(replica.shard, None)

    def note_gone(self, replica: ReplicaPlace) -> None:
        """A replica doesn't answer any more."""
        if replica.primary:
            self._leading.pop(replica.shard, None)

    # ---- elections --------------------------------------------------------------------------------------------

    def _lock(self, shard: int) -> asyncio.Lock:
        return self._locks.setdefault(shard, asyncio.Lock())

    async def elect(self, shard: int) -> bool:
        """Give a shard a leader, if it has none. Returns whether it has one now."""
        async with self._lock(shard):
            return await self._elect(shard)

    async def hand_over(self, shard: int, index: int) -> None:
        """Make replica `index`, which is in sync, the leader of a shard in place of the one that leads.

        Raises ConflictError if it can't be, OverloadedError if it came to nothing; then the old one leads on, or
        whoever an ordinary election chose. Writes wait meanwhile: 10 to 50 ms, at most 2 s.
        """
        async with self._lock(shard):
            shard_map = self._get_map()
            leader, successor = shard_map.primary_of(shard), shard_map.replica(shard, index)
            if leader.index == index and self.has_leader(shard):
                return
            if not self.has_leader(shard) or not successor.in_sync:
                raise ConflictError(f"{successor.actor_name} can't take over now: it isn't in sync with a leader")
            try:
                term = shard_map.term_of(shard)
                position = await self._ask(leader, "hand_over", [term, index], HAND_OVER_TIMEOUT_S)
            except UNREACHABLE as error:
                raise OverloadedError(f"{leader.actor_name} leads on: {error}", retry_after_s=1.0) from error
            logger.info("%s hands over to replica %d, at position %s", leader.actor_name, index, position)
            self._leading.pop(shard, None)  # from here on an ordinary election would be right, too
            await self._elect(shard, index)
            if not self.has_leader(shard) or self._get_map().primary_of(shard).index != index:
                raise OverloadedError(f"{successor.actor_name} was not elected", retry_after_s=1.0)

    async def _elect(self, shard: int, preferred: int = -1) -> bool:
        for _ in range(TERM_TRIES):
            if shard >= self._get_map().shard_count:
                return False  # it has just been given up
            if self._stopped or (preferred == -1 and self.has_leader(shard)):
                return self.has_leader(shard)
            shard_map = self._get_map()
            replicas = shard_map.replicas_of(shard)
            if not shard_map.terms[shard] and not all(replica.registered for replica in replicas):
                return False  # the first election needs them all
            term = max(shard_map.term_of(shard), self._tried.get(shard, 0)) + 1
            self._tried[shard] = term
            answers = await self._votes(shard_map, shard, term, preferred)
            chosen = self._decide(shard, answers.values(), preferred)
            if chosen is not None:
                self._failures.pop(shard, None)
                return await self._install(shard, chosen, term, len(answers) > 1)
            if self._tried[shard] == term:
                self._note_failure(shard, sorted(answers))
                return False
        return False

    def _note_failure(self, shard: int, answered: list[int]) -> None:
        """Log that an election came to nothing, unless the last one did with the same answers."""
        if self._failures.get(shard) != answered:
            logger.warning("shard %d has no leader: only the replicas %s answered", shard, answered)
        self._failures[shard] = answered

    def _decide(self, shard: int, answers: Any, preferred: int = -1) -> Candidate | None:
        shard_map = self._get_map()
        count = len(shard_map.replicas_of(shard))
        old_leader = shard_map.primary_of(shard).index
        history, in_sync = shard_map.terms[shard], shard_map.in_sync_of(shard)
        return elect(history, in_sync, old_leader, count, list(answers), preferred)

    async def _votes(self, shard_map: ShardMap, shard: int, term: int, preferred: int) -> dict[int, Candidate]:
        """Ask all replicas for their promise; return who gave it, once all have, or enough and the preferred one."""
        answers: dict[int, Candidate] = {}
        replicas = [r for r in shard_map.replicas_of(shard) if r.registered]
        waiting = {asyncio.create_task(self._vote(replica, term)) for replica in replicas}
        try:
            while waiting:
                decided = preferred in (-1, *answers) and self._decide(shard, answers.values()) is not None
                done, waiting = await asyncio.wait(
                    waiting, timeout=LATECOMERS_S if decided else None, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                for task in done:
                    answer = task.result()
                    if isinstance(answer, Candidate):
                        answers[answer.replica] = answer
                    elif answer is not None:
                        self._tried[shard] = max(self._tried[shard], answer)
        finally:
            for task in waiting:
                task.cancel()
        return answers

    async def _vote(self, replica: ReplicaPlace, term: int) -> Candidate | int | None:
        """Return a replica's answer: what it holds, the higher term that it has promised, or None."""
        try:
            given, *rest = await self._ask(replica, "prepare", [term], PREPARE_TIMEOUT_S)
            if not given:
                return int(rest[0])
            store_id, log_term, position = rest
            return Candidate(replica.index, str(store_id), int(log_term), int(position))
        except (*UNREACHABLE, TypeError, ValueError) as error:
            logger.info("%s gives no vote: %s", replica.actor_name, error)
            return None

    async def _install(self, shard: int, chosen: Candidate, term: int, others_about: bool) -> bool:
        new = self._get_map().with_leader(shard, chosen, term, self._copies)
        self._change_map(new)
        leader = new.primary_of(shard)
        try:
            await self._ask(leader, "lead", [new.to_wire(), others_about], LEAD_TIMEOUT_S)
        except UNREACHABLE as error:
            logger.warning("%s was elected, but does not lead: %s", leader.actor_name, error)
            return False
        self._leading[shard] = leader.pid
        self.count += 1
        logger.info("%s leads in term %d, from position %d", leader.actor_name, term, chosen.position)
        return True

    # ---- in-sync sets -----------------------------------------------------------------------------------------

    def change_in_sync(self, shard: int, term: int, members: list[Member]) -> bool:
        """Persist another in-sync set for the leader of a term; False: that leader is none any more."""
        shard_map = self._get_map()
        if shard_map.term_of(shard) != term:
            return False
        if shard_map.in_sync_of(shard) != sorted(members):
            self._change_map(shard_map.with_in_sync(shard, members))
        return True
