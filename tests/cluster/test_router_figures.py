"""Figures of the router: each moves by as much as has happened. Fake actors, an injected clock."""

from __future__ import annotations

import asyncio
import time

import pytest

from actors.core.levels import LEVEL
from actors.metrics.figure import Told, snapshot
from actors.metrics.router_rows import ROUTER_FIGURES
from cluster.router.files import note_backup
from cluster.router.router import ANSWER_FRESH_S, Router
from cluster.router.router_figures import figures_of
from tests.cluster.test_router import FakeActors, endpoints, settled
from tests.figures import complaints_of_promtool, moved, numbers, text_of

NAMES = ["rookery:shard-00:replica-0", "rookery:shard-01:replica-0"]


@pytest.fixture
def actors():
    actors = FakeActors()
    for number, name in enumerate(NAMES):
        actors.answering[name], actors.endpoints[name] = True, endpoints(pid=number + 1, port=4000 + number)
    return actors


@pytest.fixture
def router(tmp_path, actors):
    return Router(tmp_path, "test", 2, actors)


def told(router: Router, now: float) -> list[Told]:
    return [Told("router", (), snapshot(ROUTER_FIGURES, figures_of(router, now).get))]


def figures(router: Router, now: float) -> dict[str, float]:
    return numbers(told(router, now))


def look(router: Router, now: float) -> None:
    asyncio.run(settled(router, router.supervise_once(now)))


def test_the_router_counts_its_looks_and_what_they_find(router, actors):
    look(router, 0.0)
    before = figures(router, 0.0)
    for shard in ("0", "1"):
        assert before[f"router_shard_served{{{shard}}}"] == 1
        assert before[f"router_replica_live{{{shard},0}}"] == 1
        assert before[f"router_replica_in_sync{{{shard},0}}"] == 1
    actors.answering[NAMES[0]] = False
    look(router, 1.0)
    del actors.answering[NAMES[1]]
    look(router, 2.0)
    now_s = ANSWER_FRESH_S + 1.5
    after = figures(router, now_s)
    deltas = moved(before, after)
    assert deltas["router_pings_total{silent}"] == 2
    assert deltas["router_pings_total{answers}"] == 1
    assert deltas["router_pings_total{gone}"] == 1
    assert deltas["router_look_duration_seconds_count"] == 2
    assert deltas["router_replica_creations_total{1,0}"] == 1
    assert "router_replica_creations_total{0,0}" not in deltas
    assert (after["router_shard_served{0}"], after["router_replica_live{0,0}"]) == (0, 0)
    router.counted.note_look(router.missing_shards(now_s), 2, now_s)
    assert moved(after, figures(router, now_s))["router_shard_away_seconds_total{0}"] == now_s - 2.0


def test_the_router_counts_changes_of_the_map_and_elections(router, tmp_path, monkeypatch):
    before = figures(router, 0.0)
    assert (before["router_level"], before["router_next_level"], before["router_nodes_drained"]) == (LEVEL, LEVEL, 0)
    look(router, 0.0)
    after = figures(router, 0.0)
    deltas = moved(before, after)
    changes = router.shard_map.epoch - 1
    assert deltas["router_map_epoch"] == deltas["router_map_write_duration_seconds_count"] == changes > 0
    assert deltas["router_elections_total"] == 2
    assert "router_backup_timestamp_seconds" not in after
    begin_s = time.time()
    note_backup(tmp_path)
    assert begin_s - 1 < figures(router, 0.0)["router_backup_timestamp_seconds"] < time.time() + 1
    monkeypatch.setattr(router.draining, "marks", frozenset(("a-node",)))
    assert figures(router, 0.0)["router_nodes_drained"] == 1


def test_a_rebalance_says_what_it_has_done_and_what_is_left(router, monkeypatch):
    assert not any(name.startswith("router_rebalance_buckets") for name in figures(router, 0.0))
    progress = {"moved_buckets": 5, "left_buckets": 3, "failed_moves": 1}
    monkeypatch.setattr(router.rebalancer, "status", lambda: progress)
    found = figures(router, 0.0)
    assert (found["router_rebalance_buckets{moved}"], found["router_rebalance_buckets{left}"]) == (5, 3)
    assert found["router_rebalance_failed_moves_total"] == 1


def test_promtool_has_no_complaint_about_the_router(router):
    look(router, 0.0)
    text = text_of(told(router, 0.0))
    assert text.count("# TYPE") == len(ROUTER_FIGURES) - 2, "all but those of a rebalance, and of a backup"
    assert complaints_of_promtool(text) == ""
