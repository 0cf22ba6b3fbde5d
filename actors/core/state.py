"""One shard's state: its stores, and the numbered messages that leave it. `apply.py` is the only way it changes.

Rules of this file
- No command and no message lives here: those are features (`features/`), functions on this state.
- Nothing reads a clock, draws a random number or does I/O: times and ids are in the command.
- What other shards must know leaves as numbered messages in `outboxes`; a message to this very shard waits in a queue
  of its own, which `apply.settle` empties.
- Which messages leave, and in which order, may depend only on what the journal determines, never on a cache (rings,
  floors, the arrivals window): a replay must number them as before.

Theory: the state is a pure function of the journal, up to what a crash may cost a cache: ring floors, arrival numbers
and the messages that wait in an outbox don't enter the digest (`verify.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from actors.core import ids, limits
from actors.core.cards import Cards
from actors.core.checkpoints.changes import Changes
from actors.core.entries import pack
from actors.core.heard import HeardLog
from actors.core.met_links import MetLinks
from actors.core.moves.transfers import Giving, Incoming
from actors.core.news import News
from actors.core.outbox import Outbox
from actors.core.settling import Sent
from actors.core.stores.graph import FollowGraph
from actors.core.stores.notices import Notices
from actors.core.stores.paper_shelves import PaperShelves
from actors.core.stores.people import People
from actors.core.stores.shelves import Shelves
from actors.core.stores.things import Things
from actors.core.stores.tweets import OwnTweets
from actors.core.timelines.arrivals import Arrivals
from actors.core.timelines.deliveries import Deliveries
from actors.core.timelines.pull_logs import PullLogs
from actors.core.timelines.rings import Rings
from actors.core.timelines.tag_logs import TagLogs

if TYPE_CHECKING:
    from actors.core.terms import Effect

Ints = npt.NDArray[np.int64]


class ShardState:
    """Everything one replica of a shard knows."""

    def __init__(self, shard: int, owner_of_bucket: list[int], tuning: limits.Tuning) -> None:
        """shard: this shard's number; owner_of_bucket: 1,024 shard numbers, until a `remap` says otherwise."""
        self.shard = shard
        self.owner = np.array(owner_of_bucket, dtype=np.int64)
        self.shard_count = max(int(self.owner.max()), shard) + 1
        self.map_epoch = self.born_epoch = 0  # of the map now, and of the first
        self.level = 0  # what is new up to here may be used: see `levels.py`
        self.frozen = self.thawed = 0  # number of the freeze under way, 0: none; the last one that was ended
        self.incoming: Incoming | None = None
        self.outgoing: Giving | None = None  # not part of the state: see `moving.py`
        self.tuning = tuning
        self.people = People()
        self.graph = FollowGraph(self.shard_count, tuning.tidy_from)
        self.tweets = OwnTweets(tuning.tidy_from)
        self.arrivals = Arrivals(tuning.arrivals_max)
        self.rings = Rings(self.arrivals, tuning.timeline_length, tuning.tidy_from)
        self.pull_logs = PullLogs(self.arrivals, tuning.timeline_length)
        self.tag_logs = TagLogs(self.arrivals, min(tuning.timeline_length, limits.TAG_LOG_COUNT_MAX))
        self.deliveries = Deliveries(self.arrivals, self.rings, self.graph, tuning.deliver_at_once_max)
        self.clock = ids.TweetIdClock()
        self.unsealed = Changes()  # older than `changes`, noted by an outgoing move, not in a checkpoint either
        self.changes = Changes()
        self.things = Things(self.clock)
        owners = (self.people, self.tweets, self.things, lambda: self.changes)
        self.papers = PaperShelves(*owners, self.owns_bucket, tuning)
        self.shelves = Shelves(*owners, tuning, self.papers, self.graph)
        self.notices = Notices(self.people.find, lambda: self.changes, tuning.tidy_from)
        self.pull_shards: dict[int, set[int]] = {}  # own pull authors -> shards that keep their log
        self.tag_shards: dict[int, set[int]] = {}  # hashtag -> shards on which somebody follows it
        self.reposts: dict[int, dict[int, int]] = {}  # row -> original -> repost
        self.reposts_of: dict[int, set[int]] = {}  # original -> reposts by this shard's accounts
        self.waking: dict[int, tuple[int, set[int]]] = {}  # account -> (wake number, shards still to answer)
        # (account, key) -> the tweet that it made, or a packed answer (`features/answers.py`); oldest first
        self.idempotency: OrderedDict[tuple[int, bytes], int | bytes] = OrderedDict()
        self.dirty_counts: dict[int, None] = {}
        self.outboxes = {s: Outbox() for s in range(self.shard_count) if s != shard}
        self.inbox = {s: 0 for s in range(self.shard_count) if s != shard}
        self.position = 0
        self.day = 0
        self.wake_number = 0
        self.woken: list[int] = []
        self.revoked: list[tuple[int, bytes | None]] = []  # None: perhaps any of the account's tokens
        self.sent: Sent | None = None  # what a write tells others, while somebody wants to know; not part of the state
        self.news: News | None = None  # what has changed, for a copy that somebody keeps; not part of the state
        self.heard: HeardLog | None = None  # what has happened, for those who listen; not part of the state
        self.met_links: MetLinks | None = None  # to be looked at, where previews are made; not part of the state
        self.cards: Cards | None = None  # of accounts elsewhere, once a shape shows them; not part of the state
        self._local: list[list[Any]] = []

    def ensure_rows(self, rows: int) -> None:
        """Make account rows 0..rows-1 exist everywhere."""
        self.graph.ensure_rows(rows)
        self.rings.ensure_rows(rows)
        self.tweets.log.ensure_rows(rows)
        self.notices.ensure_rows(rows)

    def resize(self, shard_count: int) -> None:
        """Exchange messages with that many shards from now on. Whatever waits for one that goes is dropped."""
        shard_count = max(shard_count, self.shard + 1)
        self.shard_count = shard_count
        self.graph.resize(shard_count)
        for shard in range(shard_count):
            if shard != self.shard:
                self.outboxes.setdefault(shard, Outbox())
                self.inbox.setdefault(shard, 0)
        for shard in [s for s in self.inbox if s >= shard_count]:
            del self.outboxes[shard], self.inbox[shard]
            self.changes.dropped_shards.add(shard)

    def owns_bucket(self, bucket: int) -> bool:
        """Whether a bucket is this shard's."""
        return int(self.owner[bucket]) == self.shard

    def shard_of_account(self, account_id: int) -> int:
        """Return the shard that owns an account."""
        return int(self.owner[ids.bucket_of_account(account_id)])

    def shard_of_tweet(self, tweet_id: int) -> int:
        """Return the shard that owns a tweet, read from its id."""
        return int(self.owner[ids.bucket_of_tweet(tweet_id)])

    def shard_of_thing(self, thing_id: int) -> int:
        """Return the shard that owns a thing, read from its id."""
        return int(self.owner[ids.bucket_of_thing(thing_id)])

    def send(self, shard: int, message: list[Any]) -> None:
        """Queue a message to one shard."""
        if shard == self.shard:
            self._local.append(message)
        else:
            self.outboxes[shard].push(self.position, pack(message))
            if self.sent is not None:
                self.sent.note(shard, message[0], self.outboxes[shard].next_seq - 1)

    def send_all(self, shards: list[int], message: list[Any]) -> None:
        """Queue the same message to several shards, packed once."""
        packed = b""
        for shard in shards:
            if shard == self.shard:
                self._local.append(message)
            else:
                packed = packed or pack(message)
                self.outboxes[shard].push(self.position, packed)
                if self.sent is not None:
                    self.sent.note(shard, message[0], self.outboxes[shard].next_seq - 1)

    def tell(self, shard: int, effect: Effect, *facts: Any) -> None:
        """Queue an effect to one shard, as wide as the cluster's level allows."""
        self.send(shard, effect.told(self.level, facts))

    def tell_all(self, shards: list[int], effect: Effect, *facts: Any) -> None:
        """Queue the same effect to several shards, packed once."""
        self.send_all(shards, effect.told(self.level, facts))

    def send_by_owner(self, accounts: Ints, make: Callable[[npt.NDArray[np.bool_]], list[Any]]) -> None:
        """Queue one message per shard that owns any of `accounts`; `make` gets the mask of that shard's ones."""
        owners = self.owner[ids.buckets_of_accounts(accounts)]
        for shard in ids.distinct_shards(owners):
            self.send(shard, make(owners == shard))

    def tidy(self) -> bool:
        """Slide some blocks together where over a 64th of an arena is waste; return whether there is more to do."""
        graph = self.graph
        arenas = (
            self.rings.arena, graph.following, graph.followers, graph.local_followers, self.tweets.log,
            self.shelves.marks.arena, self.notices.arena,
        )  # fmt: skip
        return any(arena.tidy(64) for arena in arenas)

    def pieces_figures(self) -> tuple[int, int]:
        """Return (bytes that all pieces take, how many were given up for others since the start). O(1)."""
        tweets, accounts = self.arrivals.pieces, self.people.pieces
        held = sum(pieces.bytes_held for pieces in tweets) + sum(pieces.bytes_held for pieces in accounts)
        return held, sum(pieces.evicted_count for pieces in tweets) + sum(pieces.evicted_count for pieces in accounts)

    def note_tweet(self, tweet_id: int, is_new: bool) -> None:
        """Remember that an own tweet has come (is_new), gone or changed its counts."""
        self.changes.tweets.add(tweet_id)
        if self.news is not None:
            self.news.tweet(tweet_id, is_new)

    def note_edit(self, tweet_id: int) -> None:
        """Remember that an own tweet says something else now."""
        self.changes.tweets.add(tweet_id)
        if self.news is not None:
            self.news.edited(tweet_id)

    def take_local(self) -> list[list[Any]]:
        """Take the messages to this shard itself that wait, in order."""
        waiting, self._local = self._local, []
        return waiting
