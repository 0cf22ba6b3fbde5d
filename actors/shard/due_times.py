"""The clock of what falls due: the leader of a shard looks a few times a second, and journals what is due then.

Rules of this file
- Only the leader, and not while the shard is frozen: its successor, or it itself a moment later, finds the same.
- What can't fall due now (a full shard, full outboxes, storage that takes no writes) is tried again, and said once.

Cost: 1 us a look.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from actors.core.errors import RookeryError
from actors.shard.commits import Commits

LOOK_S: Final = 0.2  # between two looks: a scheduled tweet is that late at most, when all is well


class DueTimes:
    """Lets things of one shard fall due."""

    def __init__(self, commits: Commits, leads: Callable[[], bool]) -> None:
        """leads: whether this replica is its shard's primary now."""
        self._commits, self._leads = commits, leads
        self.log = structlog.get_logger()
        self._waits = False

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            pause_s = 0 if self.look() else LOOK_S
            await asyncio.sleep(pause_s)  # requests go between

    def look(self) -> bool:
        """Let some of what is due fall due; return whether there was any."""
        commits = self._commits
        if not self._leads() or commits.state.frozen or commits.unavailable:
            return False
        try:
            command = commits.replica.due_command(int(time.time() * 1000))
            if command is None:
                return False
            commits.run(command)
        except RookeryError as error:
            if not self._waits:
                self.log.warning("what is due has to wait", reason=error.message)
            self._waits = True
            return False
        self._waits = False
        return True
