"""Who may say who the safeguarding partners of a shard are, and what their lists must hold."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Final, TypeAlias, assert_never, cast, get_args

from domain.kernel.agencies import STATUTORY_PARTNERS, AgencyKind, is_agency_id, kind_of
from domain.kernel.copies import replace
from domain.kernel.corrections import NOTHING_SAID, check_correction, is_correction, noted, placed, root_in
from domain.kernel.decider import Context, Decider, reads_nothing
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import NATIONAL, identity_of
from domain.kernel.rules import Finding, Refused, Rule, rule
from domain.partnership.events import MembershipChanged, PartnershipEstablished
from domain.partnership.state import Established, Members, Partnership, Unknown, with_members

PartnershipEvent: TypeAlias = PartnershipEstablished | MembershipChanged

_S16E: Final = "Children Act 2004 ss16E, 16G"
OPERATOR_ONLY: Final = rule(
    "partnership.operator", "Only the operator records who the partners of a shard are: nobody appoints itself.", "Hub rule: actors"
)
STREAM: Final = rule(
    "partnership.stream", "A partnership is established in its own shard and in the stream named after it.", "Hub rule: shards"
)
ESTABLISHED_ONCE: Final = rule(
    "partnership.contradiction", "A partnership is established once; after that its membership changes, or the record is corrected.", _S16E
)
NOT_ESTABLISHED: Final = rule("partnership.state", "Only an established partnership's membership changes.", _S16E)
EVERY_KIND: Final = rule(
    "partnership.every_kind",
    "At least one council, one ICB and one chief officer of police are safeguarding partners, and nobody else.",
    _S16E,
)
KINDS: Final = rule("partnership.kinds", "The business unit is a partnership's, the relevant agencies are relevant agencies.", _S16E)
LISTED_ONCE: Final = rule("partnership.listed_once", "Each agency is listed once.", "Hub rule: a list names each member once")
EFFECTIVE: Final = rule(
    "partnership.effective",
    "Lists of members have effect in the order in which they were recorded, the first from the start of the arrangements on.",
    _S16E,
)
HOURS: Final = rule(
    "partnership.written_confirmation",
    "A referral is to be confirmed in writing within 1 to 744 hours (a month).",
    "Local procedure, clock K9",
)
CORRECTION: Final = rule(
    "partnership.correction", "A correction points at an earlier event of the same type, stream and agency.", "Hub rule: corrections"
)
RULES: Final[tuple[Rule, ...]] = (
    OPERATOR_ONLY,
    STREAM,
    ESTABLISHED_ONCE,
    NOT_ESTABLISHED,
    EVERY_KIND,
    KINDS,
    LISTED_ONCE,
    EFFECTIVE,
    HOURS,
    CORRECTION,
)


def admit(state: Partnership, said: Event, context: Context) -> tuple[Finding, ...]:
    """Raise ``Refused`` unless the operator says something of this shard's partnership that can be true; there are no findings."""
    event = cast(PartnershipEvent, said)
    if context.agency_kind is not AgencyKind.OPERATOR:
        raise Refused(OPERATOR_ONLY)
    if identity_of(context.stream) != context.shard or context.shard == NATIONAL:
        raise Refused(STREAM)
    check_correction(NOTHING_SAID if isinstance(state, Unknown) else state.said, event, "", context, CORRECTION)
    match event:
        case PartnershipEstablished():
            if isinstance(state, Established) and not is_correction(event):
                raise Refused(ESTABLISHED_ONCE)
            if not 1 <= event.written_confirmation_hours <= 744:
                raise Refused(HOURS)
            if isinstance(state, Established):
                _check_order(state, event, event.arrangements_start_on, context)
        case MembershipChanged():
            if isinstance(state, Unknown):
                raise Refused(NOT_ESTABLISHED)
            _check_order(state, event, event.effective_on, context)
        case _:
            assert_never(event)
    _check_lists(event)
    return ()


