"""How what was told is questioned, guarded and passed on, and the warnings beside it."""

from __future__ import annotations

from typing import assert_never

from domain.kernel.agencies import is_agency_id
from domain.kernel.copies import replace
from domain.kernel.corrections import is_correction
from domain.kernel.decider import Context
from domain.kernel.events import Marking, Recorded
from domain.kernel.ids import EventId
from domain.kernel.times import done_on
from domain.partnership.state import leads
from domain.sharing.events import (
    FlagCleared,
    FlagRaised,
    InformationDisputed,
    InformationQueried,
    InformationRestricted,
    OnwardShareApproved,
)
from domain.sharing.guards import Case, check_children, check_first, refuse_if
from domain.sharing.kinds import Handling
from domain.sharing.rules import (
    AUTHOR,
    CAVEATS,
    DUPLICATE_FLAG,
    FLAG_CHILDREN,
    FLAG_CLEARED,
    FLAG_CLEARER,
    FLAG_UNTIL,
    MARKING_RAISED,
    NAMED,
    OWN_ENTRY,
    RESTRICTER,
    UNKNOWN_FLAG,
)
from domain.sharing.state import Flag, Restriction, Sharing, marking_of, narrowest, rank


def admit(case: Case, event: Handling, context: Context) -> None:
    """Raise ``Refused`` unless the sender may question, guard or pass on what it speaks of."""
    match event:
        case InformationQueried() | InformationDisputed():
            refuse_if(case.entry(event.entry_id).author == context.agency_id, OWN_ENTRY)
        case OnwardShareApproved():
            refuse_if(case.entry(event.entry_id).author != context.agency_id, AUTHOR)
        case InformationRestricted():
            _check_restriction(case, event, context)
        case FlagRaised():
            check_first(event.flag_id in case.sharing.flags, event, DUPLICATE_FLAG)
            refuse_if(not event.children, FLAG_CHILDREN)
            check_children(case, event.children)
            refuse_if(event.until_on < done_on(event, context), FLAG_UNTIL)
        case FlagCleared():
            _check_clearing(case, event, context)
        case _:
            assert_never(event)


def _check_restriction(case: Case, event: InformationRestricted, context: Context) -> None:
    author = None if event.entry_id is None else case.entry(event.entry_id).author
    refuse_if(context.agency_id != author and not leads(case.partnership, context.agency_id), RESTRICTER)
    named = frozenset(event.named_agencies)
    well_formed = all(is_agency_id(agency) for agency in named)
    refuse_if(not well_formed or context.agency_id not in named or len(named) < len(event.named_agencies), NAMED)
    refuse_if(event.marking is Marking.OFFICIAL, CAVEATS)
    standing = _without_corrected(case.sharing, event)
    before = narrowest(standing, event.entry_id)
    lowers = rank(event.marking) < rank(marking_of(standing, event.entry_id))
    refuse_if(lowers or (before is not None and not named <= before), MARKING_RAISED)


def _without_corrected(state: Sharing, event: InformationRestricted) -> Sharing:
    """Return the state without the restriction that this one corrects, against which it is measured."""
    if event.details is None or event.details.corrects is None:
        return state
    root = state.said[EventId(event.details.corrects.event_id)].root
    return replace(state, restrictions={key: value for key, value in state.restrictions.items() if key != root})


def _check_clearing(case: Case, event: FlagCleared, context: Context) -> None:
    flag = case.sharing.flags.get(event.flag_id)
    refuse_if(flag is None, UNKNOWN_FLAG)
    if flag is not None:
        check_first(flag.cleared, event, FLAG_CLEARED)
        refuse_if(context.agency_id != flag.raised_by and not leads(case.partnership, context.agency_id), FLAG_CLEARER)


def evolve(state: Sharing, event: Handling, recorded: Recorded) -> Sharing:
    """Return what was shared with its restrictions and warnings."""
    match event:
        case InformationQueried() | InformationDisputed() | OnwardShareApproved():
            return state
        case InformationRestricted():
            restriction = Restriction(entry_id=event.entry_id, marking=event.marking, named=frozenset(event.named_agencies))
            return replace(state, restrictions={**state.restrictions, state.said[recorded.event_id].root: restriction})
        case FlagRaised():
            cleared = is_correction(event) and event.flag_id in state.flags and state.flags[event.flag_id].cleared
            flag = Flag(raised_by=recorded.agency_id, cleared=cleared)
            return replace(state, flags={**state.flags, event.flag_id: flag})
        case FlagCleared():
            if event.flag_id not in state.flags:
                return state
            return replace(state, flags={**state.flags, event.flag_id: replace(state.flags[event.flag_id], cleared=True)})
        case _:
            assert_never(event)
