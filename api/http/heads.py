"""What the head of a request may be, beside well-formed HTTP: sizes first, then whose it claims to be for.

Rules of this file
- Nothing works on a head, or remembers a part of it, before it was seen here that it is small: some libraries take
  0.4 us for each byte of a Content-Type, others keep what they have seen.
- `Host` is one well-formed authority (RFC 9112, section 3.2): links are made from it. HTTP/1.0 may do without.
- A path is no longer than any of ours, percent-encoded, could be; queries have a bound of their own (`params.py`).

Cost: 0.5 us a head; nothing for one that is the last one of its connection but for the URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from actors.core.errors import MalformedError, RookeryError
from api.errors import HeadTooLargeError, UriTooLongError
from api.limits import CONTENT_TYPE_BYTES_MAX, HEAD_BYTES_MAX, HOST_BYTES_MAX, PATH_BYTES_MAX

_BEARER = b"\r\nauthorization: bearer "
_LOOKED_AT_BYTES = 4 * 1024
# reg-name or IPv4, or an IP literal, and a port (RFC 3986, section 3.2): what a browser can send, and nothing to quote.
_AUTHORITY = re.compile(
    rb"(?:(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*+|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?",
)


def problem_of(url: bytes, headers: Iterable[tuple[bytes, bytes]], is_http_1_0: bool) -> RookeryError | None:
    """Return what is wrong with a head, None if nothing is. headers: names in lower case; url: path and query."""
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if len(value) > HOST_BYTES_MAX:
                return HeadTooLargeError(f"Host has {len(value)} bytes; at most {HOST_BYTES_MAX} are read", "Host")
            if not _AUTHORITY.fullmatch(value):
                return MalformedError("Host must be a host name or address, and perhaps a port", "Host")
        elif name == b"content-type" and len(value) > CONTENT_TYPE_BYTES_MAX:
            return HeadTooLargeError(
                f"Content-Type has {len(value)} bytes; at most {CONTENT_TYPE_BYTES_MAX} are read", "Content-Type"
            )
    if hosts != 1 and not (is_http_1_0 and not hosts):
        return MalformedError(f"a request has one Host header, not {hosts}", "Host")
    if len(url) > PATH_BYTES_MAX and url.partition(b"?")[0][PATH_BYTES_MAX:]:
        return UriTooLongError(f"the path has more than {PATH_BYTES_MAX} bytes")
    return None


def bearer_in(data: bytes) -> str | None:
    """Return the token in the Authorization header of a head that has just begun to come, None if none is seen; 1 us.

    For what goes first only: nothing is refused or allowed for it.
    """
    head = data[:_LOOKED_AT_BYTES]
    begin = head.lower().find(_BEARER)
    if begin < 0:
        return None
    begin += len(_BEARER)
    end = head.find(b"\r\n", begin)
    return head[begin:end].decode("latin-1") if begin < end else None


def size_of(url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return about how many bytes a head has: its parts, and what stands between them."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def too_large() -> RookeryError:
    """Return the refusal of a head that is too large as a whole."""
    return HeadTooLargeError(f"the head of the request has more than {HEAD_BYTES_MAX} bytes")
