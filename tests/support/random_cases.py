"""Random logs of cases as the hub may hold them: live and imported, amended, corrected, withdrawn, late, missing, and with bodies gone.

Nobody here exists. What is on such a log need not have been admitted: counting must cope with more than the deciders let in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Final

from domain.agency.events import AgencyEnrolled
from domain.incident import rules as incident_rules
from domain.incident.codes import (
    Characteristic,
    CloseReason,
    CourtOrder,
    DeathCategory,
    Disability,
    Ethnicity,
    Gender,
    HarmCategory,
    LegalStatus,
    LivingArrangement,
    NotificationType,
    OtherDeathKind,
    PlaceKind,
    ServiceInvolvement,
    Sex,
)
from domain.incident.events import (
    Characteristics,
    Child,
    ChildAdded,
    DuplicateLinked,
    IncidentClosed,
    IncidentNotified,
    IncidentReclassified,
    NotificationAmended,
    NotificationWithdrawn,
)
from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.events import Correction, Details, Event, Precision, Recorded, When
from domain.kernel.ids import AgencyId, CaseId, ChildId, EventId, Shard, Stream
from domain.local_review import rules as local_review_rules
from domain.local_review.events import (
    CopyKind,
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
from domain.rapid_review import rules as rapid_review_rules
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

COUNCILS: Final = tuple(AgencyId(f"la-E099999{number:02}") for number in range(12))
SHARDS: Final = (Shard("eastmoor"), Shard("northmoor"), Shard("westmoor"))
FINDINGS: Final = sorted(
    [rule.id for rule in incident_rules.RULES if rule.mend]
    + [rule.id for rule in (*rapid_review_rules.FINDINGS, *local_review_rules.FINDINGS)]
)
IMPORTED_ON: Final = datetime(2025, 3, 3, 9, 0, tzinfo=UTC)

_EDGES: Final = (
    datetime(2019, 12, 31, 23, 30, tzinfo=UTC),
    datetime(2020, 3, 10, 12, 0, tzinfo=UTC),
    datetime(2020, 3, 31, 23, 30, tzinfo=UTC),
    datetime(2020, 4, 9, 22, 59, tzinfo=UTC),
    datetime(2020, 4, 9, 23, 0, tzinfo=UTC),
    datetime(2020, 5, 7, 10, 0, tzinfo=UTC),
    datetime(2020, 8, 28, 23, 30, tzinfo=UTC),
    datetime(2020, 9, 9, 9, 0, tzinfo=UTC),
    datetime(2020, 12, 9, 9, 0, tzinfo=UTC),
    datetime(2020, 12, 10, 9, 0, tzinfo=UTC),
    datetime(2020, 12, 24, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2020, 12, 31, 23, 59, tzinfo=UTC),
    datetime(2021, 1, 1, 0, 0, tzinfo=UTC),
)
_DELAYS_DAYS: Final = (0, 0, 1, 5, 15, 19, 20, 21, 22, 23, 30, 34, 35, 36, 37, 60, 80, 84, 85, 86, 90, 140, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One event before it has a place on the log."""

    event: Event
    at: datetime
    by: AgencyId
    category: str
    imported: bool
    event_id: bytes


