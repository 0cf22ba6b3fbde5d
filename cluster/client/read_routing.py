"""Reads of one shard that has several replicas: who is asked, who is asked as well, and whose answer counts.

Rules of this file
- No sockets and no tasks. Lanes are given (`ReplicaLoad.connect`), time and the one timer come from `Clock`, so tests
  run it on a clock of their own.
- Every read ends exactly once. It always has an attempt on some lane until it has ended, and a lane ends each of its
  attempts by the deadline; so there is no timer per read.
- The first good answer wins; whatever comes after it is only counted.
- A follower's error is never the last word: the primary is asked too. The primary's refusal is final, but for a search
  whose engine is away: that of another replica may be there, so it is asked once before the primary's word counts.

How it works
    start ----> one replica (replica_load.choose) --- answer -----------------------------> done(body)
                  |                               --- refusal of the primary -------------> done(error)
                  |                               --- refusal of a follower, lost lane ---> the primary, else another
                  | no answer within the hedge delay                                        | nobody is left
                  v                                                                         v
                another replica as well, within the budget                                done(Unanswered)

Whoever gets `Unanswered` may dial, fetch the map, wait, and start anew (client.py); it carries what an in-sync follower
has refused with, for the case that the primary stays away.

Reads that may need a hedge wait in queues in which all wait equally long, so the head is always the first due: one for
the hedge delay (the p95 of this shard's reads), one for *fresh* reads, which are the primary's alone for
FRESH_PATIENCE_S, one for those that have found nobody else to ask. Most have ended before they get to the head: the
timer is set once per delay, not once per read.

Costs: 10 us a read over LaneClient.request, replica_group.py included.
Not here: writes, and the client's own positions (client.py).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from actors.core.errors import MovedError, OverloadedError, RookeryError
from cluster.client.replica_load import LATENCY_FIRST_S, HedgeBudget, Latencies, ReplicaLane, ReplicaLoad, choose
from cluster.lane.client import Done
from cluster.lane.protocol import LaneDisconnected, LaneTimeout

FRESH_PATIENCE_S = 0.2  # what decides about access is the primary's alone for so long
LATE_POLL_S = 0.05  # how often a read that has nobody else to turn to looks again

# What needs a replica's search engine, which dies and starts without it.
ENGINE_READS = frozenset(("search", "search_accounts", "suggest", "tagged", "corrections", "trends"))

_NOT_REFUSALS = (MovedError, OverloadedError)  # "ask elsewhere", "not now": no statement about the request


class Clock(Protocol):
    """What is needed of an event loop."""

    def time(self) -> float:
        """Return seconds that only grow."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        """Call back at that time; the returned handle has `cancel`."""
        ...


class Unanswered(OverloadedError):
    """No connected replica has answered. `refusal` is what an in-sync follower said, `reason` why there is no more."""

    def __init__(self, reason: Exception | None, refusal: RookeryError | None) -> None:
        super().__init__("no connected replica answers" if reason is None else str(reason), None, 1.0)
        self.reason, self.refusal = reason, refusal


@dataclass(slots=True)
class ReadFigures:
    """What was counted since the start; see docs/operations.md for the names."""

    primary_reads: int = 0
    follower_reads: int = 0
    hedges_sent: int = 0
    hedges_won: int = 0
    probes_sent: int = 0
    follower_refusals: int = 0


class ShardReads:
    """The replicas of one shard, and the reads that are under way to them."""

    def __init__(self, clock: Clock, rng: random.Random, figures: ReadFigures) -> None:
        self.clock, self.rng, self.figures = clock, rng, figures
        self.loads: list[ReplicaLoad] = []
        self.primary: ReplicaLoad | None = None
        self.latencies = Latencies()
        self.budget = HedgeBudget()
        self._hedgeable: deque[tuple[RoutedRead, float]] = deque()  # with the time since when each waits
        self._fresh: deque[tuple[RoutedRead, float]] = deque()
        self._late: deque[tuple[RoutedRead, float]] = deque()
        self._timer: Any = None
        self._primary_lost_at: float | None = None

    def set_replicas(self, replicas: Iterable[tuple[int, bool, bool]]) -> None:
        """Take over (index, primary, in sync) of each replica from a map; lanes and loads stay."""
        known = {load.index: load for load in self.loads}
        loads = []
        for index, primary, in_sync in replicas:
            load = known.get(index) or ReplicaLoad(index)
            load.primary, load.in_sync = primary, in_sync
            loads.append(load)
        self.loads = loads
        primary_load = next((load for load in loads if load.primary), None)
        if primary_load is not self.primary:
            self.primary, self._primary_lost_at = primary_load, None

    def connect(self, index: int, lane: ReplicaLane) -> None:
        """Take a replica's lane, unless it is known; it is taken to be as fast as the fastest until it has answered.

        Nothing happens if the map has lost that replica meanwhile.
        """
        known = [load.latency_s for load in self.loads if load.connected and load.index != index]
        for load in self.loads:
            if load.index == index and load.lane is not lane:
                load.connect(lane, self.clock.time(), min(known, default=LATENCY_FIRST_S))

    @property
    def complete(self) -> bool:
        """Whether the lanes to the primary and to all that are in sync are up."""
        return all(load.connected for load in self.loads if load.in_sync or load.primary)

    @property
    def stalled_count(self) -> int:
        """Replicas that are connected and have stopped answering."""
        return sum(load.stalled and load.connected for load in self.loads)

    def usable(self) -> list[ReplicaLoad]:
        """Return the connected replicas that are in sync; if there is none, all connected ones."""
        usable = [
            load
            for load in self.loads
            if (load.in_sync or load.primary) and load.lane is not None and not load.lane.closed
        ]
        return usable or [load for load in self.loads if load.connected]

    def read(
        self, op: str, args: list[Any], deadline: float, done: Done, min_position: int = 0, fresh: bool = False
    ) -> None:
        """Ask; done(body, None) or done(None, error) is called exactly once, later.

        min_position: journal position that a follower must have reached; fresh: see the module header. The error is
        the primary's refusal, LaneTimeout, an in-sync follower's refusal if the deadline has passed, or Unanswered.
        Raises at once, and never calls done: Unanswered when nobody can be asked, and what LaneClient.send raises.
        """
        RoutedRead(self, op, args, deadline, done, min_position, fresh).start()

    def patience_is_over(self, now: float) -> bool:
        """Whether the primary has been out of reach for FRESH_PATIENCE_S, so that followers may answer fresh reads."""
        if self.primary is not None and self.primary.connected:
            self._primary_lost_at = None
            return self.primary.oldest_s(now) > FRESH_PATIENCE_S
        if self._primary_lost_at is None:
            self._primary_lost_at = now
        return now - self._primary_lost_at >= FRESH_PATIENCE_S

    # -- the queues and their timer --------------------------------------------------------------------------------

    def queue(self, read: RoutedRead, now: float) -> None:
        """Have a read looked at again when it has waited long enough."""
        (self._fresh if read.fresh else self._hedgeable).append((read, now))
        if self._timer is None:
            self._arm()

    def close(self) -> None:
        """Stop the timer. The reads end with their lanes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for queue, _ in self._queues():
            queue.clear()

    def _queues(self) -> tuple[tuple[deque[tuple[RoutedRead, float]], float], ...]:
        delay_s = self.latencies.hedge_delay_s
        return (self._hedgeable, delay_s), (self._fresh, FRESH_PATIENCE_S), (self._late, LATE_POLL_S)

    def _arm(self) -> None:
        due = [queue[0][1] + delay_s for queue, delay_s in self._queues() if queue]
        if due:
            self._timer = self.clock.call_at(min(due), self._on_timer)

    def _on_timer(self) -> None:
        self._timer, now = None, self.clock.time()
        for queue, delay_s in self._queues():
            for _ in range(len(queue)):  # what is queued again meanwhile waits for the next time
                read, since = queue[0]
                if not read.ended and since + delay_s > now:
                    break
                queue.popleft()
                if not read.ended:
                    self._hedge(read, now)
        if self._timer is None:
            self._arm()

    def _hedge(self, read: RoutedRead, now: float) -> None:
        """Ask another replica as well, if there is one and the budget allows it."""
        read.fresh = False  # it has been patient enough
        other = read.another(now)
        if other is None:
            self._late.append((read, now))
            return
        stall_s = self.latencies.stall_s
        if any(load.is_stalled(now, stall_s) for load in read.asked) or self.budget.spend():
            self.figures.hedges_sent += 1
            read.ask(other, now, extra=True)
        self._hedgeable.append((read, now))

    def check(self) -> None:
        """Assert that the map's facts hold here and that nothing is counted that isn't under way."""
        assert sum(load.primary for load in self.loads) <= 1
        assert len({load.index for load in self.loads}) == len(self.loads)
        waiting = [read for queue, _ in self._queues() for read, _ in queue if not read.ended]
        assert all(read.asked for read in waiting), "a read waits for nobody"
        assert self._timer is not None or not waiting, "a read waits in a queue that nobody looks at"


