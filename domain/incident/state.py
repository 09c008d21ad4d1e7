"""What is known of an incident: a union in which illegal states cannot be written, and the questions other areas ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import reduce
from typing import Any, assert_never

from domain.incident.codes import CloseReason, CriteriaOutcome, Limb, NotificationType, PlaceKind, ProceedingKind, Recipient
from domain.incident.events import Child
from domain.kernel.copies import replace
from domain.kernel.corrections import NOTHING_SAID, SaidSoFar, placed
from domain.kernel.events import When
from domain.kernel.ids import AgencyId, CaseId, ChildId, EventId, RequestId, Stream, stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral:
    """One agency's referral."""

    confirmed: bool = False
    children: tuple[ChildId, ...] = ()
    made_on: date | None = None
    """The London day on which the agency says it referred; None if that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One judgement of the notification criteria."""

    agency_id: AgencyId
    outcome: CriteriaOutcome
    limb: Limb | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proceeding:
    """Something that runs beside the review."""

    kind: ProceedingKind
    said: Mapping[EventId, bool]
    """Whether it restrains publication, by the events that said so, in their order; never empty."""
    live: bool = True

    @property
    def restricts_publication(self) -> bool:
        """What was last said about publication; an ended proceeding says nothing any more (ask ``live`` too)."""
        return list(self.said.values())[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A looked-after child's or care leaver's death, and who was told of it."""

    child_id: ChildId
    care_leaver: bool
    died_on: When
    told: frozenset[Recipient]
    told_on: date
    """The London day on which the council says it told them."""
    recorded_on: date
    """The London day on which that was first recorded: of a live notice it was told no later, whatever is said of it since."""
    imported: bool
    """Whether it was first said as imported history: no live correction moves that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Informed:
    """A council told others of the incident."""

    council: AgencyId
    told: frozenset[AgencyId]
    partners: bool
    """Whether as its safeguarding partners; else as the other council concerned."""
    told_on: date
    """The London day on which that counts; a correction leaves it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """A delay of publication was explained: to which day, and to whom."""

    expected_on: date
    told: frozenset[Recipient]
    at: datetime
    """The instant that counts; a correction leaves it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a case knows at every stage."""

    said: SaidSoFar = field(default_factory=lambda: NOTHING_SAID)
    referrals: Mapping[AgencyId, Referral] = field(default_factory=dict)
    awareness: Mapping[AgencyId, datetime] = field(default_factory=dict)
    """When each agency came to know or suspect, as it recorded apart from a notification."""
    judgements: Mapping[EventId, Judgement] = field(default_factory=dict)
    """By the event that made the judgement, in order; a correction replaces in place."""
    informed: Mapping[EventId, Informed] = field(default_factory=dict)
    are_partners_untold: bool = False
    """Whether the last event that told anybody left a safeguarding partner untold, as it was judged when it was recorded."""
    deaths: Mapping[EventId, Death] = field(default_factory=dict)
    publication_delays: Mapping[EventId, Delay] = field(default_factory=dict)
    """By the event that explained a delay of publication (clock K10); a correction takes its place."""
    proceedings: Mapping[RequestId, Proceeding] = field(default_factory=dict)
    duplicates: Mapping[EventId, CaseId] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What the notification says at one time. ``limb``: the one it was judged to meet when it was made, if any."""

    notification_type: NotificationType
    incident_on: When
    place: PlaceKind
    incident_authority: AgencyId
    residence_authority: AgencyId
    children: Mapping[ChildId, Child]
    done_on: date
    """The London day on which the council says it notified."""
    knew_by: date
    """The last London day on which it can have come to know. What was notified live counts when recorded: a day mistyped in it, which
    nothing amends, holds up no awareness."""
    aware_at: datetime | None = None
    """Since when the council says here that it knew or suspected."""
    care_leaver_only: bool = False
    limb: Limb | None = None

    @property
    def owing_council(self) -> AgencyId:
        """The council that owes it: s16C(1)(a) that of the area; (b) outside England, the one where the child normally lives."""
        by_place = self.limb is None and self.place is PlaceKind.ABROAD
        outside = by_place or self.limb is Limb.RESIDENT_OUTSIDE_ENGLAND
        return self.residence_authority if outside else self.incident_authority

    def changed(self, change: Change) -> Notification:
        """Return the notification with what ``change`` says in place of what was said."""
        return replace(
            self,
            notification_type=change.notification_type or self.notification_type,
            incident_on=change.incident_on or self.incident_on,
            place=change.place or self.place,
            incident_authority=change.incident_authority or self.incident_authority,
            residence_authority=change.residence_authority or self.residence_authority,
            children=by_id([*{**self.children, **{child.child_id: child for child in change.children}}.values()]),
            done_on=change.done_on or self.done_on,
            knew_by=change.done_on or self.knew_by,
            aware_at=change.aware_at or self.aware_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one event says of the notification anew: an amendment, a reclassification, a further child; None where it says nothing."""

    notification_type: NotificationType | None = None
    incident_on: When | None = None
    place: PlaceKind | None = None
    incident_authority: AgencyId | None = None
    residence_authority: AgencyId | None = None
    children: tuple[Child, ...] = ()
    done_on: date | None = None
    aware_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nothing was said of this case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Referred:
    """The case is known here: by a referral, an agency's awareness, or the death of a looked-after child or care leaver."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """A council judged the notification criteria."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Notified:
    """A council notified the Panel."""

    facts: Facts
    by: AgencyId
    imported: bool
    first: Notification | None
    """What was notified; None when its body can no longer be read."""
    changes: Mapping[EventId, Change] = field(default_factory=dict)
    """What was said of it since, by the event that said so, in order; a correction replaces in place."""

    @property
    def notification(self) -> Notification | None:
        """What the notification says by now; None when its body can no longer be read."""
        return None if self.first is None else reduce(Notification.changed, self.changes.values(), self.first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """The notification was withdrawn: the criteria were not met."""

    facts: Facts
    notified: Notified
    """The notification as it stood; its facts are those of that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Nothing more is owed. ``reason`` is None when its body can no longer be read."""

    facts: Facts
    was: Referred | Assessed | Notified | Withdrawn
    """The stage the case was closed at; its facts are those of that moment."""
    reason: CloseReason | None


Incident = Unknown | Referred | Assessed | Notified | Withdrawn | Closed


def by_id(children: Iterable[Child]) -> Mapping[ChildId, Child]:
    """Return the children by id; the only child of an incident is its index child, whether or not it says so."""
    named = {child.child_id: child for child in children}
    return {identity: replace(child, index_child=True) for identity, child in named.items()} if len(named) == 1 else named


def incident_stream(case_id: str) -> Stream:
    """Name the incident stream of a case."""
    return stream("incident", case_id)


def incident_in(others: Mapping[Stream, Any], case_id: str) -> Incident:
    """Return the case's incident among the states that were read; Unknown if it was not."""
    found = others.get(incident_stream(case_id))
    return found if isinstance(found, (Referred, Assessed, Notified, Withdrawn, Closed)) else Unknown()


def facts_of(state: Incident) -> Facts:
    """Return what the case knows; empty facts for an unknown case."""
    return Facts() if isinstance(state, Unknown) else state.facts


def with_facts(state: Incident, facts: Facts) -> Incident:
    """Return the same stage with other facts; an unknown case becomes a referred one."""
    return Referred(facts=facts) if isinstance(state, Unknown) else replace(state, facts=facts)


def with_change(state: Incident, root: EventId, change: Change) -> Incident:
    """Return the same stage with a change of the notification in its place; a case never notified stays as it is."""
    part = notified_part(state)
    if part is None:
        return state
    notified = replace(part, changes=placed(facts_of(state).said, part.changes, root, change))
    match state:
        case Notified():
            return notified
        case Withdrawn():
            return replace(state, notified=notified)
        case Closed(was=Withdrawn() as was):
            return replace(state, was=replace(was, notified=notified))
        case Closed():
            return replace(state, was=notified)
        case Unknown() | Referred() | Assessed():
            return state
        case _:
            assert_never(state)


def notified_part(state: Incident) -> Notified | None:
    """Return the notification's stage, also of a case since withdrawn or closed; None if the Panel was never notified."""
    match state:
        case Notified():
            return state
        case Withdrawn():
            return state.notified
        case Closed():
            return notified_part(state.was)
        case Unknown() | Referred() | Assessed():
            return None
        case _:
            assert_never(state)


def notification_of(state: Incident) -> Notification | None:
    """Return what the notification says by now; None if there is none or its body is gone."""
    part = notified_part(state)
    return None if part is None else part.notification


def awareness_of(state: Incident) -> Mapping[AgencyId, datetime]:
    """Return when each agency came to know or suspect: as it recorded apart, or else as its notification says by now."""
    part, notification = notified_part(state), notification_of(state)
    aware_at = None if notification is None else notification.aware_at
    said = {} if part is None or aware_at is None else {part.by: aware_at}
    return {**said, **facts_of(state).awareness}


def is_notified_elsewhere(state: Incident) -> bool:
    """Tell whether a standing notification says by now that another council owed it, one that was not told of the incident."""
    part = notified_part(state)
    if part is None or part.notification is None or not is_notified(state):
        return False
    owing = part.notification.owing_council
    return owing != part.by and not any(owing in informed.told for informed in facts_of(state).informed.values())


def is_known(state: Incident) -> bool:
    """Tell whether anything was said of the case."""
    return not isinstance(state, Unknown)


def is_notified(state: Incident) -> bool:
    """Tell whether the Panel was notified and the notification not withdrawn; closing the case does not undo it."""
    return notified_part(state) is not None and not is_withdrawn(state)


def is_withdrawn(state: Incident) -> bool:
    """Tell whether the notification was withdrawn (whether or not the case was closed then)."""
    return isinstance(state, Withdrawn) or (isinstance(state, Closed) and isinstance(state.was, Withdrawn))


def is_closed(state: Incident) -> bool:
    """Tell whether the case was closed."""
    return isinstance(state, Closed)


def live_restrictions(state: Incident) -> tuple[RequestId, ...]:
    """Return the ids of the proceedings that are live and restrain publication, in the order they were opened."""
    proceedings = facts_of(state).proceedings
    return tuple(identity for identity, proceeding in proceedings.items() if proceeding.live and proceeding.restricts_publication)


def care_leaver_only(state: Incident) -> bool:
    """Tell whether only a care leaver's death was notified: no rapid review follows (Working Together 2023)."""
    notification = notification_of(state)
    return notification is not None and notification.care_leaver_only


def notifying_council(state: Incident) -> AgencyId | None:
    """Return the council that notified the Panel; None if none did."""
    part = notified_part(state)
    return None if part is None else part.by


def known_children(state: Incident) -> frozenset[ChildId]:
    """Return the children named in a referral, the notification or the notice of a death."""
    facts = facts_of(state)
    notification = notification_of(state)
    return frozenset(
        [child for referral in facts.referrals.values() for child in referral.children]
        + [death.child_id for death in facts.deaths.values()]
        + ([] if notification is None else list(notification.children))
    )


def speakers(state: Incident) -> frozenset[AgencyId]:
    """Return the agencies that said something in this stream."""
    return frozenset(note.agency_id for note in facts_of(state).said.values())


def named_agencies(state: Incident) -> frozenset[AgencyId]:
    """Return the agencies that the case names: the councils of incident and residence, and those who were informed."""
    notification = notification_of(state)
    told = frozenset(agency for informed in facts_of(state).informed.values() for agency in informed.told)
    return told if notification is None else told | {notification.incident_authority, notification.residence_authority}


def judgement_for(facts: Facts, council: AgencyId) -> Judgement | None:
    """Return the council's own newest judgement of the criteria, or else the newest of any council; None if there is none."""
    made = list(facts.judgements.values())
    own = [judgement for judgement in made if judgement.agency_id == council]
    newest = own or made
    return newest[-1] if newest else None
