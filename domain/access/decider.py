"""Admit, then evolve: who read what. Only the hub itself says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, cast, get_args

from domain.access.events import AccessDenied, CaseViewed
from domain.kernel.agencies import AgencyKind, is_agency_id
from domain.kernel.copies import replace
from domain.kernel.corrections import is_correction
from domain.kernel.decider import Context, Decider, reads_nothing
from domain.kernel.events import Event, Recorded
from domain.kernel.rules import Finding, Refused, Rule, rule

AccessEvent: TypeAlias = CaseViewed | AccessDenied

_SOURCE: Final = "UK GDPR article 5(2) (accountability); hub rule: every view and refusal is an access event"
HUB_ONLY: Final = rule("access.hub", "Only the hub records who read what.", _SOURCE)
VIEWER: Final = rule("access.viewer", "The viewer is an agency.", _SOURCE)
ROWS: Final = rule("access.rows", "The number of rows shown is not negative.", _SOURCE)
NO_CORRECTION: Final = rule("access.correction", "What was read cannot be unread: the hub corrects no access.", _SOURCE)
RULES: Final[tuple[Rule, ...]] = (HUB_ONLY, VIEWER, ROWS, NO_CORRECTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accesses:
    """How often a case was shown, and how often it was not."""

    viewed: int = 0
    denied: int = 0


def admit(_state: Accesses, said: Event, context: Context) -> tuple[Finding, ...]:
    """Raise ``Refused`` unless the hub says that an agency read, or was refused, something; there are no findings."""
    event = cast(AccessEvent, said)
    if context.agency_kind is not AgencyKind.HUB:
        raise Refused(HUB_ONLY)
    if is_correction(event):
        raise Refused(NO_CORRECTION)
    if not is_agency_id(event.viewer_agency):
        raise Refused(VIEWER)
    if isinstance(event, CaseViewed) and event.rows < 0:
        raise Refused(ROWS)
    return ()


def evolve(state: Accesses, recorded: Recorded) -> Accesses:
    """Return the counts after the event; one whose body is gone is counted by its type."""
    match recorded.event_type:
        case CaseViewed.EVENT_TYPE:
            return replace(state, viewed=state.viewed + 1)
        case AccessDenied.EVENT_TYPE:
            return replace(state, denied=state.denied + 1)
        case _:
            return state


def open_rules(_state: Accesses) -> frozenset[Rule]:
    """Return nothing: an access is refused or stands."""
    return frozenset()


DECIDER: Final[Decider[Accesses]] = Decider(
    category="access",
    events=get_args(AccessEvent),
    initial=Accesses(),
    reads=reads_nothing,
    admit=admit,
    evolve=evolve,
    open_rules=open_rules,
    timeless=True,
)
