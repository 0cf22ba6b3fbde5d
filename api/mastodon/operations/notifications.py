"""Notifications: what happened that concerns you, and whose you want to hear of.

    rows of the account's shard --notices.py--> JSON

Rules of this file
- Whose notifications wait, or are dropped, is asked when they are made; what waits is read with `include_filtered`, or
  by whom it is of (requests).
- What is dismissed is gone, in the other API as well.
"""

from __future__ import annotations

from typing import Any, Final

from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.notification_groups import Group
from actors.core.features.notification_policies import GROUPS, POLICY, VERDICTS
from actors.core.features.notifications import BOTH, OPEN
from actors.core.limits import NOTICES_COUNT_MAX, RELATIONS_COUNT_MAX
from actors.core.terms import NOTICES_FROM_LEVEL
from api.levels import require_level
from api.mastodon.accounts import accounts_of
from api.mastodon.call import Answer, Call, answer
from api.mastodon.notices import group_from, grouped_of, groups_of, notifications_of, requests_of, types_of
from api.mastodon.table import Operation
from api.params import shown

_PAGE: Final = (40, 80)  # of a page as a rule, and at most
_UNREAD: Final = (100, NOTICES_COUNT_MAX)


async def listed(call: Call) -> Answer:
    """The newest notifications."""
    rows, has_more = await _ask(call, "notices", types_of(call), *_whose(call), *call.window(*_PAGE))
    return _page(call, await notifications_of(call, rows), rows, has_more)


async def grouped(call: Call) -> Answer:
    """The newest notifications, those of one kind about one thing together."""
    wanted = (types_of(call), grouped_of(call), *_whose(call), *call.window(*_PAGE))
    rows, oldest, has_more = await _ask(call, "notice_groups", *wanted)
    newest = max((row[6] for row in rows), default=0)
    return call.page([], newest, oldest, has_more)._replace(body=await groups_of(call, rows))


async def unread_count(call: Call) -> Answer:
    """How many there are that you haven't read, as your marker says; 100 at most, or `limit`."""
    actors = _by_whom(call)
    count = call.params.whole("limit", _UNREAD[0], 1, _UNREAD[1])
    return answer({"count": await _ask(call, "unread_notices", types_of(call), actors, count)})


async def unread_group_count(call: Call) -> Answer:
    """As many groups, of which at least one notification is unread."""
    actors = _by_whom(call)
    count = call.params.whole("limit", _UNREAD[0], 1, _UNREAD[1])
    unread = await _ask(call, "unread_notices", types_of(call), actors, NOTICES_COUNT_MAX)
    if not unread:
        return answer({"count": 0})
    rows, _ = await _ask(call, "notices", types_of(call), OPEN, actors, 0, 0, 0, unread)
    wanted = (types_of(call), grouped_of(call), OPEN, actors, 0, rows[-1][0] - 1, 0, count)
    groups, _, _ = await _ask(call, "notice_groups", *wanted)
    return answer({"count": len(groups)})


async def one(call: Call) -> Answer:
    """A notification, by its id."""
    (body,) = await notifications_of(call, [await _ask(call, "notice", call.id())]) or [b""]
    if not body:
        raise NotFoundError(f"notification {call.id()} is of something that you may not see (any more)", "id")
    return Answer(body)


async def dismiss(call: Call) -> Answer:
    """Be shown a notification no more."""
    if not await _write(call, "drop_notices", [call.id()]):
        raise NotFoundError(f"notification {call.id()} does not exist (any more)", "id")
    return answer({})


async def clear(call: Call) -> Answer:
    """Be shown none of those that there are any more."""
    await _write(call, "drop_notices", [])
    return answer({})


async def group(call: Call) -> Answer:
    """The notifications of one kind about one thing."""
    found, rows = await _group(call)
    row = [rows[0][1], rows[0][4], found.day, len(rows), rows[0][0], rows[-1][0], rows[0][0], _actors(rows)[:8]]
    return Answer(await groups_of(call, [row]))


