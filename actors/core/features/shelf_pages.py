"""Pages of shelves as Mastodon's clients turn them: by stamps, in both directions, whatever the shelf is of.

    shelf           account's shard: what it has put on one of its shelves; for itself, unless it shows that
    shelf_of_tweet  tweet's shard: accounts on one of its shelves, that the viewer may see

Rules of this file
- A stamp is when a key was put there (`stores/marks.py`); it only grows within a shelf, so it is the cursor of its
  pages. Three bounds, each exclusive, 0 for none: below `max_stamp`, above `since_stamp`, both for the newest of
  what is left; above `min_stamp` for the oldest of it, those right after a page.
- The reply is `[keys, newest stamp, oldest stamp, whether there is more]`, newest first; the stamps are of the page
  before it lost whom the viewer may not see, so that it can go on.

Cost: 2 us a page, however long the shelf; of a tweet that of asking whom blocks hide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from actors.core import arguments, ids
from actors.core.errors import InvalidError
from actors.core.terms import Feature, Key, Kind, Owner, Read
from actors.core.visibility import question, reader_facts

if TYPE_CHECKING:
    from actors.core.lookups import Lookups


def _kind(shard: Lookups, number: Any, owner: Owner) -> Kind:
    kind = shard.state.shelves.kinds.get(number) if type(number) is int else None
    if kind is None or kind.owner is not owner:
        raise InvalidError(f"{owner.value}s have no shelf {arguments.shown(number)}", "kind")
    return kind


def shelf_page(
    shard: Lookups, kind: Kind, owner: int, max_stamp: int, since_stamp: int, min_stamp: int, count: int
) -> tuple[list[int], int, int, bool]:
    """Return (keys, newest stamp, oldest stamp, whether there is more) of any shelf. Raises InvalidError."""
    bounds = {"max_stamp": max_stamp, "since_stamp": since_stamp, "min_stamp": min_stamp}
    for field, value in bounds.items():
        arguments.an_id_or_zero(value, field)
    count = arguments.page_count(count)
    keys, stamps = shard.state.shelves.view(kind, owner)
    end = int(np.searchsorted(stamps, max_stamp or ids.ID_MAX, side="left"))
    begin = int(np.searchsorted(stamps, max(since_stamp, min_stamp), side="right"))
    if min_stamp:
        has_more, end = begin > 0, min(end, begin + count)
    else:
        has_more, begin = end - begin > count, max(begin, end - count)
    if begin >= end:
        return [], 0, 0, False
    return keys[begin:end][::-1].tolist(), int(stamps[end - 1]), int(stamps[begin]), has_more


def answer_shelf(
    shard: Lookups, account_id: int, kind: int, max_stamp: int, since_stamp: int, min_stamp: int, count: int
) -> list[Any]:
    """A page of an account's shelf, by the kind's number. Whom it may be shown to is the caller's business."""
    shard.row(account_id)
    of = _kind(shard, kind, Owner.ACCOUNT)
    return list(shelf_page(shard, of, account_id, max_stamp, since_stamp, min_stamp, count))


def answer_shelf_of_tweet(
    shard: Lookups, tweet_id: int, viewer: int, kind: int, max_stamp: int, since_stamp: int, min_stamp: int,
    count: int, facts: Any = None,
) -> list[Any]:  # fmt: skip
    """A page of the accounts on a tweet's shelf that a viewer may see, if he may see the tweet.

    Of whom this shard can't say whether a block stands between, the viewer's shard is asked first, as ever.
    """
    _, asked = shard.entry(tweet_id, viewer, facts)
    if asked is not None:
        return asked
    of, known = _kind(shard, kind, Owner.TWEET), reader_facts(viewer, facts)
    keys, newest, oldest, has_more = shelf_page(shard, of, tweet_id, max_stamp, since_stamp, min_stamp, count)
    hidden = {account_id: shard.visibility.is_hidden(known, account_id) for account_id in keys}
    unknown = [account_id for account_id, is_hidden in hidden.items() if is_hidden is None]
    if unknown and facts is not None:
        return question(unknown)
    return [[account_id for account_id in keys if hidden[account_id] is False], newest, oldest, has_more]


FEATURE = Feature(
    "shelf_pages",
    reads=(Read("shelf", answer_shelf), Read("shelf_of_tweet", answer_shelf_of_tweet, Key.TWEET)),
)
