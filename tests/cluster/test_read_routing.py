"""The choice of a replica, hedges and stalls, on a clock that the tests turn."""

from __future__ import annotations

import heapq
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.errors import InvalidError, MovedError, NotFoundError, OverloadedError, RookeryError
from cluster.client.positions import KEPT_S, WritePositions, shared_positions
from cluster.client.read_routing import FRESH_PATIENCE_S, ReadFigures, ShardReads, Unanswered
from cluster.client.replica_load import (
    HEDGE_BURST_COUNT,
    HEDGE_DELAY_FIRST_S,
    HEDGE_DELAY_MAX_S,
    HEDGE_DELAY_MIN_S,
    PROBE_INTERVAL_S,
    SAMPLES_MIN,
    HedgeBudget,
    Latencies,
    ReplicaLoad,
    choose,
)
from cluster.lane.protocol import LaneDisconnected, LaneTimeout


class FakeClock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.now = 1000.0
        self.timers: list = []
        self.set_count = 0
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def call_at(self, when, callback):
        self.set_count += 1
        timer = [max(when, self.now), next(self._order), callback]
        heapq.heappush(self.timers, timer)
        return FakeTimer(timer)

    def run(self, seconds: float):
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            self.now, _, callback = heapq.heappop(self.timers)
            if callback is not None:
                callback()
        self.now = end


class FakeTimer:
    def __init__(self, timer):
        self.timer = timer

    def cancel(self):
        self.timer[2] = None


class FakeLane:
    """Ends every request by its deadline, as LaneClient does; `behave(op)` says how: (after seconds, body or error)."""

    def __init__(self, clock, behave):
        self.clock, self.behave = clock, behave
        self.closed = False
        self.full = False
        self.sent: list[tuple[str, list]] = []
        self.waiting: dict[int, tuple] = {}

    def send(self, op, args, timeout_s, done):
        if self.closed:
            raise LaneDisconnected("closed", written=False)
        if self.full:
            raise OverloadedError("1024 requests are in flight")
        number = len(self.sent)
        self.sent.append((op, args))
        self.waiting[number] = done
        after_s, answer = self.behave(op)
        if after_s < timeout_s:
            self.clock.call_at(self.clock.now + after_s, lambda: self.end(number, answer))
        else:
            self.clock.call_at(self.clock.now + timeout_s, lambda: self.end(number, LaneTimeout("no answer in time")))

    def end(self, number, answer):
        done = self.waiting.pop(number, None)
        if done is not None and isinstance(answer, LaneDisconnected):
            self.waiting[number] = done
            self.close()
        elif done is not None:
            done(*((None, answer) if isinstance(answer, Exception) else (answer, None)))

    def close(self):
        self.closed = True
        waiting, self.waiting = self.waiting, {}
        for done in waiting.values():
            done(None, LaneDisconnected("dropped"))


class Shard:
    """ShardReads over fake lanes; replica 0 is the primary. behaviour: what each replica does from now on."""

    def __init__(self, replica_count=3, in_sync=None, seed=1):
        self.clock = FakeClock()
        self.figures = ReadFigures()
        self.reads = ShardReads(self.clock, random.Random(seed), self.figures)
        self.behaviour = [(0.001, index) for index in range(replica_count)]
        self.lanes = [FakeLane(self.clock, lambda op, i=i: self.behaviour[i]) for i in range(replica_count)]
        in_sync = in_sync or [True] * replica_count
        self.reads.set_replicas((i, i == 0, in_sync[i]) for i in range(replica_count))
        for index, lane in enumerate(self.lanes):
            self.reads.connect(index, lane)
        self.ends: list[list] = []

    def ask(self, timeout_s=5.0, op="home", min_position=0, fresh=False) -> list:
        """Begin a read; returns the list of its ends."""
        ends: list = []
        self.ends.append(ends)
        deadline = self.clock.now + timeout_s

        def done(body, error):
            assert self.clock.now <= deadline
            ends.append(error if body is None else body)

        self.reads.read(op, [7], deadline, done, min_position, fresh)
        assert not ends, "done was called before read returned"
        return ends

    def answer(self, **options):
        """Read once and return how it ended."""
        ends = self.ask(**options)
        while not ends:
            self.clock.run(0.0005)
        return ends[0]

    def warm_up(self, count=100):
        for _ in range(count):
            self.answer()
        return self

    def in_flight(self) -> list[int]:
        return [len(load.waiting) for load in self.reads.loads]

    def settle(self):
        """Let everything end, and look whether it did so once and left nothing behind."""
        self.clock.run(30.0)
        self.reads.check()
        assert all(len(ends) == 1 for ends in self.ends)
        assert self.in_flight() == [0] * len(self.lanes)
        assert not [timer for timer in self.clock.timers if timer[2] is not None]