async def accounts_of_group(call: Call) -> Answer:
    """Whose doings the notifications of a group are of, the newest first."""
    _, rows = await _group(call)
    actors = _actors(rows)
    accounts = [
        account
        for at in range(0, len(actors), RELATIONS_COUNT_MAX)
        for account in await accounts_of(call.services, actors[at : at + RELATIONS_COUNT_MAX], call.viewer)
    ]
    return Answer(b"[" + b",".join(accounts) + b"]")


async def dismiss_group(call: Call) -> Answer:
    """Be shown those of a group no more. One that has gone is as good as dismissed."""
    rows = await _rows_of(call, _named(call))
    if rows:
        await _write(call, "drop_notices", [row[0] for row in rows])
    return answer({})


async def requests(call: Call) -> Answer:
    """Whose notifications wait for being let through, who caused the newest first."""
    rows, has_more, *_ = await _ask(call, "notice_requests", [], *call.window(*_PAGE))
    found = [body for _, body in await requests_of(call, rows)]
    return call.page(found, rows[0][1] if rows else 0, rows[-1][1] if rows else 0, has_more)


async def request(call: Call) -> Answer:
    """Notifications of one account that wait for being let through."""
    rows, *_ = await _ask(call, "notice_requests", [call.id()], 0, 0, 0, 1)
    for _, body in await requests_of(call, rows):
        return Answer(body)
    raise NotFoundError(f"there is no request {call.id()}", "id")


async def accept(call: Call) -> Answer:
    """Let through what waits of an account, and what comes."""
    return await _answer_request(call, True)


async def reject(call: Call) -> Answer:
    """Drop what waits of an account."""
    return await _answer_request(call, False)


async def accept_many(call: Call) -> Answer:
    """Let through what waits of some accounts, and what comes; those of whom nothing waits are passed over."""
    return await _answer_requests(call, True)


async def reject_many(call: Call) -> Answer:
    """Drop what waits of some accounts; those of whom nothing waits are passed over."""
    return await _answer_requests(call, False)


async def merged(call: Call) -> Answer:
    """Whether all that was let through is among the notifications by now: it is at once."""
    return answer({"merged": True})


async def policy(call: Call) -> Answer:
    """Whose notifications are let through, whose wait, and whose are dropped."""
    require_level(call.services, POLICY.from_level)
    return await _policy(call, await call.services.ask_account(call.viewer, "notification_policy"))


async def change_policy(call: Call) -> Answer:
    """Say whose notifications are let through; what isn't given stays."""
    require_level(call.services, POLICY.from_level)
    verdicts = [_verdict(call, f"for_{each}") for each in GROUPS]
    return await _policy(call, await _write(call, "set_notification_policy", verdicts))


# ---- parts --------------------------------------------------------------------------------------------------------


async def _ask(call: Call, op: str, *args: Any) -> Any:
    require_level(call.services, NOTICES_FROM_LEVEL)
    return await call.services.ask_account(call.viewer, op, *args)


async def _write(call: Call, op: str, *args: Any) -> Any:
    require_level(call.services, NOTICES_FROM_LEVEL)
    return await call.settle(op, *args)


def _whose(call: Call) -> tuple[int, list[int]]:
    """Return (whether those that wait are wanted, too; by whom, none for whomever)."""
    return BOTH if call.params.flag("include_filtered") else OPEN, _by_whom(call)


def _by_whom(call: Call) -> list[int]:
    account_id = call.params.id("account_id")
    return [account_id] if account_id else []


def _page(call: Call, shown_ones: list[bytes], rows: list[list[Any]], has_more: bool) -> Answer:
    return call.page(shown_ones, rows[0][0] if rows else 0, rows[-1][0] if rows else 0, has_more)


def _named(call: Call) -> Group:
    """Return the group that the path names. Raises NotFoundError for what names none."""
    found = group_from(call.name("group_key"))
    if found is None:
        raise NotFoundError(f"there is no group {shown(call.name('group_key'))}", "group_key")
    return found


async def _rows_of(call: Call, found: Group) -> list[list[Any]]:
    if found.day:
        rows: list[list[Any]] = await _ask(call, "notice_group", found.type_number, found.tweet_id, found.day)
        return rows
    try:
        return [await _ask(call, "notice", found.alone)]
    except NotFoundError:
        return []


