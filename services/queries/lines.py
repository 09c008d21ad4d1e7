"""A line of a chronology as the contract has it, with what proves it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final

from domain.areas import RULES
from domain.calendar import add_months
from domain.kernel.events import When
from domain.kernel.ids import RuleId
from domain.local_review.rules import Prerequisite
from projections.chronology.projection import Kind
from projections.chronology.shape import Gap, patterns
from projections.chronology.story import Line
from safeguarding.hub.v1 import chronology_pb2 as pb
from safeguarding.hub.v1.append_pb2 import FindingNote
from safeguarding.hub.v1.common_pb2 import Marking as WireMarking
from safeguarding.hub.v1.common_pb2 import Precision as WirePrecision
from safeguarding.hub.v1.common_pb2 import When as WireWhen
from services.queries.asking import stamp
from services.queries.proof import Proof, Proofs
from services.runtime.limits import NOTES_MAX_SHOWN

SHARED: Final = "Information shared"
_LOOK_UP_LINES: Final = 50


class Writer:
    """Writes lines of one answer; the whole redacted story says which of them repeat."""

    def __init__(self, story: Iterable[Line], proofs: Proofs) -> None:
        """``proofs`` tells the state of signatures."""
        self._proofs = proofs
        self._repeats = frozenset((pattern.agency_id, *place) for pattern in patterns(story) for place in pattern.places)

    def lines(self, lines: Sequence[Line]) -> Iterator[pb.ChronologyLine]:
        """Yield lines of one case as messages, looking their proofs up as they are wanted."""
        for start in range(0, len(lines), _LOOK_UP_LINES):
            some = lines[start : start + _LOOK_UP_LINES]
            proofs = self._proofs.of(some[0].shard, (position for line in some for position in _positions(line)))
            for line in some:
                yield self._line(line, proofs)

    def _line(self, line: Line, proofs: Mapping[int, Proof]) -> pb.ChronologyLine:
        proof = proofs[line.position]
        shown = pb.ChronologyLine(
            position=line.position,
            event_id=line.event_id,
            event_type=line.event_type,
            stream=line.stream,
            version=line.version,
            agency_id=line.agency_id,
            occurred=_when(line.when),
            recorded_at=stamp(line.recorded_at),
            known_at=stamp(line.known_at),
            headline=line.headline,
            marks=self._marks(line),
            redactions=[] if line.withheld is None else [line.withheld],
            marking=WireMarking.Value(f"MARKING_{line.handling.marking.name}"),
            children=line.children,
            disputes=_notes(line, Kind.DISPUTE),
            questions=_notes(line, Kind.QUERY),
            findings=[
                f"{one.rule}: open" if one.mended_at_position is None else f"{one.rule}: mended at {one.mended_at_position}"
                for one in line.findings
            ],
            correction_reason=line.correction_reason or "",
            key_id=proof.key_id,
            signature_state=proof.signature_state,
            leaf=proof.leaf,
        )
        if line.replaced_by_position is not None:
            shown.corrected_by = proofs[line.replaced_by_position].event_id
        if line.replaces_position is not None:
            shown.corrects = proofs[line.replaces_position].event_id
        account = line.account
        if account is not None:
            shown.entry_id, shown.headline, shown.fact = account.entry_id, SHARED, account.fact
            shown.why_significant, shown.impact_on_child = account.why_significant or "", account.impact_on_child or ""
            shown.childs_voice, shown.outcome = account.childs_voice or "", account.outcome or ""
        return shown

    def _marks(self, line: Line) -> list[str]:
        account = line.account
        marks = [
            ("significant", line.significant),
            ("opinion", account is not None and account.opinion),
            ("third party", account is not None and account.third_party),
            ("recorded late", line.late),
            ("imported", line.imported),
            ("corrected", line.replaced_by_position is not None),
            ("correction", line.replaces_position is not None),
            ("disputed", bool(_standing_notes(line, Kind.DISPUTE))),
            ("repeat", (line.agency_id, line.position, line.ordinal) in self._repeats),
            ("redacted", line.withheld is not None),
            ("body destroyed", line.kind is Kind.DESTROYED),
        ]
        return [*([] if account is None else [account.tone.value]), *(name for name, holds in marks if holds)]


def _positions(line: Line) -> list[int]:
    """Return the positions of the events that a line names."""
    named = (line.position, line.replaced_by_position, line.replaces_position)
    return [position for position in named if position is not None]


def gap(found: Gap) -> pb.ChronologyGap:
    """Return months without contact as a message: their first and their last day."""
    behind = add_months(found.last_month, 1)
    return pb.ChronologyGap(from_on=found.first_month.isoformat(), until_on=behind.fromordinal(behind.toordinal() - 1).isoformat())


def open_findings(lines: Sequence[Line]) -> list[FindingNote]:
    """Return the rules that some line breaks and nothing has mended."""
    rules = {one.rule for line in lines for one in line.findings if one.mended_at_position is None}
    known = [RULES[RuleId(rule)] for rule in sorted(rules) if RuleId(rule) in RULES]
    return [FindingNote(rule=rule.id, words=rule.words, mend=rule.mend) for rule in known]


def prerequisite(found: Prerequisite, planned_on: date | None) -> pb.OpenPrerequisite:
    """Return what stands before a publication as a message; ``planned_on`` is None if nobody can tell the day any more."""
    on = "" if planned_on is None else planned_on.isoformat()
    return pb.OpenPrerequisite(rule=found.rule.id, words=found.words, mend=found.mend, planned_on=on)


def _standing_notes(line: Line, kind: Kind) -> list[str]:
    """Return the notes of a kind that were not themselves corrected, with who made them."""
    return [f"{note.agency_id}: {note.text}" for note in line.notes if note.kind is kind and not note.superseded]


def _notes(line: Line, kind: Kind) -> list[str]:
    """Return the newest notes of a kind, and how many others there are."""
    standing = _standing_notes(line, kind)
    more = len(standing) - NOTES_MAX_SHOWN
    return [f"{more} earlier ones", *standing[-NOTES_MAX_SHOWN:]] if more > 0 else standing


def _when(when: When) -> WireWhen:
    wire = WireWhen(precision=WirePrecision.Value(f"PRECISION_{when.precision.name}"), at=None if when.at is None else stamp(when.at))
    for name, day in (("on", when.on), ("until_on", when.until_on)):
        if day is not None:
            field = getattr(wire, name)
            field.year, field.month, field.day = day.year, day.month, day.day
    return wire
