"""Events without bodies, for what carries events and does not look into them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from domain.kernel.events import Recorded
from domain.kernel.ids import AgencyId, EventId, Shard, Stream

AT: Final = datetime(2024, 3, 4, 10, 0, tzinfo=UTC)
FINE: Final = "fine.v1"
SHARD: Final = "northmoor"


def happened(position: int, stream: str = "incident-a", event_type: str = FINE, shard: str = SHARD) -> Recorded:
    """Build an event at this position, its version the same."""
    return Recorded(
        shard=Shard(shard),
        stream=Stream(stream),
        position=position,
        version=position,
        event_id=EventId(position.to_bytes(16, "big")),
        event_type=event_type,
        agency_id=AgencyId("police-northmoor"),
        signed_at=AT,
        recorded_at=AT,
    )
