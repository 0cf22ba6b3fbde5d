"""Pins: the tweets that an account's profile shows first.

    pin, unpin   the account's shard, which the tweet is on as well
    pins         the account's shard: JSON of those that the reader may see

Rules of this file
- Shards keep them from the cluster's level 2 on: before, all of this is 503.

Costs: one lane request.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.features.pins import PIN
from api.inputs import Inputs
from api.levels import require_level
from api.native.models import PinState, Tweet, WithToken
from api.native.openapi import IDEMPOTENCY_KEY, errors, operation, path_id
from api.native.routes.answers import json_bytes, json_value
from api.native.viewer_flags import PARAMETER, for_viewer
from api.native.visible import require_seen
from api.once import write_if_seen, write_once

router = APIRouter(tags=["tweets"])
_TWEET_ID = path_id("tweet_id", "The tweet")
_ACT: dict[str, Any] = {
    "response_model": PinState,
    "responses": errors(401, 403, 404, 409, body=True),
    "openapi_extra": operation(_TWEET_ID, IDEMPOTENCY_KEY, model=WithToken, token="required", body_required=False),
}


@router.get(
    "/{user_id}/pins",
    response_model=list[Tweet],
    summary="An account's pinned tweets",
    responses=errors(401, 404),
    openapi_extra=operation(path_id("user_id", "Whose"), PARAMETER, token="optional"),
)
async def pins(request: Request) -> Response:
    """The tweets that an account has pinned and that you may see, the newest pin first; 5 at most, in one answer."""
    inputs = await Inputs.read(request)
    services, account_id = inputs.services, inputs.path_id("user_id")
    viewer = await inputs.viewer()
    require_level(services, PIN.from_level)
    body = await services.ask_account(account_id, "pins", viewer)
    return json_bytes(await for_viewer(services, inputs.query, viewer, body))


@router.post("/api/v1/tweet/{tweet_id}/pin", summary="Pin", **_ACT)
async def pin(request: Request) -> Response:
    """Have your profile show a tweet of yours first. Doing it again changes nothing."""
    return await _pin(request, "pin", True)


@router.delete("/api/v1/tweet/{tweet_id}/pin", summary="Take a pin away", **_ACT)
async def unpin(request: Request) -> Response:
    """Take a pin away. Doing it again, or without having one, changes nothing."""
    return await _pin(request, "unpin", False)


async def _pin(request: Request, op: str, holds: bool) -> Response:
    inputs = await Inputs.read(request)
    services, actor = inputs.services, await inputs.actor()
    tweet_id = inputs.path_id("tweet_id")
    require_level(services, PIN.from_level)

    async def seen() -> list[int]:
        await require_seen(services, tweet_id, actor)
        return [actor, tweet_id]

    if holds:
        await write_if_seen(inputs, actor, op, tweet_id, seen)
    else:
        await write_once(inputs, actor, op, [actor, tweet_id])
    return json_value({"user_id": str(actor), "tweet_id": str(tweet_id), "pinned": holds})
