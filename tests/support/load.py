"""One agency's system as a program of its own, talking to a hub until it is told to stop: what the tests of faults kill and start again.

``python -m tests.support.load`` with the fields of ``Plan`` as one JSON argument. It resumes what its outbox holds, then has several
callers append and read at once, and writes into its diary whatever it tries and is told. On SIGTERM it begins nothing new, has
everything decided and ends with 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import monotonic_ns
from typing import Final

import grpc
from google.protobuf.message import Message

from safeguarding.hub.client import nodes, sending
from safeguarding.hub.client.client import HubClient
from safeguarding.hub.client.drafts import Draft, Sender, Signed, stream_of
from safeguarding.hub.client.identifiers import new_case_id
from safeguarding.hub.client.identity import Identity
from safeguarding.hub.client.moments import day, on_day, timestamp
from safeguarding.hub.client.outcomes import Outcome, Receipt, Refusal, Unresolved
from safeguarding.hub.client.routes import query_metadata
from safeguarding.hub.v1 import chronology_pb2, incident_pb2, sharing_pb2
from safeguarding.hub.v1.chronology_pb2_grpc import ChronologyServiceStub
from safeguarding.hub.v1.common_pb2 import PURPOSE_RAPID_REVIEW
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from tests.support.history import Attempt, Diary, Reading, an_attempt

PAUSE_MAX_SECONDS: Final = 0.08
"""Between two calls of one caller: load enough to be killed in, and a log small enough to be verified in seconds."""
BACKOFF_MAX_SECONDS: Final = 0.4
"""Hubs that are killed every second are tried again sooner than others."""
HASTY_SECONDS: Final = 0.25
READ_MAX_SECONDS: Final = 5.0
END_MAX_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one run of a client does. ``cases``: those it speaks of; ``contended``: the one all clients race for.

    ``position``: where the cases have begun, so that no reading is of a view that does not know them yet.

    A ``hasty`` one gives some events up and resumes them: then it hears of an event later than the hub says it.
    """

    target: str
    folder: str
    diary: str
    agency_id: str
    shard: str
    log_origin: str
    run: int
    seed: int
    cases: tuple[str, ...]
    contended: str
    position: int
    child_id: str
    lives_seconds: float
    hasty: bool = True

    @property
    def client(self) -> str:
        """Whose run it is."""
        return self.agency_id

    def command(self) -> list[str]:
        """Return the program that follows this plan."""
        return [sys.executable, "-m", "tests.support.load", json.dumps(asdict(self))]

    @classmethod
    def of(cls, text: str) -> Plan:
        """Read a plan."""
        plan = cls(**json.loads(text))
        return replace(plan, cases=tuple(plan.cases))


