"""From the facts of a case and the catalogue of clocks to clock instances: same facts, calendar and rules, same instances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache, partial
from itertools import product
from typing import Any

from domain.calendar import Calendar, OutsideCalendar, add_hours, add_months, add_working_days, london_day, working_days_between
from domain.kernel.events import Recorded
from domain.kernel.moulds import quick
from domain.rules.catalogue import Choose, ClockRule, ClockRules, Direction, Trigger, Unit
from domain.rules.facts import Attribute, Fact, reduce
from domain.rules.instances import ClockInstance, EventReference, PartnershipTerms, Reason
from domain.rules.settled import Settled, settle

Key = Mapping[str, str]
"""What one instance of a clock is for: an agency, a child, a recipient, a request."""

_DELAY_EXPLAINED = "incident.delay_explained.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """What one case's clocks are computed from."""

    by_type: Mapping[str, Sequence[Settled]]
    calendar: Calendar
    rules: ClockRules
    partnership: PartnershipTerms | None

    def of(self, event_type: str) -> Sequence[Settled]:
        """Return the facts of a type, in the order in which they became known."""
        return self.by_type.get(event_type, ())


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """A fact that starts a clock for a key, and when; both None if its body is gone."""

    key: Key
    fact: Settled
    at: datetime | None
    day: date | None
    amended_by: Fact | None = None
    """What gave it its moment, where an amendment did."""


def clock_instances(
    history: Sequence[Recorded], calendar: Calendar, rules: ClockRules, *, partnership: PartnershipTerms | None = None
) -> tuple[ClockInstance, ...]:
    """Return the clock instances of one case from its recorded events, all streams together; what is not in it is not known."""
    facts = (reduce(recorded, rules.kept) for recorded in history)
    return instances_of([fact for fact in facts if fact is not None], calendar, rules, partnership=partnership)


def known_by(facts: Iterable[Fact], as_of: datetime) -> list[Fact]:
    """Return the facts that are part of the case as known at ``as_of``."""
    return [fact for fact in facts if fact.counts_from <= as_of]


def instances_of(
    facts: Iterable[Fact], calendar: Calendar, rules: ClockRules, *, partnership: PartnershipTerms | None = None
) -> tuple[ClockInstance, ...]:
    """Return the clock instances of one case from its facts, in the order of the catalogue and then of their ids."""
    by_type: dict[str, list[Settled]] = {}
    for each in settle(facts):
        by_type.setdefault(each.event_type, []).append(each)
    case = _Case(by_type=by_type, calendar=calendar, rules=rules, partnership=partnership)
    return tuple(instance for rule in rules.clocks for instance in _instances_under(case, rule))


def _instances_under(case: _Case, rule: ClockRule) -> list[ClockInstance]:
    """Return the instances of one clock, by id."""
    if rule.started_by.isdisjoint(case.by_type):
        return []
    if any(_fulfils(trigger, each, each.get, {}, None) for trigger in rule.nevers for each in case.of(trigger.on)):
        return []
    each_recipient = "recipient" in rule.per
    found = [
        _instance(case, rule, replace(start, key={**start.key, "recipient": recipient}) if each_recipient else start, recipient)
        for start in _starts(case, rule)
        if _in_force(rule, start)
        for recipient in (rule.owed_to if each_recipient else rule.owed_to[:1])
    ]
    return found if len(found) < 2 else sorted(found, key=lambda instance: instance.instance_id)


def _in_force(rule: ClockRule, start: _Start) -> bool:
    """Tell whether the rule was in force on the trigger's day; of a day that cannot be known only a rule without an end is."""
    return rule.effective_to is None if start.day is None else rule.in_force_on(start.day)


