"""What the listeners of this worker were told lately: each push once, for all whom it was for.

    push --note--> newest COUNT_MAX records --known(account, topics)--> {(tweet, topic): version, or GONE}

Rules of this file
- A gap that is read (`gaps.py`) may hold what was told already: authors move between shards, and tweets come late, so
  no id says where a gap begins. What was told does.
- A record holds from its number on: who began to listen later hasn't heard it.
- Of what the window has lost, `lost_max_id` is the newest.

Costs: 1 us a push; 0.2 KB a record and 8 bytes for each account that it was for: 10 MB at most. `known` takes 0.3 us
a record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Set
from itertools import chain
from typing import Final, NamedTuple

from actors.core.joining import TweetPieces
from api.streaming.events import DELETE, STATUS_UPDATE, UPDATE, Event

COUNT_MAX: Final = 10_000
ACCOUNTS_MAX: Final = 1_000_000  # of all records together
OF_TWEETS: Final = frozenset((UPDATE, STATUS_UPDATE, DELETE))
GONE: Final = b"gone"
_EDITED: Final = b'"edited_at":'
_STAMP_BYTES: Final = 26  # of a time in quotes; of null some more, always the same
Known = dict[tuple[int, str], bytes]  # (tweet, topic) -> the version that was told


class Record(NamedTuple):
    """A push, or what was told to one listener alone. version: see `version_of`.

    accounts: whom it was for, as int64 bytes; None: whoever listens to its topics.
    """

    number: int
    tweet_id: int
    topics: frozenset[str]
    accounts: bytes | None
    version: bytes


class ToldLately:
    """See the module header. number: of the newest push; newest_id: of all tweets that were told of."""

    def __init__(self) -> None:
        self.number = self.newest_id = self.lost_max_id = 0
        self._records: deque[Record] = deque()
        self._account_count = 0

    def note(self, event: Event, accounts: bytes | None) -> None:
        """Note a push: of a tweet, its edit, or its end."""
        if event.kind not in OF_TWEETS:
            return
        self.number += 1
        self._records.append(record_of(event, accounts, self.number))
        self._account_count += len(accounts or b"") // 8
        if event.kind == UPDATE:
            self.newest_id = max(self.newest_id, event.tweet_id)
        while len(self._records) > COUNT_MAX or self._account_count > ACCOUNTS_MAX:
            lost = self._records.popleft()
            self._account_count -= len(lost.accounts or b"") // 8
            self.lost_max_id = max(self.lost_max_id, lost.tweet_id)

    def number_of(self, event: Event) -> int:
        """Return the number of the push that was noted last, as that is an event's; 0 of one that isn't noted."""
        return self.number if event.kind in OF_TWEETS else 0

    def known(
        self, account_id: int, topics: Collection[str], after: int, own: Iterable[Record] = (),
        untold: Set[int] = frozenset(),
    ) -> Known:  # fmt: skip
        """Return what a listener of an account has been told on some topics after a push.

        own: what it was told alone; untold: numbers of pushes that it wasn't told.
        """
        found: Known = {}
        me = account_id.to_bytes(8, "little")
        for record in chain(own, reversed(self._records)):
            if 0 < record.number <= after:
                break
            if record.number in untold:
                continue
            if record.accounts is None or _names(record.accounts, me):
                for topic in record.topics.intersection(topics):
                    found[record.tweet_id, topic] = max(found.get((record.tweet_id, topic), b""), record.version)
        return found


def record_of(event: Event, accounts: bytes | None, number: int) -> Record:
    """Return what is kept of an event of a tweet. number: 0 of what one listener was told alone."""
    version = GONE if event.kind == DELETE else version_of(event.tweet)
    return Record(number, event.tweet_id, event.topics, accounts, version)


def _names(accounts: bytes, me: bytes) -> bool:
    """Whether an account is among others."""
    place = accounts.find(me)
    while place % 8 and place >= 0:
        place = accounts.find(me, place + 1)
    return place >= 0


def version_of(tweet: TweetPieces | None) -> bytes:
    """Return what changes when a tweet, or what it reposts, is edited; later ones are greater, GONE is the greatest."""
    if tweet is None:
        return b""
    piece = (tweet.original or tweet).piece
    place = piece.find(_EDITED)
    stamp = b"" if place < 0 else piece[place + len(_EDITED) :][:_STAMP_BYTES]
    return stamp if stamp.startswith(b'"') else b""
