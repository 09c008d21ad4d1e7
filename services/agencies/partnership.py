"""``PartnershipService``: what a partnership's business unit may append."""

from __future__ import annotations

from typing import ClassVar

from domain.kernel.agencies import AgencyKind
from safeguarding.hub.v1.append_pb2_grpc import PartnershipServiceServicer, add_PartnershipServiceServicer_to_server
from services.agencies.append_service import AppendService


class Partnership(AppendService, PartnershipServiceServicer):  # type: ignore[misc]  # one method serves all seven generated signatures
    """Appends for agencies of kind PARTNERSHIP."""

    KIND: ClassVar = AgencyKind.PARTNERSHIP
    add_to_server = staticmethod(add_PartnershipServiceServicer_to_server)
