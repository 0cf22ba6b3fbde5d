"""Shelves: the ordered sets of a shard's accounts, tweets and things, by kind. What features keep cold data in.

    owner (id of any sort) --> place: the account's row, the tweet's slot, or the id itself --> marks.py
    what changes is noted by (kind, owner, key): a seal reads the rows then, a move sends the shelf
    kinds that hide accounts (`Kind.relation`) --> sets of the graph, in which reads look

Rules of this file
- An owner is here: an account of this shard (or on its way here or away), a tweet that is stored, or a thing that was
  founded (`things.py`). Whoever isn't has empty shelves, and putting something on them does nothing.
- When an owner goes, its shelves go, and its papers (`paper_shelves.py`): `clear_account`, `clear_tweet`,
  `clear_thing`.
- A kind's limit is kept here: OLDEST falls out by itself; REFUSE is asked for before the command (`require_room`).

Costs: those of `marks.py`, and 0.5 us to find the place and note the change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actors.core import limits
from actors.core.checkpoints.changes import Changes
from actors.core.errors import InvalidError, OverloadedError
from actors.core.stores.graph import FollowGraph
from actors.core.stores.marks import Marks
from actors.core.stores.paper_shelves import PaperShelves
from actors.core.stores.people import People
from actors.core.stores.things import Things
from actors.core.stores.tweets import OwnTweets
from actors.core.terms import Full, Kind, Owner, PaperKind

Ints = npt.NDArray[np.int64]
_NOBODY: Final[frozenset[int]] = frozenset()
_NONE: Final[Ints] = np.zeros(0, dtype=np.int64)


def _itself_if(find: Callable[[int], int | None]) -> Callable[[int], int | None]:
    """Return what finds an owner's place where that is the owner's id, if it is here."""
    return lambda owner: None if find(owner) is None else owner


class Shelves:
    """The shelves of one shard. kinds: all there are, by number; set once, before anything is put."""

    def __init__(
        self, people: People, tweets: OwnTweets, things: Things, changes: Callable[[], Changes], tuning: limits.Tuning,
        papers: PaperShelves, graph: FollowGraph,
    ) -> None:  # fmt: skip
        """changes: where what changes is noted now; papers: what the same owners have as documents; graph: where the
        keys of relations are looked up."""
        self.marks = Marks(tuning.tidy_from)
        self.kinds: dict[int, Kind] = {}
        self._people, self._tweets, self._changes, self._marks_max = people, tweets, changes, tuning.marks_max
        self._things, self._papers, self._graph = things, papers, graph
        self._places: dict[int, Callable[[int], int | None]] = {}
        self._of: dict[Owner, list[Kind]] = {sort: [] for sort in Owner}
        self._holders: dict[int, dict[int, set[int]]] = {}  # kind -> key -> owners

    def declare(self, kinds: Iterable[Kind]) -> None:
        """Make these kinds' shelves exist, all empty."""
        find: dict[Owner, Callable[[int], int | None]] = {
            Owner.ACCOUNT: self._people.find, Owner.TWEET: self._tweets.find, Owner.THING: self._things.find,
        }  # fmt: skip
        for kind in kinds:
            if kind.dense and kind.owner is Owner.THING:
                raise ValueError(f"shelves of {kind.name}s can't be dense: things have no rows")
            self.marks.declare(kind.number, kind.dense)
            self.kinds[kind.number] = kind
            self._places[kind.number] = find[kind.owner] if kind.dense else _itself_if(find[kind.owner])
            self._of[kind.owner].append(kind)
            if kind.is_inverted:
                self._holders[kind.number] = {}

    # ---- changes ------------------------------------------------------------------------------------------------

    def put(self, kind: Kind, owner: int, key: int, at_ms: int) -> bool:
        """Put a key on a shelf as its newest; False if it is there already, or the owner isn't here."""
        place = self._places[kind.number](owner)
        if place is None or not self.marks.put(kind.number, place, key, at_ms):
            return False
        self._note(kind, owner, key, True)
        if kind.full is Full.OLDEST and self.marks.count(kind.number, place) > kind.limit:
            oldest = self.marks.view(kind.number, place)[0].item(0)
            self.marks.drop(kind.number, place, oldest)
            self._note(kind, owner, oldest, False)
        return True

    def drop(self, kind: Kind, owner: int, key: int) -> bool:
        """Take a key off; False if it wasn't there."""
        place = self._places[kind.number](owner)
        if place is None or not self.marks.drop(kind.number, place, key):
            return False
        self._note(kind, owner, key, False)
        return True

    def cut_newest(self, kind: Kind, owner: int, count: int) -> list[int]:
        """Take the newest `count` keys off a shelf, or all; return them, oldest first. O(count)."""
        place = self._places[kind.number](owner)
        keys = [] if place is None else self.marks.cut_newest(kind.number, place, count)
        for key in keys:
            self._note(kind, owner, key, False)
        return keys

    def clear_account(self, account_id: int) -> None:
        """Empty an account's shelves: it goes. It must still be here."""
        self._clear(self._of[Owner.ACCOUNT], account_id)
        self._papers.clear(Owner.ACCOUNT, account_id)

    def clear_tweet(self, tweet_id: int) -> None:
        """Empty a tweet's shelves: it goes. It must still be here."""
        self._clear(self._of[Owner.TWEET], tweet_id)
        self._papers.clear(Owner.TWEET, tweet_id)

    def clear_thing(self, thing_id: int) -> None:
        """Have a thing go, with its shelves and its papers, whether it is here or not."""
        self._clear(self._of[Owner.THING], thing_id)
        self._papers.clear(Owner.THING, thing_id)

    def drop_paper(self, kind: PaperKind, owner: int, key: int) -> bool:
        """Take a document away; False if there is none. What founds a thing takes all that the thing has along."""
        if not kind.founds:
            return self._papers.drop(kind, owner, key)
        was_here = self._things.kind_of.get(owner) == kind.number
        if was_here:
            self.clear_thing(owner)
        return was_here

    def take_papers(self, number: int, owner: int, is_first: bool, rows: list[list[Any]]) -> None:
        """Take what another shard gives of an owner's documents. A thing goes when nothing founds it any more."""
        if rows or not self._papers.kinds[number].founds:
            self._papers.take_piece(number, owner, is_first, rows)
        else:
            self.drop_paper(self._papers.kinds[number], owner, 0)

    def replace(self, kind: Kind, owner: int, begin: int, keys: Ints, stamps: Ints) -> None:
        """Make a shelf what another shard says, from its begin-th mark on. keys, stamps: oldest first."""
        place = self._places[kind.number](owner)
        if place is None:
            return
        known = [side[:begin].copy() for side in self.marks.view(kind.number, place)]
        for key in self.marks.clear(kind.number, place):
            self._note(kind, owner, key, False)
        every = [np.concatenate(both) for both in zip(known, (keys, stamps), strict=True)]
        self.marks.fill(kind.number, np.full(len(every[0]), place, dtype=np.int64), *every)
        for key in every[0].tolist():
            self._note(kind, owner, key, True)

    def _clear(self, kinds: list[Kind], owner: int) -> None:
        for kind in kinds:
            place = self._places[kind.number](owner)
            if place is not None:
                for key in self.marks.clear(kind.number, place):
                    self._note(kind, owner, key, False)

    def _note(self, kind: Kind, owner: int, key: int, on: bool) -> None:
        """Remember that a key has come to a shelf or gone, where reads look it up as well."""
        self._changes().marks.add((kind.number, owner, key))
        if kind.is_inverted:
            self._hold(kind, owner, key, on)
        if kind.relation is not None:
            row = self._people.find(owner)
            assert row is not None, "whoever has shelves is here"
            self._graph.relate(row, kind.relation, key, on)

    def _hold(self, kind: Kind, owner: int, key: int, on: bool) -> None:
        holders = self._holders[kind.number]
        if on:
            holders.setdefault(key, set()).add(owner)
        elif key in holders:
            holders[key].discard(owner)
            if not holders[key]:
                del holders[key]

    def relate_all(self) -> None:
        """Have the graph know all that is on the shelves of relations, once they were filled. 0.1 us a mark.

        And this who has what on those that are inverted.
        """
        for number in self._holders:
            places, keys, _ = self.marks.dump(number)
            for owner, key in zip(self.owners_of(self.kinds[number], places).tolist(), keys.tolist(), strict=True):
                self._hold(self.kinds[number], owner, key, True)
        for kind, relation in self.relations():
            places, keys, _ = self.marks.dump(kind.number)
            owners = self.owners_of(kind, places)
            begins = np.flatnonzero(np.diff(owners, prepend=0))
            for owner, others in zip(owners[begins].tolist(), np.split(keys, begins[1:]), strict=False):
                row = self._people.find(owner)
                if row is None:
                    raise ValueError(f"a shelf of {kind.name}s belongs to {owner}, who isn't here")
                self._graph.relate_all(row, relation, others)

    # ---- questions ----------------------------------------------------------------------------------------------

    def count(self, kind: Kind, owner: int) -> int:
        """Return how many keys a shelf has. O(1)."""
        place = self._places[kind.number](owner)
        return 0 if place is None else self.marks.count(kind.number, place)

    def contains(self, kind: Kind, owner: int, key: int) -> bool:
        """Whether a key is on a shelf. O(its length), 1 us for 1,000."""
        place = self._places[kind.number](owner)
        return place is not None and self.marks.contains(kind.number, place, key)

    def holders(self, kind: Kind, key: int) -> AbstractSet[int]:
        """Return who has a key on such a shelf, of a kind that is inverted. O(1)."""
        return self._holders[kind.number].get(key, _NOBODY)

    def keys_held(self, kind: Kind) -> AbstractSet[int]:
        """Return whatever somebody has on such a shelf, of a kind that is inverted. O(1)."""
        return self._holders[kind.number].keys()

    def stamp_of(self, kind: Kind, owner: int, key: int) -> int:
        """Return when a key was put, as a stamp; 0 if it isn't there."""
        place = self._places[kind.number](owner)
        return 0 if place is None else self.marks.stamp_of(kind.number, place, key)

    def view(self, kind: Kind, owner: int) -> tuple[Ints, Ints]:
        """Return (keys, stamps), oldest first: views that hold until the next change."""
        place = self._places[kind.number](owner)
        return (_NONE, _NONE) if place is None else self.marks.view(kind.number, place)

    def page(self, kind: Kind, owner: int, before: int, count: int) -> tuple[Ints, Ints]:
        """Return (keys, stamps) of a page, newest first, stamps below `before` (0: from the newest)."""
        place = self._places[kind.number](owner)
        return (_NONE, _NONE) if place is None else self.marks.page(kind.number, place, before, count)

    def flags(
        self, kinds: tuple[tuple[Kind, int], tuple[Kind, int]], account_id: int, row: int, keys: Ints
    ) -> npt.NDArray[np.uint8] | None:
        """Return, by key, the flags of those of an account's two shelves that it is on; None if it has neither.

        kinds: each with its flag; row: the account's, which is here; keys: a whole array, no part of one.
        2 us for 20 of 1,000.
        """
        (first, flag), (second, other_flag) = kinds
        find = self.marks.row_of
        rows = (
            find(first.number, row if first.dense else account_id),
            find(second.number, row if second.dense else account_id),
        )
        return None if rows == (0, 0) else self.marks.flags(rows, (flag, other_flag), keys)

    def require_room(self, kind: Kind, owner: int, field: str) -> None:
        """Raise InvalidError if a shelf that refuses is full, OverloadedError if the shard is."""
        if kind.full is Full.REFUSE and self.count(kind, owner) >= kind.limit:
            raise InvalidError(f"{kind.owner.with_article} may have {kind.limit} {kind.name}s; take some back", field)
        if self.marks.total >= self._marks_max:
            raise OverloadedError(f"this shard holds {self._marks_max} marks, its limit")

    def owners_of(self, kind: Kind, places: Ints) -> Ints:
        """Return the owners of places, as `Marks.dump` gives them."""
        if not kind.dense:
            return places
        if kind.owner is Owner.ACCOUNT:
            return self._people.numbered()[places]
        return self._tweets.columns["tweet_id"][places]

    def kinds_of(self, owner: Owner) -> list[Kind]:
        """Return the kinds that a sort of owner has."""
        return self._of[owner]

    def relations(self) -> list[tuple[Kind, int]]:
        """Return the kinds that hide accounts from each other, and which relation each is."""
        return [(kind, kind.relation) for kind in self.kinds.values() if kind.relation is not None]

    def _check_relations(self) -> list[str]:
        """What the graph knows of relations is what is on their shelves."""
        problems = []
        for kind, relation in self.relations():
            places, keys, _ = self.marks.dump(kind.number)
            shelves: dict[int | None, set[int]] = {}
            for owner, key in zip(self.owners_of(kind, places).tolist(), keys.tolist(), strict=True):
                shelves.setdefault(self._people.find(owner), set()).add(key)
            if shelves != self._graph.relations[relation]:
                problems.append(f"the graph's sets of {kind.name}s are not what is on their shelves")
        return problems

    def _check_holders(self) -> list[str]:
        """Who is said to have something on an inverted shelf has it, and nobody else."""
        problems = []
        for number, known in self._holders.items():
            places, keys, _ = self.marks.dump(number)
            owners = self.owners_of(self.kinds[number], places).tolist()
            if set(zip(keys.tolist(), owners, strict=True)) != {
                (k, owner) for k, held in known.items() for owner in held
            }:
                problems.append(f"who has {self.kinds[number].name}s is known otherwise than their shelves say")
        return problems

    def check(self) -> list[str]:
        """Return violations: those of the marks, and shelves of owners who aren't here."""
        problems = self.marks.check() + self._check_relations() + self._check_holders()
        for kind in self.kinds.values():
            places, _, _ = self.marks.dump(kind.number)
            owners = np.unique(self.owners_of(kind, places))
            here = self._places[kind.number]
            problems += [
                f"a shelf of {kind.name}s belongs to {o}, who isn't here" for o in owners.tolist() if here(o) is None
            ]
        return problems
