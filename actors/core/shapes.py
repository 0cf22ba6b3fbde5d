"""How tweets are shown, put together from pieces: a shape is one renderer on one shard, with what it has made.

    Renderer                   one tweet, one account               knows JSON (`render.py`)
    Shape                      pages, originals, pieces kept        knows the shard
    HomeTimelines, Lookups     which tweets                         know neither: they are given a shape

    WholeShape     the piece is the tweet, so a page is joined from what is kept; a repost holds its original's
    JoinedShape    piece + account + the reader's flags, a repost with those of its original as well; never kept

Rules of this file
- A request is answered in one shape from its beginning to its end: by `HomeTimelines` and `Lookups` that were made for
  it, so no operation has an argument for it.
- Flags are the reader's own: his shard knows them. A tweet for a reader of another shard is refused, not shown wrong.
- An account of another shard is shown by the name that its tweet carries: what else it is is known over there.

Costs: 20 whole tweets that are kept 1.5 us; joined 45 us, of which flags 11.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from actors.core.entries import Entry, unpack
from actors.core.facts import read_facts
from actors.core.pieces import AccountPieces, PieceMaker, Pieces
from actors.core.stores.people import Account

if TYPE_CHECKING:
    from actors.core.state import ShardState

Item = tuple[int, bytes]  # tweet id, JSON
# (reader, tweets, originals, authors) -> a byte of each
FlagsOf = Callable[[int, list[int], list[int], list[int]], bytes]


class Renderer(PieceMaker, Protocol):
    """How tweets are shown that look the same to everybody: of one that reposts nothing the piece is all of it."""

    def join(self, piece: bytes, original: bytes) -> bytes:
        """Return a repost with what it reposts."""
        ...


class JoiningRenderer(PieceMaker, Protocol):
    """How tweets are shown with their author's account and what the reader has done about them."""

    def account(self, account: Account) -> bytes:
        """Return what is shown of an author; of one from elsewhere nothing but the id and the name are known."""
        ...

    def join(self, piece: bytes, account: bytes, flags: int, original: bytes | None) -> bytes:
        """Return a tweet. flags: the reader's (`features/viewer_flags.py`); original: what it reposts, joined."""
        ...


def array_of(objects: list[bytes]) -> bytes:
    """Return some JSON objects, one at least, as an array. The brackets go to the ends: one copy of the whole."""
    objects[0] = b"[" + objects[0]
    objects[-1] += b"]"
    return b",".join(objects)


class Shape(ABC):
    """One way to show this shard's tweets. reader: account id of who is shown them, 0 for nobody."""

    def __init__(self, state: ShardState, renderer: PieceMaker) -> None:
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


class _Part(NamedTuple):
    """A tweet on its way to be joined. body: its packed facts; original: of a repost."""

    tweet_id: int
    author_id: int
    orig_id: int
    piece: bytes
    body: bytes
    original: _Part | None


class JoinedShape(Shape):
    """Tweets with the accounts of their authors and with what the reader has done about them."""

    def __init__(self, state: ShardState, renderer: JoiningRenderer, flags_of: FlagsOf) -> None:
        """flags_of: what an account of this shard has done; raises NotFoundError or MovedError for any other."""
        super().__init__(state, renderer)
        self._renderer, self._people, self._flags_of = renderer, state.people, flags_of
        self.accounts = AccountPieces(state.tuning.pieces_bytes_max // 2)
        state.people.pieces.append(self.accounts)

    def array(self, slots: list[int], reader: int) -> bytes:
        return array_of(self._join([self._at(slot) for slot in slots], reader))

    def arrived(self, n: int, reader: int = 0) -> bytes:
        return self._join([self._at(n & self._arrivals.mask)], reader)[0]

    def items(self, slots: list[int], reader: int) -> list[Item]:
        return self._items([self._at(slot) for slot in slots], reader)

    def pulled(self, entries: list[Entry], reader: int) -> list[Item]:
        number_of, mask = self._arrivals.number_of, self._arrivals.mask
        numbers = [number_of.get(entry.tweet_id) for entry in entries]
        parts = [
            self._of(entry, self._renderer.piece(entry)) if n is None else self._at(n & mask)
            for entry, n in zip(entries, numbers, strict=True)
        ]
        return self._items(parts, reader)

    def tweet(self, entry: Entry, reader: int) -> bytes:
        return self._join([self._of(entry, self.piece_of(entry))], reader)[0]

    def _at(self, slot: int) -> _Part:
        a, packed = self._arrivals, self._arrivals.orig[slot]
        orig_id = a.orig_id.item(slot)
        original = None if packed is None else self._original(orig_id, packed)
        author_id = a.author_id.item(slot)
        return _Part(a.tweet_id.item(slot), author_id, orig_id, self.piece_at(slot), a.body[slot], original)

    def _of(self, entry: Entry, piece: bytes) -> _Part:
        original = None if entry.orig is None else self._original(entry.orig_id, entry.orig)
        return _Part(entry.tweet_id, entry.author_id, entry.orig_id, piece, entry.body, original)

    def _original(self, orig_id: int, packed: bytes) -> _Part:
        """As `WholeShape._original`."""
        n = self._arrivals.number_of.get(orig_id)
        if n is not None:
            return self._at(n & self._arrivals.mask)
        entry = Entry(*unpack(packed))
        return self._of(entry, self._renderer.piece(entry))

    def _account(self, part: _Part) -> bytes:
        known = self.accounts.of.get(part.author_id)
        if known is not None:
            return known
        account = self._people.get(part.author_id)
        if account is None:
            account = Account(part.author_id, read_facts(part.body).username, 0)
        made = self._renderer.account(account)
        self.accounts.put(part.author_id, made)
        return made

    def _items(self, parts: list[_Part], reader: int) -> list[Item]:
        return [(part.tweet_id, json) for part, json in zip(parts, self._join(parts, reader), strict=True)]

    def _join(self, parts: list[_Part], reader: int) -> list[bytes]:
        """Return the JSON of each. The reader's flags are asked for once, for all of them and what they repost."""
        shown = [*parts, *(part.original for part in parts if part.original is not None)]
        flags: bytes = bytes(len(shown))
        if reader and shown:
            columns = zip(*((part.tweet_id, part.orig_id, part.author_id) for part in shown), strict=True)
            flags = self._flags_of(reader, *map(list, columns))
        of_originals = iter(flags[len(parts) :])
        join = self._renderer.join
        joined = []
        for part, flag in zip(parts, flags, strict=False):
            inner, original = part.original, None
            if inner is not None:
                original = join(inner.piece, self._account(inner), next(of_originals), None)
            joined.append(join(part.piece, self._account(part), flag, original))
        return joined
