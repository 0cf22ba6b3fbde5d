"""Figures of shards with three replicas: writes are writes, and followers are seen."""

from __future__ import annotations

import time

import pytest

from tests.ray_cluster.clients import Client
from tests.ray_cluster.test_figures import FIGURES_S, scrape, values
from tests.ray_cluster.test_replicas import wait_until_all_are_in_sync
from tests.serving import ServedCluster

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("three_replicas"),
]  # fmt: skip

TWEETS = 10


@pytest.fixture(scope="module")
def cluster(three_replicas: ServedCluster) -> ServedCluster:
    return three_replicas


def test_writes_to_shards_with_replicas_are_writes_and_take_as_long_as_their_commit(cluster):
    client = Client(cluster, "counted")
    wait_until_all_are_in_sync(cluster)
    time.sleep(FIGURES_S)
    before = scrape(cluster)
    for number in range(TWEETS):
        assert client.http.post("/tweet", json={**client.user, "status": f"number {number}"}).status_code == 201
    time.sleep(FIGURES_S)
    after = scrape(cluster)

    def moved(name: str, **labels: str) -> float:
        return sum(values(after, name, **labels).values()) - sum(values(before, name, **labels).values())

    assert moved("rookery_requests_total", **{"class": "write"}) == TWEETS
    assert moved("rookery_write_duration_seconds_count") == TWEETS
    assert moved("rookery_write_duration_seconds_sum") > moved("rookery_apply_duration_seconds_sum") > 0
    assert moved("rookery_tweets") == 3 * TWEETS, "the leader's and two followers'"
    for shard in ("0", "1"):
        assert sorted(values(after, "rookery_primary", shard=shard).values()) == [0, 0, 1]
        assert sum(values(after, "rookery_in_sync_replicas", shard=shard).values()) == 3
        assert len(values(after, "rookery_replication_lag_records", shard=shard)) == 2
