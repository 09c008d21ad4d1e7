"""Decide on the events of a local review: refuse what cannot be true or is not the sender's to say, find what should not have happened."""

from __future__ import annotations

from typing import Final, assert_never, cast, get_args

from domain.incident.state import incident_in, incident_stream, is_withdrawn, notification_of
from domain.kernel.agencies import AgencyKind
from domain.kernel.corrections import check_correction, is_correction
from domain.kernel.decider import Context, Decider
from domain.kernel.events import EVENT_TYPES, Event, Recorded
from domain.kernel.facts import Fact, Facts
from domain.kernel.ids import Shard, Stream, identity_of
from domain.kernel.rules import Finding, Refused, Rule
from domain.local_review import rules
from domain.local_review.events import (
    AnonymisationApproved,
    CommentReceived,
    ConflictDeclared,
    CopyProvided,
    DepositedWithRepository,
    DraftRequestedInWriting,
    FamilyDeclined,
    FamilyInformed,
    FamilyViewsReceived,
    ImprovementsOnlyPublished,
    LocalReviewDrafted,
    LocalReviewInitiated,
    LocalReviewPublished,
    LocalReviewUnpublished,
    MethodAgreed,
    NonPublicationJustified,
    PractitionersInvolved,
    ProgressChecked,
    PublicationDeclined,
    PublicationRescheduled,
    PublicationScheduled,
    RecommendationMade,
    RegardToCommentRecorded,
    ReportCompleted,
    ReviewerAppointed,
    ReviewerRemoved,
    TermsOfReferenceAgreed,
)
from domain.local_review.findings import broken_by, mended_by
from domain.local_review.kinds import Consulting, LocalReviewEvent, Writing, gist_of
from domain.local_review.state import (
    LocalReview,
    NotPublished,
    Published,
    Unknown,
    begun,
    decided_on,
    facts_of,
    is_report_complete,
    planned,
    planned_on,
    reviewers,
)
from domain.partnership.state import is_business_unit, partnership_in, partnership_stream
from domain.rapid_review.events import Decision
from domain.rapid_review.state import decision_of, rapid_review_in, rapid_review_stream


def reads(event: Event, stream: Stream, shard: Shard) -> tuple[Stream, ...]:
    """Look at who the partners are; to begin also at the decision; to begin and to publish at the incident."""
    case_id = identity_of(stream)
    match event:
        case LocalReviewInitiated():
            return (partnership_stream(shard), incident_stream(case_id), rapid_review_stream(case_id))
        case LocalReviewPublished() | ImprovementsOnlyPublished():
            return (partnership_stream(shard), incident_stream(case_id))
        case _:
            return (partnership_stream(shard),)


def admit(state: LocalReview, said: Event, context: Context) -> tuple[Finding, ...]:
    """Raise ``Refused`` unless the event can be true and is the sender's to say; return what should not have happened but did."""
    event = cast(LocalReviewEvent, said)
    _check_sender(event, context)
    if isinstance(state, Unknown) and not isinstance(event, LocalReviewInitiated):
        raise Refused(rules.NOT_INITIATED)
    _check_day(facts_of(state), event, context)
    _check_said_days(facts_of(state), event, context)
    check_correction(facts_of(state).said, event, gist_of(event).thing, context, rules.CORRECTION)
    if not is_correction(event):
        _check_step(state, event, context)
    return tuple(Finding(rule=broken) for broken in broken_by(state, event, context))


def _check_sender(event: LocalReviewEvent, context: Context) -> None:
    """Refuse what is not the sender's to say: all is the business unit's, but the Panel may record what the recipients of copies say."""
    if is_business_unit(partnership_in(context.others, context.shard, context.now), context.agency_id):
        return
    if not isinstance(event, CommentReceived):
        raise Refused(rules.NOT_THE_PARTNERSHIP)
    if context.agency_kind is not AgencyKind.PANEL:
        raise Refused(rules.NOT_A_RECORDER_OF_COMMENTS)


