"""The case that is told in full, from a child's first weeks to the Panel's answer. Everybody in it is invented."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from random import Random
from typing import Final

from domain.calendar import bundled, working_days_between
from domain.incident.codes import (
    AbuseKind,
    CriteriaOutcome,
    DeathCategory,
    DelayReason,
    Limb,
    PlaceKind,
    ProceedingKind,
    Recipient,
    SuspectRelationship,
)
from domain.incident.events import (
    Awareness,
    CaseReferred,
    Criteria,
    CriteriaAssessed,
    DelayExplained,
    IncidentBecameKnown,
    IncidentNotified,
    ParallelProceedingOpened,
    PartnersInformed,
    ReferralConfirmedInWriting,
    SafetyActionTaken,
)
from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import Event, london_day
from domain.kernel.ids import AgencyId, ClockId, RequestId
from domain.rapid_review.events import (
    AgencyReturnReceived,
    ChairAndScrutineerInformed,
    Decision,
    DecisionMade,
    DecisionRecommended,
    EthnicityAndCultureConsidered,
    ImmediateLearningDisseminated,
    ImmediateLearningIdentified,
    MeetingHeld,
    MinutesCirculated,
    PanelAcknowledged,
    PanelAgreed,
    PartnerSignedOff,
    RapidReviewCompleted,
    RapidReviewDrafted,
    RapidReviewOpened,
    Recommendation,
    SentToPanel,
)
from domain.sharing.events import (
    CaldicottCheck,
    Entry,
    FamilyTold,
    InformationAcknowledged,
    InformationCorrected,
    InformationDisputed,
    InformationRequested,
    InformationShared,
    LegalGate,
    NilReturn,
)
from projections.oversight.published import Published
from services.cli.demo.accounts import Accounts, minted
from services.cli.demo.publication import publication
from services.cli.demo.saying import Cast, Saying, at, done, working_day
from services.cli.synthetic.england import Area
from services.cli.synthetic.lives import notification
from services.cli.synthetic.population import Incident, populate
from services.cli.synthetic.profile import published_profile

NOT_SIGNED_OFF: Final = "rapid_review.sent_without_sign_off"
_TOLD_CATEGORY: Final = DeathCategory.EXTRA_FAMILIAL_FATAL_ASSAULT
_YEAR_BESIDE: Final = 2022
"""All that is told of a case of this year lies after the day on which the demo counts."""


def choose(incidents: Sequence[Incident]) -> Incident:
    """Return the incident to be told: a death outside the family, its review sent late, a local review decided, the Panel agreed.

    Which incident had which course is the generator's own deal: where the death that fits best had another course, the two incidents
    exchange theirs, so that every count stays as it is.
    """
    subjects = [incident for incident in incidents if incident.kind[1] is _TOLD_CATEGORY]
    told = min(subjects, key=lambda one: (len(one.children), abs((one.children[0].age_years or 0) - 15), one.case_id))
    course = min(incidents, key=lambda one: (_unsuited(one), one is not told, one.notified_at, one.case_id))
    for name in ("happened_on", "aware_at", "notified_at", "received_at", "decision", "agreed"):
        mine, other = getattr(told, name), getattr(course, name)
        setattr(told, name, other)
        setattr(course, name, mine)
    return told


def chosen_beside(areas: Sequence[Area], published: Published, seed: int) -> Incident:
    """Return the incident to be told beside a drawn population: of a later year, so that the year's tables are the population's alone.

    A drawn population may have none that the story is of, and what is told of a case changes what is counted of it.
    """
    rng = Random(f"told beside {seed}")  # noqa: S311  # synthetic and to be had again, no secret
    return choose(populate(replace(published_profile(published), year=_YEAR_BESIDE), areas, rng))


def _unsuited(incident: Incident) -> tuple[bool, bool, bool, bool]:
    """Tell in what an incident's course lacks what the story needs; the first weighs most."""
    if incident.received_at is None:
        return (True, True, True, True)
    taken = working_days_between(london_day(incident.notified_at), london_day(incident.received_at), bundled())
    # A review due before April was late: from April on the Panel had relaxed the period.
    early = incident.notified_at.date() < date(incident.notified_at.year, 2, 25)
    return (not 17 <= taken <= 25, incident.decision is not Decision.LOCAL_REVIEW, not incident.agreed, not early)


