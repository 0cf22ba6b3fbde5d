"""Router, shards and client on a real Ray: what dies comes back, calls succeed again; and what is counted arrives."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from prometheus_client.parser import text_string_to_metric_families
from ray.exceptions import RayError

from actors.core.errors import NotFoundError, OverloadedError
from actors.metrics import ShardMetrics
from actors.metrics.ray_export import RayExporter
from actors.metrics.shard_rows import SHARD_FIGURES
from cluster.client.connect import open_client, router_handle
from cluster.ray_options import shard_actor_name
from cluster.router_actor import start_router
from tests.serving import START_TIMEOUT_S, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

SHARD_COUNT = 2
RAY_ENDPOINT_TIMEOUT_S = 60.0
RAY_REPORTS = {"metrics_report_interval_ms": 500}  # Ray's default is 10 s


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A Ray of our own; everything in it ends with the module."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    name = f"test-{secrets.token_hex(4)}"
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, namespace=name, log_to_driver=False,
        _system_config=RAY_REPORTS,
    )  # fmt: skip
    yield name
    ray.shutdown()


@pytest.fixture(scope="module")
def folder() -> Iterator[str]:
    made = tempfile.mkdtemp(prefix="rookery-")  # pytest's own paths are too long for a Unix socket
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def router(namespace: str, folder: str):
    settings = {"folder": folder, "namespace": namespace}
    factory = "tests.cluster.fake_shard:make_fake_shard"
    made = start_router(folder, "test", SHARD_COUNT, factory, settings, namespace)
    wait_for(lambda: ray.get(made.ready.remote(), timeout=60.0))
    return made


@pytest.fixture
async def client(router, namespace: str):
    made = await open_client(namespace)
    yield made
    made.close()


def status(router) -> dict:
    """The router's status, also while it restarts."""

    def ask() -> dict | None:
        try:
            return ray.get(router.status.remote(), timeout=10.0)
        except (RayError, TimeoutError):
            return None

    return wait_for(ask)


async def test_a_client_reaches_every_shard_over_its_lane(client):
    answers = [await client.call_shard(shard, "pid", []) for shard in range(SHARD_COUNT)]
    assert [answer[:2] for answer in answers] == [["lane", 0], ["lane", 1]]


async def test_starting_the_router_again_finds_the_running_one(router, namespace, folder):
    again = start_router(folder, "test", SHARD_COUNT, "tests.cluster.fake_shard:make_fake_shard", {}, namespace)
    assert ray.get(again.status.remote())["pid"] == ray.get(router.status.remote())["pid"]


async def until(holds) -> None:
    """Wait until an async condition holds."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not await holds():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.02)


async def test_a_killed_shard_comes_back_registers_and_answers_again(client, router):
    pid = (await client.call_shard(0, "pid", []))[2]
    epoch = status(router)["epoch"]
    os.kill(pid, signal.SIGKILL)
    answer = await client.call_shard(0, "pid", [], timeout_s=60.0)
    assert answer[2] != pid

    async def registered():  # the lane may answer a moment before the router knows
        return status(router)["epoch"] > epoch and (await client.call_shard(0, "pid", []))[0] == "lane"

    await until(registered)
    assert (await client.call_shard(1, "pid", []))[0] == "lane"


async def test_a_killed_router_is_on_nobodys_path_and_remembers_everything(client, router, namespace):
    before = status(router)
    keys = ray.get(router.join.remote())["lane"]
    os.kill(before["pid"], signal.SIGKILL)
    answers = [await client.call_shard(shard, "pid", [], timeout_s=3.0) for shard in range(SHARD_COUNT)]
    assert [answer[0] for answer in answers] == ["lane", "lane"]
    after = status(router)
    assert after["pid"] != before["pid"]
    assert (after["epoch"], after["cluster_id"]) == (before["epoch"], before["cluster_id"])
    wait_for(lambda: ray.get(router_handle(namespace).ready.remote(), timeout=60.0))
    joined = ray.get(router.join.remote())
    assert joined["lane"] == keys
    assert ray.get(router.check.remote()) == []
    assert [entry["pid"] for entry in status(router)["replicas"]] == [answer[2] for answer in answers]


async def test_a_shard_that_is_gone_for_good_is_created_again(client, namespace):
    old = (await client.call_shard(1, "pid", []))[2]
    ray.kill(ray.get_actor(shard_actor_name(1, 0), namespace=namespace), no_restart=True)

    async def replaced():  # Ray kills a moment later
        return (await client.call_shard(1, "pid", [], timeout_s=60.0))[2] != old

    await until(replaced)


async def test_the_actor_answers_while_its_lane_is_closed(client):
    await client.call_shard(0, "close_lane", [])
    answer = await client.call_shard(0, "pid", [], timeout_s=60.0)
    assert answer[0] == "actor"
    with pytest.raises(NotFoundError):
        await client.call_shard(0, "missing", [], timeout_s=60.0)


def test_a_router_that_refuses_its_data_says_why(router, namespace, folder):
    shutil.copytree(folder, Path(folder) / "copy", ignore=shutil.ignore_patterns("*.sock", "copy"))
    other = start_router(
        str(Path(folder) / "copy"), "other", 2, "tests.cluster.fake_shard:make_fake_shard", {}, namespace + "-8"
    )
    with pytest.raises(RayError, match="belongs to cluster"):
        wait_for(lambda: ray.get(other.ready.remote(), timeout=60.0))


async def test_without_a_cluster_a_client_is_told_so(namespace):
    with pytest.raises(OverloadedError, match="no Rookery cluster"):
        await open_client("empty-namespace")


class CountingActor:
    """Counts something and flushes twice, so that a delta counted twice would show."""

    def count(self) -> None:
        metrics = ShardMetrics(reads=5, mailbox_depth=7)
        metrics.refusals["conflict"] = 2
        exporter = RayExporter(SHARD_FIGURES, metrics.get, ("03", "1"))
        for _ in range(4):
            metrics.fsync_seconds.observe(0.004)
        exporter.flush()
        metrics.reads += 2
        metrics.refusals["conflict"] += 1
        exporter.flush()


def test_flushed_metrics_appear_on_the_nodes_endpoint(namespace):
    actor = ray.remote(num_cpus=0)(CountingActor).remote()
    ray.get(actor.count.remote())
    node = ray.nodes()[0]
    samples = wait_for_samples(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics")
    assert samples["ray_rookery_requests_total", "read"] == 7
    assert samples["ray_rookery_refusals_total", "conflict"] == 3
    assert samples["ray_rookery_mailbox_depth", ""] == 7
    assert samples["ray_rookery_fsync_duration_seconds_count", ""] == 4


def wait_for_samples(url: str) -> dict[tuple[str, str], float]:
    """Poll Ray's metrics endpoint until it shows our shard's reads. By name, and class or code if there is one."""
    deadline = time.monotonic() + RAY_ENDPOINT_TIMEOUT_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(url, timeout=10) as reply:
            text = reply.read().decode()
        samples = {
            (sample.name, sample.labels.get("class") or sample.labels.get("code", "")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.labels.get("shard") == "03" and sample.labels.get("replica") == "1"
        }
        if samples.get(("ray_rookery_requests_total", "read")):
            return samples
        time.sleep(0.1)
    raise AssertionError(f"{url} showed no rookery metrics within {RAY_ENDPOINT_TIMEOUT_S} s")
