from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from services.runtime.errors import NotPermitted
from services.trust import identity
from services.trust.identity import Identities, agency_of
from tests.support.builders import COUNCIL, POLICE

NOW = datetime(2024, 3, 4, tzinfo=UTC)
KEY = derive_private_key(11, SECP256R1())
DOMAIN = "hub.example"


def certificate(*uris: str, common_name: str = "anyone", dns: Iterable[str] = ()) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    names: list[x509.GeneralName] = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns)]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


class FakeCall:
    def __init__(self, **context: list[bytes]) -> None:
        self._context = context

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return self._context


def rule_for(pem: bytes) -> str:
    with pytest.raises(NotPermitted) as caught:
        agency_of(pem, DOMAIN)
    return caught.value.rule


@pytest.mark.parametrize("agency_id", [COUNCIL, POLICE, "panel", "operator"])
def test_the_spiffe_uri_names_the_agency(agency_id: str) -> None:
    assert agency_of(certificate(f"spiffe://{DOMAIN}/agency/{agency_id}"), DOMAIN) == agency_id


def test_the_common_name_is_ignored() -> None:
    assert agency_of(certificate(f"spiffe://{DOMAIN}/agency/{COUNCIL}", common_name="operator"), DOMAIN) == COUNCIL
    assert rule_for(certificate(common_name=COUNCIL)) == "identity.spiffe_missing"


@pytest.mark.parametrize(
    ("uris", "rule"),
    [
        ((), "identity.spiffe_missing"),
        (("https://hub.example/agency/panel",), "identity.spiffe_missing"),
        (("SPIFFE://hub.example/agency/panel",), "identity.spiffe_missing"),
        (("spiffe:///agency/panel",), "identity.spiffe_missing"),
        (("spiffe://user@hub.example/agency/panel",), "identity.spiffe_missing"),
        (("spiffe://hub.example:443/agency/panel",), "identity.spiffe_missing"),
        ((f"spiffe://{DOMAIN}/agency/panel",) * 2, "identity.spiffe_several"),
        ((f"spiffe://{DOMAIN}/agency/panel", "https://hub.example/"), "identity.spiffe_several"),
        (("spiffe://other.example/agency/panel",), "identity.trust_domain"),
        (("spiffe://hub.example.evil/agency/panel",), "identity.trust_domain"),
        (("spiffe://hub.example",), "identity.agency"),
        (("spiffe://hub.example/",), "identity.agency"),
        (("spiffe://hub.example/agency/",), "identity.agency"),
        (("spiffe://hub.example/agency/nobody",), "identity.agency"),
        (("spiffe://hub.example/agency/panel/",), "identity.agency"),
        (("spiffe://hub.example/agency/panel/panel",), "identity.agency"),
        (("spiffe://hub.example/x/agency/panel",), "identity.agency"),
        (("spiffe://hub.example//agency/panel",), "identity.agency"),
        (("spiffe://hub.example/node/panel",), "identity.agency"),
        (("spiffe://hub.example/agency/panel?x",), "identity.agency"),
        (("spiffe://hub.example/agency/panel#x",), "identity.agency"),
        (("spiffe://hub.example/agency/PANEL",), "identity.agency"),
    ],
)
def test_any_other_name_is_refused_with_its_reason(uris: tuple[str, ...], rule: str) -> None:
    assert rule_for(certificate(*uris)) == rule


def test_other_alternative_names_do_not_matter() -> None:
    assert agency_of(certificate(f"spiffe://{DOMAIN}/agency/panel", dns=["council.example"]), DOMAIN) == "panel"
    assert rule_for(certificate(dns=["panel"])) == "identity.spiffe_missing"


@pytest.mark.parametrize("pem", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(pem: bytes) -> None:
    assert rule_for(pem) == "identity.certificate_unreadable"


def test_the_caller_is_read_from_the_handshake() -> None:
    pem = certificate(f"spiffe://{DOMAIN}/agency/{COUNCIL}")
    assert Identities(DOMAIN).caller(FakeCall(x509_pem_cert=[pem])) == COUNCIL


@pytest.mark.parametrize("context", [{}, {"x509_common_name": [b"panel"]}, {"x509_pem_cert": []}])
def test_a_call_without_a_certificate_is_refused(context: dict[str, list[bytes]]) -> None:
    with pytest.raises(NotPermitted) as caught:
        Identities(DOMAIN).caller(FakeCall(**context))
    assert caught.value.rule == "identity.certificate_missing"


def test_a_certificate_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pem, identities = certificate(f"spiffe://{DOMAIN}/agency/{COUNCIL}"), Identities(DOMAIN)
    assert identities.agency(pem) == COUNCIL
    monkeypatch.setattr(identity, "agency_of", None)
    assert identities.agency(pem) == COUNCIL


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "CERTIFICATES_MAX_KEPT", 2)
    identities = Identities(DOMAIN)
    for agency_id in ("panel", "hub", "operator"):
        identities.agency(certificate(f"spiffe://{DOMAIN}/agency/{agency_id}"))
    assert list(identities._kept.values()) == ["hub", "operator"]
