"""How soon a connection is read again on which something was refused, or which asked for something that can't be.

Rules of this file
- What is refused takes this worker's time, too. All connections together get REFUSALS_PER_S refusals at most, however
  many there are and whatever addresses they come from: each waits until its share of that time has passed. So they come
  one after the other and not all at once, and who is refused alone doesn't wait.
- A refusal costs 1 if the protocol has written it; one that came out of the app costs as many of those as it took.
- The wait is never longer than if every connection had been refused once more, nor than PAUSE_S_MAX: who hangs up
  instead of waiting can't make others wait for him for ever.

Cost: 0.3 us a refusal.
"""

from __future__ import annotations

from collections.abc import Callable

REFUSALS_PER_S = 8_000  # of cost 1: a fifth of this worker's time
PAUSE_S_LEAST = 0.001  # shorter pauses aren't worth a timer
PAUSE_S_MAX = 5.0
AT_ONCE_S = 0.05  # of refusals that nobody waits for: a client's few mistakes


class RefusalPace:
    """The refusals of one worker."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until_s = clock()  # what was refused so far has been paid for by then

    def pause_s(self, cost: int, open_count: int) -> float:
        """Count a refusal; returns how long its connection isn't read, 0 if it needn't wait.

        cost: in those that the protocol writes itself; open_count: connections that are open, this one among them.
        """
        now_s = self._clock()
        most_s = min(PAUSE_S_MAX, cost * open_count / REFUSALS_PER_S)
        so_far_s = max(self._until_s, now_s)
        self._until_s = max(so_far_s, min(so_far_s + cost / REFUSALS_PER_S, now_s + AT_ONCE_S + most_s))
        pause_s = self._until_s - now_s - AT_ONCE_S
        return pause_s if pause_s >= PAUSE_S_LEAST else 0.0
