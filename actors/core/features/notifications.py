"""Notifications: what an account was told of, for itself alone. How they are made: `noticing.py`; kept: `notices.py`.

    notices           a page: [[id, type, whether it is kept apart, actor, tweet], ...]
    drop_notices      ids that are dismissed, or all of them
    answer_senders    those of some accounts that are kept apart are let through, from now on, or dropped

Rules of this file
- Types are numbers here, places in NOTIFICATION_TYPES; what a client calls them is its API's business.
- What tweets they are about says, and whether its reader may still see that, their own shards know.
- Unread is what is newer than the marker that clients set (`markers.py`); what is kept apart doesn't count.
- Whose notices are kept apart is computed from them: a request to be let through is kept nowhere.

Cost: a page 10 us, of 800 kept ones whichever are looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from actors.core import arguments, ids, limits
from actors.core.errors import NotFoundError
from actors.core.features.markers import MARKER, NOTIFICATIONS, read_marker
from actors.core.features.notification_policies import ACCEPTED_SENDER
from actors.core.stores.notice_words import LOW_BITS, notice_of, rows_of
from actors.core.terms import NOTICES_FROM_LEVEL, NOTIFICATION_TYPES, Feature, Prepared, Read, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

Ints = npt.NDArray[np.int64]
OPEN, APART, BOTH = range(3)  # which are looked for: those that aren't kept apart, those that are, whichever
TYPES_ALL: Final = (1 << len(NOTIFICATION_TYPES)) - 1


def drop_notices(state: ShardState, account_id: int, notice_ids: list[int]) -> int:
    """Take some of an account's notices back, all of them for no ids; return how many there were."""
    if notice_ids:
        return state.notices.drop_ids(account_id, notice_ids)
    count = state.notices.count(account_id)
    state.notices.clear(account_id)
    return count


def answer_senders(state: ShardState, account_id: int, senders: list[int], on: bool, at_ms: int) -> int:
    """Let through what some accounts have caused that is kept apart, and whatever they will; or drop that. How many."""
    count = 0
    for sender in senders:
        if on:
            state.shelves.put(ACCEPTED_SENDER, account_id, sender, at_ms)
            count += state.notices.let_through(account_id, sender)
        else:
            apart = chosen(state.notices.view(account_id), TYPES_ALL, APART, [sender])
            count += state.notices.drop_ids(account_id, (apart[:, 0] & ~np.int64(LOW_BITS)).tolist())
    return count


def chosen(view: Ints, types: int, which: int, actors: list[int]) -> Ints:
    """Return those of some types (bits), kept apart or not, by some accounts (none: by whomever)."""
    words = view[:, 0]
    wanted = (types >> (words >> 1 & 15) & 1).astype(np.bool_)
    if which != BOTH:
        wanted &= (words & 1) == (which == APART)
    if actors:
        wanted &= np.isin(view[:, 1], np.array(actors, dtype=np.int64))
    return view[wanted]


def looked_for(types: Any, which: Any, actors: Any) -> tuple[int, int, list[int]]:
    """Take which notices are looked for. Raises InvalidError."""
    arguments.whole(types, 0, ids.ID_MAX, "types")
    arguments.whole(which, OPEN, BOTH, "which")
    return types, which, arguments.id_list(actors, limits.RELATIONS_COUNT_MAX, "actors")


def prepare_drop_notices(shard: Lookups, now_ms: int, account_id: int, notice_ids: list[int]) -> Prepared:
    """Dismiss notices; the reply is how many there were. notice_ids: none means all."""
    shard.require_level(NOTICES_FROM_LEVEL)
    shard.row(account_id)
    dropped = arguments.id_list(notice_ids, limits.NOTICES_COUNT_MAX, "ids")
    there = shard.state.notices.count(account_id)
    if dropped:
        there = sum(shard.state.notices.get(account_id, each) is not None for each in dropped)
    return Prepared(["drop_notices", account_id, dropped], same) if there else nothing(0)


def prepare_answer_senders(shard: Lookups, now_ms: int, account_id: int, senders: list[int], on: bool) -> Prepared:
    """Let through, or drop, what is kept apart of some accounts; the reply is how many notices that were."""
    shard.require_level(NOTICES_FROM_LEVEL)
    shard.row(account_id)
    arguments.a_bool(on, "on")
    answered = arguments.id_list(senders, limits.RELATIONS_COUNT_MAX, "senders")
    if on:
        shard.state.shelves.require_room(ACCEPTED_SENDER, account_id, "senders")
    return Prepared(["answer_senders", account_id, answered, on, now_ms], same) if answered else nothing(0)


