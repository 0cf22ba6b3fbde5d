"""A leader's pause while it hands its shard over: what needs a leader waits here, and isn't refused.

    begin --> keep(request), keep(request) ... --> resume(): this replica leads on, and carries them out
                                               \\-> give_back(): another leads: `moved`, so that its clients ask there

Rules of this file
- Bounded in number by whoever makes it, and in time by PAUSE_S: then it ends, whatever came of the election.
- A kept request has changed nothing yet, so it may be carried out anywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.core.errors import MovedError
from cluster.lane.server import LaneRequest

PAUSE_S = 2.0  # an election takes some 20 ms; a client's patience is longer than this
CATCH_UP_S = 1.0  # for the successor to get what it lacks: it is in sync, so that is what is under way


class Handover:
    """See the module header. carry_out: takes a request that was kept."""

    def __init__(self, carry_out: Callable[[LaneRequest], None], count_max: int) -> None:
        self._carry_out, self._count_max = carry_out, count_max
        self._waiting: list[LaneRequest] = []
        self.term = 0  # whose leader pauses; 0: there is no pause

    @property
    def paused(self) -> bool:
        """Whether requests are kept."""
        return self.term > 0

    def begin(self, term: int) -> None:
        """Keep what comes from now on."""
        self.term = term

    def keep(self, request: LaneRequest) -> bool:
        """Take a request that needs a leader, if there is a pause and room; returns whether it was taken."""
        if not self.paused or len(self._waiting) >= self._count_max:
            return False
        self._waiting.append(request)
        return True

    def resume(self) -> None:
        """End the pause; this replica leads."""
        for request in self._end():
            self._carry_out(request)

    def give_back(self, why: str) -> None:
        """End the pause; another replica leads, or nobody."""
        for request in self._end():
            request.fail(MovedError(why))

    def _end(self) -> list[LaneRequest]:
        waiting, self._waiting, self.term = self._waiting, [], 0
        return waiting
