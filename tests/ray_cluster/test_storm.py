"""After a storm of likes, follows, undos and kills everybody is notified of what stands, and of each once.

`python -m tests.live.storm` is the same for long, over four shards.
"""

from __future__ import annotations

import pytest

from tests.live.storm import storm
from tests.serving import ServedCluster

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("plain"),
]  # fmt: skip

PEOPLE, KILLS = 6, 2


def test_after_a_storm_with_kills_everybody_is_notified_of_what_stands_and_of_each_once(plain: ServedCluster):
    done = storm(plain, PEOPLE, KILLS, seconds=0, seed=3)
    assert done.problems == []
    assert done.kills == KILLS
    assert done.notifications > 0
