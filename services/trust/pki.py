"""A certificate authority for development: P-256 certificates for the hub and for agencies. Production brings its own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from domain.kernel.agencies import kind_of
from services.trust.files import write_pair, write_public, write_secret
from services.trust.identity import spiffe_uri

AUTHORITY_CERTIFICATE: Final = "ca.pem"
AUTHORITY_KEY: Final = "ca.key"
SERVER_CERTIFICATE: Final = "server.pem"
SERVER_KEY: Final = "server.key"
CLIENT_CERTIFICATE: Final = "client.pem"
CLIENT_KEY: Final = "client.key"
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")

AUTHORITY_LIFETIME_DAYS: Final = 5 * 365
LEAF_LIFETIME_DAYS: Final = 397
"""What public authorities may at most issue: a habit of renewal from the start."""
_BACKDATED: Final = timedelta(minutes=5)
"""So that a certificate is good at once on machines whose clocks are a little behind."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority and its private key."""

    certificate: x509.Certificate
    _key: EllipticCurvePrivateKey

    def issue_server(self, folder: Path, *, now: datetime, names: Iterable[str] = LOCAL_NAMES, replace: bool = False) -> None:
        """Write ``server.pem`` and ``server.key`` for these host names and addresses; raise ``FileExistsError`` rather than overwrite."""
        alternatives = [_host(name) for name in names]
        self._issue(
            folder / SERVER_CERTIFICATE,
            folder / SERVER_KEY,
            "hub",
            alternatives,
            ExtendedKeyUsageOID.SERVER_AUTH,
            now=now,
            replace=replace,
        )

    def issue_agency(self, folder: Path, agency_id: str, *, trust_domain: str, now: datetime, replace: bool = False) -> None:
        """Write ``client.pem`` and ``client.key`` for an agency; raise ``FileExistsError`` rather than overwrite."""
        kind_of(agency_id)
        alternatives = [x509.UniformResourceIdentifier(spiffe_uri(trust_domain, agency_id))]
        self._issue(
            folder / CLIENT_CERTIFICATE,
            folder / CLIENT_KEY,
            agency_id,
            alternatives,
            ExtendedKeyUsageOID.CLIENT_AUTH,
            now=now,
            replace=replace,
        )

    def _issue(
        self,
        certificate_file: Path,
        key_file: Path,
        name: str,
        alternatives: Sequence[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        *,
        now: datetime,
        replace: bool,
    ) -> None:
        key = generate_private_key(SECP256R1())
        certificate = (
            _builder(name, key.public_key(), now, LEAF_LIFETIME_DAYS)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(_issued_by(self._key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _refuse_existing(certificate_file, key_file, replace=replace)
        write_pair((key_file, _pem(key)), (certificate_file, certificate.public_bytes(Encoding.PEM)), replace=replace)


def create_authority(folder: Path, *, now: datetime, name: str = "Safeguarding hub development CA", goes_on: bool = True) -> Authority:
    """Make an authority and write ``ca.key`` and ``ca.pem``; raise ``FileExistsError`` rather than overwrite.

    A key without its certificate was left by a making that was cut short, and is used if this ``goes_on``; raises ``ValueError`` if it is
    none.
    """
    certificate_file, key_file = folder / AUTHORITY_CERTIFICATE, folder / AUTHORITY_KEY
    is_begun = goes_on and key_file.exists() and not certificate_file.exists()
    if not is_begun:
        _refuse_existing(certificate_file, key_file, replace=False)
    key = _load_key(key_file) if is_begun else generate_private_key(SECP256R1())
    subject = _name(name)
    certificate = (
        _builder(name, key.public_key(), now, AUTHORITY_LIFETIME_DAYS)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    if not is_begun:
        write_secret(key_file, _pem(key))
    write_public(certificate_file, certificate.public_bytes(Encoding.PEM))
    return Authority(certificate, key)


def load_authority(folder: Path) -> Authority:
    """Read the authority that ``create_authority`` wrote; raise ``ValueError`` if its files are none, or not of one authority."""
    certificate = x509.load_pem_x509_certificate((folder / AUTHORITY_CERTIFICATE).read_bytes())
    key = _load_key(folder / AUTHORITY_KEY)
    if key.public_key() != certificate.public_key():
        raise ValueError(f"{folder}: {AUTHORITY_KEY} is not the P-256 key of {AUTHORITY_CERTIFICATE}")
    return Authority(certificate, key)


def _load_key(file: Path) -> EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError(f"{file} holds no P-256 key")  # noqa: TRY004  # the file is wrong, not an argument's type
    return key


def _refuse_existing(*files: Path, replace: bool) -> None:
    """Refuse before anything is written: a new key beside an old certificate would be worse than either."""
    existing = [str(file) for file in files if file.exists()]
    if existing and not replace:
        raise FileExistsError(f"{' and '.join(existing)}: not overwritten")


def _builder(name: str, key: EllipticCurvePublicKey, now: datetime, lifetime_days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=lifetime_days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _issued_by(key: EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
