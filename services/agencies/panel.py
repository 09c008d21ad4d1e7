"""``PanelService``: what a Panel secretariat may append."""

from __future__ import annotations

from typing import ClassVar

from domain.kernel.agencies import AgencyKind
from safeguarding.hub.v1.append_pb2_grpc import PanelServiceServicer, add_PanelServiceServicer_to_server
from services.agencies.append_service import AppendService


class Panel(AppendService, PanelServiceServicer):  # type: ignore[misc]  # one method serves all seven generated signatures
    """Appends for agencies of kind PANEL."""

    KIND: ClassVar = AgencyKind.PANEL
    add_to_server = staticmethod(add_PanelServiceServicer_to_server)
