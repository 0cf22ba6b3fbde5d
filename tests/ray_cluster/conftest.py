"""A cluster that two files use, one after the other: six replicas take longest to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving import PATIENT, ServedCluster, served

REPLICAS = 3


@pytest.fixture(scope="session")
def three_replicas() -> Iterator[ServedCluster]:
    """Yield a cluster with three replicas of each shard; a test that stops it must be the last (tests/conftest.py)."""
    with served(f"cluster.replicas={REPLICAS}", "durability.ack=replica", PATIENT) as made:
        yield made
