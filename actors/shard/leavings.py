"""The pace at which a leader takes back what deleted accounts have left: a piece, then a pause ten times as long.

    after every command: look --> is there anything, and do we lead? --> clear_left ... pause ... clear_left

Rule: what is done is decided in `actors/core/leaving.py`; whoever leads goes on, from what the state says.

Cost: none while no account is being deleted; else a tenth of the loop's time at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from actors.shard.commits import Commits

PAUSES: Final = 10  # length of the pause after a piece, in pieces
PAUSE_S_MIN: Final = 0.001
WAIT_S: Final = 0.05  # while the shard is frozen, or another one isn't quick enough


class LeavingPace:
    """See the module header. leads: whether this replica leads now."""

    def __init__(self, commits: Commits, leads: Callable[[], bool]) -> None:
        self._commits, self._leads = commits, leads
        self._next_piece = commits.replica.leavings.next_piece
        self._is_due = False

    def look(self) -> None:
        """Set out to take something back, if there is anything. Called after every command, and when this one leads."""
        if self._commits.state.people.leaving and not self._is_due and self._leads():
            self._soon(PAUSE_S_MIN)

    def _soon(self, pause_s: float) -> None:
        self._is_due = True
        asyncio.get_running_loop().call_later(pause_s, self._take)

    def _take(self) -> None:
        pause_s = self._take_piece() if self._leads() else WAIT_S
        self._is_due = False
        if self._commits.state.people.leaving and self._leads():
            self._soon(pause_s)

    def _take_piece(self) -> float:
        """Run the next piece, if it is time for one; return the pause until the next."""
        begin, command = time.perf_counter(), self._next_piece()
        if command is None or self._commits.unavailable:
            return WAIT_S
        self._commits.run(command, urgent=False)
        return max(PAUSE_S_MIN, PAUSES * (time.perf_counter() - begin))