class RoutedRead:
    """One read and its attempts."""

    __slots__ = (
        "_args",
        "_deadline",
        "_done",
        "_min_position",
        "_op",
        "_primary_error",
        "_reads",
        "_refusal",
        "_started_at",
        "_tried",
        "asked",
        "ended",
        "fresh",
    )  # fmt: skip

    def __init__(
        self, reads: ShardReads, op: str, args: list[Any], deadline: float, done: Done, min_position: int, fresh: bool
    ) -> None:
        self._reads, self._op, self._args, self._deadline, self._done = reads, op, args, deadline, done
        self._min_position, self.fresh = min_position, fresh
        self._started_at = reads.clock.time()
        self._refusal: RookeryError | None = None
        self._primary_error: Exception | None = None  # the last word, if nobody else answers
        self._tried: list[ReplicaLoad] = []
        self.asked: list[ReplicaLoad] = []  # those that owe an answer
        self.ended = False

    def start(self) -> None:
        """Make the first attempt; see ShardReads.read."""
        reads, now = self._reads, self._started_at
        usable, stall_s = reads.usable(), reads.latencies.stall_s
        lively = [load for load in usable if not load.is_stalled(now, stall_s)]
        if not self.fresh or reads.patience_is_over(now):
            self.fresh = False
            target = choose(lively or usable, now, reads.rng) if usable else None
        else:
            target = reads.primary if reads.primary is not None and reads.primary.connected else None
        if target is None:
            raise Unanswered(None, None)
        reads.budget.earn()
        error = self.ask(target, now)
        while error is not None:
            other = self.another(now) if isinstance(error, OverloadedError) else None
            if other is None:
                raise Unanswered(error, None) if isinstance(error, LaneDisconnected) else error
            error = self.ask(other, now)
        if len(lively) < len(usable):
            for load in usable:
                if load.stalled and load not in self._tried and load.wants_probe(now):
                    reads.figures.probes_sent += 1
                    self.ask(load, now, extra=True)
        reads.queue(self, now)

    def another(self, now: float) -> ReplicaLoad | None:
        """Return whom to ask next, of those that answer and weren't asked; None if nobody is left."""
        reads = self._reads
        stall_s = reads.latencies.stall_s
        if self.fresh:
            return None
        left = [load for load in reads.usable() if load not in self._tried and not load.is_stalled(now, stall_s)]
        return choose(left, now, reads.rng) if left else None

    def ask(self, load: ReplicaLoad, now: float, extra: bool = False) -> RookeryError | None:
        """Make an attempt. extra: beside another. Returns what LaneClient.send raised if nothing was sent."""
        op, args = self._op, self._args
        if self._min_position and not load.primary:
            op, args = "at", [self._min_position, op, args]
        self._tried.append(load)
        number = load.begin(now)

        def take(body: Any, error: Exception | None) -> None:
            self._take(load, number, extra, body, error)

        try:
            assert load.lane is not None
            load.lane.send(op, args, max(self._deadline - now, 0.0), take)
        except RookeryError as error:
            load.end(number, now, answered=False)
            return error
        self.asked.append(load)
        return None

    def _take(self, load: ReplicaLoad, number: int, extra: bool, body: Any, error: Exception | None) -> None:
        """See what an attempt came to."""
        reads = self._reads
        now, figures = reads.clock.time(), reads.figures
        useless = isinstance(error, _NOT_REFUSALS)
        silent = useless and isinstance(error, (LaneDisconnected, LaneTimeout))
        load.is_stalled(now, reads.latencies.stall_s)  # seen while the read that shows it is still there
        load.end(number, now, not silent, reads.latencies.hedge_delay_s if useless else 0.0)
        self.asked.remove(load)
        if self.ended:
            return
        if error is None:
            if load.primary:
                figures.primary_reads += 1
            else:
                figures.follower_reads += 1
            figures.hedges_won += extra
            self._end(body, None, now)
        elif isinstance(error, LaneTimeout):
            self._end(None, self._refusal or error)
        elif load.primary and not isinstance(error, (MovedError, LaneDisconnected)):
            self._primary_error = error
            is_away = type(error) is OverloadedError and self._op in ENGINE_READS
            if not is_away or not (self.asked or self._ask_another(now)):
                self._end(None, error, now)
        elif load.primary and isinstance(error, MovedError):
            self._end(None, Unanswered(error, self._refusal))  # the map is out of date
        else:
            if not load.primary:
                figures.follower_refusals += 1
                if load.in_sync and not useless and isinstance(error, RookeryError):
                    self._refusal = error
            self._go_on(error, now)

    def _go_on(self, error: Exception, now: float) -> None:
        """After an attempt that settles nothing: ask the primary, else another, else wait for those already asked."""
        reads = self._reads
        primary = reads.primary
        untried = primary is not None and primary.connected and primary not in self._tried
        if primary is not None and untried and self.ask(primary, now) is None:
            reads.queue(self, now)
            return
        stall_s = reads.latencies.stall_s
        while all(load.is_stalled(now, stall_s) for load in self.asked):
            if self.another(now) is None:
                break
            if self._ask_another(now):
                return
        if not self.asked:
            self._end(None, self._primary_error or Unanswered(error, self._refusal))

    def _ask_another(self, now: float) -> bool:
        """Ask one who wasn't asked yet, if there is one; whether he was."""
        other = self.another(now)
        if other is None or self.ask(other, now) is not None:
            return False
        self._reads.queue(self, now)
        return True

    def _end(self, body: Any, error: Exception | None, now: float | None = None) -> None:
        """Tell the caller, once. now: when a replica's word ended it, to be counted as this read's latency."""
        self.ended = True
        if now is not None:
            self._reads.latencies.note(now - self._started_at)
        self._done(body, error)
