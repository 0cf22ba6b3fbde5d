"""The cluster's certificate authority, and the certificates that its processes make with it for TLS between nodes.

    router: make_authority --> cluster-ca.pem --join--> every process: issue(authority, ...) --> its own certificate

Rules of this file
- Imported where a lane between nodes is set up, and nowhere else: `cryptography` takes 70 ms and 9 MB.
- Whoever is a member holds the authority's key, as it holds the cluster secret; so each process makes its certificate
  itself, of a key that never leaves it. A shard's says which actor it is, and is good for a server only; a client's for
  a client only.
- Certificates don't run out: they end with their process, and the authority with the cluster. Clocks that differ would
  do more harm than a date does good.

Costs: 2 ms a certificate.
"""

from __future__ import annotations

import datetime
from enum import Enum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_BEGIN = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)  # RFC 5280: for what has no known end
_NO_USE = {
    "digital_signature": False, "content_commitment": False, "key_encipherment": False, "data_encipherment": False,
    "key_agreement": False, "key_cert_sign": False, "crl_sign": False, "encipher_only": False, "decipher_only": False,
}  # fmt: skip


class Use(Enum):
    """What a certificate is good for."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


def make_authority(cluster_id: str) -> bytes:
    """Return a new authority: its certificate and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Rookery cluster {cluster_id}")])
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**{**_NO_USE, "key_cert_sign": True}), critical=True)
        .add_extension(own, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain
    )


def certificate_of(authority: bytes) -> bytes:
    """Return the authority's certificate alone, as PEM. Raises ValueError if there is none."""
    return x509.load_pem_x509_certificate(authority).public_bytes(serialization.Encoding.PEM)


def require_authority(authority: bytes) -> None:
    """Raise ValueError unless these are a certificate and the key that belongs to it."""
    certificate = x509.load_pem_x509_certificate(authority)
    if _key_of(authority).public_key() != certificate.public_key():
        raise ValueError("its certificate and its key don't belong together")


def issue(authority: bytes, use: Use, host_name: str, password: bytes) -> bytes:
    """Return a certificate and its key as PEM; the key is encrypted with the password."""
    signer, key = x509.load_pem_x509_certificate(authority), ec.generate_private_key(ec.SECP256R1())
    issuer_key = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _builder(x509.Name([]), signer.subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host_name)]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**_NO_USE, "digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use.value]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), critical=False)
        .sign(_key_of(authority), hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(password)
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + secret


def _key_of(authority: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(authority[authority.index(b"-----BEGIN PRIVATE KEY-----") :], None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("its key is of another kind")
    return key


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
        .serial_number(x509.random_serial_number()).not_valid_before(_BEGIN).not_valid_after(_END)
    )  # fmt: skip
