"""One case's story, composed from its facts by pure functions: as happened or as known, at any moment, nothing left out.

What may be shown to whom is decided afterwards (``redaction.py``): a story holds everything and is never shown as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from domain.calendar.counting import working_days_between
from domain.calendar.days import Calendar
from domain.kernel.events import LONDON, Marking, Precision, When, london_day
from domain.sharing.events import Caveat, Significance, Tone
from projections.chronology.access import Restriction, narrowest
from projections.chronology.projection import Kind, when_of

_SURELY_LATE_DAYS: Final = 10
"""No run of weekends and bank holidays is this long."""
_COARSE_FIRST: Final = {precision: rank for rank, precision in enumerate(reversed(Precision))}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Order(StrEnum):
    """How lines are ordered."""

    AS_HAPPENED = "as_happened"
    AS_KNOWN = "as_known"


class Place(NamedTuple):
    """A line's place in an order: the same as long as the line is there, whatever is said or restricted meanwhile."""

    unix_microseconds: int
    coarseness: int
    position: int
    ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One row of the fact table."""

    shard: str
    position: int
    ordinal: int
    case_id: str
    stream: str
    version: int
    event_id: bytes
    event_type: str
    agency_id: str
    marking: Marking
    imported: bool
    recorded_at: datetime
    asserted_at: datetime
    known_at: datetime
    corrects: bytes | None
    findings: tuple[str, ...]
    mended: tuple[str, ...]
    kind: Kind
    entry_id: str | None
    content: Mapping[str, Any]

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in its shard."""
        return self.position, self.ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What an entry says."""

    entry_id: str
    reference: str
    fact: str
    why_significant: str | None
    impact_on_child: str | None
    childs_voice: str | None
    outcome: str | None
    opinion: bool
    third_party: bool
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFinding:
    """A rule that the line's event broke, and the position of the event that mended it; None while it is open."""

    rule: str
    mended_at_position: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A dispute of an entry or a query about it, shown with the line; ``superseded`` once its author corrected it."""

    kind: Kind
    agency_id: str
    marking: Marking
    position: int
    recorded_at: datetime
    text: str
    superseded: bool
    findings: tuple[ShownFinding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """Who may read a line, judged by everything said of it to this day."""

    marking: Marking
    caveats: frozenset[Caveat] = frozenset()
    third_party: bool = False
    named: frozenset[str] | None = None
    """The only agencies that may read it, its author among them; None: not restricted by itself."""
    trusted: frozenset[str] = frozenset()
    """Agencies that a restriction of it, or of its whole case, names."""
    sent_to: str | None = None
    """The agency that it answers, or that a request is put to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a chronology."""

    shard: str
    case_id: str
    position: int
    ordinal: int
    stream: str
    version: int
    event_id: bytes
    event_type: str
    agency_id: str
    """The source: the agency whose event it is."""
    kind: Kind
    """ENTRY, MILESTONE, or DESTROYED: that it was, when and of what type is all that remains."""
    when: When
    recorded_at: datetime
    known_at: datetime
    imported: bool
    late: bool
    """Live, and done more than one working day before it was recorded."""
    headline: str
    """A milestone's words; empty for an entry, whose ``account`` speaks."""
    account: Account | None
    significant: bool
    children: tuple[str, ...]
    replaces_position: int | None
    """The event that this line corrects."""
    replaced_by_position: int | None
    """The event that corrected this line: the former wording stays, marked."""
    correction_reason: str | None
    notes: tuple[Note, ...]
    findings: tuple[ShownFinding, ...]
    handling: Handling
    withheld: str | None = None
    """Why nothing but its existence is shown."""

    def place_in(self, order: Order) -> Place:
        """Return its place: by when it happened (of moments that begin together the coarser first) or by when it was known."""
        if order is Order.AS_KNOWN:
            return Place(_microseconds(self.known_at), 0, self.position, self.ordinal)
        start = self.when.at or datetime.combine(self.when.day, time(), LONDON)
        return Place(_microseconds(start), _COARSE_FIRST[self.when.precision], self.position, self.ordinal)

    @property
    def touched_position(self) -> int:
        """The last position that said anything about it: the line itself, its correction, a note on it, the mending of a finding."""
        findings = [*self.findings, *(finding for note in self.notes for finding in note.findings)]
        return max(
            self.position,
            self.replaced_by_position or 0,
            *(note.position for note in self.notes),
            *(finding.mended_at_position or 0 for finding in findings),
        )


