"""Reads that memory alone doesn't answer: home timelines of dormant readers, or below a ring's floor, and pages in a
shape that shows accounts of which nothing is known here.

Rules of this file
- The hot path is `Replica.try_home`; only what that leaves comes here. `Replica.home_steps`, or the steps of a shape
  (`shaped_reads.py`), decide, this class fetches.
- Only a leader wakes readers and pulls; accounts any replica asks for.
- Bounded: SLOW_HOMES_MAX at once, each with a deadline; beyond that the reader is told to come again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

import structlog
from ray.exceptions import RayError

from actors.core.errors import InvalidError, MovedError, OverloadedError, RookeryError
from actors.core.replica import home_reply
from actors.core.shaped_reads import AskAccounts, ShapedReads
from actors.core.timelines.explaining import Explanation
from actors.core.timelines.home import Ask, HomeQuery, Wake
from actors.metrics import ShardMetrics
from actors.shard.account_questions import AccountQuestions
from actors.shard.commits import Commits
from actors.shard.exchange import Exchange

SLOW_HOMES_MAX = 1_000  # home reads that wait for other shards at once: 1,000 of them hold about 100 MB at worst
ANSWER_TIMEOUT_S = (
    8.0  # a reader waits this long for other shards: longer than a restart, shorter than a client's patience
)
Steps = Generator[Any, Any, Any]
REWAKE_AFTER_S = 60.0  # a ring that the arrivals window has overtaken is rebuilt at most this often


class HomeRequests:
    """The slow home reads of one shard actor."""

    def __init__(self, commits: Commits, exchange: Exchange, metrics: ShardMetrics) -> None:
        self.commits, self.exchange, self.metrics = commits, exchange, metrics
        self.replica, self.state = commits.replica, commits.state
        self.accounts = AccountQuestions(self.state, exchange.ask)
        self.log = structlog.get_logger()
        self._wakers: dict[int, list[asyncio.Future[None]]] = {}
        self._rewoken: dict[int, float] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        commits.on_refused.append(self._refuse_wakers)

    def start(self, request: Any, query: HomeQuery) -> None:
        """Set out to answer a request. Raises OverloadedError when too many are under way."""
        self._start(request, self._driven(self.replica.home_steps(query), None, query), home_reply)

    def start_asked(self, request: Any, op: str, args: list[Any]) -> None:
        """As `start`, for what operators ask: `home_ids`, a timeline as ids; `explain`. Raises RookeryError."""
        if op == "explain":
            self._start(request, self._driven(self.replica.explain_steps(args), None, None), Explanation.packed)
            return
        if len(args) != 3:
            raise InvalidError("home_ids takes [account_id, max_id, count]")
        query = self.replica.query([*args[:2], 0, 0, args[2]])
        self._start(request, self._driven(self.replica.home_steps(query), None, query), _ids)

    def start_shaped(
        self, request: Any, shaped: ShapedReads, op: str, args: list[Any], require_lead: Callable[[], None]
    ) -> None:
        """Answer a read in a shape, at once or later. require_lead(): raises where only a leader can go on.

        Raises RookeryError; OverloadedError when too many are under way.
        """
        query = self.replica.timeline_query(op, args)
        steps: Steps = shaped.steps(partial(self.replica.read, op, args)) if query is None else shaped.home_steps(query)
        try:
            need = next(steps)
        except StopIteration as stop:
            request.reply(stop.value)
            return
        if not isinstance(need, AskAccounts):
            require_lead()
        self._start(request, self._driven(steps, need, query), _as_it_is)

    def _start(self, request: Any, driven: Coroutine[Any, Any, Any], finish: Callable[[Any], Any]) -> None:
        if len(self._under_way) >= SLOW_HOMES_MAX:
            driven.close()
            raise OverloadedError(f"{SLOW_HOMES_MAX} timelines are being rebuilt on this shard", retry_after_s=1.0)
        task = asyncio.create_task(self._answer(request, driven, finish))
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.log.error("a home timeline failed", reason=repr(task.exception()))

    @property
    def under_way_count(self) -> int:
        """Reads that wait for other shards."""
        return len(self._under_way)

    def announce_woken(self) -> None:
        """Let readers of accounts that have just woken go on."""
        for account_id in self.state.woken:
            for waker in self._wakers.pop(account_id, ()):
                if not waker.done():
                    waker.set_result(None)
        self.state.woken.clear()

    def _refuse_wakers(self, error: RookeryError) -> None:
        """Send readers who wait for their ring to the new leader: a follower isn't told when it is there."""
        wakers, self._wakers = self._wakers, {}
        for waker in (waker for each in wakers.values() for waker in each):
            if not waker.done():
                waker.set_exception(error)

    async def _answer(self, request: Any, driven: Coroutine[Any, Any, Any], finish: Callable[[Any], Any]) -> None:
        try:
            request.reply(finish(await driven))
        except RookeryError as error:
            request.fail(error)
        except (RayError, TimeoutError, ValueError) as error:
            reason = f"another shard did not answer ({type(error).__name__}); try again"
            request.fail(OverloadedError(reason, retry_after_s=1.0))

    async def _driven(self, steps: Steps, need: Any, query: HomeQuery | None) -> Any:
        """Drive the steps of a read to their end. need: what they have yielded, None to begin with."""
        answer: Any = None
        while True:
            if isinstance(need, Wake):
                await self._wake(need)
            elif isinstance(need, AskAccounts):
                await self.accounts.ask(need.questions)
            elif need is not None:
                if query is not None:
                    self._rewake(query)
                answer = await self._ask(need)
            try:
                need = steps.send(answer)
            except StopIteration as stop:
                return stop.value
            answer = None

    async def _wake(self, need: Wake) -> None:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await self.commits.thawed()
        if need.account_id not in self.state.people.row_of:
            raise MovedError(f"account {need.account_id} has moved to another shard")
        waker = asyncio.get_running_loop().create_future()
        self._wakers.setdefault(need.account_id, []).append(waker)
        if need.start and need.account_id not in self.state.waking:
            self.metrics.ring_rebuilds += 1
            self.commits.run(["wake", need.account_id])
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await waker

    async def _ask(self, need: Ask) -> dict[int, Any]:
        """Put a question to each shard; this one answers at once."""
        self.metrics.pulls += 1

        async def one(shard: int, op: str, args: list[Any]) -> tuple[int, Any]:
            if shard == self.state.shard:
                return shard, self.replica.read(op, args)
            return shard, await self.exchange.ask(shard, op, args, ANSWER_TIMEOUT_S)

        return dict(await asyncio.gather(*(one(s, op, args) for s, (op, args) in need.questions.items())))

    def _rewake(self, query: HomeQuery) -> None:
        """Rebuild the ring of a reader whose first page the arrivals window no longer holds."""
        if query.max_id or query.since_id or query.min_id or query.account_id in self.state.waking:
            return
        row = self.state.people.row_of.get(query.account_id)
        if row is None or self.state.frozen:
            return
        held, _ = self.state.arrivals.above_lost(self.state.rings.view(row), 0)
        now = time.monotonic()
        if len(held) >= query.count or now - self._rewoken.get(query.account_id, -REWAKE_AFTER_S) < REWAKE_AFTER_S:
            return
        if len(self._rewoken) >= SLOW_HOMES_MAX:
            self._rewoken.clear()
        self._rewoken[query.account_id] = now
        self.metrics.ring_rebuilds += 1
        self.commits.run(["wake", query.account_id])


def _ids(items: list[tuple[int, Any]]) -> list[int]:
    return [tweet_id for tweet_id, _ in items]


def _as_it_is(body: Any) -> Any:
    return body
