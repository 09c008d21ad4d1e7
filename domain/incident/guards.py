"""The questions every incident event must pass: who speaks, at which stage, and does it repeat what was said."""

from __future__ import annotations

from domain.incident.events import DuplicateLinked, IncidentNotified
from domain.incident.kinds import IncidentEvent
from domain.incident.rules import COUNCIL, IMPOSSIBLE_TIMES, LEAD, MEMBER, NO_PARTNERSHIP, NOTIFIER, NOTIFYING_COUNCIL, RATIONALE, STATE
from domain.incident.state import (
    Assessed,
    Closed,
    Incident,
    Notified,
    Referred,
    Withdrawn,
    awareness_of,
    is_known,
    is_notified,
    notifying_council,
)
from domain.kernel.agencies import AgencyKind
from domain.kernel.corrections import is_correction
from domain.kernel.decider import Context
from domain.kernel.events import london_day
from domain.kernel.facts import scoring_day
from domain.kernel.rules import Refused, Rule
from domain.partnership.state import Partnership, Unknown, is_member, leads

RUNNING = (Referred, Assessed, Notified)
"""The stages of a case that has begun and has not been withdrawn or closed."""

BEGUN = (*RUNNING, Withdrawn, Closed)
"""The stages of a case that has begun: what was owed is still done, told and explained, late as it may be, when it has ended."""


def refuse_if(broken: bool, rule: Rule, reason: str = "") -> None:
    """Raise ``Refused`` by ``rule`` if it is broken."""
    if broken:
        raise Refused(rule, reason)


def check_speaker(state: Incident, event: IncidentEvent, context: Context, partnership: Partnership) -> None:
    """Raise ``Refused`` unless a member speaks, another council once the case has begun, or the Panel to link duplicates."""
    kind = context.agency_kind
    refuse_if(isinstance(event, IncidentNotified) and kind is not AgencyKind.LOCAL_AUTHORITY, NOTIFIER)
    refuse_if(isinstance(partnership, Unknown), NO_PARTNERSHIP)
    joins = kind is AgencyKind.LOCAL_AUTHORITY and is_known(state)
    links = kind is AgencyKind.PANEL and isinstance(event, DuplicateLinked) and is_notified(state)
    refuse_if(not (is_member(partnership, context.agency_id) or joins or links), MEMBER)


def check_council(context: Context) -> None:
    """Raise ``Refused`` unless a council speaks."""
    refuse_if(context.agency_kind is not AgencyKind.LOCAL_AUTHORITY, COUNCIL)


def check_lead(state: Incident, context: Context, partnership: Partnership) -> None:
    """Raise ``Refused`` unless a safeguarding partner, its business unit or the notifying council speaks."""
    refuse_if(not leads(partnership, context.agency_id) and context.agency_id != notifying_council(state), LEAD)


def check_notifying_council(state: Incident, context: Context) -> None:
    """Raise ``Refused`` unless the case was notified, and by the sender."""
    council = notifying_council(state)
    refuse_if(council is None, STATE, "the case was not notified")
    refuse_if(council != context.agency_id, NOTIFYING_COUNCIL)


def check_stage(state: Incident, event: IncidentEvent, *stages: type[Incident]) -> None:
    """Raise ``Refused`` unless the case is at one of ``stages``; what was said at an earlier stage is corrected at any later one."""
    found = type(state).__name__
    expected = " or ".join(stage.__name__ for stage in stages)
    refuse_if(not isinstance(state, stages) and not is_correction(event), STATE, f"stage: expected {expected}, found {found}")


def check_first(already: bool, event: IncidentEvent, rule: Rule) -> None:
    """Raise ``Refused`` by ``rule`` if the event was said already and this does not correct it."""
    refuse_if(already and not is_correction(event), rule)


def check_words(words: str) -> None:
    """Raise ``Refused`` if a reason is blank."""
    refuse_if(not words.strip(), RATIONALE)


def check_after_awareness(state: Incident, context: Context, event: IncidentEvent) -> None:
    """Raise ``Refused`` if history is told of a day before the sender came to know of the incident."""
    aware_at = awareness_of(state).get(context.agency_id)
    refuse_if(aware_at is not None and scoring_day(event, context) < london_day(aware_at), IMPOSSIBLE_TIMES)
