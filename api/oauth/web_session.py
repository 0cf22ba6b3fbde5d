"""How the web client stays signed in over a reload: its token in a cookie that no script reads, and the API never does.

    POST /oauth/token, Rookery-Web: 1      the cookie comes with the exchange of a code (`grants.py`)
    POST /oauth/web/token                  the token of the cookie, and 30 more days for it; `{}` for nobody
    PUT /oauth/web/token, with a token     puts that into the cookie: links of an operator's terminal
    DELETE /oauth/web/token                ends the token, the cookie, and the session of the pages of signing in

Rules of this file
- It is asked by our own page alone, and the cookie goes nowhere else (`web_cookie.py`). There is no CORS here.
- Answers are kept by nobody, refusals included. They are Mastodon's in form.

It is the token-mediating pattern of "OAuth 2.0 for Browser-Based Applications": a page that is taken over can act while
it is open, but the token isn't in any storage that it could read.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from starlette.responses import Response

from actors.core.errors import NotFoundError, RookeryError, UnauthorizedError
from actors.core.scopes import spell
from api.access.auth import Grant, bearer_of, parse_token
from api.limits import TOKEN_CHARS_MAX
from api.mastodon.errors import refusal_of
from api.mastodon.operations.credentials import credential_account_of
from api.oauth.sessions import Visit, cookies_of
from api.oauth.web_cookie import cookie_name_of, cookie_of, require_own_page
from api.services import Services

WEB_TOKEN: Final = "/oauth/web/token"
_ENDED: Final = "nobody is signed in here"
Handler = Callable[[Visit], Awaitable[Response]]


async def give_token(visit: Visit) -> Response:
    """Answer the token of the cookie, and who that is: a page needs to ask no more before it asks for posts."""
    token = _token_of(visit)
    if not token:
        return _json({})
    try:
        return await _signed_in(visit, token)
    except UnauthorizedError:  # it has ended
        answer = _json({})
        answer.raw_headers.append(cookie_of(visit.services, visit.scope, "", 0))
        return answer


async def take_token(visit: Visit) -> Response:
    """Put the token of the Authorization header into the cookie, and answer as with that."""
    header = next((value for name, value in visit.scope["headers"] if name == b"authorization"), b"")
    return await _signed_in(visit, bearer_of(header.decode("latin-1")) if header else "")


async def _signed_in(visit: Visit, token: str) -> Response:
    grant = await _granted(visit.services, token)
    answer = _json({
        "access_token": token, "token_type": "Bearer", "scope": spell(grant.scopes), "created_at": int(time.time()),
        "account": await credential_account_of(visit.services, grant.account_id),
    })  # fmt: skip
    answer.raw_headers.append(cookie_of(visit.services, visit.scope, token))
    return answer


async def end_token(visit: Visit) -> Response:
    """Sign out: everywhere where this browser is signed in at this server."""
    services, token = visit.services, _token_of(visit)
    try:
        grant = await _granted(services, token)
    except UnauthorizedError:  # it has ended already
        pass
    else:
        secret_hash = parse_token(token).secret_hash
        await services.ask_account(grant.account_id, "revoke_token", secret_hash)
        services.auth.drop_token(grant.account_id, secret_hash)
    await visit.end_session()
    answer = _json({})
    answer.raw_headers += [
        cookie_of(services, visit.scope, "", 0),
        *((b"set-cookie", cookie.encode("latin-1")) for cookie in visit.cookies),
    ]
    return answer


def for_own_page(handle: Handler) -> Handler:
    """Return a handler that refuses strangers, and whose refusals are JSON. It sets no cookie of the other pages."""

    async def handled(visit: Visit) -> Response:
        visit.cookies.clear()
        try:
            if not visit.services.settings.web_enabled:
                raise NotFoundError("there is no web client here (web.enabled)")
            require_own_page(visit.services, visit.scope)
            answer = await handle(visit)
        except RookeryError as error:
            answer = refusal_of(error)
            answer.raw_headers[:] = [each for each in answer.raw_headers if not each[0].startswith(b"access-control")]
            answer.headers["cache-control"] = "private, no-store"
        visit.cookies.clear()
        return answer

    return handled


def _token_of(visit: Visit) -> str:
    services, cookies = visit.services, cookies_of(visit.scope["headers"])
    is_secure = services.origins.origin(visit.scope).startswith("https:")
    return cookies.get(cookie_name_of(services.cluster.outgoing_keys, is_secure), "")


async def _granted(services: Services, token: str) -> Grant:
    """Return what a token allows that stands for somebody. Raises UnauthorizedError."""
    if not token or len(token) > TOKEN_CHARS_MAX or not parse_token(token).account_id:
        raise UnauthorizedError(_ENDED)
    grant = await services.auth.grant(token)
    if grant.is_session or not grant.account_id:
        raise UnauthorizedError(_ENDED)
    return grant


def _json(value: object) -> Response:
    headers = {"cache-control": "private, no-store", "x-content-type-options": "nosniff"}
    return Response(orjson.dumps(value), 200, headers, media_type="application/json")


WEB_SESSION: Final[dict[str, Handler]] = {
    "POST": for_own_page(give_token), "PUT": for_own_page(take_token), "DELETE": for_own_page(end_token),
}  # fmt: skip
