from __future__ import annotations

from datetime import UTC, datetime

import pytest

from domain.kernel.events import LawfulBasis, Marking, Purpose, Recorded
from safeguarding.hub.v1.envelope_pb2 import EventHeader
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.codec import recorded_from
from services.eventstore.conversion import reader
from services.eventstore.port import Stored
from services.runtime.errors import IntegrityError
from tests.support.samples import sample_event

WITHDRAWN = "incident.notification_withdrawn.v1"
STREAM = "incident-01890000-0000-7000-8000-00000000c001"
STORED = Stored(
    position=7,
    stream=STREAM,
    version=3,
    event_id=b"e" * 16,
    header_hash=b"h" * 32,
    type=WITHDRAWN,
    recorded_at_ms=1_583_316_672_345,
    state=b"",
)


def header() -> EventHeader:
    made = EventHeader(
        agency_id="la-E09999901",
        actor_role="Head of service",
        purpose=2,
        lawful_basis=1,
        marking=3,
        imported=True,
        stream=STREAM,
        event_type=WITHDRAWN,
    )
    made.signed_at.seconds, made.signed_at.nanos = 1_583_316_600, 123_456_789
    return made


def test_a_stored_event_becomes_what_the_domain_sees() -> None:
    event = sample_event(WITHDRAWN)
    logged = LoggedEvent(findings=["incident.late"], mended=["incident.criteria"])
    assert recorded_from("northmoor", STORED, header(), logged, event) == Recorded(
        shard="northmoor",
        stream=STREAM,
        position=7,
        version=3,
        event_id=b"e" * 16,
        event_type=WITHDRAWN,
        agency_id="la-E09999901",
        actor_role="Head of service",
        purpose=Purpose.RAPID_REVIEW,
        lawful_basis=LawfulBasis.LEGAL_OBLIGATION,
        marking=Marking.RESTRICTED,
        imported=True,
        signed_at=datetime(2020, 3, 4, 10, 10, 0, 123456, tzinfo=UTC),
        recorded_at=datetime(2020, 3, 4, 10, 11, 12, 345000, tzinfo=UTC),
        findings=("incident.late",),
        mended=("incident.criteria",),
        event=event,
    )


def test_an_event_whose_body_is_gone_keeps_all_else() -> None:
    recorded = recorded_from("northmoor", STORED, header(), LoggedEvent(), None)
    assert (recorded.event, recorded.position, recorded.event_type) == (None, 7, WITHDRAWN)


def test_a_header_that_says_no_purpose_is_a_matter_of_integrity() -> None:
    made = header()
    made.purpose = 0
    with pytest.raises(IntegrityError, match="northmoor/7"):
        recorded_from("northmoor", STORED, made, LoggedEvent(), None)


def test_a_class_that_would_check_itself_when_made_is_not_read_past_its_check() -> None:
    class Checked:
        def __post_init__(self) -> None: ...

    with pytest.raises(TypeError, match="Checked"):
        reader(EventHeader.DESCRIPTOR, Checked)
