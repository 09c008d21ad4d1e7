"""What of a case's events an agency may read: whole, that they are there, or not at all; the same rule as for its chronology."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from domain.calendar import bundled
from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.ids import AgencyId, category_of
from domain.rapid_review.events import SentToPanel
from projections.chronology.access import Standing
from projections.chronology.national import goes_to_panel
from projections.chronology.queries import case_lines
from projections.chronology.redaction import Viewer, redact
from projections.chronology.story import Line, Order
from projections.chronology.visible import NO_CASE
from projections.kernel.database import Reading
from safeguarding.hub.v1 import event_log_pb2 as pb
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.codec import decode_trusted
from services.eventstore.opening import DataKeys, logged_event
from services.eventstore.port import ShardStore, Stored
from services.queries.case_access import parked_streams
from services.trust.keystore import Destroyed
from services.trust.sealing import open_sealed

DESTROYED: Final = "destroyed"
NOT_FOR_THIS_READER: Final = "not for this reader"
NOT_OF_THE_HUB: Final = "not an event of the hub"


@dataclass(frozen=True, slots=True)
class Sight:
    """What an agency may see of one case. ``seen``: positions that it may know of; ``whole``: those it may read word for word."""

    agency_id: AgencyId
    standing: Standing
    seen: frozenset[int]
    whole: frozenset[int]
    review_sent: bool = False

    def sees(self, stored: Stored) -> bool:
        """Tell whether it may know of an event of the case; who read what is the partnership's to know."""
        if category_of(stored.stream) == "access":
            return self.standing is Standing.PARTNER
        return stored.position in self.seen

    def reads(self, stored: Stored, body: bytes) -> bool:
        """Tell whether it may read an event that it sees word for word."""
        if category_of(stored.stream) == "access" or stored.position in self.whole:
            return True
        if self.standing is not Standing.PANEL:
            return False
        return goes_to_panel(decode_trusted(stored.type, body), review_sent=self.review_sent)


def sight_of(reading: Reading, shard: str, case_id: str, agency_id: AgencyId, standing: Standing) -> Sight:
    """Judge what an agency may see of a case that it may read."""
    kind = kind_of(agency_id)
    lines = case_lines(reading.connection, reading.tables, shard, case_id, order=Order.AS_KNOWN, known_at=None, calendar=bundled())
    viewer = Viewer(agency_id=agency_id, kind=kind, standing=standing)
    shown = {(line.position, line.ordinal): line for line in redact(lines, viewer, parked_streams(reading, shard, case_id))}
    seen = {line.position for line in shown.values()} | _notes(shown.values()) | _own_notes(lines, agency_id)
    narrowed = {line.position for line in lines if not _is_whole(shown.get((line.position, line.ordinal)))}
    whole = seen - narrowed
    if kind is AgencyKind.PANEL:
        whole &= {line.position for line in lines if agency_id in (line.agency_id, line.handling.sent_to)}
    sent = any(line.event_type == SentToPanel.EVENT_TYPE for line in lines)
    return Sight(agency_id, standing, frozenset(seen), frozenset(whole), sent)


def _is_whole(line: Line | None) -> bool:
    """Tell whether a line is shown with all that its event says."""
    return line is not None and line.withheld is None


def _notes(lines: Iterable[Line]) -> set[int]:
    """Return the positions of the disputes and questions that come with lines."""
    return {note.position for line in lines for note in line.notes}


def _own_notes(lines: Iterable[Line], agency_id: AgencyId) -> set[int]:
    """Return the positions of the disputes and questions that an agency raised itself."""
    return {note.position for line in lines for note in line.notes if note.agency_id == agency_id}


class Entries:
    """Writes events of one shard as entries, each as far as it may be seen."""

    def __init__(self, shard: ShardStore, keys: DataKeys) -> None:
        """``keys`` open bodies."""
        self._shard = shard
        self._keys = keys

    def entry(self, stored: Stored, sight: Sight | None) -> pb.LogEntry | None:
        """Return an event as an entry, None if it must be passed over. Without ``sight`` it is of nobody's case and open."""
        if sight is None and category_of(stored.stream) not in NO_CASE:
            return None
        if sight is not None and not sight.sees(stored):
            return None
        entry = pb.LogEntry(
            position=stored.position,
            stream=stored.stream,
            version=stored.version,
            event_id=stored.event_id,
            event_type=stored.type,
            leaf=self._shard.leaf(stored),
        )
        entry.recorded_at.FromMilliseconds(stored.recorded_at_ms)
        of_hub = logged_event(stored)
        if of_hub is None:
            entry.body_withheld = NOT_OF_THE_HUB
            return entry
        logged, header = of_hub
        entry.header = logged.header
        entry.signature.CopyFrom(logged.signature)
        entry.registry_position = logged.registry_position
        if sight is None or sight.standing is not Standing.LINKED or header.agency_id == sight.agency_id:
            entry.findings.extend(logged.findings)
            entry.mended.extend(logged.mended)
        self._add_body(entry, stored, logged, sight)
        return entry

    def _add_body(self, entry: pb.LogEntry, stored: Stored, logged: LoggedEvent, sight: Sight | None) -> None:
        """Add body and salt, or why they are not there."""
        key = self._keys.get(logged.data_key_id)
        if isinstance(key, Destroyed):
            entry.body_withheld = DESTROYED
            return
        salt, body = open_sealed(key, hashlib.sha256(logged.header).digest(), logged.nonce, logged.sealed)
        if sight is None or sight.reads(stored, body):
            entry.salt, entry.body = salt, body
        else:
            entry.body_withheld = NOT_FOR_THIS_READER
