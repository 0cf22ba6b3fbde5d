"""How much of one client may wait for one shard, so that a shard that hangs doesn't take the others' requests along.

Rules of this file
- Requests to one shard hold half of a client's places at most, reads and writes apart; the other half is the others'.
  With one shard there are no others. How many places there are is the caller's to say, and may change (`share`); until
  somebody does, nothing is refused here: tools wait.
- A shard of which TIMEOUTS_IN_A_ROW requests have ended by their deadline, with no answer in between, fails fast: what
  comes is refused at once, but for one request every PROBE_S, which is sent to see whether it answers again (a circuit
  breaker, half open). Any answer, a refusal too, or a new lane to it ends that.
- Whatever has entered leaves once. What this client itself refuses says nothing about a shard; nor does a search that
  is late: its engine is another process.

Cost: 0.3 us a request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from actors.core.errors import OverloadedError
from cluster.client.read_routing import ENGINE_READS
from cluster.lane.protocol import LaneTimeout

TIMEOUTS_IN_A_ROW = 5
PROBE_S = 1.0
PROBE_PATIENCE_S = 5.0  # that whoever is made a probe waits at most: a shard that takes longer isn't well yet
LATE_SHARE = 0.9  # of its time, after which a request that is given up counts as one that has timed out
RETRY_AFTER_S = 1.0


class PlacesBound(Protocol):
    """How many requests there may be."""

    count_bound: int


class Unbounded:
    """As many as there are."""

    count_bound = 1 << 62


class UnreachableError(OverloadedError):
    """A request has ended by its deadline, and no owner of its key could be reached."""


class ShardHealth:
    """Whether one shard answers."""

    __slots__ = ("_may_open", "_probe_at_s", "is_open", "probe_count", "refused_count", "timeout_count")

    def __init__(self, may_open: bool) -> None:
        """may_open: whether it may fail fast."""
        self._may_open = may_open
        self.is_open = False  # it is asked no more, but for probes
        self.timeout_count = 0  # in a row
        self.probe_count = self.refused_count = 0
        self._probe_at_s = 0.0

    def answers(self) -> None:
        """It has said something, or is there anew."""
        self.timeout_count, self.is_open = 0, False

    def times_out(self, now_s: float) -> None:
        """A request has ended without an answer."""
        self.timeout_count += 1
        if self.timeout_count >= TIMEOUTS_IN_A_ROW and self._may_open and not self.is_open:
            self.is_open, self._probe_at_s = True, now_s + PROBE_S

    def may_probe(self, now_s: float) -> bool:
        """Whether a request is to be sent all the same; says so once every PROBE_S."""
        if now_s < self._probe_at_s:
            return False
        self._probe_at_s = now_s + PROBE_S
        self.probe_count += 1
        return True


class Places:
    """The requests of one kind, reads or writes, that are under way to one shard."""

    __slots__ = ("_bound", "_health", "_shard", "_share", "_time", "count")

    def __init__(
        self, shard: int, health: ShardHealth, bound: PlacesBound, share: int, time: Callable[[], float]
    ) -> None:
        """share: one part of how many of the bound's places may be this shard's; time: seconds that only grow."""
        self._shard, self._health, self._bound, self._share, self._time = shard, health, bound, share, time
        self.count = 0

    def enter(self) -> bool:
        """Take a place. Returns whether the request is a probe, which isn't waited for longer than PROBE_PATIENCE_S.

        Raises OverloadedError.
        """
        is_probe = self._health.is_open
        if is_probe and not self._health.may_probe(self._time()):
            self._health.refused_count += 1
            raise OverloadedError(f"shard {self._shard} doesn't answer at the moment", None, RETRY_AFTER_S)
        if self.count * self._share >= self._bound.count_bound:
            self._health.refused_count += 1
            raise OverloadedError(f"too many requests wait for shard {self._shard}", None, RETRY_AFTER_S)
        self.count += 1
        return is_probe

    def leave(self, op: str, error: BaseException | None) -> None:
        """Give a place back. error: what the request has ended with."""
        self.count -= 1
        health = self._health
        if error is None or not isinstance(error, OverloadedError):
            if health.timeout_count:
                health.answers()
        elif isinstance(error, (LaneTimeout, UnreachableError)) and op not in ENGINE_READS:
            health.times_out(self._time())

    def give_up(self, op: str, is_late: bool) -> None:
        """Give a place back whose request nobody waits for any more. is_late: it has had most of its time."""
        self.count -= 1
        if is_late and op not in ENGINE_READS:
            self._health.times_out(self._time())


class ShardPlaces:
    """The places of all shards."""

    def __init__(self, read_ops: frozenset[str], time: Callable[[], float]) -> None:
        """read_ops: what counts as a read; time: seconds that only grow."""
        self._read_ops, self._time = read_ops, time
        self._reads: PlacesBound = Unbounded()
        self._writes: PlacesBound = Unbounded()
        self._is_shared = False
        self._healths: list[ShardHealth] = []
        self._places: list[tuple[Places, Places]] = []  # for reads, and for writes
        self.resize(1)

    def share(self, reads: PlacesBound, writes: PlacesBound) -> None:
        """From now on there are so many places, which shards share."""
        self._reads, self._writes, self._is_shared = reads, writes, True
        self._healths = [ShardHealth(True) for _ in self._healths]
        self._renew()

    def resize(self, shard_count: int) -> None:
        """There are so many shards."""
        if shard_count != len(self._healths):
            new = [ShardHealth(self._is_shared) for _ in range(shard_count - len(self._healths))]
            self._healths = [*self._healths[:shard_count], *new]
            self._renew()

    def _renew(self) -> None:
        """Make places anew. Requests under way leave those that they have entered, which are asked no more."""
        share = 2 if len(self._healths) > 1 else 1
        self._places = [
            (
                Places(shard, health, self._reads, share, self._time),
                Places(shard, health, self._writes, share, self._time),
            )
            for shard, health in enumerate(self._healths)
        ]

    def of(self, shard: int, op: str) -> Places:
        """Return where a request counts. A shard that doesn't exist has the places of shard 0: it is refused later."""
        places = self._places[shard] if 0 <= shard < len(self._places) else self._places[0]
        return places[op not in self._read_ops]

    def is_new(self, shard: int) -> None:
        """There is a new lane to a shard: what was known of the process behind the old one is void."""
        self._healths[shard].answers()

    def figures(self) -> dict[str, int]:
        """Return what was counted; the names are those of docs/operations.md."""
        return {
            "shards_failing_fast": sum(health.is_open for health in self._healths),
            "shard_probes": sum(health.probe_count for health in self._healths),
            "shard_refusals": sum(health.refused_count for health in self._healths),
        }

    def check(self) -> None:
        """Assert the invariants: nobody has left who hadn't entered; what fails fast has timed out."""
        assert all(places.count >= 0 for pair in self._places for places in pair)
        assert all(health.timeout_count >= TIMEOUTS_IN_A_ROW for health in self._healths if health.is_open)
