"""Mastodon.py against three replicas of each shard: what it writes it reads back at once, also while primaries die."""

from __future__ import annotations

import pytest

from tests.ray_cluster.rounds_under_kills import PEOPLE, rounds_while_primaries_are_killed
from tests.serving import ServedCluster

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("three_replicas"),
]  # fmt: skip

GROUPS, KILLS = 2, 2


def test_what_a_client_writes_it_reads_back_at_once_while_the_primaries_are_killed(three_replicas: ServedCluster):
    done = rounds_while_primaries_are_killed(three_replicas, GROUPS, KILLS, minutes=0, seed=1)
    assert done.kills == KILLS
    assert done.rounds > GROUPS * PEOPLE