def _starts(case: _Case, rule: ClockRule) -> Iterable[_Start]:
    """Return the one start that decides for each key."""
    chosen: dict[tuple[str, ...], _Start] = {}
    candidates = [start for trigger in rule.starts for each in case.of(trigger.on) for start in _candidates(rule, trigger, each)]
    if len(candidates) < 2:
        return candidates
    for start in sorted(candidates, key=lambda start: start.fact.order):
        identity = tuple(start.key.values())
        former = chosen.get(identity)
        if former is None or rule.choose is Choose.LATEST or _is_earlier(start, former):
            chosen[identity] = start
    return chosen.values()


def _is_earlier(start: _Start, former: _Start) -> bool:
    """Tell whether a start comes before another; one that cannot be known may have been the earliest."""
    if former.day is None or start.day is None:
        return former.day is not None
    if former.at is None or start.at is None:
        return start.day < former.day
    return start.at < former.at


def _candidates(rule: ClockRule, trigger: Trigger, each: Settled) -> Iterator[_Start]:
    """Yield the starts that one fact gives: none if it does not fulfil the conditions, one for each key otherwise."""
    names = rule.started_per
    if each.latest.gone:
        if not trigger.where and not trigger.needs:
            key = {name: each.head.agency_id if name == "agency" else each.head.event_id for name in names}
            yield _Start(key=key, fact=each, at=None, day=None)
        return
    if not _fulfils(trigger, each, each.get, {}, None) or (trigger.needs and any(each.get(path) is None for path in trigger.needs)):
        return
    at, day = _moment(trigger, each)
    if day is not None:
        for combination in product(*(_several(each.get(name)) for name in names)):
            key = dict(zip(names, combination, strict=True))
            yield _Start(key=key, fact=each, at=at, day=day, amended_by=each.amended_by.get(trigger.at))


def _several(value: Attribute) -> list[str]:
    """Return an attribute as a list of texts: a list has one key each."""
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _moment(trigger: Trigger, each: Settled) -> tuple[datetime | None, date | None]:
    """Return when a start is: an instant and its London day, or a day alone; neither where the fact does not say."""
    if trigger.at == "scored":
        return each.scored_at, _day_of(each.scored_at)
    if trigger.at == "asserted":
        return each.asserted_at, _day_of(each.asserted_at)
    said = each.get(trigger.at)
    if not isinstance(said, str):
        return None, None
    if "T" not in said:
        return None, date.fromisoformat(said)
    return _read(said)


@lru_cache(maxsize=1_024)
def _read(said: str) -> tuple[datetime, date]:
    """Read an instant, with its London day; several clocks of a case start with the same."""
    at = datetime.fromisoformat(said)
    return at, _day_of(at)


@lru_cache(maxsize=1_024)
def _day_of(at: datetime) -> date:
    """Return an instant's London day; the clocks of a case ask for few."""
    return london_day(at)


def _fulfils(trigger: Trigger, each: Settled, get: Callable[[str], Attribute], key: Key, start: Settled | None) -> bool:
    """Tell whether a fact fulfils a trigger's conditions in one of its versions, given by its attributes."""
    # Most triggers have one condition or none: each kind is asked for first.
    if trigger.by and each.head.kind not in trigger.by:
        return False
    if trigger.where and not all(get(path) in allowed for path, allowed in trigger.where.items()):
        return False
    if trigger.start_where and not all(start is not None and start.get(path) in allowed for path, allowed in trigger.start_where.items()):
        return False
    if trigger.match and not all(_part(name, key, start) in _either(get(path)) for path, name in trigger.match.items()):
        return False
    return not trigger.differs or all(_part(name, key, start) not in _either(get(path)) for path, name in trigger.differs.items())


def _part(name: str, key: Key, start: Settled | None) -> Attribute:
    """Return a part of an instance's key or, after an @, an attribute of its start."""
    return key.get(name) if not name.startswith("@") or start is None else start.get(name[1:])


def _either(value: Attribute) -> list[Attribute]:
    """Return what an attribute may match: each item of a list, or itself."""
    return value if isinstance(value, list) else [value]


