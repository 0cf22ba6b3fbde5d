"""Webhooks: addresses that are told of an account's notifications, for itself alone.

    make, rotate --a secret, made here, told once--> the account's shard --notices--> its queue --> a dispatcher

Rules of this file
- Addresses are https, without a user's name; http, and addresses that nobody else reaches, where the operator allows
  networks of his own. What a name means is looked at when a message is sent (`actors/outgoing/posting.py`).
- A secret is made of a number that is drawn here and kept with the answer, by a key of the cluster's: a repetition of
  the request is told the same one, and no answer that is kept has it.
- A server on which they aren't configured has none: 404. Shards keep them from the cluster's level 3 on.

Cost: one lane request.
"""

from __future__ import annotations

import base64
import ipaddress
import secrets
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import InvalidError, NotFoundError
from actors.core.limits import WEBHOOK_URL_BYTES_MAX
from actors.core.outbound import FROM_LEVEL
from actors.core.render import created_at
from api import fields
from api.access.auth import parse_token
from api.inputs import Inputs
from api.levels import require_level
from api.native.models import OnlyToken
from api.native.notification_json import TYPE_BITS, TYPE_NAMES
from api.native.openapi import IDEMPOTENCY_KEY, errors, operation, path_id
from api.native.routes.answers import json_bytes, json_value
from api.native.webhook_models import NewWebhook, OwnWebhook, WebhookRequest, WebhookTest
from api.once import write_once
from api.outgoing_keys import NONCE_BYTES
from api.params import shown
from api.reach import Reach
from api.settings import ApiSettings

router = APIRouter(tags=["notifications"])
SECRET_PREFIX: Final = "whsec_"
_USER_ID = path_id("user_id", "Whose; must be the token's account")
_WEBHOOK_ID = path_id("webhook_id", "Which")
_ACT: dict[str, Any] = {"responses": errors(401, 403, 404, 409, body=True)}


@router.get(
    "/{user_id}/webhooks",
    summary="Your webhooks",
    response_model=list[OwnWebhook],
    responses=errors(401, 403, 404),
    openapi_extra=operation(_USER_ID, token="required"),
)
async def webhooks(request: Request) -> Response:
    """The account's webhooks, the oldest first, 10 at most; without their secrets."""
    inputs, account_id = await _own(request)
    rows = await inputs.services.ask_account(account_id, "webhooks")
    return json_bytes(orjson.dumps([_shown(row) for row in rows]))


@router.post(
    "/{user_id}/webhooks",
    status_code=201,
    summary="Make a webhook",
    response_model=NewWebhook,
    openapi_extra=operation(_USER_ID, IDEMPOTENCY_KEY, model=WebhookRequest, token="required"),
    **_ACT,
)
async def make(request: Request) -> Response:
    """Have an address be told of notifications from now on. The secret is told in this answer and nowhere else, but to
    a repetition of the request by its key. An address that has one already is 409."""
    inputs, account_id = await _own(request)
    url, types = (
        address(fields.required(inputs.body, "url"), inputs.services.settings),
        _types(inputs.body.get("types")),
    )
    secret, nonce = _drawn(inputs, account_id)
    proven = None if inputs.services.auth.is_open else inputs.token  # an open server looks at none
    token = b"" if proven is None else parse_token(proven).secret_hash
    row = await write_once(inputs, account_id, "make_webhook", [account_id, url, types, secret, nonce, token])
    return json_value(_with_secret(inputs, account_id, row), 201)


@router.post(
    "/{user_id}/webhooks/{webhook_id}/secret",
    summary="Change a webhook's secret",
    response_model=NewWebhook,
    openapi_extra=operation(
        _USER_ID, _WEBHOOK_ID, IDEMPOTENCY_KEY, model=OnlyToken, token="required", body_required=False
    ),
    **_ACT,
)
async def rotate(request: Request) -> Response:
    """Give a webhook another secret, told in this answer and nowhere else, but to a repetition of the request by its
    key. The one of before signs too for 24 hours."""
    inputs, account_id = await _own(request)
    webhook_id = inputs.path_id("webhook_id")
    row = await write_once(inputs, account_id, "rotate_webhook", [account_id, webhook_id, *_drawn(inputs, account_id)])
    return json_value(_with_secret(inputs, account_id, row))


