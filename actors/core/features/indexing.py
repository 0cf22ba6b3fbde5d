"""Who wants to be in no search: what he says, strangers find by no words, only where it stands (`postings/found.py`).

Rules of this file
- What an account says of that (`UNINDEXED`), its own shard knows (`People.unindexed`), and reads look there: so it
  holds at once, for what was said before, too, whatever an index or a cache still has.
- A repost lies on the shard of who reposts. Whether its original may be found only the author's shard can tell: whoever
  has found reposts asks all of them (`api/search/scatter.py`).

Cost: 0.2 us an account that is asked about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.core import arguments, limits
from actors.core.terms import Feature, Key, Read

if TYPE_CHECKING:
    from actors.core.lookups import Lookups

INDEXING_FROM_LEVEL: Final = 3


def answer_indexed(shard: Lookups, account_ids: list[int]) -> list[int]:
    """Those of some accounts that are this shard's and may be found by what they say. From level 3 on."""
    people = shard.state.people
    asked = arguments.id_list(account_ids, limits.PAGE_COUNT_MAX, "account_ids")
    return [each for each in asked if each in people.row_of and each not in people.unindexed]


FEATURE = Feature("indexing", reads=(Read("indexed", answer_indexed, Key.SHARD),))
