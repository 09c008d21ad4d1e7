"""What agencies tell of what they know: entries of a chronology, offers and corrections."""

from __future__ import annotations

from typing import assert_never

from domain.kernel.agencies import AgencyKind
from domain.kernel.copies import replace
from domain.kernel.decider import Context
from domain.kernel.events import Marking, Recorded
from domain.kernel.ids import RequestId
from domain.sharing.events import (
    Caveat,
    Entry,
    FamilyTold,
    InformationCorrected,
    InformationOffered,
    InformationPartlyShared,
    InformationShared,
)
from domain.sharing.guards import Case, check_children, check_first, refuse_if
from domain.sharing.kinds import Telling
from domain.sharing.requests import answered, check_answer
from domain.sharing.rules import (
    AUTHOR,
    CAVEATS,
    DUPLICATE_ENTRY,
    FAMILY_TOLD,
    MARKING_RAISED,
    NO_ENTRIES,
    PANEL_ASKS,
    REPLACEMENT,
)
from domain.sharing.state import Answer, Held, Sharing, marking_of, rank


def admit(case: Case, event: Telling, context: Context) -> None:
    """Raise ``Refused`` unless an agency tells, once and in answer to its own request if any, what the case can hold."""
    refuse_if(context.agency_kind is AgencyKind.PANEL, PANEL_ASKS)
    match event:
        case InformationShared():
            if event.request_id is not None:
                check_answer(case, event.request_id, event, context, Answer.OPEN, Answer.PARTLY_SHARED, Answer.REFUSED)
            _check_shared(case, event)
        case InformationPartlyShared():
            check_answer(case, event.request_id, event, context, Answer.OPEN, Answer.REFUSED)
            _check_shared(case, event)
        case InformationOffered():
            check_children(case, event.children)
        case InformationCorrected():
            refuse_if(case.entry(event.entry_id).author != context.agency_id, AUTHOR)
            refuse_if(event.replacement.entry_id != event.entry_id, REPLACEMENT)
            _check_entry(case, event.replacement)
        case _:
            assert_never(event)


def _check_shared(case: Case, event: InformationShared | InformationPartlyShared) -> None:
    named = [entry.entry_id for entry in event.entries]
    refuse_if(not named, NO_ENTRIES)
    refuse_if(len(set(named)) < len(named), DUPLICATE_ENTRY)
    check_first(any(entry_id in case.sharing.entries for entry_id in named), event, DUPLICATE_ENTRY)
    _check_family_told(event.family_told)
    for entry in event.entries:
        _check_entry(case, entry)


def _check_family_told(family: FamilyTold) -> None:
    reason = bool((family.reason_if_not or "").strip())
    refuse_if(family.told is reason, FAMILY_TOLD)


def _check_entry(case: Case, entry: Entry) -> None:
    check_children(case, entry.children)
    narrowed = entry.third_party or any(caveat is not Caveat.ANONYMISED for caveat in entry.caveats)
    refuse_if(narrowed and entry.marking is Marking.OFFICIAL, CAVEATS)
    if entry.entry_id in case.sharing.entries:
        refuse_if(rank(entry.marking) < rank(marking_of(case.sharing, entry.entry_id)), MARKING_RAISED)


def evolve(state: Sharing, event: Telling, recorded: Recorded) -> Sharing:
    """Return what was shared with the entries, and where their request stands now."""
    match event:
        case InformationShared():
            return answered(_with_entries(state, event.entries, recorded), event.request_id, event, Answer.SHARED)
        case InformationPartlyShared():
            return answered(_with_entries(state, event.entries, recorded), event.request_id, event, Answer.PARTLY_SHARED)
        case InformationOffered():
            return state
        case InformationCorrected():
            return _with_entries(state, (event.replacement,), recorded)
        case _:
            assert_never(event)


def _with_entries(state: Sharing, entries: tuple[Entry, ...], recorded: Recorded) -> Sharing:
    held: dict[RequestId, Held] = {entry.entry_id: Held(author=recorded.agency_id, marking=entry.marking) for entry in entries}
    return replace(state, entries={**state.entries, **held})
