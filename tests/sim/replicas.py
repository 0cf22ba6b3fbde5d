"""One simulated replica of a shard: a `Replica`, its disk, its part in replication, and replies that wait for the disk.

It does what the actor's shell does (actors/shard/replication.py) by the same rules (core/replication.py), one event at
a time. It can crash between any two events, and stall: then everything that was to happen waits, as under SIGSTOP.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.core import ids
from actors.core.checkpoints.snapshot import TABLES
from actors.core.messages import require_fitting
from actors.core.replica import Replica
from actors.core.replication import Candidate, Leader, standing_position
from persistence.memory import MemoryCheckpointStore, MemoryDisk, MemoryJournal, MemoryShelf
from persistence.recovery import recover

if TYPE_CHECKING:
    from tests.sim.cluster import SimCluster

REFUSED, FAILED = -1, -2  # what a follower answers; FAILED: the connection broke, nobody knows
SHIP_RECORDS = 7
SNAPSHOT_ROWS = 5


class SimReplica:
    """One replica: what is on its disk survives, the rest is made anew by `start`."""

    def __init__(self, sim: SimCluster, shard: int, index: int) -> None:
        self.sim, self.number, self.index = sim, shard, index
        self.disk, self.shelf = MemoryDisk(f"shard-{shard}-{index}"), MemoryShelf()
        self.store_id, self.promised, self.term = f"disk-{shard}-{index}", 0, 0  # the replica file
        self.incarnation = 0
        self.alive = self.retired = False
        self.stalled_until = 0
        self.start()

    # ---- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        sim = self.sim
        self.replica = Replica(self.number, [0] * ids.BUCKET_COUNT, sim.tuning)
        self.store = MemoryCheckpointStore(TABLES, self.shelf)
        after = self.shelf.position if self.term == 0 else 0  # it was to be replaced whole: its journal is gone
        self.journal = MemoryJournal(self.disk, self.number, self.promised, after)
        self.log: dict[int, bytes] = {}  # what it has applied since it started
        recover(self.store, self.journal, self.replica.load, self.replay, lambda: 0.0)
        self.role, self.prepared = "waiting", -1
        self.leader: Leader | None = None
        self.writable = False
        self.committed = self.shelf.position  # what is above, the next leader says
        self.waiting: list[tuple[int, Callable[[], None]]] = []  # for a committed position
        self.local_waiting: list[tuple[int, Callable[[], None]]] = []  # for a position on this disk
        self.sealed: list[tuple[int, Any]] = []
        self.in_flight: set[int] = set()
        self.links: dict[int, Link] = {}
        self.flushing = self.delivering = self.sweeping = self.clearing = False
        self.asking: Leader | None = None  # whose question to the router is under way
        self.alive = True
        self.incarnation += 1
        self.deliver_soon()

    def crash(self) -> None:
        rng = self.sim.rng
        self.journal.crash(rng.choice([0, 0, rng.randrange(0, 4000), 1 << 30]), rng.random() < 0.3)
        self.alive = False

    def restart(self) -> None:
        """End the process on purpose, and come back."""
        self.journal.crash(0)
        self.alive = False
        self.sim.after(self.sim.rng.randrange(1, 50), self.start_unless_alive)

    def guarded(self, action: Callable[[], None]) -> Callable[[], None]:
        """Return the action, void if the replica has crashed meanwhile, put off while it stalls."""
        born = self.incarnation

        def run() -> None:
            if self.alive and self.incarnation == born:
                if self.sim.now < self.stalled_until:
                    self.sim.after(self.stalled_until - self.sim.now, run)
                else:
                    action()

        return run

    def guarded_with(self, action: Callable[[], None]) -> Callable[[Any], None]:
        """As `guarded`, for a callback with a value."""
        run = self.guarded(action)
        return lambda _: run()

    def start_unless_alive(self) -> None:
        """Come back, if nothing else has brought it back."""
        if not self.alive and not self.retired:
            self.start()

    # ---- commands ---------------------------------------------------------------------------------------------

    @property
    def leads(self) -> bool:
        """Whether it takes writes."""
        return self.alive and self.role == "primary" and self.writable and self.sim.now >= self.stalled_until

    def replay(self, position: int, record: bytes) -> None:
        self.replica.replay(position, record)
        self.log[position] = record

    def records(self, first: int) -> list[bytes]:
        """Return some records from a position on, as far as they are here."""
        if first in self.log or first > self.replica.state.position:
            return [self.log[p] for p in range(first, first + SHIP_RECORDS) if p in self.log]
        return [record for _, record in itertools.islice(self.journal.replay(first - 1), SHIP_RECORDS)]

    def run(self, command: list[Any]) -> Any:
        record, result = self.replica.command(command)
        self.commit(record, lambda: None)
        return result

    def sweep_soon(self) -> None:
        """Forget what has moved away, step by step."""
        if self.replica.mover.sweeping and not self.sweeping:
            self.sweeping = True
            self.sim.after(self.sim.rng.randrange(1, 30), self.guarded(self.sweep_step))

    def sweep_step(self) -> None:
        self.sweeping = False
        command = self.replica.mover.sweep_step() if self.role == "primary" and self.writable else None
        if command is not None:
            self.run(command)
        if self.role == "primary":
            self.sweep_soon()

    def clear_soon(self) -> None:
        """Take back what deleted accounts have left, in pieces that are small enough for anything to come between."""
        if self.replica.state.people.leaving and not self.clearing and self.role == "primary":
            self.clearing = True
            self.sim.after(self.sim.rng.randrange(1, 40), self.guarded(self.clear_piece))

    def clear_piece(self) -> None:
        command = self.replica.leavings.next_piece() if self.role == "primary" and self.writable else None
        if command is not None:
            self.run([*command[:2], self.sim.rng.randrange(1, 6)])
        self.clearing = False
        self.clear_soon()

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
            self.log[self.replica.state.position] = record
            for link in self.links.values():
                link.go_on()
        self.deliver_soon()
        self.clear_soon()
        self.waiting.append((self.replica.state.position, done))
        self.flush_soon()

    def flush_soon(self) -> None:
        if not self.flushing:
            self.flushing = True
            self.sim.after(self.sim.rng.randrange(1, self.sim.sync_ms_max), self.guarded(self.flush))

    def flush(self) -> None:
        self.flushing = False
        durable = self.journal.flush()
        ready = [done for position, done in self.local_waiting if position <= durable]
        self.local_waiting = [(p, d) for p, d in self.local_waiting if p > durable]
        for done in ready:
            done()
        if self.leader is not None:
            self.settle(self.leader.advance(durable))
        self.fold()

    def settle(self, committed: int) -> None:
        """Everything up to `committed` may be told."""
        committed = min(committed, self.journal.durable_position)
        if self.role == "primary":
            self.sim.note_committed(self, committed)
        self.committed = max(self.committed, committed)
        ready = [done for position, done in self.waiting if position <= self.committed]
        self.waiting = [(p, d) for p, d in self.waiting if p > self.committed]
        for done in ready:
            done()
        self.fold()
        if self.role == "primary":
            self.pump()
            self.tend()

    def seal(self) -> None:
        self.sealed.append((self.replica.state.position, self.replica.seal()))
        self.journal.roll()
        self.flush_soon()

    def fold(self) -> None:
        """Write what is committed into the checkpoint."""
        while self.sealed and self.sealed[0][0] <= min(self.committed, self.journal.durable_position):
            position, changes = self.sealed.pop(0)
            self.store.write(position, self.journal.epoch, changes)
            self.journal.trim(position)

    # ---- messages to other shards -----------------------------------------------------------------------------

    def pump(self) -> None:
        """Send to every shard that has nothing in flight."""
        for dst, outbox in self.replica.state.outboxes.items():
            first, messages = outbox.batch(self.committed)
            if messages and dst not in self.in_flight:
                self.in_flight.add(dst)
                self.sim.transmit(self, dst, first, b"".join(messages))

    def receive(self, source: int, first: int, batch: bytes, answer: Callable[[int], None]) -> None:
        require_fitting(batch)
        seq = self.run(["receive", source, first, batch])
        self.commit(None, lambda: answer(seq))

    def acked(self, dst: int, seq: int) -> None:
        self.in_flight.discard(dst)
        if self.role == "primary":
            if seq >= 0:
                self.run(["acked", dst, seq])
            self.pump()

    # ---- elections --------------------------------------------------------------------------------------------

    def prepare(self, term: int, answer: Callable[[Candidate | int], None]) -> None:
        """Promise to follow nobody of a lower term, and say what is on this disk."""
        if term < self.promised or (term == self.promised and self.role != "waiting"):
            answer(self.promised)
            return
        self.promised = self.prepared = term
        self.stop_leading()
        position = self.replica.state.position
        self.local_waiting.append((position, lambda: answer(Candidate(self.index, self.store_id, self.term, position))))
        self.flush_soon()

    def stop_leading(self) -> None:
        self.role, self.leader, self.links, self.writable = "waiting", None, {}, False
        self.in_flight.clear()

    def learn_map(self) -> None:
        """A newer map: lead if it says so."""
        shard_map = self.sim.router.map
        if shard_map.primary_of(self.number).index != self.index or self.prepared != shard_map.term_of(self.number):
            return
        if self.role == "waiting" and self.promised == self.prepared:
            self.lead(self.prepared)

    def lead(self, term: int) -> None:
        history = self.sim.router.map.terms[self.number]
        assert history[-1].begin == self.replica.state.position == self.journal.durable_position
        assert len(self.sim.committed[self.number]) <= history[-1].begin, "a leader lacks committed records"
        self.term = term
        self.journal.begin_epoch(term)
        self.role, self.leader = "primary", Leader(term, self.index, history[-1].begin, history[-1].copies)
        self.writable = self.leader.fully_replicated
        for peer in self.sim.replicas[self.number]:
            if peer is not self:
                self.links[peer.index] = Link(self, peer)
        for link in self.links.values():
            link.go_on()
        if self.replica.state.map_epoch == 0:
            born = self.sim.router.map
            self.run(["remap", born.epoch, born.shard_count, born.buckets])
        if self.replica.state.level < self.sim.router.map.next_level:
            self.run(["level", self.sim.router.map.next_level])
        self.replica.mover.lead()
        self.sweep_soon()
        self.clear_soon()
        self.settle(self.leader.committed)
        self.sim.after(300, self.guarded(lambda: self.stop_waiting(term)))

    def stop_waiting(self, term: int) -> None:
        """Take writes with fewer copies than wished for: nobody else came."""
        if self.role == "primary" and self.term == term:
            self.writable = True

    # ---- leading ----------------------------------------------------------------------------------------------

    def tend(self) -> None:
        """Ask the router for another in-sync set, if one is wanted."""
        leader = self.leader
        if leader is None:
            return
        self.writable = self.writable or leader.fully_replicated
        wanted = leader.proposal()
        if wanted is None or self.asking is leader:
            return
        self.asking = leader
        term = leader.term
        members = [(i, self.sim.replicas[self.number][i].store_id) for i in sorted(wanted)]

        def decided(accepted: bool | None) -> None:
            if self.leader is not leader:
                return
            self.asking = None
            if accepted is False:
                self.restart()  # deposed
                return
            if accepted:
                self.settle(leader.decided())
            self.tend()

        self.sim.ask_router(self, lambda: self.sim.router.change_in_sync(self.number, term, members), decided)

    # ---- following --------------------------------------------------------------------------------------------

    def attach(self, term: int, answer: Callable[[int, int], None]) -> None:
        """Follow the leader of a term: say how far, or that a snapshot is needed (-1); cut what doesn't stand."""
        if term < self.promised or self.role == "primary":
            answer(REFUSED, self.promised)
            return
        history = [t for t in self.sim.router.map.terms[self.number] if t.term <= term]
        position = self.replica.state.position
        standing = standing_position(history, self.term, position)
        if standing < position:
            if standing < max(self.shelf.position, self.journal.first_position - 1):
                answer(0, -1)
            else:
                self.journal.flush()
                self.journal.cut_after(standing)
                self.restart()
            return
        self.journal.flush()
        self.promised = max(self.promised, term)
        if self.term != term:
            self.term = term
            self.journal.begin_epoch(term)
        self.role = "follower"
        self.waiting.clear()  # clients of its own leadership try again elsewhere
        answer(0, position)

    def append(
        self, term: int, first: int, records: list[bytes], committed: int, answer: Callable[[int], None]
    ) -> None:
        """Apply the leader's records; answered with this disk's position once they are durable."""
        state = self.replica.state
        if self.role != "follower" or term != self.term or term < self.promised or first > state.position + 1:
            answer(REFUSED)
            return
        for record in records[state.position + 1 - first :]:
            self.replay(state.position + 1, record)
            assert self.journal.append(record) == state.position
        self.deliver_soon()
        position = state.position
        self.settle(committed)
        self.local_waiting.append((position, lambda: answer(position)))
        self.flush_soon()

    def install(self, term: int, position: int, pieces: list[Any]) -> None:
        """Replace everything by a leader's checkpoint, and come back with it."""
        if term < self.promised or self.role == "primary":
            return
        self.promised = max(self.promised, term)
        self.term = 0  # from here on the journal may be gone
        self.journal.crash(0)
        for name in reversed(self.disk.names()):
            self.disk.delete(name)
            if self.sim.faults and self.sim.rng.random() < 0.1:
                break  # killed on the way
        else:
            self.store.replace(position, term, iter(pieces))
            if not (self.sim.faults and self.sim.rng.random() < 0.1):
                MemoryJournal(self.disk, self.number, term, position).crash(0)
                self.term = term
        self.alive = False
        self.sim.after(self.sim.rng.randrange(1, 50), self.start_unless_alive)


