"""What leaves the cluster, from the shard's side: what is due is taken to a dispatcher, and what came of it journaled.

    papers.outbound (a heap) --due--> facts, once committed --[ITEMS_MAX at most]--> dispatcher --outcomes--> `outcome`

Rules of this file
- Only the leader, and nothing before it is committed: what is told outside can't be taken back.
- CALLS_MAX calls are under way at most, and no item in two of them: a receiver that hangs holds one back. What a call
  didn't bring an outcome for, because the dispatcher or this process died, is still due, and goes again with its id.
- What is too old, or has nothing to tell any more, is dropped without a call. A channel that isn't configured is as one
  that nobody reaches.
- What happens while the shard is frozen waits for the thaw. What has moved by then is another shard's to send.

Costs: nothing while nothing is due, but 0.3 us a commit; 30 us an item with its facts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import structlog

from actors.core.errors import DeposedError, FrozenError, MovedError, RookeryError
from actors.core.features.outbound import CHANNEL_OF
from actors.core.outbound import Outbound, OutboundChannel, SendVerdict, read_outbound
from actors.core.stores.due import DueItem
from actors.shard.commits import Commits

ITEMS_MAX: Final = 256  # in one call: 10 ms to look together, a second of a dispatcher
CALLS_MAX: Final = 4  # under way
GAP_S: Final = 0.02  # between two looks, however much is put meanwhile
LOOK_S: Final = 0.2  # between two looks while anything waits: so late is what falls due again
RETRY_FIRST_S, RETRY_MAX_S = 0.2, 5.0  # after a call that failed: Ray restarts a dispatcher in about 1 s

Rows = list[list[Any]]
Dispatch = Callable[[Rows], Awaitable[list[list[int]]]]
"""Brings rows `[channel, account, item, attempts, facts]` out, returns `[verdict, least pause in ms]` for each."""


class _Sent(NamedTuple):
    """An item of a call. place: (account, kind, item)."""

    place: tuple[int, int, int]
    attempts: int


class OutgoingQueue:
    """What leaves one shard."""

    def __init__(
        self, commits: Commits, leads: Callable[[], bool], channels: frozenset[str],
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """leads: whether this replica is its shard's primary now; channels: those that are configured."""
        self._commits, self._leads, self._channels, self._clock = commits, leads, channels, clock
        self._lookups, self._papers = commits.replica.lookups, commits.state.papers
        self.log = structlog.get_logger()
        self._under_way: set[tuple[int, int, int]] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._dispatch: Dispatch | None = None
        self._soon, self._sleeps = asyncio.Event(), True
        self._pause_s, self._not_before_s = RETRY_FIRST_S, 0.0
        self._metrics = commits.metrics
        commits.on_committed.append(self.wake)

    def connect(self, dispatch: Dispatch) -> None:
        """Take what is due to this dispatcher. It raises Exceptions while it can't be reached."""
        self._dispatch = dispatch

    def wake(self) -> None:
        """Something may be due. 0.3 us."""
        next_ms = self._papers.outbound.next_ms
        if next_ms is not None and (self._sleeps or next_ms <= self._clock() * 1000):
            self._soon.set()

    async def run(self) -> None:
        """Bring out what is due, for ever."""
        while True:
            self._sleeps = not len(self._papers.outbound)
            try:
                async with asyncio.timeout(None if self._sleeps else LOOK_S):
                    await self._soon.wait()
            except TimeoutError:
                pass
            self._soon.clear()
            self.look()
            await asyncio.sleep(GAP_S if len(self._under_way) <= ITEMS_MAX else LOOK_S)

    def look(self) -> None:
        """Begin a call for what is due, if there is anything, and it can be made now."""
        commits = self._commits
        if not self._leads() or commits.state.frozen or commits.unavailable or len(self._calls) >= CALLS_MAX:
            return
        if time.monotonic() < self._not_before_s:
            return
        due = self._due()
        if due:
            self._under_way.update(due)
            call = asyncio.get_running_loop().create_task(self._carry(due))
            self._calls.add(call)
            call.add_done_callback(lambda _: self._end(call, due))

    def _end(self, call: asyncio.Task[None], due: list[tuple[int, int, int]]) -> None:
        self._calls.discard(call)
        self._under_way.difference_update(due)
        if not call.cancelled() and call.exception() is not None:
            self.log.error("what leaves has failed", reason=repr(call.exception()))
            self._put_off()
        self.wake()

    def _due(self) -> list[tuple[int, int, int]]:
        """Return what is due and in no call, ITEMS_MAX at most."""
        now_ms, heap = int(self._clock() * 1000), self._papers.outbound
        next_ms = heap.next_ms
        if next_ms is None or next_ms > now_ms:
            return []
        first: list[DueItem] = heap.first(now_ms, ITEMS_MAX + len(self._under_way))
        return [item[1:] for item in first if item[1:] not in self._under_way][:ITEMS_MAX]

    async def _carry(self, due: list[tuple[int, int, int]]) -> None:
        """Bring some items out, and journal what came of them."""
        committed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._commits.when_committed(committed, None)
        try:
            await committed
        except RookeryError:  # nobody here leads any more
            return
        outcomes: Rows = []
        rows: Rows = []
        sent: list[_Sent] = []
        for place in due:
            self._sort(place, rows, sent, outcomes)
        if rows and self._dispatch is not None:
            outcomes += await self._call(self._dispatch, rows, sent)
        await self._journal(outcomes)

    def _sort(self, place: tuple[int, int, int], rows: Rows, sent: list[_Sent], outcomes: Rows) -> None:
        """Put an item among the rows of a call, or what is to become of it without one among the outcomes."""
        account_id, number, item_id = place
        channel = CHANNEL_OF[number]
        document = self._papers.get(channel.kind, account_id, item_id)
        if document is None:
            return
        item, now_ms = read_outbound(document), int(self._clock() * 1000)
        verdict, facts = self._facts(channel, account_id, item_id, item, now_ms)
        if verdict is not None:
            outcomes.append([number, account_id, item_id, item.attempts, int(verdict), 0])
        elif facts is not None:
            rows.append([channel.name, account_id, item_id, item.attempts, facts])
            sent.append(_Sent(place, item.attempts))

    def _facts(
        self, channel: OutboundChannel, account_id: int, item_id: int, item: Outbound, now_ms: int
    ) -> tuple[SendVerdict | None, Any]:
        """Return (what becomes of an item without a call, None), or (None, its facts); (None, None): it waits."""
        if now_ms >= item.made_ms + channel.lives_ms:
            return SendVerdict.DROPPED, None
        if channel.name not in self._channels:
            return SendVerdict.LATER, None
        try:
            facts = channel.facts(self._lookups, now_ms, account_id, item_id, item)
        except MovedError:
            return None, None
        except RookeryError as error:
            self.log.info("an item has nobody to be sent for", channel=channel.name, reason=error.message)
            facts = None
        return (SendVerdict.DROPPED, None) if facts is None else (None, facts)

    async def _call(self, dispatch: Dispatch, rows: Rows, sent: list[_Sent]) -> Rows:
        """Have a dispatcher bring rows out; returns rows of `outcome`, none if it can't be reached."""
        try:
            told = await dispatch(rows)
        except Exception as error:  # noqa: BLE001  whatever kept them from leaving, they are still due
            self._metrics.outgoing_calls_failed += 1
            self.log.warning("what leaves waits", count=len(rows), reason=f"{type(error).__name__}: {error}"[:200])
            self._put_off()
            return []
        self._pause_s = RETRY_FIRST_S
        return [
            [number, account_id, item_id, attempts, verdict, after_ms]
            for ((account_id, number, item_id), attempts), (verdict, after_ms) in zip(sent, told, strict=True)
        ]

    def _put_off(self) -> None:
        self._not_before_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, RETRY_MAX_S)

    async def _journal(self, outcomes: Rows) -> None:
        """Note what came of items, as soon as the shard takes commands; not if another one leads by then."""
        while outcomes and self._leads():
            await self._commits.thawed()
            try:
                self._commits.run(["outcome", int(self._clock() * 1000), outcomes])
            except FrozenError:
                continue
            except (MovedError, DeposedError):
                return
            for number, _, _, _, verdict, _ in outcomes:
                self._metrics.outgoing_results[CHANNEL_OF[number].name, SendVerdict(verdict).name.lower()] += 1
            return

    def waiting(self) -> tuple[int, float]:
        """Return how many items wait, and how long the first of them has been due, in seconds."""
        next_ms = self._papers.outbound.next_ms
        late_s = 0.0 if next_ms is None else max(self._clock() - next_ms / 1000, 0.0)
        return len(self._papers.outbound), late_s

    def figures(self) -> dict[str, Any]:
        """Return what waits, how late the first of it is, what is under way, and what came of what was."""
        count, late_s = self.waiting()
        results = sorted(self._metrics.outgoing_results.items())
        return {
            "waiting": count, "late_s": round(late_s, 3), "under_way": len(self._under_way),
            "calls_failed": self._metrics.outgoing_calls_failed,
            "results": {f"{name} {verdict}": number for (name, verdict), number in results},
        }  # fmt: skip

    def stop(self) -> None:
        """Bring nothing out any more."""
        for call in list(self._calls):
            call.cancel()
