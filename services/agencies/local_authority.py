"""``LocalAuthorityService``: what a council may append."""

from __future__ import annotations

from typing import ClassVar

from domain.kernel.agencies import AgencyKind
from safeguarding.hub.v1.append_pb2_grpc import LocalAuthorityServiceServicer, add_LocalAuthorityServiceServicer_to_server
from services.agencies.append_service import AppendService


class LocalAuthority(AppendService, LocalAuthorityServiceServicer):  # type: ignore[misc]  # one method serves all seven generated signatures
    """Appends for agencies of kind LOCAL_AUTHORITY."""

    KIND: ClassVar = AgencyKind.LOCAL_AUTHORITY
    add_to_server = staticmethod(add_LocalAuthorityServiceServicer_to_server)