def _check_day(facts: Facts, event: LocalReviewEvent, context: Context) -> None:
    """Refuse history that is told of a day before that of what it stands on: the review's beginning, its first report, the declining.

    What is said live gives no step an earlier day, and puts right what was told before whatever its day.
    """
    if not context.imported:
        return
    day = facts.scoring_day(event, context)
    stands_on: dict[Rule, Fact | None] = {}
    if not isinstance(event, LocalReviewInitiated):
        stands_on[rules.NOT_INITIATED] = next(iter(facts.of(LocalReviewInitiated)), None)
    if isinstance(event, CopyProvided | LocalReviewPublished | ImprovementsOnlyPublished):
        stands_on[rules.NEEDS_REPORT] = min(facts.of(ReportCompleted), key=lambda fact: fact.scored_at, default=None)
    if isinstance(event, NonPublicationJustified) and not is_correction(event):
        stands_on[rules.NEEDS_DECLINING] = facts.last(PublicationDeclined)
    for rule, former in stands_on.items():
        if former is not None and day < former.scored_on:
            raise Refused(rule, f"history told of a day before that of {former.event_type}")


def _check_said_days(facts: Facts, event: LocalReviewEvent, context: Context) -> None:
    """Refuse a decision of a day before the incident, and a plan for a day before the decision; either may be said anew."""
    decision, plan = decided_on(facts), planned_on(facts)
    match event:
        case LocalReviewInitiated():
            decision = event.decided_on
            notification = notification_of(incident_in(context.others, identity_of(context.stream)))
            if notification is not None and decision < (happened_on := notification.incident_on.day):
                raise Refused(rules.IMPOSSIBLE_DAYS, f"decided_on is before {happened_on.isoformat()}, the day of the incident")
        case PublicationScheduled() | PublicationRescheduled():
            plan = event.planned_on
        case _:
            return
    if decision is not None and plan is not None and plan < decision:
        raise Refused(rules.IMPOSSIBLE_DAYS, f"planned for {plan.isoformat()}, decided on {decision.isoformat()}")


def _check_step(state: LocalReview, event: LocalReviewEvent, context: Context) -> None:
    """Refuse a step that has nothing to stand on, comes after the end, or was taken before."""
    match event:
        case LocalReviewInitiated():
            _check_beginning(state, context)
        case ReviewerAppointed() | ReviewerRemoved() | ConflictDeclared():
            _check_reviewer(facts_of(state), event)
        case TermsOfReferenceAgreed() | MethodAgreed() | PractitionersInvolved() | ProgressChecked() | DraftRequestedInWriting():
            _check_unfinished(state)
        case FamilyInformed() | FamilyViewsReceived() | FamilyDeclined():
            pass
        case LocalReviewDrafted() | ReportCompleted() | AnonymisationApproved() | RecommendationMade():
            _check_writing(state, event)
        case CopyProvided() | CommentReceived() | RegardToCommentRecorded():
            _check_consulting(facts_of(state), event)
        case PublicationScheduled() | PublicationRescheduled() | PublicationDeclined() | NonPublicationJustified():
            _check_plan(state, event)
        case LocalReviewPublished() | ImprovementsOnlyPublished() | DepositedWithRepository() | LocalReviewUnpublished():
            _check_publication(state, event)
        case _:
            assert_never(event)


def _check_beginning(state: LocalReview, context: Context) -> None:
    case_id = identity_of(context.stream)
    if not isinstance(state, Unknown):
        raise Refused(rules.CONTRADICTION)
    if is_withdrawn(incident_in(context.others, case_id)):
        raise Refused(rules.NOTIFICATION_WITHDRAWN)
    if decision_of(rapid_review_in(context.others, case_id)) is not Decision.LOCAL_REVIEW:
        raise Refused(rules.NEEDS_DECISION)


def _check_reviewer(facts: Facts, event: ReviewerAppointed | ReviewerRemoved | ConflictDeclared) -> None:
    """Admit a reviewer's appointment, removal or conflict also after the end: it happened, and it may mend a finding."""
    at_work = event.reviewer_id in reviewers(facts)
    match event:
        case ReviewerAppointed():
            if at_work:
                raise Refused(rules.CONTRADICTION)
        case ReviewerRemoved() | ConflictDeclared():
            if not facts.perhaps_about(ReviewerAppointed, event.reviewer_id):
                raise Refused(rules.NEEDS_REVIEWER)
            if isinstance(event, ReviewerRemoved) and facts.about(ReviewerAppointed, event.reviewer_id) and not at_work:
                raise Refused(rules.CONTRADICTION)
        case _:
            assert_never(event)


def _check_unfinished(state: LocalReview) -> None:
    """Refuse work on a report that is public, or complete and justly unpublished; one unfinished may still be finished."""
    if isinstance(state, Published) or (isinstance(state, NotPublished) and is_report_complete(state.facts)):
        raise Refused(rules.FINISHED)


