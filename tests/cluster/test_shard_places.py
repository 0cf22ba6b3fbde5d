"""A shard that hangs, or is slow, or can't be reached: it takes no more than its share, and then is asked no more."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import MovedError, NotFoundError, OverloadedError
from actors.core.ids import bucket_of_account
from cluster.client import cluster_client, shard_places
from cluster.client.replica_group import FOLLOWER_READS
from cluster.client.shard_places import PROBE_S, TIMEOUTS_IN_A_ROW, ShardPlaces, UnreachableError
from cluster.lane.protocol import LaneDisconnected, LaneTimeout
from tests.cluster.test_client import client, cluster, send  # noqa: F401 - fixtures
from tests.manual_clock import ManualClock

READS, WRITES = 8, 6


def shared(shard_count=3, reads=READS, writes=WRITES):
    clock = ManualClock()
    places = ShardPlaces(FOLLOWER_READS, clock)
    places.resize(shard_count)
    bounds = SimpleNamespace(count_bound=reads), SimpleNamespace(count_bound=writes)
    places.share(*bounds)
    return places, clock, bounds


def time_out(places, count, shard=0, op="home"):
    for _ in range(count):
        with contextlib.suppress(OverloadedError):
            places.of(shard, op).enter()
            places.of(shard, op).leave(op, LaneTimeout("late"))


def is_refused(places, shard=0, op="home"):
    try:
        places.of(shard, op).enter()
    except OverloadedError as error:
        return error.retry_after_s is not None
    places.of(shard, op).leave(op, LaneDisconnected("no news"))
    return False


def test_requests_to_one_shard_hold_half_of_the_places_reads_and_writes_apart():
    places, _, (reads, _) = shared()
    for op, most in ("home", READS // 2), ("post", WRITES // 2):
        for _ in range(most):
            places.of(0, op).enter()
        assert is_refused(places, 0, op)
        assert not is_refused(places, 1, op)
    places.of(0, "home").leave("home", None)
    assert not is_refused(places)
    reads.count_bound = 4  # answers take too long: there are fewer places
    assert is_refused(places)
    places.check()


def test_the_only_shard_has_them_all():
    places, _, _ = shared(1)
    for _ in range(READS):
        places.of(0, "home").enter()
    assert is_refused(places)


def test_after_timeouts_in_a_row_there_is_one_probe_a_second():
    places, clock, _ = shared()
    time_out(places, TIMEOUTS_IN_A_ROW - 1)
    assert not is_refused(places)
    time_out(places, 1)
    assert is_refused(places)
    assert is_refused(places, 0, "post")
    assert not is_refused(places, 1)
    for _ in range(3):
        clock.now_s += PROBE_S * 1.01
        assert [is_refused(places) for _ in range(3)] == [False, True, True]
    assert places.figures() == {"shards_failing_fast": 1, "shard_probes": 3, "shard_refusals": 8}
    places.check()


@pytest.mark.parametrize("answer", [None, NotFoundError("it says no")])
def test_any_answer_ends_it(answer):
    places, clock, _ = shared()
    time_out(places, TIMEOUTS_IN_A_ROW)
    clock.now_s += PROBE_S * 1.01
    places.of(0, "home").enter()
    assert is_refused(places)
    places.of(0, "home").leave("home", answer)
    assert not is_refused(places)
    time_out(places, TIMEOUTS_IN_A_ROW - 1)
    assert not is_refused(places), "they are counted anew"


def test_a_new_lane_ends_it():
    places, _, _ = shared()
    time_out(places, TIMEOUTS_IN_A_ROW)
    places.is_new(0)
    assert not is_refused(places)


@pytest.mark.parametrize("error", [OverloadedError("full"), LaneDisconnected("gone"), MovedError("not mine")])
def test_what_says_nothing_about_a_shard_does_not_count(error):
    places, _, _ = shared()
    for _ in range(50):
        places.of(0, "home").enter()
        places.of(0, "home").leave("home", error)
    time_out(places, 50, op="search")  # its engine is another process
    assert not is_refused(places)


def test_who_gives_up_after_most_of_the_time_counts_as_a_timeout():
    places, _, _ = shared()
    for is_late in (False, True):
        for _ in range(TIMEOUTS_IN_A_ROW):
            places.of(0, "profile").enter()
            places.of(0, "profile").give_up("profile", is_late)
        assert is_refused(places) == is_late


def test_a_client_that_shares_nothing_refuses_nothing():
    places = ShardPlaces(FOLLOWER_READS, ManualClock())
    time_out(places, 5_000)
    assert not is_refused(places)


ENDS = [None, NotFoundError("no"), OverloadedError("full"), LaneTimeout("late"), UnreachableError("late")]


@given(
    st.lists(
        st.tuples(st.sampled_from("elgtr"), st.integers(0, 2), st.sampled_from(["home", "post", "search"]),
                  st.integers(0, len(ENDS) - 1)),
        max_size=120,
    )
)  # fmt: skip
def test_places_are_given_back_whatever_happens(steps):
    places, clock, (reads, _) = shared()
    under_way = []
    for what, shard, op, number in steps:
        if what == "e":
            place = places.of(shard, op)
            with contextlib.suppress(OverloadedError):
                place.enter()
                under_way.append((place, op))
        elif what == "t":
            clock.now_s += number
        elif what == "r":
            reads.count_bound = number
        elif under_way:
            place, op = under_way.pop(number % len(under_way))
            if what == "l":
                place.leave(op, ENDS[number])
            else:
                place.give_up(op, number > 2)
        places.check()
    for place, op in under_way:
        place.leave(op, None)
    assert all(place.count == 0 for pair in places._places for place in pair)


# ---- with lanes ---------------------------------------------------------------------------------------------------


def account_of(client, shard):  # noqa: F811
    return next(a for a in range(1, 1_000) if client.shard_of(bucket_of_account(a)) == shard)


async def test_a_hung_shard_takes_half_of_the_places_and_the_others_answer(cluster, client):  # noqa: F811
    client.share_places(SimpleNamespace(count_bound=READS), SimpleNamespace(count_bound=WRITES))
    hung, live = account_of(client, 0), account_of(client, 1)
    await client.account(hung, "home")
    cluster.hang.add(0)
    waiting = [asyncio.create_task(client.account(hung, "home", timeout_s=0.5)) for _ in range(40)]
    sent = [asyncio.create_task(send(client, hung, "home", 0.5)) for _ in range(40)]
    await asyncio.sleep(0.1)
    assert client._places.of(0, "home").count == READS // 2
    assert await client.account(live, "home") == [1, live]
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(end, OverloadedError) for end in ends)
    ends = [
        end if isinstance(end, Exception) else end[1] for end in await asyncio.gather(*sent, return_exceptions=True)
    ]
    assert [isinstance(error, OverloadedError) for error in ends] == [True] * 40
    assert client._places.of(0, "home").count == 0


async def test_a_shard_that_times_out_fails_fast_until_it_answers_again(cluster, client, monkeypatch):  # noqa: F811
    monkeypatch.setattr("cluster.client.shard_places.PROBE_S", 0.2)
    client.share_places(SimpleNamespace(count_bound=100), SimpleNamespace(count_bound=100))
    hung, live = account_of(client, 0), account_of(client, 1)
    await client.account(hung, "home")
    cluster.hang.add(0)
    ends = await asyncio.gather(
        *(client.account(hung, "home", timeout_s=0.2) for _ in range(TIMEOUTS_IN_A_ROW)), return_exceptions=True
    )
    assert all(isinstance(end, OverloadedError) for end in ends)
    asked = len(cluster.asked)
    for _ in range(20):
        with pytest.raises(OverloadedError, match="doesn't answer"):
            await client.account(hung, "home", timeout_s=5.0)
    assert len(cluster.asked) == asked
    with pytest.raises(OverloadedError) as refused:  # at once: it holds nobody's place meanwhile
        client.send(bucket_of_account(hung), "post", [hung], 5.0, lambda *end: pytest.fail(f"{end}"))
    assert refused.value.retry_after_s == 1.0
    ends = []
    client.send_shard(0, "cards", [], 5.0, lambda *end: ends.append(end))
    await asyncio.sleep(0)
    assert isinstance(ends[0][1], OverloadedError)
    assert await client.account(live, "home") == [1, live]
    cluster.hang.clear()
    deadline = asyncio.get_running_loop().time() + 60
    while client.figures()["shards_failing_fast"]:
        assert asyncio.get_running_loop().time() < deadline
        with contextlib.suppress(OverloadedError):
            assert await client.account(hung, "home", timeout_s=5.0) == [0, hung]
        await asyncio.sleep(0.02)
    assert await client.account(hung, "home") == [0, hung]
    assert client.figures()["shard_probes"] >= 1


async def test_whoever_is_made_a_probe_waits_no_longer_than_makes_sense(cluster, client, monkeypatch):  # noqa: F811
    monkeypatch.setattr(shard_places, "PROBE_PATIENCE_S", 0.1)
    monkeypatch.setattr(cluster_client, "PROBE_PATIENCE_S", 0.1)
    monkeypatch.setattr(shard_places, "PROBE_S", 0.0)
    client.share_places(SimpleNamespace(count_bound=100), SimpleNamespace(count_bound=100))
    hung = account_of(client, 0)
    await client.account(hung, "home")
    cluster.hang.add(0)
    time_out(client._places, TIMEOUTS_IN_A_ROW)
    with pytest.raises(OverloadedError):
        await asyncio.wait_for(client.account(hung, "home", timeout_s=120.0), 60.0)
    assert isinstance((await asyncio.wait_for(send(client, hung, "home", 120.0), 60.0))[1], OverloadedError)


async def test_a_request_that_its_caller_cancels_gives_its_place_back(cluster, client):  # noqa: F811
    client.share_places(SimpleNamespace(count_bound=100), SimpleNamespace(count_bound=100))
    hung = account_of(client, 0)
    await client.account(hung, "home")
    cluster.hang.add(0)
    for _ in range(TIMEOUTS_IN_A_ROW):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.account(hung, "home", timeout_s=0.105)
    assert client._places.of(0, "home").count == 0
    assert client.figures()["shards_failing_fast"] == 1
