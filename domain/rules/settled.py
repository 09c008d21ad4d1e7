"""A case's facts with corrections and amendments applied, and what follows from several of them taken together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from domain.kernel.agencies import AgencyKind
from domain.kernel.events import london_day
from domain.kernel.facts import counting
from domain.kernel.moulds import quick
from domain.rules.facts import Attribute, Fact

_NOTIFIED: Final = "incident.notified.v1"
_ASSESSED: Final = "incident.criteria_assessed.v1"
_BECAME_KNOWN: Final = "incident.became_known.v1"
_AMENDED: Final = "incident.notification_amended.v1"
_CHILD_ADDED: Final = "incident.child_added.v1"
_RECLASSIFIED: Final = "incident.reclassified.v1"
_SCHEDULED: Final = "local_review.publication_scheduled.v1"
_RESCHEDULED: Final = "local_review.publication_rescheduled.v1"
_DEATH_TOLD: Final = ("incident.looked_after_death_notified.v1", "incident.care_leaver_death_notified.v1")
_DEATH_KNOWN: Final = "child.death_known"
_AWARE: Final = "awareness.aware_at"
_AMENDABLE: Final = ("incident_authority", "residence_authority", _AWARE, "notified_at")
_OLDEST_CARE_LEAVER_YEARS: Final = 24  # Working Together 2023 ch. 5: up to and including 24


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """One thing said, as it stands: how it was first said, every correction of it, and what other facts add to it."""

    event_type: str
    versions: tuple[Fact, ...]
    added: Mapping[str, Attribute] = field(default_factory=dict)
    moved_to: datetime | None = None
    """The corrected instant of an imported notification."""
    amended_by: Mapping[str, Fact] = field(default_factory=dict)
    """Which amendment gave a moment, by the name that a clock's start has for it."""

    @property
    def head(self) -> Fact:
        """As it was first said: its place in the order of what became known, and the axis on which it scores."""
        return self.versions[0]

    @property
    def latest(self) -> Fact:
        """As it is said now."""
        return self.versions[-1]

    @property
    def order(self) -> tuple[datetime, int]:
        """Its place among what became known."""
        return self.head.counts_from, self.head.position

    @property
    def asserted_at(self) -> datetime:
        """When the sender says it was done: the last version that says so, or when first recorded."""
        if len(self.versions) == 1:
            return self.head.asserted_at
        return next((version.asserted_at for version in reversed(self.versions) if version.says_when), self.head.recorded_at)

    @property
    def scored_at(self) -> datetime:
        """When it counts, its corrections considered (``domain.kernel.facts.counting``)."""
        return self.moved_to or counting(self.versions).scored_at

    def get(self, path: str) -> Attribute:
        """Return an attribute as it stands."""
        return self.added[path] if path in self.added else self.versions[-1].get(path)

    def scored_since(self, fulfils: Callable[[Callable[[str], Attribute]], bool]) -> datetime:
        """Return since when it has counted as fulfilling a step, which it does as it stands.

        A correction keeps the instant of what it corrects as long as that fulfilled the same step; one that makes it fulfil
        another (another recipient, say) counts from when the correction was recorded, or if that is imported, was done.
        """
        if self.moved_to is not None or len(self.versions) == 1:
            return self.scored_at
        fulfilling = [self.latest]
        for version in reversed(self.versions[:-1]):
            if not fulfils(replace(self, versions=(version,)).get):
                break
            fulfilling.insert(0, version)
        return counting(fulfilling).scored_at if self.head.imported else fulfilling[0].recorded_at


def settle(facts: Iterable[Fact]) -> tuple[Settled, ...]:
    """Return the facts of one case as they stand, in the order in which they became known, with what follows from them."""
    settled = _with_corrections(facts)
    settled = _with_notification(settled)
    settled = _with_judgements(settled)
    settled = _with_plans(settled)
    return (*settled, *_deaths(settled))


