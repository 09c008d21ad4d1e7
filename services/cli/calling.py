"""Calling a hub from the command line: where it is, as which agency, for whom, and what its refusals mean here."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_status import rpc_status

from domain.kernel.agencies import OPERATOR_ID
from domain.kernel.events import Event, Purpose
from domain.kernel.ids import NATIONAL
from safeguarding.hub.client.blocking import BlockingHubClient
from safeguarding.hub.client.client import NOT_NOW, HubClient
from safeguarding.hub.client.drafts import Draft, Sender
from safeguarding.hub.client.identity import Credentials, Identity
from safeguarding.hub.client.nodes import CHANNEL_OPTIONS
from safeguarding.hub.client.outbox import Outbox
from safeguarding.hub.client.outcomes import Outcome, Receipt, Refusal
from services.cli.failures import CONTRADICTION_HINT, Exit, Failure, wrong_usage
from services.cli.options import DEFAULT_ROLE, DEFAULT_USER
from services.cli.output import emit, plain, say, tell
from services.cli.stores import opened_log
from services.eventstore.codec import to_message
from services.eventstore.read_only import ReadOnlyEventStore
from services.runtime.settings import Settings

CALL_MAX_SECONDS: Final = 15.0
APPEND_MAX_SECONDS: Final = 30.0
CONNECT_MAX_SECONDS: Final = 5.0
ASK_AGAIN_SECONDS: Final = 0.2
SOURCE: Final = "hub-command"
"""The sending system that the hub's own command is."""
_EVERYWHERE: Final = ("0.0.0.0", "[::]", "")  # noqa: S104  # compared with, not listened on
_CASE_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOT_ITS_TLS: Final = "handshake failed"
"""What gRPC says of whoever answers without a certificate of this home's authority."""
_CASE_STREAMS: Final = ("incident", "sharing", "rapid_review", "local_review", "access")
_REFUSED_WITH_ANOTHER: Final = "wire.atomic"
_REFUSALS: Final = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.ALREADY_EXISTS,
    }
)
T = TypeVar("T")


