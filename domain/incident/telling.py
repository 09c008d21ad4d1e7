"""Who else was told: partners, other areas, the Secretary of State and Ofsted; and why something is late."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final, assert_never

from domain.incident.children import CARE_LEAVER_YEARS
from domain.incident.codes import LegalStatus, NotificationType, Recipient
from domain.incident.events import (
    CareLeaverDeathNotified,
    DelayExplained,
    LookedAfterChildDeathNotified,
    OtherAreaInformed,
    PartnersInformed,
)
from domain.incident.guards import BEGUN, check_after_awareness, check_council, check_first, check_stage, check_words, refuse_if
from domain.incident.kinds import Telling
from domain.incident.rules import (
    CARE_LEAVER_AGE,
    CARE_STATUS,
    CHANGES_NOTHING,
    CONTRADICTION,
    DEATH_UNTOLD,
    DELAY_UNTOLD,
    IMPOSSIBLE_TIMES,
    NOT_A_COUNCIL,
    NOT_A_DEATH,
    NOTIFIED_ELSEWHERE,
    PARTNERS_UNTOLD,
    UNKNOWN_AGENCY,
    UNKNOWN_CHILD,
    UNKNOWN_CLOCK,
)
from domain.incident.state import (
    Death,
    Delay,
    Facts,
    Incident,
    Informed,
    Unknown,
    facts_of,
    is_notified_elsewhere,
    notification_of,
    notified_part,
    speakers,
    with_facts,
)
from domain.kernel.copies import replace
from domain.kernel.corrections import placed, root_in
from domain.kernel.decider import Context
from domain.kernel.events import Recorded, london_day
from domain.kernel.facts import scoring_day, scoring_instant
from domain.kernel.ids import AgencyId, ChildId, EventId
from domain.kernel.rules import Finding
from domain.kernel.times import done_on
from domain.partnership.state import Established, Partnership, in_force, is_council, leads

CLOCKS: Final = frozenset({f"K{number}" for number in range(1, 20) if number != 5} | {"K5A", "K5B"})
PUBLICATION_CLOCK: Final = "K10"
DEATH_RECIPIENTS: Final = frozenset({Recipient.SECRETARY_OF_STATE, Recipient.OFSTED})
DELAY_RECIPIENTS: Final = frozenset({Recipient.PANEL, Recipient.SECRETARY_OF_STATE})
LOOKED_AFTER: Final = frozenset(
    {LegalStatus.CARE_ORDER, LegalStatus.INTERIM_CARE_ORDER, LegalStatus.SECTION_20_ACCOMMODATION, LegalStatus.REMAND}
)

DeathTold = LookedAfterChildDeathNotified | CareLeaverDeathNotified


def admit(state: Incident, event: Telling, context: Context, partnership: Partnership) -> tuple[Finding, ...]:
    """Judge who is said to have been told; an incident, a death or a delay of publication not told to everybody is a finding."""
    match event:
        case PartnersInformed() | OtherAreaInformed():
            _check_informed(state, event, context, partnership)
            return _judge_informed(state, event, context, partnership)
        case LookedAfterChildDeathNotified() | CareLeaverDeathNotified():
            return _judge_death(state, event, context)
        case DelayExplained():
            return _judge_delay(state, event, context)
        case _:
            assert_never(event)


def _check_informed(state: Incident, event: PartnersInformed | OtherAreaInformed, context: Context, partnership: Partnership) -> None:
    check_council(context)
    check_stage(state, event, *BEGUN)
    check_after_awareness(state, context, event)
    told = _told(event)
    if isinstance(event, OtherAreaInformed):
        refuse_if(not is_council(event.authority) or event.authority == context.agency_id, NOT_A_COUNCIL)
    else:
        strangers = [agency for agency in told if agency == context.agency_id or not leads(partnership, agency)]
        refuse_if(not told or bool(strangers), UNKNOWN_AGENCY)
    before = [informed.told for informed in facts_of(state).informed.values() if informed.council == context.agency_id]
    check_first(told <= frozenset().union(*before), event, CHANGES_NOTHING)


def _judge_informed(
    state: Incident, event: PartnersInformed | OtherAreaInformed, context: Context, partnership: Partnership
) -> tuple[Finding, ...]:
    """Judge whether all safeguarding partners know, once some were told as such, and the council that owes the notification."""
    facts = facts_of(state)
    root = root_in(facts.said, event, context)
    informed = _informed(event, facts.informed.get(root), context.agency_id, scoring_day(event, context))
    after = with_facts(state, replace(facts, informed={**facts.informed, root: informed}))
    tells_elsewhere = is_notified_elsewhere(after) and not is_notified_elsewhere(state)
    leaves_untold = _leaves_partner_untold(after, informed.told_on, context, partnership)
    found = (PARTNERS_UNTOLD, leaves_untold), (NOTIFIED_ELSEWHERE, tells_elsewhere)
    return tuple(Finding(rule=rule) for rule, is_broken in found if is_broken)


def _leaves_partner_untold(state: Incident, told_on: date, context: Context, partnership: Partnership) -> bool:
    """Tell whether a partner both of today and of the day on which others were told neither was told nor says anything in the case."""
    told = list(facts_of(state).informed.values())
    if not any(informed.partners for informed in told) or not isinstance(partnership, Established):
        return False
    knows = speakers(state).union({context.agency_id}, *(informed.told for informed in told))
    that_day = in_force(partnership.lists.values(), told_on) or partnership
    return partnership.business_unit not in knows and not knows >= set(partnership.partners) & set(that_day.partners)


def _informed(event: PartnersInformed | OtherAreaInformed, before: Informed | None, council: AgencyId, day: date) -> Informed:
    is_to_partners = isinstance(event, PartnersInformed)
    return Informed(council=council, told=_told(event), partners=is_to_partners, told_on=day if before is None else before.told_on)


def _told(event: PartnersInformed | OtherAreaInformed) -> frozenset[AgencyId]:
    return frozenset({event.authority}) if isinstance(event, OtherAreaInformed) else frozenset(event.partners)


def _judge_death(state: Incident, event: DeathTold, context: Context) -> tuple[Finding, ...]:
    """Judge a notice owed whether or not abuse is suspected: it may be the first word of a case, and outlives its end."""
    check_council(context)
    check_stage(state, event, Unknown, *BEGUN)
    if isinstance(event, CareLeaverDeathNotified):
        refuse_if(event.age_years not in CARE_LEAVER_YEARS, CARE_LEAVER_AGE)
    facts = facts_of(state)
    root = root_in(facts.said, event, context)
    corrected = facts.deaths.get(root)
    told_on = _told_on(corrected, event, done_on(event, context), imported=context.imported)
    known_by = min(told_on, _knew_dead_by(state, event, context) or told_on)
    refuse_if(not event.died_on.day <= london_day(event.aware_at) <= known_by, IMPOSSIBLE_TIMES)
    _check_child_died(state, event)
    before = [death for death in facts.deaths.values() if death.child_id == event.child_id]
    known = frozenset[Recipient]().union(*(death.told for death in before))
    said = (isinstance(event, CareLeaverDeathNotified), event.died_on)
    contradicts = any((death.care_leaver, death.died_on) != said for death in before)
    check_first(bool(before) and (contradicts or frozenset(event.told) <= known), event, CONTRADICTION)
    missing = DEATH_RECIPIENTS - told_of_death(facts, event.child_id, but=root) - frozenset(event.told)
    return (Finding(rule=DEATH_UNTOLD),) if missing else ()


def _told_on(corrected: Death | None, event: DeathTold, said_on: date, *, imported: bool) -> date:
    """Return the day on which a notice was given: a correction that says so puts it right, but to no day after it was first recorded.

    What is said live moves no imported notice.
    """
    if corrected is None:
        return said_on
    says_when = event.details is not None and event.details.done_at is not None
    if not says_when or (corrected.imported and not imported):
        return corrected.told_on
    return min(said_on, corrected.recorded_on)


def _knew_dead_by(state: Incident, event: DeathTold, context: Context) -> date | None:
    """Return the day by which the sender knew of the child's death, if its notification said so and stood by it."""
    part = notified_part(state)
    if part is None or part.by != context.agency_id or part.first is None:
        return None
    child = part.first.children.get(event.child_id)
    is_dead = part.first.notification_type is NotificationType.DEATH and child is not None and child.death_category is not None
    was_alive = any(
        change.notification_type not in {None, NotificationType.DEATH}
        or any(named.child_id == event.child_id and named.death_category is None for named in change.children)
        for change in part.changes.values()
    )
    return part.notification.knew_by if is_dead and not was_alive and part.notification is not None else None


