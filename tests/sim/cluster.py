"""A whole cluster in one thread, with a clock, a network and disks that misbehave as a seed decides.

Shards are real `Replica`s, one to three each, on the real journal and checkpoint code over memory disks. The network
drops, duplicates and delays batches and acknowledgements; replicas crash between any two events, with part of the
unsynced journal on disk, perhaps torn, or stall; the router goes away, or elects without a reason. Clients retry until
they are answered, as the API worker does. Everything follows from the seed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from actors.core import ids, limits
from actors.core.errors import FrozenError, MovedError, RookeryError
from actors.core.replica import home_reply
from actors.core.replication import Candidate, Member, elect
from actors.core.timelines.home import Ask, HomeQuery, Wake
from actors.core.verify import check, digest
from cluster.placement.shard_map import ShardMap
from commands.exported import add_rows
from commands.oracle import NetworkFacts
from tests.core.harness import stale_pieces
from tests.sim.levels import SimLevels
from tests.sim.moves import SimMoves
from tests.sim.replicas import SimReplica


class SimRouter:
    """The map and the elections. It can be away, and forgets what it hasn't got on disk: the map."""

    def __init__(self, sim: SimCluster, shard_count: int, replica_count: int, level: int) -> None:
        self.sim = sim
        spread = {bucket: bucket % shard_count for bucket in range(ids.BUCKET_COUNT)}
        self.map = ShardMap.even("sim", shard_count, replica_count, level).with_buckets(spread)
        self.elected: dict[int, int] = {}  # shard -> incarnation of its leader: a restarted process doesn't lead
        self.away_until = 0
        self.election: dict[int, tuple[int, dict[int, Candidate]]] = {}  # shard -> (term, answers)
        self.incarnation = 0

    @property
    def there(self) -> bool:
        return self.sim.now >= self.away_until

    def crash(self, ms: int) -> None:
        self.away_until = self.sim.now + ms
        self.incarnation += 1
        self.election.clear()
        self.sim.moves.forget()
        self.sim.levels.forget()

    def look(self) -> None:
        """Start an election for every shard whose leader can't be found; tell everyone of the map."""
        if self.there:
            for shard in range(self.map.shard_count):
                leader = self.sim.replicas[shard][self.map.primary_of(shard).index]
                dead = not leader.alive or leader.incarnation != self.elected.get(shard)
                if dead or self.sim.now < leader.stalled_until or leader.role != "primary":
                    self.elect(shard)
            self.tell()
            self.sim.moves.look()
            self.sim.levels.look()
        self.sim.after(50, self.look)

    def tell(self) -> None:
        for replicas in self.sim.replicas:
            for replica in replicas:
                if replica.alive and not (self.sim.faults and self.sim.rng.random() < 0.1):
                    self.sim.after(self.sim.rng.randrange(1, 10), replica.guarded(replica.learn_map))

    def elect(self, shard: int, term: int = 0) -> None:
        """Ask every replica for its promise. An election that got too few answers is repeated with the next term."""
        term = max(term, self.map.term_of(shard) + 1, self.election.get(shard, (0, {}))[0] + 1)
        answers: dict[int, Candidate] = {}
        self.election[shard] = (term, answers)

        def answered(answer: Candidate | int) -> None:
            if self.election.get(shard, (0, {}))[0] != term or not self.there:
                return
            if isinstance(answer, Candidate):
                answers[answer.replica] = answer
            else:
                self.elect(shard, answer + 1)

        for replica in self.sim.replicas[shard]:
            if replica.alive:
                self.sim.send(None, replica, lambda r=replica: r.prepare(term, lambda a: self.sim.back(answered, a)))
        self.sim.after(40, lambda: self._decide(shard, term))

    def _decide(self, shard: int, term: int) -> None:
        if not self.there or self.election.get(shard, (0, {}))[0] != term:
            return
        _, answers = self.election.pop(shard)
        old = self.map.primary_of(shard).index
        count = len(self.sim.replicas[shard])
        wished = self.sim.rng.randrange(-1, count)  # as when a leader hands over
        leader = elect(self.map.terms[shard], self.map.in_sync_of(shard), old, count, answers.values(), wished)
        if leader is not None:
            self.map = self.map.with_leader(shard, leader, term, self.sim.copies)
            self.elected[shard] = self.sim.replicas[shard][leader.replica].incarnation
            self.tell()

    def change_in_sync(self, shard: int, term: int, members: list[tuple[int, str]]) -> bool | None:
        """Have another in-sync set on disk; False: that leader is none any more. None: nobody is there."""
        if not self.there:
            return None
        if self.map.term_of(shard) != term:
            return False
        self.map = self.map.with_in_sync(shard, [Member(*member) for member in members])
        return True


