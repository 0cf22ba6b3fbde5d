"""Edges between accounts: follow, block, mute; and the lists of followers and followed."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import ForbiddenError, InvalidError, NotFoundError, RookeryError
from actors.core.features.relations import FOLLOWING
from actors.core.ids import bucket_of_account
from api.inputs import Inputs
from api.native.hydration import hydrate_cards
from api.native.locks import LOCKS_FROM_LEVEL, is_locked
from api.native.models import AccountPage, BlockState, FollowState, MuteState, OnlyToken
from api.native.openapi import CURSOR, IDEMPOTENCY_KEY, errors, operation, path_id
from api.native.routes.answers import json_page, json_value
from api.once import write_once
from api.services import Services

router = APIRouter(tags=["follows"])
_BLOCK_WAIT_S = 1.0  # for the other one's shard; a message between two that are up takes some milliseconds
_BLOCK_POLL_S = 0.002  # doubling
_USER_ID = path_id("user_id", "Who")
_EDGE = operation(
    path_id("user_id", "Who acts; must be the token's account"),
    path_id("id", "Whom it concerns"),
    IDEMPOTENCY_KEY,
    model=OnlyToken,
    token="required",
    body_required=False,
)
_EDGE_ERRORS = errors(401, 403, 404, 409, body=True)
_LIST: dict[str, Any] = {
    "response_model": AccountPage,
    "responses": errors(401, 404, page=True),
    "openapi_extra": operation(_USER_ID, *CURSOR, token="optional"),
}


async def _change_edge(request: Request, op: str, state: str, holds: bool) -> Response:
    """Carry out one change of an edge. A target that must exist is asked of its own shard first."""
    inputs = await Inputs.read(request)
    services, user_id, target_id = inputs.services, inputs.path_id("user_id"), inputs.path_id("id")
    actor = await inputs.actor(user_id)
    if actor == target_id:
        raise InvalidError(f"an account can't {op} itself", "id")

    async def edge() -> list[int]:
        try:
            if holds:
                await services.ask_account(target_id, "account")
            if op == "follow":
                await _require_unlocked(services, actor, target_id)
        except NotFoundError as error:
            raise NotFoundError(error.message, "id") from error
        return [actor, target_id]

    await write_once(inputs, actor, op, edge)
    if op == "block":
        await _wait_for_block(services, actor, target_id)
    return json_value({"user_id": str(actor), "target_id": str(target_id), state: holds})


async def _require_unlocked(services: Services, actor: int, target_id: int) -> None:
    """Raise ForbiddenError for an account that wants to be asked, unless it has said yes already.

    Its shard would take the follow back; requests are made and answered by Mastodon's API alone.
    """
    if services.cluster.level < LOCKS_FROM_LEVEL or not await is_locked(services, target_id):
        return
    ((said, *_),) = await services.ask_account(actor, "relations", [target_id])
    if not said & FOLLOWING:
        raise ForbiddenError(f"account {target_id} is asked before it is followed, by Mastodon's API", "id")


async def _wait_for_block(services: Services, actor: int, target_id: int) -> None:
    """Wait until the other one's shard knows of a block too: when it is answered, it holds on both sides.

    It is durable already, and its message arrives whatever happens; so a shard that isn't there is not waited for.
    """
    bucket = bucket_of_account(target_id)
    loop = asyncio.get_running_loop()
    deadline, pause_s = loop.time() + _BLOCK_WAIT_S, _BLOCK_POLL_S
    asked = actor.to_bytes(8, "little")
    while (left_s := deadline - loop.time()) > 0:
        try:
            if await services.cluster.call(bucket, "blocked_among", [target_id, asked], left_s):
                return
        except RookeryError:  # see above
            return
        await asyncio.sleep(pause_s)
        pause_s *= 2


@router.post(
    "/{user_id}/follow/{id}",
    response_model=FollowState,
    summary="Follow",
    responses=_EDGE_ERRORS,
    openapi_extra=_EDGE,
)
async def follow(request: Request) -> Response:
    """Follow an account. Doing it again changes nothing."""
    return await _change_edge(request, "follow", "following", True)


@router.delete(
    "/{user_id}/follow/{id}",
    response_model=FollowState,
    summary="Unfollow",
    responses=_EDGE_ERRORS,
    openapi_extra=_EDGE,
)
async def unfollow(request: Request) -> Response:
    """Stop following an account. Doing it again changes nothing."""
    return await _change_edge(request, "unfollow", "following", False)


@router.post(
    "/{user_id}/block/{id}",
    response_model=BlockState,
    summary="Block",
    responses=_EDGE_ERRORS,
    openapi_extra=_EDGE,
)
async def block(request: Request) -> Response:
    """Block an account: the follows between the two go, and each is hidden from the other."""
    return await _change_edge(request, "block", "blocking", True)


@router.delete(
    "/{user_id}/block/{id}",
    response_model=BlockState,
    summary="Unblock",
    responses=_EDGE_ERRORS,
    openapi_extra=_EDGE,
)
async def unblock(request: Request) -> Response:
    """Take a block back. The follows that it removed don't come back."""
    return await _change_edge(request, "unblock", "blocking", False)


@router.post(
    "/{user_id}/mute/{id}",
    response_model=MuteState,
    summary="Mute",
    responses=_EDGE_ERRORS,
    openapi_extra=_EDGE,
)
async def mute(request: Request) -> Response:
    """Hide an account from your home timeline; it doesn't learn of it."""
    return await _change_edge(request, "mute", "muting", True)


@router.delete(
    "/{user_id}/mute/{id}",
    response_model=MuteState,
    summary="Unmute",
    responses=_EDGE_ERRORS,
    openapi_extra=_EDGE,
)
async def unmute(request: Request) -> Response:
    """Take a mute back."""
    return await _change_edge(request, "unmute", "muting", False)


@router.get("/{user_id}/followers", summary="Who follows an account", **_LIST)
async def followers(request: Request) -> Response:
    """The accounts that follow this one, newest first."""
    return await _list_accounts(request, "followers")


@router.get("/{user_id}/following", summary="Whom an account follows", **_LIST)
async def following(request: Request) -> Response:
    """The accounts that this one follows, newest first."""
    return await _list_accounts(request, "following")


async def _list_accounts(request: Request, op: str) -> Response:
    inputs = await Inputs.read(request)
    user_id, viewer = inputs.path_id("user_id"), await inputs.viewer()
    cursor, count = inputs.cursor_page()
    ids, next_cursor = await inputs.services.ask_account(user_id, op, viewer, cursor, count)
    return json_page(inputs, next_cursor, b'{"users":[', await hydrate_cards(inputs.services, ids, viewer))
