"""Clusters that two files use, one after the other: both carry the mark `xdist_group` with the fixture's name."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bench.processes import REPOSITORY
from tests.serving import LONG_DEADLINE, PATIENT, ServedCluster, served

REPLICAS = 3


@pytest.fixture(scope="session")
def watched() -> Iterator[ServedCluster]:
    """Yield a cluster with all that can hang, started by somebody whose umask lets everybody read."""
    umask = os.umask(0o022)
    try:
        environ = {"PYTHONPATH": str(REPOSITORY / "tests" / "hang")}
        with served("search.enabled=true", "cluster.workers=2", environ=environ) as made:
            yield made
    finally:
        os.umask(umask)


@pytest.fixture(scope="session")
def plain() -> Iterator[ServedCluster]:
    """Yield a cluster as settings are by default; whoever restarts it comes first (tests/conftest.py)."""
    with served() as made:
        yield made


@pytest.fixture(scope="session")
def three_replicas() -> Iterator[ServedCluster]:
    """Yield a cluster with three replicas of each shard; a test that stops it must be the last (tests/conftest.py)."""
    with served(f"cluster.replicas={REPLICAS}", "durability.ack=replica", PATIENT, LONG_DEADLINE) as made:
        yield made
