"""Home timeline rings: per account, the arrival numbers of its newest candidates, ascending by tweet id.

    row r:  oldest ... newest            uint32 arrival numbers, in a block of a size class (4 to H + H/10 entries)
            floor[r] = F                 every candidate of the owner with an id above F is in the ring

Invariants (see `check`): a settled ring is sorted by tweet id and holds no tweet twice; what is at or below its floor
is ignored; an account that is asleep has no ring. A delivery out of order is only appended: it finds its place when the
ring is next read, or full. *Candidate* means: by the owner or by somebody the owner follows, and not by a pull author
(whose tweets are merged from the pull log at read time). Blocks, mutes, reply and repost rules and deletions are
filters of the read, so changing one of them never changes a ring.

A ring that overflows drops its oldest entries and raises the floor to the highest id dropped. A sorted ring makes a
page cost what the page holds, and a rebuild give the same ring whatever the order of arrivals was.
Costs: insert 30 to 60 ns per follower in a batch; 32 bytes a row for an account without a ring, 3.5 KB when full.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.core.arrays import kernels, restore_kernels
from actors.core.arrays.arena import TIDY_FROM_ELEMENTS, BlockArena
from actors.core.arrays.restore_kernels import Groups
from actors.core.timelines.arrivals import Arrivals


class Rings:
    """All home timelines of one shard. Rows are those of `People`."""

    def __init__(self, arrivals: Arrivals, length: int, tidy_from: int = TIDY_FROM_ELEMENTS) -> None:
        """length: entries H that a ring keeps at least once it has had them; tidy_from: see `BlockArena`."""
        self.arrivals = arrivals
        self.keep = length
        self.arena = BlockArena(
            np.uint32, length_max=length + max(8, length // 10), tidy_from=tidy_from, thrifty=False,
            columns=(("floor", "i8"), ("ordered", "i4"), ("awake", "u1")),
        )  # fmt: skip
        self.delivery_count = 0
        self.awake_count = 0  # rows with awake == 1; counting them takes a millisecond

    @property
    def floor(self) -> npt.NDArray[np.int64]:
        """Per row, the id at or below which nothing is known."""
        return self.arena.floor  # type: ignore[attr-defined,no-any-return]

    @property
    def ordered(self) -> npt.NDArray[np.int32]:
        """Per row, the entries that are in order; those behind wait to be settled."""
        return self.arena.ordered  # type: ignore[attr-defined,no-any-return]

    @property
    def awake(self) -> npt.NDArray[np.uint8]:
        """Per row, 1 if it has a ring, 0 if its account is dormant."""
        return self.arena.awake  # type: ignore[attr-defined,no-any-return]

    def ensure_rows(self, rows: int) -> None:
        """Make rows 0..rows-1 exist, asleep."""
        self.arena.ensure_rows(rows)

    def view(self, row: int) -> npt.NDArray[np.uint32]:
        """Return a ring, settled, as a view to be used before the next change. Settling may raise the floor."""
        arena = self.arena
        if self.ordered[row] != arena.length[row]:
            a = self.arrivals
            kernels.settle_ring(
                arena.data, arena.start, arena.length, self.floor, self.ordered, a.tweet_id, a.next_n, a.capacity,
                a.lost_max_id, row,
            )  # fmt: skip
        return arena.view(row)

    def wake(self, row: int) -> None:
        """Give an account an empty ring whose floor is 0; the caller fills it."""
        self.arena.clear(row)
        self.ordered[row] = 0
        self.awake_count += not self.awake[row]
        self.awake[row] = 1
        self.floor[row] = 0

    def sleep(self, row: int) -> None:
        """Free an account's ring."""
        self.arena.clear(row)
        self.ordered[row] = 0
        self.awake_count -= bool(self.awake[row])
        self.awake[row] = 0
        self.floor[row] = 0

    def restore_awake(self, awake: list[int]) -> None:
        """Say of the first rows, none of which has a ring, whether they are awake: 1 or 0 each."""
        self.awake[: len(awake)] = awake
        self.awake_count = sum(awake)

    def raise_floor(self, row: int, floor: int) -> None:
        """Declare that nothing is known at or below `floor`; entries there are dropped."""
        ring = self.view(row)
        if floor <= self.floor[row]:
            return
        ns, floor = self.arrivals.above_lost(ring, floor)
        kept = ns[self.arrivals.tweet_id[ns & np.uint32(self.arrivals.mask)] > floor]
        self.floor[row] = floor
        ring[: len(kept)] = kept.copy()
        self.arena.length[row] = self.ordered[row] = len(kept)

    def _id(self, n: int) -> int:
        return int(self.arrivals.tweet_id[n & self.arrivals.mask])

    def _ring_args(self) -> tuple[Any, ...]:
        a = self.arrivals
        rows = (self.floor, self.ordered, self.awake)
        return (*self.arena.parts, *rows, self.keep, a.tweet_id, a.next_n, a.capacity, a.lost_max_id)

    def deliver(
        self,
        followers: BlockArena,
        ns: npt.NDArray[np.uint32],
        ids: npt.NDArray[np.int64],
        author_rows: npt.NDArray[np.int64],
        own_rows: npt.NDArray[np.int64],
        in_order: npt.NDArray[np.bool_],
        budget: int = kernels.NO_BUDGET,
        place: int = 0,
    ) -> tuple[int, int]:
        """Insert a batch of arrivals into the rings of their authors and of their local followers.

        budget: followers to look at; place: where to go on in the first arrival (0: from its beginning).
        Returns where it stopped: (arrivals done, place in the next).
        """
        progress = np.array([0, place, 0, 0], dtype=np.int64)
        while not kernels.deliver(
            *self._ring_args(), followers.data, followers.start, followers.length,
            ns, ids, author_rows, own_rows, in_order, budget, progress,
        ):  # fmt: skip
            self.arena.grow()
        self.delivery_count += int(progress[3])
        self.arena.look()
        return int(progress[0]), int(progress[1])

    def insert(self, rows: npt.NDArray[np.int64], ns: npt.NDArray[np.uint32], ids: npt.NDArray[np.int64]) -> int:
        """Insert arrivals of any age into given rings. Return how many were wanted."""
        progress = np.zeros(3, dtype=np.int64)
        while not kernels.insert_rows(*self._ring_args(), rows, ns, ids, progress):
            self.arena.grow()
        self.delivery_count += int(progress[2])
        self.arena.look()
        return int(progress[2])

    def rebuild(self, reads: Groups, wrote: Groups, own: Groups, ids: npt.NDArray[np.int64]) -> None:
        """Build all rings of awake rows, none of which has entries, from the arrivals 0..len(ids)-1.

        reads: per row, the writers it follows; wrote: per writer, its arrival numbers; own: per row, those of its own
        tweets; ids: tweet id of each arrival number. All ascending. Floors rise to the highest id that has no room.
        """
        words = np.zeros((len(ids) >> 6) + 1, dtype=np.uint64)
        summary = np.zeros((len(words) >> 6) + 1, dtype=np.uint64)
        out, row = np.empty(self.keep, dtype=np.int64), 0
        rows = (self.floor, self.ordered, self.awake)
        while True:
            row = restore_kernels.rebuild(*self.arena.parts, *rows, *reads, *wrote, *own, ids, words, summary, out, row)
            if row == len(reads[0]) - 1:
                return
            self.arena.grow()

    def purge(self, row: int, author_id: int) -> int:
        """Take an author's tweets out of one ring; the floor stays. Return how many went. O(H)."""
        if not len(self.view(row)):
            return 0
        a, arena = self.arrivals, self.arena
        return int(
            kernels.purge_author(
                arena.data, arena.start, arena.length, self.ordered, a.author_id, a.next_n, a.capacity, row, author_id
            )
        )

    def sweep(self) -> None:
        """Drop the lost entries of every ring and what lies below them. 1 ns an entry (see `arrivals.SWEEP_EVERY`)."""
        a, arena = self.arrivals, self.arena
        kernels.drop_lost(
            arena.data, arena.start, arena.length, self.floor, self.ordered, a.tweet_id, a.next_n, a.capacity,
            a.lost_max_id,
        )  # fmt: skip

    def nbytes(self) -> int:
        """Bytes of all rings, floors and flags."""
        return self.arena.nbytes()

    def check(self) -> list[str]:
        """Return violations of the invariants in the header (completeness is checked by `verify.py`)."""
        problems = self.arena.check()
        if self.awake_count != int(self.awake.sum()):
            problems.append(f"{int(self.awake.sum())} rings are awake, {self.awake_count} were counted")
        for row in np.nonzero(self.arena.length)[0].tolist():
            ids = [self._id(int(n)) for n in self.view(row) if self.arrivals.is_alive(int(n))]
            if any(a >= b for a, b in itertools.pairwise(ids)):
                problems.append(f"ring {row} is not strictly ascending by tweet id")
            if not self.awake[row]:
                problems.append(f"ring {row} holds entries, but its account is asleep")
        return problems
