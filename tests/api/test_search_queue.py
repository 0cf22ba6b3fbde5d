"""Searches that let home reads go first: the queue by itself, and over HTTP both ways."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.core.errors import InvalidError, OverloadedError
from api.http.admission import Gate
from api.search import queue as search_queue
from api.search.queue import HOME_READS_S, SearchQueue
from tests.api.fake_cluster import FakeCluster
from tests.api.test_home_exchange import LONG_WAY, wait_for_in_flight
from tests.api.test_search_exchange import bearer, register, searching, services_of, tweet

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")
SEARCHES = 9


class Later:
    """Turns that come when a test says."""

    def __init__(self) -> None:
        self.pieces: list[Callable[[], None]] = []

    def put(self, work: Callable[[], None]) -> None:
        self.pieces.append(work)

    def come(self) -> None:
        pieces, self.pieces = self.pieces, []
        for work in pieces:
            work()


def queue_of(bound: int) -> tuple[SearchQueue, Later, list[float], Later]:
    """Return a queue, its turns, the time on its clock, and its looks whether anything moves."""
    turns, now, looks = Later(), [0.0], Later()
    return SearchQueue(turns, bound, lambda: now[0], lambda _, work: looks.put(work)), turns, now, looks  # type: ignore[arg-type]


@given(
    bound=st.integers(0, 3),
    events=st.lists(st.sampled_from(["enter", "leave", "turn", "home", "later", "look"]), max_size=60),
)
@example(bound=1, events=["home", "enter", "enter", "leave", "later", "later", "enter"])  # the third before the second
@example(bound=2, events=["home", *["enter"] * 3, "leave", "leave", "enter"])
def test_all_go_on_in_their_order_and_few_at_once_while_there_are_home_reads(bound: int, events: list[str]) -> None:
    queue, turns, now, looks = queue_of(bound)
    begun: list[int] = []
    asked = left = left_when_set = 0
    homes_until = -1.0
    for event in events:
        before, was_set = queue.count, bool(looks.pieces) and event != "look"
        if event == "enter":
            queue.enter(lambda n=asked: begun.append(n))  # type: ignore[misc]
            asked += 1
        elif event == "leave" and left < len(begun):
            queue.leave()
            left += 1
        elif event == "turn":
            turns.come()
        elif event == "home":
            queue.home_read(now[0])
            homes_until = now[0] + HOME_READS_S
        elif event == "later":
            now[0] += HOME_READS_S * 0.6
        elif event == "look":
            assert len(looks.pieces) <= 1
            looks.come()
            assert queue.count - before <= (0 if left > left_when_set else bound)
        if bound and now[0] < homes_until and event != "look":
            assert queue.count <= max(bound, before)
        assert looks.pieces or not queue.waiting_count
        if not was_set:
            left_when_set = left
        assert begun == list(range(len(begun)))
        assert queue.count == len(begun) + len(turns.pieces) - left
        assert asked == len(begun) + len(turns.pieces) + queue.waiting_count
        assert queue.count or not queue.waiting_count
    while left < asked:
        turns.come()
        queue.leave()
        left += 1
    assert begun == list(range(asked))
    assert (queue.count, queue.waiting_count) == (0, 0)


@pytest.mark.parametrize("opens", ["home reads end", "others leave", "nobody moves"])
def test_whoever_comes_when_room_has_opened_begins_behind_those_that_were_let_in_before(opens: str) -> None:
    queue, turns, now, looks = queue_of(2)
    queue.home_read(0.0)
    begun: list[int] = []
    for n in range(3):
        queue.enter(lambda n=n: begun.append(n))  # type: ignore[misc]
    if opens == "nobody moves":
        looks.come()
    else:
        queue.leave()
    if opens == "others leave":
        queue.leave()
    else:
        now[0] += HOME_READS_S
    queue.enter(lambda: begun.append(3))
    assert (begun, queue.waiting_count) == ([0, 1], 0)
    turns.come()
    assert begun == [0, 1, 2, 3]
    assert queue.count == len(begun) - (0 if opens == "nobody moves" else 2 if opens == "others leave" else 1)
    now[0] += HOME_READS_S
    queue.enter(lambda: begun.append(4))
    assert begun == [0, 1, 2, 3, 4], "nobody is ahead of it"


def test_who_has_waited_goes_on_with_the_context_it_came_with() -> None:
    queue, turns, _, _ = queue_of(1)
    queue.home_read(0.0)
    seen: list[str] = []
    for name in ("first", "second"):
        token = WHO.set(name)
        queue.enter(lambda: seen.append(WHO.get()))
        WHO.reset(token)
    queue.leave()
    turns.come()
    assert seen == ["first", "second"]


def test_more_than_may_wait_are_refused_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_queue, "WAITING_MAX", 2)
    queue, turns, _, _ = queue_of(1)
    queue.home_read(0.0)
    begun: list[int] = []
    for n in range(3):
        queue.enter(lambda n=n: begun.append(n))  # type: ignore[misc]
    with pytest.raises(OverloadedError, match="2 searches wait"):
        queue.enter(lambda: begun.append(99))
    for _ in range(3):
        queue.leave()
        turns.come()
    assert (begun, queue.count, queue.waiting_count, queue.refused_count) == ([0, 1, 2], 0, 0, 1)


def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Held(FakeCluster):
    """Searches wait until a test lets them go on; `most` of them were under way at once, on a shard."""

    def __init__(self, shard_count: int = 2) -> None:
        super().__init__(shard_count)
        self.go_on = threading.Event()
        self.here, self.most = [0] * shard_count, 0
        self.error: Exception | None = None

    async def call_shard(self, shard: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        if op != "search":
            return await super().call_shard(shard, op, args, timeout_s)
        self.here[shard] += 1
        self.most = max(self.most, self.here[shard])
        try:
            while not self.go_on.is_set():  # noqa: ASYNC110  a test's thread sets it
                await asyncio.sleep(0.002)
            if self.error is not None:
                raise self.error
            return await super().call_shard(shard, op, args, timeout_s)
        finally:
            self.here[shard] -= 1


@pytest.mark.parametrize("way", [{}, LONG_WAY])
@pytest.mark.parametrize(
    ("bound", "is_read", "most", "error"),
    [
        (2, True, 2, None), (2, False, SEARCHES, None), (0, True, SEARCHES, None),
        (2, True, 2, OverloadedError("busy", None, 1.0)), (2, True, 2, InvalidError("no", "query")),
        (1, True, 1, RuntimeError("a defect")),
    ],
)  # fmt: skip
def test_beside_home_reads_few_searches_are_under_way_and_each_is_answered(
    way: dict[str, str], bound: int, is_read: bool, most: int, error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_queue, "HOME_READS_S", 600.0)
    monkeypatch.setattr(search_queue, "STALL_S", 600.0)
    with searching(fake := Held(), search_beside_home_reads=bound) as (live, http):
        services, made = services_of(live), register(http, "one")
        tweet(http, made, "word")
        if is_read:
            assert http.get(f"/feed?user_id={made['user_id']}", headers=bearer(made) | way).status_code == 200
        fake.error = error
        statuses: list[int] = []

        def ask(n: int) -> None:
            answer = httpx.get(f"{live.base_url}/api/v1/search?query=word&count={n + 1}", headers=way, timeout=60)
            statuses.append(answer.status_code)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(SEARCHES)]
        for thread in threads:
            thread.start()
        queue = services.search.queue
        try:
            wait_for_in_flight(services, SEARCHES)
            until(lambda: queue.count + queue.waiting_count == SEARCHES)  # they begin in turns
            assert (queue.count, queue.waiting_count) == (most, SEARCHES - most)
            until(lambda: min(fake.here) == most)  # what is asked of a shard here is a task
            gauges = http.get("/metrics").text
            assert re.search(rf"^rookery_http_search_waiting{{[^}}]*}} {SEARCHES - most}\.0$", gauges, re.MULTILINE)
        finally:
            fake.go_on.set()
        for thread in threads:
            thread.join()
        assert statuses == [200 if error is None else getattr(error, "status", 500)] * SEARCHES
        assert (queue.count, queue.waiting_count, fake.most) == (0, 0, most)


def test_searches_that_wait_for_a_shard_that_hangs_do_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_queue, "HOME_READS_S", 600.0)
    with searching(fake := Held()) as (live, http):
        services, made = services_of(live), register(http, "one")
        assert http.get(f"/feed?user_id={made['user_id']}", headers=bearer(made)).status_code == 200
        url = f"{live.base_url}/api/v1/search?query=word&count="
        threads = [threading.Thread(target=httpx.get, args=(f"{url}{n + 1}",)) for n in range(SEARCHES)]
        for thread in threads:
            thread.start()
        until(lambda: services.search.queue.count == SEARCHES and min(fake.here) == SEARCHES)
        fake.go_on.set()
        for thread in threads:
            thread.join()
        assert (services.search.queue.count, fake.most) == (0, SEARCHES)


@pytest.mark.parametrize("bound", [0, 2])
def test_searches_hold_half_of_the_places_for_reads_at_most(bound: int) -> None:
    queue, _, now, _ = queue_of(bound)
    places = Gate(128)
    queue.share_places(places)
    queue.home_read(now[0])
    for _ in range(64):
        queue.enter(lambda: None)
    with pytest.raises(OverloadedError, match="half of the places"):
        queue.enter(lambda: None)
    assert (queue.count + queue.waiting_count, queue.refused_count) == (64, 1)
    queue.leave()
    queue.enter(lambda: None)
    places.count_bound = 16  # answers are slow
    queue.leave()
    with pytest.raises(OverloadedError):
        queue.enter(lambda: None)
