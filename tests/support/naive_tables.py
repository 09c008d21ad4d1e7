"""The Panel's tables counted a second time: slow, plain loops over the events themselves, sharing nothing with the oversight view.

Its labels come from the published report's data file, its working days from the ``holidays`` package, its percents from fractions.
Every table is a list of ``(label, cells)`` with cells as text, in printed order, the total last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import holidays

from domain.agency.events import AgencyEnrolled
from domain.areas import RULES
from domain.incident.events import Child, ChildAdded, IncidentNotified, IncidentReclassified, NotificationAmended
from domain.kernel.events import Recorded
from domain.local_review.events import CopyProvided, LocalReviewInitiated
from domain.local_review.rules import NEEDS_REPORT

REPORT = json.loads(Path(__file__).parents[2].joinpath("projections/oversight/panel_2020.json").read_text(encoding="utf-8"))
CLOSED = set(holidays.country_holidays("GB", subdiv="ENG", years=range(2012, 2029)))
REVIEW_WORKING_DAYS = 15
CLOCK_BEGAN = date(2018, 6, 29)

Rows = list[tuple[str, tuple[str, ...]]]


@dataclass
class NaiveCase:
    kind: str
    day_zero: date
    happened: date
    notifier: str
    children: dict[str, Child]
    traits: set[str]
    fifth: int | None
    care_leaver: bool
    received: date | None = None
    decision: str = "undecided"
    response: str = "none"
    local_decided: date | None = None
    with_panel: date | None = None
    published: date | None = None
    declined: bool = False

    def index(self) -> Child | None:
        for child in self.children.values():
            if child.index_child:
                return child
        return next(iter(self.children.values()), None)


def london(instant: datetime) -> date:
    return instant.astimezone(ZoneInfo("Europe/London")).date()


def works(day: date) -> bool:
    return day.isoweekday() <= 5 and day not in CLOSED


def working_days(start: date, end: date) -> int:
    if end < start:
        return -working_days(end, start)
    return sum(works(start + timedelta(days=step)) for step in range(1, (end - start).days + 1))


def asked_for_by(day_zero: date) -> date:
    day, left = day_zero, REVIEW_WORKING_DAYS
    while left:
        day += timedelta(days=1)
        left -= works(day)
    return day


def share(part: int, whole: int, places: int) -> str:
    if whole == 0:
        return ""
    shifted = floor(Fraction(100 * part, whole) * 10**places + Fraction(1, 2))
    text = str(shifted).rjust(places + 1, "0")
    return text if places == 0 else f"{text[:-places]}.{text[-places:]}"


def said_by(events: Sequence[Recorded], count_day: date) -> list[tuple[datetime, int, Recorded]]:
    """What stands by the end of the day: each thing said once, the newest correction by then in its place, in the order of doing."""
    standing = []
    for first in events:
        if any(other.event_id == first.corrects and other.event_type == first.event_type for other in events):
            continue
        versions = [first]
        for later in events:
            if later.event_type == first.event_type and later.corrects in [version.event_id for version in versions]:
                versions.append(later)
        counting = [version for version in versions if london(version.scored_at) <= count_day]
        if not counting:
            continue
        instant = first.scored_at
        if first.imported:
            asserted = [v.scored_at for v in counting if v.imported and v.event is not None]
            instant = asserted[-1] if asserted else instant
        if london(instant) <= count_day:
            standing.append((instant, first.position, counting[-1]))
    return sorted(standing, key=lambda entry: (entry[0], entry[1]))


def compose(events: Sequence[Recorded], count_day: date) -> NaiveCase | None:
    """One case, or None where it does not count."""
    standing = said_by(events, count_day)
    if any(one.event_type == "incident.notification_withdrawn.v1" for _, _, one in standing):
        return None
    case = None
    for instant, position, one in standing:
        if isinstance(one.event, IncidentNotified) and case is None:
            imported = next(other.imported for other in events if other.position == position)
            case = start(one.event, london(instant), one.agency_id)
    if case is None:
        return None
    for instant, _, one in standing:
        amend(case, one, imported=imported)
        proceed(case, one, london(instant))
    return case if case.day_zero <= count_day else None


def start(event: IncidentNotified, day_zero: date, notifier: str) -> NaiveCase:
    return NaiveCase(
        kind=event.notification_type.value,
        day_zero=day_zero,
        happened=event.incident_on.day,
        notifier=notifier,
        children={child.child_id: child for child in event.children},
        traits={trait.value for trait in event.characteristics},
        fifth=event.deprivation_fifth,
        care_leaver=event.care_leaver_only,
    )


def amend(case: NaiveCase, one: Recorded, *, imported: bool) -> None:
    event = one.event
    if isinstance(event, NotificationAmended | IncidentReclassified):
        for child in event.children:
            if child.child_id in case.children:
                case.children[child.child_id] = child
    if isinstance(event, IncidentReclassified):
        case.kind = event.notification_type.value
    if isinstance(event, ChildAdded):
        case.children[event.child.child_id] = event.child
    if isinstance(event, NotificationAmended):
        amend_plainly(case, event, imported=imported)


def amend_plainly(case: NaiveCase, event: NotificationAmended, *, imported: bool) -> None:
    if event.characteristics is not None:
        case.traits = {trait.value for trait in event.characteristics.values}
    if event.deprivation_fifth is not None:
        case.fifth = event.deprivation_fifth
    if event.incident_on is not None:
        case.happened = event.incident_on.day
    if event.notified_at is not None and imported:
        case.day_zero = london(event.notified_at)


def proceed(case: NaiveCase, one: Recorded, day: date) -> None:
    name = one.event_type.removesuffix(".v1")
    if name == "rapid_review.sent_to_panel":
        case.received = min(case.received or day, day)
    elif name in ("rapid_review.decision_made", "rapid_review.decision_reconsidered") and one.event is not None:
        case.decision = one.event.decision.value  # type: ignore[attr-defined]
    elif name in ("rapid_review.panel_agreed", "rapid_review.panel_disagreed", "rapid_review.panel_asked_for_more"):
        case.response = name.removeprefix("rapid_review.panel_")
    elif name == "local_review.initiated" and case.local_decided is None:
        case.local_decided = one.event.decided_on if isinstance(one.event, LocalReviewInitiated) else day
    elif isinstance(one.event, CopyProvided) and one.event.recipient.value == "panel":
        case.with_panel = min(case.with_panel or day, day)
    elif name in ("local_review.published", "local_review.improvements_only_published"):
        case.published = min(case.published or day, day)
        case.with_panel = min(case.with_panel or day, day)
    elif name in ("local_review.publication_declined", "local_review.non_publication_justified"):
        case.declined = True
    elif name == "local_review.publication_scheduled":
        case.declined = False


def naive_tables(log: Sequence[Recorded], basis: str, first: date, last: date, count_day: date) -> dict[str, Rows]:
    """Count every table; incidents come into the period by ``basis`` (occurred or notified)."""
    by_case: dict[str, list[Recorded]] = {}
    for one in log:
        if one.event_type != "agency.enrolled.v1":
            by_case.setdefault(one.stream.partition("-")[2], []).append(one)
    everyone = [case for case in (compose(events, count_day) for events in by_case.values()) if case is not None]
    councils = {one.event.agency_id for one in log if isinstance(one.event, AgencyEnrolled) and one.event.kind.value == "local_authority"}
    cases = [case for case in everyone if first <= (case.happened if basis == "occurred" else case.day_zero) <= last]
    judged = [events for events in by_case.values() if (case := compose(events, count_day)) is not None and case in cases]
    return {
        "findings": findings(judged, count_day),
        **incident_tables(cases),
        **children_tables(cases),
        **review_tables([case for case in everyone if not case.care_leaver], first, last, count_day),
        **decision_tables([case for case in cases if not case.care_leaver]),
        **local_tables(everyone, first, last),
        "areas": areas(cases, councils),
    }


def findings(cases: Sequence[Sequence[Recorded]], count_day: date) -> Rows:
    """How often each rule went from kept to broken in a case by the end of the day, and back."""
    rows = []
    for rule in [one for one in RULES.values() if one.mend and one is not NEEDS_REPORT]:
        broke = repaired = 0
        for events in cases:
            is_broken = False
            for one in sorted(events, key=lambda one: one.position):
                if london(one.scored_at) > count_day:
                    continue
                broke += rule.id in one.findings and not is_broken
                repaired += rule.id in one.mended and is_broken
                is_broken = (is_broken or rule.id in one.findings) and rule.id not in one.mended
        rows.append((rule.words, (broke, repaired, broke - repaired)))
    rows.append(("Total", tuple(sum(cells[place] for _, cells in rows) for place in range(3))))  # type: ignore[arg-type]
    return [(label, tuple(map(str, cells))) for label, cells in rows]


def listed(labels: Iterable[str], codes: Iterable[str], found: Sequence[str | None], places: int) -> Rows:
    """Labels and codes in the same order, counted, with the percent of all found."""
    pairs = list(zip(labels, codes, strict=True))
    rows = [(label, (str(found.count(code)), share(found.count(code), len(found), places))) for label, code in pairs]
    missing = len([code for code in found if code not in [known for _, known in pairs]])
    if missing:
        rows.append(("Not recorded", (str(missing), share(missing, len(found), places))))
    return [*rows, ("Total", (str(len(found)), share(len(found), len(found), places)))]


def printed(table: str) -> list[str]:
    return [row["label"] for row in REPORT["tables"][table]["rows"]]


DEATHS = [
    "overt_filicide",
    "covert_filicide",
    "fatal_physical_abuse",
    "severe_persistent_cruelty",
    "extreme_neglect",
    "extra_familial_homicide",
    "extra_familial_fatal_assault",
    "sudi",
    "suicide",
    "other_maltreatment_related",
    "not_maltreatment_related",
    "not_clear",
]
OTHER_DEATHS = ["accident", "medical", "risk_taking", "poisoning", "other"]
HARMS = [
    "physical_abuse",
    "neglect",
    "emotional_abuse",
    "sexual_abuse_intra_familial",
    "sexual_abuse_extra_familial",
    "sexual_exploitation",
    "criminal_exploitation",
    "young_person_perpetrator",
    "risk_taking_or_violent",
    "other",
]
TRAITS = [
    "parental_alcohol_misuse",
    "parental_drug_misuse",
    "parental_adverse_childhood",
    "parent_care_leaver",
    "parental_criminal_record",
    "parental_mental_ill_health",
    "parental_learning_difficulty",
    "parental_separation",
    "domestic_abuse",
    "elective_home_education",
    "disability",
    "child_mental_ill_health",
]
MORE_TRAITS = {
    "Maternal mental ill-health": "maternal_mental_ill_health",
    "Paternal mental ill-health": "paternal_mental_ill_health",
    "Neglect a feature": "neglect",
    "Background of exploitation": "exploitation_background",
    "Peer-on-peer": "peer_on_peer",
    "Secure establishment": "secure_establishment",
}
SERVICE_CODES = [
    [
        "information_no_referral",
        "referral_no_assessment",
        "initial_assessment",
        "caf",
        "child_in_need",
        "child_protection_plan",
        "looked_after",
        "other",
    ],
    ["care_order", "section_20_accommodation", "other"],
    ["relatives", "foster_care", "residential_home", "semi_independent", "other"],
]


def incident_tables(cases: list[NaiveCase]) -> dict[str, Rows]:
    deaths = [case for case in cases if case.kind == "death"]
    others = [case for case in cases if case.kind != "death"]
    fifths = [None if case.fifth is None else str(case.fifth) for case in cases]
    names = ["20% most deprived", "second fifth", "third fifth", "fourth fifth", "20% least deprived"]
    return {
        "chart": listed(printed("chart_1"), ["death", "serious_harm", "other"], [case.kind for case in cases], 0),
        "2": with_kinds(listed(printed("table_2"), DEATHS, [code(case, "death_category") for case in deaths], 1), deaths),
        "3": listed(printed("table_3"), HARMS, [code(case, "harm_category") for case in others], 1),
        "4": traits(cases, dict(zip(printed("table_4"), TRAITS, strict=True))),
        "characteristics": traits(cases, MORE_TRAITS),
        "5": services(cases),
        "deprivation": listed(names, ["1", "2", "3", "4", "5"], fifths, 0),
    }


def code(case: NaiveCase, name: str) -> str | None:
    child = case.index()
    value = None if child is None else getattr(child, name)
    return None if value is None else str(value.value)


def with_kinds(rows: Rows, deaths: list[NaiveCase]) -> Rows:
    """Put table 2's sub-rows behind the row they are of."""
    kinds = [code(case, "other_death_kind") for case in deaths if code(case, "death_category") == "other_maltreatment_related"]
    labels = REPORT["code_lists"]["other_death_subcategory"]
    below = [(label, (str(kinds.count(kind)), "")) for label, kind in zip(labels, OTHER_DEATHS, strict=True)]
    if None in kinds:
        below.append(("Kind not recorded", (str(kinds.count(None)), "")))
    place = [label for label, _ in rows].index("Other deaths related to maltreatment, of which:")
    return [*rows[: place + 1], *below, *rows[place + 1 :]]