@pytest.fixture
def shard():
    made = Shard().warm_up()
    yield made
    made.settle()


# ---- choice ----------------------------------------------------------------------------------------------------------


def loaded(index, latency_s, in_flight=0) -> ReplicaLoad:
    load = ReplicaLoad(index)
    for _ in range(100):
        load.end(load.begin(0.0), latency_s, answered=True)
    for _ in range(in_flight):
        load.begin(latency_s)
    return load


def test_of_two_replicas_the_one_with_the_lower_score_is_chosen():
    rng = random.Random(1)
    fast, slow = loaded(0, 0.001), loaded(1, 0.01)
    assert {choose([fast, slow], 0.0, rng).index for _ in range(50)} == {0}
    assert {choose([slow, fast], 0.0, rng).index for _ in range(50)} == {0}
    busy = loaded(2, 0.001, in_flight=20)
    assert {choose([busy, slow], 0.0, rng).index for _ in range(50)} == {1}
    assert choose([busy], 0.0, rng) is busy


def test_of_three_equal_replicas_all_are_chosen_and_the_worst_of_three_never():
    rng = random.Random(1)
    equal = [loaded(n, 0.001) for n in range(3)]
    chosen = [choose(equal, 0.0, rng).index for _ in range(3000)]
    assert min(chosen.count(n) for n in range(3)) > 800
    unequal = [loaded(n, 0.001 * (n + 1)) for n in range(3)]
    chosen = [choose(unequal, 0.0, rng).index for _ in range(3000)]
    assert chosen.count(0) > 1800
    assert chosen.count(2) == 0


def test_an_average_that_is_not_renewed_fades_so_that_a_slow_replica_is_tried_again():
    load = loaded(0, 0.1)
    scores = [load.score(0.1 + seconds) for seconds in (0, 1, 2, 4)]
    assert scores == pytest.approx([0.1, 0.05, 0.025, 0.00625], rel=0.01)


def test_an_answer_that_is_of_no_use_makes_a_replica_slower_in_our_eyes():
    quick, useless = ReplicaLoad(0), ReplicaLoad(1)
    for _ in range(50):
        quick.end(quick.begin(0.0), 0.001, answered=True)
        useless.end(useless.begin(0.0), 0.0001, answered=True, penalty_s=0.002)
    assert useless.score(0.0) > quick.score(0.0)


def test_the_hedge_delay_is_the_p95_within_its_bounds():
    latencies = Latencies()
    assert latencies.hedge_delay_s == HEDGE_DELAY_FIRST_S
    for _ in range(SAMPLES_MIN):
        latencies.note(0.00001)
    assert latencies.hedge_delay_s == HEDGE_DELAY_MIN_S
    for n in range(256 + 32):
        latencies.note(0.1 if n % 10 == 0 else 0.01)
    assert latencies.hedge_delay_s == 0.1
    for n in range(256 + 32):
        latencies.note(0.1 if n % 50 == 0 else 0.01)
    assert latencies.hedge_delay_s == 0.01
    for _ in range(256 + 32):
        latencies.note(10.0)
    assert latencies.hedge_delay_s == HEDGE_DELAY_MAX_S


