"""Notifications in groups: those of one type about one tweet on one day, or of new followers on one day, together.

    notice_groups    a page: [[type, tweet, day, how many, newest id, oldest and newest id here, some actors], ...]
    notice_group     the notices of one group

Rules of this file
- A group is computed and kept nowhere: (type, tweet, day), the day since 1970 by UTC; what isn't grouped has day 0.
- A page goes down through the notices until it has `count` groups; the next one goes on below the last that this one
  has looked at, and may show a group again, with what is older of it. How many it has is of all of it, either way.

Cost: 0.3 us a notice that is looked at, 3 us a group, 0.1 us a kept one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from actors.core import arguments, ids, limits
from actors.core.features.notifications import OPEN, chosen, looked_for
from actors.core.stores.notice_words import LOW_BITS, rows_of
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


_Key = tuple[int, int, int]  # type, tweet, day


class _Columns(NamedTuple):
    """What is compared of an account's notices, oldest first."""

    words: Ints
    types: Ints
    days: Ints
    actors: Ints
    tweets: Ints

    @classmethod
    def of(cls, view: Ints) -> _Columns:
        """Return those of some notices."""
        words, actors, tweets = (np.ascontiguousarray(view[:, at]) for at in range(3))
        return cls(words, words >> 1 & 15, (words >> 16) // limits.DAY_MS, actors, tweets)

    def members(self, grouped: int) -> dict[_Key, Ints]:
        """Return where the notices of each group are, the newest first. grouped: types that are, as bits."""
        places = np.flatnonzero(grouped >> self.types & 1)[::-1]
        if not len(places):
            return {}
        sorts, tweets = (self.days << 4 | self.types)[places], self.tweets[places]
        order = np.lexsort((tweets, sorts))  # stable: within a group the newest comes first
        sorts, tweets, places = sorts[order], tweets[order], places[order]
        begins = np.flatnonzero((np.diff(sorts, prepend=-1) != 0) | (np.diff(tweets, prepend=-1) != 0))
        keys = zip((sorts[begins] & 15).tolist(), tweets[begins].tolist(), (sorts[begins] >> 4).tolist(), strict=True)
        ends = [*begins[1:].tolist(), len(places)]
        return {key: places[begin:end] for key, begin, end in zip(keys, begins.tolist(), ends, strict=True)}


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
    columns, within = _Columns.of(view), slice(begin, end)
    parts = columns.words & ~LOW_BITS, columns.types, columns.tweets, columns.days, columns.actors
    notices = [*zip(*(part[within].tolist() for part in parts), strict=True)]
    found: dict[_Key, list[int]] = {}  # of each group the first and the last id on the page
    alone: list[list[Any]] = []
    looked_at = 0
    for notice_id, type_number, tweet_id, day, actor in notices if min_id else reversed(notices):
        ends = found.get((type_number, tweet_id, day)) if grouped >> type_number & 1 else None
        if ends is not None:
            ends[1] = notice_id
        elif len(found) + len(alone) == count:
            break
        elif grouped >> type_number & 1:
            found[type_number, tweet_id, day] = [notice_id, notice_id]
        else:
            alone.append([type_number, tweet_id, 0, 1, notice_id, notice_id, notice_id, [actor]])
        looked_at += 1
    members = columns.members(grouped) if found else {}
    rows = alone + [_row(columns, key, members[key], ends) for key, ends in found.items()]
    oldest = min((row[5] for row in rows), default=0)
    return [sorted(rows, key=lambda row: -row[6]), oldest, looked_at < len(notices)]


def _row(columns: _Columns, key: _Key, members: Ints, ends: list[int]) -> list[Any]:
    """Return what is said of a group. members: where they are, the newest first; ends: ids on the page."""
    actors = list(dict.fromkeys(columns.actors[members].tolist()))[:ACTORS_SHOWN_MAX]
    newest = columns.words.item(members.item(0)) & ~LOW_BITS
    return [*key, len(members), newest, min(ends), max(ends), actors]


def answer_notice_group(shard: Lookups, account_id: int, type_number: int, tweet_id: int, day: int) -> list[Any]:
    """The notices of a group, newest first, rows as of `notices`; none if there is no such group (any more)."""
    shard.row(account_id)
    arguments.whole(type_number, 0, len(NOTIFICATION_TYPES) - 1, "type")
    arguments.an_id_or_zero(tweet_id, "tweet_id")
    arguments.whole(day, 1, limits.DAYS_MAX, "day")
    view = chosen(shard.state.notices.view(account_id), 1 << type_number, OPEN, [])
    columns = _Columns.of(view)
    return rows_of(view[(columns.tweets == tweet_id) & (columns.days == day)][::-1])


FEATURE = Feature(
    "notification groups",
    reads=(Read("notice_groups", answer_notice_groups), Read("notice_group", answer_notice_group)),
)
