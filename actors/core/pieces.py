"""What a renderer has made of tweets and accounts, kept until it changes: caches beside the state, bounded in bytes.

    body piece      by slot of the arrivals      a tweet's own facts, and its counts at the end: a count patches the end
    account piece   by account id                who wrote it

Rules of this file
- A body piece depends on its entry alone, without what that reposts; an account piece on the account alone. Neither
  knows a reader. So they are never part of the state: whatever was given up is made again, the same to the letter.
- Nothing happens on a hit: pages take pieces out of `kept` by slots, many at once, and nobody notes which.
- So what was made first goes first. Tweets are read while they are new, and are made when first read: the order in
  which they were made is as a rule the order in which they are no longer wanted. Finding what to give up takes one
  step, whatever the window; a clock over slots would have to pass by all those of which nothing is kept.
- A slot has at most one place in the queue, which it keeps while its piece is dropped and made again. A tweet that is
  edited often goes a little sooner, but neither the queue nor the bytes can grow beyond their bounds.

Costs: 1 us to keep a piece and to give another up; a new count 0.8 us; 9 bytes a slot of the window besides.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, Protocol

from actors.core.entries import Entry

PIECE_BYTES: Final = 72  # what CPython adds to a piece: its object, its place in the queue, and the number there
MAPPED_BYTES: Final = 60  # and where a dict finds it
ORDERED_BYTES: Final = 70  # and what an OrderedDict has beside: of a dict the first is found by passing over what went


class PieceMaker(Protocol):
    """What a renderer does with one tweet by itself."""

    def piece(self, entry: Entry) -> bytes:
        """Return what is shown of a tweet itself, without what it reposts."""
        ...

    def recount(self, piece: bytes, replies: int, reposts: int, likes: int) -> bytes:
        """Return the same piece with other counts: nothing is made anew."""
        ...


class Pieces:
    """What one renderer has made of the tweets in the window, by slot."""

    def __init__(self, renderer: PieceMaker, bytes_max: int) -> None:
        """bytes_max: of the pieces with what each costs beside; the 9 bytes of each slot aren't counted."""
        self.renderer, self.bytes_max = renderer, bytes_max
        self.kept: list[bytes | None] = []  # of tweets that repost nothing; the same list for ever
        self.of_reposts: dict[int, bytes] = {}
        self.bytes_held = 0
        self.evicted_count = 0
        self._queue: deque[int] = deque()
        self._queued = bytearray()  # by slot, whether it has a place in the queue

    def cover(self, slots: int) -> None:
        """Have room for so many slots, no fewer than before."""
        new = slots - len(self.kept)
        self.kept += [None] * new
        self._queued += bytes(new)

    def of(self, slot: int) -> bytes | None:
        """Return the piece of a slot if it is kept."""
        return self.kept[slot] or self.of_reposts.get(slot)

    def put(self, slot: int, piece: bytes, is_repost: bool) -> None:
        """Keep the piece of a slot that has none, and give up what was made first until there is room."""
        self.bytes_held += len(piece) + PIECE_BYTES
        if is_repost:
            self.of_reposts[slot] = piece
            self.bytes_held += MAPPED_BYTES
        else:
            self.kept[slot] = piece
        if not self._queued[slot]:
            self._queued[slot] = 1
            self._queue.append(slot)
        if self.bytes_held > self.bytes_max:
            self._make_room()

    def _make_room(self) -> None:
        while self.bytes_held > self.bytes_max:
            slot = self._queue.popleft()
            self._queued[slot] = 0
            self.evicted_count += self.drop(slot)

    def drop(self, slot: int) -> bool:
        """Forget the piece of a slot: the tweet says something else, or is another. Return whether there was one."""
        piece = self.kept[slot]
        if piece is not None:
            self.kept[slot] = None
        elif self.of_reposts and slot in self.of_reposts:
            piece = self.of_reposts.pop(slot)
            self.bytes_held -= MAPPED_BYTES
        else:
            return False
        self.bytes_held -= len(piece) + PIECE_BYTES
        return True

    def recount(self, slot: int, replies: int, reposts: int, likes: int) -> None:
        """Show other counts in the piece of a slot, if it is kept."""
        piece = self.of(slot)
        if piece is None:
            return
        patched = self.renderer.recount(piece, replies, reposts, likes)
        if self.kept[slot] is None:
            self.of_reposts[slot] = patched
        else:
            self.kept[slot] = patched
        self.bytes_held += len(patched) - len(piece)
        if self.bytes_held > self.bytes_max:
            self._make_room()

    def check(self) -> list[str]:
        """Return violations: bytes are counted right and within their bound; what is kept is queued, and once."""
        kept = {slot: piece for slot, piece in enumerate(self.kept) if piece is not None}
        counted = sum(len(piece) + PIECE_BYTES for piece in (*kept.values(), *self.of_reposts.values()))
        counted += MAPPED_BYTES * len(self.of_reposts)
        problems = []
        if counted != self.bytes_held or counted > self.bytes_max:
            problems.append(f"pieces take {counted} bytes, counted as {self.bytes_held}, of at most {self.bytes_max}")
        queued = set(self._queue)
        if not {*kept, *self.of_reposts} <= queued or len(queued) != len(self._queue):
            problems.append(f"{len(kept) + len(self.of_reposts)} pieces are kept, {len(self._queue)} slots are queued")
        if queued != {slot for slot, is_queued in enumerate(self._queued) if is_queued}:
            problems.append("slots are queued that aren't marked so, or marked and not queued")
        return problems


class AccountPieces:
    """What one renderer has made of accounts, by id. Who changes an account drops its piece (`people.py`)."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_held = 0
        self.evicted_count = 0
        self.of: OrderedDict[int, bytes] = OrderedDict()  # in the order in which they were made

    def put(self, account_id: int, piece: bytes) -> None:
        """Keep the piece of an account that has none, and give up what was made first until there is room."""
        self.of[account_id] = piece
        self.bytes_held += len(piece) + PIECE_BYTES + MAPPED_BYTES + ORDERED_BYTES
        while self.bytes_held > self.bytes_max:
            self.drop(next(iter(self.of)))
            self.evicted_count += 1

    def drop(self, account_id: int) -> None:
        """Forget the piece of an account, if it is kept."""
        piece = self.of.pop(account_id, None)
        if piece is not None:
            self.bytes_held -= len(piece) + PIECE_BYTES + MAPPED_BYTES + ORDERED_BYTES
