"""The `Link` header (RFC 8288): where the next (older) and the previous (newer) page are, and under which address.

The lane answers a timeline with the newest and the oldest id of the page beside its bytes, so the header is made
without looking into them. `next` leads to older entries, `prev` to the ones right after the newest (`min_id`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from api.http.proxies import HOST_CHARS_MAX, RawHeaders, TrustedProxies, is_host

_CURSORS = ("max_id", "since_id", "min_id", "cursor", "auth_token")  # a token never goes into a link
Client = tuple[str, int] | None  # the peer's address and port
_PLAIN = re.compile(r"[A-Za-z0-9_.~ -]*", re.ASCII)  # of which only blanks are encoded: 1 us to see it, 5 to encode


def timeline_links(base: str, query: Mapping[str, str], newest_id: int, oldest_id: int) -> str | None:
    """Return the header of a timeline page, or None for an empty page. base: scheme, host and path, or path alone."""
    return page_links(base, kept_in_links(query), newest_id, oldest_id) if newest_id else None


def page_links(base: str, kept: str, newest_id: int, oldest_id: int) -> str:
    """Return the header of a timeline page that isn't empty. kept: see `kept_in_links`."""
    return f'<{base}?{kept}max_id={oldest_id}>; rel="next", <{base}?{kept}min_id={newest_id}>; rel="prev"'


def cursor_link(base: str, query: Mapping[str, str], next_cursor: int) -> str | None:
    """Return the header of a page of accounts, or None on the last page."""
    if not next_cursor:
        return None
    return f'<{base}?{kept_in_links(query)}cursor={next_cursor}>; rel="next"'


class Origins:
    """What links begin with: the scheme and host by which a client knows this API."""

    def __init__(self, public_url: str, proxies: TrustedProxies) -> None:
        """public_url: what links begin with in any case; empty: what the request says, or proxies that are trusted."""
        self._public_url, self._proxies, self._has_proxies = public_url.rstrip("/"), proxies, bool(proxies)

    def of(self, scheme: str, host: bytes, client: Client, headers: RawHeaders) -> str:
        """Return the origin for a request; empty if it names no host, and links are then relative. Cost: 0.2 us."""
        if self._public_url:
            return self._public_url
        if self._has_proxies:
            said = self._proxies.origin_of(client[0] if client else "", headers)
            scheme, host = said.scheme or scheme, said.host.encode() or host
        return cached_origin(scheme, host) if len(host) <= HOST_CHARS_MAX else ""

    def origin(self, scope: MutableMapping[str, Any]) -> str:
        """Return the origin for a request that came through ASGI, as `of`."""
        headers = scope["headers"]
        host = next((value for name, value in headers if name == b"host"), b"")
        return self.of(scope["scheme"], host, scope.get("client"), headers)

    def base(self, scope: MutableMapping[str, Any]) -> str:
        """Return the address of a request that came through ASGI, without its query."""
        return self.origin(scope) + quote(scope["path"])


def host_of(origin: str) -> str:
    """Return host and port of an origin, without its scheme: some clients take the scheme for part of a name."""
    return origin.partition("://")[2].partition("/")[0]


@lru_cache(256)
def cached_origin(scheme: str, host: bytes) -> str:
    """Return scheme and host as links begin; empty for what can't be a host, and so can't be put into a header."""
    text = host.decode("latin-1")
    return f"{scheme}://{text}" if is_host(text) else ""


def kept_in_links(query: Mapping[str, str]) -> str:
    """Return the parameters that a link repeats, encoded, each with an & behind it."""
    kept = [(name, value) for name, value in query.items() if name not in _CURSORS]
    if len(kept) == 1 and kept[0][1].isascii() and kept[0][1].isdigit() and kept[0][0] == "user_id":
        return f"user_id={kept[0][1]}&"
    if _PLAIN.fullmatch("".join([name + value for name, value in kept])):
        return "".join([f"{name}={value}&" for name, value in kept]).replace(" ", "+")
    return urlencode(kept) + "&"


def kept_with(kept: str, name: str, value: str) -> str:
    """Return what a link repeats, with another value of one parameter."""
    pairs = parse_qsl(kept, keep_blank_values=True)
    return urlencode([(each, value if each == name else other) for each, other in pairs]) + "&"