def told_case(cast: Cast, incident: Incident) -> tuple[Saying, ...]:
    """Return all that was said of the case, in the order in which it is signed."""
    return tuple(_Telling(cast, incident).sayings())


class _Telling:
    """One telling of the case: its moments, and the ids that its events refer to each other by."""

    def __init__(self, cast: Cast, incident: Incident) -> None:
        if incident.received_at is None:
            raise ValueError("the told case's review was received")
        self._cast = cast
        self._incident = incident
        self._ids = Random(f"ids of {incident.case_id}")  # noqa: S311  # synthetic and to be had again, no secret
        self._index = incident.children[0]
        self._aware_at, self._notified_at, self._sent_at = incident.aware_at, incident.notified_at, incident.received_at
        self._notified_on = london_day(incident.notified_at)
        self._sent_on = london_day(incident.received_at)
        self._accounts = Accounts(self._index.child_id, self._index.age_years or 15, incident.happened_on, self._ids)
        self._requests: dict[AgencyId, RequestId] = {}
        self._trial = minted(self._ids)

    def sayings(self) -> Iterator[Saying]:
        yield from self._beginning()
        yield from self._notifying()
        yield from self._asking()
        yield from self._sharing()
        yield from self._meeting()
        yield from self._deciding()
        yield from self._answering()
        yield from publication(self._cast, self._sent_on, self._trial, self._ids)

    def _day(self, after: int) -> date:
        """Return a working day after the notification."""
        return working_day(self._notified_on, after)

    def _by_unit(self, event: Event, words: str = "") -> Saying:
        return Saying(agency=self._cast.area.business_unit, event=event, words=words)

    def _beginning(self) -> Iterator[Saying]:
        area, referred_at = self._cast.area, self._aware_at - timedelta(minutes=40)
        referral = CaseReferred(
            details=done(referred_at),
            reason="A child of this area has died of injuries from an assault by people outside the family. Abuse is suspected.",
            children=(self._index.child_id,),
        )
        yield Saying(agency=area.police, event=referral, words="the police refer the case to the business unit")
        awareness = Awareness(aware_at=self._aware_at, source="Referral by the police, to the business unit and the duty team")
        yield Saying(agency=area.council, event=IncidentBecameKnown(details=done(self._aware_at), awareness=awareness))
        action = SafetyActionTaken(
            details=done(self._aware_at + timedelta(hours=1)),
            action="A worker for each of the two friends who were present; the school opens a room and a counsellor the same day.",
            children=(self._index.child_id,),
        )
        yield Saying(agency=area.council, event=action)
        confirmed = ReferralConfirmedInWriting(
            details=done(referred_at + timedelta(hours=26)), confirmation="The referral as made by telephone, in writing."
        )
        yield Saying(agency=area.police, event=confirmed, words="and confirm it in writing within 48 hours")

    def _notifying(self) -> Iterator[Saying]:
        area, between = self._cast.area, self._notified_at - self._aware_at
        criteria = Criteria(
            outcome=CriteriaOutcome.MET,
            limb=Limb.IN_AREA,
            rationale="The child died in this area, and exploitation by others is suspected.",
            decided_by_role="head-of-safeguarding",
        )
        judged = CriteriaAssessed(details=done(self._aware_at + between * 0.5), criteria=criteria)
        yield Saying(agency=area.council, event=judged, words="the council judges the criteria: met")
        notified = self._notification()
        early = replace(notified, details=done(self._aware_at + between * 0.6))
        yield Saying(agency=area.police, event=early, words="the police try to notify the Panel", refused_by="incident.notifier")
        yield Saying(agency=area.council, event=notified, words="the council notifies the Panel", replayed=True)
        told = PartnersInformed(details=done(self._notified_at + timedelta(hours=1)), partners=(area.board, area.police))
        yield Saying(agency=area.council, event=told)
        trial = ParallelProceedingOpened(
            details=done(self._notified_at + timedelta(hours=3)),
            proceeding_id=self._trial,
            kind=ProceedingKind.CRIMINAL,
            restricts_publication=True,
            summary="Three persons are charged with murder.",
        )
        yield Saying(agency=area.police, event=trial, words="a criminal proceeding runs beside the case and restrains publication")

    def _notification(self) -> IncidentNotified:
        """Return the population's own notification with the circumstances of the story; what the tables count is untouched."""
        return replace(
            notification(self._incident),
            place=PlaceKind.PUBLIC_PLACE,
            circumstances="A child died after an assault in a public place by people outside the family (synthetic).",
            suspected_abuse=(AbuseKind.PHYSICAL, AbuseKind.EXPLOITATION),
            suspect_relationship=SuspectRelationship.STRANGER,
            awareness=None,
            criteria=None,
        )

    def _asking(self) -> Iterator[Saying]:
        opened = RapidReviewOpened(details=done(self._notified_at + timedelta(hours=4)), agencies_asked=self._cast.asked)
        yield self._by_unit(opened, "the partnership opens its rapid review")
        for number, agency in enumerate(self._cast.asked):
            self._requests[agency] = minted(self._ids)
            request = InformationRequested(
                details=done(self._notified_at + timedelta(hours=4, minutes=5 + number)),
                request_id=self._requests[agency],
                recipient=agency,
                gate=LegalGate.S16H_PARTNERS,
                scope="All that is known of the child and household since birth, with what it meant for the child.",
                due_on=self._day(7),
            )
            yield self._by_unit(request, "and asks every agency what it knew, under s16H" if number == 0 else "")
        seen = InformationAcknowledged(details=done(at(self._day(1), 9, 5)), request_id=self._requests[self._cast.school])
        yield Saying(agency=self._cast.school, event=seen)

    def _sharing(self) -> Iterator[Saying]:
        area, cast = self._cast.area, self._cast
        nothing = NilReturn(
            details=done(at(self._day(3), 11, 30)),
            request_id=self._requests[cast.youth_justice],
            searched="Case system and archive by date of birth and all spellings known.",
        )
        yield Saying(agency=cast.youth_justice, event=nothing, words="youth justice looked and holds nothing: a nil return")
        yield self._shared(cast.school, 4, self._accounts.of_school(), "the school shares its chronology")
        health = tuple(self._accounts.of_health())
        yield self._shared(area.board, 5, health, "health shares its chronology")
        yield self._shared(area.police, 6, self._accounts.of_police(), "the police share theirs, a piece of intelligence among it")
        social = tuple(self._accounts.of_council())
        yield self._shared(area.council, 7, social, "the council shares its own")
        opinion = next(entry for entry in social if entry.opinion)
        disputed = InformationDisputed(
            details=done(at(self._day(8), 10, 20)),
            entry_id=opinion.entry_id,
            grounds="A child who is exploited does not choose it. The parent came to every meeting at school that was held after work.",
        )
        yield Saying(agency=cast.school, event=disputed, words="the school disputes an opinion of the council: both stay and are shown")
        visit = next(entry for entry in health if entry.record_reference.startswith("ED"))
        right = replace(self._accounts.hospital_visit(days_before=204), entry_id=visit.entry_id, record_reference=visit.record_reference)
        corrected = InformationCorrected(
            details=done(at(self._day(9), 14, 10)),
            entry_id=visit.entry_id,
            replacement=right,
            reason="The hospital's system showed the day on which the letter was typed; the visit was a week later.",
        )
        yield Saying(agency=area.board, event=corrected, words="health corrects the day of a hospital visit, with its reason")

    def _shared(self, agency: AgencyId, day: int, entries: Iterator[Entry] | Sequence[Entry], words: str) -> Saying:
        untold = FamilyTold(told=False, reason_if_not="A criminal investigation is running; the officer in charge will say when.")
        shared = InformationShared(
            details=done(at(self._day(day), 15, 10)),
            request_id=self._requests[agency],
            entries=tuple(entries),
            family_told=untold if agency == self._cast.area.police else FamilyTold(told=True),
            caldicott_checks=(CaldicottCheck.JUSTIFY_PURPOSE, CaldicottCheck.MINIMUM_NECESSARY, CaldicottCheck.DUTY_TO_SHARE),
        )
        return Saying(agency=agency, event=shared, words=words)

    def _meeting(self) -> Iterator[Saying]:
        meeting, learning, met_on = minted(self._ids), minted(self._ids), self._day(10)
        for number, agency in enumerate(self._cast.asked):
            nil = agency == self._cast.youth_justice
            yield self._by_unit(AgencyReturnReceived(details=done(at(self._day(8), 9, number)), agency=agency, nil_return=nil))
        held = MeetingHeld(details=done(at(met_on, 13)), meeting_id=meeting, held_on=met_on, agencies_present=self._cast.asked)
        yield self._by_unit(held, "the rapid review meets")
        considered = EthnicityAndCultureConsidered(
            details=done(at(met_on, 12, 30)),
            considerations="How adults saw this child: older than the child was, and as a threat before as a victim. Whether other"
            " children of the area would have been seen so.",
        )
        yield self._by_unit(considered, "and considers ethnicity, culture and identity")
        identified = ImmediateLearningIdentified(
            details=done(at(met_on, 12, 45)),
            learning_id=learning,
            learning="A child found far from home at night is referred the same night, by whoever finds the child.",
        )
        yield self._by_unit(identified)
        yield self._by_unit(MinutesCirculated(details=done(at(self._day(12), 10)), meeting_id=meeting), "minutes go out")
        out = ImmediateLearningDisseminated(
            details=done(at(self._day(13), 9)), learning_id=learning, audience="Duty teams, custody, emergency departments, schools"
        )
        yield self._by_unit(out)
        yield self._by_unit(RapidReviewDrafted(details=done(at(self._day(13), 16)), summary="Draft of the rapid review (synthetic)."))
        late = DelayExplained(
            details=done(at(self._day(14), 16, 30)),
            clock=ClockId("K5B"),
            reason=DelayReason.AWAITING_INFORMATION,
            explanation="What the telephone held came from the laboratory after the meeting and changed the order of events.",
            expected_on=self._sent_on,
            told=(Recipient.PANEL,),
        )
        yield self._by_unit(late, "the review will be late: the reason is given to the Panel beforehand")

    def _deciding(self) -> Iterator[Saying]:
        area, before = self._cast.area, working_day(self._sent_on, -1)
        recommended = DecisionRecommended(
            details=done(at(before, 9, 30)),
            recommendation=Recommendation.LOCAL_REVIEW,
            rationale="There is learning for every agency that no single one of them can find alone.",
        )
        yield self._by_unit(recommended)
        for partner, hour in ((area.council, 11), (area.board, 15)):
            yield Saying(agency=partner, event=PartnerSignedOff(details=done(at(before, hour)), by_role="statutory-partner"))
        completed_at = self._sent_at - timedelta(minutes=40)
        yield self._by_unit(RapidReviewCompleted(details=done(completed_at), summary="The rapid review (synthetic)."))
        decision = DecisionMade(
            details=done(completed_at + timedelta(minutes=10)),
            decision=Decision.LOCAL_REVIEW,
            rationale="How agencies recognise a child who is exploited and answer together.",
            national_review_suggested=False,
        )
        yield self._by_unit(decision, "the partners decide on a local review")
        forged = PartnerSignedOff(details=done(completed_at + timedelta(minutes=20)), by_role="statutory-partner")
        yield replace(
            self._by_unit(forged, "the business unit tries to sign off for the police"),
            refused_by="rapid_review.sign_off_is_the_partners_own",
        )
        sent = self._by_unit(SentToPanel(details=done(self._sent_at)), "so the review goes to the Panel without the police's sign-off")
        yield replace(sent, finds=(NOT_SIGNED_OFF,))

    def _answering(self) -> Iterator[Saying]:
        area, day = self._cast.area, working_day(self._sent_on, 1)
        signed = PartnerSignedOff(details=done(at(day, 10)), by_role="statutory-partner")
        yield Saying(agency=area.police, event=signed, words="the police sign off a day later", mends=(NOT_SIGNED_OFF,))
        yield self._by_unit(ChairAndScrutineerInformed(details=done(at(day, 11)), informed_on=day))
        yield Saying(agency=PANEL_ID, event=PanelAcknowledged(details=done(at(day, 12)), reference="RR-synthetic-1"))
        agreed = PanelAgreed(
            details=done(at(working_day(self._sent_on, 6), 15)),
            comment="The Panel agrees and asks the review to look at the months between the first absence and the first referral.",
        )
        yield Saying(agency=PANEL_ID, event=agreed, words="the Panel agrees")
