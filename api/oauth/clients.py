"""Apps as the API knows them: made by anybody, found by their client id, and proven by their secret.

    client id --thing_of_name--> app id --> the app's shard: what it is (`actors/core/features/apps.py`)

Rules of this file
- An app's secret is drawn here, shown once, and kept as SHA-256 on its shard. It is compared in constant time.
- Credentials come in the Authorization header (Basic, RFC 6749, 2.3.1) or beside the parameters, never both.
- A use is told to the app's shard at most once a day, by what the shard has said of the last one.

Cost: one lane request a look-up; nothing is cached, as apps are asked for when people sign in, not at each request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

from actors.core import scopes
from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.apps import App, read_app
from actors.core.ids import bucket_of_thing, thing_of_name
from actors.core.limits import APP_CLIENT_ID_BYTES_MAX, APP_REDIRECT_URIS_MAX, APP_URL_BYTES_MAX, DAY_MS
from actors.core.terms import THINGS_FROM_LEVEL
from api.fields import clean_link, clean_text
from api.levels import require_level
from api.mastodon.call import Call
from api.mastodon.errors import OAuthError
from api.oauth.redirects import check_redirect
from api.oauth.web_app import WEB_APP_ID, WEB_CLIENT_ID, web_app
from api.services import Services

NAME_CHARS_MAX: Final = 60  # as Mastodon has it
_SECRET_BYTES: Final = 32
_UNKNOWN: Final = (
    "Client authentication failed due to unknown client, no client authentication included, or unsupported "
    "authentication method."
)


class Client(NamedTuple):
    """An app, with its id."""

    app_id: int
    app: App

    def allowed(self, text: str) -> int:
        """Return the mask of scopes that are asked for, DEFAULT for none. Raises OAuthError beyond the app's own."""
        try:
            mask = scopes.parse(text)
        except InvalidError as error:
            raise OAuthError("invalid_scope", f"The requested scope is invalid: {error.message}.") from error
        if not text.split() and not scopes.covers(self.app.scopes, mask):
            return self.app.scopes  # it has never asked for what is meant by nothing
        if not scopes.covers(self.app.scopes, mask):
            raise OAuthError("invalid_scope", "The requested scope is beyond what this app was registered for.")
        return mask


def hash_of(secret: str) -> bytes:
    """Return what is kept of a secret that has enough chance in it to need no slow hash."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


async def register_client(call: Call) -> tuple[Client, str]:
    """Make an app of a call's parameters; return it and its secret. Raises InvalidError, MalformedError."""
    services, params = call.services, call.params
    require_level(services, THINGS_FROM_LEVEL)
    services.limiter.check_register(call.scope)
    name = clean_text(params.text("client_name"), "client_name", NAME_CHARS_MAX, chars_min=1)
    website = clean_link(params.text("website"), "website", APP_URL_BYTES_MAX // 4)
    uris = list(dict.fromkeys(uri for text in params.texts("redirect_uris") for uri in text.split()))
    if not uris:
        raise InvalidError("redirect_uris can't be blank", "redirect_uris")
    if len(uris) > APP_REDIRECT_URIS_MAX:
        raise InvalidError(f"redirect_uris may be {APP_REDIRECT_URIS_MAX}, not {len(uris)}", "redirect_uris")
    for uri in uris:
        check_redirect(uri)
    mask = scopes.parse(" ".join(params.texts("scopes")))
    client_id, secret = secrets.token_urlsafe(_SECRET_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    app_id = thing_of_name(client_id)
    app = App(client_id, hash_of(secret), name, website, uris, mask, 0, 0)
    await services.ask_bucket(bucket_of_thing(app_id), "create_app", [app_id, *app[:6]])
    return Client(app_id, app), secret


async def client_of(services: Services, client_id: str) -> Client | None:
    """Return the app of a client id, None if there is none (any more)."""
    require_level(services, THINGS_FROM_LEVEL)
    if client_id == WEB_CLIENT_ID:
        return _web_client(services)
    if not client_id or len(client_id) > APP_CLIENT_ID_BYTES_MAX or not client_id.isascii():
        return None
    app_id = thing_of_name(client_id)
    client = await client_of_id(services, app_id)
    return client if client is not None and client.app.client_id == client_id else None


async def client_of_id(services: Services, app_id: int) -> Client | None:
    """Return the app of an id, None if there is none (any more)."""
    if app_id == WEB_APP_ID:
        return _web_client(services)
    try:
        return Client(app_id, read_app(await services.ask_bucket(bucket_of_thing(app_id), "app", [app_id])))
    except NotFoundError:
        return None


def _web_client(services: Services) -> Client | None:
    return Client(WEB_APP_ID, web_app()) if services.settings.web_enabled else None


async def proven_client(call: Call) -> Client:
    """Return the app that a call is from, by its secret, and tell that it is in use. Raises OAuthError.

    Our own client has none (`web_app.py`): who calls himself that may do what anybody may.
    """
    client_id, secret = _credentials(call)
    if client_id == WEB_CLIENT_ID and not secret and (public := _web_client(call.services)) is not None:
        return public
    client = await client_of(call.services, client_id)
    known = client.app.secret_hash if client is not None else bytes(32)
    if not hmac.compare_digest(known, hash_of(secret)) or client is None:
        raise OAuthError("invalid_client", _UNKNOWN, 401)
    if client.app.last_used_day < int(time.time() * 1000) // DAY_MS:
        await call.services.ask_bucket(bucket_of_thing(client.app_id), "use_app", [client.app_id])
    return client


def _credentials(call: Call) -> tuple[str, str]:
    header = call.header(b"authorization")
    if header is None or not header.lower().startswith("basic "):
        return call.params.text("client_id"), call.params.text("client_secret")
    if "client_secret" in call.params:
        raise OAuthError("invalid_request", "The client may authenticate in one way only.")
    try:
        text = base64.b64decode(header[6:].strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError("invalid_client", _UNKNOWN, 401) from error
    client_id, _, secret = text.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


def entity(client: Client) -> dict[str, Any]:
    """Return an app as Mastodon's Application."""
    app = client.app
    return {
        "id": str(client.app_id), "name": app.name, "website": app.website or None,
        "scopes": scopes.spell(app.scopes).split(), "redirect_uri": "\n".join(app.redirect_uris),
        "redirect_uris": app.redirect_uris, "vapid_key": "",
    }  # fmt: skip
