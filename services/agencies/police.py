"""``PoliceService``: what a police force may append."""

from __future__ import annotations

from typing import ClassVar

from domain.kernel.agencies import AgencyKind
from safeguarding.hub.v1.append_pb2_grpc import PoliceServiceServicer, add_PoliceServiceServicer_to_server
from services.agencies.append_service import AppendService


class Police(AppendService, PoliceServiceServicer):  # type: ignore[misc]  # one method serves all seven generated signatures
    """Appends for agencies of kind POLICE."""

    KIND: ClassVar = AgencyKind.POLICE
    add_to_server = staticmethod(add_PoliceServiceServicer_to_server)
