"""Somebody lets an app use their account: the page that asks, and the code that says yes (RFC 6749, 4.1).

    GET /oauth/authorize --(nobody signed in, or force_login)--> /auth/sign_in --> back here
    GET  --> the page      POST --> a code, sent to the app, or shown      DELETE --> access_denied, sent to the app

Rules of this file
- Who asks and where the answer goes is settled first: while either is wrong, nothing is sent anywhere. Everything else
  that is wrong is told to the app.
- Nothing is given without a click, also to an app that has a token already: sending somebody here gives nothing. Our
  own web client alone is given its code at once (`web_app.py`).
- The code's place, scopes and challenge are fixed when it is made (`actors/core/features/codes.py`).
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from starlette.responses import Response

from actors.core.errors import NotFoundError, UnauthorizedError
from api.mastodon.errors import OAuthError
from api.oauth.clients import Client, client_of, hash_of
from api.oauth.codes import make_code, parse_code, read_challenge
from api.oauth.redirects import OOB, with_answer
from api.oauth.scope_words import in_words
from api.oauth.sessions import Visit
from api.oauth.templating import page, redirect
from api.oauth.web_app import WEB_APP_ID, return_addresses

AUTHORIZE: Final = "/oauth/authorize"
SHOWN: Final = "/oauth/authorize/native"
SIGN_IN: Final = "/auth/sign_in"
_PARAMETERS: Final = (
    "client_id", "redirect_uri", "response_type", "scope", "state", "code_challenge", "code_challenge_method", "lang",
)  # fmt: skip


class AuthorizeRequest(NamedTuple):
    """What an app asks for. challenge: of PKCE, empty for none."""

    client: Client
    redirect_uri: str
    mask: int
    challenge: bytes
    state: str | None


async def ask(visit: Visit) -> Response:
    """Show what an app asks for, to whom it concerns."""
    asked = await _read(visit)
    if isinstance(asked, Response):
        return asked
    if not visit.account_id or visit.params.flag("force_login"):
        again = {"next": _address(visit), **({"again": "1"} if visit.account_id else {})}
        return redirect(f"{SIGN_IN}?{urlencode(again)}")
    if asked.client.app_id == WEB_APP_ID:
        return await _give_code(visit, asked)
    _, username, _ = await visit.services.ask_account(visit.account_id, "account")
    parts = urlsplit(asked.redirect_uri)
    values = {
        "form_token": visit.form_token(AUTHORIZE), "request": _request(visit), "app": asked.client.app,
        "username": username, "scopes": in_words(asked.mask),
        "destination": "" if asked.redirect_uri == OOB else parts.netloc or f"{parts.scheme}:",
        "other_account": f"{SIGN_IN}?{urlencode({'next': _address(visit), 'again': '1'})}",
    }  # fmt: skip
    return page("authorize", "Authorization required", values, leads_away=True)


async def allow(visit: Visit) -> Response:
    """Make a code, and send it to the app; or take a form that says no."""
    visit.require_form(AUTHORIZE)
    if visit.params.text("_method").lower() == "delete":
        return await deny(visit)
    if not visit.account_id:
        raise UnauthorizedError("you have signed out meanwhile; sign in, and start again from the app")
    asked = await _read(visit)
    if isinstance(asked, Response):
        return asked
    return await _give_code(visit, asked)


async def _give_code(visit: Visit, asked: AuthorizeRequest) -> Response:
    code, key = make_code(visit.account_id)
    facts = [key, asked.client.app_id, hash_of(asked.redirect_uri), asked.mask, asked.challenge]
    await visit.services.ask_account(visit.account_id, "authorize", *facts)
    if asked.redirect_uri == OOB:
        return redirect(f"{SHOWN}?{urlencode({'code': code})}")
    return redirect(with_answer(asked.redirect_uri, code=code, state=asked.state))


async def deny(visit: Visit) -> Response:
    """Tell the app that it may not."""
    visit.require_form(AUTHORIZE)
    asked = await _read(visit)
    if isinstance(asked, Response):
        return asked
    return _refuse(asked.redirect_uri, asked.state, "access_denied", "The resource owner denied the request.")


async def show_code(visit: Visit) -> Response:
    """Show a code of whoever is signed in, to be copied."""
    code = visit.params.text("code")
    parsed = parse_code(code)
    if parsed is None or not visit.account_id or parsed.account_id != visit.account_id:
        raise NotFoundError("there is no such code", "code")
    return page("code", "Authorization code", {"code": code})


async def _read(visit: Visit) -> AuthorizeRequest | Response:
    """Return what is asked for, or the answer to the app if that is wrong.

    Raises OAuthError for what no app is told of, since nobody knows which, or where.
    """
    text = visit.params.text
    client = await client_of(visit.services, text("client_id"))
    if client is None:
        raise OAuthError("invalid_client", "There is no app with this client_id (any more).")
    uri = text("redirect_uri")
    is_own = client.app_id == WEB_APP_ID
    if uri not in (return_addresses(visit.services, visit.scope) if is_own else client.app.redirect_uris):
        raise OAuthError("invalid_request", "The redirect_uri is none that this app was registered with.")
    state = text("state") or None
    if text("response_type") != "code":
        return _refuse(uri, state, "unsupported_response_type", "The response_type must be code.")
    challenge = read_challenge(text("code_challenge"), text("code_challenge_method"))
    if challenge is None or (is_own and not challenge):
        return _refuse(uri, state, "invalid_request", "The code_challenge must be one of the method S256.")
    try:
        mask = client.allowed(text("scope"))
    except OAuthError as error:
        return _refuse(uri, state, error.error, error.message)
    return AuthorizeRequest(client, uri, mask, challenge, state)


def _refuse(uri: str, state: str | None, error: str, description: str) -> Response:
    if uri == OOB:
        return page("message", "The app can't go on", {"sentence": description}, 400)
    return redirect(with_answer(uri, error=error, error_description=description, state=state))


def _request(visit: Visit) -> list[tuple[str, str]]:
    return [(name, value) for name in _PARAMETERS if (value := visit.params.text(name))]


def _address(visit: Visit) -> str:
    """Return the address of this request without `force_login`, which has been obeyed once somebody comes back."""
    return f"{AUTHORIZE}?{urlencode(_request(visit))}"