def test_the_budget_is_a_twentieth_of_the_reads_and_a_small_reserve():
    budget = HedgeBudget()
    for _ in range(10_000):
        budget.earn()
    spent = sum(budget.spend() for _ in range(100))
    assert spent == HEDGE_BURST_COUNT
    for _ in range(1000):
        budget.earn()
        spent += budget.spend()
    assert spent == pytest.approx(HEDGE_BURST_COUNT + 50, abs=1)


# ---- hedges ----------------------------------------------------------------------------------------------------------


def test_a_read_without_an_answer_is_sent_to_another_replica_after_the_delay(shard):
    shard.behaviour = [(3.0, 0), (3.0, 1), (3.0, 2)]
    ends = shard.ask()
    first = next(i for i, n in enumerate(shard.in_flight()) if n)
    shard.behaviour = [(0.001, 0), (0.001, 1), (0.001, 2)]
    shard.clock.run(HEDGE_DELAY_MIN_S - 0.0001)
    assert sum(shard.in_flight()) == 1
    shard.clock.run(0.002)
    assert len(ends) == 1
    assert ends[0] != first
    assert (shard.figures.hedges_sent, shard.figures.hedges_won) == (1, 1)
    assert sum(shard.in_flight()) == 1, "the first attempt is still under way"


def test_the_first_answer_wins_and_the_other_is_ignored(shard):
    shard.behaviour = [(0.004, 0), (0.004, 1), (0.004, 2)]
    ends = shard.ask()
    shard.clock.run(0.003)
    assert sum(shard.in_flight()) == 2
    shard.clock.run(1.0)
    assert len(ends) == 1
    assert shard.figures.hedges_won == 0


def test_there_is_one_timer_for_all_reads(shard):
    before = shard.clock.set_count
    for _ in range(1000):
        shard.ask()
        shard.clock.run(0.0002)
    sent = sum(len(lane.sent) for lane in shard.lanes)
    assert shard.clock.set_count - before - 1000 <= 250, "200 ms of reads, looked at once per delay of 2 ms"
    assert sent == 1100


def test_without_budget_a_read_waits_until_its_replica_counts_as_stalled(shard):
    while shard.reads.budget.spend():
        pass
    shard.behaviour = [(30.0, 0), (30.0, 1), (30.0, 2)]
    ends = shard.ask()
    shard.behaviour = [(0.001, 0), (0.001, 1), (0.001, 2)]
    shard.clock.run(HEDGE_DELAY_MIN_S * 2)
    assert not ends
    shard.clock.run(HEDGE_DELAY_MIN_S * 4)
    assert len(ends) == 1
    assert shard.reads.stalled_count == 1


def test_a_lane_that_drops_is_not_waited_for(shard):
    shard.behaviour = [(0.001, LaneDisconnected("dropped"))] * 2 + [(0.001, 2)]
    assert {shard.answer() for _ in range(10)} == {2}
    assert [lane.closed for lane in shard.lanes] == [True, True, False]


def test_a_full_lane_is_passed_over_and_when_all_are_full_the_caller_is_told(shard):
    shard.lanes[0].full = shard.lanes[1].full = True
    assert {shard.answer() for _ in range(20)} == {2}
    shard.lanes[2].full = True
    with pytest.raises(OverloadedError, match="in flight"):
        shard.reads.read("home", [7], shard.clock.now + 5.0, lambda *_: None)


def test_a_request_that_can_not_travel_is_refused_at_once(shard):
    def refuse(*_):
        raise InvalidError("can't be encoded")

    for lane in shard.lanes:
        lane.send = refuse
    with pytest.raises(InvalidError):
        shard.reads.read("home", [7], shard.clock.now + 5.0, lambda *_: None)


# ---- stalls ----------------------------------------------------------------------------------------------------------


