"""What is known of a local review: a union in which illegal states cannot be written, and the questions other areas ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from domain.kernel.events import Event
from domain.kernel.facts import Fact, Facts
from domain.local_review.events import (
    AnonymisationApproved,
    ConflictDeclared,
    ImprovementsOnlyPublished,
    LocalReviewDrafted,
    LocalReviewInitiated,
    LocalReviewPublished,
    LocalReviewUnpublished,
    NonPublicationJustified,
    PublicationDeclined,
    PublicationRescheduled,
    PublicationScheduled,
    ReportCompleted,
    ReviewerAppointed,
    ReviewerRemoved,
)
from domain.local_review.kinds import WORK


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """No local review was initiated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Initiated:
    """The review began and has no reviewer."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointed:
    """A reviewer is appointed."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class InProgress:
    """A reviewer is or was at work."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """A draft exists."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalReport:
    """The report is complete."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class PrePublication:
    """The report is complete and the day of its publication planned."""

    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The report is public, or if not ``report`` only information about improvements is."""

    facts: Facts
    report: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPublished:
    """Why nothing is published was justified, or a court ordered it out of public view. Publication may be planned anew."""

    facts: Facts


Begun = Initiated | Appointed | InProgress | Drafted | FinalReport | PrePublication | Published | NotPublished
LocalReview = Unknown | Begun

ENDS_PLAN: Final[tuple[type[Event], ...]] = (
    LocalReviewPublished,
    ImprovementsOnlyPublished,
    PublicationDeclined,
    NonPublicationJustified,
    LocalReviewUnpublished,
)
"""What a plan to publish ends with, carried out or not."""


def facts_of(state: LocalReview) -> Facts:
    """Return what the review says; empty facts where none was initiated."""
    return Facts() if isinstance(state, Unknown) else state.facts


def begun(facts: Facts) -> Begun:
    """Return the stage that a review with these facts has reached."""
    public = facts.since(LocalReviewUnpublished)
    if public.has(LocalReviewPublished):
        return Published(facts=facts, report=True)
    if public.has(ImprovementsOnlyPublished):
        return Published(facts=facts, report=False)
    if facts.since(PublicationScheduled).has(NonPublicationJustified, LocalReviewUnpublished):
        return NotPublished(facts=facts)
    return _before_publication(facts)


def _before_publication(facts: Facts) -> Begun:
    if facts.has(ReportCompleted):
        return FinalReport(facts=facts) if planned(facts) is None else PrePublication(facts=facts)
    if facts.has(LocalReviewDrafted):
        return Drafted(facts=facts)
    if _is_worked_on(facts):
        return InProgress(facts=facts)
    return Appointed(facts=facts) if reviewers(facts) else Initiated(facts=facts)


def _is_worked_on(facts: Facts) -> bool:
    kinds = [fact.event_type for fact in facts.standing.values()]
    appointed = ReviewerAppointed.EVENT_TYPE
    work = {kind.EVENT_TYPE for kind in WORK}
    return appointed in kinds and not work.isdisjoint(kinds[kinds.index(appointed) :])


def planned(facts: Facts) -> Fact | None:
    """Return what was scheduled, if publication is planned and has neither happened nor been declined since."""
    return facts.since(*ENDS_PLAN).last(PublicationScheduled)


def decided_on(facts: Facts) -> date | None:
    """Return the day on which it was decided to hold the review; None if it was not, or the day cannot be read."""
    initiated = facts.last(LocalReviewInitiated)
    return None if initiated is None or initiated.gist is None else date.fromisoformat(initiated.values[0])


def planned_on(facts: Facts) -> date | None:
    """Return the day publication is planned for; None if it is not planned or the day cannot be read."""
    newest = facts.since(*ENDS_PLAN).last(PublicationScheduled, PublicationRescheduled)
    return None if newest is None or newest.gist is None else date.fromisoformat(newest.values[0])


def plans_improvements_only(facts: Facts) -> bool:
    """Tell whether only information about improvements is planned to be published."""
    plan = planned(facts)
    return plan is not None and "improvements_only" in plan.values


def reviewers(facts: Facts) -> frozenset[str]:
    """Return the reviewers who were appointed and not removed since."""
    active: set[str] = set()
    for fact in facts.of(ReviewerAppointed, ReviewerRemoved):
        if fact.gist is not None and fact.event_type == ReviewerAppointed.EVENT_TYPE:
            active.add(fact.gist.thing)
        elif fact.gist is not None:
            active.discard(fact.gist.thing)
    return frozenset(active)


def conflicted_reviewers(facts: Facts) -> frozenset[str]:
    """Return the reviewers at work of whom a conflict was declared."""
    return frozenset(reviewer for reviewer in reviewers(facts) if facts.about(ConflictDeclared, reviewer))


def is_report_complete(facts: Facts) -> bool:
    """Tell whether the final report exists."""
    return facts.has(ReportCompleted)


def is_anonymised(facts: Facts) -> bool:
    """Tell whether the report as it stands was approved as anonymous: a revised report needs approval anew."""
    return facts.has(ReportCompleted) and facts.since(ReportCompleted).has(AnonymisationApproved)
