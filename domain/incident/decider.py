"""Admit, then evolve: a serious incident from the first word to its closing.

An unknown case begins with a referral, an agency's awareness, a judgement of the criteria, the notice of a death, or a notification
that carries awareness and criteria itself. It runs until it is withdrawn or closed, and never reopens. After that nothing is said but
corrections, amendments of the notification, the link to a duplicate, the further course of proceedings, what was owed and comes late (who
was told, why it is late, the written confirmation of a referral), and of a withdrawn one its closing.
"""

from __future__ import annotations

from typing import Final, assert_never, cast, get_args

from domain.incident import course, notification, opening, telling
from domain.incident.codes import CriteriaOutcome
from domain.incident.events import CriteriaAssessed, IncidentClosed, IncidentNotified, NotificationWithdrawn
from domain.incident.guards import check_speaker
from domain.incident.kinds import Course, IncidentEvent, Notifying, Opening, Telling, subject_of
from domain.incident.rules import CORRECTION, CRITERIA_NOT_MET, DEATH_UNTOLD, DELAY_UNTOLD, NOTIFIED_ELSEWHERE, PARTNERS_UNTOLD
from domain.incident.state import (
    Assessed,
    Closed,
    Incident,
    Notified,
    Referred,
    Unknown,
    Withdrawn,
    facts_of,
    is_notified,
    is_notified_elsewhere,
    judgement_for,
    notified_part,
    with_facts,
)
from domain.kernel.copies import replace
from domain.kernel.corrections import check_correction, is_correction, noted
from domain.kernel.decider import Context, Decider
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import Shard, Stream
from domain.kernel.rules import Finding, Rule
from domain.partnership.state import partnership_in, partnership_stream


def reads(_event: Event, _stream: Stream, shard: Shard) -> tuple[Stream, ...]:
    """Every event is judged with the partnership of its shard."""
    return (partnership_stream(shard),)


def admit(state: Incident, said: Event, context: Context) -> tuple[Finding, ...]:
    """Return the findings of an event that may be said; raise ``Refused`` for one that cannot be true or is not the sender's to say."""
    event = cast(IncidentEvent, said)
    partnership = partnership_in(context.others, context.shard, context.now)
    check_speaker(state, event, context, partnership)
    if is_correction(event):
        check_correction(facts_of(state).said, event, subject_of(event), context, CORRECTION)
    if isinstance(event, Opening):
        return opening.admit(state, event, context, partnership)
    if isinstance(event, Notifying):
        return notification.admit(state, event, context)
    if isinstance(event, Telling):
        return telling.admit(state, event, context, partnership)
    if isinstance(event, Course):
        course.admit(state, event, context, partnership)
        return ()
    assert_never(event)


def evolve(state: Incident, recorded: Recorded) -> Incident:
    """Return the case after the event; of one whose body is gone, the stage that its header tells."""
    event = cast("IncidentEvent | None", recorded.event)
    facts = facts_of(state)
    about = "" if event is None else subject_of(event)
    known = with_facts(state, replace(facts, said=noted(facts.said, recorded, about)))
    if event is None:
        return _by_header(known, recorded)
    if isinstance(event, Opening):
        return opening.evolve(known, event, recorded)
    if isinstance(event, Notifying):
        return notification.evolve(known, event, recorded)
    if isinstance(event, Telling):
        return telling.evolve(known, event, recorded)
    if isinstance(event, Course):
        return course.evolve(known, event, recorded)
    assert_never(event)


def _by_header(state: Incident, recorded: Recorded) -> Incident:
    """Return the stage after an event of which only the header is left."""
    match recorded.event_type:
        case CriteriaAssessed.EVENT_TYPE if isinstance(state, Referred):
            return Assessed(facts=state.facts)
        case IncidentNotified.EVENT_TYPE if isinstance(state, (Referred, Assessed)):
            return Notified(facts=state.facts, by=recorded.agency_id, imported=recorded.imported, first=None)
        case NotificationWithdrawn.EVENT_TYPE if isinstance(state, Notified):
            return Withdrawn(facts=state.facts, notified=state)
        case IncidentClosed.EVENT_TYPE if isinstance(state, (Referred, Assessed, Notified, Withdrawn)):
            return Closed(facts=state.facts, was=state, reason=None)
        case _:
            return state


def open_rules(state: Incident) -> frozenset[Rule]:
    """Return the rules that the case has broken and not yet mended."""
    facts = facts_of(state)
    broken = {
        DEATH_UNTOLD: telling.deaths_untold(facts),
        DELAY_UNTOLD: telling.delays_untold(facts),
        PARTNERS_UNTOLD: facts.are_partners_untold,
        CRITERIA_NOT_MET: _unmet(state),
        NOTIFIED_ELSEWHERE: is_notified_elsewhere(state),
    }
    return frozenset(rule for rule, is_broken in broken.items() if is_broken)


def _unmet(state: Incident) -> bool:
    """Tell whether a standing notification rests on criteria judged not met; a care-leaver-only one rests on none."""
    part = notified_part(state)
    if part is None or not is_notified(state) or part.notification is None or part.notification.care_leaver_only:
        return False
    judgement = judgement_for(facts_of(state), part.by)
    return judgement is not None and judgement.outcome is CriteriaOutcome.NOT_MET


DECIDER: Final[Decider[Incident]] = Decider(
    category="incident",
    events=get_args(IncidentEvent),
    initial=Unknown(),
    reads=reads,
    admit=admit,
    evolve=evolve,
    open_rules=open_rules,
)