def random_log(seed: int, cases: int) -> tuple[Recorded, ...]:
    """Return the councils' enrolments and then ``cases`` cases over three shards, each shard in position order."""
    rng = Random(seed)
    log: list[Recorded] = list(_enrolments())
    for shard in SHARDS:
        steps: list[tuple[CaseId, Step]] = []
        gone: set[CaseId] = set()
        for _ in range(cases // len(SHARDS)):
            case_id = CaseId(str(_uuid(rng)))
            steps += [(case_id, step) for step in _RandomCase(rng).steps()]
            if rng.random() < 0.05:
                gone.add(case_id)
        log += _placed(rng, shard, steps, gone)
    return tuple(log)


def batches(log: Sequence[Recorded], rng: Random, largest: int) -> list[list[Recorded]]:
    """Cut a log into batches of one shard each, in order."""
    cut: list[list[Recorded]] = []
    for one in log:
        if not cut or cut[-1][0].shard != one.shard or len(cut[-1]) >= rng.randint(1, largest):
            cut.append([])
        cut[-1].append(one)
    return cut


def _enrolments() -> list[Recorded]:
    """Enrol the councils and two others who are none."""
    agencies = [*COUNCILS, AgencyId("police-northmoor"), AgencyId("panel")]
    return [
        Recorded(
            shard=Shard("national"),
            stream=Stream(f"agency-{agency}"),
            position=position,
            version=1,
            event_id=EventId(b"enrolled" + position.to_bytes(8, "big")),
            event_type=AgencyEnrolled.EVENT_TYPE,
            agency_id=AgencyId("operator"),
            signed_at=IMPORTED_ON,
            recorded_at=IMPORTED_ON,
            event=AgencyEnrolled(agency_id=agency, kind=AgencyKind(kind_of(agency)), name="Synthetic", live_from=date(2025, 3, 3)),
        )
        for position, agency in enumerate(agencies, start=1)
    ]


def _placed(rng: Random, shard: Shard, steps: list[tuple[CaseId, Step]], gone: set[CaseId]) -> list[Recorded]:
    """Give the steps their places: live ones in the order in which they were recorded, imported ones as they were told."""
    ordered = sorted(steps, key=lambda entry: IMPORTED_ON if entry[1].imported else entry[1].at)
    versions: dict[str, int] = {}
    log = []
    for position, (case_id, step) in enumerate(ordered, start=1):
        stream = f"{step.category}-{case_id}"
        judged = rng.sample(FINDINGS, k=rng.choice((0, 0, 1, 3)))
        versions[stream] = versions.get(stream, 0) + 1
        recorded_at = IMPORTED_ON + timedelta(milliseconds=position) if step.imported else step.at
        log.append(
            Recorded(
                shard=shard,
                stream=Stream(stream),
                position=position,
                version=versions[stream],
                event_id=EventId(step.event_id),
                event_type=step.event.EVENT_TYPE,
                agency_id=step.by,
                imported=step.imported,
                signed_at=recorded_at,
                recorded_at=recorded_at,
                event=None if case_id in gone or rng.random() < 0.002 else step.event,
                findings=tuple(judged[:2]),
                mended=tuple(judged[2:] if rng.random() < 0.5 else rng.sample(FINDINGS, k=1) if not judged else ()),
            )
        )
    return log


def _uuid(rng: Random) -> str:
    text = f"{rng.getrandbits(128):032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class _RandomCase:
    """One case, told by the chances below."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._imported = rng.random() < 0.6
        self._council = rng.choice(COUNCILS[:-2]) if rng.random() < 0.97 else AgencyId("la-E09000001")
        self._children: list[Child] = []
        self._notified_at = self._instant()
        self._steps: list[Step] = []

    def steps(self) -> list[Step]:
        """Return the case's steps; a correction always behind what it corrects."""
        self._notify()
        self._amend()
        self._review()
        self._local_review()
        if self._chance(0.1):
            self._say(NotificationWithdrawn(rationale="Synthetic."), self._later())
        if self._chance(0.1):
            self._say(IncidentClosed(reason=CloseReason.OTHER), self._later())
        if self._chance(0.05):
            self._say(DuplicateLinked(other_case=CaseId(_uuid(self._rng)), rationale="Synthetic."), self._later())
        self._correct()
        return self._steps

    def _chance(self, of: float) -> bool:
        return self._rng.random() < of

    def _instant(self) -> datetime:
        if self._chance(0.4):
            return self._rng.choice(_EDGES)
        return datetime(2019, 11, 1, tzinfo=UTC) + timedelta(minutes=self._rng.randrange(600 * 24 * 60))

    def _later(self) -> datetime:
        return self._notified_at + timedelta(days=self._rng.choice(_DELAYS_DAYS), minutes=self._rng.randrange(3 * 24 * 60))

    def _say(self, event: Event, at: datetime, category: str = "incident", corrected: Step | None = None) -> None:
        imported = self._imported and (isinstance(event, IncidentNotified) or self._chance(0.9))
        if corrected is not None and not corrected.imported:
            imported = False
        corrects = None if corrected is None else Correction(event_id=corrected.event_id, reason="Synthetic.")
        done_at = at if imported else (at - timedelta(days=3) if self._chance(0.3) else None)
        details = Details(done_at=done_at, corrects=corrects)
        at = at if imported or not self._imported else IMPORTED_ON + (at - self._notified_at)
        if corrected is not None and not imported:
            at = max(at, corrected.at + timedelta(hours=1))
        step = Step(
            event=replace(event, details=details),
            at=at,
            by=self._council,
            category=category,
            imported=imported,
            event_id=self._rng.randbytes(16),
        )
        self._steps.append(step)

    def _child(self, *, index: bool, death: bool) -> Child:
        rng = self._rng
        day = self._notified_at.date()
        category = rng.choice(list(DeathCategory)) if death and self._chance(0.97) else None
        return Child(
            child_id=ChildId(_uuid(rng)),
            index_child=index,
            sex=rng.choice(list(Sex)),
            gender=rng.choice(list(Gender)),
            age_years=rng.choice((None, 0, 0, 1, 4, 5, 9, 10, 14, 15, 16, 17, 18, 20)),
            born_on=day - timedelta(days=rng.randrange(20 * 366)) if self._chance(0.4) else None,
            ethnicity=rng.choice(list(Ethnicity)),
            disability=rng.choice(list(Disability)),
            legal_status=rng.choice(list(LegalStatus)),
            services=tuple(rng.choices(list(ServiceInvolvement), k=rng.randrange(4))),
            court_orders=tuple(rng.choices(list(CourtOrder), k=rng.randrange(3))),
            living_arrangement=rng.choice(list(LivingArrangement)),
            death_category=category,
            other_death_kind=rng.choice([*OtherDeathKind, None]) if category is DeathCategory.OTHER_MALTREATMENT_RELATED else None,
            harm_category=rng.choice([*HarmCategory, None]),
        )

    def _kind(self) -> NotificationType:
        return self._rng.choice([NotificationType.DEATH, NotificationType.DEATH, NotificationType.SERIOUS_HARM, NotificationType.OTHER])

    def _when(self) -> When:
        day = self._notified_at - timedelta(days=self._rng.randrange(40))
        match self._rng.choice(list(Precision)):
            case Precision.INSTANT:
                return When(precision=Precision.INSTANT, at=day)
            case Precision.PERIOD:
                return When(precision=Precision.PERIOD, on=day.date(), until_on=day.date() + timedelta(days=20))
            case Precision.MONTH:
                return When(precision=Precision.MONTH, on=day.date().replace(day=1))
            case Precision.YEAR:
                return When(precision=Precision.YEAR, on=day.date().replace(month=1, day=1))
            case Precision.DAY:
                return When(precision=Precision.DAY, on=day.date())

    def _traits(self) -> tuple[Characteristic, ...]:
        return tuple(self._rng.sample(list(Characteristic), k=self._rng.randrange(8)))

    def _notify(self) -> None:
        kind = self._kind()
        number = self._rng.choice((1, 1, 1, 2, 3))
        index = self._rng.randrange(number)
        death = kind is NotificationType.DEATH
        self._children = [self._child(index=number > 1 and place == index, death=death) for place in range(number)]
        self._say(
            IncidentNotified(
                notification_type=kind,
                incident_on=self._when(),
                place=PlaceKind.OWN_HOME,
                incident_authority=self._council,
                residence_authority=self._council,
                circumstances="Synthetic.",
                children=tuple(self._children),
                characteristics=self._traits(),
                deprivation_fifth=self._rng.choice((None, 1, 1, 2, 3, 4, 5)),
                care_leaver_only=self._chance(0.04),
            ),
            self._notified_at,
        )

    def _amend(self) -> None:
        for _ in range(self._rng.choice((0, 0, 1, 3))):
            again = replace(self._child(index=self._chance(0.3), death=True), child_id=self._rng.choice(self._children).child_id)
            self._say(
                NotificationAmended(
                    reason="Synthetic.",
                    children=(again,) if self._chance(0.5) else (),
                    characteristics=Characteristics(values=self._traits()) if self._chance(0.5) else None,
                    deprivation_fifth=self._rng.choice((None, 1, 5)),
                    incident_on=self._when() if self._chance(0.3) else None,
                    occurrence_reason="Synthetic.",
                    notified_at=self._instant() if self._chance(0.3) else None,
                ),
                self._later(),
            )
        for _ in range(self._rng.choice((0, 0, 0, 1, 2))):
            self._say(ChildAdded(child=self._child(index=False, death=False), reason="Synthetic."), self._later())
        for _ in range(self._rng.choice((0, 0, 0, 1, 2))):
            kind = self._kind()
            again = replace(self._child(index=True, death=kind is NotificationType.DEATH), child_id=self._children[0].child_id)
            self._say(IncidentReclassified(notification_type=kind, children=(again,), reason="Synthetic."), self._later())

    def _review(self) -> None:
        category = "rapid_review"
        self._say(RapidReviewOpened(), self._later(), category)
        if self._chance(0.8):
            self._say(RapidReviewCompleted(summary="Synthetic."), self._later(), category)
        if self._chance(0.8):
            self._say(DecisionMade(decision=self._rng.choice(list(Decision)), rationale="Synthetic."), self._later(), category)
        if self._chance(0.8):
            self._say(SentToPanel(), self._later(), category)
        for _ in range(self._rng.choice((0, 1, 1, 2))):
            responses: list[Event] = [PanelAgreed(), PanelAgreed(), PanelDisagreed(rationale="S."), PanelAskedForMore(questions="S.")]
            self._say(self._rng.choice(responses), self._later(), category)
        if self._chance(0.2):
            self._say(DecisionReconsidered(decision=self._rng.choice(list(Decision)), rationale="Synthetic."), self._later(), category)

    def _local_review(self) -> None:
        if self._chance(0.6):
            return
        category = "local_review"
        self._say(LocalReviewInitiated(decided_on=self._later().date()), self._later(), category)
        steps: list[Event] = [
            CopyProvided(recipient=CopyRecipient.PANEL, copy_kind=CopyKind.FULL_REPORT),
            CopyProvided(recipient=CopyRecipient.OFSTED, copy_kind=CopyKind.FULL_REPORT),
            LocalReviewPublished(location="Synthetic."),
            ImprovementsOnlyPublished(location="Synthetic."),
            PublicationDeclined(rationale="Synthetic."),
            NonPublicationJustified(justification="Synthetic."),
            PublicationScheduled(planned_on=self._later().date()),
            LocalReviewUnpublished(court_order="Synthetic."),
        ]
        for event in steps:
            if self._chance(0.4):
                self._say(event, self._later(), category)

    def _correct(self) -> None:
        for _ in range(self._rng.choice((0, 0, 1, 2, 3))):
            corrected = self._rng.choice(self._steps)
            at = corrected.at + timedelta(days=self._rng.choice((-20, -3, -1, 0, 1, 4, 30)))
            self._say(self._restated(corrected.event), at, corrected.category, corrected)

    def _restated(self, event: Event) -> Event:
        """Say a thing again, some of it otherwise."""
        match event:
            case IncidentNotified():
                return replace(event, notification_type=self._kind(), incident_on=self._when(), characteristics=self._traits())
            case DecisionMade() | DecisionReconsidered():
                return replace(event, decision=self._rng.choice(list(Decision)))
            case LocalReviewInitiated():
                return replace(event, decided_on=self._later().date())
            case _:
                return event
