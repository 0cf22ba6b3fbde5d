"""Authorization codes as they travel: the account, so that whoever redeems one finds its shard, and a secret.

code = base64url(account id, 8 bytes; 24 random bytes)      its key on the shard: 63 bits of SHA-256 of all that
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from typing import Final, NamedTuple

from actors.core.ids import ID_MAX

_ID_BYTES: Final = 8
_SECRET_BYTES: Final = 24
_CODE_CHARS: Final = 43  # of 32 bytes
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_VERIFIER_CHARS_MAX: Final = 128  # RFC 7636, 4.1


class ParsedCode(NamedTuple):
    """Whose code it is, and its key there."""

    account_id: int
    key: int


def make_code(account_id: int) -> tuple[str, int]:
    """Return a fresh code of an account, and its key."""
    raw = account_id.to_bytes(_ID_BYTES, "big") + secrets.token_bytes(_SECRET_BYTES)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), _key_of(raw)


def parse_code(code: str) -> ParsedCode | None:
    """Return what a code says, None for what is none."""
    if len(code) != _CODE_CHARS or not code.isascii():
        return None
    try:
        raw = base64.b64decode(code + "=", altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    account_id = int.from_bytes(raw[:_ID_BYTES], "big")
    return ParsedCode(account_id, _key_of(raw)) if 1 <= account_id <= ID_MAX else None


def _key_of(raw: bytes) -> int:
    return int.from_bytes(hashlib.sha256(raw).digest()[:8], "big") & ID_MAX or 1


def read_challenge(challenge: str, method: str) -> bytes | None:
    """Return a PKCE challenge (S256) as bytes, empty for none; None for what is none, or of another method."""
    if not challenge:
        return b"" if not method or method == "S256" else None
    if method != "S256" or not _CHALLENGE.fullmatch(challenge):
        return None
    return base64.b64decode(challenge + "=", altchars=b"-_")


def challenge_of(verifier: str) -> bytes:
    """Return the challenge that a verifier answers, empty for none. What can't be one answers nothing."""
    if not verifier:
        return b""
    if len(verifier) > _VERIFIER_CHARS_MAX or not verifier.isascii():
        return b"\0"
    return hashlib.sha256(verifier.encode()).digest()
