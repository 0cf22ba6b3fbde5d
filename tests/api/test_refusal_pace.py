"""Refusals by an injected clock: how many there are in a second, for how many connections."""

from __future__ import annotations

import heapq

import pytest

from api.http.refusal_pace import AT_ONCE_S, PAUSE_S_LEAST, PAUSE_S_MAX, REFUSALS_PER_S, RefusalPace
from tests.manual_clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def pace(clock):
    return RefusalPace(clock)


def refusals_of(pace: RefusalPace, clock: ManualClock, askers: int, cost: int, seconds: float) -> list[float]:
    """Let connections ask again as soon as they are read; returns when each refusal was."""
    due, end_s, times = [(clock.now_s, number) for number in range(askers)], clock.now_s + seconds, []
    while due[0][0] < end_s:
        clock.now_s, number = due[0]
        times.append(clock.now_s)
        heapq.heapreplace(due, (clock.now_s + pace.pause_s(cost, askers) + 1e-5, number))
    return times


@pytest.mark.parametrize("cost", [1, 12])
@pytest.mark.parametrize("askers", [50, 250, 2_600])
def test_however_many_ask_there_are_so_many_refusals_a_second(pace, clock, askers, cost):
    times = refusals_of(pace, clock, askers, cost, 10.0)
    assert len(times) <= askers + (10.0 + AT_ONCE_S + 2 * PAUSE_S_LEAST) * REFUSALS_PER_S / cost
    second = [time_s for time_s in times if time_s >= 106.0]
    assert len(second) <= (4.0 + 0.1) * REFUSALS_PER_S / cost
    assert len(second) >= 4.0 * REFUSALS_PER_S / cost * 0.9, "nobody waits for longer than that takes"


def test_those_who_came_together_do_not_come_back_together(pace, clock):
    times = refusals_of(pace, clock, 2_600, 12, 8.0)
    later = [int(time_s * 100) for time_s in times if time_s > clock.now_s - 4.0]
    assert max(later.count(hundredth) for hundredth in set(later)) <= 2 * REFUSALS_PER_S / 12 / 100 + 1


def test_a_few_mistakes_and_a_lone_refusal_among_many_idle_connections_cost_nobody_anything(pace, clock):
    assert [pace.pause_s(20, 8_000) for _ in range(15)] == [0.0] * 15
    clock.now_s += 1
    assert pace.pause_s(4, 8_000) == 0.0


def test_cheap_refusals_in_between_make_dear_ones_no_cheaper(pace, clock):
    for _ in range(1_000):
        pace.pause_s(12, 1_000)
    before_s = pace.pause_s(12, 1_000)
    assert pace.pause_s(1, 1) >= before_s


def test_who_hangs_up_and_comes_again_makes_nobody_wait_for_longer_than_there_are_connections(pace):
    for _ in range(100_000):
        most_s = pace.pause_s(12, 100)
    assert most_s == pytest.approx(12 * 100 / REFUSALS_PER_S)
    for _ in range(100_000):
        most_s = pace.pause_s(12, 1_000_000)
    assert most_s == pytest.approx(PAUSE_S_MAX)
