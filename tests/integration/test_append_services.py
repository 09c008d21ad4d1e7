"""Who may speak on which service, over real sockets with mutual TLS."""

from __future__ import annotations

import uuid

import grpc
import pytest

from domain.kernel.agencies import OPERATOR_ID, PANEL_ID, AgencyKind, kind_of
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import Identity
from safeguarding.hub.v1 import append_pb2, append_pb2_grpc
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from services.eventstore.codec import to_message
from tests.support.builders import BUSINESS_UNIT, COUNCIL, ICB, POLICE, SCHOOL, SECOND_COUNCIL, SHARD, a_referral
from tests.support.hub import RunningHub
from tests.support.reading import refusal

STUBS = {
    AgencyKind.LOCAL_AUTHORITY: append_pb2_grpc.LocalAuthorityServiceStub,
    AgencyKind.ICB: append_pb2_grpc.IcbServiceStub,
    AgencyKind.POLICE: append_pb2_grpc.PoliceServiceStub,
    AgencyKind.PARTNERSHIP: append_pb2_grpc.PartnershipServiceStub,
    AgencyKind.PANEL: append_pb2_grpc.PanelServiceStub,
    AgencyKind.RELEVANT_AGENCY: append_pb2_grpc.RelevantAgencyServiceStub,
    AgencyKind.OPERATOR: append_pb2_grpc.AdminServiceStub,
}
REFERS = {
    COUNCIL: "accepted",
    ICB: "accepted",
    POLICE: "accepted",
    BUSINESS_UNIT: "accepted",
    SCHOOL: "accepted",
    PANEL_ID: "incident.member",
    OPERATOR_ID: "incident.member",
}
"""Every kind of agency, and what becomes of its referral on its own service: the last two get as far as the domain, which says no."""


def a_signed_referral(hub: RunningHub, agency_id: str) -> SignedEvent:
    """A referral signed by an agency, of a case of its own."""
    sender = Sender(agency_id=agency_id, source="pairing", shard=SHARD, log_origin=hub.settings.log_origin, actor_role="tester")
    key = Identity.from_folder(hub.settings.agency_folder(agency_id)).signing_key
    draft = Draft(event=to_message(a_referral("01890000-0000-7000-8000-0000000000aa")), case_id=str(uuid.uuid4()))
    return SignedEvent.FromString(sign(draft, sender, key, 1).message)


async def call(hub: RunningHub, certificate: str, service: AgencyKind, signed: SignedEvent) -> str:
    """Append with a certificate at a service; return "accepted", the refusal's rule or the RPC's status."""
    async with hub.channel(certificate) as channel:
        request = append_pb2.AppendEventsRequest(events=[signed])
        try:
            answers = [answer async for answer in STUBS[service](channel).AppendEvents(iter([request]), timeout=10)]
        except grpc.aio.AioRpcError as error:
            return error.code().name
    outcome = answers[0].outcomes[0]
    return outcome.refusal.rule if outcome.HasField("refusal") else "accepted"


@pytest.mark.parametrize("certificate", REFERS)
async def test_only_the_matching_certificate_service_and_header_pass(hub: RunningHub, certificate: str) -> None:
    for header in REFERS:
        for service in STUBS:
            found = await call(hub, certificate, service, a_signed_referral(hub, header))
            if kind_of(certificate) is not service:
                assert found == "PERMISSION_DENIED", (service, header)
            elif header != certificate:
                assert found == "wire.agency_certificate", (service, header)
            else:
                assert found == REFERS[certificate], (service, header)


async def test_without_a_certificate_of_the_authority_there_is_no_connection(hub: RunningHub) -> None:
    authority = hub.settings.authority_certificate_file.read_bytes()
    async with grpc.aio.secure_channel(hub.address, grpc.ssl_channel_credentials(authority)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await append_pb2_grpc.PoliceServiceStub(channel).GetReceipt(
                append_pb2.GetReceiptRequest(shard=SHARD, event_id=bytes(16)), timeout=5
            )
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_receipt_is_given_to_the_agency_that_appended_and_to_no_other(hub: RunningHub) -> None:
    signed = a_signed_referral(hub, COUNCIL)
    assert await call(hub, COUNCIL, AgencyKind.LOCAL_AUTHORITY, signed) == "accepted"
    event_id = EventHeader.FromString(signed.header).event_id
    asked = append_pb2.GetReceiptRequest(shard=SHARD, event_id=event_id)
    async with hub.channel(COUNCIL) as channel:
        answer = await STUBS[AgencyKind.LOCAL_AUTHORITY](channel).GetReceipt(asked, timeout=5)
        assert (answer.receipt.event_id, answer.receipt.shard) == (event_id, SHARD)
    for other, kind in ((SECOND_COUNCIL, AgencyKind.LOCAL_AUTHORITY), (POLICE, AgencyKind.POLICE), (OPERATOR_ID, AgencyKind.OPERATOR)):
        async with hub.channel(other) as channel:
            unknown = append_pb2.GetReceiptRequest(shard=SHARD, event_id=uuid.uuid4().bytes)
            nowhere = append_pb2.GetReceiptRequest(shard="nowhere", event_id=event_id)
            told = [await refusal(STUBS[kind](channel).GetReceipt(one, timeout=5)) for one in (asked, unknown, nowhere)]
        assert told == [told[0]] * 3
        assert told[0].code == "NOT_FOUND"


async def test_a_receipt_of_what_can_be_no_event_is_an_invalid_argument(hub: RunningHub) -> None:
    async with hub.channel(COUNCIL) as channel:
        stub = STUBS[AgencyKind.LOCAL_AUTHORITY](channel)
        wrong = [append_pb2.GetReceiptRequest(shard=SHARD, event_id=b"x"), append_pb2.GetReceiptRequest(shard="X Y", event_id=bytes(16))]
        told = [await refusal(stub.GetReceipt(one, timeout=5)) for one in wrong]
    assert [one.code for one in told] == ["INVALID_ARGUMENT"] * 2
