"""A hub of the bench's own: founded, with agencies enrolled, and served by a process of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from domain.agency.events import AgencyEnrolled
from domain.kernel.agencies import OPERATOR_ID, PANEL_ID, kind_of
from domain.kernel.events import Event
from domain.kernel.ids import AgencyId, Shard
from domain.partnership.events import PartnershipEstablished
from safeguarding.hub.client.client import HubClient
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import Credentials, Identity, SigningKey
from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from services.bootstrap import Parts, found_home, make_identity, now, open_parts
from services.cli.bench.measuring import cpu_seconds_of, thread_cpu_seconds_of
from services.cli.synthetic.england import Area, england
from services.eventstore.codec import to_message
from services.runtime.interpreter import child_environment, program
from services.runtime.interruption import undisturbed
from services.runtime.settings import FILE_NAME, Settings, load_settings
from services.trust.possession import registration

AREAS: Final = 12
START_MAX_SECONDS: Final = 120.0
STOP_MAX_SECONDS: Final = 60.0
SOURCE: Final = "bench"


@dataclass(frozen=True, slots=True)
class Home:
    """A founded hub: where it is, and the areas whose agencies it knows."""

    settings: Settings
    areas: tuple[Area, ...]

    def sender(self, agency_id: str, shard: str) -> Sender:
        """Return how an agency of this hub speaks."""
        return Sender(
            agency_id=agency_id,
            source=SOURCE,
            shard=shard,
            log_origin=self.settings.log_origin,
            actor_role="head-of-safeguarding",
        )

    def signing_key(self, agency_id: str) -> SigningKey:
        """Return an agency's signing key."""
        folder = self.settings.agency_folder(agency_id)
        return SigningKey.from_file(folder / "sign.key", (folder / "key_id").read_text().strip())

    def credentials(self, agency_id: str) -> grpc.ChannelCredentials:
        """Return an agency's certificate as gRPC takes it."""
        folder = self.settings.agency_folder(agency_id)
        return Credentials.from_files(folder / "ca.pem", folder / "client.pem", folder / "client.key").for_channel()

    def client(self, address: str, agency_id: str, shard: str) -> HubClient:
        """Return an SDK client that speaks for an agency."""
        identity = Identity.from_folder(self.settings.agency_folder(agency_id))
        return HubClient(address, sender=self.sender(agency_id, shard), identity=identity)


def found(folder: Path, **in_file: str) -> Home:
    """Found a hub, enrol the agencies of a few areas with the Panel, and establish their partnerships; ``in_file``: its settings' file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in in_file.items()))
    settings = load_settings(home=folder, listen="127.0.0.1:0", metrics_listen="", agency_events_per_second=0)
    found_home(settings)
    home = Home(settings, england(AREAS))
    agencies: dict[AgencyId, tuple[Shard, ...]] = {PANEL_ID: ()}
    for area in home.areas:
        for agency_id in (*area.partners, area.business_unit):
            agencies[agency_id] = (*agencies.get(agency_id, ()), area.shard)
    with open_parts(settings) as parts:
        events: list[Event] = []
        for agency_id, shards in agencies.items():
            key = make_identity(settings, agency_id)
            name = f"{agency_id} (synthetic)"
            events.append(AgencyEnrolled(agency_id=agency_id, kind=kind_of(agency_id), name=name, live_from=now().date(), shards=shards))
            events.append(registration(key, agency_id, f"{agency_id}:1"))
        asyncio.run(_say(home, parts, [Draft(event=to_message(event)) for event in events]))
        asyncio.run(_say(home, parts, [_established(area) for area in home.areas]))
    return home


def another_node(home: Home, folder: Path) -> Home:
    """Make the home of a second node of a hub on Kafka and PostgreSQL."""
    command = [*program("services.cli.main"), "nodes", "prepare", "second", "--into", str(folder), "--home", str(home.settings.home)]
    subprocess.run(command, env=child_environment(), check=True, stdout=subprocess.DEVNULL, timeout=START_MAX_SECONDS)  # noqa: S603  # our own program
    second = load_settings(home=folder, listen="127.0.0.1:0", metrics_listen="", agency_events_per_second=0)
    shutil.copytree(home.settings.agency_folder(OPERATOR_ID), second.agency_folder(OPERATOR_ID))  # to ask for its health
    return Home(second, home.areas)


def _established(area: Area) -> Draft:
    event = PartnershipEstablished(
        name=area.name,
        arrangements_start_on=now().date().replace(year=2019, day=1),
        business_unit=area.business_unit,
        partners=area.partners,
    )
    return Draft(event=to_message(event), shard=area.shard)


async def _say(home: Home, parts: Parts, drafts: Sequence[Draft]) -> None:
    """Append the operator's events through intake, without a socket; raise ``RuntimeError`` if one is refused."""
    sender, key = home.sender(OPERATOR_ID, "national"), home.signing_key(OPERATOR_ID)
    signed = [SignedEvent.FromString(sign(draft, sender, key, number).message) for number, draft in enumerate(drafts, 1)]
    for outcome in await parts.intake.append(OPERATOR_ID, signed):
        if outcome.HasField("refusal"):
            raise RuntimeError(f"the bench's own hub refused {outcome.refusal.rule}: {outcome.refusal.reason}")


@dataclass(frozen=True, slots=True)
class Served:
    """A hub that serves in a process of its own."""

    address: str
    pid: int
    seconds: float
    """From starting the program to the first answered health check."""

    def cpu_seconds(self) -> float:
        """Return what the process has used so far."""
        return cpu_seconds_of(self.pid)

    def thread_cpu_seconds(self) -> dict[str, float]:
        """Return what each of its threads has used so far."""
        return thread_cpu_seconds_of(self.pid)


@contextmanager
def serving(home: Home) -> Iterator[Served]:
    """Serve a home by ``hub serve`` until the context ends; raise ``RuntimeError`` if it does not come up."""
    began = time.perf_counter()
    command = [*program("services.cli.main"), "serve", "--home", str(home.settings.home), "--listen", "127.0.0.1:0", "--json"]
    variables = {"HUB_METRICS_LISTEN": "", "HUB_AGENCY_EVENTS_PER_SECOND": "0", "HUB_LOG_LEVEL": "warning"}
    with ExitStack() as ending:
        with undisturbed():
            process = subprocess.Popen(command, env=child_environment() | variables, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own program
            ending.enter_context(process)
            ending.callback(_end, process)
        said = "" if process.stdout is None else process.stdout.readline()
        if not said:
            raise RuntimeError("the bench's own hub did not come up; what it said is above")
        address = json.loads(said)["serving"].replace("127.0.0.1", "localhost")
        _demand_health(home, address)
        yield Served(address, process.pid, time.perf_counter() - began)


def _end(process: subprocess.Popen[str]) -> None:
    """Have it drain and end; kill it if it does not."""
    process.terminate()
    try:
        process.wait(STOP_MAX_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _demand_health(home: Home, address: str) -> None:
    with grpc.secure_channel(address, home.credentials(OPERATOR_ID)) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=START_MAX_SECONDS)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise RuntimeError("the bench's own hub does not say that it is serving")
