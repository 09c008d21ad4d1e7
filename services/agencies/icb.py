"""``IcbService``: what an NHS integrated care board may append."""

from __future__ import annotations

from typing import ClassVar

from domain.kernel.agencies import AgencyKind
from safeguarding.hub.v1.append_pb2_grpc import IcbServiceServicer, add_IcbServiceServicer_to_server
from services.agencies.append_service import AppendService


class Icb(AppendService, IcbServiceServicer):  # type: ignore[misc]  # one method serves all seven generated signatures
    """Appends for agencies of kind ICB."""

    KIND: ClassVar = AgencyKind.ICB
    add_to_server = staticmethod(add_IcbServiceServicer_to_server)
