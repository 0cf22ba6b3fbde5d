"""Certificates for tests: an authority of one's own, and what it vouches for."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

DAY = timedelta(days=1)


class Authority(NamedTuple):
    """Who vouches for certificates."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls) -> Authority:
        key, name = ec.generate_private_key(ec.SECP256R1()), _name("An authority of tests")
        builder = _of_names(name, name, key, datetime.now(UTC) + DAY)
        return cls(key, builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))

    def believed(self) -> ssl.SSLContext:
        """Return what a client checks servers by that believes this authority alone."""
        return ssl.create_default_context(cadata=self.certificate.public_bytes(Encoding.PEM).decode())

    def server(self, folder: Path, host: str, until: datetime | None = None) -> ssl.SSLContext:
        """Return what a server shows that is named so. until: when its certificate has ended, by default tomorrow."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _of_names(_name(host), self.certificate.subject, key, until or datetime.now(UTC) + DAY)
        made = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        path = folder / f"{x509.random_serial_number():x}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _of_names(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(until - 30 * DAY).not_valid_after(until)
    )  # fmt: skip