def test_a_stalled_replica_gets_a_probe_now_and_then_until_it_answers(shard):
    shard.behaviour[2] = (30.0, 2)
    for _ in range(200):
        shard.answer()
    assert shard.reads.stalled_count == 1
    stuck = len(shard.lanes[2].sent)
    start = shard.clock.now
    for _ in range(1000):
        assert shard.answer() in (0, 1)
    probes = len(shard.lanes[2].sent) - stuck
    assert 1 <= probes <= (shard.clock.now - start) / PROBE_INTERVAL_S + 1
    assert shard.figures.probes_sent >= probes
    shard.behaviour[2] = (0.0005, 2)
    while shard.reads.stalled_count:
        shard.answer()
    assert 2 in {shard.answer() for _ in range(300)}


def test_what_was_stuck_in_a_stalled_replica_does_not_make_it_slow_afterwards():
    load = loaded(0, 0.001)
    numbers = [load.begin(1.0) for _ in range(20)]
    assert load.is_stalled(6.0, 0.008)
    for number in numbers:
        load.end(number, 6.0, answered=True)
    assert not load.stalled
    assert load.latency_s == pytest.approx(0.001)
    load.end(load.begin(6.0), 6.1, answered=True)
    assert load.latency_s == pytest.approx(0.0109)


def test_a_replica_stays_stalled_when_its_reads_have_timed_out(shard):
    shard.behaviour[2] = (30.0, 2)
    for _ in range(100):
        shard.answer(timeout_s=0.2)
    shard.clock.run(1.0)
    assert shard.in_flight() == [0, 0, 0]
    assert shard.reads.stalled_count == 1


def test_a_new_lane_is_not_stalled(shard):
    shard.behaviour[2] = (30.0, 2)
    for _ in range(100):
        shard.answer()
    shard.lanes[2].close()
    shard.lanes[2] = FakeLane(shard.clock, lambda op: (0.001, "new"))
    shard.reads.connect(2, shard.lanes[2])
    assert shard.reads.stalled_count == 0
    assert "new" in {shard.answer() for _ in range(100)}


def test_when_all_are_stalled_reads_are_sent_all_the_same(shard):
    shard.behaviour = [(1.0, i) for i in range(3)]
    for _ in range(10):
        shard.ask(timeout_s=3.0)
        shard.clock.run(0.05)
    assert shard.reads.stalled_count == 3
    shard.behaviour = [(0.001, i) for i in range(3)]
    assert shard.answer() in (0, 1, 2)


# ---- refusals, positions, freshness ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [NotFoundError("x"), MovedError("x"), OverloadedError("x"), RookeryError("x")])
def test_an_error_of_a_follower_sends_the_read_to_the_primary(shard, error):
    shard.behaviour[1] = shard.behaviour[2] = (0.0001, error)
    assert {shard.answer() for _ in range(30)} == {0}


def test_a_primary_that_has_lost_the_bucket_ends_the_read_so_that_the_map_is_looked_at(shard):
    shard.behaviour = [(0.001, MovedError("not mine"))] * 3
    end = shard.answer()
    assert isinstance(end, Unanswered)
    assert isinstance(end.reason, MovedError)


def test_an_overloaded_primary_is_not_asked_around_for(shard):
    shard.lanes[1].close()
    shard.lanes[2].close()
    shard.behaviour[0] = (0.001, OverloadedError("queue full"))
    assert str(shard.answer()) == "queue full"


def test_a_search_whose_engine_is_away_is_answered_by_a_replica_that_has_one(shard):
    shard.behaviour[0] = (0.001, OverloadedError("the search engine is starting"))
    assert "the search engine is starting" in {str(shard.answer(op="home")) for _ in range(30)}
    assert {shard.answer(op="search") for _ in range(30)} == {1, 2}
    shard.behaviour[1] = shard.behaviour[2] = (0.001, OverloadedError("a follower's engine is starting"))
    assert {str(shard.answer(op="search")) for _ in range(30)} == {"the search engine is starting"}
    shard.behaviour[0] = (0.001, NotFoundError("search is switched off"))
    assert {str(shard.answer(op="search")) for _ in range(30)} == {"search is switched off"}


