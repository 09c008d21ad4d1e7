"""Which append service an agency calls, and what its queries carry."""

from __future__ import annotations

import re
from typing import Any, Final

from safeguarding.hub.v1 import append_pb2_grpc as services
from safeguarding.hub.v1.common_pb2 import Purpose

_BY_PREFIX: Final[dict[str, Any]] = {
    "la": services.LocalAuthorityServiceStub,
    "icb": services.IcbServiceStub,
    "police": services.PoliceServiceStub,
    "partnership": services.PartnershipServiceStub,
    "panel": services.PanelServiceStub,
    "agency": services.RelevantAgencyServiceStub,
    "operator": services.AdminServiceStub,
}


LABEL: Final = re.compile(r"[\x21-\x7e]{1,100}")
"""What a user or role is, as the contract has it and as metadata can carry it."""


def append_stub(agency_id: str) -> Any:
    """Return the stub class of the service for this agency's kind; raise ``ValueError`` for an id of no kind that appends."""
    stub = _BY_PREFIX.get(agency_id.partition("-")[0])
    if stub is None:
        raise ValueError("an agency id begins with la-, icb-, police-, partnership- or agency-, or is panel or operator")
    return stub


def query_metadata(*, user: str, role: str, purpose: Purpose.ValueType) -> tuple[tuple[str, str], ...]:
    """Return the metadata that every query carries: for whom (a pseudonymous id), in what role, and what for.

    The hub records them with what was read. ``purpose`` travels as its lower-case name, for instance ``rapid_review``.
    Raise ``ValueError`` for a user or role that is not 1 to 100 characters of printable ASCII without spaces.
    """
    for name, value in (("user", user), ("role", role)):
        if LABEL.fullmatch(value) is None:
            raise ValueError(f"{name}: expected 1 to 100 characters of printable ASCII without spaces, for instance social-worker")
    return (("hub-user", user), ("hub-role", role), ("hub-purpose", Purpose.Name(purpose).removeprefix("PURPOSE_").lower()))
