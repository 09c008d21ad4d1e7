"""``AdminService``: what an operator may append."""

from __future__ import annotations

from typing import ClassVar

from domain.kernel.agencies import AgencyKind
from safeguarding.hub.v1.append_pb2_grpc import AdminServiceServicer, add_AdminServiceServicer_to_server
from services.agencies.append_service import AppendService


class Admin(AppendService, AdminServiceServicer):  # type: ignore[misc]  # one method serves all seven generated signatures
    """Appends for agencies of kind OPERATOR."""

    KIND: ClassVar = AgencyKind.OPERATOR
    add_to_server = staticmethod(add_AdminServiceServicer_to_server)