def test_followers_are_tried_one_after_the_other_while_the_primary_is_away(shard):
    shard.lanes[0].close()
    shard.behaviour[1] = (0.001, MovedError("behind"))
    assert {shard.answer() for _ in range(20)} == {2}
    shard.behaviour[2] = (0.001, NotFoundError("not here"))
    end = shard.answer()
    assert isinstance(end, Unanswered)
    assert isinstance(end.refusal, NotFoundError)


def test_what_a_replica_refuses_that_is_not_in_sync_means_nothing():
    shard = Shard(in_sync=[True, False, False])
    shard.lanes[0].close()
    shard.behaviour[1] = shard.behaviour[2] = (0.001, NotFoundError("not here"))
    end = shard.answer()
    assert isinstance(end, Unanswered)
    assert end.refusal is None
    shard.settle()


def test_a_silent_primary_leaves_the_word_to_the_follower_at_the_deadline(shard):
    shard.behaviour = [(60.0, 0)] + [(0.001, NotFoundError("not here"))] * 2
    ends = shard.ask(timeout_s=1.0)
    shard.clock.run(1.0)
    assert isinstance(ends[0], NotFoundError)


def test_only_followers_are_told_which_position_must_be_seen(shard):
    for lane in shard.lanes:
        lane.sent.clear()
    for _ in range(50):
        shard.answer(min_position=9)
    assert set(map(str, shard.lanes[0].sent)) <= {str(("home", [7]))}
    assert set(map(str, shard.lanes[1].sent + shard.lanes[2].sent)) == {str(("at", [9, "home", [7]]))}


def test_nobody_connected_is_said_at_once():
    shard = Shard()
    for lane in shard.lanes:
        lane.close()
    with pytest.raises(Unanswered):
        shard.reads.read("home", [7], shard.clock.now + 5.0, lambda *_: None)


def test_a_fresh_read_is_the_primarys_for_a_while(shard):
    assert {shard.answer(fresh=True) for _ in range(50)} == {0}
    shard.behaviour[0] = (30.0, 0)
    ends = shard.ask(fresh=True)
    shard.clock.run(FRESH_PATIENCE_S - 0.001)
    assert not ends
    shard.clock.run(0.005)
    assert ends[0] in (1, 2)
    assert shard.answer(fresh=True) in (1, 2), "the primary is known to be out of reach by now"


def test_a_fresh_read_waits_for_a_primary_that_has_just_gone(shard):
    shard.lanes[0].close()
    for _ in range(2):
        with pytest.raises(Unanswered):
            shard.reads.read("token", [7], shard.clock.now + 5.0, lambda *_: None, 0, True)
        shard.clock.run(FRESH_PATIENCE_S * 0.4)
    shard.clock.run(FRESH_PATIENCE_S * 0.3)
    assert shard.answer(fresh=True) in (1, 2)


def test_a_fresh_read_whose_primary_drops_does_not_fall_to_a_follower(shard):
    shard.behaviour[0] = (0.001, LaneDisconnected("dropped"))
    assert isinstance(shard.answer(fresh=True), Unanswered)


def test_another_primary_is_waited_for_anew(shard):
    shard.lanes[0].close()
    shard.reads.patience_is_over(shard.clock.now)
    shard.clock.run(1.0)
    assert shard.reads.patience_is_over(shard.clock.now)
    shard.lanes[1].close()
    shard.reads.set_replicas([(0, False, True), (1, True, True), (2, False, True)])
    assert not shard.reads.patience_is_over(shard.clock.now)


# ---- positions -------------------------------------------------------------------------------------------------------


def test_a_position_is_remembered_for_a_while_and_never_goes_back():
    positions = WritePositions()
    positions.note(3, [5, 6], 10, 100.0)
    positions.note(3, [5], 9, 101.0)
    assert [positions.of_bucket(b, 101.0) for b in (5, 6, 7)] == [10, 10, 0]
    assert (positions.of_shard(3, 101.0), positions.of_shard(2, 101.0)) == (10, 0)
    assert positions.of_bucket(5, 100.0 + KEPT_S) == 0
    positions.note(3, [5], 9, 200.0)
    assert positions.of_bucket(5, 200.0) == 9
    positions.forget([5])
    assert positions.of_bucket(5, 200.0) == 0


