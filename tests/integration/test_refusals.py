"""Each way of being wrong gets its own refusal, nothing is stored, and the stream goes on."""

from __future__ import annotations

import asyncio
import math
import struct
import uuid
from collections.abc import Callable

import grpc
import grpc.aio
import pytest

from domain.agency.events import KeyAlgorithm, KeyRegistered, KeyRevoked, RevocationReason
from domain.kernel.agencies import OPERATOR_ID
from domain.kernel.ids import KeyId
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import Identity, SigningKey
from safeguarding.hub.client.outcomes import Receipt, Refusal
from safeguarding.hub.v1 import append_pb2, append_pb2_grpc
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from services.eventstore.codec import to_message
from services.trust.pki import create_authority
from services.trust.possession import registration
from services.trust.signing import SigningKey as HubSigningKey
from services.trust.signing import commitment
from tests.support.builders import COUNCIL, MONDAY, POLICE, SHARD, a_notification, a_proceeding, a_referral
from tests.support.hub import RunningHub

CHILD = "01890000-0000-7000-8000-0000000000aa"


def a_case() -> str:
    return str(uuid.uuid4())


def key_of(hub: RunningHub, agency_id: str) -> SigningKey:
    return Identity.from_folder(hub.settings.agency_folder(agency_id)).signing_key


def a_signed_event(
    hub: RunningHub, *, key: SigningKey | None = None, log_origin: str | None = None, actor_role: str = "tester"
) -> SignedEvent:
    """A council's referral of a case of its own."""
    origin = hub.settings.log_origin if log_origin is None else log_origin
    sender = Sender(agency_id=COUNCIL, source="refusals", shard=SHARD, log_origin=origin, actor_role=actor_role)
    draft = Draft(event=to_message(a_referral(CHILD)), case_id=a_case())
    return SignedEvent.FromString(sign(draft, sender, key or key_of(hub, COUNCIL), 1).message)


def with_body(hub: RunningHub, signed: SignedEvent, body: bytes, event_type: str | None = None) -> SignedEvent:
    """The same event about another body, signed again as it should be."""
    header = EventHeader.FromString(signed.header)
    header.event_id = uuid.uuid4().bytes
    header.body_commitment = commitment(signed.salt, body)
    if event_type is not None:
        header.event_type = event_type
    changed = SignedEvent(header=header.SerializeToString(), body=body, salt=signed.salt)
    changed.signature.key_id = header.key_id
    changed.signature.value = key_of(hub, COUNCIL).sign(changed.header)
    return changed


async def answers(hub: RunningHub, *requests: append_pb2.AppendEventsRequest) -> list[append_pb2.AppendEventsResponse]:
    """Send requests on one stream as the council and return all answers."""
    async with hub.channel(COUNCIL) as channel:
        stub = append_pb2_grpc.LocalAuthorityServiceStub(channel)
        return [answer async for answer in stub.AppendEvents(iter(requests), timeout=20)]


async def outcome(hub: RunningHub, signed: SignedEvent) -> str:
    """Send one event, then a good one on the same stream; return what became of the first."""
    position = hub.parts.store.shard(SHARD).head().position
    first, second = await answers(
        hub,
        append_pb2.AppendEventsRequest(events=[signed]),
        append_pb2.AppendEventsRequest(events=[a_signed_event(hub)]),
    )
    assert second.outcomes[0].HasField("receipt"), "the stream goes on"
    found = first.outcomes[0]
    if found.HasField("receipt"):
        return "accepted"
    assert hub.parts.store.shard(SHARD).head().position == position + 1, "only the good event was stored"
    return found.refusal.rule


def tampered(change: Callable[[SignedEvent], None]) -> Callable[[RunningHub], SignedEvent]:
    def make(hub: RunningHub) -> SignedEvent:
        signed = a_signed_event(hub)
        change(signed)
        return signed

    return make


def _header(signed: SignedEvent) -> None:
    header = EventHeader.FromString(signed.header)
    header.actor_role = "somebody else"
    signed.header = header.SerializeToString()


def _flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


