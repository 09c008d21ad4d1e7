"""A case as the Panel sees it at the end of a count day, composed from its facts alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from domain.incident.codes import Characteristic, NotificationType
from domain.incident.events import (
    ChildAdded,
    DuplicateLinked,
    IncidentClosed,
    IncidentNotified,
    IncidentReclassified,
    NotificationAmended,
    NotificationWithdrawn,
)
from domain.kernel.events import Event, london_day
from domain.kernel.ids import AgencyId, CaseId, Shard
from domain.local_review.events import (
    CopyProvided,
    CopyRecipient,
    ImprovementsOnlyPublished,
    LocalReviewInitiated,
    LocalReviewPublished,
    LocalReviewUnpublished,
    NonPublicationJustified,
    PublicationDeclined,
    PublicationScheduled,
)
from domain.rapid_review.events import (
    Decision,
    DecisionMade,
    DecisionReconsidered,
    PanelAgreed,
    PanelAskedForMore,
    PanelDisagreed,
    RapidReviewCompleted,
    RapidReviewOpened,
    SentToPanel,
)
from projections.oversight.facts import ChildFact, Fact, NoticeFact
from projections.oversight.standing import standing_facts


class PanelResponse(StrEnum):
    """What the Panel last said to the partners' decision."""

    AGREED = "agreed"
    DISAGREED = "disagreed"
    ASKED_FOR_MORE = "asked_for_more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The notification as amended, reclassified and added to by the day."""

    notification_type: NotificationType
    notified_at: datetime
    occurred_on: date
    occurred_exactly: bool
    incident_authority: AgencyId
    residence_authority: AgencyId
    deprivation_fifth: int | None
    care_leaver_only: bool
    characteristics: frozenset[Characteristic]
    children: tuple[ChildFact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalReview:
    """A local review that was initiated by the day."""

    decided_on: date
    """The day of the decision to initiate it."""
    with_panel_on: date | None
    """The first day on which the Panel had its report: provided to it, or published."""
    published_on: date | None
    improvements_only: bool
    """What is published is information about improvements, not the report."""
    declined_on: date | None
    """Since it was last planned to be published, if it was."""
    unpublished_on: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A notified case at the end of a count day. Withdrawn cases are cases too; tables leave them out."""

    case_id: CaseId
    shard: Shard
    notifier: AgencyId
    imported: bool
    notice: Notice
    withdrawn_on: date | None
    opened_on: date | None
    completed_on: date | None
    received_on: date | None
    decision: Decision
    """UNDECIDED where nothing was decided yet."""
    response: PanelResponse | None
    local_review: LocalReview | None
    closed_on: date | None
    linked_as_duplicate: bool

    @property
    def notified_on(self) -> date:
        """Day 0 of the rapid review's clock (K5B): the London day of the notification, as corrected by the day."""
        return london_day(self.notice.notified_at)

    @property
    def index_child(self) -> ChildFact | None:
        """The child whose codes decide the case's rows in tables 2 to 8: the one so marked, else the first, if any."""
        marked = [child for child in self.notice.children if child.index_child]
        return next(iter(marked or self.notice.children), None)


_RESPONSES: Final = {
    PanelAgreed.EVENT_TYPE: PanelResponse.AGREED,
    PanelDisagreed.EVENT_TYPE: PanelResponse.DISAGREED,
    PanelAskedForMore.EVENT_TYPE: PanelResponse.ASKED_FOR_MORE,
}


def case_as_at(facts: Sequence[Fact], count_day: date) -> Case | None:
    """Return one case from its facts in log order, at the end of ``count_day``; None before its notification, or if that is unreadable."""
    standing = standing_facts(facts, count_day)
    notified = _first(_of(standing, IncidentNotified))
    if notified is None or notified.notice is None:
        return None
    notice = _notice(notified, notified.notice, standing)
    if london_day(notice.notified_at) > count_day:
        return None
    response = _last(fact for fact in standing if fact.event_type in _RESPONSES)
    return Case(
        case_id=notified.case_id,
        shard=notified.shard,
        notifier=notified.agency_id,
        imported=notified.imported,
        notice=notice,
        withdrawn_on=_first_day(standing, NotificationWithdrawn),
        opened_on=_first_day(standing, RapidReviewOpened),
        completed_on=_first_day(standing, RapidReviewCompleted),
        received_on=_first_day(standing, SentToPanel),
        decision=_decision(standing),
        response=None if response is None else _RESPONSES[response.event_type],
        local_review=_local_review(standing),
        closed_on=_first_day(standing, IncidentClosed),
        linked_as_duplicate=bool(_of(standing, DuplicateLinked)),
    )


def is_unreadable(facts: Sequence[Fact], count_day: date) -> bool:
    """Tell whether a notification stands at the end of ``count_day``, not withdrawn, whose body is gone."""
    if all(fact.opened for fact in facts):
        return False
    standing = standing_facts(facts, count_day)
    notified = _first(_of(standing, IncidentNotified))
    return notified is not None and not notified.opened and not _of(standing, NotificationWithdrawn)


def _of(standing: Iterable[Fact], *kinds: type[Event]) -> list[Fact]:
    """Return the facts of these event types, in order."""
    names = {kind.EVENT_TYPE for kind in kinds}
    return [fact for fact in standing if fact.event_type in names]


def _first(facts: Iterable[Fact]) -> Fact | None:
    """Return the first fact that can be read, else the first, if any."""
    ordered = list(facts)
    return next((fact for fact in ordered if fact.opened), ordered[0] if ordered else None)


def _last(facts: Iterable[Fact]) -> Fact | None:
    """Return the last fact, if any."""
    return next(reversed(list(facts)), None)


def _first_day(standing: Iterable[Fact], *kinds: type[Event]) -> date | None:
    """Return the first London day that a fact of these event types bears."""
    return min((fact.counts_on for fact in _of(standing, *kinds)), default=None)


def _notice(notified: Fact, first: NoticeFact, standing: Sequence[Fact]) -> Notice:
    """Return the notification with all that was said of it since, in order."""
    notice = _as_notified(notified, first)
    for fact in standing:
        if fact.event_type == NotificationAmended.EVENT_TYPE and fact.notice is not None:
            notice = _amended(notice, fact.notice, fact.children, imported=notified.imported)
        elif fact.event_type == IncidentReclassified.EVENT_TYPE and fact.notice is not None:
            kind = fact.notice.notification_type or notice.notification_type
            notice = replace(notice, notification_type=kind, children=_replaced(notice.children, fact.children))
        elif fact.event_type == ChildAdded.EVENT_TYPE:
            known = {child.child_id for child in notice.children}
            added = tuple(child for child in fact.children if child.child_id not in known)
            notice = replace(notice, children=(*_replaced(notice.children, fact.children), *added))
    return notice


def _as_notified(fact: Fact, said: NoticeFact) -> Notice:
    """Return what the notification itself says; raise ``ValueError`` for one that lacks what every notification says."""
    if said.notification_type is None or said.occurred_on is None or said.incident_authority is None or said.residence_authority is None:
        raise ValueError(f"the notification at position {fact.position} of {fact.shard} lacks its type, day or councils")
    return Notice(
        notification_type=said.notification_type,
        notified_at=fact.scored_at,
        occurred_on=said.occurred_on,
        occurred_exactly=bool(said.occurred_exactly),
        incident_authority=said.incident_authority,
        residence_authority=said.residence_authority,
        deprivation_fifth=said.deprivation_fifth,
        care_leaver_only=bool(said.care_leaver_only),
        characteristics=said.characteristics or frozenset(),
        children=fact.children,
    )


def _amended(notice: Notice, said: NoticeFact, children: tuple[ChildFact, ...], *, imported: bool) -> Notice:
    """Return the notice with what an amendment gives in place of what was said; only an imported notification changes its instant."""
    moved_to = said.notified_at if imported else None
    return replace(
        notice,
        notified_at=moved_to or notice.notified_at,
        occurred_on=said.occurred_on or notice.occurred_on,
        occurred_exactly=notice.occurred_exactly if said.occurred_exactly is None else said.occurred_exactly,
        incident_authority=said.incident_authority or notice.incident_authority,
        residence_authority=said.residence_authority or notice.residence_authority,
        deprivation_fifth=said.deprivation_fifth or notice.deprivation_fifth,
        characteristics=notice.characteristics if said.characteristics is None else said.characteristics,
        children=_replaced(notice.children, children),
    )


def _replaced(children: tuple[ChildFact, ...], given: tuple[ChildFact, ...]) -> tuple[ChildFact, ...]:
    """Return the children, each as given anew where it is, in the same order."""
    anew = {child.child_id: child for child in given}
    return tuple(anew.get(child.child_id, child) for child in children)


def _decision(standing: Sequence[Fact]) -> Decision:
    """Return the partners' last decision; a body that is gone decides nothing."""
    said = [fact.code for fact in _of(standing, DecisionMade, DecisionReconsidered) if fact.code is not None]
    return Decision(said[-1]) if said else Decision.UNDECIDED


def _local_review(standing: Sequence[Fact]) -> LocalReview | None:
    """Return the local review, if one was initiated."""
    initiated = _first(_of(standing, LocalReviewInitiated))
    if initiated is None:
        return None
    published_on = _first_day(standing, LocalReviewPublished, ImprovementsOnlyPublished)
    copied = [fact.counts_on for fact in _of(standing, CopyProvided) if fact.code == CopyRecipient.PANEL.value]
    with_panel = copied if published_on is None else [*copied, published_on]
    return LocalReview(
        decided_on=initiated.code_on or initiated.counts_on,
        with_panel_on=min(with_panel, default=None),
        published_on=published_on,
        improvements_only=published_on is not None and not _of(standing, LocalReviewPublished),
        declined_on=_declined_on(standing),
        unpublished_on=_first_day(standing, LocalReviewUnpublished),
    )


def _declined_on(standing: Sequence[Fact]) -> date | None:
    """Return the first day on which publication was declined or that justified since it was last planned, if any."""
    declined: list[date] = []
    for fact in _of(standing, PublicationScheduled, PublicationDeclined, NonPublicationJustified):
        declined = [] if fact.event_type == PublicationScheduled.EVENT_TYPE else [*declined, fact.counts_on]
    return min(declined, default=None)