def answer_notices(
    shard: Lookups, account_id: int, types: int, which: int, actors: list[int], max_id: int, since_id: int,
    min_id: int, count: int,
) -> list[Any]:  # fmt: skip
    """A page of an account's notices, for itself alone, the newest first: `[rows, whether there is more]`.

    types: bits by the number of a type; which: OPEN, APART or BOTH; actors: by whom, none for whomever; bounds as those
    of timelines. Row: [id, type, whether it is kept apart, actor, tweet or 0].
    """
    shard.row(account_id)
    types, which, actors = looked_for(types, which, actors)
    for value, field in ((max_id, "max_id"), (since_id, "since_id"), (min_id, "min_id")):
        arguments.an_id_or_zero(value, field)
    count = arguments.page_count(count)
    found = chosen(shard.state.notices.view(account_id), types, which, actors)
    notice_ids = found[:, 0] & ~np.int64(LOW_BITS)
    end = int(np.searchsorted(notice_ids, max_id or ids.ID_MAX, side="left"))
    begin = int(np.searchsorted(notice_ids, max(since_id, min_id), side="right"))
    if min_id:
        has_more, end = end - begin > count, min(end, begin + count)
    else:
        has_more, begin = end - begin > count, max(begin, end - count)
    return [rows_of(found[begin:end][::-1]) if begin < end else [], has_more]


def answer_notice(shard: Lookups, account_id: int, notice_id: int) -> list[Any]:
    """One of an account's notices, a row as of `notices`. Raises NotFoundError."""
    shard.row(account_id)
    notice = shard.state.notices.get(account_id, arguments.an_id(notice_id, "id"))
    if notice is None:
        raise NotFoundError(f"notification {notice_id} does not exist (any more)", "id")
    return list(notice)


def answer_unread_notices(shard: Lookups, account_id: int, types: int, actors: list[int], count: int) -> int:
    """How many of an account's notices are newer than what it has read, `count` at most."""
    shard.row(account_id)
    types, _, actors = looked_for(types, OPEN, actors)
    marker = shard.state.papers.get(MARKER, account_id, NOTIFICATIONS)
    read_id = 0 if marker is None else read_marker(marker).last_read_id
    found = chosen(shard.state.notices.view(account_id), types, OPEN, actors)
    unread = len(found) - int(np.searchsorted(found[:, 0], read_id | LOW_BITS, side="right"))
    return min(unread, arguments.whole(count, 1, limits.NOTICES_COUNT_MAX, "count"))


def answer_notice_requests(
    shard: Lookups, account_id: int, actors: list[int], max_id: int, since_id: int, min_id: int, count: int
) -> list[Any]:
    """Of whom notices are kept apart, who caused the newest first: `[rows, whether there is more, all rows, notices]`.

    Row: [actor, id of the newest, id of the oldest, how many, the newest tweet that they are about or 0]. The two
    numbers are of all of the account's. Bounds are of the newest's id.
    """
    shard.row(account_id)
    for value, field in ((max_id, "max_id"), (since_id, "since_id"), (min_id, "min_id")):
        arguments.an_id_or_zero(value, field)
    count = arguments.page_count(count)
    wanted = arguments.id_list(actors, limits.RELATIONS_COUNT_MAX, "actors")
    apart = chosen(shard.state.notices.view(account_id), TYPES_ALL, APART, [])
    rows: dict[int, list[int]] = {}
    for notice in (notice_of(*words) for words in apart[::-1].tolist()):
        row = rows.setdefault(notice.actor, [notice.actor, notice.notice_id, 0, 0, 0])
        row[2], row[3], row[4] = notice.notice_id, row[3] + 1, row[4] or notice.tweet_id
    within = [
        row for row in rows.values()
        if max(since_id, min_id) < row[1] < (max_id or ids.ID_MAX) and (not wanted or row[0] in wanted)
    ]  # fmt: skip
    page = within[-count:] if min_id else within[:count]
    return [page, len(within) > count, len(rows), len(apart)]


FEATURE = Feature(
    "notifications",
    writes=(
        Write("drop_notices", prepare_drop_notices),
        Write("answer_senders", prepare_answer_senders),
    ),
    reads=(
        Read("notices", answer_notices),
        Read("notice", answer_notice),
        Read("unread_notices", answer_unread_notices),
        Read("notice_requests", answer_notice_requests),
    ),
    commands={"drop_notices": drop_notices, "answer_senders": answer_senders},
)