def by_type(all_cases: list[NaiveCase], having: list[NaiveCase], *, percents: bool = True) -> tuple[str, ...]:
    cells = []
    for kind in ("death", "serious_harm", "other"):
        number = len([case for case in having if case.kind == kind])
        base = len([case for case in all_cases if case.kind == kind])
        cells.append(str(number))
        if kind != "other":
            cells.append(share(number, base, 1) if percents else "")
    return (*cells, str(len(having)), share(len(having), len(all_cases), 1) if percents else "")


def bases(cases: list[NaiveCase]) -> tuple[str, tuple[str, ...]]:
    return ("All incidents", by_type(cases, cases, percents=False))


def traits(cases: list[NaiveCase], labels: dict[str, str]) -> Rows:
    rows = [(label, by_type(cases, [case for case in cases if trait in case.traits])) for label, trait in labels.items()]
    return [*rows, bases(cases)]


def services(cases: list[NaiveCase]) -> Rows:
    rows: Rows = []
    for place, (group, codes) in enumerate(zip(REPORT["tables"]["table_5"]["groups"], SERVICE_CODES, strict=True)):
        known = [(case, involvement(case, place)) for case in cases]
        rows.append((group["label"], by_type(cases, [case for case, found in known if found & set(codes)])))
        for label, wanted in zip(group["rows"], codes, strict=True):
            rows.append((label, by_type(cases, [case for case, found in known if wanted in found], percents=False)))
    return [*rows, bases(cases)]


