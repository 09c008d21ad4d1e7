from __future__ import annotations

from safeguarding.hub.client.outcomes import refusal_from
from services.eventstore.codec import decode_event
from services.intake.receipts import refused
from services.runtime.errors import Invalid


def test_a_refusal_says_each_wrong_field_once() -> None:
    try:
        decode_event("incident.notified.v1", b"")
    except Invalid as error:
        refusal = refusal_from(refused(bytes(16), error).refusal, b"")
    assert [violation.field for violation in refusal.violations].count("children") == 1
    assert str(refusal).count("children: must contain at least 1 item(s)") == 1
    assert str(refusal) == f"INVALID wire.fields: {refusal.reason}"
