"""A request for information and every answer to it but information itself (ss16D, 16H Children Act 2004)."""

from __future__ import annotations

from typing import assert_never

from domain.incident.state import is_closed, is_withdrawn
from domain.kernel.agencies import PANEL_ID, AgencyKind
from domain.kernel.copies import replace
from domain.kernel.corrections import is_correction
from domain.kernel.decider import Context
from domain.kernel.events import Recorded, london_day
from domain.kernel.ids import RequestId
from domain.kernel.times import done_on
from domain.partnership.state import leads
from domain.sharing.events import (
    EnforcementConsidered,
    InformationAcknowledged,
    InformationRefused,
    InformationRequested,
    LegalGate,
    NilReturn,
)
from domain.sharing.guards import Case, check_first, refuse_if
from domain.sharing.kinds import Asking, SharingEvent
from domain.sharing.rules import (
    ANSWERED,
    ANSWERED_BEFORE,
    CASE_ENDED,
    CONTRADICTION,
    DUE,
    DUPLICATE_REQUEST,
    ENFORCER,
    GATE,
    NOT_REFUSED,
    RECIPIENT,
    UNKNOWN_RECIPIENT,
)
from domain.sharing.state import Answer, Request, Sharing


def admit(case: Case, event: Asking, context: Context) -> None:
    """Raise ``Refused`` unless the request, the answer or the thought of enforcing it can be true."""
    match event:
        case InformationRequested():
            _check_request(case, event, context)
        case InformationAcknowledged():
            request = check_answer(case, event.request_id, event, context, Answer.OPEN)
            check_first(request.acknowledged, event, CONTRADICTION)
        case NilReturn() | InformationRefused():
            check_answer(case, event.request_id, event, context, Answer.OPEN)
        case EnforcementConsidered():
            request = case.request(event.request_id)
            check_first(request.answer is not Answer.REFUSED, event, NOT_REFUSED)
            refuse_if(not _has_power(case, request.gate, context) or request.gate is LegalGate.VOLUNTARY, ENFORCER)
        case _:
            assert_never(event)


def check_answer(case: Case, request_id: RequestId, event: SharingEvent, context: Context, *answers: Answer) -> Request:
    """Return the request that the sender answers.

    Raises ``Refused`` if it was not asked, answers in history of a day before the request, or the request does not stand at ``answers``.
    """
    request = case.request(request_id)
    refuse_if(request.recipient != context.agency_id, RECIPIENT)
    refuse_if(context.imported and done_on(event, context) < request.asked_on, ANSWERED_BEFORE)
    check_first(request.answer not in answers, event, ANSWERED)
    return request


def _check_request(case: Case, event: InformationRequested, context: Context) -> None:
    check_first(is_withdrawn(case.incident) or is_closed(case.incident), event, CASE_ENDED)
    refuse_if(not _has_power(case, event.gate, context), GATE)
    single = event.recipient == context.agency_id
    refuse_if(single or event.recipient == PANEL_ID or not case.belongs(event.recipient), UNKNOWN_RECIPIENT)
    earlier = case.sharing.requests.get(event.request_id)
    check_first(earlier is not None, event, DUPLICATE_REQUEST)
    if earlier is not None:
        touched = earlier.acknowledged or earlier.answer is not Answer.OPEN
        refuse_if(touched and earlier.recipient != event.recipient, CONTRADICTION, "the recipient has answered the request")
    asked_on = done_on(event, context)
    refuse_if(event.due_on < asked_on, DUE, f"due_on: expected {asked_on.isoformat()} or later, found {event.due_on.isoformat()}")


def _has_power(case: Case, gate: LegalGate, context: Context) -> bool:
    match gate:
        case LegalGate.S16D_PANEL:
            return context.agency_kind is AgencyKind.PANEL
        case LegalGate.S16H_PARTNERS:
            return leads(case.partnership, context.agency_id)
        case LegalGate.VOLUNTARY:
            return True
        case _:
            assert_never(gate)


def evolve(state: Sharing, event: Asking, recorded: Recorded) -> Sharing:
    """Return what was shared with the request, or where it stands now."""
    match event:
        case InformationRequested():
            asked = _request(state.requests.get(event.request_id), event, recorded)
            return replace(state, requests={**state.requests, event.request_id: asked})
        case InformationAcknowledged():
            if event.request_id not in state.requests:
                return state
            seen = replace(state.requests[event.request_id], acknowledged=True)
            return replace(state, requests={**state.requests, event.request_id: seen})
        case NilReturn():
            return answered(state, event.request_id, event, Answer.NIL_RETURN)
        case InformationRefused():
            return answered(state, event.request_id, event, Answer.REFUSED)
        case EnforcementConsidered():
            return state
        case _:
            assert_never(event)


def _request(earlier: Request | None, event: InformationRequested, recorded: Recorded) -> Request:
    """Return a request as it is said now; a correction that does not say when it was made leaves that as it was."""
    said = None if event.details is None else event.details.done_at
    asked_on = london_day(recorded.signed_at if said is None else said)
    if earlier is None:
        return Request(recipient=event.recipient, gate=event.gate, asked_on=asked_on)
    return replace(earlier, recipient=event.recipient, gate=event.gate, asked_on=earlier.asked_on if said is None else asked_on)


def answered(state: Sharing, request_id: RequestId | None, event: SharingEvent, answer: Answer) -> Sharing:
    """Return the state with the request answered; a correction of an answer leaves a later answer as it is."""
    if request_id is None or request_id not in state.requests or is_correction(event):
        return state
    return replace(state, requests={**state.requests, request_id: replace(state.requests[request_id], answer=answer)})
