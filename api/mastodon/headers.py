"""Headers of all of Mastodon's answers.

Web clients of other origins may read every answer: the API looks at no cookies, so an origin proves nothing, and a
token is sent by hand.
"""

from __future__ import annotations

from typing import Final

JSON: Final = (b"content-type", b"application/json; charset=utf-8")
ORIGIN: Final = (b"access-control-allow-origin", b"*")
EXPOSED: Final = (
    b"access-control-expose-headers",
    b"Link, X-Request-Id, Retry-After, Rookery-Position, Rookery-Partial, Rookery-Corrected, Rookery-Unread",
)
PREFLIGHT: Final = (
    # The star is for all others, but not for Authorization, which has to be named.
    (b"access-control-allow-headers", b"Authorization, Content-Type, Idempotency-Key, Rookery-Position, *"),
    (b"access-control-max-age", b"86400"),
)
