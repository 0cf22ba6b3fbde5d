"""Shard metrics: counting, the Prometheus text, and what arrives at Ray."""

from __future__ import annotations

import time
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from actors.metrics import (
    OBSERVATION_COUNT_MAX,
    SECONDS_BOUNDS,
    Histogram,
    RayExporter,
    ShardMetrics,
    _thin,
    render_prometheus,
)

RAY_ENDPOINT_TIMEOUT_S = 60.0
RAY_REPORTS = {"metrics_report_interval_ms": 500}  # Ray's default is 10 s


def test_a_value_on_a_bound_belongs_to_the_bucket_below():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert histogram.sum == 7.5


def test_a_quantile_is_the_bound_of_its_bucket_and_zero_when_empty():
    histogram = Histogram((1.0, 2.0, 4.0))
    assert histogram.quantile(0.99) == 0.0
    for value in (0.5, 0.6, 3.0):
        histogram.observe(value)
    assert (histogram.quantile(0.5), histogram.quantile(0.99)) == (1.0, 4.0)


@given(st.lists(st.floats(min_value=0, max_value=100)))
def test_buckets_in_a_snapshot_are_cumulative_and_agree_with_the_values(values):
    metrics = ShardMetrics()
    for value in values:
        metrics.read_seconds.observe(value)
    numbers = metrics.snapshot()
    for bound in SECONDS_BOUNDS:
        assert numbers[f"read_seconds_le_{bound:g}"] == sum(value <= bound for value in values)
    assert numbers["read_seconds_count"] == len(values)


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=21))
def test_thinning_keeps_small_counts_and_every_bucket_that_has_values(counts):
    thinned = _thin(counts, OBSERVATION_COUNT_MAX)
    assert [bool(count) for count in thinned] == [bool(count) for count in counts]
    assert sum(thinned) <= OBSERVATION_COUNT_MAX + len(counts)
    if sum(counts) <= OBSERVATION_COUNT_MAX:
        assert thinned == counts


def test_prometheus_can_read_the_text_with_a_line_per_replica():
    busy, idle = ShardMetrics(reads=3, primary=1), ShardMetrics()
    busy.fsync_seconds.observe(0.004)
    text = render_prometheus(
        [({"shard": "0", "replica": "0"}, busy.snapshot()), ({"shard": "1", "replica": "0"}, idle.snapshot())]
    )
    samples = {
        (sample.name, sample.labels["shard"], sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["rookery_reads_total", "0", None] == 3
    assert samples["rookery_reads_total", "1", None] == 0
    assert samples["rookery_primary", "0", None] == 1
    assert samples["rookery_fsync_seconds_bucket", "0", "0.0025"] == 0
    assert samples["rookery_fsync_seconds_bucket", "0", "0.005"] == 1
    assert samples["rookery_fsync_seconds_bucket", "0", "+Inf"] == 1
    assert samples["rookery_fsync_seconds_sum", "0", None] == 0.004


def test_memory_is_that_of_this_process():
    metrics = ShardMetrics()
    metrics.measure_memory()
    assert metrics.memory_bytes > 1 << 20


class CountingActor:
    """Counts something and flushes twice, so that a delta counted twice would show."""

    def count(self) -> None:
        metrics = ShardMetrics(reads=5, mailbox_depth=7)
        exporter = RayExporter(metrics, shard="03", replica="1")
        for _ in range(4):
            metrics.fsync_seconds.observe(0.004)
        exporter.flush()
        metrics.reads += 2
        exporter.flush()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_flushed_metrics_appear_on_the_nodes_endpoint(monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    ray.init(
        address="local", num_cpus=1, include_dashboard=False, object_store_memory=80 << 20, log_to_driver=False,
        _system_config=RAY_REPORTS,
    )  # fmt: skip
    try:
        actor = ray.remote(num_cpus=0)(CountingActor).remote()
        ray.get(actor.count.remote())
        node = ray.nodes()[0]
        samples = wait_for_samples(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics")
    finally:
        ray.shutdown()
    assert samples["ray_rookery_reads_total"] == 7
    assert samples["ray_rookery_mailbox_depth"] == 7
    assert samples["ray_rookery_fsync_seconds_count"] == 4


def wait_for_samples(url: str) -> dict[str, float]:
    """Poll Ray's metrics endpoint until it shows our shard's reads."""
    deadline = time.monotonic() + RAY_ENDPOINT_TIMEOUT_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(url, timeout=10) as reply:
            text = reply.read().decode()
        samples = {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.labels.get("shard") == "03" and sample.labels.get("replica") == "1"
        }
        if samples.get("ray_rookery_reads_total"):
            return samples
        time.sleep(0.1)
    raise AssertionError(f"{url} showed no rookery metrics within {RAY_ENDPOINT_TIMEOUT_S} s")
