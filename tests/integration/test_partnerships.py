"""``ListPartnerships`` on a hub of each kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from domain.kernel.agencies import OPERATOR_ID
from domain.kernel.events import Event
from domain.partnership.events import MembershipChange, MembershipChanged
from safeguarding.hub.client.drafts import Draft
from safeguarding.hub.client.outcomes import Receipt
from safeguarding.hub.v1.common_pb2 import AGENCY_KIND_ICB, AGENCY_KIND_LOCAL_AUTHORITY, AGENCY_KIND_PARTNERSHIP, AGENCY_KIND_POLICE
from safeguarding.hub.v1.query_pb2 import MinPosition
from safeguarding.hub.v1.registry_pb2 import ListPartnershipsRequest, ListPartnershipsResponse, PartnershipMember
from services.eventstore.codec import to_message
from tests.support.builders import BUSINESS_UNIT, COUNCIL, ICB, OTHER_COUNCIL, POLICE, SHARD, a_partnership_established
from tests.support.hub import RunningHub
from tests.support.reading import CALL_SECONDS, queries

MOORS = "moors"


async def told(hub: RunningHub, event: Event, shard: str) -> MinPosition:
    """Have the operator say something of a partnership; return how far one has to have read to know it."""
    async with hub.client(OPERATOR_ID, shard=shard) as client:
        (receipt,) = await client.append_many([Draft(event=to_message(event))])
    assert isinstance(receipt, Receipt), receipt
    return MinPosition(shard=shard, position=receipt.position)


async def listed(hub: RunningHub, **asked: object) -> ListPartnershipsResponse:
    async with queries(hub, OTHER_COUNCIL) as asks:
        answer: ListPartnershipsResponse = await asks.registry.ListPartnerships(ListPartnershipsRequest(**asked), timeout=CALL_SECONDS)
    return answer


async def test_partnerships_are_listed_page_by_page_as_they_were_last_changed(hub: RunningHub) -> None:
    established = replace(a_partnership_established(), name="The moors (synthetic)", relevant_agencies=())
    begun = await told(hub, established, MOORS)
    before = MinPosition(shard=SHARD, position=1)  # where every hub of the tests has its partnership established
    first = await listed(hub, min_positions=[begun, before], page_size=1)
    change = MembershipChanged(
        change=MembershipChange.OTHER, effective_on=date(2099, 1, 1), business_unit=BUSINESS_UNIT, partners=(COUNCIL, ICB, POLICE)
    )
    changed = await told(hub, change, SHARD)
    rest = await listed(hub, min_positions=[changed], page_token=first.next_page_token)

    assert [(one.shard, one.name, one.starts_on, one.members_since) for one in first.partnerships] == [
        (MOORS, "The moors (synthetic)", "2019-09-29", "2019-09-29")
    ]
    assert [(one.shard, one.name, one.starts_on, one.members_since) for one in rest.partnerships] == [
        (SHARD, "Northmoor Safeguarding Children Partnership", "2019-09-29", "2099-01-01")
    ]
    assert list(rest.partnerships[0].members) == [
        PartnershipMember(agency_id=BUSINESS_UNIT, kind=AGENCY_KIND_PARTNERSHIP),
        PartnershipMember(agency_id=COUNCIL, kind=AGENCY_KIND_LOCAL_AUTHORITY),
        PartnershipMember(agency_id=ICB, kind=AGENCY_KIND_ICB),
        PartnershipMember(agency_id=POLICE, kind=AGENCY_KIND_POLICE),
    ]
    assert [(one.shard, one.position >= changed.position, list(one.parked_streams)) for one in rest.freshness] == [(SHARD, True, [])]
    assert rest.next_page_token == ""
