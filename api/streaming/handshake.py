"""The opening handshake of a WebSocket (RFC 6455, section 4.2), from a head that was read already.

Rules of this file
- What the section demands of a client is demanded: GET of HTTP/1.1, one Host (`http/heads.py`), `Connection: Upgrade`,
  `Upgrade: websocket`, one key of 16 bytes, version 13. What isn't so is 400; another version 426, and which is spoken.
- Of where a page comes from (`Origin`) nothing follows: no cookie is looked at, so who opens a stream shows a token,
  and other origins may. More than one is no request of a browser.
- A client that asks for subprotocols must be answered with one of them, or browsers close: it is the first, whatever
  it says. Mastodon's clients send their token there.
- Extensions are declined by silence.

Cost: 10 us.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Final

from actors.core.errors import MalformedError, RookeryError
from api.limits import TOKEN_CHARS_MAX

VERSION: Final = b"13"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES: Final = 16
# RFC 9110's token: what may be echoed in a header, and nothing that could end it.
_TOKEN: Final = re.compile(rb"[!#$%%&'*+.^_`|~0-9A-Za-z-]{1,%d}" % TOKEN_CHARS_MAX)
Headers = Iterable[tuple[bytes, bytes]]


class UpgradeRequiredError(RookeryError):
    """A WebSocket of another version, or a request for one that asks for none."""

    code, status = "upgrade_required", 426


def asks_for_web_socket(headers: Headers) -> bool:
    """Whether a request wants to go on as a WebSocket, well-formed or not. headers: names in lower case."""
    return any(name == b"upgrade" and b"websocket" in value.lower() for name, value in headers)


def subprotocol_in(headers: Headers) -> bytes:
    """Return the first subprotocol that a client asks for, b"" for none. Raises MalformedError."""
    said = _listed(headers, b"sec-websocket-protocol")
    if not said:
        return b""
    if not _TOKEN.fullmatch(said[0]):
        raise MalformedError(
            f"Sec-WebSocket-Protocol must be a token of at most {TOKEN_CHARS_MAX} characters", "Sec-WebSocket-Protocol"
        )
    return said[0]


def accept_key(headers: Headers) -> bytes:
    """Return what proves that this is a WebSocket's server. Raises MalformedError, UpgradeRequiredError."""
    headers = list(headers)
    if b"upgrade" not in [each.lower() for each in _listed(headers, b"connection")]:
        raise MalformedError("a WebSocket needs the header Connection: Upgrade", "Connection")
    if [each.lower() for each in _listed(headers, b"upgrade")] != [b"websocket"]:
        raise MalformedError("a WebSocket needs the header Upgrade: websocket, and no other", "Upgrade")
    if len(_all(headers, b"origin")) > 1:
        raise MalformedError("a request has one Origin", "Origin")
    if _all(headers, b"sec-websocket-version") != [VERSION]:
        raise UpgradeRequiredError("this server speaks version 13 of WebSockets", "Sec-WebSocket-Version")
    keys = _all(headers, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise MalformedError("a WebSocket needs one Sec-WebSocket-Key: base64 of 16 bytes", "Sec-WebSocket-Key")
    return base64.b64encode(hashlib.sha1(keys[0] + _GUID, usedforsecurity=False).digest())


def response_head(accept: bytes, subprotocol: bytes, more: Headers) -> bytes:
    """Return the head that makes a connection a WebSocket. more: headers beside those of the handshake."""
    lines = [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"]
    lines += (b"%b: %b\r\n" % header for header in more)
    lines.append(b"sec-websocket-accept: %b\r\n" % accept)
    if subprotocol:
        lines.append(b"sec-websocket-protocol: %b\r\n" % subprotocol)
    return b"".join((*lines, b"\r\n"))


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:  # base64's word for "no"
        return False


def _all(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value.strip() for name, value in headers if name == wanted]


def _listed(headers: Headers, wanted: bytes) -> list[bytes]:
    """Return what is listed in all headers of a name."""
    return [item for value in _all(headers, wanted) for each in value.split(b",") if (item := each.strip())]