async def _group(call: Call) -> tuple[Group, list[list[Any]]]:
    """Return the group that the path names, with its notices. Raises NotFoundError."""
    found = _named(call)
    rows = await _rows_of(call, found)
    if not rows:
        raise NotFoundError(f"there is no group {shown(call.name('group_key'))} (any more)", "group_key")
    return found, rows


def _actors(rows: list[list[Any]]) -> list[int]:
    return list(dict.fromkeys(row[3] for row in rows))


async def _answer_request(call: Call, on: bool) -> Answer:
    rows, *_ = await _ask(call, "notice_requests", [call.id()], 0, 0, 0, 1)
    if not rows:
        raise NotFoundError(f"there is no request {call.id()}", "id")
    await _write(call, "answer_senders", [call.id()], on)
    return answer({})


async def _answer_requests(call: Call, on: bool) -> Answer:
    asked = call.params.ids("id", RELATIONS_COUNT_MAX)
    rows, *_ = await _ask(call, "notice_requests", asked, 0, 0, 0, RELATIONS_COUNT_MAX) if asked else ([],)
    if rows:
        await _write(call, "answer_senders", [row[0] for row in rows], on)
    return answer({})


def _verdict(call: Call, name: str) -> int | None:
    """Return a verdict by its number, None for one that isn't given. Raises InvalidError, MalformedError."""
    if name not in call.params:
        return None
    said = call.params.text(name)
    if said not in VERDICTS:
        raise InvalidError(f"{name} must be one of {', '.join(VERDICTS)}, not {shown(said)}", name)
    return VERDICTS.index(said)


async def _policy(call: Call, verdicts: list[int]) -> Answer:
    _, _, requests_count, notices_count = await _ask(call, "notice_requests", [], 0, 0, 0, 1)
    summary = {"pending_requests_count": requests_count, "pending_notifications_count": notices_count}
    said = {f"for_{each}": VERDICTS[verdict] for each, verdict in zip(GROUPS, verdicts, strict=True)}
    return answer({**said, "summary": summary})


_READ: Final = "read:notifications"
_WRITE: Final = "write:notifications"
_REQUESTS: Final = "/api/v1/notifications/requests"
OPERATIONS: Final = (
    Operation("GET", "/api/v1/notifications", _READ, "Notification[]", listed),
    Operation("GET", "/api/v1/notifications/unread_count", _READ, "CountResponse", unread_count),
    Operation("GET", _REQUESTS, _READ, "NotificationRequest[]", requests),
    Operation("GET", "/api/v2/notifications", _READ, "GroupedNotificationsResults", grouped),
    Operation("GET", "/api/v2/notifications/unread_count", _READ, "CountResponse", unread_group_count),
    Operation("GET", "/api/v2/notifications/policy", _READ, "NotificationPolicy", policy),
    Operation("PATCH", "/api/v2/notifications/policy", _WRITE, "NotificationPolicy", change_policy),
    Operation("POST", "/api/v1/notifications/clear", _WRITE, "", clear),
    Operation("GET", "/api/v1/notifications/{id}", _READ, "Notification", one),
    Operation("POST", "/api/v1/notifications/{id}/dismiss", _WRITE, "", dismiss),
    Operation("GET", "/api/v2/notifications/{group_key}", _READ, "GroupedNotificationsResults", group),
    # There a token that may write is needed to read this; here one that may read is enough, too.
    Operation(
        "GET", "/api/v2/notifications/{group_key}/accounts", _WRITE, "Account[]", accounts_of_group, or_scope=_READ
    ),
    Operation("POST", "/api/v2/notifications/{group_key}/dismiss", _WRITE, "", dismiss_group),
    Operation("GET", f"{_REQUESTS}/merged", _READ, "MergedResponse", merged),
    Operation("POST", f"{_REQUESTS}/accept", _WRITE, "", accept_many),
    Operation("POST", f"{_REQUESTS}/dismiss", _WRITE, "", reject_many),
    Operation("GET", _REQUESTS + "/{id}", _READ, "NotificationRequest", request),
    Operation("POST", _REQUESTS + "/{id}/accept", _WRITE, "", accept),
    Operation("POST", _REQUESTS + "/{id}/dismiss", _WRITE, "", reject),
)
