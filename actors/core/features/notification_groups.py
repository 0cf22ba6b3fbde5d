"""Notifications in groups: those of one type about one tweet on one day, or of new followers on one day, together.

    notice_groups    a page: [[type, tweet, day, how many, newest id, oldest and newest id here, some actors], ...]
    notice_group     the notices of one group

Rules of this file
- A group is computed and kept nowhere: (type, tweet, day), the day since 1970 by UTC; what isn't grouped has day 0.
- A page goes down through the notices until it has `count` groups; the next one goes on below the last that this one
  has looked at, and may show a group again, with what is older of it. How many it has is of all of it, either way.

Cost: 1 us a notice that is looked at, 2 us a group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from actors.core import arguments, ids, limits
from actors.core.features.notifications import OPEN, chosen, looked_for
from actors.core.stores.notice_words import LOW_BITS, Notice, notice_of
from actors.core.terms import NOTIFICATION_TYPE_OF, NOTIFICATION_TYPES, Feature, Read

if TYPE_CHECKING:
    from actors.core.features.notifications import Ints
    from actors.core.lookups import Lookups

ACTORS_SHOWN_MAX: Final = 8  # of a group, the newest, as Mastodon has it
GROUPED: Final = sum(1 << NOTIFICATION_TYPE_OF[name] for name in ("favourite", "reblog", "follow"))


class Group(NamedTuple):
    """Which notices are together. day: since 1970, 0 where a notice is alone, and `alone` is its id then."""

    type_number: int
    tweet_id: int
    day: int
    alone: int = 0


def group_of(notice: Notice, grouped: int) -> Group:
    """Return the group of a notice. grouped: types that are, as bits."""
    if not grouped >> notice.type_number & 1:
        return Group(notice.type_number, notice.tweet_id, 0, notice.notice_id)
    return Group(notice.type_number, notice.tweet_id, (notice.notice_id >> 16) // limits.DAY_MS)


def _members(view: Ints, group: Group) -> Ints:
    """Return the notices of a group among some."""
    words = view[:, 0]
    if not group.day:
        alone: Ints = view[(words & ~np.int64(LOW_BITS)) == group.alone]
        return alone
    begin, end = ((group.day + each) * limits.DAY_MS << 16 for each in (0, 1))
    of_type = (words >> 1 & 15) == group.type_number
    together: Ints = view[of_type & (view[:, 2] == group.tweet_id) & (words >= begin) & (words < end)]
    return together


def answer_notice_groups(
    shard: Lookups, account_id: int, types: int, grouped: int, which: int, actors: list[int], max_id: int,
    since_id: int, min_id: int, count: int,
) -> list[Any]:  # fmt: skip
    """A page of an account's notices in groups, for itself alone, the newest first: `[rows, oldest id, has more]`.

    As `notices`; grouped: which types are, as bits. Row: [type, tweet, day or 0, how many in all, id of the newest, of
    the oldest and the newest here, actors]. The id is of the oldest that was looked at.
    """
    shard.row(account_id)
    types, which, actors = looked_for(types, which, actors)
    arguments.whole(grouped, 0, ids.ID_MAX, "grouped")
    for value, field in ((max_id, "max_id"), (since_id, "since_id"), (min_id, "min_id")):
        arguments.an_id_or_zero(value, field)
    count = arguments.page_count(count)
    view = chosen(shard.state.notices.view(account_id), types, which, actors)
    end = int(np.searchsorted(view[:, 0], max_id or ids.ID_MAX, side="left"))
    begin = int(np.searchsorted(view[:, 0], max(since_id, min_id) | LOW_BITS, side="right"))
    within = view[begin:end] if min_id else view[begin:end][::-1]
    found: dict[Group, list[Notice]] = {}
    looked_at = 0
    for notice in (notice_of(*words) for words in within.tolist()):
        group = group_of(notice, grouped)
        if group not in found and len(found) == count:
            break
        found.setdefault(group, []).append(notice)
        looked_at += 1
    rows = [_row(view, group, sorted(here)) for group, here in found.items()]
    oldest = min((row[5] for row in rows), default=0)
    return [sorted(rows, key=lambda row: -row[6]), oldest, looked_at < len(within)]


def _row(view: Ints, group: Group, here: list[Notice]) -> list[Any]:
    """here: the group's notices of a page, oldest first."""
    members = _members(view, group)
    actors = list(dict.fromkeys(members[::-1, 1].tolist()))[:ACTORS_SHOWN_MAX]
    newest = int(members[-1, 0]) & ~LOW_BITS
    return [*group[:3], len(members), newest, here[0].notice_id, here[-1].notice_id, actors]


def answer_notice_group(shard: Lookups, account_id: int, type_number: int, tweet_id: int, day: int) -> list[Any]:
    """The notices of a group, newest first, rows as of `notices`; none if there is no such group (any more)."""
    shard.row(account_id)
    arguments.whole(type_number, 0, len(NOTIFICATION_TYPES) - 1, "type")
    arguments.an_id_or_zero(tweet_id, "tweet_id")
    arguments.whole(day, 1, limits.DAYS_MAX, "day")
    members = _members(
        chosen(shard.state.notices.view(account_id), 1 << type_number, OPEN, []), Group(type_number, tweet_id, day)
    )
    return [list(notice_of(*words)) for words in members[::-1].tolist()]


FEATURE = Feature(
    "notification groups",
    reads=(Read("notice_groups", answer_notice_groups), Read("notice_group", answer_notice_group)),
)
