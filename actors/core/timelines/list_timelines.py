"""The timeline of a list: the home timeline of its account as if that followed only the list's members.

    ring + pull logs of the account --> entries of members --> the rules of home --> decided | undecided below an id
                                                          the members' own logs are asked as home asks them <--'

Rules of this file
- What home shows of a member is shown, also if the list is exclusive, and nothing else: who sees what, replies, reposts
  and floors are home's. So a repost is left out where the members have it twice, not where home has.
- Whom a member may answer to be shown is narrower by the list's policy: members (`list`), nobody but themselves and the
  account (`none`). Below the floor as above it.
- One object a read: it holds what the list is now.

Cost: 25 us of a ring of 600 and a list of 40, joined page and all; 13 us of them are what home costs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from actors.core import arguments
from actors.core.arrays import kernels
from actors.core.entries import Entry
from actors.core.errors import InvalidError
from actors.core.features.list_members import MEMBER
from actors.core.features.lists import POLICIES, own_list
from actors.core.shapes import Shape
from actors.core.timelines.home import HomeQuery, HomeTimelines
from actors.core.timelines.wishes import Wishes, wishes_of

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

Ints = npt.NDArray[np.int64]
NOBODY = np.zeros(0, dtype=np.int64)


def members_of(state: ShardState, row: int, account_id: int, list_id: int) -> Ints:
    """Return who is on a list and read through it, ascending. row, account_id: whose list it is."""
    keys = np.sort(state.shelves.view(MEMBER, list_id)[0])
    is_followed = np.zeros(len(keys), dtype=np.bool_)
    kernels.note_followed(keys, state.graph.following.view(row), account_id, is_followed)
    found: Ints = keys[is_followed]
    return found


@dataclass(slots=True)
class ListQuery(HomeQuery):
    """One page of a list's timeline. policy: number in POLICIES."""

    list_id: int = 0
    policy: int = 0


def list_query(lookups: Lookups, args: list[int]) -> ListQuery:
    """Check a request: [account_id, list_id, max_id, since_id, min_id, count], ids exclusive, 0 = not given.

    Raises NotFoundError for a list that isn't the account's, InvalidError.
    """
    if type(args) is not list or len(args) != 6:
        given = len(args) if type(args) is list else arguments.shown(args)
        raise InvalidError(f"list_timeline takes 6 numbers, not {given}")
    account_id, list_id, max_id, since_id, min_id, count = args
    lookups.row(account_id)
    policy = own_list(lookups, account_id, list_id).policy
    for value, field in ((max_id, "max_id"), (since_id, "since_id"), (min_id, "min_id")):
        arguments.an_id_or_zero(value, field)
    page_count = arguments.page_count(count)
    return ListQuery(account_id, max_id, since_id, min_id, page_count, list_id=list_id, policy=policy)


class ListTimelines(HomeTimelines):
    """Reads of one list's timeline."""

    def __init__(self, lookups: Lookups, shape: Shape, query: ListQuery) -> None:
        super().__init__(lookups.state, shape)
        self._query = query
        self._policy = POLICIES[query.policy]

    def page(self, row: int, query: HomeQuery) -> tuple[npt.NDArray[np.uint32], int]:
        return self._page_of_entries(row, query)

    def _entries(self, row: int) -> tuple[npt.NDArray[np.uint32], int, npt.NDArray[np.int64]]:
        ns, floor, following = super()._entries(row)
        a, members, out = self.state.arrivals, self._read_authors(row), np.empty_like(ns)
        count, floor = kernels.entries_of_authors(
            ns, a.tweet_id, a.author_id, a.next_n, a.capacity, a.lost_max_id, floor, members, out
        )
        answered = {"followed": following, "list": members}.get(self._policy, NOBODY)
        return out[len(out) - count :], floor, answered

    def reaches(self, row: int, me: int, e: Entry) -> bool:
        return bool(np.isin(e.author_id, self._read_authors(row)))

    def _wishes(self, row: int) -> Wishes | None:
        return wishes_of(self.state, row, with_lists=False)

    def _tags(self, row: int) -> Collection[int]:
        return ()

    def _read_authors(self, row: int) -> npt.NDArray[np.int64]:
        return members_of(self.state, row, self._query.account_id, self._query.list_id)

    def _answered(self, row: int) -> npt.NDArray[np.int64]:
        if self._policy == "followed":
            return super()._answered(row)
        return self._read_authors(row) if self._policy == "list" else NOBODY