def compose(
    facts: Sequence[Fact],
    restrictions: Sequence[Restriction],
    *,
    order: Order,
    known_at: datetime | None,
    calendar: Calendar,
) -> tuple[Line, ...]:
    """Return a case's lines in order, from all its facts by position.

    ``known_at``: only what was known by then, as it then stood; None: everything. Handling is judged by all facts in either case,
    so that a later restriction also covers the past. ``calendar``: tells which arrivals were late.
    """
    chains = _Chains(facts, restrictions)
    known = [fact for fact in facts if known_at is None or fact.known_at <= known_at]
    marks = _Marks(known, chains)
    lines = [_line(fact, chains, marks, calendar) for fact in known if fact.kind not in (Kind.DISPUTE, Kind.QUERY)]
    return tuple(sorted(lines, key=lambda line: line.place_in(order)))


class _Chains:
    """Which entries are wordings of one thing, and how that thing is to be handled, by everything said to this day."""

    def __init__(self, facts: Sequence[Fact], restrictions: Sequence[Restriction]) -> None:
        """Follow every correction."""
        self._root: dict[str, str] = {}
        self._wordings: dict[str, list[Fact]] = {}
        self._restrictions = restrictions
        self._requester = {
            fact.content["request_id"]: fact.agency_id for fact in facts if fact.event_type == "information.requested.v1" and fact.content
        }
        for fact in facts:
            if fact.kind in (Kind.ENTRY, Kind.CORRECTION):
                root = self.root(fact.entry_id or "")
                self._root.setdefault(str(fact.content["entry_id"]), root)
                self._wordings.setdefault(root, []).append(fact)

    def root(self, entry_id: str) -> str:
        """Return the id under which an entry was first told."""
        return self._root.get(entry_id, entry_id)

    def handling(self, fact: Fact) -> Handling:
        """Return how a line is to be handled: as strictly as any wording of its entry and any restriction of it ever said."""
        entry_id = fact.entry_id or fact.content.get("entry_id")
        sent_to = fact.content.get("recipient") or self._requester.get(fact.content.get("request_id"))
        if entry_id is None:
            return Handling(marking=fact.marking, sent_to=sent_to)
        root = self.root(str(entry_id))
        wordings = self._wordings.get(root, [])
        own = [one for one in self._restrictions if one.entry_id is not None and self.root(one.entry_id) == root]
        case = [one for one in self._restrictions if one.entry_id is None]
        said = [Caveat(code) for wording in wordings for code in wording.content["caveats"]]
        markings = [marking for wording in wordings for marking in (wording.marking, Marking(wording.content["marking"]))]
        named = narrowest(own)
        return Handling(
            marking=_highest([fact.marking, *markings, *(one.marking for one in own)]),
            caveats=frozenset([*said, *(caveat for one in (*own, *case) for caveat in one.caveats)]),
            third_party=any(wording.content["third_party"] for wording in wordings),
            named=None if named is None else named | {wording.agency_id for wording in wordings},
            trusted=(named or frozenset()) | (narrowest(case) or frozenset()),
            sent_to=sent_to or next((self._requester.get(one.content["request_id"]) for one in wordings), None),
        )


class _Marks:
    """What later events make of earlier ones: corrections, disputes, queries, mended findings."""

    def __init__(self, known: Sequence[Fact], chains: _Chains) -> None:
        """Go through what was known, once, in the order of the log."""
        self._chains = chains
        self._event_replaced_by: dict[bytes, int] = {}
        self._replaced_by: dict[tuple[int, int], int] = {}
        self._replaces: dict[tuple[int, int], int] = {}
        self._notes: dict[tuple[int, int], list[Fact]] = {}
        self._mended: dict[tuple[str, str], list[int]] = {}
        self._event_replaces: dict[bytes, int] = {}
        self._in_force: dict[bytes, Fact] = {}
        self._first: dict[bytes, bytes] = {}
        current: dict[str, Fact] = {}
        for fact in known:
            for rule in fact.mended:
                self._mended.setdefault((fact.stream, rule), []).append(fact.position)
            if fact.ordinal == 0:
                self._take_event(fact)
            self._take_wording(fact, current)

    def _take_event(self, fact: Fact) -> None:
        """Note which event a correction takes the place of: the one in force of the chain that it points into."""
        first = fact.event_id if fact.corrects is None else self._first.get(fact.corrects, fact.corrects)
        self._first[fact.event_id] = first
        former = self._in_force.get(first)
        if former is not None:
            self._event_replaced_by[former.event_id] = fact.position
            self._event_replaces[fact.event_id] = former.position
        self._in_force[first] = fact

    def _take_wording(self, fact: Fact, current: dict[str, Fact]) -> None:
        """Note what a fact does to entries; ``current``: the wording in force of each."""
        root = self._chains.root(fact.entry_id or "")
        former = current.get(root)
        if fact.kind is Kind.CORRECTION and former is not None:
            self._replaced_by[former.place] = fact.position
            self._replaces[fact.place] = former.position
        if fact.kind in (Kind.ENTRY, Kind.CORRECTION):
            current[root] = fact
        if fact.kind in (Kind.DISPUTE, Kind.QUERY) and former is not None:
            self._notes.setdefault(former.place, []).append(fact)

    def replaced_by(self, fact: Fact) -> int | None:
        """Return the position of the event that corrected this."""
        return self._event_replaced_by.get(fact.event_id, self._replaced_by.get(fact.place))

    def replaces(self, fact: Fact) -> int | None:
        """Return the position of the event that this corrects."""
        return self._event_replaces.get(fact.event_id, self._replaces.get(fact.place))

    def notes(self, fact: Fact) -> tuple[Note, ...]:
        """Return the disputes and queries of a wording."""
        return tuple(
            Note(
                kind=note.kind,
                agency_id=note.agency_id,
                marking=note.marking,
                position=note.position,
                recorded_at=note.recorded_at,
                text=str(note.content["text"]),
                superseded=note.event_id in self._event_replaced_by,
                findings=self.findings(note),
            )
            for note in self._notes.get(fact.place, [])
        )

    def findings(self, fact: Fact) -> tuple[ShownFinding, ...]:
        """Return an event's findings, each open or mended by the first later event of its stream that did."""
        return tuple(
            ShownFinding(
                rule=rule,
                mended_at_position=next((at for at in self._mended.get((fact.stream, rule), []) if at > fact.position), None),
            )
            for rule in fact.findings
        )


