"""From what a client shows to a token: a code, its own credentials, or somebody's password (RFC 6749, 4).

Rules of this file
- The client proves itself first, whatever the grant. Then its scopes are looked at, then what it shows.
- A code is redeemed by one write of its account's shard, so it works once, also across a crash; who shows it again ends
  the token that was made of it (`actors/core/features/redeeming.py`).
- A password costs what it costs at the native log-in: attempts are counted, hashing waits in line (`log_in.py`). That
  one is wrong and that nobody has the name are one refusal.
- Whatever is refused says no more than RFC 6749 asks for.
"""

from __future__ import annotations

import time
from typing import Any, Final

import orjson

from actors.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnauthorizedError
from actors.core.features.app_tokens import FROM_LEVEL
from actors.core.ids import bucket_of_thing
from actors.core.scopes import spell
from api.access.auth import APP_TOKEN_PREFIX, make_token
from api.access.log_in import log_in
from api.fields import tried_password
from api.http.caching import PRIVATE
from api.levels import require_level
from api.limits import TOKEN_CHARS_MAX, TOKEN_NAME_CHARS_MAX
from api.mastodon.call import Answer, Call
from api.mastodon.errors import OAuthError
from api.oauth.clients import Client, hash_of, proven_client
from api.oauth.codes import challenge_of, parse_code
from api.oauth.web_app import WEB_APP_ID
from api.oauth.web_cookie import asks_for_cookie, cookie_of, require_own_page

_INVALID_GRANT: Final = (
    "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used in the "
    "authorization request, or was issued to another client."
)


async def token(call: Call) -> Answer:
    """Make a token of what a client shows."""
    client = await proven_client(call)
    grant_type = required(call, "grant_type")
    run = _GRANTS.get(grant_type)
    if client.app_id == WEB_APP_ID and run is not _by_code:
        raise OAuthError("unauthorized_client", "The server's own client is given tokens for codes alone.")
    if run is None:
        raise OAuthError("unsupported_grant_type", "The authorization grant type is not supported.")
    return await run(call, client)


def required(call: Call, name: str) -> str:
    """Return a parameter that must be there. Raises OAuthError."""
    value = call.params.text(name)
    if not value:
        raise OAuthError("invalid_request", f"Missing required parameter: {name}.")
    return value


def name_of_token(client: Client) -> str:
    """Return what the list of log-ins calls a token of an app."""
    return client.app.name[:TOKEN_NAME_CHARS_MAX]


def token_answer(access_token: str, mask: int) -> Answer:
    """Answer a token, which no cache may keep."""
    value = {
        "access_token": access_token, "token_type": "Bearer", "scope": spell(mask), "created_at": int(time.time()),
    }  # fmt: skip
    return Answer(orjson.dumps(value), headers=(PRIVATE, (b"pragma", b"no-cache")))


async def _by_code(call: Call, client: Client) -> Answer:
    keeps = client.app_id == WEB_APP_ID and asks_for_cookie(call.scope)
    if keeps:
        require_own_page(call.services, call.scope)
    code = parse_code(required(call, "code"))
    redirect_hash = hash_of(required(call, "redirect_uri"))
    challenge = challenge_of(call.params.text("code_verifier"))
    if code is None:
        raise OAuthError("invalid_grant", _INVALID_GRANT)
    access_token, secret_hash = make_token(code.account_id)
    facts = [code.key, client.app_id, redirect_hash, challenge, secret_hash, name_of_token(client)]
    try:
        mask, _ = await call.services.ask_account(code.account_id, "redeem", *facts)
    except (ConflictError, ForbiddenError, NotFoundError) as error:
        raise OAuthError("invalid_grant", _INVALID_GRANT) from error
    answer = token_answer(access_token, mask)
    if keeps:
        cookie = cookie_of(call.services, call.scope, access_token)
        answer = answer._replace(headers=(*answer.headers, cookie))
    return answer


async def _by_credentials(call: Call, client: Client) -> Answer:
    require_level(call.services, FROM_LEVEL)
    mask = client.allowed(call.params.text("scope"))
    access_token, secret_hash = make_token(client.app_id, APP_TOKEN_PREFIX)
    bucket = bucket_of_thing(client.app_id)
    await call.services.ask_bucket(bucket, "make_app_token", [client.app_id, secret_hash, mask])
    return token_answer(access_token, mask)


async def _by_password(call: Call, client: Client) -> Answer:
    services = call.services
    mask = client.allowed(call.params.text("scope"))
    username = required(call, "username")[:TOKEN_CHARS_MAX]
    try:
        password = tried_password(required(call, "password"))
    except InvalidError as error:  # longer than any password, or not Unicode: it is nobody's
        raise OAuthError("invalid_grant", _INVALID_GRANT) from error
    facts: list[Any] = [name_of_token(client), mask, client.app_id]
    with services.logins.begin(services.limiter.address_of(call.scope), username) as attempt:
        try:
            _, access_token = await log_in(services, username, password, attempt, facts)
        except UnauthorizedError as error:
            raise OAuthError("invalid_grant", _INVALID_GRANT) from error
    return token_answer(access_token, mask)


_GRANTS: Final = {
    "authorization_code": _by_code,
    "client_credentials": _by_credentials,
    "password": _by_password,
}
GRANT_TYPES: Final = tuple(_GRANTS)
