"""The router's part in moves of buckets: it carries out the steps of rebalancing.py, one rebalance at a time.

Rules of this file
- No Ray and no clock but the loop's; the way to the replicas comes in as functions.
- What is wanted is on disk before anybody is told (`rebalance.json`: the number of shards, and how many buckets move at
  once). A new router goes on with it, from the map.
- Whatever a dead router has left, a frozen shard above all, is settled before anything else.
- Bounded rate: after each move a pause, PAUSES times as long as writes have waited for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actors.core.errors import ConflictError, InvalidError, RookeryError
from actors.core.ids import SHARD_COUNT_MAX
from cluster.lane.protocol import LaneProtocolError
from cluster.placement import rebalancing
from cluster.placement.rebalancing import AskLeaders, Install, MoveFailedError, Pause, Steps
from cluster.placement.shard_map import ReplicaPlace, ShardMap
from cluster.router.files import RouterStateError, replace_file

logger = logging.getLogger("rookery.rebalancer")

FILE_NAME = "rebalance.json"
BUCKETS_AT_ONCE_MAX = 64
PAUSES, PAUSE_MIN_S = 4, 0.02
FREEZE_SLOW_MS = 200  # longer ones are logged
RETRY_FIRST_S, RETRY_MAX_S = 0.2, 5.0  # between attempts at a move
UNANSWERED = (OSError, LaneProtocolError, RookeryError, TimeoutError)

AskReplica = Callable[[ReplicaPlace, str, list[Any], float], Awaitable[Any]]


@dataclass(slots=True)
class Progress:
    """What a rebalance has done. grown_from, grown_epoch: shards and epoch of the map before it added any, else 0."""

    shards: int
    buckets_at_once: int
    moved_buckets: int = 0
    left_buckets: int = 0
    failed_moves: int = 0
    problem: str = ""  # why the last attempt came to nothing; "" once one has succeeded
    done: bool = False
    grown_from: int = 0
    grown_epoch: int = 0


class Rebalancer:
    """See the module header.

    install(map): put a newer map on disk and announce it; ask: a lane request to a replica; retire(replicas): end the
    actors of shards that own nothing any more, for good.
    """

    def __init__(
        self, data_dir: Path, get_map: Callable[[], ShardMap], install: Callable[[ShardMap], None], ask: AskReplica,
        retire: Callable[[list[ReplicaPlace]], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._path = data_dir / FILE_NAME
        self._get_map, self._install, self._ask_replica, self._retire = get_map, install, ask, retire
        self._lock = asyncio.Lock()  # one coordinator at a time
        self._cancelled = False
        self._welcomed = False
        self._frozen_at = 0.0
        self._phases: dict[str, float] = {}
        self.freeze_ms: list[float] = []  # how long writes have waited in each move, the newest 1,000
        self.progress: Progress | None = _load(self._path)

    @property
    def wanted(self) -> bool:
        """Whether a rebalance is to go on."""
        return self.progress is not None and not self.progress.done

    def begin(self, shard_count: int, buckets_at_once: int) -> None:
        """Want another number of shards, or an even share for each. Raises InvalidError, ConflictError."""
        if type(shard_count) is not int or not 1 <= shard_count <= SHARD_COUNT_MAX:
            raise InvalidError(f"shards is {shard_count!r}; it must be 1 to {SHARD_COUNT_MAX}", "shards")
        if type(buckets_at_once) is not int or not 1 <= buckets_at_once <= BUCKETS_AT_ONCE_MAX:
            raise InvalidError(f"at_once is {buckets_at_once!r}; it must be 1 to {BUCKETS_AT_ONCE_MAX}", "at_once")
        if self.progress is not None and self.wanted and self.progress.shards != shard_count:
            raise ConflictError(f"a rebalance to {self.progress.shards} shards goes on; wait for it, or cancel it")
        self.progress = Progress(shard_count, buckets_at_once)
        self._cancelled, self.freeze_ms = False, []
        self._save(self.progress)

    def _save(self, progress: Progress) -> None:
        kept = ("shards", "buckets_at_once", "grown_from", "grown_epoch")
        replace_file(self._path, json.dumps({name: getattr(progress, name) for name in kept}).encode())

    def cancel(self) -> None:
        """Stop after the move that is under way; what has moved stays where it is."""
        self._cancelled = True
        if self.wanted and self.progress is not None:
            self.progress.done, self.progress.problem = True, "cancelled"
        self._path.unlink(missing_ok=True)

    def status(self) -> dict[str, Any] | None:
        """Return the progress of the last rebalance, None if there was none."""
        return None if self.progress is None else {**asdict(self.progress), "freeze_ms": list(self.freeze_ms)}

    # ---- carrying out -----------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Bring every shard to the map and end every freeze, unless a coordinator is at work."""
        if not self._lock.locked():
            async with self._lock:
                await self._carry_out(rebalancing.settle())

    async def run(self) -> None:
        """Carry out what is wanted, until it is done or cancelled; first, what another router may have left."""
        await self.settle()
        self._welcomed = False
        progress, pause = self.progress, RETRY_FIRST_S
        while progress is not None and not progress.done and not self._cancelled:
            try:
                async with self._lock:
                    more = await self._next(progress)
            except MoveFailedError as error:
                progress.failed_moves += 1
                progress.problem = error.message
                logger.info("a move came to nothing: %s", error.message)
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_MAX_S)
                continue
            progress.problem, pause = "", RETRY_FIRST_S
            if not more:
                progress.done = True
                self._path.unlink(missing_ok=True)
                logger.info("rebalanced: %d shards, %d buckets moved", progress.shards, progress.moved_buckets)
            elif self.freeze_ms:
                await asyncio.sleep(max(PAUSE_MIN_S, PAUSES * self.freeze_ms[-1] / 1000))

    async def _next(self, progress: Progress) -> bool:
        """Do the next step; returns whether there may be more."""
        now, shard_map = asyncio.get_running_loop().time, self._get_map()
        if shard_map.shard_count < progress.shards:
            progress.grown_from, progress.grown_epoch = shard_map.shard_count, shard_map.epoch
            self._save(progress)
            await self._carry_out(rebalancing.grow(progress.shards))
            return True
        if progress.grown_epoch and not self._welcomed:
            new = range(progress.grown_from, progress.shards)
            stale = await self._carry_out(rebalancing.welcome(new, progress.grown_epoch))
            if stale:
                await self._put_aside(stale, progress.grown_from)
            self._welcomed = True
        moves = rebalancing.plan(shard_map.buckets, progress.shards, progress.buckets_at_once)
        progress.left_buckets = sum(len(buckets) for _, _, buckets in moves)
        if moves:
            source, target, buckets = moves[0]
            await self._carry_out(rebalancing.move(source, target, buckets, now))
            progress.moved_buckets += len(buckets)
            progress.left_buckets -= len(buckets)
            return True
        if shard_map.shard_count > progress.shards:
            gone = [replica for replica in shard_map.replicas if replica.shard >= progress.shards]
            await self._carry_out(rebalancing.shrink(progress.shards, now))
            await self._retire(gone)
        return False

    async def _put_aside(self, stale: list[int], shard_count: int) -> None:
        """Give new shards up again, because of some whose storage isn't new; that goes out of the way."""
        gone = [replica for replica in self._get_map().replicas if replica.shard >= shard_count]
        self._install(self._get_map().with_shard_count(shard_count))
        await self._carry_out(rebalancing.settle())
        await self._retire(gone)
        raise MoveFailedError(f"the storage of shards {stale} held earlier shards, and was put aside")

    async def _carry_out(self, steps: Steps) -> Any:
        answer: Any = None
        while True:
            try:
                need = steps.send(answer)
            except StopIteration as stop:
                return stop.value
            answer = None
            if isinstance(need, Install):
                begin = asyncio.get_running_loop().time()
                self._install(need.change(self._get_map()))
                self._note_phase("map", begin)
                answer = self._get_map()
            elif isinstance(need, Pause):
                await asyncio.sleep(need.seconds)
            else:
                op, begin = next(iter(need.requests.values()))[0], asyncio.get_running_loop().time()
                if op == "freeze":
                    self._frozen_at, self._phases = begin, {}
                answers = await asyncio.gather(*(self._ask(s, *what, need) for s, what in need.requests.items()))
                self._note_phase(op, begin)
                if op == "thaw":
                    self._note_thaw()
                answer = dict(zip(need.requests, answers, strict=True))

    async def _ask(self, shard: int, op: str, args: list[Any], need: AskLeaders) -> Any:
        try:
            leader = self._get_map().primary_of(shard)
            async with asyncio.timeout(need.timeout_s):
                return await self._ask_replica(leader, op, args, need.timeout_s)
        except UNANSWERED as error:
            return error

    def _note_phase(self, name: str, begin: float) -> None:
        """Add to what a freeze has spent its time on."""
        self._phases[name] = self._phases.get(name, 0.0) + asyncio.get_running_loop().time() - begin

    def _note_thaw(self) -> None:
        """Note how long writes have waited: from the first `freeze` sent to the last `thaw` answered."""
        if self._frozen_at:
            spent_ms = round((asyncio.get_running_loop().time() - self._frozen_at) * 1000, 1)
            self._frozen_at = 0.0
            self.freeze_ms = [*self.freeze_ms[-999:], spent_ms]
            phases = {name: round(seconds * 1000) for name, seconds in self._phases.items()}
            level = logging.WARNING if spent_ms > FREEZE_SLOW_MS else logging.DEBUG
            logger.log(level, "writes waited %s ms: %s", spent_ms, phases)


def _load(path: Path) -> Progress | None:
    """Return what an earlier router wanted. Raises RouterStateError if the file is none of ours."""
    if not path.exists():
        return None
    try:
        wanted = json.loads(path.read_bytes())
        progress = Progress(int(wanted["shards"]), int(wanted["buckets_at_once"]))
        progress.grown_from, progress.grown_epoch = int(wanted["grown_from"]), int(wanted["grown_epoch"])
        return progress
    except (ValueError, KeyError, TypeError) as error:
        raise RouterStateError(f"{path} can't be used: {error}; move it away, and rebalance again") from error
