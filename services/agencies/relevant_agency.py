"""``RelevantAgencyService``: what a relevant agency may append."""

from __future__ import annotations

from typing import ClassVar

from domain.kernel.agencies import AgencyKind
from safeguarding.hub.v1.append_pb2_grpc import RelevantAgencyServiceServicer, add_RelevantAgencyServiceServicer_to_server
from services.agencies.append_service import AppendService


class RelevantAgency(AppendService, RelevantAgencyServiceServicer):  # type: ignore[misc]  # one method serves all seven generated signatures
    """Appends for agencies of kind RELEVANT_AGENCY."""

    KIND: ClassVar = AgencyKind.RELEVANT_AGENCY
    add_to_server = staticmethod(add_RelevantAgencyServiceServicer_to_server)
