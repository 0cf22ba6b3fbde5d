"""A few ways to stop `serve`; `make stops` tries all of tests/stopping.py.

What a SIGINT for make alone does, tests/actors/test_signals.py says.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stopping import KILLED_WITHIN_S, WITHIN_S, Stopping, Way, status_due

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

LAST = Way(signal.SIGTERM, "serve", "recovering")
LATE = 3.0  # times as long on a machine that does something else: nothing here measures it


@pytest.fixture(scope="module")
def stopping() -> Iterator[Stopping]:
    folder = Path(tempfile.mkdtemp(prefix="rk-"))
    yield Stopping(folder)
    shutil.rmtree(folder)


# In this order: each finds what the one before has left, at the end of all that must still be whole.
@pytest.mark.parametrize(
    "way",
    [
        Way(signal.SIGTERM, "group", "importing"),  # before Python has imported much of ours
        Way(signal.SIGINT, "group", 3.0),  # Ray starts
        Way(signal.SIGTERM, "group", "loading", 2),
        Way(signal.SIGKILL, "group"),
        LAST,
    ],
    ids=str,
)
def test_it_ends_in_time_with_status_0_and_leaves_nothing_behind(stopping, way):
    has_search = way.signal == signal.SIGKILL  # who would be told by nobody
    stopping.sets = "cluster.spares=0", f"search.enabled={str(has_search).lower()}"
    ending = stopping.run(way)
    assert ending.left == []
    assert ending.seconds <= LATE * WITHIN_S
    assert ending.left_s <= LATE * (WITHIN_S + KILLED_WITHIN_S)
    assert status_due(way) in (None, ending.status)
    if way == LAST:
        assert stopping.check() == 0
