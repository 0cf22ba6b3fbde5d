"""How tweets are shown, put together from pieces: a shape is one renderer on one shard, with what it has made.

    Renderer (`pieces.py`)     one tweet, one account               knows JSON
    Shape                      pages, originals, pieces kept        knows the shard
    HomeTimelines, Lookups     which tweets                         know neither: they are given a shape

    WholeShape     the piece is the tweet, so a page is joined from what is kept; a repost holds its original's

Rules of this file
- A request is answered in one shape from its beginning to its end: by `HomeTimelines` and `Lookups` that were made for
  it, so no operation has an argument for it.

Costs: 20 whole tweets that are kept 1.5 us; with a repost among them 5 us.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from actors.core.entries import Entry, unpack
from actors.core.pieces import Pieces, Renderer

if TYPE_CHECKING:
    from actors.core.state import ShardState

Item = tuple[int, bytes]  # tweet id, JSON


def array_of(objects: list[bytes]) -> bytes:
    """Return some JSON objects, one at least, as an array. The brackets go to the ends: one copy of the whole."""
    objects[0] = b"[" + objects[0]
    objects[-1] += b"]"
    return b",".join(objects)


class Shape(ABC):
    """One way to show this shard's tweets. reader: account id of who is shown them, 0 for nobody."""

    def __init__(self, state: ShardState, renderer: Renderer) -> None:
        self.pieces = Pieces(renderer, state.tuning.pieces_bytes_max)
        self._arrivals = state.arrivals
        state.arrivals.keep(self.pieces)

    def piece_at(self, slot: int) -> bytes:
        """Return the piece of an arrival, made if it isn't kept. A page takes it from here even if it isn't kept."""
        known = self.pieces.of(slot)
        if known is not None:
            return known
        entry = self._arrivals.entry(slot)
        made = self.pieces.renderer.piece(entry)
        self.pieces.put(slot, made, entry.orig is not None)
        return made

    def piece_of(self, entry: Entry) -> bytes:
        """Return the piece of an own tweet: an arrival's where there is one, with the counts of this moment."""
        n = self._arrivals.number_of.get(entry.tweet_id)
        if n is None:
            return self.pieces.renderer.piece(entry)
        piece = self.piece_at(n & self._arrivals.mask)
        if self._arrivals.counts(n) == entry[6:9]:
            return piece
        return self.pieces.renderer.recount(piece, *entry[6:9])

    def ready(self, slots: Sequence[int]) -> tuple[bytes, ...] | None:
        """Return the JSON of two arrivals or more if all of it is kept as it is shown to everybody."""
        return None

    @abstractmethod
    def array(self, slots: list[int], reader: int) -> bytes:
        """Return some arrivals, one at least, as a JSON array."""

    @abstractmethod
    def arrived(self, n: int, reader: int = 0) -> bytes:
        """Return the JSON of an arrival (number or slot), with the counts that were told last."""

    @abstractmethod
    def items(self, slots: list[int], reader: int) -> list[Item]:
        """Return (tweet id, JSON) of some arrivals."""

    @abstractmethod
    def pulled(self, entries: list[Entry], reader: int) -> list[Item]:
        """Return (tweet id, JSON) of tweets that other shards have told, as arrivals show them where they are here."""

    @abstractmethod
    def tweet(self, entry: Entry, reader: int) -> bytes:
        """Return the JSON of an own tweet or repost, with the counts of this moment."""


class WholeShape(Shape):
    """Tweets that look the same to everybody."""

    def __init__(self, state: ShardState, renderer: Renderer) -> None:
        super().__init__(state, renderer)
        self._renderer, self._kept = renderer, self.pieces.kept

    def ready(self, slots: Sequence[int]) -> tuple[bytes, ...] | None:
        found: tuple[bytes | None, ...] = itemgetter(*slots)(self._kept)
        return None if None in found else found  # type: ignore[return-value]

    def array(self, slots: list[int], reader: int) -> bytes:
        try:  # spelled out: a call more would be 2 % of a home page
            objects: list[Any] = list(itemgetter(*slots, -1)(self._kept))  # 20 calls would cost more than the kernel
            objects.pop()
            objects[0] = b"[" + objects[0]
            objects[-1] += b"]"
            return b",".join(objects)
        except TypeError:  # one of them at least is a repost, or has still to be rendered
            return array_of([*map(self.arrived, slots)])

    def arrived(self, n: int, reader: int = 0) -> bytes:
        a = self._arrivals
        slot = n & a.mask
        known = self._kept[slot]
        if known is not None:
            return known
        piece, packed = self.piece_at(slot), a.orig[slot]
        return piece if packed is None else self._renderer.join(piece, self._original(a.orig_id.item(slot), packed))

    def _original(self, orig_id: int, packed: bytes) -> bytes:
        """Return what a repost reposts: the copy with fresh counts if it is here, else the one inside."""
        n = self._arrivals.number_of.get(orig_id)
        return self._renderer.piece(Entry(*unpack(packed))) if n is None else self.arrived(n)

    def items(self, slots: list[int], reader: int) -> list[Item]:
        tweet_id = self._arrivals.tweet_id
        return [(tweet_id.item(slot), self.arrived(slot)) for slot in slots]

    def pulled(self, entries: list[Entry], reader: int) -> list[Item]:
        number_of = self._arrivals.number_of
        return [
            (e.tweet_id, self._shown(e, self._renderer.piece(e)) if n is None else self.arrived(n))
            for e in entries
            for n in (number_of.get(e.tweet_id),)
        ]

    def tweet(self, entry: Entry, reader: int) -> bytes:
        n = self._arrivals.number_of.get(entry.tweet_id)
        if n is not None:
            known = self._kept[n & self._arrivals.mask]
            if known is not None and self._arrivals.counts(n) == entry[6:9]:
                return known
        return self._shown(entry, self.piece_of(entry))

    def _shown(self, entry: Entry, piece: bytes) -> bytes:
        return piece if entry.orig is None else self._renderer.join(piece, self._original(entry.orig_id, entry.orig))
