"""The case an event of sharing is judged in, and the questions every such event must pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from domain.incident.state import Incident, is_known, known_children
from domain.kernel.corrections import is_correction
from domain.kernel.decider import Context
from domain.kernel.ids import AgencyId, ChildId, RequestId
from domain.kernel.rules import Refused, Rule
from domain.partnership.state import Partnership, Unknown, is_member
from domain.sharing.kinds import SharingEvent
from domain.sharing.rules import NO_PARTNERSHIP, SENDER, UNKNOWN_CASE, UNKNOWN_CHILD, UNKNOWN_ENTRY, UNKNOWN_REQUEST
from domain.sharing.state import Held, Request, Sharing, linked_agencies


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What was shared so far, and the incident and partnership that it belongs to."""

    sharing: Sharing
    incident: Incident
    partnership: Partnership

    def belongs(self, agency_id: AgencyId) -> bool:
        """Tell whether an agency belongs to the case: it is of the partnership, or linked to the case otherwise."""
        # Members first: the links are gathered from all that was ever said.
        return is_member(self.partnership, agency_id) or agency_id in linked_agencies(self.sharing, self.incident, self.partnership)

    def request(self, request_id: RequestId) -> Request:
        """Return a request; raise ``Refused`` if none of that id was made."""
        if request_id not in self.sharing.requests:
            raise Refused(UNKNOWN_REQUEST)
        return self.sharing.requests[request_id]

    def entry(self, entry_id: RequestId) -> Held:
        """Return an entry; raise ``Refused`` if none of that id was shared."""
        if entry_id not in self.sharing.entries:
            raise Refused(UNKNOWN_ENTRY)
        return self.sharing.entries[entry_id]


def refuse_if(broken: bool, rule: Rule, reason: str = "") -> None:
    """Raise ``Refused`` by ``rule`` if it is broken."""
    if broken:
        raise Refused(rule, reason)


def check_speaker(case: Case, context: Context) -> None:
    """Raise ``Refused`` unless the case has begun in an established partnership and the sender belongs to it."""
    refuse_if(isinstance(case.partnership, Unknown), NO_PARTNERSHIP)
    refuse_if(not is_known(case.incident), UNKNOWN_CASE)
    refuse_if(not case.belongs(context.agency_id), SENDER)


def check_first(already: bool, event: SharingEvent, rule: Rule) -> None:
    """Raise ``Refused`` by ``rule`` if the event was said already and this does not correct it."""
    refuse_if(already and not is_correction(event), rule)


def check_children(case: Case, children: Iterable[ChildId]) -> None:
    """Raise ``Refused`` unless the case knows every child."""
    named = set(children)
    refuse_if(bool(named) and not named <= known_children(case.incident), UNKNOWN_CHILD)
