"""The line of this worker to one shard: what is to be listened to there, and what of it the shard knows.

    want, want_topics --> dirty --listen, up to 2,000 accounts each--> shard --> Hub.listened
    resume            --> queue --missed, one listener each---------> shard --> Hub.resumed
    lost              --> all of it is dirty again

Rules of this file
- One `listen` or `unlisten` under way at a time, and ACCOUNTS_PER_S; resumes RESUMES_MAX under way, at the same pace.
- A request that fails is sent again after RETRY_S, for ever: whoever is wanted no more is left out by then.
- The shard says in every answer how much this connection listened to before: less than what is known here means that
  the connection is another one, and all that was listened to on the old one is lost.
- Only a connection of which that is known moves `position`: what was missed is asked for again if the lane was another
  one meanwhile, or the shard another process; else others would go on from where they haven't been.

Costs: 0.2 KB an account that is listened to.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core.errors import RookeryError, TooLargeError
from actors.core.heard import ACCOUNTS_PER_REQUEST
from actors.core.ids import bucket_of_account
from api.ports import Cluster
from api.streaming.cursors import NOWHERE, Position

if TYPE_CHECKING:
    from api.streaming.hearers import Hearer
    from api.streaming.hub import StreamHub

logger = logging.getLogger("rookery.streams")

ACCOUNTS_PER_S: Final = 2_000
RESUMES_MAX: Final = 32
RETRY_S: Final = 0.25
LISTEN_TIMEOUT_S: Final = 5.0
TOPICS_PER_REQUEST: Final = 2_000


class AskedOf(NamedTuple):
    """What is listened to of an account: a mask and lists, as on the lane."""

    mask: int
    lists: tuple[int, ...]


class Line:
    """See the module header. position: how far this worker has heard the shard; newest_id: of the tweets heard of."""

    def __init__(self, hub: StreamHub, cluster: Cluster, shard: int) -> None:
        self._hub, self._cluster, self.shard = hub, cluster, shard
        self.position, self.newest_id = NOWHERE, 0
        self.accounts: dict[int, AskedOf] = {}  # wanted
        self.topics: dict[str, None] = {}
        self.heard: set[int] = set()  # accounts that the shard has said it tells of, all that is wanted of them
        self._heard_less: set[int] = set()  # and those of which it tells something else
        self.heard_topics: set[str] = set()
        self._dirty: dict[int, None] = {}
        self._dirty_topics: dict[str, None] = {}
        self._unwanted: dict[int, None] = {}
        self._unwanted_topics: dict[str, None] = {}
        self._resumes: deque[Hearer] = deque()
        self._resuming, self._batch = 0, ACCOUNTS_PER_REQUEST
        self._is_asking = self._must_look = False
        self._lane_number = 0  # grows when a lane to the shard comes or goes
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def close(self) -> None:
        """Ask nothing more."""
        self._closed = True

    # ---- what is wanted --------------------------------------------------------------------------------------------

    def want(self, account_id: int, what: AskedOf) -> None:
        """Listen to an account, or to something else of it."""
        if self.accounts.get(account_id) != what:
            self.accounts[account_id] = what
            if account_id in self.heard:  # until the shard says that it tells of that, too
                self.heard.discard(account_id)
                self._heard_less.add(account_id)
            self._dirty[account_id] = None
            self._unwanted.pop(account_id, None)
            self._poke()

    def unwant(self, account_id: int) -> None:
        """Listen to an account no more."""
        if self.accounts.pop(account_id, None) is not None:
            self._dirty.pop(account_id, None)
            self._unwanted[account_id] = None
            self._poke()

    def want_topic(self, topic: str) -> None:
        """Listen to a public topic."""
        if topic not in self.topics:
            self.topics[topic] = None
            self._unwanted_topics.pop(topic, None)
            if topic not in self.heard_topics:
                self._dirty_topics[topic] = None
            self._poke()

    def unwant_topic(self, topic: str) -> None:
        """Listen to a public topic no more."""
        if topic in self.topics:
            del self.topics[topic]
            self._dirty_topics.pop(topic, None)
            if topic in self.heard_topics:
                self._unwanted_topics[topic] = None
                self._poke()

    def resume(self, hearer: Hearer) -> None:
        """Ask what a listener has missed, once what it listens to is listened to."""
        self._resumes.append(hearer)
        self._poke()

    def forget(self, account_ids: Iterable[int]) -> None:
        """Know that the shard tells no more of some accounts."""
        for account_id in account_ids:
            self.heard.discard(account_id)
            self._heard_less.discard(account_id)
            self._dirty.pop(account_id, None)
            self._unwanted.pop(account_id, None)
            self.accounts.pop(account_id, None)

    def tells(self, account_id: int, topics: Iterable[str]) -> bool:
        """Whether the shard has said that it tells of an account (0: none; or one that isn't its) and of topics."""
        if account_id and account_id in self.accounts and account_id not in self.heard:
            return False
        return self.heard_topics.issuperset(topics)

    def look(self) -> None:
        """See whether the shard still listens on the same connection: a lane has come, or gone."""
        self._lane_number += 1
        if self.accounts or self.topics:
            self._must_look = True
            self._poke()

    def lost(self) -> None:
        """Listen to everything anew: whoever told of it is gone."""
        self.heard.clear()
        self._heard_less.clear()
        self.heard_topics.clear()
        self._unwanted.clear()
        self._unwanted_topics.clear()
        self._dirty = dict.fromkeys(self.accounts)
        self._dirty_topics = dict.fromkeys(self.topics)
        self._poke()

    # ---- asking ----------------------------------------------------------------------------------------------------

    def _poke(self, delay_s: float = 0.0) -> None:
        if not self._is_asking and not self._closed:
            self._is_asking = True
            if delay_s:
                self._loop.call_later(delay_s, self._ask)
            else:
                self._loop.call_soon(self._ask)

    def _ask(self) -> None:
        """Send what is next; `_is_asking` stands for it until the answer."""
        if self._closed:
            return
        if self._dirty or self._dirty_topics or self._must_look:
            accounts = list(islice(self._dirty, self._batch))
            topics = list(islice(self._dirty_topics, TOPICS_PER_REQUEST))
            rows = [[each, self.accounts[each].mask, list(self.accounts[each].lists)] for each in accounts]
            sent = {each: self.accounts[each] for each in accounts}
            self._must_look = False
            self._send("listen", [rows, topics], lambda reply: self._take_listened(sent, topics, reply))
        elif self._unwanted or self._unwanted_topics:
            accounts = list(islice(self._unwanted, ACCOUNTS_PER_REQUEST))
            topics = list(islice(self._unwanted_topics, TOPICS_PER_REQUEST))
            self.heard.difference_update(accounts)
            self._heard_less.difference_update(accounts)
            self.heard_topics.difference_update(topics)
            self._send("unlisten", [accounts, topics], lambda reply: self._take_unlistened(accounts, topics))
        else:
            self._is_asking = False
            self._resume_some()

    def _send(self, op: str, args: list[Any], then: Any) -> None:
        pause_s = max(len(args[0]) / ACCOUNTS_PER_S, 0.0)

        def done(reply: Any, error: Exception | None) -> None:
            self._is_asking = False
            if self._closed:
                return
            if error is not None:
                if isinstance(error, TooLargeError):  # of accounts that hide many
                    self._batch = max(1, self._batch // 2)
                if not isinstance(error, RookeryError):
                    logger.error("shard %s can't be listened to: %r", self.shard, error)
                self._must_look = True
                self._poke(RETRY_S)
                return
            then(reply)
            self._poke(pause_s)

        self._cluster.send_shard(self.shard, op, args, LISTEN_TIMEOUT_S, done)

    def _take_listened(self, sent: dict[int, AskedOf], topics: list[str], reply: list[Any]) -> None:
        incarnation, number, newest_id, known, found, elsewhere, gone = reply
        if known[0] < len(self.heard) + len(self._heard_less) or known[1] < len(self.heard_topics):
            self._hub.line_lost(self)
        for account_id, *_ in found:
            if account_id not in self.accounts:
                self._unwanted[account_id] = None
            elif self.accounts[account_id] == sent[account_id]:
                self._dirty.pop(account_id, None)
                self.heard.add(account_id)
                self._heard_less.discard(account_id)
            elif account_id not in self.heard:
                self._heard_less.add(account_id)
        for topic in topics:
            self._dirty_topics.pop(topic, None)
            self.heard_topics.add(topic)
            if topic not in self.topics:
                self._unwanted_topics[topic] = None
        self.heard_up_to(Position(incarnation, number), newest_id)
        self._hub.listened(self, found, topics)
        if elsewhere:
            self._loop.call_later(RETRY_S, self._hub.elsewhere, self, elsewhere)
        for account_id in gone:
            self._hub.account_gone(account_id)

    def _take_unlistened(self, accounts: list[int], topics: list[str]) -> None:
        for account_id in accounts:
            self._unwanted.pop(account_id, None)
        for topic in topics:
            self._unwanted_topics.pop(topic, None)
            if topic in self.topics:  # wanted again meanwhile
                self._dirty_topics[topic] = None
        for account_id in accounts:
            if account_id in self.accounts:
                self._dirty[account_id] = None

    def heard_up_to(self, position: Position, newest_id: int) -> None:
        """Note how far the shard was heard: numbers of one incarnation only rise."""
        if position.incarnation != self.position.incarnation or position.number > self.position.number:
            self.position = position
            self._hub.texts.moved_on()
        self.newest_id = max(self.newest_id, newest_id)
        self._hub.told.newest_id = max(self._hub.told.newest_id, newest_id)

    def _resume_some(self) -> None:
        while self._resumes and self._resuming < RESUMES_MAX:
            hearer = self._resumes.popleft()
            account_id = hearer.account_id
            is_own = bool(account_id) and self._cluster.shard_of(bucket_of_account(account_id)) == self.shard
            args = hearer.missed_args(self.shard, is_own)
            if args is not None:
                self._resuming += 1
                self._resume_one(hearer, args)

    def _resume_one(self, hearer: Hearer, args: list[Any]) -> None:
        lane_number = self._lane_number

        def done(reply: Any, error: Exception | None) -> None:
            self._resuming -= 1
            if self._closed:
                return
            if error is not None:
                self._resumes.append(hearer)
                self._loop.call_later(RETRY_S, self._poke)
                return
            if reply[0] != self.position.incarnation:  # another process, which nothing was listened to at
                self._hub.line_lost(self)
            elif lane_number != self._lane_number:
                self._resumes.append(hearer)
                self._poke()
            else:
                self._hub.resumed(self, hearer, args, reply)
            if self._resumes:
                self._loop.call_later(RESUMES_MAX / ACCOUNTS_PER_S, self._poke)

        self._cluster.send_shard(self.shard, "missed", args, LISTEN_TIMEOUT_S, done)