class Link:
    """A leader's connection to one follower: attach, then one batch at a time; after trouble from the beginning."""

    def __init__(self, leader: SimReplica, peer: SimReplica) -> None:
        self.me, self.peer = leader, peer
        self.term = leader.term
        self.next_position = 0  # to be sent; 0: not attached
        self.busy = False
        self.heartbeat_due = False

    @property
    def current(self) -> bool:
        return self.me.role == "primary" and self.me.links.get(self.peer.index) is self

    def go_on(self) -> None:
        """Do the next thing, if nothing is under way."""
        if self.busy or not self.current:
            return
        me = self.me
        if self.next_position == 0:
            self._call(lambda answer: self.peer.attach(self.term, answer), self._attached)
        elif self.next_position <= me.replica.state.position or self.heartbeat_due:
            records = me.records(self.next_position)
            first, committed = self.next_position, me.committed
            self._call(
                lambda answer: self.peer.append(self.term, first, records, committed, lambda p: answer(p, 0)),
                self._acked,
            )
        else:
            self._again_soon(100)  # a heartbeat

    def _again_soon(self, ms: int) -> None:
        self.busy = True

        def again() -> None:
            self.busy, self.heartbeat_due = False, True
            self.go_on()

        self.me.sim.after(ms, self.me.guarded(again))

    def _call(self, send: Callable[[Callable[[int, int], None]], None], then: Callable[[int, int], None]) -> None:
        self.busy, self.heartbeat_due = True, False
        self.me.sim.call(self.me, self.peer, send, then, lambda: then(FAILED, 0))

    def _attached(self, outcome: int, position: int) -> None:
        self.busy = False
        if not self.current:
            return
        if outcome == REFUSED and position > self.term:
            self.me.restart()  # deposed
        elif outcome in (REFUSED, FAILED):
            self._lost()
        elif position < self.me.journal.first_position - 1:  # -1 included
            self._send_snapshot()
        else:
            self.next_position = position + 1
            assert self.me.leader is not None
            self.me.settle(self.me.leader.ack(self.peer.index, position))
            self.go_on()

    def _acked(self, position: int, _: int) -> None:
        self.busy = False
        if not self.current:
            return
        assert self.me.leader is not None
        if position in (REFUSED, FAILED):
            self._lost()
            return
        self.next_position = position + 1
        self.me.settle(self.me.leader.ack(self.peer.index, position))
        self.go_on()

    def _lost(self) -> None:
        self.next_position = 0
        assert self.me.leader is not None
        self.me.settle(self.me.leader.lose(self.peer.index))
        self._again_soon(30)

    def _send_snapshot(self) -> None:
        me, peer = self.me, self.peer
        reader = me.store.read_pieces(SNAPSHOT_ROWS)
        position, pieces = reader.position, list(reader)
        self.busy = True
        me.sim.after(me.sim.rng.randrange(1, 40), peer.guarded(lambda: peer.install(self.term, position, pieces)))
        self._again_soon(100)
