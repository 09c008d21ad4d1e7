from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.trust.identity import agency_of
from services.trust.pki import Authority, create_authority, load_authority
from tests.support.builders import COUNCIL

NOW = datetime(2024, 3, 4, 10, 0, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return create_authority(tmp_path / "pki", now=NOW)


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_authority_signs_leaves_and_nothing_below_them(authority: Authority, tmp_path: Path) -> None:
    constraints = authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(ca=True, path_length=0))
    assert read(tmp_path / "pki" / "ca.pem") == authority.certificate


def test_private_keys_are_for_their_owner_alone(authority: Authority, tmp_path: Path) -> None:
    authority.issue_server(tmp_path / "pki", now=NOW)
    authority.issue_agency(tmp_path / "agency", COUNCIL, trust_domain="hub.example", now=NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*.*")}
    assert modes == {"ca.key": 0o600, "ca.pem": 0o644, "client.key": 0o600, "client.pem": 0o644, "server.key": 0o600, "server.pem": 0o644}


def test_the_server_is_known_by_its_local_names(authority: Authority, tmp_path: Path) -> None:
    authority.issue_server(tmp_path, now=NOW)
    server = read(tmp_path / "server.pem")
    server.verify_directly_issued_by(authority.certificate)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1"), ip_address("::1")]
    usage = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_an_agencys_certificate_names_it_and_is_good_for_clients_only(authority: Authority, tmp_path: Path) -> None:
    authority.issue_agency(tmp_path, COUNCIL, trust_domain="hub.example", now=NOW)
    client = read(tmp_path / "client.pem")
    client.verify_directly_issued_by(authority.certificate)
    assert agency_of((tmp_path / "client.pem").read_bytes(), "hub.example") == COUNCIL
    usage = client.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    public_key = client.public_key()
    assert isinstance(public_key, EllipticCurvePublicKey)
    assert isinstance(public_key.curve, SECP256R1)
    assert load_pem_private_key((tmp_path / "client.key").read_bytes(), None).public_key() == public_key


def test_a_leaf_lives_a_little_more_than_a_year(authority: Authority, tmp_path: Path) -> None:
    authority.issue_agency(tmp_path, COUNCIL, trust_domain="hub.example", now=NOW)
    client = read(tmp_path / "client.pem")
    assert (client.not_valid_before_utc, client.not_valid_after_utc) == (NOW - timedelta(minutes=5), NOW + timedelta(days=397))


def test_nobody_gets_a_certificate_under_a_name_that_is_no_agency(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an agency id is"):
        authority.issue_agency(tmp_path / "agency", "nobody", trust_domain="hub.example", now=NOW)
    assert not (tmp_path / "agency").exists()


def test_an_authority_loads_as_it_was_created(authority: Authority, tmp_path: Path) -> None:
    loaded = load_authority(tmp_path / "pki")
    loaded.issue_server(tmp_path, now=NOW)
    read(tmp_path / "server.pem").verify_directly_issued_by(authority.certificate)


def test_an_authority_with_anothers_key_does_not_load(authority: Authority, tmp_path: Path) -> None:
    assert authority
    create_authority(tmp_path / "other", now=NOW)
    (tmp_path / "other" / "ca.key").replace(tmp_path / "pki" / "ca.key")
    with pytest.raises(ValueError, match=r"ca\.key is not the P-256 key of ca\.pem"):
        load_authority(tmp_path / "pki")


def test_nothing_is_overwritten_unless_that_is_said(authority: Authority, tmp_path: Path) -> None:
    authority.issue_server(tmp_path / "pki", now=NOW)
    before = snapshot(tmp_path / "pki")
    with pytest.raises(FileExistsError, match=r"ca\.pem and .*ca\.key: not overwritten"):
        create_authority(tmp_path / "pki", now=NOW)
    with pytest.raises(FileExistsError, match=r"server\.pem and .*server\.key: not overwritten"):
        authority.issue_server(tmp_path / "pki", now=NOW)
    assert snapshot(tmp_path / "pki") == before
    authority.issue_server(tmp_path / "pki", now=NOW, replace=True)
    assert snapshot(tmp_path / "pki") != before


def test_a_key_is_not_put_beside_an_old_certificate(authority: Authority, tmp_path: Path) -> None:
    authority.issue_agency(tmp_path / "agency", COUNCIL, trust_domain="hub.example", now=NOW)
    (tmp_path / "agency" / "client.key").unlink()
    with pytest.raises(FileExistsError, match=r"client\.pem: not overwritten"):
        authority.issue_agency(tmp_path / "agency", COUNCIL, trust_domain="hub.example", now=NOW)
    assert list(snapshot(tmp_path / "agency")) == ["client.pem"]
