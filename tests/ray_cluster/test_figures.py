"""Figures of a cluster with two API workers at one port: whichever a scrape meets, it shows both."""

from __future__ import annotations

import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.figures import complaints_of_promtool
from tests.serving import ServedCluster, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("watched"),
]  # fmt: skip

FIGURES_S = 1.2  # each worker makes them once a second
SCRAPES, CHECKS = 12, 30


@pytest.fixture(scope="module")
def cluster(watched: ServedCluster) -> ServedCluster:
    return watched


def scrape(cluster: ServedCluster) -> str:
    """Ask whichever worker takes a new connection."""
    return httpx.get(f"http://127.0.0.1:{cluster.port}/metrics", timeout=60).text


def values(text: str, name: str, **labels: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a name with those labels, by all their labels' values."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    }


def test_every_scrape_has_both_workers_all_replicas_and_the_router(cluster):
    wait_for(lambda: sum(values(scrape(cluster), "rookery_http_worker_up").values()) == 2)
    time.sleep(FIGURES_S)
    for _ in range(SCRAPES):
        text = scrape(cluster)
        assert list(values(text, "rookery_http_worker_up").values()) == [1, 1]
        assert len(values(text, "rookery_http_connections")) == 2
        assert set(values(text, "rookery_replica_up").values()) == {1}
        assert values(text, "rookery_router_up") == {(): 1}
        assert len(values(text, "rookery_router_map_epoch")) == 1
        processes = {name for (name,) in values(text, "rookery_process_start_time_seconds")}
        assert {"rookery:router", "rookery:shard-00:replica-0"} < processes
    assert complaints_of_promtool(text) == ""


def test_requests_are_as_many_as_a_client_has_sent_whichever_worker_took_them(cluster):
    time.sleep(FIGURES_S)
    before = sum(values(scrape(cluster), "rookery_http_requests_total", route="/{user_id}/profile").values())
    for _ in range(CHECKS):
        httpx.get(f"http://127.0.0.1:{cluster.port}/7/profile", timeout=60)  # a connection each
    time.sleep(FIGURES_S)
    text = scrape(cluster)
    assert sum(values(text, "rookery_http_requests_total", route="/{user_id}/profile").values()) == before + CHECKS
    assert "/7/profile" not in text, "routes, never paths"
