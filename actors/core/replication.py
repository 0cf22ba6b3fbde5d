"""The rules of replication: who may lead a shard, what of a log stands, and when a record is committed.

    term 3: replica 0 leads, its log begins at position 70      term 4: replica 2 leads from position 95
    replica 0   ......70=============95====97                   97 and 96 were on one disk only: cut when it comes back
    replica 1   ......70=========92 ------------> follows ----> 95 =====
    replica 2   ......70=============95 -- elected in term 4 -> 95 =========

Rules of this file
- Pure: positions, terms and sets in, decisions out. The router, the shard actors and the simulator share them.
- A term has one leader, and a process leads only in a term that it was elected for while it ran: whoever restarts is a
  candidate again, because followers may hold records of its term that its own disk never got.
- A replica's log is described by (term, position): "the first `position` records of that term's log". Of two, the
  higher pair holds at least all that was committed.
- The in-sync set S is what an election asks. It changes only through the router, which has it on disk.

Theory
A record is committed once it is durable on the leader and on `copies - 1` others of S (all of them, if S is smaller). A
new leader must hold every committed record, so an election needs the old leader's answer, or so many of the others
that one of them must have acknowledged whatever was committed. While the leader asks the router for another S, a
record must satisfy both sets, and the new one must cover what is committed before the router hears of it: then it
doesn't matter which of the two an election meanwhile goes by. (Raft's joint consensus, with the router in the place of
the log of configurations; the cut by terms is Kafka's leader epochs.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

JOIN_RECORDS_MAX = 2_000  # a follower that is this close is waited for, so that it can join the in-sync set


class Term(NamedTuple):
    """One leadership of one shard. begin: the leader's last position when it was elected; copies: that commit."""

    term: int
    begin: int
    copies: int


class Candidate(NamedTuple):
    """What a replica says of its log when it promises a term. store_id: whose disk it is."""

    replica: int
    store_id: str
    term: int
    position: int


class Member(NamedTuple):
    """One of the in-sync set. store_id "": any; maps of before there were replicas don't say."""

    replica: int
    store_id: str


def standing_position(history: Sequence[Term], term: int, position: int) -> int:
    """Return how much of a log (term, position) is part of the newest term's log: what is above must be cut off."""
    return min([position, *(later.begin for later in history if later.term > term)])


def elect(
    history: Sequence[Term],
    in_sync: Sequence[Member],
    old_leader: int,
    replica_count: int,
    answers: Iterable[Candidate],
    preferred: int = -1,
) -> Candidate | None:
    """Return who is to lead, or None if those who answered may lack committed records.

    preferred: the replica that leads if nobody is further; it changes nothing else.
    Without a history (a new cluster, or a lost map) every replica must answer. Answers from another disk than the one
    that was in sync don't count: it may be empty.
    """
    if not history:
        chosen = list(answers)
        if len(chosen) < replica_count:
            return None
        return max(chosen, key=lambda c: (c.term, c.position, c.replica == preferred, -c.replica))
    disks = {member.replica: member.store_id for member in in_sync}
    chosen = [c for c in answers if c.replica in disks and disks[c.replica] in ("", c.store_id)]
    followers_needed = len(disks.keys() - {old_leader}) - min(history[-1].copies, len(disks)) + 2
    followers = sum(c.replica != old_leader for c in chosen)
    if followers == len(chosen) and followers < followers_needed:
        return None
    if not chosen:
        return None
    first = old_leader if preferred == -1 else preferred
    return max(chosen, key=lambda c: (c.term, c.position, c.replica == first, -c.replica))


class Leader:
    """The primary's side of one term: who follows how far, what is committed, which in-sync set is wanted.

    index: this replica; begin: its position when it was elected; copies: disks that a record must be on.
    """

    def __init__(self, term: int, index: int, begin: int, copies: int) -> None:
        self.term, self.index, self.copies = term, index, copies
        self.durable = self.committed = begin
        self.in_sync = frozenset((index,))
        self.wanted: frozenset[int] | None = None  # the set that the router is, or is about to be, asked for
        self.asked = False
        self.acked: dict[int, int] = {}  # attached followers: their durable positions
        self._unwanted: set[int] = set()

    # ---- what happens -----------------------------------------------------------------------------------------

    def advance(self, durable: int) -> int:
        """Note how far this replica's own journal is durable; returns the committed position."""
        self.durable = max(self.durable, durable)
        return self._settle()

    def ack(self, index: int, position: int) -> int:
        """Note that an attached follower has everything up to `position` on disk; returns the committed position."""
        self.acked[index] = max(position, self.acked.get(index, 0))
        self._unwanted.discard(index)
        return self._settle()

    def lose(self, index: int) -> int:
        """A follower is gone, or too slow to wait for: it must leave the set. Returns the committed position."""
        self.acked.pop(index, None)
        self._unwanted.add(index)
        if self.wanted is not None and not self.asked:
            self.wanted = None  # nobody has heard of it: plan anew
        return self._settle()

    # ---- the in-sync set --------------------------------------------------------------------------------------

    def proposal(self) -> frozenset[int] | None:
        """Return the set to ask the router for now, or None. Ask until `decided`, with nothing else in between."""
        if self.wanted is None:
            near = {i for i, position in self.acked.items() if self.durable - position <= JOIN_RECORDS_MAX}
            wanted = frozenset({self.index} | near | (self.in_sync - self._unwanted))
            if wanted == self.in_sync:
                return None
            self.wanted = wanted
        if not self.asked and self._covered(self.wanted) >= self.committed:
            self.asked = True
        return self.wanted if self.asked else None

    def decided(self) -> int:
        """The router has the set that was asked for on disk; returns the committed position."""
        assert self.wanted is not None, "nothing was asked for"
        self.in_sync, self.wanted, self.asked = self.wanted, None, False
        return self._settle()

    @property
    def fully_replicated(self) -> bool:
        """Whether as many are in sync as a record must be on."""
        return len(self.in_sync) >= self.copies

    # ---- what is committed ------------------------------------------------------------------------------------

    def _settle(self) -> int:
        position = self._covered(self.in_sync)
        if self.wanted is not None:
            position = min(position, self._covered(self.wanted))
        self.committed = max(self.committed, position)
        return self.committed

    def _covered(self, members: frozenset[int]) -> int:
        """Return the position up to which enough of these members have everything."""
        others_needed = min(self.copies, len(members)) - 1
        if others_needed == 0:
            return self.durable
        acked = sorted((self.acked.get(i, 0) for i in members if i != self.index), reverse=True)
        return min(self.durable, acked[others_needed - 1])