def _instance(case: _Case, rule: ClockRule, start: _Start, recipient: str) -> ClockInstance:
    """Build one instance."""
    reasons = _reasons(case, rule)
    missing = rule.reasons_to and _not_told(rule, reasons)
    length = _length(rule, case.partnership)
    values = {"imported": start.fact.head.imported, **_due(case, rule, start, length)}
    values |= _end(case, rule, start, values)
    return ClockInstance(
        shard=start.fact.head.shard,
        case_id=start.fact.head.case_id,
        instance_id=":".join([rule.name_of_instances, *start.key.values()]),
        clock=rule.id,
        rule=rule.identity,
        owed_by=_party(rule.owed_by, start),
        owed_to=_party(recipient, start),
        started_by=_reference(start.fact.latest),
        start_amended_by=None if start.amended_by is None else _reference(start.amended_by),
        started_at=start.at,
        day_zero=start.day,
        length=length,
        reasons=reasons,
        reasons_missing=missing,
        remarks=tuple(trigger.words for trigger, _, _ in _happened(case, rule.remarks, start)),
        start_recorded_late=_recorded_late(start.fact, None if rule.direction is Direction.BACKWARD else start.day, case.calendar),
        **values,
    )


def _length(rule: ClockRule, partnership: PartnershipTerms | None) -> int | None:
    """Return the clock's length, the partnership's own where it sets it."""
    return partnership.written_confirmation_hours if rule.set_by_partnership and partnership is not None else rule.length


def _party(name: str, start: _Start) -> str:
    """Return who a name of the catalogue stands for."""
    if name == "sender":
        return start.fact.head.agency_id
    if not name.startswith("@"):
        return name
    said = start.key.get(name[1:]) or start.fact.get(name[1:])
    return said if isinstance(said, str) else "not known"


def _reference(fact: Fact) -> EventReference:
    """Point at the event behind a fact."""
    return EventReference(event_id=fact.event_id, event_type=fact.event_type, position=fact.position, agency_id=fact.agency_id)


def _reasons(case: _Case, rule: ClockRule) -> tuple[Reason, ...]:
    """Return the recorded reasons for lateness of this clock, oldest first."""
    return tuple(
        Reason(
            event=_reference(each.latest),
            reason=str(each.get("reason")),
            expected_on=date.fromisoformat(str(each.get("expected_on"))),
            told=tuple(_several(each.get("told"))),
        )
        for each in case.of(_DELAY_EXPLAINED)
        if each.get("clock") == rule.id
    )


def _not_told(rule: ClockRule, reasons: Sequence[Reason]) -> tuple[str, ...]:
    """Return to whom reasons would still have to be given, for the day that is expected last."""
    told = {each for reason in reasons if reason.expected_on == reasons[-1].expected_on for each in reason.told}
    return tuple(each for each in rule.reasons_to if each not in told)


def _due(case: _Case, rule: ClockRule, start: _Start, length: int | None) -> dict[str, Any]:
    """Return the fields that say when it is due, or why that cannot be known."""
    if start.day is None:
        return {"not_known": f"when it began: {_cannot_be_opened(start.fact.head)}"}
    try:
        if rule.unit is Unit.HOURS and start.at is not None and length is not None:
            due_at = add_hours(start.at, length)
            return {"due_on": _day_of(due_at), "due_at": due_at}
        due_on = _due_on(rule, length, start.fact, start.day, case.calendar)
    except (OutsideCalendar, OverflowError, ValueError) as problem:
        return {"not_known": f"when it is due: {problem}"}
    relaxed = [each.id for each in case.rules.relaxations if each.of == rule.id and due_on and each.due_from <= due_on <= each.due_to]
    return {"due_on": due_on, "lateness_authorised": relaxed[0] if relaxed else ""}


