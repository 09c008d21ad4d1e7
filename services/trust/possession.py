"""Proof that whoever registers a key holds its private half, and that the key is fit to be registered.

The registration text is ASCII, each line ended by a line feed::

    agency_id: <agency id>
    key_id: <key id>
    algorithm: <ed25519 | ecdsa_p256_sha256>
    public_key: <the encoded public key, lower-case hexadecimal>

It is signed by the key itself in the DSSE encoding, with a payload type of its own, so that a proof is never good for an event
and an event's signature never for a proof.
"""

from __future__ import annotations

from typing import Final

from domain.agency.events import KeyAlgorithm, KeyRegistered
from domain.kernel.ids import AgencyId, KeyId
from services.trust.signing import SigningKey, public_key_of, verify_bytes

REGISTRATION_PAYLOAD_TYPE: Final = b"application/vnd.safeguarding-hub.key-registration.v1"


def registration_text(agency_id: str, key_id: str, algorithm: KeyAlgorithm, public_key: bytes) -> bytes:
    """Return what the key signs to prove that it is held by this agency, under this id."""
    text = f"agency_id: {agency_id}\nkey_id: {key_id}\nalgorithm: {algorithm.value}\npublic_key: {public_key.hex()}\n"
    return text.encode()


def prove(signing_key: SigningKey, agency_id: str, key_id: str) -> bytes:
    """Return the proof of possession for ``KeyRegistered.proof``."""
    text = registration_text(agency_id, key_id, signing_key.algorithm, signing_key.public_bytes)
    return signing_key.sign_bytes(REGISTRATION_PAYLOAD_TYPE, text)


def registration(signing_key: SigningKey, agency_id: str, key_id: str) -> KeyRegistered:
    """Return the event by which the operator registers a key, its proof included."""
    return KeyRegistered(
        agency_id=AgencyId(agency_id),
        key_id=KeyId(key_id),
        algorithm=signing_key.algorithm,
        public_key=signing_key.public_bytes,
        proof=prove(signing_key, agency_id, key_id),
    )


def check_registration(event: KeyRegistered) -> None:
    """Raise ``SignatureInvalid`` unless the key is sound and its proof is its own.

    Rules: ``wire.key_low_order``, ``wire.key_encoding``, ``wire.key_possession``.
    """
    key = public_key_of(event.algorithm, event.public_key)
    text = registration_text(event.agency_id, event.key_id, event.algorithm, event.public_key)
    verify_bytes(key, event.proof, REGISTRATION_PAYLOAD_TYPE, text, rule="wire.key_possession")