class Load:
    """The callers of one client."""

    def __init__(self, plan: Plan, hub: HubClient, diary: Diary, stopping: asyncio.Event) -> None:
        """Speak through ``hub`` until ``stopping`` is set."""
        self._plan = plan
        self._hub = hub
        self._diary = diary
        self._random = Random(f"{plan.seed} {plan.agency_id} {plan.run}")
        self._stopping = stopping
        self._version = 0
        self._position = plan.position

    async def run(self) -> None:
        """Resume, then call until told to stop, then have everything decided."""
        await self._resume()
        callers = [self._tell, self._tell_many, self._tell_together, self._race, self._read]
        if self._plan.hasty:
            callers.append(self._hurry)
        if self._plan.agency_id.startswith("la-"):
            callers.append(self._notify)
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(self._again(caller))
        while await self._hub.pending():
            await self._resume()

    async def _again(self, caller: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping.is_set():
            await caller()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._random.uniform(0.0, PAUSE_MAX_SECONDS))

    # ── what it does ──

    async def _tell(self) -> None:
        """Say one thing."""
        await self._append([self._said(self._case())], certain=True)

    async def _tell_many(self) -> None:
        """Sign first, send then: from the signing on, each of these must come to the log."""
        attempts, drafts = self._begin([self._said(self._case()) for _ in range(self._random.randint(2, 20))], certain=True)
        signed = await self._hub.sign(drafts)
        self._diary.keep(attempt.mark for attempt in attempts)
        async with asyncio.TaskGroup() as group:
            for attempt, event in zip(attempts, signed, strict=True):
                group.create_task(self._send(attempt, event))

    async def _tell_together(self) -> None:
        """Say some things of two cases in one atomic request."""
        cases = [self._case(), self._case()]
        await self._append([self._said(self._random.choice(cases)) for _ in range(self._random.randint(2, 6))], certain=True, atomic=True)

    async def _race(self) -> None:
        """Say one thing of the contended case, if nobody else did since."""
        draft = replace(self._said(self._plan.contended), expected_version=self._version)
        (outcome,) = await self._append([draft], certain=False)
        if isinstance(outcome, Receipt):
            self._version = outcome.version
        elif isinstance(outcome, Refusal) and outcome.current_version is not None:
            self._version = outcome.current_version

    async def _hurry(self) -> None:
        """Say one thing and give up soon; what is open then is resumed."""
        outcomes = await self._append([self._said(self._case())], certain=True, deadline_seconds=HASTY_SECONDS)
        if any(isinstance(outcome, Unresolved) for outcome in outcomes):
            await self._resume()

    async def _notify(self) -> None:
        """Begin a case: its data key is made now."""
        await self._append([Draft(event=self._notification(), case_id=new_case_id())], certain=True)

    def _notification(self) -> Message:
        child = incident_pb2.Child(
            child_id=self._plan.child_id,
            index_child=True,
            sex=incident_pb2.SEX_FEMALE,
            gender=incident_pb2.GENDER_FEMALE,
            age_years=2,
            ethnicity=incident_pb2.ETHNICITY_WHITE_BRITISH,
            disability=incident_pb2.DISABILITY_NO,
            legal_status=incident_pb2.LEGAL_STATUS_NONE,
            living_arrangement=incident_pb2.LIVING_ARRANGEMENT_HOME,
            death_category=incident_pb2.DEATH_CATEGORY_NOT_CLEAR,
        )
        criteria = incident_pb2.Criteria(
            outcome=incident_pb2.CRITERIA_OUTCOME_MET, limb=incident_pb2.LIMB_IN_AREA, rationale="Neglect.", decided_by_role="Director"
        )
        now = datetime.now(UTC)
        return incident_pb2.IncidentNotified(
            notification_type=incident_pb2.NOTIFICATION_TYPE_DEATH,
            incident_on=on_day(now.date() - timedelta(days=3)),
            place=incident_pb2.PLACE_KIND_OWN_HOME,
            incident_authority=self._plan.agency_id,
            residence_authority=self._plan.agency_id,
            circumstances="Synthetic.",
            children=[child],
            awareness=incident_pb2.Awareness(aware_at=timestamp(now), source="A call."),
            criteria=criteria,
        )

    async def _read(self) -> None:
        """Read a chronology, no older than what this client was told last."""
        case_id, user = self._case(), f"reader-{secrets.token_hex(8)}"
        reading = Reading(user=user, shard=self._plan.shard, case_id=case_id, min_position=self._position, begun_ns=monotonic_ns())
        self._diary.reading(reading)
        request = chronology_pb2.GetChronologyRequest(
            shard=self._plan.shard, case_id=case_id, all_entries=True, page_size=1000, min_position=reading.min_position
        )
        metadata = query_metadata(user=user, role="social-worker", purpose=PURPOSE_RAPID_REVIEW)
        try:
            stub = ChronologyServiceStub(self._hub.channel)
            answer = await stub.GetChronology(request, metadata=metadata, timeout=READ_MAX_SECONDS)
        except grpc.aio.AioRpcError as error:
            # CANCELLED is what gRPC tells a call that meets the end of a hub that stops.
            if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}:
                raise
            await asyncio.sleep(BACKOFF_MAX_SECONDS)
            return
        shown = frozenset(line.event_id.hex() for line in answer.lines if line.entry_id)
        self._diary.reading(replace(reading, position=answer.freshness.position, events=shown))

    # ── how ──

    def _case(self) -> str:
        return self._random.choice(self._plan.cases)

    def _said(self, case_id: str) -> Draft:
        return Draft(event=self._something(), case_id=case_id)

    def _something(self) -> Message:
        """Return what this kind of agency says of a case."""
        today = datetime.now(UTC).date()
        if self._plan.agency_id.startswith("police-") and self._random.random() < 0.3:
            return incident_pb2.ParallelProceedingOpened(
                proceeding_id=new_case_id(), kind=incident_pb2.PROCEEDING_KIND_CRIMINAL, restricts_publication=True, summary="Synthetic."
            )
        if self._plan.agency_id.startswith("partnership-") and self._random.random() < 0.3:
            return sharing_pb2.InformationRequested(
                request_id=new_case_id(),
                recipient="agency-northmoor-school",
                gate=sharing_pb2.LEGAL_GATE_S16H_PARTNERS,
                scope="Synthetic.",
                due_on=day(today + timedelta(days=14)),
            )
        entry = sharing_pb2.Entry(
            entry_id=new_case_id(),
            occurred=on_day(today),
            record_reference="R-1",
            fact="A synthetic fact. " * self._random.choice((1, 1, 1, 40)),
            significance=sharing_pb2.SIGNIFICANCE_SIGNIFICANT,
            children=[self._plan.child_id],
        )
        return sharing_pb2.InformationShared(entries=[entry], family_told=sharing_pb2.FamilyTold(told=True))

    def _begin(self, drafts: Sequence[Draft], *, certain: bool, atomic: bool = False) -> tuple[list[Attempt], list[Draft]]:
        """Note what is attempted; return the attempts and the drafts that bear their marks."""
        group = secrets.token_hex(8) if atomic else ""
        attempts, marked = [], []
        for draft in drafts:
            mark = secrets.token_bytes(16)
            stream = stream_of(draft, self._hub.sender)
            more = {"expected_version": draft.expected_version, "certain": certain, "group": group}
            attempts.append(an_attempt(mark, self._plan.client, self._plan.shard, stream, **more))
            marked.append(replace(draft, correlation_id=mark))
        self._diary.begin(attempts)
        return attempts, marked

    async def _append(
        self, drafts: Sequence[Draft], *, certain: bool, atomic: bool = False, deadline_seconds: float = END_MAX_SECONDS
    ) -> list[Outcome]:
        attempts, marked = self._begin(drafts, certain=certain, atomic=atomic)
        outcomes = await self._hub.append_many(marked, atomic=atomic, deadline_seconds=deadline_seconds)
        self._note(attempts, outcomes)
        return outcomes

    async def _send(self, attempt: Attempt, event: Signed) -> None:
        self._note([attempt], await self._hub.send([event]))

    def _note(self, attempts: Sequence[Attempt], outcomes: Sequence[Outcome]) -> None:
        self._diary.answer(list(zip([attempt.mark for attempt in attempts], outcomes, strict=True)))
        positions = [outcome.position for outcome in outcomes if isinstance(outcome, Receipt) and outcome.shard == self._plan.shard]
        self._position = max([self._position, *positions])

    async def _resume(self) -> None:
        """Send again what the outbox holds undecided."""
        marks = {event.event_id: _mark(event.message) for event in await self._hub.pending()}
        self._diary.keep(marks.values())
        outcomes = await self._hub.resume()
        self._diary.answer([(marks[outcome.event_id], outcome) for outcome in outcomes if outcome.event_id in marks])