def involvement(case: NaiveCase, group: int) -> set[str]:
    child = case.index()
    if child is None:
        return set()
    if group == 0:
        return {service.value for service in child.services}
    if group == 1:
        return {order.value for order in child.court_orders}
    return {child.living_arrangement.value}


ETHNIC = [
    ["indian", "pakistani", "bangladeshi", "chinese", "asian_other"],
    ["black_african", "black_caribbean", "black_other"],
    ["mixed_white_and_black_caribbean", "mixed_white_and_black_african", "mixed_white_and_asian", "mixed_other"],
    ["white_british", "white_irish", "gypsy_or_irish_traveller", "roma", "white_other"],
    ["arab", "other"],
    ["refused", "not_recorded"],
]


def children_tables(cases: list[NaiveCase]) -> dict[str, Rows]:
    children = [(case, child) for case in cases for child in case.children.values()]
    ethnic = [child.ethnicity.value for _, child in children]
    recorded = len([one for one in ethnic if one not in ETHNIC[5]])
    rows = []
    for place, (label, codes) in enumerate(zip(REPORT["code_lists"]["ethnic_group"], ETHNIC, strict=True)):
        number = len([one for one in ethnic if one in codes])
        rows.append((label, (str(number), "" if place == 5 else share(number, recorded, 1))))
    genders = REPORT["code_lists"]["gender"]
    ages = [age_band(case, child) for case, child in children]
    names = ["Under 1", "1 to 4", "5 to 9", "10 to 14", "15 to 17", *(["18 and over"] if "18 and over" in ages else [])]
    return {
        "1": [*rows, ("Total", (str(len(ethnic)), ""))],
        "gender": listed(genders, genders, [child.gender.value for _, child in children], 0),
        "age": listed(names, names, ages, 0),
    }