def _check_child_died(state: Incident, event: DeathTold) -> None:
    notification = notification_of(state)
    if notification is None:
        return
    child = notification.children.get(event.child_id)
    refuse_if(child is None, UNKNOWN_CHILD)
    refuse_if(notification.notification_type is not NotificationType.DEATH, NOT_A_DEATH)
    if child is not None:
        contrary = LOOKED_AFTER if isinstance(event, CareLeaverDeathNotified) else frozenset({LegalStatus.CARE_LEAVER})
        refuse_if(child.legal_status in contrary, CARE_STATUS)


def _judge_delay(state: Incident, event: DelayExplained, context: Context) -> tuple[Finding, ...]:
    check_stage(state, event, *BEGUN)
    refuse_if(event.clock not in CLOCKS, UNKNOWN_CLOCK)
    check_words(event.explanation)
    if event.clock != PUBLICATION_CLOCK:
        return ()
    facts = facts_of(state)
    delays = _with_delay(facts, root_in(facts.said, event, context), event, scoring_instant(event, context))
    return (Finding(rule=DELAY_UNTOLD),) if _not_told(delays) else ()


def _with_delay(facts: Facts, root: EventId, event: DelayExplained, at: datetime) -> Mapping[EventId, Delay]:
    """Return the explained delays with one more, or one put right."""
    before = facts.publication_delays.get(root)
    delay = Delay(expected_on=event.expected_on, told=frozenset(event.told), at=at if before is None else before.at)
    return placed(facts.said, facts.publication_delays, root, delay)