def _check_writing(state: LocalReview, event: Writing) -> None:
    facts = facts_of(state)
    match event:
        case LocalReviewDrafted():
            _check_unfinished(state)
        case ReportCompleted():
            # A report revised after comments is another document; the same document is not completed twice.
            _check_unfinished(state)
            if any(gist_of(event) == fact.gist for fact in facts.of(ReportCompleted)):
                raise Refused(rules.CONTRADICTION)
        case AnonymisationApproved():
            _check_report(facts)
        case RecommendationMade():
            if facts.about(RecommendationMade, event.recommendation_id):
                raise Refused(rules.CONTRADICTION)
        case _:
            assert_never(event)


def _check_report(facts: Facts) -> None:
    if not is_report_complete(facts):
        raise Refused(rules.NEEDS_REPORT)


def _check_consulting(facts: Facts, event: Consulting) -> None:
    """Admit copies, comments and regard also after publication: they happened, and a copy may mend a finding."""
    match event:
        case CopyProvided():
            _check_report(facts)
            again = any(gist_of(event) == fact.gist for fact in facts.since(ReportCompleted).of(CopyProvided))
        case CommentReceived():
            if not facts.has(LocalReviewDrafted, ReportCompleted):
                raise Refused(rules.NEEDS_DRAFT)
            again = facts.about(CommentReceived, event.comment_id)
        case RegardToCommentRecorded():
            if not facts.perhaps_about(CommentReceived, event.comment_id):
                raise Refused(rules.NEEDS_COMMENT)
            again = facts.about(RegardToCommentRecorded, event.comment_id)
        case _:
            assert_never(event)
    if again:
        raise Refused(rules.CONTRADICTION)


def _check_plan(
    state: LocalReview, event: PublicationScheduled | PublicationRescheduled | PublicationDeclined | NonPublicationJustified
) -> None:
    """Admit that plans change: what was declined may be scheduled anew, and the other way round, until the report is public."""
    facts = facts_of(state)
    match event:
        case PublicationScheduled():
            again = planned(facts) is not None
        case PublicationRescheduled():
            if planned(facts) is None:
                raise Refused(rules.NEEDS_SCHEDULE)
            again = False
        case PublicationDeclined():
            again = facts.since(PublicationScheduled, LocalReviewUnpublished).has(PublicationDeclined)
        case NonPublicationJustified():
            if not facts.has(PublicationDeclined):
                raise Refused(rules.NEEDS_DECLINING)
            again = facts.since(PublicationDeclined).has(NonPublicationJustified)
        case _:
            assert_never(event)
    if again or (isinstance(state, Published) and state.report):
        raise Refused(rules.CONTRADICTION)


def _check_publication(
    state: LocalReview, event: LocalReviewPublished | ImprovementsOnlyPublished | DepositedWithRepository | LocalReviewUnpublished
) -> None:
    """Admit the report also after information about improvements, or after a court order ended; never the other way round."""
    facts = facts_of(state)
    public = isinstance(state, Published)
    report_public = isinstance(state, Published) and state.report
    match event:
        case LocalReviewPublished():
            _check_report(facts)
            again = report_public
        case ImprovementsOnlyPublished():
            _check_report(facts)
            again = public
        case DepositedWithRepository():
            if not report_public:
                raise Refused(rules.NEEDS_PUBLICATION)
            again = facts.since(LocalReviewPublished).has(DepositedWithRepository)
        case LocalReviewUnpublished():
            if not public:
                raise Refused(rules.NEEDS_PUBLICATION)
            again = False
        case _:
            assert_never(event)
    if again:
        raise Refused(rules.CONTRADICTION)


def evolve(state: LocalReview, recorded: Recorded) -> LocalReview:
    """Return the review after the event; of one whose body is gone its type, sender, findings and mendings still tell."""
    if EVENT_TYPES.get(recorded.event_type) not in _EVENTS:
        return state
    event = cast(LocalReviewEvent | None, recorded.event)
    facts = facts_of(state).with_fact(recorded, None if event is None else gist_of(event))
    mends = mended_by(facts, event) if event is not None and facts.is_whole else ()
    return begun(facts.judged(recorded, mends, rules.BY_ID))


def open_rules(state: LocalReview) -> frozenset[Rule]:
    """Return the rules that were found broken and are not mended."""
    return facts_of(state).broken


_EVENTS: Final[tuple[type[Event], ...]] = get_args(LocalReviewEvent)

DECIDER: Final[Decider[LocalReview]] = Decider(
    category="local_review",
    events=_EVENTS,
    initial=Unknown(),
    reads=reads,
    admit=admit,
    evolve=evolve,
    open_rules=open_rules,
)
