"""When a worker says that it is ready: at the start once all is served; later whatever dies that is no bucket."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import httpx
import pytest

from api.http.readiness import START_PATIENCE_S, ReadinessJudge, degraded
from tests.api.conftest import LiveServer, ServerThread
from tests.api.fake_cluster import FakeCluster, all_served

STARTING = {"state": "starting", "left": 0, "serves": False, "has_served": False}
AGAIN = {"state": "starting again", "left": 0, "serves": False, "has_served": True}
FILLING = {"state": "catching up", "left": 70_000, "serves": True, "has_served": True}
OFF = {"state": "off", "left": 0, "serves": False, "has_served": False}
READY = all_served(1)["replicas"][0]["search"]


def said(*shards: list[Any], trends: bool | None = True, unserved: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return what is told of shards, each with what its replicas say of search; one that says "away" isn't live."""
    replicas = [
        {"shard": shard, "replica": index, "live": search != "away", "in_sync": search != "away",
         "search": None if search == "away" else search}
        for shard, of_replicas in enumerate(shards) for index, search in enumerate(of_replicas)
    ]  # fmt: skip
    return {"unserved_shards": list(unserved), "replicas": replicas, "trends": trends}


@pytest.mark.parametrize(
    ("told", "at_start", "later"),
    [
        (said([READY], [READY]), True, True),
        (said([READY], [STARTING]), False, True),
        (said([READY], [None]), False, True),  # a process that hasn't said yet
        (said([READY], [AGAIN]), True, True),  # a worker that is new, and an engine that isn't
        (said([READY], [FILLING]), True, True),  # it answers with what it has
        (said([OFF], [OFF], trends=None), True, True),
        (said([OFF], [STARTING]), False, True),
        (said([STARTING, READY, STARTING], [READY, "away", "away"]), True, True),
        (said([STARTING, STARTING], [READY, READY]), False, True),
        (said([READY], [READY], trends=False), False, True),
        (said([READY], [READY], unserved=(1,)), False, False),
        (said(["away", READY], [READY], unserved=(0,)), False, False),
    ],
)
def test_a_worker_waits_for_what_was_never_served_and_later_for_buckets_only(told, at_start, later):
    new, old = ReadinessJudge(0.0), ReadinessJudge(0.0)
    assert new.judge(told, 5.0) is at_start
    assert old.judge(said([READY], [READY]), 4.0)
    assert old.judge(told, 5.0) is later


def test_a_worker_waits_no_longer_than_waiting_may_help():
    worker = ReadinessJudge(100.0)
    told = said([STARTING], [READY], trends=False)
    assert not worker.judge(told, 100.0 + START_PATIENCE_S - 0.1)
    assert not worker.judge(told | {"unserved_shards": [0]}, 100.0 + START_PATIENCE_S)
    assert worker.judge(told, 100.0 + START_PATIENCE_S)
    assert degraded(told)


def test_a_bucket_that_was_unserved_at_the_start_does_not_end_the_waiting_for_search():
    worker = ReadinessJudge(0.0)
    assert not worker.judge(said([STARTING], ["away"], unserved=(1,)), 1.0)
    assert not worker.judge(said([STARTING], [READY]), 2.0)
    assert worker.judge(said([READY], [READY]), 3.0)


def test_what_is_degraded_is_told_by_place():
    told = said([READY, FILLING, "away"], [None, AGAIN], [OFF], trends=False)
    told["replicas"][0]["in_sync"] = False
    places = [(each["part"], each["shard"], each["replica"], each["state"], each["left"]) for each in degraded(told)]
    assert places == [
        ("replica", 0, 0, "behind", 0), ("search", 0, 1, "catching up", 70_000), ("replica", 0, 2, "away", 0),
        ("search", 1, 0, "unknown", 0), ("search", 1, 1, "starting again", 0), ("trends", None, None, "away", 0),
    ]  # fmt: skip
    assert degraded(said([READY], [OFF], trends=None)) == []


# ---- over HTTP ----------------------------------------------------------------------------------------------------


@pytest.fixture
def starting() -> Iterator[tuple[LiveServer, FakeCluster, httpx.Client]]:
    """A new worker of a cluster whose second engine hasn't come up."""
    fake = FakeCluster()
    fake.said = said([READY], [STARTING])
    with ServerThread(fake=fake) as live, httpx.Client(base_url=live.base_url) as http:
        yield live, fake, http


def test_searches_are_waited_for_at_the_start_and_told_of_later(starting):
    _, fake, http = starting
    trouble = {"part": "search", "shard": 1, "replica": 0, "state": "starting", "left": 0}
    reply = http.get("/readyz")
    assert reply.status_code == 503
    assert reply.json() == {"ready": False, "shards": 2, "unserved_shards": [], "degraded": [trouble]}
    fake.said = all_served(2)
    reply = http.get("/readyz")
    assert (reply.status_code, reply.json()["degraded"]) == (200, [])
    fake.said = deepcopy(fake.said)
    fake.said["replicas"][1]["search"] = AGAIN
    reply = http.get("/readyz")
    assert (reply.status_code, reply.json()["ready"]) == (200, True)
    assert reply.json()["degraded"] == [trouble | {"state": "starting again"}]
    fake.said["unserved_shards"] = [1]
    reply = http.get("/readyz")
    assert (reply.status_code, reply.json()["unserved_shards"]) == (503, [1])


def test_a_router_that_does_not_answer_is_not_ready_and_forgets_nothing(starting):
    _, fake, http = starting
    fake.said = all_served(2)
    assert http.get("/readyz").status_code == 200
    fake.is_ready = False
    assert http.get("/readyz").json() == {"ready": False, "shards": 2, "unserved_shards": [], "degraded": []}
    fake.is_ready, fake.said = True, said([AGAIN], [STARTING])
    assert http.get("/readyz").status_code == 200
