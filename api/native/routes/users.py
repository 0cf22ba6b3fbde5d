"""Who may come in: register, log in, log out; change a password, see log-ins and end them; go for good."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import ConflictError, ForbiddenError, NotFoundError, UnauthorizedError
from actors.core.ids import bucket_of_account
from actors.core.render import created_at
from actors.core.stores.people import token_id
from actors.core.terms import FULL_FROM_LEVEL
from api import fields, limits
from api.access.auth import make_token, parse_token
from api.access.log_in import log_in
from api.access.registering import register as register_account
from api.access.registering import require_open
from api.inputs import Inputs
from api.levels import require_level
from api.native.models import (
    AccountDeleted,
    DeleteAccountRequest,
    EndLoginsRequest,
    LoggedIn,
    LoggedOut,
    LoginRequest,
    LoginsEnded,
    OnlyToken,
    PasswordChanged,
    PasswordRequest,
    Registered,
    RegisterRequest,
    TokenList,
    WithToken,
)
from api.native.openapi import IDEMPOTENCY_KEY, errors, operation, path_id
from api.native.routes.answers import json_value, secret_value
from api.once import answered_before, repeatable_of, write_once
from api.params import parse_flag

router = APIRouter(tags=["accounts"])
_USER_ID = path_id("user_id", "Who acts; must be the token's account")
_TOKEN_ID = {
    "name": "token_id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    "description": "What the list of log-ins calls it", "example": "5feceb66ffc86f38",
}  # fmt: skip
_KEEP_OWN = {
    "name": "keep_own", "in": "query", "schema": {"type": "boolean", "default": False},
    "description": "Leave the token that this request carries; may be in the body, too",
}  # fmt: skip
TOKEN_WITH_BODY = frozenset(("delete_account",))
"""Routes whose token isn't judged before the body is there: a repetition is told by the body; its token has ended."""


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
    require_open(services, at_once=True)
    username = fields.clean_username(fields.required(inputs.body, "username"))
    password = fields.chosen_password(inputs.body, "password", username)
    display_name = fields.clean_display_name(inputs.body.get("display_name"))
    bio = fields.clean_bio(inputs.body.get("bio"))
    name = _name_of_token(inputs)
    address = services.limiter.address_of(request.scope)
    account_id, token, _ = await register_account(services, address, username, password, display_name, bio, name)
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
    name = _name_of_token(inputs)
    with services.logins.begin(services.limiter.address_of(request.scope), username) as attempt:
        account_id, token = await log_in(services, username, password, attempt, name)
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


@router.post(
    "/{user_id}/password",
    response_model=PasswordChanged,
    summary="Change the password",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=operation(_USER_ID, model=PasswordRequest, token="required"),
)
async def change_password(request: Request) -> Response:
    """Needs the old password beside the token. All tokens of the account end, the one of this request too, and a fresh
    one is in the answer: whoever has stolen one has nothing any more."""
    inputs = await Inputs.read(request)
    services, body = inputs.services, inputs.body
    account_id = await inputs.actor(inputs.path_id("user_id"))
    _, username, _ = await services.ask_account(account_id, "account")
    password = fields.tried_password(fields.required(body, "password"))
    new_password = fields.chosen_password(body, "new_password", username)
    keeps_tokens, name = parse_flag(body, "keep_tokens"), _name_of_token(inputs)
    with services.logins.begin(services.limiter.address_of(request.scope), username) as attempt:
        (encoded,) = await services.ask_account(account_id, "credentials")
        if not await services.passwords.matches(encoded, password, attempt.asker):
            attempt.wrong()
            raise ForbiddenError("password is not the one that this account has now", "password")
        attempt.right()
        password_hash = await services.passwords.hash(new_password, attempt.asker)
    token, secret_hash = (None, None) if keeps_tokens else make_token(account_id)
    kept: list[bytes] | None = None if keeps_tokens else []
    revoked = await services.ask_account(
        account_id, "change_password", encoded, password_hash, kept, secret_hash, *name
    )
    services.auth.drop_token(account_id, None)
    return secret_value({"user_id": str(account_id), "auth_token": token, "revoked": revoked})


@router.delete(
    "/{user_id}/tokens",
    response_model=LoginsEnded,
    summary="End all log-ins",
    responses=errors(401, 403, 404, body=True),
    openapi_extra=operation(_USER_ID, _KEEP_OWN, model=EndLoginsRequest, token="required", body_required=False),
)
async def end_logins(request: Request) -> Response:
    """Revoke all tokens of the account, everywhere and at once; with `keep_own` all but the one of this request."""
    inputs = await Inputs.read(request)
    services = inputs.services
    account_id = await inputs.actor(inputs.path_id("user_id"))
    keeps_own = parse_flag({**inputs.query, **inputs.body}, "keep_own")
    kept = [parse_token(inputs.token).secret_hash] if keeps_own and inputs.token is not None else []
    revoked = await services.ask_account(account_id, "revoke_tokens", kept)
    services.auth.drop_token(account_id, None)
    return json_value({"user_id": str(account_id), "revoked": revoked})