def age_band(case: NaiveCase, child: Child) -> str | None:
    years = child.age_years
    if child.born_on is not None:
        years = 0
        while (case.happened.year - years - 1, case.happened.month, case.happened.day) >= child.born_on.timetuple()[:3]:
            years += 1
    if years is None:
        return None
    for name, oldest in (("Under 1", 0), ("1 to 4", 4), ("5 to 9", 9), ("10 to 14", 14), ("15 to 17", 17)):
        if years <= oldest:
            return name
    return "18 and over"


def review_tables(cases: list[NaiveCase], first: date, last: date, count_day: date) -> dict[str, Rows]:
    """Tables 6 to 8, and beside each the fewest and most working days of the reviews not yet received."""
    due = [(case, asked_for_by(case.day_zero)) for case in cases if case.day_zero >= CLOCK_BEGAN]
    due = [(case, day) for case, day in due if first <= day <= last]
    tables: dict[str, Rows] = {}
    for number, months in (("6", range(1, 13)), ("7", (1, 2, 3, 10, 11, 12)), ("8", range(4, 10))):
        those = [case for case, day in due if day.month in months]
        days = [(case, working_days(case.day_zero, case.received or count_day)) for case in those]
        rows: Rows = []
        for label, low, high in (("1-15", -9999, 15), ("16-25", 16, 25), ("26-59", 26, 59), ("60+", 60, 99999)):
            band = [case for case, taken in days if low <= taken <= high]
            rows.append(timed(label, band, len(those)))
        tables[number] = [*rows, timed("Total", those, len(those))]
        waiting = [taken for case, taken in days if case.received is None]
        tables[f"{number} waiting"] = [("range", (str(min(waiting)), str(max(waiting))))] if waiting else []
    return tables


