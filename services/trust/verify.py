"""Who signed what: a signed event goes in, a ``VerifiedEvent`` comes out, and nothing further on accepts anything else."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from domain.kernel.ids import AgencyId, KeyId
from domain.kernel.moulds import quick
from safeguarding.hub.v1.envelope_pb2 import EventHeader, Signature, SignedEvent
from services.runtime.errors import Invalid, NotPermitted, SignatureInvalid, Violation
from services.runtime.fieldrules import check_fields, refuse_unknown_fields
from services.trust.registry import KeyEntry, RegistryState
from services.trust.signing import HEADER_PAYLOAD_TYPE, SALT_BYTES, PublicKey, commitment, verify_bytes

CHECKS: Final = (
    "wire.header_unreadable",
    "wire.key_id_mismatch",
    "wire.log_origin",
    "wire.agency_certificate",
    "wire.key_unknown",
    "wire.key_owner",
    "wire.key_encoding",
    "wire.key_low_order",
    "wire.key_possession",
    "wire.signature",
    "wire.salt_length",
    "wire.commitment",
    "wire.key_retired",
    "wire.key_revoked",
    "wire.agency_unknown",
    "wire.agency_suspended",
)
"""Every check by the rule that its failure names."""


@quick
@dataclass(frozen=True, slots=True)
class VerifiedEvent:
    """An event whose sender, signature and body are established; its bytes are those received."""

    header: EventHeader
    header_bytes: bytes
    header_hash: bytes
    """SHA-256 of the header bytes, 32 bytes: two events are the same when it is equal."""
    signature: Signature
    signature_bytes: bytes
    key_id: KeyId
    body: bytes
    salt: bytes
    agency_id: AgencyId


def verify(
    signed: SignedEvent, caller: AgencyId, registry: RegistryState, log_origin: str, *, proven: PublicKey | None = None
) -> VerifiedEvent:
    """Establish that ``caller`` signed this header for this log, and that the header binds this body.

    Names first, then ``prove``, unless ``proven`` is the very key under which it was proved before. Whether the key may still sign is
    not judged here (``require_active``): an event that is on the log is answered with its receipt for ever.
    Raises ``Invalid``, ``NotPermitted`` or ``SignatureInvalid``, each naming the check that failed.
    """
    header = _read_header(signed.header)
    key = _check_names(header, signed.signature, caller, registry, log_origin)
    public_key = key.public_key
    if public_key is not proven:
        prove(public_key, header, signed)
    return VerifiedEvent(
        header=header,
        header_bytes=signed.header,
        header_hash=hashlib.sha256(signed.header).digest(),
        signature=signed.signature,
        signature_bytes=signed.signature.value,
        key_id=key.key_id,
        body=signed.body,
        salt=signed.salt,
        agency_id=caller,
    )


def prove(public_key: PublicKey, header: EventHeader, signed: SignedEvent) -> None:
    """Establish what needs no registry: every one of ``PROOFS``.

    Raises ``Invalid`` or ``SignatureInvalid``, each naming the check that failed.
    """
    for proof in PROOFS:
        proof(public_key, header, signed)


def require_active(verified: VerifiedEvent, registry: RegistryState) -> None:
    """Raise unless the agency and its key may write something new, as of the registry's position.

    Raises ``NotPermitted`` (``wire.agency_unknown``, ``wire.agency_suspended``) or ``SignatureInvalid`` (``wire.key_revoked``,
    ``wire.key_retired``).
    """
    agency = registry.agency(verified.agency_id)
    if agency is None:
        raise NotPermitted("wire.agency_unknown", "the agency is not enrolled")
    if agency.is_suspended:
        raise NotPermitted("wire.agency_suspended", "the agency is suspended")
    key = registry.key(verified.key_id)
    if key is None:
        raise SignatureInvalid("wire.key_unknown", "the key is not registered")
    if key.revoked_position is not None:
        raise SignatureInvalid("wire.key_revoked", f"the key is revoked since national position {key.revoked_position}")
    if key.retired_position is not None:
        raise SignatureInvalid("wire.key_retired", f"the key is retired since national position {key.retired_position}")


def _read_header(header_bytes: bytes) -> EventHeader:
    try:
        return EventHeader.FromString(header_bytes)
    except DecodeError:
        raise Invalid(Violation("header", "a serialized EventHeader"), rule="wire.header_unreadable") from None


def _check_names(header: EventHeader, signature: Signature, caller: AgencyId, registry: RegistryState, log_origin: str) -> KeyEntry:
    """Three names must agree: the certificate's, the header's and the key owner's. Returns the key."""
    if signature.key_id != header.key_id:
        raise SignatureInvalid("wire.key_id_mismatch", "the signature and the header name different keys")
    if header.log_origin != log_origin:
        raise SignatureInvalid("wire.log_origin", f"the event is meant for another log; this one is {log_origin}")
    if header.agency_id != caller:
        raise NotPermitted("wire.agency_certificate", f"the header names another agency than the client certificate, which is {caller}'s")
    key = registry.key(header.key_id)
    if key is None:
        raise SignatureInvalid("wire.key_unknown", "the key is not registered")
    if key.owner != caller:
        raise SignatureInvalid("wire.key_owner", f"the key belongs to another agency than {caller}")
    return key


def _prove_signature(public_key: PublicKey, _header: EventHeader, signed: SignedEvent) -> None:
    """Check that the key signed the header."""
    verify_bytes(public_key, signed.signature.value, HEADER_PAYLOAD_TYPE, signed.header)


def _prove_commitment(_public_key: PublicKey, header: EventHeader, signed: SignedEvent) -> None:
    """Check that the header binds the body. The salt's length is fixed because HMAC pads a shorter key: two would fit one header."""
    if len(signed.salt) != SALT_BYTES:
        raise SignatureInvalid("wire.salt_length", f"the salt has {SALT_BYTES} bytes, found {len(signed.salt)}")
    if not hmac.compare_digest(commitment(signed.salt, signed.body), header.body_commitment):
        raise SignatureInvalid("wire.commitment", "the body is not the one that the header commits to")


def _prove_header(_public_key: PublicKey, header: EventHeader, signed: SignedEvent) -> None:
    """Check the header's field rules. It stays readable for ever, so it holds nothing beside them."""
    refuse_unknown_fields(header, signed.header, "header.")
    check_fields(header, prefix="header")


PROOFS: Final = (_prove_signature, _prove_commitment, _prove_header)
"""What is to be established of an event, in this order: nothing is made of its fields before the signature holds."""
