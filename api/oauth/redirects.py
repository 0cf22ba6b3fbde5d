"""Where a browser is sent back to: which addresses an app may name, and how an answer is put into one.

Rules of this file
- An address must be one that the app was registered with, character by character (RFC 6749, 3.1.2.3; RFC 9700, 2.1).
- Apps on phones have schemes of their own (`app://callback`), so any scheme will do but those that a browser runs or
  reads itself. There is no fragment, and nothing in it that could end a header or an attribute.
- OOB is no address: the code is shown, to be copied.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode, urlsplit

from actors.core.errors import InvalidError
from actors.core.limits import APP_URL_BYTES_MAX
from api.params import shown

OOB: Final = "urn:ietf:wg:oauth:2.0:oob"
_ALLOWED: Final = re.compile(r"[!#-;=?-\[\]_a-z~]+", re.ASCII | re.IGNORECASE)  # what RFC 3986 has
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII | re.IGNORECASE)
_RUN_BY_BROWSERS: Final = frozenset(
    ("about", "blob", "chrome", "data", "file", "filesystem", "javascript", "vbscript", "view-source", "ws", "wss")
)


def check_redirect(uri: str) -> None:
    """Refuse what a browser shall not be sent to. Raises InvalidError."""
    if uri == OOB:
        return
    scheme, colon, rest = uri.partition(":")
    try:
        parts = urlsplit(uri)
        has_host = bool(parts.hostname)
    except ValueError:  # urlsplit's word for a broken IPv6 host or port
        has_host = False
    if len(uri) > APP_URL_BYTES_MAX or not _ALLOWED.fullmatch(uri) or "#" in uri:
        raise InvalidError(f"redirect_uris has {shown(uri)}, which is no URI without a fragment", "redirect_uris")
    if not colon or not rest or not _SCHEME.fullmatch(scheme) or scheme.lower() in _RUN_BY_BROWSERS:
        raise InvalidError(f"redirect_uris has {shown(uri)}, which is no absolute URI of an app", "redirect_uris")
    if scheme.lower() in ("http", "https") and not has_host:
        raise InvalidError(f"redirect_uris has {shown(uri)}, which names no host", "redirect_uris")


def with_answer(uri: str, **answer: str | None) -> str:
    """Return an address with an answer in its query, behind what is there; None is left out."""
    said = urlencode({name: value for name, value in answer.items() if value is not None}, errors="replace")
    return f"{uri}{'&' if '?' in uri else '?'}{said}"
