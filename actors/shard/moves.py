"""A leader's part in moves of buckets: requests of the coordinator, writes that wait while the shard is frozen.

    freeze ...................... thaw
       keep(write), keep(write)     -> carried out, each as if it had just come; `moved` if its bucket is elsewhere now

Rules of this file
- What is right is decided in `actors/core/moves/`; here is the journal, the waiting, and the pace.
- Bounded: a write that finds as many waiting as the mailbox may hold is refused, as it would be without a freeze.
- Forgetting what has moved away gives way to requests: one step, at most 50 accounts, then a pause ten times as long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from actors.core.errors import MovedError, RookeryError
from actors.core.replica import MOVES
from actors.shard.commits import Commits
from cluster.lane.server import LaneRequest
from cluster.placement.shard_map import ShardMap, crc_of_buckets

OPERATIONS = frozenset(MOVES)
SWEEP_PAUSES = 10  # length of the pause after a step of forgetting, in steps


class Moves:
    """See the module header. leads: whether this replica leads now; carry_out: takes a write that has waited."""

    def __init__(
        self, commits: Commits, leads: Callable[[], bool], carry_out: Callable[[LaneRequest], None], count_max: int
    ) -> None:
        self._commits, self._leads, self._carry_out, self._count_max = commits, leads, carry_out, count_max
        self._mover = commits.replica.mover
        self._waiting: list[LaneRequest] = []
        self._sweeping = False

    @property
    def frozen(self) -> bool:
        """Whether only messages and moves go on."""
        return self._commits.state.frozen > 0

    def figures(self) -> dict[str, Any]:
        """Return what the router compares with its map, and `status` shows.

        frozen: the number of a freeze, 0 for none; arriving: whether buckets are being taken; buckets_crc: of who owns
        what; away: accounts that are here, but another shard's.
        """
        state = self._commits.state
        return {
            "frozen": state.frozen, "arriving": state.incoming is not None,
            "buckets_crc": crc_of_buckets(state.owner.astype("u1").tobytes()), "away": len(state.people.away),
        }  # fmt: skip

    def handle(self, request: LaneRequest) -> None:
        """Carry out one of OPERATIONS. Raises RookeryError."""
        if not self._leads():
            raise MovedError(f"this replica doesn't lead shard {self._commits.state.shard}")
        try:
            body = self._commits.move(request.op, request.args)
        finally:
            self._sweep_soon(0.0)
        self._commits.when_committed(request, body)

    def keep(self, request: LaneRequest) -> bool:
        """Take a write that came while the shard is frozen; returns whether there was room."""
        if not self.frozen or len(self._waiting) >= self._count_max:
            return False
        self._waiting.append(request)
        return True

    def look(self) -> None:
        """Carry out what has waited, if the freeze is over. Called after every command."""
        if self._waiting and not self.frozen:
            waiting, self._waiting = self._waiting, []
            for request in waiting:
                self._carry_out(request)

    def lead(self, shard_map: ShardMap | None) -> None:
        """This replica takes writes from now on: note the map if the shard has none, take the level of the cluster,
        forget what is others'."""
        if self._commits.state.map_epoch == 0 and shard_map is not None:
            self._commits.move("remap", [shard_map.epoch, shard_map.shard_count, shard_map.buckets])
        if shard_map is not None and self._commits.state.level < shard_map.next_level:
            self._commits.move("level", [shard_map.next_level])
        self._mover.lead()
        self._sweep_soon(0.0)

    def stop_leading(self, error: RookeryError) -> None:
        """Refuse what waits: another replica leads."""
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            request.fail(error)

    def _sweep_soon(self, pause_s: float) -> None:
        if self._mover.sweeping and not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(pause_s, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = False
        if not self._leads():
            return
        begin = time.perf_counter()
        command = None if self.frozen else self._mover.sweep_step()
        if command is not None:
            self._commits.run(command, urgent=False)
        self._sweep_soon(max(0.001, SWEEP_PAUSES * (time.perf_counter() - begin)))