def _mark(message: bytes) -> str:
    """Return the mark that a signed event bears."""
    return EventHeader.FromString(SignedEvent.FromString(message).header).correlation_id.hex()


async def follow(plan: Plan) -> None:
    """Follow a plan to its end."""
    folder = Path(plan.folder)
    sender = Sender(agency_id=plan.agency_id, source="load", shard=plan.shard, log_origin=plan.log_origin, actor_role="tester")
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    diary = Diary(Path(plan.diary), plan.client)
    try:
        async with asyncio.timeout(plan.lives_seconds), HubClient(plan.target, sender=sender, identity=Identity.from_folder(folder)) as hub:
            await Load(plan, hub, diary, stopping).run()
    except BaseException as error:
        diary.fail(error)
        raise
    diary.finish()


def main() -> None:
    """Follow the plan of the command line."""
    sending.BACKOFF_MAX_SECONDS = BACKOFF_MAX_SECONDS  # type: ignore[misc]
    patient = {name: value for name, value in nodes.CHANNEL_OPTIONS if "backoff" not in name}
    nodes.CHANNEL_OPTIONS = (  # type: ignore[misc, assignment]
        *patient.items(),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 300),
    )
    asyncio.run(follow(Plan.of(sys.argv[1])))


if __name__ == "__main__":
    main()