def timed(label: str, band: list[NaiveCase], base: int) -> tuple[str, tuple[str, ...]]:
    received = len([case for case in band if case.received is not None])
    return (label, (str(received), str(len(band) - received), str(len(band)), share(len(band), base, 0)))


def decision_tables(cases: list[NaiveCase]) -> dict[str, Rows]:
    labels = REPORT["code_lists"]["lcspr_decision"]
    answers = ["agreed with the local decision", "disagreed with the local decision", "asked for more", "no response yet"]
    received = [case.response for case in cases if case.received is not None]
    return {
        "decisions": listed(labels, ["local_review", "no_local_review", "undecided"], [case.decision for case in cases], 0),
        "agreement": listed(answers, ["agreed", "disagreed", "asked_for_more", "none"], received, 0),
    }


def local_tables(everyone: list[NaiveCase], first: date, last: date) -> dict[str, Rows]:
    started = [case.local_decided.year for case in everyone if case.local_decided is not None and first <= case.local_decided <= last]
    years = [(str(year), (str(started.count(year)),)) for year in range(min(started, default=1), max(started, default=0) + 1)]
    reviews = [case for case in everyone if case.local_decided and case.with_panel is not None and first <= case.with_panel <= last]
    states = ["published" if case.published else ("not" if case.declined else "intend") for case in reviews]
    return {
        "local_reviews_initiated": [*years, ("Total", (str(len(started)),))],
        "local_reviews_received": listed(
            ["published", "intention to publish", "not intending to publish"],
            ["published", "intend", "not"],
            states,
            0,
        ),
    }


def areas(cases: list[NaiveCase], councils: set[Any]) -> Rows:
    bands: list[str | None] = []
    for council in councils:
        number = len([case for case in cases if case.notifier == council])
        bands.append("none" if number == 0 else "one or two" if number <= 2 else "three to six" if number <= 6 else "seven or more")
    names = REPORT["code_lists"]["notifications_per_area_bands"]
    return listed(names, names, bands, 0)