@router.delete(
    "/api/v1/users/{user_id}",
    response_model=AccountDeleted,
    summary="Delete an account",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=operation(_USER_ID, IDEMPOTENCY_KEY, model=DeleteAccountRequest, token="required"),
)
async def delete_account(request: Request) -> Response:
    """Delete the account for good, and all that is of it. Needs the password beside the token. Nobody finds it from the
    answer on; its tweets, likes, follows and followers go within seconds, of a large account within minutes."""
    inputs = await Inputs.read(request)
    services, body = inputs.services, inputs.body
    user_id = inputs.path_id("user_id")
    refusal, account_id = None, 0
    try:
        account_id = await inputs.actor(user_id)
    except UnauthorizedError as error:
        refusal = error
    if await _was_deleted(inputs, user_id):
        return json_value({"user_id": str(user_id), "deleted": True})
    if refusal is not None:
        raise refusal
    require_level(services)
    password = fields.tried_password(fields.required(body, "password"))
    _, username, _ = await services.ask_account(account_id, "account")
    with services.logins.begin(services.limiter.address_of(request.scope), username) as attempt:
        (encoded,) = await services.ask_account(account_id, "credentials")
        if not await services.passwords.matches(encoded, password, attempt.asker):
            attempt.wrong()
            raise ForbiddenError("password is not the one that this account has now", "password")
        attempt.right()
    await write_once(inputs, account_id, "delete_account", [account_id, encoded], always=True)
    services.auth.drop_token(account_id, None)
    return json_value({"user_id": str(account_id), "deleted": True})


async def _was_deleted(inputs: Inputs, user_id: int) -> bool:
    """Whether this request repeats, by its Idempotency-Key, one that has deleted the account: its tokens went with it.

    Whoever knows the key and the whole body, the password in it, learns no more than that.
    """
    try:
        return bool(await answered_before(repeatable_of(inputs), user_id))
    except (NotFoundError, ConflictError):
        return False


@router.get(
    "/{user_id}/tokens",
    response_model=TokenList,
    summary="Your log-ins",
    responses=errors(401, 403, 404),
    openapi_extra=operation(_USER_ID, token="required"),
)
async def list_tokens(request: Request) -> Response:
    """All tokens of the account: what each was called when it was made, when that was, and when it was last used."""
    inputs = await Inputs.read(request)
    services = inputs.services
    account_id = await inputs.actor(inputs.path_id("user_id"))
    require_level(services)
    own = "" if inputs.token is None else token_id(parse_token(inputs.token).secret_hash)
    rows = await services.ask_account(account_id, "tokens")
    return json_value(
        {
            "tokens": [
                {
                    "id": name_of_token, "name": name, "created_at": _time_or_none(made_ms),
                    "last_used_at": _time_or_none(used_ms), "current": name_of_token == own,
                }
                for name_of_token, name, made_ms, used_ms, *_ in rows  # from level 2 on scopes and app may follow
            ]
        }
    )  # fmt: skip


@router.delete(
    "/{user_id}/tokens/{token_id}",
    response_model=LoggedOut,
    summary="End one log-in",
    responses=errors(401, 403, 404, body=True),
    openapi_extra=operation(_USER_ID, _TOKEN_ID, model=OnlyToken, token="required", body_required=False),
)
async def end_login(request: Request) -> Response:
    """Revoke one token of the account, as its list calls it, everywhere and at once; it may be the one of this
    request."""
    inputs = await Inputs.read(request)
    services = inputs.services
    account_id = await inputs.actor(inputs.path_id("user_id"))
    require_level(services)
    named = fields.clean_text(inputs.request.path_params["token_id"], "token_id", limits.TOKEN_CHARS_MAX)
    secret_hash = await services.ask_account(account_id, "end_token", named)
    services.auth.drop_token(account_id, secret_hash)
    return json_value({"revoked": True})


def _name_of_token(inputs: Inputs) -> list[str]:
    """Return what the client calls the token that it is about to get, or nothing while older shards are about."""
    name = fields.clean_token_name(inputs.body.get("token_name"))
    return [name] if inputs.services.cluster.level >= FULL_FROM_LEVEL else []


def _time_or_none(ms: int) -> str | None:
    return created_at(ms) if ms else None
