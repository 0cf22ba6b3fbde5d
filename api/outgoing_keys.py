"""The keys of what leaves the cluster: codes that are mailed, links that need no sign-in, signatures of push messages.

    code   = 80 bits of HMAC-SHA256(key of codes, what it is for, account, 16 random bytes)    16 letters, 4 by 4
    secret = HMAC-SHA256(key of secrets, account, 16 random bytes)                             32 bytes, of a webhook
    link   = account, 16 bytes of HMAC-SHA256(key of links, what it is for, account, address)    base64url
    vapid  = the cluster's key of P-256 (`vapid.pem`), by which push services know who sends (RFC 8292)

Rules of this file
- Journals hold the random bytes and a hash of the code; who has read one can't make the code.
- Every process of the cluster has the same keys: what one makes another one knows.
- Codes are read whatever their case, with any blanks and signs between, and O, I, L as the digits that they look like.

Cost: 10 us each.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from actors.core.ids import ID_MAX
from actors.core.mailbox import NONCE_BYTES

CODES: Final = b"codes in mails"  # purposes of keys (`cluster.lane.handshake.key_for`)
LINKS: Final = b"links in mails"
SECRETS: Final = b"secrets of webhooks"
CODE_CHARS: Final = 16
CODE_GIVEN_CHARS_MAX: Final = 64  # of what somebody types
LINK_CHARS: Final = 32
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: none looks like another
_READ_AS: Final = str.maketrans("OIL", "011")
_CODE_BYTES: Final = 10
_ID_BYTES: Final = 8
_PROOF_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class OutgoingKeys:
    """The keys of one cluster. codes, links, secrets: 32 bytes each; vapid: PEM, empty from an older router."""

    codes: bytes = field(repr=False)
    links: bytes = field(repr=False)
    secrets: bytes = field(repr=False)
    vapid: bytes = field(default=b"", repr=False)

    def code(self, what: str, account_id: int, nonce: bytes) -> str:
        """Return the code for something, of an account and a random number: four times four letters."""
        said = what.encode() + b"\0" + account_id.to_bytes(_ID_BYTES, "big") + nonce
        number = int.from_bytes(hmac.digest(self.codes, said, hashlib.sha256)[:_CODE_BYTES], "big")
        letters = "".join(_ALPHABET[number >> 5 * place & 31] for place in range(CODE_CHARS))
        return "-".join(letters[at : at + 4] for at in range(0, CODE_CHARS, 4))

    def link(self, what: str, account_id: int, address: str) -> str:
        """Return what a link carries that lets whoever reads an address's mail do one thing for an account."""
        raw = account_id.to_bytes(_ID_BYTES, "big") + self._proof(what, account_id, address)
        return base64.urlsafe_b64encode(raw).decode()

    def is_link(self, text: str, what: str, account_id: int, address: str) -> bool:
        """Whether a text is what `link` returns."""
        return hmac.compare_digest(text.encode(errors="surrogatepass"), self.link(what, account_id, address).encode())

    def webhook_secret(self, account_id: int, nonce: bytes) -> bytes:
        """Return the secret of an account's webhook that a random number stands for."""
        return hmac.digest(self.secrets, account_id.to_bytes(_ID_BYTES, "big") + nonce, hashlib.sha256)

    def _proof(self, what: str, account_id: int, address: str) -> bytes:
        said = f"{what}\0{account_id}\0{address.lower()}".encode(errors="surrogatepass")
        return hmac.digest(self.links, said, hashlib.sha256)[:_PROOF_BYTES]


def hash_of_code(code: str) -> bytes:
    """Return the hash of a code as somebody types it; of what is none, one that no code has."""
    plain = "".join(each for each in code[:CODE_GIVEN_CHARS_MAX].upper() if each.isalnum())
    return hashlib.sha256(plain.translate(_READ_AS).encode(errors="surrogatepass")).digest()


def account_of_link(text: str) -> int:
    """Return whose account a link is about, if it is one; 0 for what can't be one."""
    if len(text) != LINK_CHARS or not text.isascii():
        return 0
    try:
        account_id = int.from_bytes(base64.b64decode(text, altchars=b"-_", validate=True)[:_ID_BYTES], "big")
    except binascii.Error:
        return 0
    return account_id if 1 <= account_id <= ID_MAX else 0


__all__ = ["CODES", "LINKS", "NONCE_BYTES", "SECRETS", "OutgoingKeys", "account_of_link", "hash_of_code"]
