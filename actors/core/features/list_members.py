"""Who is on a list: a kind alone, which home timelines look at as well as lists (`lists.py`), and unfollowing.

Rule: nobody is on a list of an account that doesn't follow him, but the account itself: with the edge he goes from all.
Cost: 0.3 us an edge that goes, and 0.5 us for each list of its account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.core import limits
from actors.core.terms import Kind, Owner

if TYPE_CHECKING:
    from actors.core.state import ShardState

MEMBER: Final = Kind(39, "member", Owner.THING, Owner.ACCOUNT, limits.LIST_MEMBERS_COUNT_MAX, from_level=3)
OWN_LIST_NUMBER: Final = 40  # of the kind of an account's own lists


def drop_member(state: ShardState, account_id: int, member: int) -> None:
    """Take somebody off all lists of an account."""
    own_lists = state.shelves.kinds[OWN_LIST_NUMBER]
    if state.shelves.count(own_lists, account_id):
        for list_id in state.shelves.view(own_lists, account_id)[0].tolist():
            state.shelves.drop(MEMBER, list_id, member)
