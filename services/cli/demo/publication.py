"""The told case from the decision to its publication, which is late and says why."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Final

from domain.incident.codes import CloseReason, DelayReason, Recipient
from domain.incident.events import DelayExplained, IncidentClosed, ParallelProceedingClosed
from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import Event
from domain.kernel.ids import ClockId, RequestId
from domain.local_review.events import (
    AnonymisationApproved,
    AnonymisationCheck,
    CommentReceived,
    CopyKind,
    CopyProvided,
    CopyRecipient,
    DepositedWithRepository,
    DraftRequestedInWriting,
    FamilyInformed,
    FamilyViewsReceived,
    LocalReviewDrafted,
    LocalReviewInitiated,
    LocalReviewPublished,
    MethodAgreed,
    PractitionersInvolved,
    ProgressChecked,
    PublicationScheduled,
    RecommendationMade,
    RegardToCommentRecorded,
    ReportCompleted,
    ReviewerAppointed,
    TermsOfReferenceAgreed,
)
from services.cli.demo.accounts import minted
from services.cli.demo.saying import Cast, Saying, at, done, working_day

_PUBLISHED_AFTER: Final = 225
"""Working days from the decision: some eleven months, where guidance says six."""
_REPORT: Final = hashlib.sha256(b"the synthetic report").digest()


def publication(cast: Cast, decided_on: date, trial: RequestId, ids: Random) -> Iterator[Saying]:
    """Yield the local review, from its beginning to the end of the case; ``trial`` is the proceeding that it waits for."""
    published_on = working_day(decided_on, _PUBLISHED_AFTER)
    for event, words in (*_work(decided_on, published_on, ids), *_report(decided_on, published_on, ids)):
        yield Saying(agency=cast.area.business_unit, event=event, words=words)
        if isinstance(event, DraftRequestedInWriting):
            ended = ParallelProceedingClosed(details=done(at(working_day(decided_on, 190), 17)), proceeding_id=trial, outcome="Convicted.")
            yield Saying(agency=cast.area.police, event=ended, words="the trial ends: publication is no longer restrained")
    yield from _after_copies(cast, published_on, ids)


def _work(decided_on: date, published_on: date, ids: Random) -> Iterator[tuple[Event, str]]:
    def when(after: int) -> date:
        return working_day(decided_on, after)

    yield LocalReviewInitiated(details=done(at(when(1), 14)), decided_on=decided_on), "a local review begins"
    terms = "From the first absence to the day of death: who saw what, who was told, what the child said (synthetic)."
    yield TermsOfReferenceAgreed(details=done(at(when(10), 10)), terms=terms), ""
    yield MethodAgreed(details=done(at(when(10), 11)), method="Conversations with practitioners, the family and the friends"), ""
    yield ReviewerAppointed(details=done(at(when(15), 10)), reviewer_id=minted(ids), experience="Independent of all agencies here."), ""
    yield FamilyInformed(details=done(at(when(16), 18)), how="At home, by the person of their choice."), ""
    yield PractitionersInvolved(details=done(at(when(60), 13)), how="Two days of conversation; nobody was asked who was to blame."), ""
    views = '"Everybody had a piece of our child. We want them to put the pieces on one table next time."'
    yield FamilyViewsReceived(details=done(at(when(70), 17)), views=views), "the family says what it thinks"
    slow = "Those who were present are witnesses and cannot be spoken to before the trial."
    yield ProgressChecked(details=done(at(when(80), 10)), on_track=False, assessment=slow), ""
    explained = DelayExplained(
        details=done(at(when(118), 16)),
        clock=ClockId("K10"),
        reason=DelayReason.CRIMINAL_INVESTIGATION,
        explanation="The trial is listed for the winter; the report waits for what can be heard only after it.",
        expected_on=published_on,
        told=(Recipient.PANEL, Recipient.SECRETARY_OF_STATE),
    )
    yield explained, "publication will be later than six months: reasons go to the Panel and the Secretary of State"
    yield DraftRequestedInWriting(details=done(at(when(185), 10)), due_on=when(197)), ""


def _report(decided_on: date, published_on: date, ids: Random) -> Iterator[tuple[Event, str]]:
    def when(after: int) -> date:
        return working_day(decided_on, after)

    yield LocalReviewDrafted(details=done(at(when(196), 12)), summary="Draft report (synthetic)."), ""
    summary = "A child asked for a way out three times. Each time somebody heard it and nobody owned it (synthetic)."
    yield ReportCompleted(details=done(at(when(205), 12)), executive_summary=summary, document_sha256=_REPORT), "the report is complete"
    for recommendation, addressee in _RECOMMENDATIONS:
        made = RecommendationMade(
            details=done(at(when(205), 13)), recommendation_id=minted(ids), recommendation=recommendation, addressed_to=addressee
        )
        yield made, ""
    checks = tuple(AnonymisationCheck)
    yield AnonymisationApproved(details=done(at(when(207), 10)), by_role="independent-scrutineer", checks=checks), ""
    yield PublicationScheduled(details=done(at(when(208), 10)), planned_on=published_on), "its publication is planned"
    for number, recipient in enumerate(CopyRecipient):
        copy = CopyProvided(
            details=done(at(working_day(published_on, -10), 9, number)), recipient=recipient, copy_kind=CopyKind.FULL_REPORT
        )
        yield copy, "copies go out ten working days before it; seven are asked for" if number == 0 else ""


_RECOMMENDATIONS: Final = (
    ("Who finds a child far from home at night refers the child the same night.", "Police, transport police"),
    ("A child's request to move school for safety is decided within ten school days.", "Council, schools forum"),
)


def _after_copies(cast: Cast, published_on: date, ids: Random) -> Iterator[Saying]:
    unit, comment = cast.area.business_unit, minted(ids)
    received = CommentReceived(
        details=done(at(working_day(published_on, -5), 11)),
        comment_id=comment,
        sender=CopyRecipient.PANEL,
        comment="Say which agency owns the second recommendation.",
    )
    yield Saying(agency=PANEL_ID, event=received, words="the Panel comments on the report")
    regard = RegardToCommentRecorded(
        details=done(at(working_day(published_on, -3), 11)), comment_id=comment, response="Named on page 2: the council."
    )
    yield Saying(agency=unit, event=regard)
    public = LocalReviewPublished(
        details=done(at(published_on, 9)), location="https://partnership.example/reviews/synthetic-1", document_sha256=_REPORT
    )
    yield Saying(agency=unit, event=public, words="the report is published, late and with its reasons given")
    after = at(published_on + timedelta(days=7), 10)
    yield Saying(agency=unit, event=DepositedWithRepository(details=done(after), reference="synthetic-1"))
    closed = IncidentClosed(details=done(after + timedelta(hours=1)), reason=CloseReason.REVIEW_PUBLISHED)
    yield Saying(agency=unit, event=closed, words="and the case is closed")