def instant(text: Attribute) -> datetime | None:
    """Read an attribute that holds an instant."""
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _with_corrections(facts: Iterable[Fact]) -> tuple[Settled, ...]:
    """Gather every fact with its corrections, which follow one another by position."""
    heads: dict[str, str] = {}
    chains: dict[str, list[Fact]] = {}
    for fact in sorted(facts, key=lambda fact: fact.position):
        head = heads.get(fact.corrects or "")
        if head is not None and chains[head][0].event_type == fact.event_type:
            heads[fact.event_id] = head
            chains[head].append(fact)
        else:
            heads[fact.event_id] = fact.event_id
            chains[fact.event_id] = [fact]
    settled = [Settled(event_type=chain[0].event_type, versions=tuple(chain)) for chain in chains.values()]
    return tuple(sorted(settled, key=lambda each: each.order))


def _awareness(settled: Sequence[Settled], amendment: Settled | None) -> Mapping[str, datetime]:
    """Return since when each council was aware: as it recorded apart, or else as its notification says, ``amendment`` in its place."""
    aware: dict[str, datetime] = {}
    for event_type in (_NOTIFIED, _BECAME_KNOWN):
        for each in settled:
            if each.event_type != event_type or each.head.kind is not AgencyKind.LOCAL_AUTHORITY:
                continue
            said = amendment if amendment is not None and event_type == _NOTIFIED else each
            at = instant(said.get(_AWARE))
            if at is not None:
                aware[each.head.agency_id] = at
    return aware


def _with_notification(settled: Sequence[Settled]) -> tuple[Settled, ...]:
    """Add to a notification the awareness behind it, the other councils concerned, and its corrected instant; all as last amended."""
    given = {path: each for each in settled if each.event_type == _AMENDED for path in _AMENDABLE if each.get(path) is not None}
    aware = _awareness(settled, given.get(_AWARE))

    def extended(each: Settled) -> Settled:
        if each.event_type != _NOTIFIED or each.latest.gone:
            return each
        sender = each.head.agency_id
        areas = [given.get(path, each).get(path) for path in ("incident_authority", "residence_authority")]
        others = {str(area) for area in areas if area is not None} - {sender}
        added: dict[str, Attribute] = {"other_areas": list(sorted(others)) or None}  # noqa: C413 - a list of the invariant type Attribute
        amended_by: dict[str, Fact] = {}
        aware_at = aware.get(sender) or min(aware.values(), default=None)
        if aware_at is not None:
            added[_AWARE] = aware_at.isoformat()
        if _AWARE in given and aware_at == instant(given[_AWARE].get(_AWARE)):
            amended_by[_AWARE] = given[_AWARE].latest
        moved = given.get("notified_at") if each.head.imported else None
        if moved is not None:
            amended_by["scored"] = moved.latest
        return replace(each, added=added, moved_to=None if moved is None else instant(moved.get("notified_at")), amended_by=amended_by)

    return tuple(extended(each) for each in settled)


def _with_judgements(settled: Sequence[Settled]) -> tuple[Settled, ...]:
    """Say of each judgement "not met" whether it stands (nothing else judged since, nothing notified), and which made all councils agree.

    A judgement that is only made again changes nothing: the clock stopped with the first. One made before the council knew of what
    it is judged of again is not the first: the clock had not begun.
    """
    aware = _awareness(settled, None)
    unmet: dict[str, list[Settled]] = {}
    for each in settled:
        if each.event_type == _ASSESSED:
            before = unmet.get(each.head.agency_id, [])
            unmet[each.head.agency_id] = [*before, each] if _is_unmet(each.get) else []
    unmet = {council: _once_aware(judgements, aware.get(council)) for council, judgements in unmet.items()}
    notified = any(each.event_type == _NOTIFIED for each in settled)
    standing = {each.head.position for judgements in unmet.values() for each in judgements} if not notified else set()
    firsts = [min(judgements, key=_unmet_since) for judgements in unmet.values() if judgements]
    agreed = max(firsts, key=_unmet_since).head.position if standing and all(unmet.values()) else None

    def judged(each: Settled) -> Settled:
        if each.event_type != _ASSESSED:
            return each
        return replace(each, added={"stands": each.head.position in standing, "unanimous": each.head.position == agreed})

    return tuple(judged(each) for each in settled)


def _once_aware(judgements: list[Settled], aware_at: datetime | None) -> list[Settled]:
    """Return the judgements made from the day on which the council knew; the last, where all were made before it."""
    if aware_at is None:
        return judgements
    return [each for each in judgements if london_day(_unmet_since(each)[0]) >= london_day(aware_at)] or judgements[-1:]