def address_of(settings: Settings) -> str:
    """Return where to call the hub of this home: where it says it serves, else where it is set to listen; fail if that is nowhere."""
    try:
        text = settings.address_file.read_text().strip()
    except FileNotFoundError:
        text = settings.listen
    host, _, port = text.rpartition(":")
    if port == "0":
        raise Failure(Exit.UNAVAILABLE, f"no hub of {settings.home} is serving", "start it with: hub serve")
    return f"localhost:{port}" if host in _EVERYWHERE else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """Calls to one hub as one agency, on behalf of one end user."""

    settings: Settings
    agency_id: str
    user: str
    role: str
    purpose: Purpose

    @classmethod
    def of_operator(cls, settings: Settings) -> Calling:
        """Return the calls by which commands of the operator look up what there is."""
        return cls(settings=settings, agency_id=OPERATOR_ID, user=DEFAULT_USER, role=DEFAULT_ROLE, purpose=Purpose.ADMINISTRATION)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Who asks, as every query carries it."""
        return (("hub-user", self.user), ("hub-role", self.role), ("hub-purpose", self.purpose.value))

    @contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """Give a channel with the agency's certificate; a call that fails inside becomes a ``Failure``."""
        folder = agency_folder(self.settings, self.agency_id)
        with channel_to(address_of(self.settings), folder) as channel:
            yield channel

    def call(self, method: Callable[..., T], request: Any) -> T:
        """Call one unary method in bounded time; while the hub says that it cannot answer yet (a view is being built), ask again."""
        deadline = time.monotonic() + CALL_MAX_SECONDS
        while True:
            try:
                return method(request, metadata=self.metadata, timeout=CALL_MAX_SECONDS)
            except grpc.RpcError as error:
                is_answer = error.code() is grpc.StatusCode.UNAVAILABLE and isinstance(error, grpc.Call) and rpc_status.from_call(error)
                if not is_answer or time.monotonic() > deadline:
                    raise
            time.sleep(ASK_AGAIN_SECONDS)

    def pages(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        """Yield every page of a paged method."""
        while True:
            page = self.call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def demand_home(settings: Settings) -> None:
    """Fail unless the home holds a hub."""
    try:
        is_there = settings.is_founded
    except PermissionError:
        raise Failure(Exit.UNAVAILABLE, f"{settings.home} is not readable", "whose is the folder? is --home right?") from None
    if not is_there:
        hint = f"to found one there: hub serve --found --home {settings.home}; or is --home wrong?"
        raise Failure(Exit.UNAVAILABLE, f"{settings.home} holds no hub", hint)


def read_log(settings: Settings) -> ReadOnlyEventStore:
    """Open the log in the hub's home for reading; fail if the home holds no hub."""
    demand_home(settings)
    return opened_log(settings)


def agency_folder(settings: Settings, agency_id: str) -> Path:
    """Return the folder with an agency's certificate and keys; fail if this home has none."""
    demand_home(settings)
    folder = settings.agency_folder(agency_id)
    if agency_id == OPERATOR_ID and not (folder / "client.pem").exists():
        what = f"{settings.home} holds no certificate of the operator"
        raise wrong_usage(what, "the operator's commands are given where its folder lies: in the home that founded the hub")
    if not (folder / "client.pem").exists():
        known = sorted(one.name for one in settings.agencies_folder.glob("*")) if settings.agencies_folder.exists() else []
        hint = f"there are: {', '.join(known[:8])}{' …' if len(known) > 8 else ''}" if known else "is --home right?"
        raise wrong_usage(
            f"{settings.home} holds no certificate of {agency_id}", f"hub agencies enrol {agency_id} --with-key makes one; {hint}"
        )
    return folder


def sdk_client(settings: Settings, agency_id: str, *, shard: str, source: str, actor_role: str, target: str = "") -> HubClient:
    """Return an asynchronous SDK client that speaks for an agency of this home, to its hub unless another ``target`` is named."""
    sender = Sender(agency_id=agency_id, source=source, shard=shard, log_origin=settings.log_origin, actor_role=actor_role)
    return HubClient(target or address_of(settings), sender=sender, identity=Identity.from_folder(agency_folder(settings, agency_id)))


def operator_appends(settings: Settings, events: Sequence[Event], *, shard: str = NATIONAL) -> list[Outcome]:
    """Append the operator's events through ``AdminService``, all or none of them, and return an outcome for each."""
    folder = agency_folder(settings, OPERATOR_ID)
    sender = Sender(agency_id=OPERATOR_ID, source=SOURCE, shard=shard, log_origin=settings.log_origin, actor_role="operator")
    target = address_of(settings)
    demand_answer(target, folder)
    with BlockingHubClient(target, sender=sender, identity=Identity.from_folder(folder)) as client:
        for outcome in client.resume(deadline_seconds=APPEND_MAX_SECONDS):
            tell(f"hub: an event of an earlier command, sent again: {said_of(outcome)}")
        drafts = [Draft(event=to_message(event)) for event in events]
        try:
            return client.append_many(drafts, atomic=len(drafts) > 1, deadline_seconds=APPEND_MAX_SECONDS)
        except KeyboardInterrupt:
            if client.pending():
                tell("hub: what was signed is kept, and may be recorded already; the operator's next command sends it again")
            raise


def send_kept(settings: Settings) -> None:
    """Send what a command of the operator that was cut short has kept, if anything: the same command may be given again."""
    outbox = Outbox(Identity.from_folder(agency_folder(settings, OPERATOR_ID)).outbox)
    try:
        is_kept = bool(outbox.pending())
    finally:
        outbox.close()
    if is_kept:
        operator_appends(settings, [])


def said_of(outcome: Outcome) -> str:
    """Say in a line what became of an event."""
    if isinstance(outcome, Receipt):
        return f"recorded at {outcome.shard}/{outcome.position} in {outcome.stream}"
    if isinstance(outcome, Refusal):
        return f"refused: {str(outcome).removeprefix('REFUSED ')}"
    return f"not known yet: {outcome.reason}"


def settle(outcomes: Sequence[Outcome], *, json: bool, **more: Any) -> None:
    """Print what became of the operator's events, and ``more`` in the JSON document; fail unless all were recorded."""
    if json:
        emit({**more, "outcomes": [{"outcome": type(one).__name__.lower(), **plain(one)} for one in outcomes]})
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    if refusals:
        whole = [] if len(outcomes) == 1 else [f"nothing of it was recorded, all {len(outcomes)} events were sent as one request"]
        why = next((one for one in refusals if one.rule != _REFUSED_WITH_ANOTHER), refusals[0])
        raise Failure(Exit.REFUSED, "; ".join([said_of(why), *whole]))
    for outcome in outcomes:
        if not isinstance(outcome, Receipt):
            raise Failure(Exit.UNAVAILABLE, said_of(outcome), "the event is kept; the operator's next command sends it again")
        if not json:
            say(said_of(outcome))


def demand_answer(target: str, folder: Path) -> None:
    """Fail at once, and before anything is signed, if no hub answers."""
    with channel_to(target, folder) as channel:
        HealthStub(channel).Check(HealthCheckRequest(), timeout=CONNECT_MAX_SECONDS)


@contextmanager
def channel_to(target: str, folder: Path) -> Iterator[grpc.Channel]:
    """Give a channel with the certificate in an agency's folder; a call that fails inside becomes a ``Failure``."""
    credentials = Credentials.from_files(folder / "ca.pem", folder / "client.pem", folder / "client.key")
    with grpc.secure_channel(target, credentials.for_channel(), options=CHANNEL_OPTIONS) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            raise failure_of(error, target, credentials.lapse) from None


def _no_answer(target: str, words: str, lapse: str) -> Failure:
    """Return the failure of a call that no hub of this home answered; ``words`` are gRPC's."""
    if lapse:
        return Failure(Exit.UNAVAILABLE, f"no hub answers at {target}: {lapse}", "hub pki issue AGENCY --renew makes a new certificate")
    if _NOT_ITS_TLS in words:
        hint = "is it the hub of another home? --home names the home, HUB_LISTEN where its hub is to serve"
        return Failure(Exit.UNAVAILABLE, f"what answers at {target} is no hub of this home", hint)
    return Failure(Exit.UNAVAILABLE, f"no hub answers at {target}", "start it with: hub serve; hub doctor says what is wrong")


def failure_of(error: grpc.RpcError, target: str, lapse: str) -> Failure:
    """Return what a failed call means here; ``lapse``: why nobody takes the caller's certificate, empty if it is good."""
    code = error.code()
    status = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
    info, fields = ErrorInfo(), BadRequest()
    details: Sequence[AnyMessage] = () if status is None else status.details
    for detail in details:
        # Each unpacks its own kind only.
        detail.Unpack(info)
        detail.Unpack(fields)
    words = error.details() or ""
    rule = info.metadata.get("rule", "")
    said = f"{rule}: {words.removeprefix(f'{rule}: ')}" if rule else words
    if code in NOT_NOW:
        if status is None:
            return _no_answer(target, words, lapse)
        return Failure(Exit.UNAVAILABLE, f"the hub cannot answer now: {words}", "try again")
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        wrong = "; ".join(f"{one.field}: {one.description}" for one in fields.field_violations)
        return Failure(Exit.USAGE, f"the hub cannot take this request: {wrong or said}")
    if code in _REFUSALS:
        hint = "it is not there, or not this agency's to read (--as says which agency asks)" if code is grpc.StatusCode.NOT_FOUND else ""
        return Failure(Exit.REFUSED, f"refused: {said}", hint)
    if code is grpc.StatusCode.DATA_LOSS:
        return Failure(Exit.UNSOUND, words, CONTRADICTION_HINT)
    return Failure(Exit.UNEXPECTED, f"the hub failed: {code.name}: {words}")


def stamp(moment: datetime) -> Timestamp:
    """Return an instant as a wire timestamp."""
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def national_position(settings: Settings) -> int:
    """Return how far the log of agencies and keys has come: what a list of them has to have seen after a command that changed it."""
    with read_log(settings) as store:
        return store.shard(NATIONAL).head().position


def demand_shards(settings: Settings, names: Sequence[str]) -> None:
    """Fail unless every one of these partnerships has a shard."""
    if not names:
        return
    with read_log(settings) as store:
        known = [name for name in store.shards() if name != NATIONAL]
    if unknown := sorted(set(names) - set(known)):
        raise wrong_usage(f"there is no shard {', '.join(unknown)}", f"there are: {', '.join(known) or 'none yet'}")


def case_in(stream: str) -> str:
    """Return the id of the case that a stream is named by; nothing if it is named by none."""
    found = _CASE_ID.search(stream)
    return "" if found is None else found.group()


def shard_of_case(settings: Settings, case_id: str) -> str:
    """Return the shard that a case lies in, from the log in the hub's home; fail if there is no such case."""
    shard, _ = streams_of_case(settings, case_id)
    return shard


def streams_of_case(settings: Settings, case_id: str) -> tuple[str, list[str]]:
    """Return the shard that a case lies in and its streams there, from the log in the hub's home; fail if there is no such case."""
    if _CASE_ID.fullmatch(case_id) is None:
        raise wrong_usage(f"{case_id!r} is no case id", "a case id is a lower-case UUID")
    names = [f"{category}-{case_id}" for category in _CASE_STREAMS]
    with read_log(settings) as store:
        for shard in (store.shard(name) for name in store.shards() if name != NATIONAL):
            if streams := [name for name in names if shard.stream_version(name)]:
                return shard.name, streams
    raise Failure(Exit.REFUSED, f"there is no case {case_id} in {settings.home}", "hub deadlines and hub panel cases name cases")
