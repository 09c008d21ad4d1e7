"""Which agency calls: read from the client certificate that the TLS handshake has proved, and from nothing else."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from cryptography import x509

from domain.kernel.agencies import is_agency_id
from domain.kernel.ids import AgencyId
from services.runtime.errors import NotPermitted

CERTIFICATES_MAX_KEPT: Final = 4_096
_AUTH_CERTIFICATE: Final = "x509_pem_cert"
_SPIFFE: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})(/.*)?", re.DOTALL)


def spiffe_uri(trust_domain: str, agency_id: str) -> str:
    """Return the one URI that a certificate of this agency carries."""
    return f"spiffe://{trust_domain}/agency/{agency_id}"


def agency_of(certificate_pem: bytes, trust_domain: str) -> AgencyId:
    """Return the agency that a client certificate names by exactly one SPIFFE URI; the common name is ignored.

    The handshake has checked chain and dates. Raises ``NotPermitted``: ``identity.certificate_unreadable``, ``identity.spiffe_missing``,
    ``identity.spiffe_several``, ``identity.trust_domain``, ``identity.agency``.
    """
    uris = _uris(certificate_pem)
    if not uris:
        raise NotPermitted(
            "identity.spiffe_missing", "the client certificate has no URI among its alternative names; expected one SPIFFE URI"
        )
    if len(uris) > 1:
        raise NotPermitted("identity.spiffe_several", f"the client certificate has {len(uris)} URIs; expected exactly one SPIFFE URI")
    match = _SPIFFE.fullmatch(uris[0])
    if match is None:
        raise NotPermitted("identity.spiffe_missing", "the client certificate's URI is no SPIFFE URI")
    if match.group(1) != trust_domain:
        raise NotPermitted("identity.trust_domain", f"the client certificate belongs to another trust domain than {trust_domain}")
    prefix, _, agency_id = (match.group(2) or "").rpartition("/")
    if prefix != "/agency" or not is_agency_id(agency_id):
        raise NotPermitted("identity.agency", f"the client certificate's URI is not {spiffe_uri(trust_domain, '<agency id>')}")
    return AgencyId(agency_id)


def _uris(certificate_pem: bytes) -> list[str]:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise NotPermitted("identity.certificate_unreadable", "the client certificate cannot be read") from None
    return names.get_values_for_type(x509.UniformResourceIdentifier)


class Call(Protocol):
    """What of a gRPC call is looked at."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return what the handshake established."""


class Identities:
    """Names the agency of each call; a certificate is parsed once. Touched by the event loop's thread alone."""

    def __init__(self, trust_domain: str) -> None:
        """Accept certificates of this SPIFFE trust domain only."""
        self._trust_domain = trust_domain
        self._kept: OrderedDict[bytes, AgencyId] = OrderedDict()

    def caller(self, call: Call) -> AgencyId:
        """Return the agency of a call's client certificate; raise ``NotPermitted`` (``identity.certificate_missing``, or as above)."""
        certificates = list(call.auth_context().get(_AUTH_CERTIFICATE, ()))
        if len(certificates) != 1:
            raise NotPermitted("identity.certificate_missing", "the call carries no client certificate")
        return self.agency(certificates[0])

    def agency(self, certificate_pem: bytes) -> AgencyId:
        """Return the agency that a certificate names, from memory if it was seen before."""
        known = self._kept.get(certificate_pem)
        if known is None:
            known = self._kept[certificate_pem] = agency_of(certificate_pem, self._trust_domain)
            if len(self._kept) > CERTIFICATES_MAX_KEPT:
                self._kept.popitem(last=False)
        return known