TAMPERED = {
    "header": (tampered(_header), "wire.signature"),
    "signature": (tampered(lambda one: setattr(one.signature, "value", _flip(one.signature.value))), "wire.signature"),
    "body": (tampered(lambda one: setattr(one, "body", _flip(one.body))), "wire.commitment"),
    "salt": (tampered(lambda one: setattr(one, "salt", _flip(one.salt))), "wire.commitment"),
    "short salt": (tampered(lambda one: setattr(one, "salt", b"short")), "wire.salt_length"),
    "key id": (tampered(lambda one: setattr(one.signature, "key_id", "la-E09999901:2")), "wire.key_id_mismatch"),
    "unreadable header": (tampered(lambda one: setattr(one, "header", b"\xff\xff\xff")), "wire.header_unreadable"),
    "no header": (tampered(lambda one: setattr(one, "header", b"")), "wire.key_id_mismatch"),
    "another log": (lambda hub: a_signed_event(hub, log_origin="hub.example/production"), "wire.log_origin"),
    "wrong key": (lambda hub: a_signed_event(hub, key=SigningKey(f"{COUNCIL}:1", key_of(hub, POLICE).private_key)), "wire.signature"),
    "another's key": (lambda hub: a_signed_event(hub, key=key_of(hub, POLICE)), "wire.key_owner"),
    "unknown key": (lambda hub: a_signed_event(hub, key=SigningKey(f"{COUNCIL}:9", key_of(hub, COUNCIL).private_key)), "wire.key_unknown"),
}


@pytest.mark.parametrize("what", sorted(TAMPERED))
async def test_what_was_tampered_with_is_refused_for_what_it_is(hub: RunningHub, what: str) -> None:
    make, rule = TAMPERED[what]
    assert await outcome(hub, make(hub)) == rule


async def test_a_replay_gets_its_original_receipt_and_other_bytes_under_its_id_an_alarm(hub: RunningHub) -> None:
    signed = a_signed_event(hub)
    request = append_pb2.AppendEventsRequest(events=[signed])
    first, again = await answers(hub, request, request)
    assert first.SerializeToString() == again.SerializeToString()
    header = EventHeader.FromString(signed.header)
    header.actor_role = "another role"
    other = SignedEvent(header=header.SerializeToString(), body=signed.body, salt=signed.salt)
    other.signature.key_id, other.signature.value = header.key_id, key_of(hub, COUNCIL).sign(other.header)
    assert await outcome(hub, other) == "wire.replay_other_bytes"


async def test_a_revoked_key_signs_nothing_new_and_what_it_signed_before_keeps_its_receipt(hub: RunningHub) -> None:
    key = HubSigningKey.generate(KeyAlgorithm.ECDSA_P256_SHA256)
    await hub.said(OPERATOR_ID, registration(key, COUNCIL, f"{COUNCIL}:p256"))
    path = hub.settings.agency_folder(COUNCIL) / "p256.key"
    key.save(path)
    signer = SigningKey.from_file(path, f"{COUNCIL}:p256")
    before = a_signed_event(hub, key=signer)
    (first,) = await answers(hub, append_pb2.AppendEventsRequest(events=[before]))
    assert first.outcomes[0].HasField("receipt")
    await hub.said(OPERATOR_ID, KeyRevoked(agency_id=COUNCIL, key_id=KeyId(signer.key_id), reason=RevocationReason.COMPROMISED))
    assert all(signer.key_id in hub.parts.store.shard(name).revoked_keys() for name in hub.parts.store.shards())
    assert await outcome(hub, a_signed_event(hub, key=signer)) == "wire.key_revoked"
    (again,) = await answers(hub, append_pb2.AppendEventsRequest(events=[before]))
    assert again.SerializeToString() == first.SerializeToString()


@pytest.mark.parametrize("point", ["00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f"])
async def test_a_key_of_low_order_is_not_registered(hub: RunningHub, point: str) -> None:
    event = KeyRegistered(
        agency_id=COUNCIL, key_id=KeyId(f"{COUNCIL}:low"), algorithm=KeyAlgorithm.ED25519, public_key=bytes.fromhex(point), proof=b"x" * 64
    )
    (refusal,) = await hub.say(OPERATOR_ID, event)
    assert isinstance(refusal, Refusal)
    assert refusal.rule == "wire.key_low_order"


