"""Clusters that several files use, one after the other: all carry the mark `xdist_group` with the fixture's name.

The order of the files is in tests/conftest.py. To start a cluster takes 10 to 15 s of the processor.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from bench.processes import REPOSITORY, free_port
from tests.persistence.redis_processes import RedisProcess
from tests.ray_cluster.ray_nodes import ADDRESSES, RayNodes
from tests.serving import LONG_DEADLINE, PATIENT, ServedCluster, served
from tests.stopping import MARK

REPLICAS = 3
# No checkpoint and no new segment while it serves.
JOURNALS_STAY = (
    "checkpoint.interval_s=3600", "storage.segment_records_max=1000000", "storage.segment_bytes_max=1000000000",
)  # fmt: skip


@pytest.fixture(scope="session")
def watched() -> Iterator[ServedCluster]:
    """Yield a cluster with all that can hang, started by somebody whose umask lets everybody read.

    Search and trends don't make tests wait, and who is calling is asked. It is ended by a test.
    """
    umask = os.umask(0o022)
    try:
        environ = {"PYTHONPATH": str(REPOSITORY / "tests" / "hang"), MARK: uuid.uuid4().hex}
        with served(
            "search.enabled=true", "search.cache_ms=0", "search.trend_interval_ms=300", "cluster.workers=2",
            "auth.mode=token", "server.wrk2_api=false", environ=environ, own_group=True,
        ) as made:  # fmt: skip
            yield made
    finally:
        os.umask(umask)


@pytest.fixture(scope="session")
def plain() -> Iterator[ServedCluster]:
    """Yield a cluster as settings are by default, with a spare, and webhooks; first restarted, last ended by tests."""
    with served("cluster.spares=1", "outgoing.webhooks=true", "outgoing.allow_networks=127.0.0.0/8") as made:
        yield made


@pytest.fixture(scope="session")
def three_replicas() -> Iterator[ServedCluster]:
    """Yield a cluster with three replicas of each shard; a test that stops it must be the last (tests/conftest.py)."""
    environ = {"RAY_metrics_report_interval_ms": "1000"}  # for who waits for Ray's figures
    sets = (f"cluster.replicas={REPLICAS}", "durability.ack=replica", PATIENT, LONG_DEADLINE)
    with served(*sets, environ=environ) as made:
        yield made


@pytest.fixture(scope="session")
def nodes_redis() -> Iterator[RedisProcess]:
    """Yield the server that Ray's tables of `three_nodes` are in, as database 0."""
    port = free_port()
    made = RedisProcess("--port", str(port), "--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always")
    made.port = port
    yield made
    made.close()


@pytest.fixture(scope="session")
def three_nodes(nodes_redis: RedisProcess) -> Iterator[RayNodes]:
    """Yield three Ray nodes; who serves on them leaves all three there, and nobody serving."""
    nodes = RayNodes(f"127.0.0.1:{nodes_redis.port}")
    try:
        for address in ADDRESSES:
            nodes.add(address)
        yield nodes
    finally:
        nodes.close()
