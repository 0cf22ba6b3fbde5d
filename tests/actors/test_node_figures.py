"""What one scrape shows of a node: its workers, replicas and router, and what a process says of itself."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from dataclasses import replace
from typing import Any

import psutil
import pytest
from ray.exceptions import RayError

import actors.node_figures as node_figures
from actors.api_actor import siblings_of
from actors.core.errors import OverloadedError
from actors.core.levels import LEVEL, VERSION
from actors.metrics.figure import Histogram, Told
from actors.metrics.process import ProcessFigures
from actors.metrics.text import node_snapshot
from actors.node_figures import NodeFigures
from cluster.life.heartbeat import BEAT_S, Heartbeat
from cluster.placement.shard_map import ShardMap
from cluster.ray_options import ROUTER_NAME, api_actor_name
from tests.figures import complaints_of_promtool, moved, numbers, text_of

HERE, THERE = "a" * 56, "b" * 56
WORKERS = [api_actor_name(HERE, index) for index in range(2)]


def counted(shard: int, replica: int, reads: int) -> list[Any]:
    return ["shard", [str(shard), str(replica)], {"requests_total": [[["read"], reads]]}]


class Node:
    """The actors that a worker asks: of two shards with two replicas each, replica 0 lives here."""

    def __init__(self) -> None:
        shard_map = ShardMap.even("c", 2, 2)
        for each in shard_map.replicas:
            shard_map = shard_map.with_replica(replace(each, node_id=HERE if each.index == 0 else THERE))
        self.replicas = shard_map.replicas
        self.router: Any = {"node": HERE, "told": [["router", [], {"router_map_epoch": [[[], 9]]}]]}
        self.workers: dict[str, Any] = {
            name: [["api", [name], {"http_connections": [[[], 5 + n]]}]] for n, name in enumerate(WORKERS)
        }
        self.statuses: dict[str, Any] = {
            each.actor_name: [0, {"replica": each.index, "told": [counted(each.shard, each.index, 7)]}]
            for each in self.replicas
        }
        self.asked: list[str] = []

    async def ask(self, name: str, method: str, *args: Any) -> Any:
        self.asked.append(name)
        answer = self.router if name == ROUTER_NAME else self.workers.get(name) or self.statuses.get(name)
        if isinstance(answer, float):
            await asyncio.sleep(answer)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def told(self, led: dict[int, Any]) -> list[Told]:
        return await NodeFigures(self.ask, HERE, lambda: self.replicas, WORKERS[0], WORKERS).told(led)


async def test_one_answer_has_the_whole_node():
    node = Node()
    led = {0: {"replica": 0, "told": [counted(0, 0, 3)]}, 1: {"replica": 1, "told": [counted(1, 1, 4)]}}
    told = [
        Told("api", (WORKERS[0],), node.workers[WORKERS[0]][0][2]),
        *await node.told(led),
        Told("node", (), node_snapshot(shard_up={"0": 1, "1": 1}, process_hangs_total={"rookery:router": 2})),
    ]
    text = text_of(told)
    for worker, count in zip(WORKERS, (5, 6), strict=True):
        assert f'rookery_http_connections{{worker="{worker}"}} {count}.0\n' in text, "in every scrape, whoever is met"
    assert 'requests_total{shard="0",replica="0",class="read"} 3.0' in text, "the leader has answered already"
    assert 'requests_total{shard="1",replica="0",class="read"} 7.0' in text, "a follower that lives here"
    assert text.count("requests_total{shard=") == 2, "what lives elsewhere is shown there"
    assert "rookery_router_map_epoch 9.0" in text
    found = numbers(told)
    assert all(found[f"http_worker_up{{{worker}}}"] == 1 for worker in WORKERS)
    assert (found["replica_up{0,0}"], found["replica_up{1,0}"], found["router_up"]) == (1, 1, 1)
    assert (found["shard_up{0}"], found["process_hangs_total{rookery:router}"]) == (1, 2)
    assert sorted(node.asked) == sorted([ROUTER_NAME, WORKERS[1], "rookery:shard-01:replica-0"])
    assert complaints_of_promtool(text) == ""


async def test_a_router_of_another_node_is_up_and_its_figures_are_there():
    node = Node()
    node.router["node"] = THERE
    found = numbers(await node.told({}))
    assert found["router_up"] == 1
    assert "router_map_epoch" not in found


@pytest.mark.parametrize(
    "trouble",
    [RayError(), OverloadedError("no map"), ValueError("no such actor"), AttributeError("older code"), 30.0],
    ids=lambda trouble: type(trouble).__name__,
)
async def test_who_does_not_tell_is_not_up_and_the_others_are_shown(monkeypatch, trouble):
    monkeypatch.setattr(node_figures, "ASK_S", 0.05)
    node = Node()
    node.router = node.workers[WORKERS[1]] = node.statuses["rookery:shard-00:replica-0"] = trouble
    found = numbers(await node.told({0: None, 1: None}))
    assert (found["router_up"], found[f"http_worker_up{{{WORKERS[1]}}}"], found["replica_up{0,0}"]) == (0, 0, 0)
    assert (found[f"http_worker_up{{{WORKERS[0]}}}"], found["replica_up{1,0}"]) == (1, 1)
    assert found["requests_total{read}"] == 7


async def test_a_replica_of_older_code_is_up_and_tells_nothing():
    node = Node()
    node.statuses["rookery:shard-01:replica-0"] = [0, {"replica": 0, "metrics": {"reads": 5.0}}]
    node.statuses["rookery:shard-00:replica-0"] = [1, ["moved", "elsewhere", None, None]]
    found = numbers(await node.told({}))
    assert (found["replica_up{1,0}"], found["replica_up{0,0}"]) == (1, 0)
    assert "requests_total{read}" not in found


def test_the_workers_of_a_node_have_names_that_differ_by_their_numbers():
    assert siblings_of(api_actor_name(HERE, 1), 2) == WORKERS


# ---- what a process says of itself --------------------------------------------------------------------------------


def test_a_process_knows_what_it_takes_itself(tmp_path):
    figures = ProcessFigures("rookery:router")
    try:
        before = numbers([figures.told()])
        spent = time.process_time()
        while time.process_time() - spent < 0.1:
            pass
        gc.collect()
        with (tmp_path / "open").open("w"):
            after = numbers([figures.told()])
    finally:
        figures.close()
    deltas = moved(before, after)
    assert deltas["process_cpu_seconds_total"] >= 0.05, "the system counts in hundredths"
    assert deltas["process_open_fds"] == 1
    assert deltas["process_gc_pause_seconds_count"] >= 1
    assert after["process_max_fds"] >= after["process_open_fds"]
    assert after["process_start_time_seconds"] == psutil.Process(os.getpid()).create_time()
    assert after["process_resident_memory_bytes"] > 1 << 20
    assert after["process_machine_memory_bytes"] == psutil.virtual_memory().total
    assert 0 < after["process_machine_available_bytes"] <= after["process_machine_memory_bytes"]
    assert after[f"build_info{{{VERSION},{LEVEL}}}"] == 1
    collections = len(gc.callbacks)
    ProcessFigures("again").close()
    assert len(gc.callbacks) == collections


async def test_a_loop_that_is_held_beats_late(tmp_path):
    heartbeat, held_s = Heartbeat(tmp_path, "rookery:router"), 0.1
    process = ProcessFigures("rookery:router", heartbeat.late_seconds)
    try:
        heartbeat.start()
        assert numbers([process.told()])["process_loop_lag_seconds_count"] == 0
        time.sleep(BEAT_S + held_s)  # noqa: ASYNC251  that is the fault
        async with asyncio.timeout(60):
            while not (found := numbers([process.told()]))["process_loop_lag_seconds_count"]:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    finally:
        heartbeat.close()
        process.close()
    assert found["process_loop_lag_seconds_count"] == 1
    assert found["process_loop_lag_seconds_sum"] >= held_s - 0.02


def test_promtool_has_no_complaint_about_a_process():
    process = ProcessFigures("rookery:router", Histogram())
    try:
        assert complaints_of_promtool(text_of([process.told()])) == ""
    finally:
        process.close()
