"""Rings and pull logs over a tiny window of arrivals, near the numbers where counters wrap, beside plain sets.

What is checked after each step: above its floor a ring holds exactly what it was given, ascending, once; a tweet that
left the window takes the floor with it. Floors may be higher than they must be, never lower.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core.arrays.arena import BlockArena
from actors.core.entries import Entry
from actors.core.timelines.arrivals import Arrivals
from actors.core.timelines.pull_logs import PullLogs
from actors.core.timelines.rings import Rings
from tests.core.twins import Tweet, TwinArrivals, TwinRings

pytestmark = pytest.mark.timeout(600)  # passing takes seconds; making a failure small may take minutes
ROWS, CAPACITY, KEEP = 4, 8, 3
STARTS = [0, (1 << 31) - 32, (1 << 32) - 64, (1 << 32) - 32]
AUTHOR = st.integers(1, 4)
ROW = st.integers(0, ROWS - 1)


def entry(tweet_id: int, author: int, flags: int = 0) -> Entry:
    return Entry(tweet_id, author, flags, 0, tweet_id, author, 0, 0, 0, b"body", [], None)


class RingsMachine(RuleBasedStateMachine):
    @initialize(first_n=st.sampled_from(STARTS), capacity=st.sampled_from([CAPACITY, 4 * CAPACITY]))
    def start(self, first_n, capacity) -> None:
        """A window smaller than a ring, where entries are lost, or larger, where rings overflow."""
        self.first_n = first_n
        self.arrivals, self.window = Arrivals(capacity), TwinArrivals(capacity)
        self.arrivals.next_n = first_n
        self.rings, self.twin = Rings(self.arrivals, KEEP, tidy_from=16), TwinRings()
        self.rings.ensure_rows(ROWS)
        self.rings.arena.data = np.zeros(2, dtype=np.uint32)
        self.logs, self.logged = PullLogs(self.arrivals, KEEP), TwinRings()
        self.followers = BlockArena(np.int32)
        self.followers_of: dict[int, set[int]] = {}
        self.highest = 0

    def arrive(self, tweet_id: int, author: int) -> tuple[int, bool]:
        """Add to the window and its twin; return (n, whether newer than all before)."""
        n, is_new = self.arrivals.add(entry(tweet_id, author))
        count, twin_new, _ = self.window.add(Tweet(tweet_id, author))
        assert (n, is_new) == ((self.first_n + count) & 0xFFFFFFFF, twin_new)
        in_order = is_new and tweet_id > self.highest
        self.highest = max(self.highest, tweet_id)
        return n, in_order

    @rule(row=ROW)
    def wake(self, row) -> None:
        self.rings.wake(row)
        self.twin.wake(row)

    @rule(row=ROW)
    def sleep(self, row) -> None:
        self.rings.sleep(row)
        self.twin.sleep(row)

    @rule(author=AUTHOR, row=ROW)
    def follow(self, author, row) -> None:
        if row not in self.followers_of.setdefault(author, set()):
            self.followers_of[author].add(row)
            self.followers.append(author, row)

    @rule(
        batch=st.lists(st.tuples(st.integers(1, 60), AUTHOR, st.integers(-1, ROWS - 1)), max_size=CAPACITY // 2),
        budget=st.sampled_from([1, 2, 1 << 62]),
    )
    def deliver(self, batch, budget) -> None:
        """Tweets with ids old and new, by authors with local followers or a ring of their own; in one go or many."""
        rows = []
        for step, author, own_row in batch:
            tweet_id = (step if step < 30 else self.highest // 8 + step - 29) * 8 + author  # an id has one author
            if own_row in self.followers_of.get(author, set()):
                own_row = -1
            rows.append((*self.arrive(tweet_id, author), tweet_id, author, own_row))
            for row in (*self.followers_of.get(author, ()), own_row):
                self.twin.insert(row, tweet_id)
        columns = (
            np.array([r[0] for r in rows], np.uint32), np.array([r[2] for r in rows], np.int64),
            np.array([r[3] if r[3] in self.followers_of else -1 for r in rows], np.int64),
            np.array([r[4] for r in rows], np.int64), np.array([r[1] for r in rows], np.bool_),
        )  # fmt: skip
        done, place = 0, 0
        while done < len(rows):
            more, place = self.rings.deliver(self.followers, *(c[done:] for c in columns), budget, place)
            done += more

    @rule(row=ROW, steps=st.lists(st.integers(1, 60), max_size=12), author=AUTHOR)
    def backfill(self, row, steps, author) -> None:
        """More than the window holds, perhaps: the first are lost before they are inserted."""
        tweet_ids = [step * 8 + author for step in steps]
        ns = [self.arrive(tweet_id, author)[0] for tweet_id in tweet_ids]
        rows = np.full(len(ns), row, dtype=np.int64)
        self.rings.insert(rows, np.array(ns, np.uint32), np.array(tweet_ids, np.int64))
        for tweet_id in tweet_ids:
            self.twin.insert(row, tweet_id)

    @rule(row=ROW, floor=st.integers(0, 500))
    def raise_floor(self, row, floor) -> None:
        self.rings.raise_floor(row, floor)
        assert self.rings.floor[row] >= floor

    @rule(row=ROW, author=AUTHOR)
    def purge(self, row, author) -> None:
        self.rings.purge(row, author)
        if row in self.twin.wanted:
            self.twin.wanted[row] = {t for t in self.twin.wanted[row] if t % 8 != author}

    @rule()
    def sweep(self) -> None:
        self.rings.sweep()
        self.logs.sweep()
        for row in range(ROWS):
            assert all(self.arrivals.is_alive(int(n)) for n in self.rings.view(row))

    @rule(author=AUTHOR, floor=st.integers(0, 100))
    def start_log(self, author, floor) -> None:
        self.logs.start(author, floor)
        self.logged.wake(author)

    @precondition(lambda self: self.logs.logs)
    @rule(pick=AUTHOR, steps=st.lists(st.integers(1, 60), min_size=1, max_size=14))
    def log(self, pick, steps) -> None:
        author = sorted(self.logs.logs)[pick % len(self.logs.logs)]
        for step in steps:
            tweet_id = (step if step < 30 else self.highest // 8 + step - 29) * 8 + author
            self.logs.insert(author, self.arrive(tweet_id, author)[0], tweet_id)
            self.logged.insert(author, tweet_id)

    @rule(count=st.integers(1, 12))
    def flood(self, count) -> None:
        """Arrivals that are of no concern to any ring here, but push others out of the window."""
        for _ in range(count):
            self.arrive((self.highest // 8 + 1) * 8 + 7, 7)

    @rule(author=AUTHOR)
    def drop_log(self, author) -> None:
        self.logs.drop(author)
        self.logged.sleep(author)

    def ids_above(self, ns, floor) -> list[int]:
        ids = [int(self.arrivals.tweet_id[int(n) & self.arrivals.mask]) for n in ns]
        return [tweet_id for tweet_id in ids if tweet_id > floor]

    @invariant()
    def complete_above_the_floor(self) -> None:
        if not hasattr(self, "rings"):
            return
        assert self.arrivals.lost_max_id == self.window.lost_max_id
        assert self.rings.check() + self.logs.check() + self.arrivals_check() == []
        for row in range(ROWS):
            ns, floor = self.arrivals.above_lost(self.rings.view(row), int(self.rings.floor[row]))
            assert self.ids_above(ns, floor) == self.twin.above(row, floor)
            self.merged(ns, floor, row)
        for author, log in self.logs.logs.items():
            ns, floor = self.arrivals.above_lost(np.array(log.ns, dtype=np.uint32), log.floor)
            assert self.ids_above(ns, floor) == self.logged.above(author, floor)

    def merged(self, ring, floor, row) -> None:
        authors = np.array([1, 2, 3, 4, 9], dtype=np.int64)
        logs = self.logs.followed_by(authors)
        ns, floor = self.logs.merge(ring, floor, logs)
        wanted = self.twin.wanted.get(row, set()).union(*(self.logged.wanted[a] for a in self.logs.logs))
        assert self.ids_above(ns, floor) == sorted(t for t in wanted if t > floor)

    def arrivals_check(self) -> list[str]:
        self.arrivals.newest_id = self.highest
        return self.arrivals.check()


TestRings = RingsMachine.TestCase
TestRings.settings = settings(stateful_step_count=60)


class ArrivalsMachine(RuleBasedStateMachine):
    """The window by itself, with deletions and tweets that come again."""

    @initialize(first_n=st.sampled_from(STARTS))
    def start(self, first_n) -> None:
        self.first_n = first_n
        self.arrivals, self.twin = Arrivals(CAPACITY), TwinArrivals(CAPACITY)
        self.arrivals.next_n = first_n
        self.highest = 0

    @rule(tweet_id=st.integers(1, 14))
    def add(self, tweet_id) -> None:
        n, is_new = self.arrivals.add(entry(tweet_id, 1))
        count, twin_new, gone = self.twin.add(Tweet(tweet_id, 1))
        assert (n, is_new) == ((self.first_n + count) & 0xFFFFFFFF, twin_new)
        assert self.arrivals.evicted == ([] if gone is None else [gone])
        self.arrivals.evicted.clear()
        self.highest = max(self.highest, tweet_id)

    @rule(tweet_id=st.integers(1, 14))
    def delete(self, tweet_id) -> None:
        deleted = self.twin.mark_deleted(tweet_id)
        assert self.arrivals.mark_deleted(tweet_id) == deleted
        assert self.arrivals.evicted == [tweet_id] * deleted
        self.arrivals.evicted.clear()

    @rule(tweet_id=st.integers(1, 14), likes=st.integers(0, 9))
    def count(self, tweet_id, likes) -> None:
        here = self.twin.number_of(tweet_id) is not None
        assert self.arrivals.set_counts(tweet_id, 1, 2, likes) == here
        if here:
            assert self.arrivals.entry(self.arrivals.number_of[tweet_id])[6:9] == (1, 2, likes)

    @invariant()
    def equal(self) -> None:
        if not hasattr(self, "arrivals"):
            return
        self.arrivals.newest_id = self.highest
        assert self.arrivals.check() == []
        expected = {t: self.twin.number_of(t) for t in range(1, 15)}
        found = {t: self.arrivals.number_of.get(t) for t in range(1, 15)}
        assert found == {t: None if c is None else (self.first_n + c) & 0xFFFFFFFF for t, c in expected.items()}
        alive = [c for c in range(self.twin.count + 1) if self.arrivals.is_alive((self.first_n + c) & 0xFFFFFFFF)]
        assert alive == list(range(max(0, self.twin.count - CAPACITY), self.twin.count))
        assert self.arrivals._body_bytes == sum(len(body) for body in self.arrivals.body)


TestArrivals = ArrivalsMachine.TestCase
TestArrivals.settings = settings(stateful_step_count=40)


def test_an_entry_as_old_as_the_counter_is_wide_is_swept_before_it_seems_alive_again():
    arrivals = Arrivals(CAPACITY)
    rings, logs = Rings(arrivals, KEEP), PullLogs(arrivals, KEEP)
    rings.wake(0)
    logs.start(7, 0)
    n, _ = arrivals.add(entry(100, 7))
    rings.insert(np.array([0]), np.array([n], np.uint32), np.array([100]))
    logs.insert(7, n, 100)
    for tweet_id in range(101, 120):
        arrivals.add(entry(tweet_id, 8))
    rings.sweep()
    logs.sweep()
    arrivals.next_n = (1 << 32) + 1  # n would be alive now
    assert rings.view(0).tolist() == logs.logs[7].ns == []
    assert rings.floor[0] >= 100
    assert logs.logs[7].floor >= 100
