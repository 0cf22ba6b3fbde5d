"""Notifications: what happened that concerns an account, for itself alone.

    notices   account's shard: rows --> tweets and accounts, each from its own shard, at the same time --> joined here

Rules of this file
- What a notification is about, and by whom it is, is shown as everywhere: what is gone or hidden is left out, and a
  page goes on all the same.
- Read is what the marker says, which Mastodon's clients set as well.
- Shards keep them from the cluster's level 3 on: before, all of this is 503.

Costs: two lane requests one after the other, the second in parallel to each shard that holds something of the page.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import InvalidError
from actors.core.features.notifications import OPEN, TYPES_ALL
from actors.core.limits import NOTICES_COUNT_MAX
from actors.core.terms import NOTICES_FROM_LEVEL
from api.inputs import Inputs
from api.levels import require_level
from api.native.models import DismissedCount, NotificationPage, OnlyToken, ReadRequest, UnreadCount
from api.native.notification_json import TYPE_BITS, TYPE_NAMES, notifications_by_id
from api.native.openapi import CURSOR, IDEMPOTENCY_KEY, errors, operation, path_id
from api.native.routes.answers import json_value, tweet_page
from api.native.viewer_flags import PARAMETER
from api.once import write_once
from api.params import shown
from api.services import Services

router = APIRouter(tags=["notifications"])
_USER_ID = path_id("user_id", "Whose; must be the token's account")
_TYPES: Final = {
    "name": "types", "in": "query", "schema": {"type": "string"}, "example": "mention,reply",
    "description": f"Only of these types: some of {', '.join(TYPE_NAMES)}, with commas between them",
}  # fmt: skip
_ACT: dict[str, Any] = {"responses": errors(401, 403, 409, body=True)}


@router.get(
    "/{user_id}/notifications",
    summary="Your notifications",
    response_model=NotificationPage,
    responses=errors(401, 403, page=True),
    openapi_extra=operation(_USER_ID, _TYPES, *CURSOR, PARAMETER, token="required"),
)
async def notifications(request: Request) -> Response:
    """What happened that concerns you, the newest first, and how much of it is unread. The newest 800 are kept."""
    inputs, account_id = await _own(request)
    cursor, count = inputs.cursor_page()
    wanted = (_types(inputs), OPEN, list[int](), cursor, 0, 0, count)
    (rows, has_more), unread = await asyncio.gather(
        inputs.services.ask_account(account_id, "notices", *wanted), _unread(inputs.services, account_id)
    )
    parts = [*(await notifications_by_id(inputs.services, account_id, rows)).values()]
    head = b'{"unread_count":%d,"notifications":[' % unread
    return await tweet_page(inputs, account_id, rows[-1][0] if has_more else 0, head, parts)


@router.post(
    "/{user_id}/notifications/read",
    summary="Have read notifications",
    response_model=UnreadCount,
    openapi_extra=operation(_USER_ID, IDEMPOTENCY_KEY, model=ReadRequest, token="required", body_required=False),
    **_ACT,
)
async def read(request: Request) -> Response:
    """Note up to where you have read, by default all that there is; the answer is how many are left. It may go back."""
    inputs, account_id = await _own(request)
    services, up_to = inputs.services, inputs.body_id("notification_id")
    if not up_to:
        rows, _ = await services.ask_account(account_id, "notices", TYPES_ALL, OPEN, [], 0, 0, 0, 1)
        up_to = rows[0][0] if rows else 0
    if up_to:
        await write_once(inputs, account_id, "set_markers", [account_id, 0, up_to])
    return json_value({"unread_count": await _unread(services, account_id)})


@router.delete(
    "/{user_id}/notifications",
    summary="Dismiss all notifications",
    response_model=DismissedCount,
    openapi_extra=operation(_USER_ID, IDEMPOTENCY_KEY, model=OnlyToken, token="required", body_required=False),
    **_ACT,
)
async def clear(request: Request) -> Response:
    """Be shown none of those that there are any more; new ones come all the same."""
    inputs, account_id = await _own(request)
    count = await write_once(inputs, account_id, "drop_notices", [account_id, []])
    return json_value({"dismissed_count": count})


@router.delete(
    "/{user_id}/notifications/{notification_id}",
    summary="Dismiss a notification",
    response_model=DismissedCount,
    openapi_extra=operation(
        _USER_ID, path_id("notification_id", "Which"), IDEMPOTENCY_KEY, model=OnlyToken, token="required",
        body_required=False,
    ),
    **_ACT,
)  # fmt: skip
async def dismiss(request: Request) -> Response:
    """Be shown a notification no more. Doing it again, or one that there isn't, changes nothing: 0."""
    inputs, account_id = await _own(request)
    dropped = [inputs.path_id("notification_id")]
    return json_value({"dismissed_count": await write_once(inputs, account_id, "drop_notices", [account_id, dropped])})


async def _own(request: Request) -> tuple[Inputs, int]:
    inputs = await Inputs.read(request)
    account_id = await inputs.actor(inputs.path_id("user_id"))
    require_level(inputs.services, NOTICES_FROM_LEVEL)
    return inputs, account_id


async def _unread(services: Services, account_id: int) -> int:
    count: int = await services.ask_account(account_id, "unread_notices", TYPES_ALL, [], NOTICES_COUNT_MAX)
    return count


def _types(inputs: Inputs) -> int:
    """Return the types that are wanted, as bits. Raises InvalidError for a name that there isn't."""
    said = inputs.query.get("types")
    if said is None:
        return TYPES_ALL
    wanted = 0
    for name in said.split(","):
        if name not in TYPE_BITS:
            raise InvalidError(f"types must be some of {', '.join(TYPE_NAMES)}, not {shown(name)}", "types")
        wanted |= TYPE_BITS[name]
    return wanted