def test_workers_of_a_node_see_each_others_positions_and_those_of_one_that_has_died(tmp_path):
    path = tmp_path / "positions"
    first, second = shared_positions(path, 0, 2), shared_positions(path, 1, 2)
    first.note(3, [5], 10, 100.0)
    second.note(3, [5], 8, 100.0)  # an answer that overtook
    second.note(255, [1023], 7, 100.0)
    again = shared_positions(path, 0, 3)  # in the place of the first, and one more is wanted
    for each in (first, second, again):
        assert [each.of_bucket(b, 101.0) for b in (0, 5, 1023)] == [0, 10, 7]
        assert [each.of_shard(s, 101.0) for s in (0, 3, 255)] == [0, 10, 7]
        assert each.of_bucket(5, 100.0 + KEPT_S) == 0
    shared_positions(path, 2, 3).note(0, [0], 4, 101.0)
    assert [each.of_bucket(0, 101.0) for each in (first, second, again)] == [0, 0, 4]
    assert path.stat().st_mode & 0o077 == 0


def test_nothing_is_remembered_at_first_even_on_a_young_clock():
    positions = WritePositions()
    assert positions.of_bucket(0, 0.5) == 0
    assert positions.of_shard(0, 0.5) == 0


# ---- whatever happens ------------------------------------------------------------------------------------------------

answers = st.one_of(
    st.just("body"),
    st.sampled_from([NotFoundError("x"), MovedError("x"), OverloadedError("x"), LaneDisconnected("x")]),
)
behaviours = st.tuples(st.sampled_from([0.0, 0.001, 0.01, 0.3, 99.0]), answers)
steps = st.one_of(
    st.tuples(st.just("read"), st.sampled_from([0.01, 0.5, 3.0]), st.booleans(), st.integers(0, 2)),
    st.tuples(st.just("behave"), st.integers(0, 2), behaviours),
    st.tuples(st.just("wait"), st.sampled_from([0.0001, 0.003, 0.15, 1.0])),
    st.tuples(st.just("drop"), st.integers(0, 2)),
    st.tuples(st.just("connect"), st.integers(0, 2)),
    st.tuples(st.just("fill"), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("map"), st.integers(0, 2), st.lists(st.booleans(), min_size=3, max_size=3)),
)


@settings(max_examples=300, deadline=None)
@given(script=st.lists(steps, max_size=60), seed=st.integers(0, 1000))
def test_whatever_replicas_do_each_read_ends_once_by_its_deadline_and_leaves_nothing(script, seed):
    shard = Shard(seed=seed)
    for name, *values in script:
        if name == "read":
            timeout_s, fresh, min_position = values
            try:
                shard.ask(timeout_s, min_position=min_position, fresh=fresh)
            except OverloadedError:  # nobody could be asked: `done` must never be called then
                assert shard.ends.pop() == []
        elif name == "behave":
            shard.behaviour[values[0]] = values[1]
        elif name == "wait":
            shard.clock.run(values[0])
        elif name == "drop":
            shard.lanes[values[0]].close()
        elif name == "connect":
            if shard.lanes[values[0]].closed:
                shard.lanes[values[0]] = FakeLane(shard.clock, lambda op, i=values[0]: shard.behaviour[i])
                shard.reads.connect(values[0], shard.lanes[values[0]])
        elif name == "fill":
            shard.lanes[values[0]].full = values[1]
        else:
            shard.reads.set_replicas((i, i == values[0], in_sync) for i, in_sync in enumerate(values[1]))
        shard.reads.check()
        assert sum(shard.in_flight()) == sum(len(lane.waiting) for lane in shard.lanes)
    shard.settle()
    for (end,) in shard.ends:
        assert end == "body" or isinstance(end, int | NotFoundError | OverloadedError)