def _check_order(state: Established, event: PartnershipEvent, day: date, context: Context) -> None:
    """Refuse to give a list a day before that of the list recorded before it, or after that of the one recorded after it."""
    root = root_in(state.said, event, context)
    if root in state.lists and state.lists[root].effective_on == day:
        return
    days = {identity: one.effective_on for identity, one in placed(state.said, state.lists, root, _members(event, day)).items()}
    place = list(days).index(root)
    before, after = list(days.values())[:place][-1:], list(days.values())[place + 1 :][:1]
    if before and day < before[0]:
        raise Refused(EFFECTIVE, f"expected {before[0].isoformat()} or later, found {day.isoformat()}")
    if after and day > after[0]:
        raise Refused(EFFECTIVE, f"expected {after[0].isoformat()} or earlier, found {day.isoformat()}: correct the later change first")


def _check_lists(event: PartnershipEvent) -> None:
    named = (event.business_unit, *event.partners, *event.relevant_agencies)
    if not all(is_agency_id(agency) for agency in named):
        raise Refused(KINDS, "an agency id is not well formed")
    if {kind_of(agency) for agency in event.partners} != STATUTORY_PARTNERS:
        raise Refused(EVERY_KIND)
    others = {kind_of(agency) for agency in event.relevant_agencies}
    if kind_of(event.business_unit) is not AgencyKind.PARTNERSHIP or not others <= {AgencyKind.RELEVANT_AGENCY}:
        raise Refused(KINDS)
    if max(Counter(named).values()) > 1:
        raise Refused(LISTED_ONCE)


def evolve(state: Partnership, recorded: Recorded) -> Partnership:
    """Return the partnership after the event; one whose body is gone leaves the lists as they were, for nobody can be read from it."""
    if recorded.event is None:
        return state
    event = cast(PartnershipEvent, recorded.event)
    match event:
        case PartnershipEstablished():
            return _established(state, event, recorded)
        case MembershipChanged():
            return _changed(state, event, recorded)
        case _:
            assert_never(event)


def _established(state: Partnership, event: PartnershipEstablished, recorded: Recorded) -> Partnership:
    """Begin or correct the beginning; once the membership has changed, a correction leaves the newest lists as they are."""
    members = _members(event, event.arrangements_start_on)
    before = Established(
        name=event.name,
        business_unit=event.business_unit,
        partners=event.partners,
        relevant_agencies=event.relevant_agencies,
        arrangements_start_on=event.arrangements_start_on,
        written_confirmation_hours=event.written_confirmation_hours,
    )
    if isinstance(state, Established):
        before = replace(before, said=state.said, lists=state.lists)
    return _with_lists(before, members, recorded)


def _changed(state: Partnership, event: MembershipChanged, recorded: Recorded) -> Partnership:
    """Replace the lists; a correction of any change but the newest, or of one that can no longer be read, leaves the newest as they are."""
    if isinstance(state, Unknown):
        return state
    said = noted(state.said, recorded, "")
    if is_correction(event) and said[recorded.event_id].root not in state.lists:
        return replace(state, said=said)
    return _with_lists(state, _members(event, event.effective_on), recorded)


def _with_lists(state: Established, members: Members, recorded: Recorded) -> Established:
    """Return the partnership with one more list, or with the corrected one in its place; the newest is what it says."""
    said = noted(state.said, recorded, "")
    lists = placed(said, state.lists, said[recorded.event_id].root, members)
    return replace(with_members(state, list(lists.values())[-1]), said=said, lists=lists)


def _members(event: PartnershipEvent, effective_on: date) -> Members:
    return Members(
        effective_on=effective_on,
        business_unit=event.business_unit,
        partners=event.partners,
        relevant_agencies=event.relevant_agencies,
    )


def open_rules(_state: Partnership) -> frozenset[Rule]:
    """Return nothing: what is said of a partnership is refused or stands."""
    return frozenset()


DECIDER: Final[Decider[Partnership]] = Decider(
    category="partnership",
    events=get_args(PartnershipEvent),
    initial=Unknown(),
    reads=reads_nothing,
    admit=admit,
    evolve=evolve,
    open_rules=open_rules,
    timeless=True,
)
