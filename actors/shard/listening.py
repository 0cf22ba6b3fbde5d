"""Workers that listen to a shard: who they are, what they are pushed, and how they go on after a gap.

    lane: listen, unlisten --> Ears, one a worker's connection          missed --> what came since a number
    commands --> HeardLog (pending) --committed--> numbered --> addresses by ears --> one push a worker: `heard`

Rules of this file
- Only a primary pushes, and only what is committed. Who leads no more pushes `unheard` once, and nothing after it.
- Everything of one shard leaves in the order of its numbers, before any later reply on that connection: so a reply of
  `missed` stands for all up to the number that it names.
- An author of whom nothing is known here is asked for before his tweet is shown, as home reads do, for ANSWER_S at
  most; what comes behind waits meanwhile.
- While nobody listens, and for IDLE_S after, nothing is noted, and nothing costs anything.

Costs: 30 us a tweet that somebody hears, and 8 us for each more worker (`actors/core/hearing.py` for who hears).
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import structlog

from actors.core import arguments, ids
from actors.core.errors import InvalidError, MovedError, NotFoundError, OverloadedError, RookeryError
from actors.core.heard import ACCOUNTS_PER_REQUEST, EDIT, RELATED, RELATIONS, TWEET, USER, Happening, HeardLog
from actors.core.hearing import (
    ACCOUNTS_MAX,
    TOPICS_MAX,
    Ears,
    Hearing,
    Wants,
    check_topics,
)
from actors.core.ids import bucket_of_account
from actors.core.joining import TweetPieces
from actors.metrics import ShardMetrics
from actors.shard.account_questions import AccountQuestions
from actors.shard.commits import Commits

if TYPE_CHECKING:
    from cluster.lane.connection import LaneConnection
    from cluster.lane.server import LaneRequest

OPERATIONS: Final = frozenset(("listen", "unlisten", "missed"))
IDLE_S: Final = 600.0  # after the last listener has gone that what happens is still noted: workers come back by then
ITEMS_MAX: Final = 2_000  # of one push's arrays
WOKEN_AT_ONCE, WAKE_PAUSE_S = 16, 0.02  # dormant listeners whose rings are built: 800 a second
WAITING_MAX: Final = 100_000  # events that wait for an author's card; more, and all listen anew


class Listening:
    """The listeners of one replica. leads(): whether it is its shard's primary."""

    def __init__(
        self, commits: Commits, accounts: AccountQuestions, metrics: ShardMetrics, leads: Callable[[], bool]
    ) -> None:
        self._commits, self._state, self._accounts = commits, commits.state, accounts
        self._metrics, self._leads = metrics, leads
        self._shard = commits.state.shard
        self._hearing: Hearing | None = None
        self._ears: dict[LaneConnection, Ears] = {}
        self._queue: deque[Happening] = deque()
        self._told = 0  # number of the newest event that was pushed, or concerned nobody
        self._asking: asyncio.Task[None] | None = None
        self._asked_for = 0  # number of the event whose author was asked for
        self._answering: set[asyncio.Task[None]] = set()
        self._epoch = self._state.map_epoch
        self._idle: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._log = structlog.get_logger()
        self._asleep: deque[int] = deque()  # accounts that listen and have no ring yet
        commits.on_committed.append(self.look)
        commits.on_refused.append(lambda error: self.stop())

    # ---- requests -----------------------------------------------------------------------------------------------

    def handle(self, request: LaneRequest) -> None:
        """Carry out one of OPERATIONS. Raises RookeryError."""
        if not self._leads():
            raise MovedError(f"this replica doesn't lead shard {self._shard}")
        connection = getattr(request, "connection", None)
        if connection is None:
            raise OverloadedError(f"{request.op} goes over a lane, which pushes come back on", retry_after_s=0.5)
        if type(request.args) is not list:
            raise InvalidError(f"{request.op} takes a list of arguments")
        if request.op == "listen":
            request.reply(self._listen(connection, request.args))
        elif request.op == "unlisten":
            request.reply(self._unlisten(connection, request.args))
        else:
            self._begin_missed(request)

    def _listen(self, connection: LaneConnection, args: list[Any]) -> list[Any]:
        """args: [[[account, mask, list ids], ...], [topic, ...]]. See docs/lane.md."""
        rows, topics = arguments.pair(args, "listen")
        topics = check_topics(topics)
        rows = arguments.listed(rows, ACCOUNTS_PER_REQUEST, "accounts")
        hearing = self._begin()
        wanted, elsewhere, gone = self._checked(hearing, rows)
        ears = self._ears.get(connection) or Ears()
        known = [len(ears.by_account), len(ears.topics)]
        if len(ears.by_account) + len(wanted) > ACCOUNTS_MAX or len(ears.topics) + len(topics) > TOPICS_MAX:
            raise OverloadedError(
                f"a worker listens to at most {ACCOUNTS_MAX} accounts and {TOPICS_MAX} topics of a shard"
            )
        if connection not in self._ears:
            self._ears[connection] = ears
            connection.when_gone(self._forget)
        for wants in wanted:
            ears.hear(wants)
            self._commits.replica.touched.add(wants.account_id)
            if wants.mask & USER and not self._state.rings.awake[wants.row]:
                self._wake_soon(wants.account_id)
        ears.hear_topics(topics)
        heard, notices = self._heard, self._state.notices
        found = []
        for wants in wanted:
            newest = notices.view(wants.account_id)
            newest_id = int(newest[-1, 0]) & ~31 if len(newest) else 0
            hidden = hearing.hidden(wants.account_id) if wants.mask & RELATED else b""
            found.append([wants.account_id, newest_id, hidden])
        return [heard.incarnation, self._told, self._state.arrivals.newest_id, known, found, elsewhere, gone]

    def _checked(self, hearing: Hearing, rows: list[Any]) -> tuple[list[Wants], list[int], list[int]]:
        """Return (what is listened to, accounts of other shards, accounts that there aren't). Raises InvalidError."""
        wanted, elsewhere, gone = [], [], []
        for row in rows:
            try:
                wants = hearing.wants(row)
            except NotFoundError:
                gone.append(row[0])
                continue
            if wants is None:
                elsewhere.append(row[0])
            else:
                wanted.append(wants)
        return wanted, elsewhere, gone

    def _unlisten(self, connection: LaneConnection, args: list[Any]) -> bool:
        accounts, topics = arguments.pair(args, "unlisten")
        account_ids = arguments.id_list(accounts, ACCOUNTS_PER_REQUEST, "accounts")
        ears = self._ears.get(connection)
        if ears is not None:
            for account_id in account_ids:
                ears.forget(account_id)
            ears.forget_topics(check_topics(topics))
        return ears is not None

    def _begin_missed(self, request: LaneRequest) -> None:
        """args: [[account, mask, list ids] or nil, [topic, ...], incarnation, number]."""
        if len(request.args) != 4:
            raise InvalidError(f"missed takes 4 arguments, not {len(request.args)}")
        row, topics, incarnation, number = request.args
        topics = check_topics(topics)
        hearing = self._begin()
        wants = None if row is None else hearing.wants(row)
        if row is not None and wants is None:
            raise MovedError(f"account {arguments.shown(row[0])} is not on shard {self._shard}")
        since = arguments.whole(number, 0, ids.ID_MAX, "number")
        arguments.whole(incarnation, 0, ids.ID_MAX, "incarnation")
        is_here = wants is None or self._heard.holds_bucket(bucket_of_account(wants.account_id), since)
        if not self._heard.holds(incarnation, since) or since > self._told or not is_here:
            self._metrics.streams_lost += 1
            request.reply([self._heard.incarnation, self._told, None])
            return
        task = self._loop.create_task(self._answer_missed(request, hearing, wants, topics, since))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer_missed(
        self, request: LaneRequest, hearing: Hearing, wants: Wants | None, topics: list[str], since: int
    ) -> None:
        try:
            incarnation = self._heard.incarnation
            pushes = hearing.missed(self._heard, wants, topics, since, self._told)
            unknown = hearing.unknown_among([push[5] for push in pushes or () if push[5] is not None])
            if unknown:
                await self._accounts.ask(unknown)
                if self._state.heard is None or not self._heard.holds(incarnation, since):
                    raise OverloadedError(f"shard {self._shard} has begun to be listened to anew", retry_after_s=0.1)
                pushes = hearing.missed(self._heard, wants, topics, since, self._told)
            self._metrics.streams_resumed += pushes is not None
            self._metrics.streams_lost += pushes is None
            request.reply([self._heard.incarnation, self._told, pushes])
        except RookeryError as error:
            request.fail(error)
        except Exception as error:  # noqa: BLE001  a defect: whoever waits is told, and the log has it
            self._log.exception("what a listener has missed can't be told")
            request.fail(RookeryError(f"internal error: {type(error).__name__}"))

    # ---- beginning and ending -----------------------------------------------------------------------------------

    @property
    def _heard(self) -> HeardLog:
        heard = self._state.heard
        assert heard is not None, "whoever is here has begun to listen"
        return heard

    def _begin(self) -> Hearing:
        """Note what happens from now on. Raises OverloadedError below the level of Mastodon's shape."""
        if self._hearing is None:
            self._hearing = Hearing(self._commits.replica)
        if self._state.heard is None:
            state, heard = self._state, HeardLog(self._state.arrivals, 1 + secrets.randbelow(1 << 32))
            state.heard, self._told, self._epoch = heard, 0, state.map_epoch
            state.graph.on_related = self._note_relation
        if self._idle is not None:
            self._idle.cancel()
        self._idle = None if self._ears else self._loop.call_later(IDLE_S, self._end)
        return self._hearing

    def _note_relation(self, row: int) -> None:
        if self._state.heard is not None:
            self._heard.note(self._state.position, RELATIONS, 0, self._state.people.accounts[row].account_id)

    def _end(self) -> None:
        """Note nothing any more."""
        self._state.heard, self._state.graph.on_related = None, None
        self._queue.clear()
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def stop(self) -> None:
        """Have all workers listen anew, wherever the shard is now."""
        ears, self._ears = self._ears, {}
        self._end()
        for connection in ears:
            connection.push("unheard", [self._shard, None])

    def _wake_soon(self, account_id: int) -> None:
        """Have a dormant account's ring built, which the rule of reposts looks at; some at a time."""
        if len(self._asleep) < ACCOUNTS_MAX:
            self._asleep.append(account_id)
            if len(self._asleep) == 1:
                self._loop.call_later(WAKE_PAUSE_S, self._wake_some)

    def _wake_some(self) -> None:
        state = self._state
        for _ in range(min(WOKEN_AT_ONCE, len(self._asleep))):
            account_id = self._asleep.popleft()
            row = state.people.row_of.get(account_id)
            if row is None or state.rings.awake[row] or account_id in state.waking or not self._leads():
                continue
            try:
                self._commits.run(["wake", account_id])
                self._metrics.ring_rebuilds += 1
            except (MovedError, OverloadedError) as error:  # frozen, or about to lead: the next read wakes it
                self._log.info("a dormant listener isn't woken", account=account_id, reason=str(error))
        if self._asleep:
            self._loop.call_later(WAKE_PAUSE_S, self._wake_some)

    def _forget(self, connection: LaneConnection) -> None:
        self._ears.pop(connection, None)
        if not self._ears and self._idle is None:
            self._idle = self._loop.call_later(IDLE_S, self._end)

    # ---- pushing ------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Push what is committed now. 0.1 us while nobody listens."""
        heard = self._state.heard
        if heard is None:
            return
        if not self._leads() or heard.is_over or len(self._queue) > WAITING_MAX:
            self.stop()
            return
        if self._epoch != self._state.map_epoch:
            self._leave_moved()
        happened = heard.take(self._commits.committed_position)
        if happened:
            self._metrics.streams_events += len(happened)
            self._queue.extend(happened)
            self._go_on()

    def _leave_moved(self) -> None:
        """Tell workers of accounts that are another shard's now."""
        self._epoch = self._state.map_epoch
        row_of = self._state.people.row_of
        for connection, ears in self._ears.items():
            moved = [
                wants.account_id for wants in ears.by_account.values() if row_of.get(wants.account_id) != wants.row
            ]
            for account_id in moved:
                ears.forget(account_id)
            for first in range(0, len(moved), ITEMS_MAX):
                connection.push("unheard", [self._shard, moved[first : first + ITEMS_MAX]])

    def _go_on(self) -> None:
        """Push what waits, until an author has to be asked for."""
        while self._queue and self._asking is None:
            what = self._queue[0]
            if not self._push(what):
                return
            self._told = what.number
            self._queue.popleft()

    def _push(self, what: Happening) -> bool:
        """Push one event to the workers that hear it; False: its author is asked for first."""
        hearing = self._hearing
        assert hearing is not None, "whoever is here has begun to listen"
        hear = [(each, found) for each, ears in self._ears.items() if (found := hearing.addresses(ears, what))]
        payload = hearing.payload(what) if hear else None
        if payload is None:
            return True
        if what.kind in (TWEET, EDIT) and self._asked_for != what.number:
            tweet: TweetPieces = payload[0]
            if unknown := hearing.unknown_among([tweet]):
                self._asked_for = what.number
                self._asking = self._loop.create_task(self._ask(unknown))
                return False
        for connection, addresses in hear:
            self._metrics.streams_pushes += 1
            for first in range(0, len(addresses), ITEMS_MAX):  # of many lists: the lane takes no longer arrays
                some = addresses[first : first + ITEMS_MAX]
                said = [self._shard, what.number, what.kind, what.item, what.who, some, *payload]
                connection.push("heard", said)
        return True

    async def _ask(self, unknown: dict[int, list[int]]) -> None:
        await self._accounts.ask(unknown)
        self._asking = None
        self._go_on()

    def figures(self) -> dict[str, int]:
        """Return what is listened to, for `status`."""
        return {
            "listening_workers": len(self._ears),
            "listening_accounts": sum(len(ears.by_account) for ears in self._ears.values()),
            "listening_topics": sum(len(ears.topics) for ears in self._ears.values()),
            "event_number": 0 if self._state.heard is None else self._heard.number,
        }