def _not_told(delays: Mapping[EventId, Delay]) -> frozenset[Recipient]:
    """Return who was not given the reasons for the delay to the day that is expected last; whoever gave them."""
    newest = max(reversed([*delays.values()]), key=lambda delay: delay.at)  # of several at one instant the last
    return DELAY_RECIPIENTS.difference(*(delay.told for delay in delays.values() if delay.expected_on == newest.expected_on))


def told_of_death(facts: Facts, child_id: ChildId, but: EventId | None = None) -> frozenset[Recipient]:
    """Return who was told of a child's death, by every event ``but`` one."""
    return frozenset[Recipient]().union(*(death.told for root, death in facts.deaths.items() if death.child_id == child_id and root != but))


def deaths_untold(facts: Facts) -> bool:
    """Tell whether the Secretary of State or Ofsted was not told of a death that was told to anybody."""
    return any(DEATH_RECIPIENTS - told_of_death(facts, death.child_id) for death in facts.deaths.values())


def delays_untold(facts: Facts) -> bool:
    """Tell whether the Panel or the Secretary of State was not given the reasons for the delay of publication as last explained."""
    return bool(facts.publication_delays) and bool(_not_told(facts.publication_delays))


def evolve(state: Incident, event: Telling, recorded: Recorded) -> Incident:
    """Return the case with who was told."""
    facts = facts_of(state)
    root = facts.said[recorded.event_id].root
    match event:
        case PartnersInformed() | OtherAreaInformed():
            informed = _informed(event, facts.informed.get(root), recorded.agency_id, london_day(recorded.scored_at))
            is_untold = PARTNERS_UNTOLD.id in recorded.findings
            return with_facts(state, replace(facts, informed={**facts.informed, root: informed}, are_partners_untold=is_untold))
        case LookedAfterChildDeathNotified() | CareLeaverDeathNotified():
            before = facts.deaths.get(root)
            death = Death(
                child_id=event.child_id,
                care_leaver=isinstance(event, CareLeaverDeathNotified),
                died_on=event.died_on,
                told=frozenset(event.told),
                told_on=_told_on(before, event, london_day(recorded.asserted_at), imported=recorded.imported),
                recorded_on=london_day(recorded.recorded_at) if before is None else before.recorded_on,
                imported=recorded.imported if before is None else before.imported,
            )
            return with_facts(state, replace(facts, deaths={**facts.deaths, root: death}))
        case DelayExplained():
            if event.clock != PUBLICATION_CLOCK:
                return state
            return with_facts(state, replace(facts, publication_delays=_with_delay(facts, root, event, recorded.scored_at)))
        case _:
            assert_never(event)