@router.post(
    "/{user_id}/webhooks/{webhook_id}/test",
    status_code=202,
    summary="Test a webhook",
    response_model=WebhookTest,
    openapi_extra=operation(
        _USER_ID, _WEBHOOK_ID, IDEMPOTENCY_KEY, model=OnlyToken, token="required", body_required=False
    ),
    **_ACT,
)
async def test(request: Request) -> Response:
    """Send a webhook a message of type `test`, in the way of all others."""
    inputs, account_id = await _own(request)
    item_id = await write_once(inputs, account_id, "test_webhook", [account_id, inputs.path_id("webhook_id")])
    return json_value({"message_id": f"{account_id}-{item_id}"}, 202)


@router.delete(
    "/{user_id}/webhooks/{webhook_id}",
    summary="End a webhook",
    response_model=OwnWebhook,
    openapi_extra=operation(
        _USER_ID, _WEBHOOK_ID, IDEMPOTENCY_KEY, model=OnlyToken, token="required", body_required=False
    ),
    **_ACT,
)
async def end(request: Request) -> Response:
    """Have an address be told no more, of what waits for it neither. The answer is what it was."""
    inputs, account_id = await _own(request)
    row = await write_once(inputs, account_id, "drop_webhook", [account_id, inputs.path_id("webhook_id")])
    return json_value(_shown(row))


async def _own(request: Request) -> tuple[Inputs, int]:
    inputs = await Inputs.read(request)
    account_id = await inputs.actor(inputs.path_id("user_id"))
    if not inputs.services.settings.webhooks:
        raise NotFoundError("this server has no webhooks; its operator would have to configure them")
    require_level(inputs.services, FROM_LEVEL)
    return inputs, account_id


def address(value: Any, settings: ApiSettings) -> str:
    """Return a webhook's address. Raises InvalidError for one that no request would be made to."""
    url = fields.clean_text(value, "url", WEBHOOK_URL_BYTES_MAX)
    networks = settings.webhook_networks
    schemes = ("https", "http") if networks else ("https",)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidError(f"url can't be read: {error}", "url") from error
    if parts.scheme not in schemes or not host or port == 0 or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidError(f"url must be an address such as https://example.org/hook, not {shown(url)}", "url")
    if "@" in parts.netloc or "\\" in url:
        raise InvalidError("url must not name a user", "url")
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return url
    if not Reach(networks, parts.scheme == "http").may_reach(host):
        raise InvalidError(f"url must be a public address; {host} is none", "url")
    return url


def _types(value: Any) -> int:
    """Return types as bits. Raises InvalidError."""
    if value is None:
        return sum(TYPE_BITS.values())
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise InvalidError(f"types must be some of {', '.join(TYPE_NAMES)}, not {shown(value)}", "types")
    wanted = 0
    for name in names:
        if not isinstance(name, str) or name not in TYPE_BITS:
            raise InvalidError(f"types must be some of {', '.join(TYPE_NAMES)}, not {shown(name)}", "types")
        wanted |= TYPE_BITS[name]
    return wanted


def _shown(row: list[Any]) -> dict[str, Any]:
    """Return what is said of a webhook. row: of the lane's `webhooks`, perhaps with more."""
    webhook_id, url, types, made_ms, rotated_ms, waiting = row[:6]
    return {
        "webhook_id": str(webhook_id), "url": url, "types": [name for name, bit in TYPE_BITS.items() if types & bit],
        "created_at": created_at(made_ms), "rotated_at": created_at(rotated_ms) if rotated_ms else None,
        "waiting_count": waiting,
    }  # fmt: skip


def _drawn(inputs: Inputs, account_id: int) -> tuple[bytes, bytes]:
    """Return a fresh secret, and the number of which it is made."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return inputs.services.outgoing_keys.webhook_secret(account_id, nonce), nonce


def _with_secret(inputs: Inputs, account_id: int, row: list[Any]) -> dict[str, Any]:
    """Return what is said of a webhook to whoever has just made its secret. row: of the lane's `make_webhook`."""
    secret = inputs.services.outgoing_keys.webhook_secret(account_id, row[6])
    return {**_shown(row), "secret": SECRET_PREFIX + base64.b64encode(secret).decode()}
