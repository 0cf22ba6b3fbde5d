"""The tweets that a shard's rings point at: columns indexed by arrival number, with their bodies.

Every tweet that is delivered to a shard (or brought by a backfill) gets the next arrival number n, a uint32 that
counts on and on. The columns are a window over the newest `capacity` arrivals: slot = n & (capacity - 1). A ring entry
older than the window is *lost*: whoever meets one treats it as the floor and pulls what lies below from the
authors' shards. So memory is bounded, and nothing must be tracked per ring when a tweet leaves the window.

Rules: a tweet id has at most one arrival number that is alive (`number_of`). Deleting marks the slot.
`lost_max_id` is the highest tweet id that ever left the window.
What renderers have made of them (`pieces.py`) is kept beside, and dropped or patched here when a tweet changes.
Costs: 53 bytes a slot of columns, plus the body (shared with the author's own record when both live here).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from actors.core.arrays import kernels
from actors.core.entries import BYTES_OBJECT, NO_MENTIONS, NUMBERS, Entry, TweetBatch, pack, unpack
from actors.core.pieces import Pieces

SWEEP_EVERY = 1 << 30  # arrivals between two sweeps that drop lost entries: after 2**32 one would seem alive again


class Arrivals:
    """The window of arrivals of one shard."""

    def __init__(self, capacity: int) -> None:
        """capacity: a power of two; memory is taken as arrivals come, not before."""
        self.capacity = capacity
        self.mask = capacity - 1
        self.next_n = 0
        self.next_sweep_n = SWEEP_EVERY
        self.lost_max_id = 0
        self.newest_id = 0
        self._body_bytes = 0
        self.number_of: dict[int, int] = {}
        self.mentions: dict[int, list[int]] = {}  # of direct tweets only: who may see them
        self.evicted: list[int] = []
        self.pieces: list[Pieces] = []  # of each renderer
        self._columns_for(min(capacity, 1024))
        self.body: list[bytes] = []
        self.orig: list[bytes | None] = []

    def _columns_for(self, slots: int) -> None:
        old = getattr(self, "tweet_id", np.zeros(0, dtype=np.int64))
        keep = len(old)

        def grow(name: str, dtype: Any) -> None:
            column = np.zeros(slots, dtype=dtype)
            if keep:
                column[:keep] = getattr(self, name)
            setattr(self, name, column)

        for name in ("reply_author", "orig_id", "orig_author", "author_id", "tweet_id"):
            grow(name, np.int64)
        grow("flags", np.uint8)
        for name in ("replies", "reposts", "likes"):
            grow(name, np.int32)
        for pieces in self.pieces:
            pieces.cover(slots)

    def keep(self, pieces: Pieces) -> None:
        """Keep what one renderer more makes of the tweets."""
        pieces.cover(len(self.tweet_id))
        self.pieces.append(pieces)

    def _drop_pieces(self, slot: int) -> None:
        for pieces in self.pieces:
            pieces.drop(slot)

    tweet_id: npt.NDArray[np.int64]
    author_id: npt.NDArray[np.int64]
    reply_author: npt.NDArray[np.int64]
    orig_id: npt.NDArray[np.int64]
    orig_author: npt.NDArray[np.int64]
    flags: npt.NDArray[np.uint8]
    replies: npt.NDArray[np.int32]
    reposts: npt.NDArray[np.int32]
    likes: npt.NDArray[np.int32]

    def load(self, columns: dict[str, Any], lost_max_id: int) -> None:
        """Fill an empty window with checkpoint columns, ascending by tweet id and no more than fit. 1 us each."""
        count = len(columns["tweet_id"])
        if count > len(self.tweet_id):
            self._columns_for(min(self.capacity, 1 << (count - 1).bit_length()))
        for name in NUMBERS:
            getattr(self, name)[:count] = columns[name]
        tweet_ids = columns["tweet_id"].tolist()
        self.number_of = dict(zip(tweet_ids, range(count), strict=True))
        self.body, self.orig = list(columns["body"]), list(columns["orig"])
        self._body_bytes = sum(map(len, self.body))
        for n in np.nonzero(columns["flags"] & kernels.FLAG_DIRECT)[0].tolist():
            self.mentions[tweet_ids[n]] = unpack(columns["mentions"][n])
        self.next_n = count
        self.lost_max_id = lost_max_id
        self.newest_id = tweet_ids[-1] if count else 0

    def add(self, entry: Entry) -> tuple[int, bool]:
        """Give the tweet a number, or return the one it has. Returns (n, whether it is new). O(1)."""
        known = self.number_of.get(entry.tweet_id)
        if known is not None:
            return known, False
        n = self.next_n
        slot = n & self.mask
        if slot < len(self.body):
            self._evict(slot)
            self._body_bytes -= len(self.body[slot])
            self.body[slot], self.orig[slot] = entry.body, entry.orig
        else:
            if slot >= len(self.tweet_id):
                self._columns_for(min(self.capacity, len(self.tweet_id) * 2))
            self.body.append(entry.body)
            self.orig.append(entry.orig)
        self._body_bytes += len(entry.body)
        self.tweet_id[slot] = entry.tweet_id
        self.author_id[slot] = entry.author_id
        self.flags[slot] = entry.flags
        self.reply_author[slot] = entry.reply_author
        self.orig_id[slot] = entry.orig_id
        self.orig_author[slot] = entry.orig_author
        self.replies[slot] = entry.replies
        self.reposts[slot] = entry.reposts
        self.likes[slot] = entry.likes
        if entry.flags & kernels.FLAG_DIRECT:
            self.mentions[entry.tweet_id] = entry.mention_ids
        self.number_of[entry.tweet_id] = n & 0xFFFFFFFF
        self.next_n = n + 1
        return n & 0xFFFFFFFF, True

    def add_many(self, batch: TweetBatch) -> npt.NDArray[np.uint32]:
        """Give each tweet of a batch, all of them new here, its number; returns them. 1 us each.

        The batch must not be larger than the window.
        """
        count, first_n = len(batch), self.next_n
        slots = (first_n + np.arange(count)) & self.mask
        done = 0
        while done < count:
            slot = self.next_n & self.mask
            part = min(count - done, self.capacity - slot)
            self._put(slot, batch.bodies[done : done + part])
            done += part
        for name, values in batch.columns():
            getattr(self, name)[slots] = values
        numbers = ((first_n + np.arange(count)) & 0xFFFFFFFF).astype(np.uint32)
        self.number_of.update(zip(batch.id_list, numbers.tolist(), strict=True))
        return numbers

    def _put(self, slot: int, bodies: list[bytes]) -> None:
        """Lay bodies into the slots from `slot` on, which belong to the next arrival numbers."""
        end, end_n = slot + len(bodies), self.next_n + len(bodies)
        for leaving in range(slot, min(end, len(self.body))):
            self._evict(leaving)
            self._body_bytes -= len(self.body[leaving])
            self.next_n += 1
        self.next_n = end_n
        if end > len(self.tweet_id):
            self._columns_for(min(self.capacity, max(end, len(self.tweet_id) * 2)))
        self.body[slot:end] = bodies
        self.orig[slot:end] = [None] * len(bodies)
        self._body_bytes += sum(map(len, bodies))

    def _evict(self, slot: int) -> None:
        self._drop_pieces(slot)
        tweet_id = int(self.tweet_id[slot])
        leaving = (self.next_n - self.capacity) & 0xFFFFFFFF
        if self.number_of.get(tweet_id) == leaving:  # a tweet that was deleted and came again has a newer number
            del self.number_of[tweet_id]
            self.evicted.append(tweet_id)
            self.mentions.pop(tweet_id, None)
        if tweet_id > self.lost_max_id:
            self.lost_max_id = tweet_id

    def mark_deleted(self, tweet_id: int) -> bool:
        """Make a deleted tweet invisible; its number is not handed out again. Return whether it was here."""
        n = self.number_of.pop(tweet_id, None)
        if n is None:
            return False
        self.mentions.pop(tweet_id, None)
        slot = n & self.mask
        self.flags[slot] |= kernels.FLAG_DELETED
        self._body_bytes -= len(self.body[slot])
        self.body[slot], self.orig[slot] = b"", None
        self._drop_pieces(slot)
        self.evicted.append(tweet_id)
        return True

    def set_counts(self, tweet_id: int, replies: int, reposts: int, likes: int) -> bool:
        """Take over new counts, in what is kept of the tweet as well. Return whether it is here."""
        n = self.number_of.get(tweet_id)
        if n is None:
            return False
        slot = n & self.mask
        self.replies[slot], self.reposts[slot], self.likes[slot] = replies, reposts, likes
        for pieces in self.pieces:
            pieces.recount(slot, replies, reposts, likes)
        return True

    def set_body(self, tweet_id: int, body: bytes) -> bool:
        """Take over what a tweet says now; its pieces are made again when next read. Return whether it is here."""
        n = self.number_of.get(tweet_id)
        if n is None:
            return False
        slot = n & self.mask
        self._body_bytes += len(body) - len(self.body[slot])
        self.body[slot] = body
        self._drop_pieces(slot)
        return True

    def reposts_of(self, orig_id: int) -> list[tuple[int, bytes]]:
        """Return (tweet id, packed original) of all reposts of a tweet that are here. 0.5 us a thousand arrivals."""
        found = []
        for slot in np.nonzero(self.orig_id[: len(self.body)] == orig_id)[0].tolist():
            tweet_id, packed = self.tweet_id.item(slot), self.orig[slot]
            n = self.number_of.get(tweet_id)
            if packed is not None and n is not None and n & self.mask == slot:
                found.append((tweet_id, packed))
        return found

    def set_original(self, repost_id: int, packed: bytes) -> None:
        """Replace the packed original of a repost that is here."""
        self.orig[self.number_of[repost_id] & self.mask] = packed  # its own piece doesn't show it

    def counts(self, n: int) -> tuple[int, int, int]:
        """Return (replies, reposts, likes) as this shard knows them of arrival n, which must be alive."""
        slot = n & self.mask
        return self.replies.item(slot), self.reposts.item(slot), self.likes.item(slot)

    def is_alive(self, n: int) -> bool:
        """Whether the window still holds arrival n."""
        return 1 <= ((self.next_n - n) & 0xFFFFFFFF) <= self.capacity

    def above_lost(self, ns: npt.NDArray[np.uint32], floor: int) -> tuple[npt.NDArray[np.uint32], int]:
        """Cut off everything up to the newest lost entry; the floor rises to just below what remains."""
        age = (np.uint32(self.next_n & 0xFFFFFFFF) - ns).astype(np.int64)
        lost = np.nonzero((age < 1) | (age > self.capacity))[0]
        if not len(lost):
            return ns, floor
        ns = ns[lost[-1] + 1 :]
        edge = int(self.tweet_id[int(ns[0]) & self.mask]) - 1 if len(ns) else self.lost_max_id
        return ns, max(floor, edge)

    def swept(self) -> None:
        """Note that no ring and no pull log holds a lost entry now."""
        self.next_sweep_n = self.next_n + SWEEP_EVERY

    def entry(self, n: int) -> Entry:
        """Return the tweet with arrival number n, which must be alive."""
        s = n & self.mask
        tweet_id = self.tweet_id.item(s)
        return Entry(
            tweet_id, self.author_id.item(s), self.flags.item(s), self.reply_author.item(s), self.orig_id.item(s),
            self.orig_author.item(s), self.replies.item(s), self.reposts.item(s), self.likes.item(s), self.body[s],
            self.mentions.get(tweet_id, []), self.orig[s],
        )  # fmt: skip

    def columns_of(self, tweet_ids: list[int]) -> dict[str, Any]:
        """Return tweets that are here as checkpoint columns (see `snapshot.py`), in that order. 0.6 us each."""
        slots = [self.number_of[tweet_id] & self.mask for tweet_id in tweet_ids]
        found: dict[str, Any] = {name: getattr(self, name)[slots].astype(np.int64) for name in NUMBERS}
        found["body"] = [self.body[s] for s in slots]
        found["mentions"] = [pack(self.mentions[t]) if t in self.mentions else NO_MENTIONS for t in tweet_ids]
        found["orig"] = [self.orig[s] for s in slots]
        return found

    def nbytes(self) -> int:
        """Bytes of the columns and the bodies (pieces excluded). O(1)."""
        columns = sum(int(getattr(self, name).nbytes) for name in NUMBERS)
        return columns + self._body_bytes + BYTES_OBJECT * len(self.body)

    def check(self) -> list[str]:
        """Return violations: every number is alive and names its tweet; none is newer than `newest_id`; pieces."""
        problems = [problem for pieces in self.pieces for problem in pieces.check()]
        for tweet_id, n in self.number_of.items():
            if not self.is_alive(n) or int(self.tweet_id[n & self.mask]) != tweet_id:
                problems.append(f"arrival number {n} does not lead to tweet {tweet_id}")
        if self.number_of and max(self.number_of) > self.newest_id:
            problems.append(f"tweet {max(self.number_of)} is newer than the newest arrival {self.newest_id}")
        return problems
