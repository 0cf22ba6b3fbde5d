"""Who sends push messages: the cluster's key of P-256, and what it signs (RFC 8292).

    Authorization: vapid t=JWT, k=PUBLIC KEY      JWT: ES256 over {"aud": its origin, "exp": ..., "sub": contact}

Rules of this file
- Base 64 of URLs without padding, as everywhere in web push.
- One key for the cluster: subscriptions are made for it, so another one ends all of them.
- A token is used again for its service until half of its time is over (RFC 8292, 2 and 5: services may remember one
  that they have checked). Nothing in it is of a message.

Cost: 35 us a signature, 2 us a token that is there; 0.5 KB a service, AUDIENCES_MAX of them.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

if TYPE_CHECKING:
    from api.services import Services

EXPIRES_S: Final = 12 * 3600  # RFC 8292, 2: a day at most
AUDIENCES_MAX: Final = 1_000  # services whose tokens are kept, those that were used last
_NUMBER_BYTES: Final = 32


def unpadded(data: bytes) -> str:
    """Return bytes in base 64 of URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw_public_key(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as 65 bytes, uncompressed."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class Vapid:
    """A key that signs."""

    def __init__(self, pem: bytes) -> None:
        """Raises ValueError for what is no key of P-256."""
        key = load_pem_private_key(pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("it is no key of P-256")
        self._key = key
        self.public_key = unpadded(raw_public_key(key.public_key()))
        self._tokens: OrderedDict[tuple[str, str], tuple[int, str]] = OrderedDict()  # (aud, sub) -> (made at, token)

    def token(self, endpoint: str, contact: str, now_s: int) -> str:
        """Return a JWT for whoever serves an endpoint. contact: mailto: or https:."""
        parts = urlsplit(endpoint)
        named = (f"{parts.scheme}://{parts.netloc}", contact)
        made_s, token = self._tokens.get(named, (0, ""))
        if not token or not 0 <= now_s - made_s <= EXPIRES_S // 2:
            token = self._signed(*named, now_s)
            self._tokens[named] = (now_s, token)
            if len(self._tokens) > AUDIENCES_MAX:
                self._tokens.popitem(last=False)
        self._tokens.move_to_end(named)
        return token

    def _signed(self, audience: str, contact: str, now_s: int) -> str:
        claims = {"aud": audience, "exp": now_s + EXPIRES_S, "sub": contact}
        said = ".".join(map(unpadded, (b'{"typ":"JWT","alg":"ES256"}', orjson.dumps(claims))))
        numbers = decode_dss_signature(self._key.sign(said.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{said}.{unpadded(b''.join(each.to_bytes(_NUMBER_BYTES, 'big') for each in numbers))}"

    def authorization(self, endpoint: str, contact: str, now_s: int) -> str:
        """Return the header that says who sends a message."""
        return f"vapid t={self.token(endpoint, contact, now_s)}, k={self.public_key}"

    def draft_headers(self, endpoint: str, contact: str, now_s: int, public: bytes, salt: bytes) -> dict[str, str]:
        """Return the headers of a message as drafts have them. public, salt: of its encryption."""
        return {
            "Authorization": f"WebPush {self.token(endpoint, contact, now_s)}", "Content-Encoding": "aesgcm",
            "Crypto-Key": f"dh={unpadded(public)};p256ecdsa={self.public_key}", "Encryption": f"salt={unpadded(salt)}",
        }  # fmt: skip


@lru_cache(maxsize=4)
def vapid_of(pem: bytes) -> Vapid:
    """Return the key of a cluster, read once."""
    return Vapid(pem)


def server_key(services: Services) -> str:
    """Return the public key by which clients subscribe; empty where nothing is pushed."""
    pem = services.outgoing_keys.vapid
    return vapid_of(pem).public_key if services.settings.sends_push and pem else ""
