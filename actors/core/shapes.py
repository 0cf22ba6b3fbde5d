"""How tweets are shown, put together from pieces: a shape is one renderer on one shard, with what it has made.

    Renderer                   one tweet, one account               knows JSON (`render.py`)
    Shape                      pages, originals, pieces kept        knows the shard
    HomeTimelines, Lookups     which tweets                         know neither: they are given a shape

    WholeShape     the piece is the tweet, so a page is joined from what is kept; a repost holds its original's
    JoinedShape    piece + account + end, by the reader's flags (`joining.py`); what is joined is never kept

Rules of this file
- A request is answered in one shape from its beginning to its end: by `HomeTimelines` and `Lookups` that were made for
  it, so no operation has an argument for it. Which shapes there are is `shape_table.py`, how one is asked for
  `shaped_reads.py`.
- Flags are the reader's own: his shard knows them. So home timelines are joined here; of anything else the pieces are
  the answer, and whoever asked joins them with the flags that the reader's shard tells.

Costs: 20 whole tweets that are kept 1 us; joined 6 us, for a reader with 1,000 likes 9; each repost 2 us more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from actors.core.account_counts import counts_of
from actors.core.cards import Cards, read_card
from actors.core.entries import Entry, unpack
from actors.core.facts import read_facts
from actors.core.joining import Ints, JoiningRenderer, TweetPieces, flagged, join_tweets
from actors.core.pieces import AccountPieces, PieceMaker, Pieces
from actors.core.render import render_card
from actors.core.stores.people import NO_COUNTS, Account

if TYPE_CHECKING:
    from actors.core.state import ShardState

Item = tuple[int, Any]  # tweet id, and what is shown of it: JSON, or of a joined shape its pieces
# (reader, tweets, originals, authors) -> a byte of each, or None if there is nothing of any
FlagsOf = Callable[[int, Ints, list[int], list[int]], bytes | None]


class Renderer(PieceMaker, Protocol):
    """How tweets are shown that look the same to everybody: of one that reposts nothing the piece is all of it."""

    def join(self, piece: bytes, original: bytes) -> bytes:
        """Return a repost with what it reposts."""
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
    def arrived(self, n: int) -> Any:
        """Return what is shown of an arrival (number or slot), with the counts that were told last."""

    @abstractmethod
    def items(self, slots: list[int]) -> list[Item]:
        """Return some arrivals."""

    @abstractmethod
    def pulled(self, entries: list[Entry]) -> list[Item]:
        """Return tweets that other shards have told, as arrivals show them where they are here."""

    @abstractmethod
    def tweet(self, entry: Entry) -> Any:
        """Return what is shown of an own tweet or repost, with the counts of this moment."""

    @abstractmethod
    def listed(self, entries: list[Entry]) -> Any:
        """Return own tweets, or none, as a page of them is answered."""

    @abstractmethod
    def account(self, account: Account) -> bytes:
        """Return what a list of users shows of an own account."""


class WholeShape(Shape):
    """Tweets that look the same to everybody."""

    def __init__(self, state: ShardState, renderer: Renderer) -> None:
        super().__init__(state, renderer)
        self._renderer, self._kept = renderer, self.pieces.kept
        self._media_base = state.tuning.media_base

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

    def arrived(self, n: int) -> bytes:
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

    def items(self, slots: list[int]) -> list[Item]:
        tweet_id = self._arrivals.tweet_id
        return [(tweet_id.item(slot), self.arrived(slot)) for slot in slots]

    def pulled(self, entries: list[Entry]) -> list[Item]:
        number_of = self._arrivals.number_of
        return [
            (e.tweet_id, self._shown(e, self._renderer.piece(e)) if n is None else self.arrived(n))
            for e in entries
            for n in (number_of.get(e.tweet_id),)
        ]

    def tweet(self, entry: Entry) -> bytes:
        n = self._arrivals.number_of.get(entry.tweet_id)
        if n is not None:
            known = self._kept[n & self._arrivals.mask]
            if known is not None and self._arrivals.counts(n) == entry[6:9]:
                return known
        return self._shown(entry, self.piece_of(entry))

    def listed(self, entries: list[Entry]) -> bytes:
        return array_of([*map(self.tweet, entries)]) if entries else b"[]"

    def account(self, account: Account) -> bytes:
        return render_card(account, self._media_base)

    def _shown(self, entry: Entry, piece: bytes) -> bytes:
        return piece if entry.orig is None else self._renderer.join(piece, self._original(entry.orig_id, entry.orig))


class JoinedShape(Shape):
    """Tweets with the accounts of their authors and with what the reader has done about them."""

    def __init__(self, state: ShardState, renderer: JoiningRenderer, flags_of: FlagsOf) -> None:
        """flags_of: what an account of this shard has done; raises NotFoundError or MovedError for any other."""
        super().__init__(state, renderer)
        self._state, self._renderer, self._people, self._flags_of = state, renderer, state.people, flags_of
        # of those that aren't the last of their array
        self._ends, self._closings = ([end + b"," for end in ends] for ends in (renderer.ends, renderer.closings))
        if state.cards is None:
            state.cards = Cards(state.tuning.cards_max, state.people.changed)
        self._cards = state.cards
        self._unknown: set[int] = set()  # authors elsewhere who were shown by their names alone, see `take_unknown`
        self.accounts = AccountPieces(state.tuning.pieces_bytes_max // 2)
        state.people.pieces.append(self.accounts)

    def array(self, slots: list[int], reader: int) -> bytes:
        """As `Shape.array`."""
        return b"".join(self._parts(slots, reader))

    def array_and_places(self, slots: list[int], reader: int) -> tuple[bytes, list[int]]:
        """Return `array`, and where each begins in it: for whom something is still put into them."""
        parts = self._parts(slots, reader)
        places = [1, *accumulate(map(len, parts))]
        return b"".join(parts), places[:-1:3]

    def _parts(self, slots: list[int], reader: int) -> list[bytes]:
        """Return three parts of each, as they stand in `array`. Spelled out: calls for each would double the cost."""
        a, index = self._arrivals, np.array(slots)
        pieces: list[Any] = list(itemgetter(*slots, -1)(self.pieces.kept))
        pieces.pop()
        originals = self._fill(pieces, slots) if None in pieces else None
        author_ids, of = a.author_id[index].tolist(), self.accounts.of
        try:
            accounts = [of[author_id] for author_id in author_ids]
        except KeyError:
            accounts = [self._account(i, a.body[slot]) for i, slot in zip(author_ids, slots, strict=True)]
        flags = None
        if reader:
            tweet_ids, orig_ids = a.tweet_id[index], a.orig_id[index].tolist()
            if originals:
                inner_ids = [tweet.tweet_id for tweet in originals.values()]
                tweet_ids = np.concatenate((tweet_ids, np.array(inner_ids)))
                orig_ids += inner_ids
                author_ids += [tweet.author_id for tweet in originals.values()]
            flags = self._flags_of(reader, tweet_ids, orig_ids, author_ids)
        ends = self._ends
        last = [ends[0]] * len(slots) if flags is None else [ends[flag] for flag in flags[: len(slots)]]
        if originals:
            self._end_reposts(last, originals, flags)
        whole = [b""] * (3 * len(slots))
        whole[::3], whole[1::3], whole[2::3] = pieces, accounts, last
        whole[0], whole[-1] = b"[" + pieces[0], last[-1][:-1] + b"]"
        return whole

    def _fill(self, pieces: list[Any], slots: list[int]) -> dict[int, TweetPieces]:
        """Put in the pieces that aren't kept as plain tweets' are; return what reposts among all repost, by place."""
        originals, a, of_reposts = {}, self._arrivals, self.pieces.of_reposts
        for place, slot in enumerate(slots):
            if pieces[place] is None:
                pieces[place] = of_reposts.get(slot) or self.piece_at(slot)
                packed = a.orig[slot]
                if packed is not None:
                    originals[place] = self._original(a.orig_id.item(slot), packed)
        return originals

    def _end_reposts(self, last: list[bytes], originals: dict[int, TweetPieces], flags: bytes | None) -> None:
        """Put in what reposts end with. flags: those of a page, and of the originals behind them."""
        opening, ends = self._renderer.opening, self._renderer.ends
        own = its = 0
        for nth, (place, inner) in enumerate(originals.items(), start=len(last)):
            if flags is not None:
                own, its = flags[place], flags[nth]
            last[place] = b"".join((opening, inner.piece, inner.account, ends[its], self._closings[own]))

    def joined(self, tweets: list[TweetPieces], reader: int) -> list[bytes]:
        """Return the JSON of each, as an account of this shard is shown it; reader: 0 for nobody."""
        flags = None
        if reader and tweets:
            tweet_ids, orig_ids, author_ids = flagged(tweets)
            flags = self._flags_of(reader, np.array(tweet_ids), orig_ids, author_ids)
        return join_tweets(self._renderer, tweets, flags)

    def arrived(self, n: int) -> TweetPieces:
        a, slot = self._arrivals, n & self._arrivals.mask
        packed, orig_id, author_id, body = a.orig[slot], a.orig_id.item(slot), a.author_id.item(slot), a.body[slot]
        account = self.accounts.of.get(author_id) or self._account(author_id, body)
        original = None if packed is None else self._original(orig_id, packed)
        return TweetPieces(a.tweet_id.item(slot), author_id, orig_id, self.piece_at(slot), account, original)

    def items(self, slots: list[int]) -> list[Item]:
        return [(tweet.tweet_id, tweet) for tweet in map(self.arrived, slots)]

    def pulled(self, entries: list[Entry]) -> list[Item]:
        number_of = self._arrivals.number_of
        return [
            (e.tweet_id, self._shown(e, self._renderer.piece(e)) if n is None else self.arrived(n))
            for e in entries
            for n in (number_of.get(e.tweet_id),)
        ]

    def tweet(self, entry: Entry) -> TweetPieces:
        return self._shown(entry, self.piece_of(entry))

    def listed(self, entries: list[Entry]) -> list[TweetPieces]:
        return [*map(self.tweet, entries)]

    def _shown(self, entry: Entry, piece: bytes) -> TweetPieces:
        original = None if entry.orig is None else self._original(entry.orig_id, entry.orig)
        account = self._account(entry.author_id, entry.body)
        return TweetPieces(entry.tweet_id, entry.author_id, entry.orig_id, piece, account, original)

    def _original(self, orig_id: int, packed: bytes) -> TweetPieces:
        """As `WholeShape._original`."""
        n = self._arrivals.number_of.get(orig_id)
        if n is not None:
            return self.arrived(n)
        entry = Entry(*unpack(packed))
        return self._shown(entry, self._renderer.piece(entry))

    def account(self, account: Account) -> bytes:
        return self._account(account.account_id, b"")

    def _account(self, author_id: int, body: bytes) -> bytes:
        """Return what is shown of an author; body: of a tweet of his, which has his name."""
        known = self.accounts.of.get(author_id)
        if known is not None:
            return known
        account = self._people.get(author_id)
        if account is not None:
            counts = counts_of(self._state, self._people.row_of[author_id])
        elif facts := self._cards.get(author_id):
            account, counts = read_card(author_id, facts)
        else:
            account, counts = Account(author_id, read_facts(body).username, 0), NO_COUNTS
            if facts is None and self._state.shard_of_account(author_id) != self._state.shard:
                self._unknown.add(author_id)
                return self._renderer.account(account, counts)
        made = self._renderer.account(account, counts)
        self.accounts.put(author_id, made)
        return made

    def take_unknown(self) -> dict[int, list[int]]:
        """Return, by their shards, and forget whom pages have shown by name alone since this was last asked."""
        if not self._unknown:
            return {}
        unknown, self._unknown = self._unknown, set()
        return self._by_shard(unknown)

    def unknown_among(self, tweets: list[TweetPieces]) -> dict[int, list[int]]:
        """Return, by their shards, the authors of some tweets, and of what they repost, of whom nothing is known."""
        _, _, author_ids = flagged(tweets)
        people, cards = self._people.row_of, self._cards
        return self._by_shard({i for i in author_ids if i not in people and i not in cards})

    def _by_shard(self, account_ids: set[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for account_id in sorted(account_ids):
            found.setdefault(self._state.shard_of_account(account_id), []).append(account_id)
        found.pop(self._state.shard, None)  # who is not here, though he would be, is nowhere
        return found

    def again(self, tweet: TweetPieces) -> TweetPieces:
        """Return a tweet with the accounts that are known by now."""
        original = None if tweet.original is None else self.again(tweet.original)
        is_known = tweet.author_id in self._people.row_of or self._cards.get(tweet.author_id)
        account = self._account(tweet.author_id, b"") if is_known else tweet.account
        return tweet._replace(account=account, original=original)
