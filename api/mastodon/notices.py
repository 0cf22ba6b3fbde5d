"""Notifications as Mastodon's clients are shown them, one by one or in groups.

    account's shard: rows --> statuses and accounts, as everywhere else, at the same time --> joined here

Rules of this file
- One whose account, or whose status, its reader may not see (any more) is left out; a page goes on all the same.
- A reply to oneself is a mention here: Mastodon has no other word for it.
- The id of a request to let somebody's notifications through is that account's.

Cost: one lane request, one round for statuses and accounts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson

from actors.core import limits
from actors.core.features.filters import NOTIFICATIONS
from actors.core.features.notification_groups import GROUPED, Group
from actors.core.features.notifications import TYPES_ALL
from actors.core.ids import ID_MAX
from actors.core.numbers import whole_number
from actors.core.renderers.timestamps import timestamp
from actors.core.stores.notice_words import ms_of_notice
from actors.core.terms import NOTIFICATION_TYPE_OF, NOTIFICATION_TYPES
from api.mastodon.by_id import Seeing, Shown, shown_of
from api.mastodon.call import Call

_SHOWN_AS: Final = {"reply": "mention"}
_BITS: Final = {
    name: sum(1 << NOTIFICATION_TYPE_OF[each] for each in NOTIFICATION_TYPES if _SHOWN_AS.get(each, each) == name)
    for name in NOTIFICATION_TYPES if name not in _SHOWN_AS
}  # fmt: skip


class NoticeRow(NamedTuple):
    """A notice as its shard answers it. tweet_id: 0 if it is about none."""

    notice_id: int
    type_number: int
    is_filtered: bool
    actor: int
    tweet_id: int


def shown_type(type_number: int) -> str:
    """Return what Mastodon calls a type."""
    name = NOTIFICATION_TYPES[type_number]
    return _SHOWN_AS.get(name, name)


def types_of(call: Call) -> int:
    """Return the types that a client wants, as bits; names that there aren't are passed over, as Mastodon has it."""
    wanted, unwanted = (_bits(call.params.texts(name)) for name in ("types", "exclude_types"))
    return (wanted if "types" in call.params else TYPES_ALL) & ~unwanted


def grouped_of(call: Call) -> int:
    """Return the types that a client wants in groups, as bits."""
    return _bits(call.params.texts("grouped_types")) & GROUPED if "grouped_types" in call.params else GROUPED


def _bits(names: Iterable[str]) -> int:
    found = 0
    for name in names:
        found |= _BITS.get(name, 0)
    return found


def group_key(row: NoticeRow) -> str:
    """Return the name of a notice's group."""
    if row.is_filtered or not GROUPED >> row.type_number & 1:
        return f"ungrouped-{row.notice_id}"
    return key_of(Group(row.type_number, row.tweet_id, ms_of_notice(row.notice_id) // limits.DAY_MS))


def key_of(group: Group) -> str:
    """Return the name of a group."""
    parts = [shown_type(group.type_number), *([str(group.tweet_id)] if group.tweet_id else []), str(group.day)]
    return "-".join(parts) if group.day else f"ungrouped-{group.alone}"


def group_from(key: str) -> Group | None:
    """Return the group of a name, None if it is no group's."""
    name, *numbers = key.split("-")
    values = [whole_number(each, ID_MAX) or 0 for each in numbers]
    if name == "ungrouped":
        return Group(0, 0, 0, values[0]) if len(values) == 1 and values[0] else None
    type_number = NOTIFICATION_TYPE_OF.get(name, 0)
    takes = 1 if name == "follow" else 2
    if not GROUPED >> type_number & 1 or len(values) != takes or not all(values) or values[-1] > limits.DAYS_MAX:
        return None
    return Group(type_number, values[0] if takes == 2 else 0, values[-1])


async def notifications_of(call: Seeing, rows: list[list[Any]]) -> list[bytes]:
    """Return the JSON of notifications. rows: those of `notices`."""
    notices = [NoticeRow(*row) for row in rows]
    shown = await shown_of(call, (row.actor for row in notices), (row.tweet_id for row in notices), NOTIFICATIONS)
    return [_notification(row, shown) for row in notices if _is_shown(row.actor, row.tweet_id, shown)]


def _is_shown(actor: int, tweet_id: int, shown: Shown) -> bool:
    return actor in shown.accounts and (not tweet_id or tweet_id in shown.statuses)


def _notification(row: NoticeRow, shown: Shown) -> bytes:
    status = b',"status":%b' % shown.statuses[row.tweet_id] if row.tweet_id else b""
    said = (
        row.notice_id, shown_type(row.type_number).encode(), timestamp(ms_of_notice(row.notice_id)).encode(),
        group_key(row).encode(), shown.accounts[row.actor], status,
    )  # fmt: skip
    return b'{"id":"%d","type":"%b","created_at":"%b","group_key":"%b","account":%b%b}' % said


async def groups_of(call: Call, rows: list[list[Any]]) -> bytes:
    """Return the JSON of groups, with their accounts and statuses once each. rows: those of `notice_groups`."""
    shown = await shown_of(call, (actor for row in rows for actor in row[7]), (row[1] for row in rows), NOTIFICATIONS)
    groups, account_ids, tweet_ids = [], dict[int, None](), dict[int, None]()
    for type_number, tweet_id, day, count, newest, page_oldest, page_newest, actors in rows:
        seen = [actor for actor in actors if _is_shown(actor, tweet_id, shown)]
        if not seen:
            continue
        account_ids.update(dict.fromkeys(seen))
        tweet_ids.update({tweet_id: None} if tweet_id else {})
        groups.append({
            "group_key": key_of(Group(type_number, tweet_id, day, newest)), "notifications_count": count,
            "type": shown_type(type_number), "most_recent_notification_id": newest,
            "page_min_id": str(page_oldest), "page_max_id": str(page_newest),
            "latest_page_notification_at": timestamp(ms_of_notice(page_newest)),
            "sample_account_ids": [str(actor) for actor in seen],
            **({"status_id": str(tweet_id)} if tweet_id else {}),
        })  # fmt: skip
    parts = (
        b",".join(shown.accounts[each] for each in account_ids), b",".join(shown.statuses[each] for each in tweet_ids),
        orjson.dumps(groups),
    )  # fmt: skip
    return b'{"accounts":[%b],"statuses":[%b],"notification_groups":%b}' % parts


async def requests_of(call: Call, rows: list[list[Any]]) -> list[tuple[int, bytes]]:
    """Return the JSON of requests, each with its account. rows: those of `notice_requests`."""
    shown = await shown_of(call, (row[0] for row in rows), (row[4] for row in rows), NOTIFICATIONS)
    found = []
    for actor, newest, oldest, count, tweet_id in rows:
        if actor not in shown.accounts:
            continue
        said = (
            actor, timestamp(ms_of_notice(oldest)).encode(), timestamp(ms_of_notice(newest)).encode(), count,
            shown.accounts[actor], shown.statuses.get(tweet_id, b"null"),
        )  # fmt: skip
        body = (
            b'{"id":"%d","created_at":"%b","updated_at":"%b","notifications_count":"%d","account":%b,"last_status":%b}'
        )
        found.append((actor, body % said))
    return found
