"""A short soak of streams: shards, a worker and the router are killed, and every listener hears what it must, once.

`make soak-streams` is the same for long, with shards that are added and given up.
"""

from __future__ import annotations

import pytest

from tests.live.soak import Plan, soak
from tests.serving import ServedCluster

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("watched"),
]  # fmt: skip

KILLS = ("shard", "api", "shard")


def test_while_processes_are_killed_every_listener_hears_what_it_must_once_and_nothing_else(watched: ServedCluster):
    done = soak(watched, Plan(people=6, roles=KILLS, seed=5))
    assert done.problems == [], "\n".join(done.problems + done.histories)
    assert sum(done.kills.values()) == len(KILLS)
    assert done.resumed > 0
    assert {"update", "notification"} <= set(done.events)
