from __future__ import annotations

from safeguarding.hub.client.answers import outcomes_of
from safeguarding.hub.client.drafts import Signed
from safeguarding.hub.client.outcomes import FieldViolation, Refusal, refusal_from
from safeguarding.hub.v1.append_pb2 import AppendEventsResponse
from services.eventstore.codec import decode_event
from services.intake.receipts import refused
from services.runtime.errors import Invalid, Violation
from services.runtime.status import status_of


def test_a_refusal_says_each_wrong_field_once() -> None:
    try:
        decode_event("incident.notified.v1", b"")
    except Invalid as error:
        refusal = refusal_from(refused(bytes(16), error).refusal, b"")
    assert [violation.field for violation in refusal.violations].count("children") == 1
    assert str(refusal).count("children: must contain at least 1 item(s)") == 1
    assert str(refusal) == f"INVALID wire.fields: {refusal.reason}"


def test_a_refusal_of_a_whole_request_names_its_rule_and_what_is_wrong() -> None:
    error = Invalid(Violation("request", "at most 3145728 bytes"), rule="wire.request_size")
    (refusal,) = outcomes_of([Signed(bytes(16), "northmoor", "incident-x", b"")], AppendEventsResponse(error=status_of(error)))
    assert isinstance(refusal, Refusal)
    assert (refusal.rule, refusal.violations) == ("wire.request_size", (FieldViolation("request", "at most 3145728 bytes"),))
