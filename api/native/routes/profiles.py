"""Profiles: read one, change your own."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.fields import clean_profile_changes
from api.inputs import Inputs
from api.native.models import Profile, ProfileRequest
from api.native.openapi import IDEMPOTENCY_KEY, errors, operation, path_id
from api.native.routes.answers import json_bytes
from api.once import write_once

router = APIRouter(tags=["profiles"])
_USER_ID = path_id("user_id", "Whose")


@router.get(
    "/{user_id}/profile",
    response_model=Profile,
    summary="A profile",
    responses=errors(401, 404),
    openapi_extra=operation(_USER_ID, token="optional"),
)
async def get_profile(request: Request) -> Response:
    """Return a profile with its exact totals."""
    inputs = await Inputs.read(request)
    account_id = inputs.path_id("user_id")
    return json_bytes(await inputs.services.ask_account(account_id, "profile", await inputs.viewer()))


@router.patch(
    "/{user_id}/profile",
    response_model=Profile,
    summary="Change your profile",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=operation(_USER_ID, IDEMPOTENCY_KEY, model=ProfileRequest, token="required"),
)
async def change_profile(request: Request) -> Response:
    """Change what is given and leave the rest; an empty text clears."""
    inputs = await Inputs.read(request)
    actor = await inputs.actor(inputs.path_id("user_id"))
    changes = clean_profile_changes(inputs.body)
    return json_bytes(await write_once(inputs, actor, "update_profile", [actor, changes]))
