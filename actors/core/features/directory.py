"""The directory: accounts of this shard that want to be found, those first that have just written, or have just come.

Rules of this file
- Nothing is kept for it: the tweets that came last, and the last rows, are looked through, LOOKED_AT_MAX of them. So a
  directory has an end, and an account that hasn't written for long isn't in it.
- Who wants to be in no directory isn't, nor who waits for approval; and nobody is for having written what isn't public.

Cost: 0.3 us for each that is looked at.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from actors.core import arguments, ids
from actors.core.features.approvals import WAITING
from actors.core.flags import FLAGS_PRIVATE
from actors.core.stores.account_flags import UNLISTED
from actors.core.terms import Feature, Key, Read

if TYPE_CHECKING:
    from actors.core.lookups import Lookups

ACTIVE, NEW = 0, 1  # orders
LOOKED_AT_MAX: Final = 2_000


def answer_directory(shard: Lookups, order: int, count: int) -> list[list[int]]:
    """Accounts of this shard that want to be found, the newest first: `[[account_id, Unix ms], ...]`.

    order: 0 by when they last wrote, 1 by when they came. From level 3 on.
    """
    arguments.whole(order, ACTIVE, NEW, "order")
    arguments.page_count(count)
    found = _new(shard) if order == NEW else _active(shard)
    return [[account_id, at_ms] for at_ms, account_id in sorted(found, reverse=True)[:count]]


def _new(shard: Lookups) -> list[tuple[int, int]]:
    people, papers = shard.state.people, shard.state.papers
    newest = (a for a in people.accounts[-LOOKED_AT_MAX:] if a.account_id in people.row_of and not a.flags & UNLISTED)
    return [(a.created_ms, a.account_id) for a in newest if papers.get(WAITING, a.account_id) is None]


def _active(shard: Lookups) -> list[tuple[int, int]]:
    tweets, people, last_ms = shard.state.tweets, shard.state.people, dict[int, int]()
    author_id, flags = tweets.columns["author_id"], tweets.columns["flags"]
    for tweet_id in islice(reversed(tweets.slot_of), LOOKED_AT_MAX):
        slot = tweets.slot_of[tweet_id]
        if not flags[slot] & FLAGS_PRIVATE:
            author = author_id.item(slot)
            last_ms[author] = max(ids.ms_of_tweet(tweet_id), last_ms.get(author, 0))
    listed = (i for i in last_ms if i in people.row_of and not people.accounts[people.row_of[i]].flags & UNLISTED)
    return [(last_ms[i], i) for i in listed]


FEATURE = Feature("directory", reads=(Read("directory", answer_directory, Key.SHARD),))
