from __future__ import annotations

import pytest

from safeguarding.hub.v1.agency_pb2 import AgencyEnrolled
from safeguarding.hub.v1.append_pb2 import GetReceiptRequest
from services.runtime.errors import Invalid, Violation
from services.runtime.fieldrules import check_fields


def test_a_message_that_keeps_its_rules_passes() -> None:
    check_fields(GetReceiptRequest(shard="northmoor", event_id=bytes(16)))


def test_every_wrong_field_is_named_with_what_was_expected() -> None:
    with pytest.raises(Invalid) as caught:
        check_fields(GetReceiptRequest(shard="North Moor", event_id=b"short"), rule="wire.query")
    assert caught.value.rule == "wire.query"
    assert caught.value.violations == (
        Violation("shard", "does not match regex pattern `^[a-z0-9][a-z0-9-]{0,62}$`"),
        Violation("event_id", "must be 16 bytes"),
    )


def test_an_item_of_a_list_is_named_by_its_place_and_never_repeated() -> None:
    with pytest.raises(Invalid) as caught:
        check_fields(AgencyEnrolled(shards=["good", "A Secret"]), prefix="body")
    assert "body.shards[1]" in [violation.field for violation in caught.value.violations]
    assert "Secret" not in str(caught.value)
