"""What an account gets mailed, its address, and a forgotten password."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import ForbiddenError, InvalidError
from api import fields
from api.access.confirming import WRONG_CODE, confirm_address, require_mail, want_address
from api.access.forgotten import forgot, reset
from api.access.mail_addresses import CHARS_MAX
from api.inputs import Inputs
from api.mail_choices import choices_of, mail_settings
from api.native.mail_models import (
    AddressRequest,
    CodeRequest,
    ForgottenAccepted,
    ForgottenRequest,
    MailRequest,
    MailSettings,
    PasswordReset,
    ResetRequest,
)
from api.native.openapi import IDEMPOTENCY_KEY, errors, operation, path_id
from api.native.routes.answers import json_value
from api.once import write_once
from api.outgoing_keys import CODE_GIVEN_CHARS_MAX

router = APIRouter(tags=["accounts"])
_USER_ID = path_id("user_id", "Who acts; must be the token's account")
_ACCEPTED = {"accepted": True}


@router.get(
    "/{user_id}/mail",
    response_model=MailSettings,
    summary="What is mailed",
    responses=errors(401, 403, 404),
    openapi_extra=operation(_USER_ID, token="required"),
)
async def read_mail(request: Request) -> Response:
    """The account's address, the one that waits for its code, and what is mailed to the first."""
    inputs = await Inputs.read(request)
    account_id = await inputs.actor(inputs.path_id("user_id"))
    require_mail(inputs.services)
    return json_value(mail_settings(await inputs.services.ask_account(account_id, "mailbox")))


@router.put(
    "/{user_id}/mail",
    response_model=MailSettings,
    summary="Choose what is mailed",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=operation(_USER_ID, IDEMPOTENCY_KEY, model=MailRequest, token="required"),
)
async def choose_mail(request: Request) -> Response:
    """Choose which notifications are mailed at once, and whether the others are, once a day. What isn't given stays."""
    inputs = await Inputs.read(request)
    account_id = await inputs.actor(inputs.path_id("user_id"))
    require_mail(inputs.services)

    async def chosen() -> list[Any]:
        _, _, types, _ = await inputs.services.ask_account(account_id, "mailbox")
        return [account_id, *choices_of(inputs.body, types)]

    return json_value(mail_settings(await write_once(inputs, account_id, "set_mail", chosen)))


@router.post(
    "/{user_id}/mail/address",
    status_code=202,
    response_model=MailSettings,
    summary="Have another address",
    responses=errors(401, 403, 404, body=True),
    openapi_extra=operation(_USER_ID, model=AddressRequest, token="required"),
)
async def choose_address(request: Request) -> Response:
    """Have a code mailed to an address. Needs the password beside the token. Until the code comes back the account
    keeps the address that it has, which is told."""
    inputs = await Inputs.read(request)
    services, body = inputs.services, inputs.body
    account_id = await inputs.actor(inputs.path_id("user_id"))
    require_mail(services)
    address = fields.clean_text(fields.required(body, "email"), "email", CHARS_MAX)
    password = fields.tried_password(fields.required(body, "password"))
    _, username, _ = await services.ask_account(account_id, "account")
    with services.logins.begin(services.limiter.address_of(request.scope), username) as attempt:
        (encoded,) = await services.ask_account(account_id, "credentials")
        if not await services.passwords.matches(encoded, password, attempt.asker):
            attempt.wrong()
            raise ForbiddenError("password is not the one that this account has now", "password")
        attempt.right()
    await want_address(services, account_id, address)
    return json_value(mail_settings(await services.ask_account(account_id, "mailbox")), 202)


@router.post(
    "/{user_id}/mail/confirmation",
    response_model=MailSettings,
    summary="Confirm an address",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=operation(_USER_ID, model=CodeRequest, token="required"),
)
async def confirm(request: Request) -> Response:
    """Make the address that waits the account's, by the code that was mailed to it: within a day, once, and with fewer
    than 5 wrong codes before."""
    inputs = await Inputs.read(request)
    services = inputs.services
    account_id = await inputs.actor(inputs.path_id("user_id"))
    require_mail(services)
    if not await confirm_address(services, account_id, _code(inputs.body)):
        raise InvalidError(WRONG_CODE, "code")
    return json_value(mail_settings(await services.ask_account(account_id, "mailbox")))


@router.post(
    "/api/v1/password/forgotten",
    status_code=202,
    response_model=ForgottenAccepted,
    summary="Forget the password",
    responses=errors(404, body=True),
    openapi_extra=operation(model=ForgottenRequest),
)
async def forgotten(request: Request) -> Response:
    """Have a code mailed that gives the account another password. The answer is the same, whoever has that address, and
    comes before anything is looked at."""
    inputs = await Inputs.read(request)
    address = fields.clean_text(fields.required(inputs.body, "email"), "email", CHARS_MAX)
    forgot(inputs.services, inputs.services.limiter.address_of(request.scope), address)
    return json_value(_ACCEPTED, 202)


@router.post(
    "/api/v1/password/reset",
    response_model=PasswordReset,
    summary="Choose another password",
    responses=errors(404, body=True),
    openapi_extra=operation(model=ResetRequest),
)
async def reset_password(request: Request) -> Response:
    """Choose another password by a mailed code: within ten minutes, once. All tokens and sessions end."""
    inputs = await Inputs.read(request)
    body = inputs.body
    address = fields.clean_text(fields.required(body, "email"), "email", CHARS_MAX)
    password = fields.chosen_password(body, "new_password", address.partition("@")[0])
    client = inputs.services.limiter.address_of(request.scope)
    if not await reset(inputs.services, client, address, _code(body), password):
        raise InvalidError(WRONG_CODE, "code")
    return json_value({"reset": True})


def _code(body: dict[str, Any]) -> str:
    return fields.clean_text(fields.required(body, "code"), "code", CODE_GIVEN_CHARS_MAX)
