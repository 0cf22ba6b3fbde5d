"""A few ways to stop `serve`; `make stops` tries all of tests/stopping.py.

What a SIGINT for make alone does, tests/actors/test_signals.py says; a signal while it is being loaded, test_backup.py,
which ends another cluster by it.
"""

from __future__ import annotations

import signal

import pytest

from tests.ray_cluster.endings import require_a_good_end
from tests.serving import ServedCluster
from tests.stopping import Stopping, Way

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("watched"),
]  # fmt: skip

LAST = Way(signal.SIGTERM, "serve", "recovering")


@pytest.fixture(scope="module")
def stopping(watched: ServedCluster) -> Stopping:
    return Stopping(watched.data.parent, "cluster.spares=0", "search.enabled=false")


def test_a_cluster_that_is_killed_with_its_group_leaves_nothing_behind_not_even_engines(watched, stopping):
    """Whom nobody tells: the engines of search are children of the shards."""
    way = Way(signal.SIGKILL, "group")
    require_a_good_end(way, stopping.stop_served(watched, way))


# In this order: each finds what the one before has left, at the end of all that must still be whole.
@pytest.mark.parametrize(
    "way",
    [
        Way(signal.SIGTERM, "group", "importing"),  # before Python has imported much of ours
        Way(signal.SIGINT, "group", 3.0),  # Ray starts
        LAST,
    ],
    ids=str,
)
def test_it_ends_in_time_with_status_0_and_leaves_nothing_behind(stopping, way):
    require_a_good_end(way, stopping.run(way))
    if way == LAST:
        assert stopping.check() == 0
