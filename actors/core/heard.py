"""What has happened on a shard, for those who listen: noted while commands are applied, numbered once committed.

    apply --tweet, gone, edited, notice ...--> pending (with the journal's position)
                                                  | take(committed)
                                                  v
                                   log: number -> (kind, item, who), the newest LOG_COUNT_MAX --since(number)--> resume

Rules of this file
- No part of the state: a replica to which nobody listens has none (`ShardState.heard` is None), and pays one look.
- What isn't committed has no number, and nobody hears of it.
- Numbers rise by one within an incarnation: one process, from when somebody began to listen. Whoever names another
  incarnation, or a number that the log has lost, can't go on exactly.
- Of what is deleted the log keeps what it was: who may hear of that is asked later.
- Public topics are told by the shard that had the author when it happened, and by no other that he has moved to since.

Costs: 0.3 us an event; 17 bytes each in the log, and 0.3 KB more of a deletion; 4.5 MB in all.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from actors.core.entries import Entry

if TYPE_CHECKING:
    from actors.core.timelines.arrivals import Arrivals

LOG_COUNT_MAX: Final = 262_144  # events that can be resumed from: a minute of a shard that takes 4,000 tweets a second
UNMENTIONED_MAX: Final = 4_096
PENDING_COUNT_MAX: Final = LOG_COUNT_MAX  # events that aren't committed yet; with more the log is of no use any more

# Kinds, as they are on the lane (docs/lane.md).
TWEET, DELETE, EDIT, NOTICE, CONVERSATION, FILTERS, RELATIONS = range(7)
_OWN, _KIND = 128, 127  # in the column of kinds: `Happening.is_own`, and the kind
USER, NOTIFICATIONS, DIRECT, RELATED = 1, 2, 4, 8  # what of an account is listened to, as a mask; for ever
EVERYTHING: Final = USER | NOTIFICATIONS | DIRECT | RELATED
ACCOUNTS_PER_REQUEST: Final = 2_000
PUBLIC_TOPICS: Final = ("public", "public:local")
MEDIA_TOPICS: Final = ("public:media", "public:local:media")


class Happening(NamedTuple):
    """Something that has happened. item: the tweet, notice or conversation; who: its author, or whom it concerns.

    entry: of what was deleted, as it was; None otherwise. is_own: whether the tweet's author was this shard's then.
    """

    number: int
    kind: int
    item: int
    who: int
    entry: Entry | None = None
    is_own: bool = False


class HeardLog:
    """The events of one shard. incarnation: a number that no other log of the shard has."""

    def __init__(self, arrivals: Arrivals, incarnation: int, count_max: int = LOG_COUNT_MAX) -> None:
        self.incarnation, self.count_max = incarnation, count_max
        self.number = 0  # of the newest that is committed
        self.is_over = False  # events had no room while they waited for their commit: begin anew
        self._first = 1  # the oldest that is held, or the next one
        self._arrivals = arrivals
        self._pending: deque[tuple[int, int, int, int, Entry | None, bool]] = deque()
        self._leaving: dict[int, Entry] = {}  # own tweets that are being deleted, until everybody is told
        self._unmentioned: dict[int, Entry] = {}  # of others, that mention accounts here no more: UNMENTIONED_MAX
        self._kinds = np.zeros(count_max, dtype=np.uint8)
        self._items = np.zeros(count_max, dtype=np.int64)
        self._whos = np.zeros(count_max, dtype=np.int64)
        self._entries: dict[int, Entry] = {}  # by number
        self._came: dict[int, int] = {}  # bucket -> number from which on its accounts were heard here

    # ---- while commands are applied ------------------------------------------------------------------------------

    def note(
        self, position: int, kind: int, item: int, who: int, entry: Entry | None = None, is_own: bool = False
    ) -> None:  # fmt: skip
        """Note what a command has made happen. position: the command's; is_own: see `Happening`."""
        if len(self._pending) >= PENDING_COUNT_MAX:
            self.is_over = True
            return
        self._pending.append((position, kind, item, who, entry, is_own))

    def came(self, position: int, buckets: list[int]) -> None:
        """Note that buckets have come from other shards: what happened to their accounts before, those have heard."""
        self.note(position, FILTERS, 0, 0)  # of nobody: what was heard up to then has a lower number than what follows
        self._came.update(dict.fromkeys(buckets, self.number + len(self._pending)))

    def tweets(self, position: int, tweet_ids: list[int], author_ids: list[int], own: list[bool]) -> None:
        """Note tweets that have arrived. own: see `Happening.is_own`, of each."""
        for tweet_id, author_id, is_own in zip(tweet_ids, author_ids, own, strict=True):
            self.note(position, TWEET, tweet_id, author_id, is_own=is_own)

    def leaves(self, entry: Entry) -> None:
        """Remember an own tweet that is being deleted, until `gone`."""
        self._leaving[entry.tweet_id] = entry

    def unmentions(self, tweet_id: int, author_id: int, account_id: int) -> None:
        """Remember that a tweet, which may not be here, mentions an account no more: if it is deleted, that is told."""
        known = self._unmentioned.pop(tweet_id, None)
        mentioned = [account_id] if known is None else [*known.mention_ids, account_id]
        entry = Entry(tweet_id, author_id, 0, 0, tweet_id, author_id, 0, 0, 0, b"", mentioned, None)
        self._unmentioned[tweet_id] = entry
        if len(self._unmentioned) > UNMENTIONED_MAX:
            del self._unmentioned[next(iter(self._unmentioned))]

    def gone(self, position: int, tweet_id: int, author_id: int) -> None:
        """Note that a tweet is deleted, before the arrivals forget it.

        Of one that isn't here nobody heard but whom it mentions.
        """
        entry, unmentioned = self._leaving.pop(tweet_id, None), self._unmentioned.pop(tweet_id, None)
        is_own = entry is not None
        n = self._arrivals.number_of.get(tweet_id)
        if entry is None and n is not None:
            entry = self._arrivals.entry(n)
        if entry is None or unmentioned is None:
            entry = entry or unmentioned
        else:  # whom it mentions is known of those alone that are here
            entry = entry._replace(mention_ids=sorted({*entry.mention_ids, *unmentioned.mention_ids}))
        if entry is not None:
            self.note(position, DELETE, tweet_id, author_id or entry.author_id, entry, is_own)

    # ---- once they are committed ---------------------------------------------------------------------------------

    def take(self, committed: int) -> list[Happening]:
        """Number what is committed up to a position, and return it in order."""
        found = []
        while self._pending and self._pending[0][0] <= committed:
            _, kind, item, who, entry, is_own = self._pending.popleft()
            found.append(self._put(kind, item, who, entry, is_own))
        return found

    def _put(self, kind: int, item: int, who: int, entry: Entry | None, is_own: bool) -> Happening:
        self.number += 1
        slot = self.number % self.count_max
        self._kinds[slot], self._items[slot], self._whos[slot] = kind | is_own * _OWN, item, who
        if entry is not None:
            self._entries[self.number] = entry
        if self.number - self._first >= self.count_max:
            self._entries.pop(self._first, None)
            self._first += 1
        return Happening(self.number, kind, item, who, entry, is_own)

    def holds(self, incarnation: int, number: int) -> bool:
        """Whether everything after a number is still here."""
        return incarnation == self.incarnation and self._first - 1 <= number <= self.number

    def holds_bucket(self, bucket: int, number: int) -> bool:
        """Whether a bucket has been here since a number; else another shard may have heard what came after it."""
        return number >= self._came.get(bucket, 0)

    def since(self, number: int, until: int, whos: np.ndarray | None = None) -> list[Happening]:
        """Return what came after a number that is held, up to another one, in order.

        whos: ascending accounts; tweets of, and what concerns, nobody else are left out, but for edits and deletions.
        """
        numbers = np.arange(number + 1, until + 1)
        slots = numbers % self.count_max
        if whos is not None:
            keep = np.isin(self._whos[slots], whos) | np.isin(self._kinds[slots] & _KIND, (EDIT, DELETE))
            numbers, slots = numbers[keep], slots[keep]
        columns = (numbers, self._kinds[slots], self._items[slots], self._whos[slots])
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [
            Happening(n, kind & _KIND, item, who, self._entries.get(n), bool(kind & _OWN))
            for n, kind, item, who in rows
        ]

    @property
    def pending_count(self) -> int:
        """Events that wait for their commit."""
        return len(self._pending)

    def nbytes(self) -> int:
        """Bytes of the columns. O(1)."""
        return int(self._kinds.nbytes + self._items.nbytes + self._whos.nbytes)

    def check(self) -> list[str]:
        """Return violations: what is held ends at the newest, and is no more than may be."""
        problems = []
        if not 1 <= self._first <= self.number + 1 or self.number + 1 - self._first > self.count_max:
            problems.append(f"the log of events holds {self._first} to {self.number}, of {self.count_max}")
        if stray := [number for number in self._entries if not self._first <= number <= self.number]:
            problems.append(f"{len(stray)} deletions are kept that the log has lost, the first {min(stray)}")
        return problems
