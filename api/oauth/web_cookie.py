"""The cookie that keeps the web client's token: whom it is given, and how it is written (`web_session.py` says why).

Rules of this file
- Our own page alone is given one: with our header, which no form can send; from our origin; and where a browser says
  from which site, that is the same.
- It goes to `/oauth/web` alone, so no other request carries it; SameSite=Strict, HttpOnly; on https Secure, with the
  prefix by which browsers hold us to it. Cookies don't know ports: its name has eight digits of the cluster's.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from starlette.types import Scope

from actors.core.errors import ForbiddenError
from api.oauth.web_app import own_origins
from api.outgoing_keys import OutgoingKeys
from api.services import Services

PATH: Final = "/oauth/web"
ASKS: Final = b"rookery-web"  # the header
AGE_S: Final = 30 * 24 * 3600
_NAME: Final = "rookery_web_"
_SECURE: Final = "__Secure-"
_DIGITS: Final = 8


def cookie_name_of(keys: OutgoingKeys, is_secure: bool) -> str:
    """Return the cookie's name: another cluster at the same host has another one."""
    digits = hmac.digest(keys.links, b"the name of the web client's cookie", hashlib.sha256).hex()[:_DIGITS]
    return f"{_SECURE if is_secure else ''}{_NAME}{digits}"


def asks_for_cookie(scope: Scope) -> bool:
    """Whether a request has our header."""
    return any(name == ASKS and value.strip() == b"1" for name, value in scope["headers"])


def require_own_page(services: Services, scope: Scope) -> None:
    """Refuse whoever isn't our own page. Raises ForbiddenError."""
    said = {name: value.decode("latin-1") for name, value in scope["headers"]}
    site, origin = said.get(b"sec-fetch-site"), said.get(b"origin", "null")
    is_same = site == "same-origin"
    if not asks_for_cookie(scope) or (site is not None and not is_same):
        raise ForbiddenError("this is for the server's own page", "origin")
    if origin not in own_origins(services, scope) and not (origin == "null" and is_same):
        raise ForbiddenError("this is for the server's own page", "origin")


def cookie_of(services: Services, scope: Scope, token: str, age_s: int = AGE_S) -> tuple[bytes, bytes]:
    """Return the header that keeps a token in a browser, or ends that (age_s 0)."""
    is_secure = services.origins.origin(scope).startswith("https:")
    name = cookie_name_of(services.cluster.outgoing_keys, is_secure)
    secure = "; Secure" if is_secure else ""
    line = f"{name}={token}; Path={PATH}; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}"
    return b"set-cookie", line.encode("latin-1")
