"""What has changed since the last checkpoint batch, as keys; the rows are read from the state when the batch is sealed.

Sealing happens when a journal segment is closed, so the work is bounded by one segment's commands, and a batch holds
the state at exactly that position. Edges are logged as arrays, because a bulk load adds hundreds of thousands.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
_SETS = (
    "accounts",
    "gone",
    "freed",
    "names",
    "dropped_shards",
    "tweets",
    "marks",
    "papers",
    "notices",
    "arrivals",
    "adopted",
    "pulls",
    "old_likes",
    "old_relations",
)


@dataclass(slots=True)
class EdgeLog:
    """Added and removed edges in order. Each item: (own account ids, other account ids, added)."""

    items: list[tuple[Ints, Ints, bool]] = field(default_factory=list)

    def log(self, own: Ints, other: Ints, added: bool) -> None:
        """Remember edges own[i] - other[i]."""
        if len(own):
            self.items.append((own.copy(), other.copy(), added))

    def log_one(self, own: int, other: int, added: bool) -> None:
        """Remember one edge."""
        self.log(np.array([own], dtype=np.int64), np.array([other], dtype=np.int64), added)


@dataclass(slots=True)
class Changes:
    """Dirty keys of every table of `snapshot.py`."""

    accounts: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)  # accounts that have moved away
    freed: set[int] = field(default_factory=set)  # their rows
    dropped_shards: set[int] = field(default_factory=set)  # whose messages went with them
    names: set[str] = field(default_factory=set)
    tweets: set[int] = field(default_factory=set)
    marks: set[tuple[int, int, int]] = field(default_factory=set)  # kind, owner, key
    papers: set[tuple[int, int, int]] = field(default_factory=set)  # kind, owner, key
    notices: set[tuple[int, int]] = field(default_factory=set)  # account, id
    old_likes: set[tuple[int, int]] = field(default_factory=set)  # account, tweet: of a table that is no longer filled
    old_relations: set[tuple[int, int, int]] = field(default_factory=set)  # account, relation, other: as old_likes
    arrivals: set[int] = field(default_factory=set)
    adopted: set[int] = field(default_factory=set)  # tweets that have become own ones, no longer mere arrivals
    pulls: set[int] = field(default_factory=set)
    idempotency: dict[tuple[int, bytes], None] = field(default_factory=dict)  # in the order in which keys were learnt
    following: EdgeLog = field(default_factory=EdgeLog)
    followers: EdgeLog = field(default_factory=EdgeLog)

    def absorb(self, newer: Changes) -> None:
        """Add what has changed later; `newer` is this object's from now on."""
        for name in _SETS:
            getattr(self, name).update(getattr(newer, name))
        for key in newer.idempotency:
            self.idempotency.pop(key, None)
            self.idempotency[key] = None
        self.following.items += newer.following.items
        self.followers.items += newer.followers.items
