"""The documents of a shard's accounts, tweets and things, and when they fall due. What features keep papers in.

    owner (id of any sort), key  --> papers.py           what changes is noted by (kind, owner, key), as of shelves
                                 `--> due.py             for kinds that fall due, of owners that are this shard's:
                                                 what the command `due` takes, and what leaves the cluster

Rules of this file
- An owner is here: an account of this shard (or on its way here or away), a tweet that is stored, or a thing that has
  been founded. Whoever isn't has no papers, and putting one does nothing, unless it is one that founds a thing. When an
  owner goes, its papers go (`Shelves.clear_account`, `clear_tweet`, `clear_thing`); what founds goes that way only.
- Only what is this shard's falls due here: what is on its way here or away is looked at again when the map changes
  (`follow_account`, `follow_things`). When it falls due is a function of the document, so it is stored nowhere else.
- A kind's limit, and the shard's, are asked for before the command (`require_room`).

Costs: those of `papers.py` and `due.py`, and 0.5 us to note the change; a document that may fall due is unpacked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.core import limits
from actors.core.checkpoints.changes import Changes
from actors.core.errors import InvalidError, OverloadedError
from actors.core.stores.due import Due
from actors.core.stores.papers import Papers, pack_document, unpack_frozen
from actors.core.stores.people import People
from actors.core.stores.things import Things
from actors.core.stores.tweets import OwnTweets
from actors.core.terms import Owner, PaperKind

Ints = npt.NDArray[np.int64]


class PaperShelves:
    """The papers of one shard. kinds: all there are, by number; set once, before anything is put."""

    def __init__(
        self, people: People, tweets: OwnTweets, things: Things, changes: Callable[[], Changes],
        owns_bucket: Callable[[int], bool], tuning: limits.Tuning,
    ) -> None:  # fmt: skip
        """changes: where what changes is noted now; owns_bucket: whether a bucket is this shard's now."""
        self.kinds: dict[int, PaperKind] = {}
        self._of: dict[Owner, list[PaperKind]] = {sort: [] for sort in Owner}
        self.due = Due()
        self.outbound = Due()  # of kinds that leave the cluster
        self._papers = Papers()
        self._things = things
        self._find: dict[Owner, Callable[[int], int | None]] = {
            Owner.ACCOUNT: people.find, Owner.TWEET: tweets.find, Owner.THING: things.find,
        }  # fmt: skip
        self._changes, self._owns_bucket, self._bytes_max = changes, owns_bucket, tuning.papers_bytes_max

    def declare(self, kinds: Iterable[PaperKind]) -> None:
        """Make these kinds exist, without a document."""
        for kind in kinds:
            if kind.founds and (kind.owner is not Owner.THING or kind.limit != 1):
                raise ValueError(f"a {kind.name} founds nothing: that does one document of a thing")
            self.kinds[kind.number] = kind
        for sort in Owner:
            of_sort = [kind for kind in self.kinds.values() if kind.owner is sort]
            self._of[sort] = sorted(of_sort, key=lambda kind: not kind.founds)

    # ---- changes ------------------------------------------------------------------------------------------------

    def put(self, kind: PaperKind, owner: int, key: int, document: Any) -> bool:
        """Add or replace a document; False if nothing changes, or the owner isn't here."""
        return self.put_packed(kind, owner, key, pack_document(document))

    def put_packed(self, kind: PaperKind, owner: int, key: int, packed: bytes) -> bool:
        """As `put` for what `pack_document` made."""
        here = self._things.add(owner, kind.number) if kind.founds else self._find[kind.owner](owner) is not None
        if not here or not self._papers.put_packed(kind.number, owner, key, packed):
            return False
        self._note(kind, owner, key)
        self._set_due(kind, owner, key)
        return True

    def drop(self, kind: PaperKind, owner: int, key: int) -> bool:
        """Take a document away; False if there is none. Not what founds a thing: see `Shelves.drop_paper`."""
        if kind.founds:
            raise ValueError(f"a thing goes with its {kind.name}: use Shelves.drop_paper")
        return self._drop(kind, owner, key)

    def _drop(self, kind: PaperKind, owner: int, key: int) -> bool:
        if not self._papers.drop(kind.number, owner, key):
            return False
        self._note(kind, owner, key)
        self._due_of(kind).drop(owner, kind.number, key)
        return True

    def clear_kind(self, kind: PaperKind, owner: int) -> None:
        """Take all of an owner's documents of one kind away."""
        for key in self.keys(kind, owner):
            self.drop(kind, owner, key)

    def clear(self, sort: Owner, owner: int) -> None:
        """Take all of an owner's documents away: it goes."""
        for kind in self.kinds_of(sort):
            for key in self.keys(kind, owner):
                self._drop(kind, owner, key)
        if sort is Owner.THING:
            self._things.remove(owner)

    def fill(self, number: int, owners: Ints, keys: Ints, documents: list[bytes]) -> None:
        """Take the documents of a kind out of a checkpoint, in any order."""
        self._papers.fill(number, owners, keys, documents)
        kind = self.kinds[number]
        for thing_id in owners.tolist() if kind.founds else ():
            self._things.add(thing_id, number)
        if kind.due_ms is not None:
            for owner, key, packed in zip(owners.tolist(), keys.tolist(), documents, strict=True):
                self._set_due_of(kind, owner, key, unpack_frozen(packed))

    def follow_account(self, account_id: int, tweet_ids: list[int]) -> None:
        """Let what an account and its tweets have fall due here, or no longer: they are this shard's now, or not."""
        self._follow(Owner.ACCOUNT, [account_id])
        self._follow(Owner.TWEET, tweet_ids)

    def follow_things(self, thing_ids: list[int]) -> None:
        """As `follow_account` for things."""
        self._follow(Owner.THING, thing_ids)

    def _follow(self, sort: Owner, owners: list[int]) -> None:
        for kind in self.kinds_of(sort):
            if kind.due_ms is not None:
                for owner in owners:
                    for key in self.keys(kind, owner):
                        self._set_due(kind, owner, key)

    def pieces(self, kind: PaperKind, owner: int, bytes_min: int) -> Iterator[tuple[bool, list[list[Any]], int]]:
        """Yield (whether it is the first, [[key, packed document], ...], bytes) for another shard, one at least.

        A piece ends with the document that makes it bytes_min or more; what changes meanwhile has to be given again.
        """
        is_first, rows, size = True, list[list[Any]](), 0
        for key in self.keys(kind, owner):
            packed = self.packed(kind.number, owner, key)
            if packed is not None:
                rows.append([key, packed])
                size += len(packed)
            if size >= bytes_min:
                yield is_first, rows, size
                is_first, rows, size = False, [], 0
        if rows or is_first:
            yield is_first, rows, size

    def take_piece(self, number: int, owner: int, is_first: bool, rows: list[list[Any]]) -> None:
        """Take what another shard gives of an owner's documents: with the first piece those of before go.

        Not for the first of what founds a thing if there is nothing in it: then the thing is to go.
        """
        kind, given = self.kinds[number], {key for key, _ in rows}
        for key in [key for key in self.keys(kind, owner) if key not in given] if is_first else ():
            self.drop(kind, owner, key)
        for key, packed in rows:
            self.put_packed(kind, owner, key, packed)

    def _set_due(self, kind: PaperKind, owner: int, key: int) -> None:
        if kind.due_ms is not None:
            self._set_due_of(kind, owner, key, self.get(kind, owner, key))

    def _set_due_of(self, kind: PaperKind, owner: int, key: int, document: Any) -> None:
        due_ms = kind.due_ms(document) if kind.due_ms is not None and self._is_own(kind, owner) else 0
        if due_ms:
            self._due_of(kind).put(due_ms, owner, kind.number, key)
        else:
            self._due_of(kind).drop(owner, kind.number, key)

    def _due_of(self, kind: PaperKind) -> Due:
        return self.outbound if kind.outbound else self.due

    def _is_own(self, kind: PaperKind, owner: int) -> bool:
        return self._owns_bucket(kind.owner.bucket_of(owner))

    def _note(self, kind: PaperKind, owner: int, key: int) -> None:
        self._changes().papers.add((kind.number, owner, key))

    # ---- questions ----------------------------------------------------------------------------------------------

    def get(self, kind: PaperKind, owner: int, key: int = 0) -> Any:
        """Return a document that can't be changed, or None."""
        return self._papers.get(kind.number, owner, key)

    def packed(self, number: int, owner: int, key: int = 0) -> bytes | None:
        """Return a document's bytes, or None."""
        return self._papers.packed(number, owner, key)

    def keys(self, kind: PaperKind, owner: int) -> list[int]:
        """Return the keys of an owner's documents of a kind, ascending."""
        return self._papers.keys(kind.number, owner)

    def dump(self, number: int) -> tuple[Ints, Ints, list[bytes]]:
        """Return (owners, keys, packed documents) of a kind, ascending."""
        return self._papers.dump(number)

    def kinds_of(self, sort: Owner) -> list[PaperKind]:
        """Return the kinds that a sort of owner has; of things those first by which they are here."""
        return self._of[sort]

    def require_room(self, kind: PaperKind, owner: int, size: int, is_new: bool, field: str) -> None:
        """Raise InvalidError if an owner has all that it may, OverloadedError if the shard has.

        size: bytes of the document; is_new: whether it replaces none.
        """
        if is_new and len(self.keys(kind, owner)) >= kind.limit:
            raise InvalidError(f"{kind.owner.with_article} may have {kind.limit} {kind.name}s; take some back", field)
        if self._papers.nbytes() + size > self._bytes_max:
            raise OverloadedError(f"this shard holds {self._bytes_max} bytes of papers, its limit")

    def count(self, kind: PaperKind) -> int:
        """Return how many documents of a kind there are, whoever has them."""
        return self._papers.count(kind.number)

    def figures(self) -> dict[str, int]:
        """Return how many there are, and their bytes, for `status`."""
        return {
            "papers": self._papers.total, "paper_bytes": self._papers.nbytes(), "due": len(self.due),
            "outbound": len(self.outbound), "things": len(self._things),
        }  # fmt: skip

    def check(self) -> list[str]:
        """Return violations: those of papers and due times; papers of nobody; times that the documents don't say."""
        problems = self._papers.check() + self.due.check() + self.outbound.check()
        expected = 0
        founded: dict[int, int] = {}
        for kind in self.kinds.values():
            for owner, key, packed in zip(*self._columns(kind), strict=True):
                if kind.founds and (key or founded.setdefault(owner, kind.number) != kind.number):
                    problems.append(f"thing {owner} was founded twice, by {kind.name} {key}")
                if self._find[kind.owner](owner) is None:
                    problems.append(f"a {kind.name} belongs to {owner}, who isn't here")
                due_ms = kind.due_ms(unpack_frozen(packed)) if kind.due_ms is not None else 0
                due_ms = due_ms if self._is_own(kind, owner) else 0
                expected += bool(due_ms)
                if (self._due_of(kind).due_ms(owner, kind.number, key) or 0) != due_ms:
                    problems.append(f"{kind.name} {key} of {owner} is due at {due_ms}, but not known to be")
        if expected != len(self.due) + len(self.outbound):
            problems.append(f"{len(self.due) + len(self.outbound)} things are to fall due, but there are {expected}")
        if founded != self._things.kind_of:
            problems.append(f"{len(self._things)} things are here, but {len(founded)} have a document that founds them")
        return problems

    def _columns(self, kind: PaperKind) -> tuple[list[int], list[int], list[bytes]]:
        owners, keys, documents = self.dump(kind.number)
        return owners.tolist(), keys.tolist(), documents
