"""A whole cluster in one thread, with a clock, a network and disks that misbehave as a seed decides.

Shards are real `Replica`s on the real journal and checkpoint code over memory disks. The network drops, duplicates and
delays batches and acknowledgements; shards crash between any two events, with part of the unsynced journal on disk,
perhaps torn. Clients retry until they are answered, as the API worker does. Everything follows from the seed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from actors.core import ids, limits
from actors.core.entries import unpack
from actors.core.errors import RookeryError
from actors.core.home import Ask, Query, Wake
from actors.core.replica import Replica
from actors.core.snapshot import TABLES
from actors.core.verify import check, digest
from cluster.oracle import Fact, Facts
from persistence.memory import MemoryCheckpointStore, MemoryDisk, MemoryJournal, MemoryShelf
from persistence.recovery import recover


class SimShard:
    """One shard: a replica, its disk, and replies that wait for the disk."""

    def __init__(self, sim: SimCluster, number: int) -> None:
        self.sim, self.number = sim, number
        self.disk, self.shelf = MemoryDisk(f"shard-{number}"), MemoryShelf()
        self.incarnation = 0
        self.alive = False
        self.start()

    def start(self) -> None:
        sim = self.sim
        self.replica = Replica(self.number, sim.owner, sim.tuning)
        self.journal = MemoryJournal(self.disk, self.number, 1)
        self.store = MemoryCheckpointStore(TABLES, self.shelf)
        recover(self.store, self.journal, self.replica.load, self.replica.replay, lambda: 0.0, 1)
        self.waiting: list[tuple[int, Callable[[], None]]] = []
        self.sealed: list[tuple[int, Any]] = []
        self.in_flight: set[int] = set()
        self.flushing = self.delivering = False
        self.alive = True
        self.incarnation += 1
        self.deliver_soon()

    def crash(self) -> None:
        rng = self.sim.rng
        self.journal.crash(rng.choice([0, 0, rng.randrange(0, 4000), 1 << 30]), rng.random() < 0.3)
        self.alive = False

    def run(self, command: list[Any]) -> Any:
        record, result = self.replica.command(command)
        self.commit(record, lambda: None)
        return result

    def deliver_soon(self) -> None:
        """Deliver the backlog piece by piece, as the shell does between requests."""
        if self.replica.state.deliveries.backlog and not self.delivering:
            self.delivering = True
            self.sim.after(self.sim.rng.randrange(0, 5), self.guarded(self.deliver_piece))

    def deliver_piece(self) -> None:
        self.delivering = False
        self.replica.state.deliveries.piece(1)
        self.deliver_soon()

    def commit(self, record: bytes | None, done: Callable[[], None]) -> None:
        if record is not None:
            assert self.journal.append(record) == self.replica.state.position
        self.deliver_soon()
        self.waiting.append((self.replica.state.position, done))
        if not self.flushing:
            self.flushing = True
            self.sim.after(self.sim.rng.randrange(1, self.sim.sync_ms_max), self.guarded(self.flush))

    def guarded(self, action: Callable[[], None]) -> Callable[[], None]:
        """Return the action, void if the shard has crashed meanwhile."""
        born = self.incarnation
        return lambda: action() if self.alive and self.incarnation == born else None

    def flush(self) -> None:
        self.flushing = False
        durable = self.journal.flush()
        ready = [done for position, done in self.waiting if position <= durable]
        self.waiting = [(p, d) for p, d in self.waiting if p > durable]
        for done in ready:
            done()
        for position, changes in self.sealed:
            self.store.write(position, 1, changes)
            self.journal.trim(position)
        self.sealed.clear()
        self.pump()

    def seal(self) -> None:
        self.sealed.append((self.replica.state.position, self.replica.seal()))
        self.journal.roll()
        self.commit(None, lambda: None)

    def pump(self) -> None:
        """Send to every shard that has nothing in flight."""
        for dst, outbox in self.replica.state.outboxes.items():
            first, messages = outbox.batch(self.journal.durable_position)
            if messages and dst not in self.in_flight:
                self.in_flight.add(dst)
                self.sim.transmit(self, dst, first, b"".join(messages))

    def receive(self, source: int, first: int, batch: bytes, answer: Callable[[int], None]) -> None:
        seq = self.run(["receive", source, first, batch])
        self.commit(None, lambda: answer(seq))

    def acked(self, dst: int, seq: int) -> None:
        self.in_flight.discard(dst)
        if seq >= 0:
            self.run(["acked", dst, seq])
        self.pump()


class SimCluster:
    """Shards, clock and network of one simulation."""

    def __init__(self, seed: int, shard_count: int, tuning: limits.Tuning, faults: bool = True) -> None:
        self.rng = random.Random(seed)
        self.tuning = tuning
        self.faults = faults
        self.owner = [bucket % shard_count for bucket in range(ids.BUCKET_COUNT)]
        self.now = 1_700_000_000_000
        self.days_skipped = 0
        self.sync_ms_max = self.rng.choice([3, 10, 100])  # a disk slower than the network shows what leaves too early
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self.busy = 0
        self.shards = [SimShard(self, n) for n in range(shard_count)]

    # ---- clock ------------------------------------------------------------------------------------------------

    @property
    def wall_ms(self) -> int:
        return self.now + self.days_skipped * limits.DAY_MS

    def after(self, ms: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + ms, self._count, action))

    def step(self) -> bool:
        if not self._events:
            return False
        self.now, _, action = heapq.heappop(self._events)
        action()
        return True

    def run_until(self, condition: Callable[[], bool], steps_max: int = 200_000) -> None:
        for _ in range(steps_max):
            if condition():
                return
            if not self.step():
                assert condition(), "the simulation ran dry"
                return
        raise AssertionError(f"still not there after {steps_max} events")

    # ---- network ----------------------------------------------------------------------------------------------

    def transmit(self, source: SimShard, dst: int, first: int, batch: bytes) -> None:
        rng = self.rng
        back = source.guarded(lambda: source.acked(dst, -1))
        copies = 1
        if self.faults:
            copies = rng.choices([0, 1, 2], [1, 8, 1])[0]
        delivered = []

        def answer(seq: int) -> None:
            if not delivered and not (self.faults and rng.random() < 0.1):
                delivered.append(seq)
                self.after(rng.randrange(1, 10), source.guarded(lambda: source.acked(dst, seq)))

        def arrive() -> None:
            if self.shards[dst].alive:
                self.shards[dst].receive(source.number, first, batch, answer)

        for _ in range(copies):
            self.after(rng.randrange(1, 30 if self.faults else 3), arrive)
        self.after(200, lambda: back() if not delivered else None)

    # ---- faults -----------------------------------------------------------------------------------------------

    def crash(self, number: int) -> None:
        shard = self.shards[number]
        if shard.alive:
            shard.crash()
            self.after(self.rng.randrange(1, 300), lambda: self._restart(shard))

    def _restart(self, shard: SimShard) -> None:
        shard.start()
        shard.pump()

    # ---- clients ----------------------------------------------------------------------------------------------

    def write(self, bucket: int, op: str, args: list[Any], then: Callable[[Any], None] = lambda body: None) -> None:
        """Send a write until it is answered; `then` gets the body, or the RookeryError."""
        self.busy += 1
        answered = []

        def finish(body: Any) -> None:
            if not answered:
                answered.append(True)
                self.busy -= 1
                then(body)

        def attempt() -> None:
            if answered:
                return
            shard = self.shards[self.owner[bucket]]
            if shard.alive:
                try:
                    record, body = shard.replica.write(op, args, self.now)
                except RookeryError as error:
                    finish(error)
                    return
                shard.commit(record, lambda: finish(body))
            self.after(400, attempt)

        attempt()

    def home(self, account_id: int, length: int, max_id: int = 0, since_id: int = 0, min_id: int = 0) -> list[int]:
        """Read a home timeline, waking and asking as the shell does. Runs the simulation meanwhile."""
        shard = self.shards[self.owner[ids.bucket_of_account(account_id)]]
        self.run_until(lambda: shard.alive)
        query = Query(account_id, max_id, since_id, min_id, length)
        ready = shard.replica.try_home(query)
        steps = shard.replica.home_steps(query)
        answer: Any = None
        while True:
            try:
                need = steps.send(answer)
            except StopIteration as stop:
                found = [tweet_id for tweet_id, _ in stop.value]
                if ready is not None:
                    assert ready[1:] == ([found[0], found[-1]] if found else [0, 0])
                return found
            answer = None
            if isinstance(need, Wake):
                if need.start:
                    shard.run(["wake", account_id])
                state = shard.replica.state
                self.run_until(lambda s=state: account_id not in s.waking)
            elif isinstance(need, Ask):
                asked = [self.shards[s] for s in need.questions]
                self.run_until(lambda a=asked: all(s.alive for s in a))
                answer = {s: self.shards[s].replica.read(op, args) for s, (op, args) in need.questions.items()}

    # ---- the end ----------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Let everything under way arrive."""

        def quiet() -> bool:
            return self.busy == 0 and all(
                s.alive
                and not s.waiting
                and not any(o.waiting for o in s.replica.state.outboxes.values())
                and not s.replica.state.deliveries.backlog
                for s in self.shards
            )

        self.run_until(quiet)

    def facts(self) -> Facts:
        """Read the plain facts out of every shard."""
        facts = Facts()
        for shard in self.shards:
            _, rows = shard.replica.read("export", [0, 1 << 30])
            for account_id, following, tweets, hidden in rows:
                facts.following[account_id] = set(np.frombuffer(following, dtype="<i8").tolist())
                facts.hidden[account_id] = set(np.frombuffer(hidden, dtype="<i8").tolist())
                facts.add_tweets(Fact(*fields[:6], tuple(fields[6])) for fields in unpack(tweets))
        return facts

    def check(self) -> None:
        """Check every invariant, and that a recovery gives the same digest."""
        for shard in self.shards:
            problems = check(shard.replica.state) + self._check_followers(shard)
            assert not problems, problems[:5]
            before = digest(shard.replica.state)
            shard.journal.flush()
            shard.journal.crash(0)
            shard.alive = False
            shard.start()
            assert digest(shard.replica.state) == before, f"shard {shard.number} recovered to another state"
            problems = check(shard.replica.state)
            assert not problems, problems[:5]

    def _check_followers(self, shard: SimShard) -> list[str]:
        """Both ends of every follow edge must know it."""
        state = shard.replica.state
        problems = []
        for account_id, row in state.people.row_of.items():
            for target in state.graph.following.view(row).tolist():
                there = self.shards[state.shard_of_account(target)].replica.state
                known = there.graph.followers.view(there.people.row_of[target]).tolist()
                if account_id not in known:
                    problems.append(f"{account_id} follows {target}, whose shard doesn't know it")
            for source in state.graph.followers.view(row).tolist():
                there = self.shards[state.shard_of_account(source)].replica.state
                if account_id not in there.graph.following.view(there.people.row_of[source]).tolist():
                    problems.append(f"{source} does not follow {account_id}, whose shard thinks so")
        return problems
