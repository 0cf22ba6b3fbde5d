"""The operations of signing in that clients call themselves; what people see is `pages.py`."""

from __future__ import annotations

from typing import Any, Final

import orjson

from actors.core import scopes
from actors.core.errors import ForbiddenError, UnauthorizedError
from api.http.caching import PRIVATE
from api.mastodon.accounts import account_of
from api.mastodon.call import Answer, Call, answer
from api.mastodon.errors import OUTSIDE_SCOPES
from api.mastodon.table import Caller, Operation
from api.oauth.clients import client_of_id, entity, register_client
from api.oauth.grants import GRANT_TYPES, name_of_token, token, token_answer
from api.oauth.revoking import revoke
from api.oauth.sign_up import SignUpForm, sign_up
from api.vapid import server_key

DOCUMENTATION: Final = "https://docs.joinmastodon.org/"


async def create_app(call: Call) -> Answer:
    """Register an app. Its secret is shown only here."""
    client, secret = await register_client(call)
    shown = {
        **entity(client),
        "vapid_key": server_key(call.services),
        "client_id": client.app.client_id,
        "client_secret": secret,
        "client_secret_expires_at": 0,
    }
    return Answer(orjson.dumps(shown), headers=(PRIVATE,))


async def verify_app(call: Call) -> Answer:
    """Which app a token is of; any token will do. Those of our own API are of none, and say so."""
    if not call.grant.scopes:
        raise UnauthorizedError("a token is required")
    client = await client_of_id(call.services, call.grant.app_id) if call.grant.app_id else None
    if client is not None:
        return answer({**entity(client), "vapid_key": server_key(call.services)})
    spelt = scopes.spell(call.grant.scopes).split()
    return answer(
        {
            "id": str(call.grant.app_id), "name": "", "website": None, "scopes": spelt, "redirect_uri": "",
            "redirect_uris": [], "vapid_key": server_key(call.services),
        }
    )  # fmt: skip


async def create_account(call: Call) -> Answer:
    """Sign somebody up. The token is of the app that asks, for all that this was registered for."""
    params, app_id = call.params, call.grant.app_id
    client = await client_of_id(call.services, app_id) if app_id else None
    if client is None:
        raise ForbiddenError(OUTSIDE_SCOPES)
    wanted = SignUpForm(
        params.text("username"),
        params.text("email"),
        params.text("password"),
        params.flag("agreement"),
        params.text("reason"),
    )
    facts = [name_of_token(client), client.app.scopes, client.app_id]
    made = await sign_up(call.services, call.scope, wanted, facts)
    return token_answer(made.token, client.app.scopes)


async def userinfo(call: Call) -> Answer:
    """Who the token stands for, in OpenID Connect's words."""
    account: dict[str, Any] = orjson.loads(await account_of(call.services, call.viewer, call.viewer))
    return answer(
        {
            "iss": f"{_origin(call)}/", "sub": account["uri"], "name": account["display_name"],
            "preferred_username": account["username"], "profile": account["url"], "picture": account["avatar"],
        }
    )  # fmt: skip


async def discovery(call: Call) -> Answer:
    """Where everything is, and what of OAuth is understood (RFC 8414)."""
    origin = _origin(call)
    return answer(
        {
            "issuer": f"{origin}/",
            "service_documentation": DOCUMENTATION,
            "authorization_endpoint": f"{origin}/oauth/authorize",
            "token_endpoint": f"{origin}/oauth/token",
            "app_registration_endpoint": f"{origin}/api/v1/apps",
            "revocation_endpoint": f"{origin}/oauth/revoke",
            "userinfo_endpoint": f"{origin}/oauth/userinfo",
            "scopes_supported": list(scopes.NAMES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": list(GRANT_TYPES),
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
        }
    )


def _origin(call: Call) -> str:
    return call.services.origins.origin(call.scope)


OPERATIONS: Final = (
    Operation("POST", "/api/v1/apps", "", "CredentialApplication", create_app, Caller.CLIENT),
    Operation("GET", "/api/v1/apps/verify_credentials", "", "Application", verify_app, Caller.APP),
    Operation("POST", "/api/v1/accounts", "write:accounts", "Token", create_account, Caller.APP),
    Operation("POST", "/oauth/token", "", "Token", token, Caller.CLIENT),
    Operation("POST", "/oauth/revoke", "", "", revoke, Caller.CLIENT),
    Operation("GET", "/oauth/userinfo", "profile", "UserInfo", userinfo),
    Operation("GET", "/.well-known/oauth-authorization-server", "", "OAuthServer", discovery, Caller.CLIENT),
)
