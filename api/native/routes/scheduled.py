"""Scheduled tweets of an account: listed, read, put off, cancelled. They are made by `POST /api/v1/tweet`.

    account's shard: its papers --> JSON as it is; at their time the shard publishes them by itself

Rules of this file
- They are for their author alone: the path names the account, and the token must be its.
- Shards keep them from the cluster's level 1 on: before, all of this is 503.

Cost: one lane request each.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import InvalidError
from api.inputs import Inputs
from api.levels import require_level
from api.native.models import OnlyToken, RescheduleRequest, ScheduledPage, ScheduledTweet
from api.native.openapi import CURSOR, IDEMPOTENCY_KEY, errors, operation, path_id
from api.native.routes.answers import json_bytes, json_page
from api.once import write_once
from api.times import clean_time

router = APIRouter(tags=["tweets"])
_USER_ID = path_id("user_id", "Whose; must be the token's account")
_SCHEDULED_ID = path_id("scheduled_id", "The scheduled tweet")
ONE = "/{user_id}/scheduled/{scheduled_id}"


@router.get(
    "/{user_id}/scheduled",
    summary="Your scheduled tweets",
    response_model=ScheduledPage,
    responses=errors(401, 403, page=True),
    openapi_extra=operation(_USER_ID, *CURSOR, token="required"),
)
async def scheduled(request: Request) -> Response:
    """The tweets that you have scheduled and that aren't published yet, the last written first."""
    inputs = await Inputs.read(request)
    user_id, (cursor, count) = inputs.path_id("user_id"), inputs.cursor_page()
    account_id = await inputs.actor(user_id)
    require_level(inputs.services)
    shown, next_cursor = await inputs.services.ask_account(account_id, "scheduled", cursor, count)
    return json_page(inputs, next_cursor, b'{"scheduled":[', shown)


@router.get(
    ONE,
    summary="One scheduled tweet",
    response_model=ScheduledTweet,
    responses=errors(401, 403, 404),
    openapi_extra=operation(_USER_ID, _SCHEDULED_ID, token="required"),
)
async def scheduled_one(request: Request) -> Response:
    """A scheduled tweet of yours, until it is published."""
    inputs, account_id, scheduled_id = await _own(request)
    return json_bytes(await inputs.services.ask_account(account_id, "scheduled_one", scheduled_id))


@router.patch(
    ONE,
    summary="Change when a tweet is published",
    response_model=ScheduledTweet,
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=operation(_USER_ID, _SCHEDULED_ID, IDEMPOTENCY_KEY, model=RescheduleRequest, token="required"),
)
async def reschedule(request: Request) -> Response:
    """Give a scheduled tweet another time. What it says stays: cancel it and schedule another one to change that."""
    inputs, account_id, scheduled_id = await _own(request)
    at_ms = clean_time(inputs.body, "scheduled_at")
    if not at_ms:
        raise InvalidError("scheduled_at is required", "scheduled_at")
    return json_bytes(await write_once(inputs, account_id, "reschedule", [account_id, scheduled_id, at_ms]))


@router.delete(
    ONE,
    summary="Cancel a scheduled tweet",
    response_model=ScheduledTweet,
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=operation(
        _USER_ID, _SCHEDULED_ID, IDEMPOTENCY_KEY, model=OnlyToken, token="required", body_required=False
    ),
)
async def unschedule(request: Request) -> Response:
    """Have a scheduled tweet not published. The answer is what it was."""
    inputs, account_id, scheduled_id = await _own(request)
    return json_bytes(await write_once(inputs, account_id, "unschedule", [account_id, scheduled_id]))


async def _own(request: Request) -> tuple[Inputs, int, int]:
    """Return the inputs, whose scheduled tweet it is and which. Raises what refuses the caller."""
    inputs = await Inputs.read(request)
    user_id, scheduled_id = inputs.path_id("user_id"), inputs.path_id("scheduled_id")
    account_id = await inputs.actor(user_id)
    require_level(inputs.services)
    return inputs, account_id, scheduled_id
