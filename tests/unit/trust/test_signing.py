from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, derive_private_key, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from domain.agency.events import KeyAlgorithm
from domain.kernel.ids import KeyId
from services.runtime.errors import SignatureInvalid
from services.trust.possession import check_registration, registration, registration_text
from services.trust.signing import (
    HEADER_PAYLOAD_TYPE,
    SigningKey,
    commitment,
    encode_public_key,
    load_public_key,
    pae,
    public_key_of,
    verify_bytes,
)
from tests.support.builders import COUNCIL, POLICE

ED25519, P256 = KeyAlgorithm.ED25519, KeyAlgorithm.ECDSA_P256_SHA256
P25519 = 2**255 - 19
P256_POINT = encode_public_key(derive_private_key(7, SECP256R1()).public_key())
Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
LOW_ORDER = [
    y.to_bytes(32, "little")
    for low in (0, 1, P25519 - 1, Y8, P25519 - Y8)
    for y in (low, low | 1 << 255, *((low + P25519, (low + P25519) | 1 << 255) if low < 19 else ()))
]


def rule_of(error: pytest.ExceptionInfo[SignatureInvalid]) -> str:
    return error.value.rule


def test_the_pre_authentication_encoding_is_that_of_dsse() -> None:
    assert pae(b"http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_commitment_is_hmac_sha256_with_the_salt_as_key() -> None:
    # RFC 4231, test case 2.
    assert commitment(b"Jefe", b"what do ya want for nothing?").hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_key_is_saved_for_its_owner_alone_and_loads_as_the_same(algorithm: KeyAlgorithm, tmp_path: Path) -> None:
    key, file = SigningKey.generate(algorithm), tmp_path / "keys" / "sign.key"
    key.save(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    loaded = SigningKey.load(file)
    assert (loaded.algorithm, loaded.public_bytes) == (algorithm, key.public_bytes)
    verify_bytes(key.public_key, loaded.sign(b"header"), HEADER_PAYLOAD_TYPE, b"header")


def test_a_key_file_is_not_overwritten_unless_that_is_said(tmp_path: Path) -> None:
    file = tmp_path / "sign.key"
    first, second = SigningKey.generate(), SigningKey.generate()
    first.save(file)
    with pytest.raises(FileExistsError, match=r"sign\.key exists; it is not overwritten"):
        second.save(file)
    assert SigningKey.load(file).public_bytes == first.public_bytes
    second.save(file, replace=True)
    assert SigningKey.load(file).public_bytes == second.public_bytes
    assert [path.name for path in tmp_path.iterdir()] == ["sign.key"]


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_without_a_private_key_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "sign.key"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="holds no unencrypted PEM private key"):
        SigningKey.load(file)


def test_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = tmp_path / "sign.key"
    file.write_bytes(generate_rsa_key(65537, 2048).private_bytes(*form))
    with pytest.raises(ValueError, match="neither an Ed25519 nor a P-256 key"):
        SigningKey.load(file)
    file.write_bytes(generate_private_key(SECP384R1()).private_bytes(*form))
    with pytest.raises(ValueError, match=r"expected a key on secp256r1 \(P-256\), found secp384r1"):
        SigningKey.load(file)


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_public_key_file_gives_algorithm_and_registry_encoding(algorithm: KeyAlgorithm, tmp_path: Path) -> None:
    key = SigningKey.generate(algorithm)
    key.save_public(tmp_path / "operator.pub")
    assert load_public_key(tmp_path / "operator.pub") == (algorithm, key.public_bytes)


def test_a_file_without_a_public_key_is_refused(tmp_path: Path) -> None:
    SigningKey.generate().save(tmp_path / "sign.key")
    with pytest.raises(ValueError, match="holds no PEM public key"):
        load_public_key(tmp_path / "sign.key")


def test_a_signing_key_does_not_show_itself() -> None:
    assert "PrivateKey" not in repr(SigningKey.generate())


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_registration_with_its_own_proof_passes(algorithm: KeyAlgorithm) -> None:
    check_registration(registration(SigningKey.generate(algorithm), COUNCIL, f"{COUNCIL}:main"))


def test_the_registration_text_is_what_the_contract_says() -> None:
    assert registration_text(COUNCIL, f"{COUNCIL}:main", ED25519, b"\x01\xab") == (
        b"agency_id: la-E09999901\nkey_id: la-E09999901:main\nalgorithm: ed25519\npublic_key: 01ab\n"
    )


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_proof_is_good_for_its_agency_key_id_and_key_only(algorithm: KeyAlgorithm) -> None:
    event = registration(SigningKey.generate(algorithm), COUNCIL, f"{COUNCIL}:main")
    other = registration(SigningKey.generate(algorithm), COUNCIL, f"{COUNCIL}:main")
    for wrong in (
        replace(event, agency_id=POLICE),
        replace(event, key_id=KeyId(f"{COUNCIL}:other")),
        replace(event, public_key=other.public_key),
        replace(event, proof=other.proof),
        replace(event, proof=b"\x00" * 64),
    ):
        with pytest.raises(SignatureInvalid) as caught:
            check_registration(wrong)
        assert rule_of(caught) == "wire.key_possession"


def test_a_proof_is_never_good_as_a_signature_of_an_event() -> None:
    key = SigningKey.generate()
    event = registration(key, COUNCIL, f"{COUNCIL}:main")
    text = registration_text(COUNCIL, f"{COUNCIL}:main", ED25519, key.public_bytes)
    with pytest.raises(SignatureInvalid):
        verify_bytes(key.public_key, event.proof, HEADER_PAYLOAD_TYPE, text)


@pytest.mark.parametrize("encoded", LOW_ORDER, ids=bytes.hex)
def test_every_encoding_of_a_low_order_point_is_refused(encoded: bytes) -> None:
    with pytest.raises(SignatureInvalid) as caught:
        public_key_of(ED25519, encoded)
    assert rule_of(caught) == "wire.key_low_order"


@pytest.mark.parametrize(
    ("algorithm", "encoded"),
    [
        (ED25519, b""),
        (ED25519, bytes(31)),
        (ED25519, bytes(33)),
        (ED25519, (P25519 + 3).to_bytes(32, "little")),
        (P256, b""),
        (P256, b"\x00"),
        (P256, bytes(65)),
        (P256, b"\x04" + bytes(64)),
        (P256, P256_POINT[1:]),
        (P256, b"\x02" + P256_POINT[1:33]),
        (P256, b"\x58" + b"\x66" * 31),
    ],
)
def test_a_public_key_in_any_other_than_its_one_encoding_is_refused(algorithm: KeyAlgorithm, encoded: bytes) -> None:
    with pytest.raises(SignatureInvalid) as caught:
        public_key_of(algorithm, encoded)
    assert rule_of(caught) == "wire.key_encoding"
