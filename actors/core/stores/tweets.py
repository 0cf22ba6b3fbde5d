"""The tweets of a shard's own accounts: the authoritative copy, and each author's log.

Numbers rest in columns by slot (slots are reused after a delete), the facts of a tweet (`body`) as packed bytes that
only a renderer opens. An author's log is its tweet ids ascending, reposts included, in a block arena. How many of them
aren't public is counted beside it, as profiles mustn't tell.
Costs: 75 bytes a tweet plus its body (150 to 300 bytes); find by id O(1); newest k of a log O(k).
Deliberately not: leaving memory. A shard refuses new tweets at `tweets_max` instead.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.core import flags as bits
from actors.core.arrays import kernels
from actors.core.arrays.arena import TIDY_FROM_ELEMENTS, BlockArena
from actors.core.entries import BYTES_OBJECT, NO_MENTIONS, NUMBERS, Entry, TweetBatch, pack, unpack
from actors.core.hashtags import UNTAGGED, tags_in
from actors.core.stores.public_tweets import PublicTweets
from actors.core.stores.tag_index import TagIndex

Ints = npt.NDArray[np.int64]
_INT64 = ("tweet_id", "author_id", "reply_author", "orig_id", "orig_author")
_INT32 = ("flags", "replies", "reposts", "likes")


class OwnTweets:
    """All tweets whose author this shard owns."""

    def __init__(self, tidy_from: int = TIDY_FROM_ELEMENTS) -> None:
        """tidy_from: see `BlockArena`."""
        self.slot_of: dict[int, int] = {}
        self.log = BlockArena(np.int64, tidy_from=tidy_from)
        self.columns: dict[str, npt.NDArray[Any]] = {
            name: np.zeros(64, dtype=np.int64 if name in _INT64 else np.int32) for name in _INT64 + _INT32
        }
        self.body: list[bytes] = []
        self.orig: dict[int, bytes] = {}
        self.mentions: dict[int, list[int]] = {}
        self.private: dict[int, tuple[int, int]] = {}  # by row: how many are for followers, and direct; if any
        self.public = PublicTweets()
        self._tags: TagIndex | None = None  # until somebody asks for tweets by hashtag
        self._free: list[int] = []
        self._body_bytes = 0

    def __len__(self) -> int:
        return len(self.slot_of)

    def __contains__(self, tweet_id: int) -> bool:
        return tweet_id in self.slot_of

    def add(self, row: int, entry: Entry) -> None:
        """Add a tweet to its author's log. Ids of one author only grow; row is the author's."""
        if self._free:
            slot = self._free.pop()
            self.body[slot] = entry.body
        else:
            slot = len(self.body)
            self.body.append(entry.body)
            if slot >= len(self.columns["tweet_id"]):
                self._grow(slot + 1)
        self.slot_of[entry.tweet_id] = slot
        self._body_bytes += len(entry.body)
        for name in _INT64 + _INT32:
            self.columns[name][slot] = getattr(entry, name)
        if entry.orig is not None:
            self.orig[slot] = entry.orig
        if entry.mention_ids:
            self.mentions[slot] = entry.mention_ids
        if entry.flags & bits.FLAGS_PRIVATE:
            self._count_private(row, entry.flags, 1)
        self.public.add(entry.tweet_id, entry.flags)
        if self._tags is not None:
            self._tags.add(entry.tweet_id, tags_in(entry.flags, entry.body))
        self.log.append(row, entry.tweet_id)

    def _count_private(self, row: int, flags: int, step: int) -> None:
        """Count one that isn't public, or no longer."""
        for_followers, direct = self.private.get(row, (0, 0))
        if flags & bits.FLAG_DIRECT:
            direct += step
        else:
            for_followers += step
        if for_followers or direct:
            self.private[row] = for_followers, direct
        else:
            self.private.pop(row, None)

    def add_many(self, rows: Ints, batch: TweetBatch) -> None:
        """As `add` for a batch of plain tweets; rows[i] is the row of its author. 1 us each."""
        if self._free:
            for row, entry in zip(rows.tolist(), batch.entries(), strict=True):
                self.add(row, entry)
            return
        first, end = len(self.body), len(self.body) + len(batch)
        if end > len(self.columns["tweet_id"]):
            self._grow(end)
        for name, values in batch.columns():
            self.columns[name][first:end] = values
        self.body += batch.bodies
        self._body_bytes += sum(map(len, batch.bodies))
        self.slot_of.update(zip(batch.id_list, range(first, end), strict=True))
        for i, mentions in batch.mentions.items():
            self.mentions[first + i] = mentions
        self._count_all_private(rows, batch.flags)
        self.public.add_many(batch.tweet_id, batch.flags)
        if self._tags is not None:
            for tweet_id, flags, body in zip(batch.id_list, batch.flags.tolist(), batch.bodies, strict=True):
                self._tags.add(tweet_id, tags_in(flags, body))
        self.log.append_many(rows, batch.tweet_id)

    def load(self, rows: Ints, columns: dict[str, Any], order: npt.NDArray[np.intp]) -> None:
        """Fill the empty store with checkpoint columns, taken in `order`: ascending by tweet id. 1 us each.

        rows[i]: row of the author of the i-th in that order.
        """
        count, taken = len(order), order.tolist()
        if count > len(self.columns["tweet_id"]):
            self._grow(count)
        for name in NUMBERS:
            self.columns[name][:count] = columns[name][order]
        body, orig, mentions = columns["body"], columns["orig"], columns["mentions"]
        self.body = [body[i] for i in taken]
        self._body_bytes = sum(map(len, self.body))
        self.orig = {slot: orig[i] for slot, i in enumerate(taken) if orig[i] is not None}
        self.mentions = {slot: unpack(mentions[i]) for slot, i in enumerate(taken) if mentions[i] != NO_MENTIONS}
        self.slot_of = dict(zip(self.columns["tweet_id"][:count].tolist(), range(count), strict=True))
        self._count_all_private(rows, columns["flags"][order])
        self.public.add_many(self.columns["tweet_id"][:count], self.columns["flags"][:count])
        self.log.fill(rows, columns["tweet_id"][order])

    def _count_all_private(self, rows: Ints, flags: npt.NDArray[Any]) -> None:
        """As `_count_private` for tweets that are new, most of them public as a rule."""
        for i in np.nonzero(flags & bits.FLAGS_PRIVATE)[0].tolist():
            self._count_private(int(rows[i]), int(flags[i]), 1)

    def _grow(self, slots: int) -> None:
        room = max(slots, len(self.columns["tweet_id"]) * 3 // 2) - len(self.columns["tweet_id"])
        for name, column in self.columns.items():
            self.columns[name] = np.concatenate([column, np.zeros(room, dtype=column.dtype)])

    def find(self, tweet_id: int) -> int | None:
        """Return the slot of a tweet, None if it isn't here."""
        return self.slot_of.get(tweet_id)

    def get(self, tweet_id: int) -> Entry | None:
        """Return a tweet, or None."""
        slot = self.slot_of.get(tweet_id)
        if slot is None:
            return None
        c = self.columns
        return Entry(
            tweet_id, c["author_id"].item(slot), c["flags"].item(slot), c["reply_author"].item(slot),
            c["orig_id"].item(slot), c["orig_author"].item(slot), c["replies"].item(slot), c["reposts"].item(slot),
            c["likes"].item(slot), self.body[slot], self.mentions.get(slot, []), self.orig.get(slot),
        )  # fmt: skip

    def newest(self, rows: Ints, max_id: int, since_id: int, count: int) -> Ints:
        """Return the newest ids of some authors' logs within (since_id, max_id), descending, at most `count`."""
        log = self.log
        rows = rows[log.klass[rows] >= 0] if len(rows) else rows
        room = min(int(log.length[rows].sum()), len(rows) * count) if len(rows) else 0
        out = np.empty(room, dtype=np.int64)
        found = kernels.newest_of_logs(log.data, log.start, log.length, rows, max_id, since_id, count, out)
        return np.sort(out[:found])[::-1]

    def oldest(self, rows: Ints, min_id: int, count: int) -> Ints:
        """Return the oldest ids above min_id of some authors' logs, ascending, at most `count`."""
        log = self.log
        rows = rows[log.klass[rows] >= 0] if len(rows) else rows
        out = np.empty(min(int(log.length[rows].sum()), len(rows) * count), dtype=np.int64)
        found = kernels.oldest_of_logs(log.data, log.start, log.length, rows, min_id, count, out)
        return np.sort(out[:found])

    @property
    def by_tag(self) -> TagIndex:
        """The tweets that strangers come across by hashtag. The first time O(tweets)."""
        if self._tags is None:
            self._tags = TagIndex()
            slots = self.slots()
            found = slots[self.columns["flags"][slots] & UNTAGGED == 0]
            for slot in found[np.argsort(self.columns["tweet_id"][found])].tolist():
                self._tags.add(self.columns["tweet_id"].item(slot), tags_in(0, self.body[slot]))
        return self._tags

    def remove(self, row: int, tweet_id: int) -> None:
        """Take a tweet out of the store and its author's log."""
        flags = self.columns["flags"].item(self.slot_of[tweet_id])
        if flags & bits.FLAGS_PRIVATE:
            self._count_private(row, flags, -1)
        self._free_slot(tweet_id)
        if not self.log.pop_if_last(row, tweet_id):
            self.log.remove(row, tweet_id)

    def _free_slot(self, tweet_id: int) -> None:
        slot = self.slot_of.pop(tweet_id)
        if self._tags is not None:
            self._tags.drop(tweet_id, tags_in(self.columns["flags"].item(slot), self.body[slot]))
        self.columns["tweet_id"][slot] = 0
        self._body_bytes -= len(self.body[slot])
        self.body[slot] = b""
        self.orig.pop(slot, None)
        self.mentions.pop(slot, None)
        self._free.append(slot)

    def remove_all(self, row: int) -> None:
        """Take all tweets of an author out."""
        self.private.pop(row, None)
        if self.log.klass[row] >= 0:
            for tweet_id in self.log.view(row).tolist():
                self._free_slot(tweet_id)
            self.log.clear(row)

    def set_counts(self, tweet_id: int, replies: int, reposts: int, likes: int) -> None:
        """Replace the counts of a tweet that is here."""
        slot = self.slot_of[tweet_id]
        for name, value in (("replies", replies), ("reposts", reposts), ("likes", likes)):
            self.columns[name][slot] = value

    def set_contents(self, tweet_id: int, body: bytes, mention_ids: list[int]) -> None:
        """Replace what a tweet that is here says."""
        slot = self.slot_of[tweet_id]
        if self._tags is not None:
            self._tags.drop(tweet_id, tags_in(self.columns["flags"].item(slot), self.body[slot]))
            self._tags.add(tweet_id, tags_in(self.columns["flags"].item(slot), body))
        self._body_bytes += len(body) - len(self.body[slot])
        self.body[slot] = body
        if mention_ids:
            self.mentions[slot] = mention_ids
        else:
            self.mentions.pop(slot, None)

    def set_original(self, repost_id: int, packed: bytes) -> None:
        """Replace the packed original of a repost that is here."""
        self.orig[self.slot_of[repost_id]] = packed

    def replace(self, entry: Entry) -> None:
        """Make a tweet that is here what another shard says: its counts, and what it says itself or reposts."""
        self.set_counts(entry.tweet_id, entry.replies, entry.reposts, entry.likes)
        self.set_contents(entry.tweet_id, entry.body, entry.mention_ids)
        if entry.orig is not None:
            self.set_original(entry.tweet_id, entry.orig)

    def count(self, tweet_id: int, name: str, step: int) -> bool:
        """Add to one of the counts (`replies`, `reposts`, `likes`), never below 0. False if there is no such tweet."""
        slot = self.slot_of.get(tweet_id)
        if slot is None:
            return False
        self.columns[name][slot] = max(0, int(self.columns[name][slot]) + step)
        return True

    def columns_of(self, tweet_ids: list[int]) -> dict[str, Any]:
        """Return stored tweets as checkpoint columns (see `snapshot.py`), in that order. 0.6 us each."""
        slots = [self.slot_of[tweet_id] for tweet_id in tweet_ids]
        found: dict[str, Any] = {name: self.columns[name][slots].astype(np.int64) for name in NUMBERS}
        found["body"] = [self.body[s] for s in slots]
        found["mentions"] = [pack(self.mentions[s]) if s in self.mentions else NO_MENTIONS for s in slots]
        found["orig"] = [self.orig.get(s) for s in slots]
        return found

    def slots(self) -> npt.NDArray[np.intp]:
        """Return the slots in use. 2 ns each."""
        used = np.ones(len(self.body), dtype=np.bool_)
        used[self._free] = False
        return np.nonzero(used)[0]

    def nbytes(self) -> int:
        """Bytes of columns, bodies and logs. O(1)."""
        columns = sum(int(c.nbytes) for c in self.columns.values())
        bodies = self._body_bytes + BYTES_OBJECT * len(self.body)
        return columns + bodies + self.log.nbytes() + self.public.nbytes()

    def check(self) -> list[str]:
        """Return violations: slots and ids agree; logs are ascending and hold just the stored tweets."""
        problems = self.log.check()
        for tweet_id, slot in self.slot_of.items():
            if int(self.columns["tweet_id"][slot]) != tweet_id:
                problems.append(f"slot {slot} holds tweet {self.columns['tweet_id'][slot]}, not {tweet_id}")
        logged: list[int] = []
        private: dict[int, tuple[int, int]] = {}
        for row in np.nonzero(self.log.length)[0]:
            ids = self.log.view(int(row)).tolist()
            logged += ids
            flags = self.columns["flags"][[self.slot_of[t] for t in ids if t in self.slot_of]]
            direct = int(np.count_nonzero(flags & bits.FLAG_DIRECT))
            count = int(np.count_nonzero(flags & bits.FLAGS_PRIVATE))
            if count:
                private[int(row)] = count - direct, direct
            if any(a >= b for a, b in itertools.pairwise(ids)):
                problems.append(f"the tweet log of row {row} is not ascending")
        if private != self.private:
            problems.append(f"{len(private)} authors have tweets that aren't public, but the counts say otherwise")
        slots = self.slots()
        problems += self.public.check(self.columns["tweet_id"][slots], self.columns["flags"][slots])
        if sorted(logged) != sorted(self.slot_of):
            problems.append(f"author logs hold {len(logged)} tweets, the store {len(self.slot_of)}")
        if self._tags is not None:
            known, self._tags = self._tags.as_dict(), None
            if self.by_tag.as_dict() != known:
                problems.append("tweets are found by other hashtags than they have")
        return problems