def _line(fact: Fact, chains: _Chains, marks: _Marks, calendar: Calendar) -> Line:
    """Compose one line."""
    account = _account(fact) if fact.kind in (Kind.ENTRY, Kind.CORRECTION) else None
    moment = fact.content.get("when")
    return Line(
        shard=fact.shard,
        case_id=fact.case_id,
        position=fact.position,
        ordinal=fact.ordinal,
        stream=fact.stream,
        version=fact.version,
        event_id=fact.event_id,
        event_type=fact.event_type,
        agency_id=fact.agency_id,
        kind=Kind.ENTRY if account is not None else fact.kind,
        when=When(precision=Precision.INSTANT, at=fact.asserted_at) if moment is None else when_of(moment),
        recorded_at=fact.recorded_at,
        known_at=fact.known_at,
        imported=fact.imported,
        late=is_late(fact, calendar),
        headline=str(fact.content.get("headline", "")),
        account=account,
        significant=_is_significant(fact),
        children=tuple(fact.content.get("children", ())),
        replaces_position=marks.replaces(fact),
        replaced_by_position=marks.replaced_by(fact),
        correction_reason=fact.content.get("reason"),
        notes=marks.notes(fact),
        findings=marks.findings(fact),
        handling=chains.handling(fact),
    )


def _account(fact: Fact) -> Account:
    """Return what an entry or its correction says."""
    content = fact.content
    return Account(
        entry_id=content["entry_id"],
        reference=content["reference"],
        fact=content["fact"],
        why_significant=content["why"],
        impact_on_child=content["impact"],
        childs_voice=content["voice"],
        outcome=content["outcome"],
        opinion=content["opinion"],
        third_party=content["third_party"],
        tone=Tone(content["tone"]),
    )


def _is_significant(fact: Fact) -> bool:
    """Tell whether a line is shown first: as its author or its type says; what is gone and what broke a rule always."""
    if fact.findings or fact.kind is Kind.DESTROYED:
        return True
    if fact.kind in (Kind.ENTRY, Kind.CORRECTION):
        return bool(fact.content["significance"] == Significance.SIGNIFICANT)
    return bool(fact.content["significant"])


def is_late(fact: Fact, calendar: Calendar) -> bool:
    """Tell whether a live event was done more than one working day before it was recorded.

    Where the calendar does not know the days, only what no bank holidays could explain is called late.
    """
    if fact.imported:
        return False
    done_on, recorded_on = london_day(fact.asserted_at), london_day(fact.recorded_at)
    if (recorded_on - done_on).days > _SURELY_LATE_DAYS:
        return True
    if not (calendar.covers(done_on) and calendar.covers(recorded_on)):
        return False
    return working_days_between(done_on, recorded_on, calendar) > 1


def _highest(markings: Sequence[Marking]) -> Marking:
    """Return the highest marking."""
    return max(markings, key=list(Marking).index)


def _microseconds(instant: datetime) -> int:
    """Return an aware instant as microseconds since 1970."""
    return (instant - _EPOCH) // timedelta(microseconds=1)
