"""What should not have happened in a local review but did, what mends it, and what still stands before a planned publication."""

from __future__ import annotations

from datetime import date
from typing import Final

from domain.calendar.bundled import bundled
from domain.calendar.counting import add_working_days
from domain.calendar.days import OutsideCalendar
from domain.incident.state import Incident, incident_in, live_restrictions
from domain.kernel.decider import Context
from domain.kernel.facts import Fact, Facts
from domain.kernel.ids import identity_of
from domain.kernel.rules import Rule
from domain.local_review import rules
from domain.local_review.events import (
    AnonymisationApproved,
    CopyKind,
    CopyProvided,
    CopyRecipient,
    DraftRequestedInWriting,
    FamilyViewsReceived,
    ImprovementsOnlyPublished,
    LocalReviewDrafted,
    LocalReviewPublished,
    LocalReviewUnpublished,
    MethodAgreed,
    PractitionersInvolved,
    PublicationScheduled,
    ReportCompleted,
    ReviewerAppointed,
    ReviewerRemoved,
    TermsOfReferenceAgreed,
)
from domain.local_review.kinds import LocalReviewEvent
from domain.local_review.state import (
    LocalReview,
    conflicted_reviewers,
    facts_of,
    is_anonymised,
    is_report_complete,
    planned,
    planned_on,
    plans_improvements_only,
)

COPIES_BEFORE_WORKING_DAYS: Final = 7
"""Working Together 2018 ch. 4: no later than seven working days before the date of publication (clock K11)."""

_ANY_KIND: Final = frozenset(CopyKind)
_FULL_REPORT: Final = frozenset({CopyKind.FULL_REPORT})
_KINDS_DUE: Final = {
    CopyRecipient.PANEL: _FULL_REPORT,
    CopyRecipient.SECRETARY_OF_STATE: _FULL_REPORT,
    CopyRecipient.OFSTED: _ANY_KIND,
}
"""What each must have before a report is published; before information about improvements is, either will do for all."""

_PUBLISHED: Final = (LocalReviewPublished, ImprovementsOnlyPublished)
_COPY_RULES: Final = frozenset({rules.COPIES_MISSING, rules.COPIES_LATE})
_PUBLICATION_RULES: Final = _COPY_RULES | {rules.NOT_ANONYMISED, rules.LIVE_PROCEEDING}


def open_prerequisites(state: LocalReview, incident: Incident) -> tuple[rules.Prerequisite, ...]:
    """Return what still stands before a publication that is planned, in a fixed order; nothing where none is planned.

    It is what a publication on the planned day would be refused or found to break if nothing more were said. Of bodies that are gone
    nobody can tell what they said: a copy that went is missing then, as it would be found.
    """
    facts = facts_of(state)
    if planned(facts) is None:
        return ()
    broken = (
        *(() if is_report_complete(facts) else (rules.NEEDS_REPORT,)),
        *((rules.CONFLICTED_REVIEWER,) if conflicted_reviewers(facts) else ()),
        *_publication_broken(facts, incident, planned_on(facts), improvements_only=plans_improvements_only(facts)),
    )
    return tuple(rules.PREREQUISITES[rule] for rule in broken)


def broken_by(state: LocalReview, event: LocalReviewEvent, context: Context) -> tuple[Rule, ...]:
    """Return the rules that this event breaks, though it is true."""
    facts = facts_of(state)
    conflicted = (rules.CONFLICTED_REVIEWER,) if conflicted_reviewers(facts) else ()
    match event:
        case (
            TermsOfReferenceAgreed()
            | MethodAgreed()
            | FamilyViewsReceived()
            | PractitionersInvolved()
            | DraftRequestedInWriting()
            | PublicationScheduled()
        ):
            found = conflicted
        case LocalReviewDrafted() | ReportCompleted():
            found = (*conflicted, *(() if facts.has(ReviewerAppointed) else (rules.NO_REVIEWER,)))
        case LocalReviewPublished() | ImprovementsOnlyPublished():
            found = (*conflicted, *_published(facts, event, context))
        case _:
            found = ()
    return found


def mended_by(after: Facts, event: LocalReviewEvent) -> frozenset[Rule]:
    """Return the rules of which this event mends a breach unless it was found to break them itself; ``after`` holds the event."""
    match event:
        case ReviewerAppointed():
            mended = frozenset({rules.NO_REVIEWER})
        case ReviewerRemoved():
            mended = frozenset() if conflicted_reviewers(after) else frozenset({rules.CONFLICTED_REVIEWER})
        case AnonymisationApproved():
            mended = frozenset({rules.NOT_ANONYMISED}) if is_anonymised(after) else frozenset()
        case CopyProvided():
            mended = _COPY_RULES - set(_copies_broken_now(after))
        case LocalReviewPublished() | ImprovementsOnlyPublished():
            mended = frozenset() if after.has_newer_than(event, *_PUBLISHED) else _PUBLICATION_RULES
        case LocalReviewUnpublished():
            out_of_view = not after.since(LocalReviewUnpublished).has(*_PUBLISHED)
            mended = frozenset({rules.NOT_ANONYMISED, rules.LIVE_PROCEEDING}) if out_of_view else frozenset()
        case _:
            mended = frozenset()
    return mended


def _published(facts: Facts, event: LocalReviewPublished | ImprovementsOnlyPublished, context: Context) -> tuple[Rule, ...]:
    """Judge a publication; a correction of one that another followed leaves what was found of the newest as it is."""
    if facts.has_newer_than(event, *_PUBLISHED):
        return ()
    incident = incident_in(context.others, identity_of(context.stream))
    only = isinstance(event, ImprovementsOnlyPublished)
    return _publication_broken(facts, incident, facts.scoring_day(event, context), improvements_only=only)


def _publication_broken(facts: Facts, incident: Incident, day: date | None, *, improvements_only: bool) -> tuple[Rule, ...]:
    return (
        *(() if is_anonymised(facts) else (rules.NOT_ANONYMISED,)),
        *_copies_broken(facts, day, improvements_only=improvements_only),
        *((rules.LIVE_PROCEEDING,) if live_restrictions(incident) else ()),
    )


def _copies_broken_now(after: Facts) -> tuple[Rule, ...]:
    """Judge the copies of what was published last."""
    published = after.last(*_PUBLISHED)
    if published is None:
        return ()
    only = published.event_type == ImprovementsOnlyPublished.EVENT_TYPE
    return _copies_broken(after, published.scored_on, improvements_only=only)


def _copies_broken(facts: Facts, day: date | None, *, improvements_only: bool) -> tuple[Rule, ...]:
    """Judge the copies for a publication on ``day``, the bundled calendar's working days counting; a day outside it is not judged."""
    copies = [_first_copy(facts, recipient, _ANY_KIND if improvements_only else kinds) for recipient, kinds in _KINDS_DUE.items()]
    try:
        latest = None if day is None else add_working_days(day, -COPIES_BEFORE_WORKING_DAYS, bundled())
    except OutsideCalendar:
        latest = None
    late = latest is not None and any(copy is not None and copy.scored_on > latest for copy in copies)
    return (*((rules.COPIES_MISSING,) if None in copies else ()), *((rules.COPIES_LATE,) if late else ()))


def _first_copy(facts: Facts, recipient: CopyRecipient, kinds: frozenset[CopyKind]) -> Fact | None:
    """Return the earliest copy of one of these kinds that the recipient had."""
    had = [
        fact
        for fact in facts.of(CopyProvided)
        if fact.gist is not None and fact.gist.thing == recipient and CopyKind(fact.values[0]) in kinds
    ]
    return min(had, key=lambda fact: fact.scored_on, default=None)
