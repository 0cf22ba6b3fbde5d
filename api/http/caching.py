"""Which answers no cache may keep: all in which a token had a part, refusals included (RFC 6750, sections 2.3 and 5.3).

Rules of this file
- It is decided here and nowhere else, by what the request carried, not by what a route made of it: a route that comes
  later can't forget, and a refusal from before the token was looked at counts too. `edge.py` asks for every answer that
  goes through it, `direct_exchange.py` for the others.
- When in doubt, it had a part: a body that was looked at and can't be read may hold a token; so may a query in which
  the word occurs. A body that nobody looked at (there was no such path, no room) had none.
- What a route says for itself (home timelines and searches are private in any case) is left as it is.

Cost: 0.4 us; nothing for a home read or search that is answered inside the HTTP protocol with 200.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

PRIVATE = (b"cache-control", b"private, no-store")
TOKEN_NAME = "auth_token"  # of a body's member or a query's parameter
ACCESS_TOKEN_NAME = "access_token"
_TOKENS = TOKEN_NAME.encode(), ACCESS_TOKEN_NAME.encode()
_IN_BODY = "token_in_body"  # in a scope's state
Headers = list[tuple[bytes, bytes]]


def note_body(scope: MutableMapping[str, Any], body: Mapping[str, Any] | None) -> None:
    """Remember of a body whether a token is in it. body: None while it is being read."""
    scope["state"][_IN_BODY] = body is None or TOKEN_NAME in body or ACCESS_TOKEN_NAME in body


def is_private(scope: MutableMapping[str, Any]) -> bool:
    """Return whether a token had a part in a request that came through ASGI."""
    return scope["state"].get(_IN_BODY, False) or has_token(scope["headers"], scope["query_string"])


def has_token(headers: Iterable[tuple[bytes, bytes]], query: bytes) -> bool:
    """Return whether there is a token in a request's headers (names in lower case) or its query, or whole URL."""
    if query and _in_query(query):
        return True
    return any(name == b"authorization" for name, _ in headers)


def _in_query(query: bytes) -> bool:
    plain = unquote_to_bytes(query) if b"%" in query else query
    return any(name in query or name in plain for name in _TOKENS)


def keep_private(headers: Headers) -> Headers:
    """Return an answer's headers with the one that no cache may keep it."""
    if PRIVATE in headers:
        return headers
    return [*(header for header in headers if header[0] != PRIVATE[0]), PRIVATE]
