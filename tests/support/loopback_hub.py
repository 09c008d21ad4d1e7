"""A tiny hub for tests of the client: real sockets and mutual TLS, a dictionary for a log, and faults on demand."""

from __future__ import annotations

import hmac
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from safeguarding.hub.client import Identity
from safeguarding.hub.v1 import append_pb2 as wire
from safeguarding.hub.v1 import append_pb2_grpc as services
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from services.trust.pki import Authority, create_authority

COUNCIL = "la-E09999901"
KEY_ID = "la-E09999901-1"
DSSE = b"DSSEv1 57 application/vnd.safeguarding-hub.event-header.v1+protobuf %d %s"


@dataclass
class Files:
    """What a test's hub and agency keep on disk."""

    root: Path
    authority: Authority
    signing_key: Ed25519PrivateKey

    def identity(self, outbox: Path) -> Identity:
        """Return the agency's identity with an outbox of its own."""
        read = Identity.from_folder(self.root / "agency", authority=self.root / "ca.pem")
        return Identity(read.credentials, read.signing_key, outbox)


def make_files(root: Path) -> Files:
    """Make an authority, a server certificate, and an agency's certificate and signing key."""
    now = datetime.now(UTC)
    (root / "agency").mkdir()
    authority = create_authority(root, now=now)
    authority.issue_server(root, now=now)
    authority.issue_agency(root / "agency", COUNCIL, trust_domain="hub.example", now=now)
    key = Ed25519PrivateKey.generate()
    (root / "agency" / "sign.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (root / "agency" / "key_id").write_text(KEY_ID + "\n")
    return Files(root, authority, key)


Fault = Callable[["LoopbackHub", wire.AppendEventsRequest, Any], wire.AppendEventsResponse | None]
"""Takes the place of an answer; None means that the stream was ended."""


Conversation = Callable[["LoopbackHub", Iterator[wire.AppendEventsRequest], Any], Iterator[wire.AppendEventsResponse]]
"""Takes the place of a whole stream of answers."""


def drop_after(count: int, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> Fault:
    """Decide the first events of a request, then lose the connection without an answer."""

    def fault(hub: LoopbackHub, request: wire.AppendEventsRequest, context: Any) -> None:
        for signed in request.events[:count]:
            hub.decide(signed)
        context.abort(code, "connection lost")

    return fault


def unavailable(retry_after_ms: int = 1) -> Fault:
    """Answer every event with UNAVAILABLE."""

    def fault(_hub: LoopbackHub, request: wire.AppendEventsRequest, _context: Any) -> wire.AppendEventsResponse:
        refusal = wire.Refusal(code=wire.REFUSAL_CODE_UNAVAILABLE, rule="hub.busy", reason="not now", retry_after_ms=retry_after_ms)
        return wire.AppendEventsResponse(outcomes=[wire.Outcome(refusal=refusal) for _ in request.events])

    return fault


def refuse_request(code: int, message: str) -> Fault:
    """Refuse a request as a whole."""

    def fault(_hub: LoopbackHub, _request: wire.AppendEventsRequest, _context: Any) -> wire.AppendEventsResponse:
        answer = wire.AppendEventsResponse()
        answer.error.code, answer.error.message = code, message
        return answer

    return fault


@dataclass
class LoopbackHub:
    """Accepts what is signed by the agency's key, once; refuses events whose actor role is ``refuse me``."""

    files: Files
    port: int = 0
    faults: deque[Fault] = field(default_factory=deque)
    conversations: deque[Conversation] = field(default_factory=deque)
    requests: list[list[bytes]] = field(default_factory=list)
    """The event ids of every request, as they arrived."""
    seen: dict[bytes, set[bytes]] = field(default_factory=dict)
    """The serialized signed events that arrived under each event id."""
    log: dict[bytes, wire.Receipt] = field(default_factory=dict)
    headers: list[EventHeader] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    hidden_receipts: set[bytes] = field(default_factory=set)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def target(self) -> str:
        return f"localhost:{self.port}"

    def start(self) -> None:
        """Serve on the port of the first start."""
        self.server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        services.add_LocalAuthorityServiceServicer_to_server(_Service(self), self.server)
        root = self.files.root
        pair = ((root / "server.key").read_bytes(), (root / "server.pem").read_bytes())
        credentials = grpc.ssl_server_credentials([pair], (root / "ca.pem").read_bytes(), require_client_auth=True)
        self.port = self.server.add_secure_port(f"localhost:{self.port}", credentials)
        self.server.start()

    def stop(self) -> None:
        """Die at once: every connection is cut."""
        self.server.stop(None).wait()

    def answer(self, request: wire.AppendEventsRequest, context: Any) -> wire.AppendEventsResponse | None:
        """Answer a request, or do what the next fault says."""
        self.requests.append([EventHeader.FromString(signed.header).event_id for signed in request.events])
        for signed in request.events:
            self.seen.setdefault(EventHeader.FromString(signed.header).event_id, set()).add(signed.SerializeToString(deterministic=True))
        if self.faults:
            return self.faults.popleft()(self, request, context)
        refused = [self.refusal(signed) for signed in request.events]
        if request.atomic and any(refused):
            atomic = wire.Refusal(code=wire.REFUSAL_CODE_ATOMIC, rule="wire.atomic", reason="another event of the request was refused")
            return wire.AppendEventsResponse(outcomes=[wire.Outcome(refusal=refusal or atomic) for refusal in refused])
        return wire.AppendEventsResponse(
            outcomes=[
                wire.Outcome(refusal=refusal) if refusal else wire.Outcome(receipt=self.decide(signed))
                for signed, refusal in zip(request.events, refused, strict=True)
            ]
        )

    def refusal(self, signed: SignedEvent) -> wire.Refusal | None:
        """Say why an event is refused."""
        header = EventHeader.FromString(signed.header)
        if header.actor_role != "refuse me":
            return None
        return wire.Refusal(
            event_id=header.event_id,
            code=wire.REFUSAL_CODE_REFUSED,
            rule="incident.notifier",
            reason="no",
            expected_version=1,
            current_version=2,
        )

    def decide(self, signed: SignedEvent) -> wire.Receipt:
        """Verify an event and place it on the log; the same event again gets its first receipt."""
        header = EventHeader.FromString(signed.header)
        self.files.signing_key.public_key().verify(signed.signature.value, DSSE % (len(signed.header), signed.header))
        assert signed.signature.key_id == header.key_id == KEY_ID
        assert hmac.digest(signed.salt, signed.body, "sha256") == header.body_commitment
        assert len(signed.salt) == 32
        if header.event_id not in self.log:
            self.headers.append(header)
            self.versions[header.stream] += 1
            receipt = wire.Receipt(
                event_id=header.event_id,
                shard=header.shard,
                position=len(self.log) + 1,
                stream=header.stream,
                version=self.versions[header.stream],
                leaf=b"\x01" * 32,
                findings=[wire.FindingNote(rule="incident.late", words="late", mend="explain")],
            )
            receipt.recorded_at.seconds = 1_700_000_000
            self.log[header.event_id] = receipt
        return self.log[header.event_id]


class _Service(services.LocalAuthorityServiceServicer):
    """The one append service that these tests need."""

    def __init__(self, hub: LoopbackHub) -> None:
        self._hub = hub

    def AppendEvents(self, requests: Iterator[wire.AppendEventsRequest], context: Any) -> Iterator[wire.AppendEventsResponse]:  # noqa: N802
        if self._hub.conversations:
            yield from self._hub.conversations.popleft()(self._hub, requests, context)
            return
        for request in requests:
            answer = self._hub.answer(request, context)
            if answer is None:
                return
            yield answer

    def GetReceipt(self, request: wire.GetReceiptRequest, context: Any) -> wire.GetReceiptResponse:  # noqa: N802
        receipt = self._hub.log.get(request.event_id)
        if receipt is None or request.event_id in self._hub.hidden_receipts:
            context.abort(grpc.StatusCode.NOT_FOUND, "not found")
        return wire.GetReceiptResponse(receipt=receipt)