def _is_unmet(get: Callable[[str], Attribute]) -> bool:
    """Tell whether a judgement is that the criteria are not met."""
    return get("criteria.outcome") == "not_met"


def _unmet_since(judgement: Settled) -> tuple[datetime, int]:
    """Return since when a judgement has been "not met", and its place among others of that instant."""
    return judgement.scored_since(_is_unmet), judgement.head.position


def _with_plans(settled: Sequence[Settled]) -> tuple[Settled, ...]:
    """Let a rescheduled publication be of what was scheduled: the report, or improvements only."""
    planned: list[Settled] = []
    improvements_only: Attribute = None
    for each in settled:
        if each.event_type == _SCHEDULED:
            improvements_only = each.get("improvements_only")
        planned.append(replace(each, added={"improvements_only": improvements_only}) if each.event_type == _RESCHEDULED else each)
    return tuple(planned)


def _deaths(settled: Sequence[Settled]) -> tuple[Settled, ...]:
    """Derive which children's deaths the councils know of, and since when.

    The council's own word in telling of the death comes first; otherwise its awareness of a notified death, or when it learnt that a
    notified incident had become, or included, a death.
    """
    notification_type: Attribute = None
    children: dict[str, dict[str, Attribute]] = {}
    first: dict[str, tuple[Settled, datetime, Fact | None]] = {}
    aware_at: datetime | None = None
    amendment: Fact | None = None
    for each in settled:
        if each.event_type not in (_NOTIFIED, _AMENDED, _CHILD_ADDED, _RECLASSIFIED):
            continue
        if each.event_type == _NOTIFIED:
            aware_at = instant(each.get(_AWARE)) or each.scored_at
            amendment = each.amended_by.get(_AWARE)
        if each.event_type in (_NOTIFIED, _RECLASSIFIED):
            notification_type = each.get("notification_type") or notification_type
        named = each.get("children") or [each.get("child")]
        children |= {str(child["child_id"]): child for child in named if isinstance(child, dict)} if isinstance(named, list) else {}
        learnt_at = instant(each.get("details.became_known_at")) or each.asserted_at
        if aware_at is None or each.event_type in (_CHILD_ADDED, _RECLASSIFIED):
            since, by = learnt_at, None
        else:
            since, by = aware_at, amendment
        for child_id in _dead(notification_type, children):
            first.setdefault(child_id, (each, since, by))
    told = _told_of(settled)
    return tuple(
        _death(each, children[child_id], told.get(child_id, since), None if child_id in told else by)
        for child_id, (each, since, by) in first.items()
        if child_id in _dead(notification_type, children)
    )


def _dead(notification_type: Attribute, children: Mapping[str, Mapping[str, Attribute]]) -> list[str]:
    """Name the children who died: those with a category of death; of a notified death without one, the index child, or all."""
    if notification_type != "death":
        return []
    with_category = [child_id for child_id, child in children.items() if child["death_category"] is not None]
    index = [child_id for child_id, child in children.items() if child["index_child"]]
    return with_category or index or list(children)


def _told_of(settled: Sequence[Settled]) -> dict[str, datetime]:
    """Return, for each child whose death was told, since when the council says it was aware."""
    aware: dict[str, datetime] = {}
    for each in settled:
        at = instant(each.get("aware_at")) if each.event_type in _DEATH_TOLD else None
        if at is not None:
            child_id = str(each.get("child_id"))
            aware[child_id] = min(at, aware.get(child_id, at))
    return aware


def _death(each: Settled, child: Mapping[str, Attribute], aware_at: datetime, amendment: Fact | None) -> Settled:
    """Write the death of one child as a fact of its own, learnt through ``each``; ``amendment``: what gave the awareness, if one did."""
    age_years = child["age_years"]
    added: dict[str, Attribute] = {
        "child_id": child["child_id"],
        "legal_status": child["legal_status"],
        "up_to_24": not isinstance(age_years, int) or age_years <= _OLDEST_CARE_LEAVER_YEARS,
        "aware_at": aware_at.isoformat(),
    }
    amended_by = {} if amendment is None else {"aware_at": amendment}
    return Settled(event_type=_DEATH_KNOWN, versions=each.versions, added=added, amended_by=amended_by)
