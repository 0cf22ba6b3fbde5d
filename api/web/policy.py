"""What a browser may do with the client's pages: nothing but run our own files, and ask ourselves.

Rules of this file
- No script or style stands in a page, and none is made of text: markup passes one of two policies of the client's
  (`client/base/html.js`, `client/base/content.js`), which the header names.
- Pictures and films come from us and from where this cluster has its media; nothing is asked of anybody else.
- No page of another origin may frame ours, open it and hold on to it, or load its files.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from api.http.caching import Headers

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types rk-template rk-content"
)
ALWAYS: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def origin_of(address: str) -> str:
    """Return scheme and host of an address, as a policy names them; empty for what has none."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") and parts.netloc else ""


def policy_of(*media_addresses: str) -> str:
    """Return the policy. media_addresses: what addresses of media begin with, "" for those of our own origin."""
    sources = ["'self'", "blob:", "data:", *dict.fromkeys(filter(None, map(origin_of, media_addresses)))]
    return f"{_POLICY}; img-src {' '.join(sources)}; media-src {' '.join(sources)}"


def page_headers(policy: str) -> Headers:
    """Return the headers of a page and of the service worker."""
    return [(b"content-security-policy", policy.encode()), *ALWAYS]