async def test_a_certificate_of_another_authority_gets_no_connection(hub: RunningHub, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("other")
    create_authority(folder, now=MONDAY.replace(year=2026)).issue_agency(
        folder, COUNCIL, trust_domain=hub.settings.trust_domain, now=MONDAY.replace(year=2026)
    )
    credentials = grpc.ssl_channel_credentials(
        hub.settings.authority_certificate_file.read_bytes(), (folder / "client.key").read_bytes(), (folder / "client.pem").read_bytes()
    )
    async with grpc.aio.secure_channel(hub.address, credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await append_pb2_grpc.LocalAuthorityServiceStub(channel).GetReceipt(
                append_pb2.GetReceiptRequest(shard=SHARD, event_id=bytes(16)), timeout=5
            )
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def _text(field: str, value: bytes) -> bytes:
    """A referral whose reason is raw bytes."""
    assert field == "reason"
    return b"\x12" + _length(value) + value + b"\x1a\x24" + CHILD.encode()


def _length(value: bytes) -> bytes:
    size, out = len(value), b""
    while size > 0x7F:
        out += bytes([size & 0x7F | 0x80])
        size >>= 7
    return out + bytes([size])


def _notification(**changes: object) -> bytes:
    message = to_message(a_notification())
    for name, value in changes.items():
        setattr(message, name, value)
    return message.SerializeToString()


REFERRED = "case.referred.v1"
MALFORMED = {
    "truncated": (REFERRED, _text("reason", b"Synthetic.")[:-5], "wire.body"),
    "garbage": (REFERRED, bytes(range(255, 200, -1)), "wire.body"),
    "invalid UTF-8": (REFERRED, _text("reason", b"\xc3\x28"), "wire.text"),
    "a surrogate in UTF-8": (REFERRED, _text("reason", b"\xed\xa0\x80"), "wire.text"),
    "a noncharacter": (REFERRED, _text("reason", "Synthetic \ufffe.".encode()), "wire.text"),
    "NaN in place of text": (REFERRED, b"\x11" + struct.pack("<d", math.nan), "wire.unknown_field"),
    "deep": (REFERRED, b"\x7b" * 150 + b"\x7c" * 150, "wire.body"),
    "less deep": (REFERRED, b"\x7b" * 50 + b"\x7c" * 50, "wire.unknown_field"),
    "unknown field": (REFERRED, _text("reason", b"Synthetic.") + b"\xf8\x07\x01", "wire.unknown_field"),
    "unknown event type": ("case.invented.v1", _text("reason", b"Synthetic."), "wire.event_type"),
    "unknown enum": ("incident.notified.v1", _notification(notification_type=99), "wire.fields"),
    "missing fields": ("incident.notified.v1", b"", "wire.fields"),
    "control characters": (REFERRED, _text("reason", b"Synthetic\x07."), "wire.text"),
    "bidirectional override": (REFERRED, _text("reason", "Synthetic \u202e.".encode()), "wire.text"),
    "a narrative over 32 KiB": (REFERRED, _text("reason", b"x" * 40_000), "wire.fields"),
    "fields of another event": ("incident.closed.v1", _text("reason", b"Synthetic."), "wire.unknown_field"),
}


@pytest.mark.parametrize("what", sorted(MALFORMED))
async def test_what_is_malformed_is_refused_and_the_stream_goes_on(hub: RunningHub, what: str) -> None:
    event_type, body, rule = MALFORMED[what]
    assert await outcome(hub, with_body(hub, a_signed_event(hub), body, event_type)) == rule


@pytest.mark.parametrize("role", ["head\ufffe", "head\u202e", "head\x07"])
async def test_a_role_in_unclean_characters_is_refused(hub: RunningHub, role: str) -> None:
    assert await outcome(hub, a_signed_event(hub, actor_role=role)) == "wire.text"


@pytest.mark.parametrize(("extra", "field"), [(b"\xa2\x06\x04name", "header.<100>"), (b"\x5a\x03\xa0\x06\x01", "header.signed_at.<100>")])
async def test_a_header_with_what_the_contract_has_no_field_for_is_refused(hub: RunningHub, extra: bytes, field: str) -> None:
    signed = a_signed_event(hub)
    signed.header += extra
    signed.signature.value = key_of(hub, COUNCIL).sign(signed.header)
    (answer,) = await answers(hub, append_pb2.AppendEventsRequest(events=[signed]))
    refusal = answer.outcomes[0].refusal
    assert (refusal.rule, [violation.field for violation in refusal.violations]) == ("wire.unknown_field", [field])


async def test_absurd_dates_and_long_names_are_refused_field_by_field(hub: RunningHub) -> None:
    day, rest = to_message(a_notification()), to_message(a_notification())
    day.incident_on.on.year = 9999
    rest.awareness.aware_at.seconds = -(10**11)
    rest.criteria.decided_by_role = "x" * 10_000
    before = hub.parts.store.shard(SHARD).head().position
    absurd = [with_body(hub, a_signed_event(hub), body.SerializeToString(), "incident.notified.v1") for body in (day, rest)]
    found = await answers(hub, *(append_pb2.AppendEventsRequest(events=[signed]) for signed in (*absurd, a_signed_event(hub))))
    refusals = [answer.outcomes[0].refusal for answer in found[:2]]
    assert [(refusal.code, refusal.rule) for refusal in refusals] == [(append_pb2.REFUSAL_CODE_INVALID, "wire.fields")] * 2
    assert [[violation.field for violation in refusal.violations] for refusal in refusals] == [
        ["incident_on.on"],
        ["awareness.aware_at", "criteria.decided_by_role"],
    ]
    assert found[2].outcomes[0].receipt.position == before + 1, "the stream goes on, and only the good event was stored"


async def test_an_event_over_its_limit_is_refused_alone(hub: RunningHub) -> None:
    assert await outcome(hub, with_body(hub, a_signed_event(hub), b"x" * (256 * 1024 + 1))) == "wire.event_size"


async def test_a_request_of_501_events_or_of_bytes_that_are_none_is_answered_and_the_stream_goes_on(hub: RunningHub) -> None:
    too_many = [a_signed_event(hub) for _ in range(501)]
    before = hub.parts.store.shard(SHARD).head().position
    async with hub.channel(COUNCIL) as channel:
        raw = channel.stream_stream(
            "/safeguarding.hub.v1.LocalAuthorityService/AppendEvents",
            request_serializer=lambda request: request if isinstance(request, bytes) else request.SerializeToString(),
            response_deserializer=append_pb2.AppendEventsResponse.FromString,
        )
        requests = [
            append_pb2.AppendEventsRequest(events=too_many),
            b"\xff\xff\xff",
            append_pb2.AppendEventsRequest(),
            append_pb2.AppendEventsRequest(events=[a_signed_event(hub)]),
        ]
        found = [answer async for answer in raw(iter(requests), timeout=20)]
    assert [(answer.error.code, len(answer.outcomes)) for answer in found] == [(3, 0), (3, 0), (3, 0), (0, 1)]
    assert found[3].outcomes[0].receipt.position == before + 1, "only the last event was stored"
    assert hub.parts.store.shard(SHARD).head().position == before + 1


async def test_over_four_mebibytes_end_the_call_and_not_the_connection(hub: RunningHub) -> None:
    async with hub.channel(COUNCIL) as channel:
        stub = append_pb2_grpc.LocalAuthorityServiceStub(channel)
        big = append_pb2.AppendEventsRequest(events=[SignedEvent(body=b"x" * (5 * 1024 * 1024))])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [answer async for answer in stub.AppendEvents(iter([big]), timeout=20)]
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        good = append_pb2.AppendEventsRequest(events=[a_signed_event(hub)])
        (answer,) = [answer async for answer in stub.AppendEvents(iter([good]), timeout=20)]
    assert answer.outcomes[0].HasField("receipt")


async def test_formula_like_text_is_what_it_is(hub: RunningHub) -> None:
    signed = with_body(hub, a_signed_event(hub), _text("reason", b"=HYPERLINK(1)"))
    assert await outcome(hub, signed) == "accepted"


async def test_two_clients_and_one_expected_version_have_exactly_one_winner(hub: RunningHub) -> None:
    case_id = a_case()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    for version in range(1, 6):
        async with hub.client(COUNCIL, source="one") as one, hub.client(POLICE, source="two") as two:
            drafts = [Draft(event=to_message(a_proceeding(str(uuid.uuid4()))), case_id=case_id, expected_version=version) for _ in range(2)]
            results = await asyncio.gather(one.append_many([drafts[0]]), two.append_many([drafts[1]]))
        outcomes = [result[0] for result in results]
        winners = [found for found in outcomes if isinstance(found, Receipt)]
        losers = [found for found in outcomes if isinstance(found, Refusal)]
        assert [winner.version for winner in winners] == [version + 1]
        assert [(loser.rule, loser.expected_version, loser.current_version) for loser in losers] == [
            ("wire.expected_version", version, version + 1)
        ]


async def test_without_expected_version_both_land(hub: RunningHub) -> None:
    case_id = a_case()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    both = [[a_proceeding(str(uuid.uuid4())) for _ in range(20)] for _ in range(2)]
    outcomes = await asyncio.gather(hub.said(COUNCIL, *both[0], case_id=case_id), hub.said(POLICE, *both[1], case_id=case_id))
    assert sorted(receipt.version for side in outcomes for receipt in side) == list(range(2, 42))


async def test_an_atomic_request_is_all_or_nothing(hub: RunningHub) -> None:
    case_id = a_case()
    good = to_message(a_notification())
    bad = to_message(a_notification())
    async with hub.client(COUNCIL) as client:
        before = hub.parts.store.shard(SHARD).head().position
        refused = await client.append_many([Draft(event=good, case_id=case_id), Draft(event=bad, case_id=case_id)], atomic=True)
        assert [found.rule for found in refused if isinstance(found, Refusal)] == ["wire.atomic", "incident.second_notification"]
        assert hub.parts.store.shard(SHARD).head().position == before
        accepted = await client.append_many(
            [Draft(event=good, case_id=case_id), Draft(event=to_message(a_referral(CHILD)), case_id=a_case())], atomic=True
        )
    assert [found.position for found in accepted if isinstance(found, Receipt)] == [before + 1, before + 2]
