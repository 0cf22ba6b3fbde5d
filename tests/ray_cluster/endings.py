"""What every end of a cluster must be like, however it was stopped."""

from __future__ import annotations

from tests.stopping import KILLED_WITHIN_S, WITHIN_S, Ending, Way, status_due

LATE = 3.0  # times as long on a machine that does something else: nothing here measures it


def require_a_good_end(way: Way, ending: Ending) -> None:
    """In time, with the status that is due, and nothing is left behind."""
    assert ending.left == []
    assert ending.seconds <= LATE * WITHIN_S
    assert ending.left_s <= LATE * (WITHIN_S + KILLED_WITHIN_S)
    assert status_due(way) in (None, ending.status)