def _due_on(rule: ClockRule, length: int | None, fact: Settled, day_zero: date, calendar: Calendar) -> date | None:
    """Count from day 0 to the due day."""
    count = (length or 0) if rule.direction is Direction.FORWARD else -(length or 0)
    match rule.unit:
        case Unit.WORKING_DAYS:
            return add_working_days(day_zero, count, calendar)
        case Unit.CALENDAR_MONTHS:
            return add_months(day_zero, count)
        case Unit.OWN_DAY:
            return date.fromisoformat(str(fact.get(rule.own_day)))
        case Unit.AT_ONCE:
            return day_zero
        case _:
            return None


def _happened(case: _Case, triggers: Iterable[Trigger], start: _Start) -> list[tuple[Trigger, Settled, datetime]]:
    """Return which triggers were pulled, by what and since when it counts, earliest first; a fact that cannot be read pulls none."""
    found = [
        (trigger, each, each.scored_since(partial(_fulfils, trigger, each, key=start.key, start=start.fact)))
        for trigger in triggers
        for each in case.of(trigger.on)
        if not _unreadable(trigger, each)
        and not _is_before(trigger, each, start)
        and _fulfils(trigger, each, each.get, start.key, start.fact)
    ]
    return found if len(found) < 2 else sorted(found, key=lambda item: (item[2], item[1].order))


def _is_before(trigger: Trigger, each: Settled, start: _Start) -> bool:
    """Tell whether a fact was said before a start that it would have to come behind, or as history, counts from a day before it."""
    if not trigger.behind:
        return False
    return each.head.position < start.fact.head.position or _day_of(each.scored_at) < _day_of(start.fact.scored_at)


def _unreadable(trigger: Trigger, each: Settled) -> bool:
    """Tell whether a fact's body is gone and what is left, its header, does not say whether or when it pulled the trigger."""
    return each.latest.gone and (each.head.imported or trigger.reads_body)


def _cannot_be_opened(fact: Fact) -> str:
    """Say which event's body is gone."""
    return f"the event {fact.event_type} at position {fact.position} can no longer be opened"


def _end(case: _Case, rule: ClockRule, start: _Start, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that say what stopped or cancelled the clock, whichever came first, or what may have but cannot be known."""
    stops = _happened(case, rule.stops, start)
    cancels = _happened(case, rule.cancels, start)
    if rule.choose is Choose.LATEST:
        # A clock that is set anew (publication planned again after it was declined) is not cancelled by what came before.
        cancels = [item for item in cancels if item[1].order > start.fact.order]
    if stops and (not cancels or stops[0][2] <= cancels[0][2]):
        _, fact, at = stops[0]
        return {
            "stopped_by": _reference(fact.latest),
            "stopped_at": at,
            "stop_recorded_late": _recorded_late(fact, None, case.calendar),
            "imported": values["imported"] or fact.head.imported,
        }
    if cancels:
        trigger, fact, at = cancels[0]
        return {"cancelled_by": _reference(fact.latest), "cancelled_at": at, "cancelled_because": trigger.words}
    gone = [each.head for trigger in (*rule.stops, *rule.cancels) for each in case.of(trigger.on) if _unreadable(trigger, each)]
    if gone and "not_known" not in values:
        return {"not_known": f"whether it was met: {_cannot_be_opened(gone[0])}"}
    return {}


def _recorded_late(each: Settled, asserted_on: date | None, calendar: Calendar) -> bool:
    """Tell whether a live event was asserted more than one working day before it was recorded."""
    if each.head.imported or each.latest.gone:
        return False
    asserted_at, recorded_at = each.asserted_at, each.head.recorded_at
    recorded_on = _day_of(recorded_at)
    said_on = recorded_on if asserted_at == recorded_at else _day_of(asserted_at)
    asserted_on = said_on if asserted_on is None else min(asserted_on, said_on)
    if asserted_on >= recorded_on:
        return False
    try:
        return working_days_between(asserted_on, recorded_on, calendar) > 1
    except OutsideCalendar:
        return False