class SimCluster:
    """Shards, clock and network of one simulation."""

    def __init__(
        self,
        seed: int,
        shard_count: int,
        tuning: limits.Tuning,
        faults: bool = True,
        replica_count: int = 1,
        copies: int = 1,
        level: int = 0,
    ) -> None:
        """level: of the code that made the cluster; `levels.learn` says that all processes have been upgraded."""
        self.rng = random.Random(seed)
        self.tuning = tuning
        self.faults = faults
        self.now = 1_700_000_000_000
        self.days_skipped = 0
        self.sync_ms_max = self.rng.choice([3, 10, 100])  # a disk slower than the network shows what leaves too early
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self.busy = 0
        self.copies = copies
        self.committed: list[dict[int, bytes]] = []
        self.replicas: list[list[SimReplica]] = []
        self.router = SimRouter(self, shard_count, replica_count, level)
        self.moves, self.levels = SimMoves(self), SimLevels(self)
        self.resize()
        self.router.look()
        self.run_until(lambda: all(shard.leads for shard in self.shards))

    @property
    def owner(self) -> list[int]:
        """The shard of each bucket, as the router knows it."""
        return list(self.router.map.buckets)

    def resize(self) -> None:
        """Start the shards that the map has more, end those that it doesn't have any more."""
        count = self.router.map.shard_count
        for gone in [replica for replicas in self.replicas[count:] for replica in replicas]:
            gone.alive = False
            gone.retired = True
        del self.replicas[count:], self.committed[count:]
        for shard in range(len(self.replicas), count):
            self.committed.append({})
            self.replicas.append([SimReplica(self, shard, r.index) for r in self.router.map.replicas_of(shard)])

    @property
    def shards(self) -> list[SimReplica]:
        """The primaries, one a shard, as far as the router knows."""
        return [self.replicas[n][self.router.map.primary_of(n).index] for n in range(len(self.replicas))]

    def note_committed(self, replica: SimReplica, position: int) -> None:
        """Check that what is committed once stays: one record at each position, for all terms."""
        known = self.committed[replica.number]
        while len(known) < position:
            known[len(known) + 1] = replica.log[len(known) + 1]
        for p in range(max(1, position - 20), position + 1):
            assert replica.log.get(p, known[p]) == known[p], f"two records are committed at position {p}"

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
            self.step()
        raise AssertionError(f"still not there after {steps_max} events")

    # ---- network ----------------------------------------------------------------------------------------------

    def back(self, answered: Callable[[Any], None], value: Any) -> None:
        """Carry an answer back, perhaps."""
        if not (self.faults and self.rng.random() < 0.1):
            self.after(self.rng.randrange(1, 10), lambda: answered(value))

    def send(self, sender: SimReplica | None, to: SimReplica, action: Callable[[], None]) -> None:
        """Carry a request to a replica, perhaps, perhaps late."""
        if not (self.faults and self.rng.random() < 0.1):
            self.after(self.rng.randrange(1, 30 if self.faults else 3), lambda: to.guarded(action)())

    def call(
        self, me: SimReplica, to: SimReplica, request: Callable[[Callable[..., None]], None],
        then: Callable[..., None], failed: Callable[[], None],
    ) -> None:  # fmt: skip
        """A request over a connection: answered, or broken off after a while; which of the two comes once."""
        ended = []

        def end(action: Callable[[], None]) -> None:
            if not ended:
                ended.append(True)
                action()

        def answer(*values: Any) -> None:
            self.back(me.guarded_with(lambda: end(lambda: then(*values))), None)

        self.send(me, to, lambda: request(answer))
        self.after(150, me.guarded(lambda: end(failed)))

    def ask_router(self, me: SimReplica, question: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """A question to the router; None if there was no answer."""
        ended = []

        def end(value: Any) -> None:
            if not ended:
                ended.append(True)
                then(value)

        def arrive() -> None:
            value = question()
            self.back(me.guarded_with(lambda: end(value)), None)

        if not (self.faults and self.rng.random() < 0.1):
            self.after(self.rng.randrange(1, 10), arrive)
        self.after(60, me.guarded(lambda: end(None)))

    def transmit(self, source: SimReplica, dst: int, first: int, batch: bytes) -> None:
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
            shard = self.shards[dst] if dst < len(self.replicas) else source
            if shard is not source and shard.leads:
                shard.receive(source.number, first, batch, answer)

        for _ in range(copies):
            self.after(rng.randrange(1, 30 if self.faults else 3), arrive)
        self.after(200, lambda: back() if not delivered else None)

    # ---- faults -----------------------------------------------------------------------------------------------

    def crash(self, number: int) -> None:
        """Crash a random replica of a shard."""
        replica = self.rng.choice(self.replicas[number])
        if replica.alive:
            replica.crash()
            self.after(self.rng.randrange(1, 300), replica.start_unless_alive)

    def stall(self, number: int) -> None:
        """Stop a random replica of a shard for a while: it takes its requests later."""
        self.rng.choice(self.replicas[number]).stalled_until = self.now + self.rng.randrange(10, 800)

    def depose(self, number: int) -> None:
        """Elect without a reason."""
        if self.router.there:
            self.router.elect(number)

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
            if shard.leads:
                try:
                    record, body = shard.replica.write(op, args, self.now)
                except (MovedError, FrozenError):
                    self.after(30, attempt)
                    return
                except RookeryError as error:
                    finish(error)
                    return
                shard.commit(record, lambda: finish(body))
            self.after(400 if shard.leads else 30, attempt)

        attempt()

    def home(self, account_id: int, length: int, max_id: int = 0, since_id: int = 0, min_id: int = 0) -> list[int]:
        """Read a home timeline, waking and asking as the shell does. Runs the simulation meanwhile."""
        self.run_until(lambda: self.moves.steps is None and not any(s.replica.state.frozen for s in self.shards))
        number = self.owner[ids.bucket_of_account(account_id)]
        self.run_until(lambda: self.shards[number].leads)
        shard = self.shards[number]
        query = HomeQuery(account_id, max_id, since_id, min_id, length)
        ready = shard.replica.try_home(query)
        steps = shard.replica.home_steps(query)
        answer: Any = None
        while True:
            try:
                need = steps.send(answer)
            except StopIteration as stop:
                items = stop.value
                assert ready in (None, home_reply(items))
                return [tweet_id for tweet_id, _ in items]
            answer = None
            if isinstance(need, Wake):
                if need.start:
                    shard.run(["wake", account_id])
                state = shard.replica.state
                self.run_until(lambda s=state: account_id not in s.waking)
            elif isinstance(need, Ask):
                asked = [self.shards[s] for s in need.questions]
                self.run_until(lambda a=asked: all(s.leads for s in a))
                answer = {s: self.shards[s].replica.read(op, args) for s, (op, args) in need.questions.items()}

    def read_as(self, viewer: int, bucket: int, op: str, args: list[Any]) -> Any:
        """Ask a shard what a viewer is to see, as API workers do: it may have to be told what the viewer's own knows.

        Raises NotFoundError. args: without the facts.
        """
        asked = hidden = b""
        while True:
            reply = self.shards[self.owner[bucket]].replica.read(op, [*args, [asked, hidden]])
            if not (isinstance(reply, list) and reply[0] is None):
                return reply
            assert reply[1], "a shard asks about nobody"
            asked += reply[1]
            own = self.shards[self.owner[ids.bucket_of_account(viewer)]].replica
            hidden += own.read("blocked_among", [viewer, reply[1]])

    # ---- the end ----------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Let everything under way arrive, and every replica catch up."""

        def quiet() -> bool:
            return self.busy == 0 and self.moves.steps is None and all(
                shard.leads
                and shard.committed == shard.replica.state.position
                and not shard.waiting and not shard.replica.state.frozen and not shard.replica.state.incoming
                and not shard.replica.mover.sweeping and not shard.replica.state.people.leaving
                and bytes(shard.replica.state.owner.tolist()) == self.router.map.buckets
                and not any(o.waiting for o in shard.replica.state.outboxes.values())
                and shard.leader is not None
                and len(shard.leader.in_sync) == len(self.replicas[shard.number])
                and all(
                    r.alive and r.replica.state.position == shard.replica.state.position and not r.local_waiting
                    and not r.replica.state.deliveries.backlog
                    for r in self.replicas[shard.number]
                )
                for shard in self.shards
            )  # fmt: skip

        self.run_until(quiet)

    def facts(self) -> NetworkFacts:
        """Read the plain facts out of every shard."""
        facts = NetworkFacts()
        for shard in self.shards:
            _, rows = shard.replica.read("export", [0, 1 << 30, shard.replica.state.level >= 3])
            add_rows(facts, rows)
        return facts

    def check(self) -> None:
        """Check every invariant, that all replicas agree, and that a recovery gives the same digest."""
        for shard in self.shards:
            problems = self._check_followers(shard)
            before = digest(shard.replica.state)
            if shard.replica.state.people.away:
                problems.append(
                    f"shard {shard.number} has not forgotten {len(shard.replica.state.people.away)} accounts"
                )
            for replica in self.replicas[shard.number]:
                problems += [*check(replica.replica.state), *stale_pieces(replica.replica.state)]
                assert not problems, problems[:5]
                assert digest(replica.replica.state) == before, (
                    f"replica {replica.index} of shard {shard.number} differs"
                )
        for replica in [replica for replicas in self.replicas for replica in replicas]:
            before = digest(replica.replica.state)
            replica.journal.flush()
            replica.journal.crash(0)
            replica.alive = False
            replica.start()
            assert digest(replica.replica.state) == before, f"shard {replica.number} recovered to another state"
            problems = check(replica.replica.state)
            assert not problems, problems[:5]
        self.drain()

    def _check_followers(self, shard: SimReplica) -> list[str]:
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
