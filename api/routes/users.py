"""Accounts come and go in: register, log in, log out."""

from __future__ import annotations

import os

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import UnauthorizedError
from actors.core.ids import ID_MAX, bucket_of_account, bucket_of_name, buckets_of_accounts
from api import fields, limits
from api.auth import make_token, parse_token
from api.inputs import Inputs
from api.models import LoggedIn, LoggedOut, LoginRequest, Registered, RegisterRequest, WithToken
from api.openapi import errors, operation
from api.routes.answers import json_value, secret_value
from api.services import Services

router = APIRouter(tags=["accounts"])
_DRAW_COUNT = 4_096  # four ids a bucket: one draw misses once in 55 times, and takes 60 us
_NO_MATCH = "unknown user name or wrong password"


def draw_account_id(bucket: int) -> int:
    """Return a random positive 63-bit id that lives in that bucket. Cost: 60 us."""
    while True:
        ids = np.frombuffer(os.urandom(8 * _DRAW_COUNT), dtype=np.int64) & ID_MAX
        fitting = ids[(buckets_of_accounts(ids) == bucket) & (ids > 0)]
        if len(fitting):
            return int(fitting[0])


@router.post(
    "/api/v1/users",
    status_code=201,
    response_model=Registered,
    summary="Register",
    responses=errors(409, body=True),
    openapi_extra=operation(model=RegisterRequest),
)
async def register(request: Request) -> Response:
    """Make an account. Its user name is unique without regard to case. The token is shown only here."""
    inputs = await Inputs.read(request)
    services = inputs.services
    services.limiter.check_register(request.scope)
    username = fields.clean_username(fields.required(inputs.body, "username"))
    password = fields.new_password(fields.required(inputs.body, "password"))
    display_name = fields.clean_display_name(inputs.body.get("display_name"))
    bio = fields.clean_bio(inputs.body.get("bio"))
    bucket = bucket_of_name(username)
    account_id = draw_account_id(bucket)
    token, secret_hash = make_token(account_id)
    password_hash = await services.passwords.hash(password)
    account_id = await services.ask_bucket(
        bucket, "register", [username, account_id, display_name, bio, password_hash, [secret_hash]]
    )
    names = {"username": username, "display_name": display_name, "bio": bio}
    return secret_value({"user_id": str(account_id), **names, "auth_token": token}, 201)


@router.post(
    "/api/v1/login",
    response_model=LoggedIn,
    summary="Log in",
    responses=errors(401, body=True),
    openapi_extra=operation(model=LoginRequest),
)
async def login(request: Request) -> Response:
    """Get a fresh token. Earlier ones go on working until they are revoked."""
    inputs = await Inputs.read(request)
    services = inputs.services
    username = fields.clean_text(fields.required(inputs.body, "username"), "username", limits.TOKEN_CHARS_MAX)
    password = fields.tried_password(fields.required(inputs.body, "password"))
    services.limiter.check_login(request.scope, username)
    account_id, encoded = await _credentials_of(services, username)
    if not await services.passwords.matches(encoded, password):
        raise UnauthorizedError(_NO_MATCH)
    token, secret_hash = make_token(account_id)
    await services.ask_account(account_id, "login_token", secret_hash)
    return secret_value({"user_id": str(account_id), "username": username, "auth_token": token})


@router.post(
    "/api/v1/logout",
    response_model=LoggedOut,
    summary="Log out",
    responses=errors(401, 403, body=True),
    openapi_extra=operation(model=WithToken, token="required", body_required=False),
)
async def logout(request: Request) -> Response:
    """Revoke the token that this request carries, everywhere and at once."""
    inputs = await Inputs.read(request)
    services, token = inputs.services, inputs.token
    account_id = await inputs.actor()
    if token is None:  # only with auth_mode "open": there was no token to begin with
        raise UnauthorizedError("a token is required to log out of it")
    secret_hash = parse_token(token).secret_hash
    await services.ask_bucket(bucket_of_account(account_id), "revoke_token", [account_id, secret_hash])
    services.auth.drop_token(account_id, secret_hash)
    return json_value({"revoked": True})


async def _credentials_of(services: Services, username: str) -> tuple[int, str | None]:
    if not fields.is_username(username):
        return 0, None
    (account_id,) = await services.ask_bucket(bucket_of_name(username), "names", [[username]])
    if not account_id:
        return 0, None
    (encoded,) = await services.ask_account(account_id, "credentials")
    return account_id, encoded
