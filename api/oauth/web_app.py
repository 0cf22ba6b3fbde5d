"""The app that is built in: our own web client, which every worker knows without asking a shard.

Rules of this file
- It is public: its files are everybody's, so it has no secret, and proves itself by PKCE and by where it is sent back
  to, which is our own origin alone (RFC 9700, 2.1.1). It gets codes, and nothing for a password.
- For it alone nobody is asked for consent: it is this server's own page. Sending somebody to the authorize page still
  gives a stranger nothing, as the code goes to our own page, which looks for the state that it has drawn itself.
- Its id is made of its name as others' are, so tokens, lists of log-ins and statuses name it as any app.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.types import Scope

from actors.core import scopes
from actors.core.features.apps import App
from actors.core.ids import thing_of_name
from api.links import cached_origin
from api.services import Services

WEB_CLIENT_ID: Final = "rookery-web"
WEB_APP_ID: Final = thing_of_name(WEB_CLIENT_ID)
RETURN_PATH: Final = "/signed-in"
_NAME: Final = "Rookery"
_SCOPES: Final = scopes.parse("read write follow push profile")


def web_app() -> App:
    """Return what is known of it. No secret has a hash of zeros, so none proves it."""
    return App(WEB_CLIENT_ID, bytes(32), _NAME, "", [], _SCOPES, 0, 0)


def own_origins(services: Services, scope: Scope) -> set[str]:
    """Return the origins by which whoever asks may know us: what links begin with, and what he has asked."""
    headers: Any = scope["headers"]
    host = next((value for name, value in headers if name == b"host"), b"")
    return {services.origins.origin(scope), cached_origin(scope["scheme"], host)} - {""}


def return_addresses(services: Services, scope: Scope) -> list[str]:
    """Return where the client may be sent back to."""
    return [f"{origin}{RETURN_PATH}" for origin in own_origins(services, scope)]
