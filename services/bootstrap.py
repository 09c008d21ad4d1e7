"""The composition root: the only place that names concrete classes, opens files and holds a clock."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from domain.agency.events import AgencyEnrolled, KeyAlgorithm
from domain.agency.state import agency_stream
from domain.kernel.agencies import HUB_ID, OPERATOR_ID, AgencyKind
from domain.kernel.events import london_day
from domain.kernel.ids import NATIONAL
from domain.rules import bundled_rulebook
from projections.kernel.database import OtherLog, ViewDatabase
from projections.kernel.view import View
from projections.views import VIEWS as ALL_VIEWS
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import SigningKey as ClientKey
from safeguarding.hub.v1 import (
    append_pb2,
    chronology_pb2,
    chronology_pb2_grpc,
    deadlines_pb2,
    deadlines_pb2_grpc,
    event_log_pb2,
    event_log_pb2_grpc,
    oversight_pb2,
    oversight_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
)
from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from services.agencies.admin import Admin
from services.agencies.append_service import AppendService
from services.agencies.gate import Gate
from services.agencies.icb import Icb
from services.agencies.local_authority import LocalAuthority
from services.agencies.panel import Panel
from services.agencies.partnership import Partnership
from services.agencies.police import Police
from services.agencies.relevant_agency import RelevantAgency
from services.eventstore.codec import to_message
from services.eventstore.follower import Member, Report, silent
from services.eventstore.local import LocalEventStore, system_clock
from services.eventstore.opening import Opener
from services.eventstore.port import EventStore
from services.eventstore.store import NodeStore
from services.intake.ahead import Examiners
from services.intake.intake import Intake
from services.intake.own import OwnEvents
from services.intake.registry import RegistryFollower
from services.intake.spool import Spool
from services.projector.measuring import MEASURE_SECONDS, Measuring
from services.projector.parallel import Workplace
from services.projector.projector import Projector
from services.queries.asking import Desk
from services.queries.chronology import Chronology
from services.queries.deadlines import Deadlines
from services.queries.event_log import EventLog
from services.queries.oversight import Oversight
from services.queries.proof import Proofs
from services.queries.registry import Registry
from services.queries.watching import Ticker
from services.runtime.entrance import Entrance
from services.runtime.errors import IntegrityError, SignatureInvalid, Unavailable
from services.runtime.folders import FOLDER_MODE
from services.runtime.metrics import Metrics
from services.runtime.settings import Secret, Settings, SettingsError
from services.trust.files import SECRET_MODE, alone, is_damage, write_public
from services.trust.identity import Identities
from services.trust.key_places import open_key_store
from services.trust.key_schema import code_of
from services.trust.keystore import KeyStore, create_kek, load_kek, parse_kek
from services.trust.pki import create_authority, load_authority
from services.trust.possession import registration
from services.trust.registry import OPERATOR_ROOT, RegistryState
from services.trust.signing import SigningKey, load_public_key

VIEWS: Final[tuple[View, ...]] = ALL_VIEWS
"""Every view of the hub."""

APPEND_SERVICES: Final[tuple[type[AppendService], ...]] = (LocalAuthority, Icb, Police, Partnership, Panel, RelevantAgency, Admin)
"""One append service for each kind of agency."""

IDENTITY_FILES: Final = ("sign.key", "key_id", "ca.pem", "client.pem", "client.key")
"""What ``make_identity`` writes."""

CONTRACT: Final = (
    append_pb2.DESCRIPTOR,
    chronology_pb2.DESCRIPTOR,
    deadlines_pb2.DESCRIPTOR,
    event_log_pb2.DESCRIPTOR,
    oversight_pb2.DESCRIPTOR,
    registry_pb2.DESCRIPTOR,
)
"""The files whose services the hub serves."""

TELL_SECONDS: Final = 0.1
"""Whoever watches the hub's health hears that it stops before that watch, too, is ended. So long again new calls are told UNAVAILABLE,
so that they stay away before the server ends: gRPC tells a call that meets that moment nothing but CANCELLED."""
DRAIN_MAX_SECONDS: Final = 15.0
STOP_MAX_SECONDS: Final = 10.0
_LOG: Final = structlog.get_logger("hub")


def now() -> datetime:
    """Return the present instant, aware UTC: the hub's only clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """An opened hub without its sockets."""

    settings: Settings
    metrics: Metrics
    store: NodeStore
    keys: KeyStore
    opener: Opener
    registry: RegistryFollower
    views: ViewDatabase
    projector: Projector
    examiners: Examiners
    intake: Intake
    own: OwnEvents


@contextmanager
def open_parts(settings: Settings, metrics: Metrics | None = None, report: Report = silent) -> Iterator[Parts]:
    """Open a hub's stores and put its parts together; all is closed again on leaving, in reverse order.

    A node on Kafka first folds all that the log holds: ``report`` is told how far it has come, and may end it by raising.
    """
    with ExitStack() as closing:
        metrics = metrics or hub_metrics()
        store = event_store(settings, metrics, report)
        closing.callback(store.close)
        log = log_name(store)
        keys = key_store(settings, log)
        closing.callback(keys.close)
        store.create_shard(NATIONAL)
        opener = Opener(keys)
        registry = RegistryFollower(store, opener, RegistryState(*trust_root(settings)))
        views = view_database(settings, log)
        closing.callback(views.close)
        projector = Projector(store, opener, views, system_clock, workplace(settings))
        closing.callback(projector.stop, STOP_MAX_SECONDS)
        if not store.shares_log and (ahead := projector.ahead()):
            where = settings.view_store_file if settings.database_url is None else "what is in the database that HUB_DATABASE_URL names"
            raise IntegrityError(
                f"{', '.join(ahead)} know more than the log: {settings.event_store_file} is an older copy, or lost its end. "
                f"If that is meant, remove {where}: views are made anew from the log"
            )
        examiners = Examiners()
        intake = Intake(
            store=store,
            registry=registry,
            keys=keys,
            opener=opener,
            examiners=examiners,
            metrics=metrics,
            clock=now,
            log_origin=settings.log_origin,
            node_id=settings.node_id,
        )
        run = f"{settings.node_id[:40]}-{now():%Y%m%dT%H%M%S%f}"  # as a source: no other run's, and at most 63 characters
        spool = Spool(settings.spool_file) if store.shares_log else None
        if spool is not None:
            closing.callback(spool.close)
            metrics.show_spooled(spool.__len__)
        own = OwnEvents(intake, partial(_hub_key, settings), log_origin=settings.log_origin, run=run, spool=spool)
        yield Parts(
            settings=settings,
            metrics=metrics,
            store=store,
            keys=keys,
            opener=opener,
            registry=registry,
            views=views,
            projector=projector,
            examiners=examiners,
            intake=intake,
            own=own,
        )


def hub_metrics() -> Metrics:
    """Return a hub's metrics, all at nothing."""
    return Metrics(CollectorRegistry(), views=[view.name for view in VIEWS])


def event_store(settings: Settings, metrics: Metrics, report: Report) -> NodeStore:
    """Open the node's event store: embedded, or following Kafka's topic, which is checked first."""
    if not settings.kafka_bootstrap:
        return LocalEventStore(settings.event_store_file)
    from services.eventstore import brokers, kafka, topic  # noqa: PLC0415  # most hubs, and every command beside one, do without it

    where = brokers.Kafka.of(settings)
    topic.check_topic(where)
    member = Member(node_id=settings.node_id, follows=settings.shards, compared=metrics.digest_compared)
    return kafka.open_store(settings.event_store_file, where, root=NATIONAL, member=member, report=report)


def log_name(store: EventStore) -> str | None:
    """Return what tells this log from every other, the leaf hash of its first event; None if it has none yet."""
    if NATIONAL not in store.shards():
        return None
    national = store.shard(NATIONAL)
    first = national.read(0, 1)
    return national.leaf(first[0]).hex() if first else None


def key_store(settings: Settings, log: str | None) -> KeyStore:
    """Open the data keys of a log: this node's file, or the database that nodes share.

    Raises ``IntegrityError`` if they are missing or those of another log, ``Unavailable`` if the database does not answer.
    """
    file = settings.key_store_file
    if settings.keys_database_url is not None and file.exists():
        raise SettingsError(f"HUB_KEYS_DATABASE_URL is set, and data keys lie in {file}: hub data-keys move")
    if settings.keys_database_url is None and log is not None and not file.exists():
        raise IntegrityError(f"the log refers to data keys, and {file} is missing: restore it, or set HUB_KEYS_DATABASE_URL")
    try:
        keys = open_key_store(key_place(settings), key_encryption_key(settings))
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        raise IntegrityError(f"{file} is damaged: {error}; restore it from a backup, the newest that there is") from None
    try:
        keys.belong_to(log)
    except BaseException:
        keys.close()
        raise
    return keys


def key_place(settings: Settings) -> str:
    """Return where the data keys lie: a file's path or a database's URL."""
    if settings.keys_database_url is None:
        return str(settings.key_store_file)
    return _url_of(settings.keys_database_url, "HUB_KEYS_DATABASE_URL").render_as_string(hide_password=False)


def view_database(settings: Settings, log: str | None) -> ViewDatabase:
    """Open the views of a log: this node's file, or the database that nodes share.

    Raises ``IntegrityError`` if they are those of another log, ``Unavailable`` if the database does not answer.
    """
    if settings.database_url is None:
        file = settings.view_store_file
        file.touch(mode=SECRET_MODE)  # it holds what people wrote; SQLite gives what it lays beside it the same mode
        try:
            return _of_log(ViewDatabase(f"sqlite:///{file}", VIEWS), log, f"remove {file}")
        except DBAPIError as error:
            if not is_damage(error.orig):
                raise
            raise IntegrityError(f"{file} is damaged: {error.orig}; move it away: views are made anew from the log") from None
    url = _url_of(settings.database_url, "HUB_DATABASE_URL")
    try:
        return _of_log(ViewDatabase(url.render_as_string(hide_password=False), VIEWS), log, "name an empty one in HUB_DATABASE_URL")
    except ValueError as error:
        raise SettingsError(f"HUB_DATABASE_URL: {error}") from None
    except DBAPIError as error:  # whose text may quote what was mistaken for the host: a part of the password
        raise Unavailable(f"the view database that HUB_DATABASE_URL names does not let the hub in ({code_of(error)})") from None


def _of_log(views: ViewDatabase, log: str | None, advice: str) -> ViewDatabase:
    """Return a view database once it is certain that it is of a log."""
    try:
        views.belong_to(log)
    except BaseException as error:
        views.close()
        if isinstance(error, OtherLog):
            raise IntegrityError(f"{error}; {advice}: views are built anew") from None
        raise
    return views


def _url_of(secret: Secret, name: str) -> URL:
    """Return a setting's URL."""
    try:
        return make_url(secret.get_secret_value())
    except (ArgumentError, ValueError):  # which may quote a part of the password
        raise SettingsError(f"{name}: expected postgresql+psycopg://user:password@host/name") from None


def _demand_empty_topic(settings: Settings) -> None:
    """Raise ``Unavailable`` if the topic cannot be reached, ``IntegrityError`` if it would lose records or holds another hub's."""
    from services.eventstore import brokers, kafka, topic  # noqa: PLC0415  # likewise

    where = brokers.Kafka.of(settings)
    topic.check_topic(where)
    if kafka.holds_records(where):
        raise IntegrityError(f"topic {where.topic!r} holds a hub's log already: serve that hub's home, or name another topic")


def key_encryption_key(settings: Settings) -> bytes:
    """Return the key-encryption key from ``HUB_KEK`` or its file."""
    if settings.kek is not None:
        return parse_kek(settings.kek.get_secret_value(), "HUB_KEK")
    return load_kek(settings.kek_file)


def workplace(settings: Settings) -> Workplace:
    """Return where other processes find the log and its keys, to help with a large rebuild."""
    return Workplace(
        event_store_file=settings.event_store_file,
        key_store=key_place(settings),
        kek=key_encryption_key(settings),
        scratch_folder=settings.store_folder,
    )


def trust_root(settings: Settings) -> tuple[KeyAlgorithm, bytes]:
    """Return the operator's public key; raise ``IntegrityError`` if the file does not hold it."""
    try:
        return load_public_key(settings.operator_public_key_file)
    except (ValueError, SignatureInvalid) as error:
        raise IntegrityError(f"{error}: copy it from any other place it is known") from None


def _hub_key(settings: Settings) -> ClientKey:
    folder = settings.agency_folder(HUB_ID)
    file = folder / "sign.key"
    try:
        return ClientKey.from_file(file, (folder / "key_id").read_text().strip())
    except ValueError:
        raise IntegrityError(f"{file} holds no signing key: restore it from a backup") from None


# ── serving ──


class Hub:
    """A running hub: its server, its projector and its metrics."""

    def __init__(self, parts: Parts, entrance: Entrance | None = None) -> None:
        """Prepare to serve ``parts``, behind an entrance that may be open already."""
        self._parts = parts
        self._entrance = entrance or Entrance(parts.settings, parts.metrics, CONTRACT, lambda: "the hub is starting")
        self._gate = Gate(events_per_second=parts.settings.agency_events_per_second, monotonic_seconds=time.monotonic)
        self._desk: Desk | None = None
        self._measuring: asyncio.Task[None] | None = None

    @property
    def store(self) -> NodeStore:
        """The event store that it serves."""
        return self._parts.store

    @property
    def address(self) -> str:
        """Where it serves; empty before it does."""
        return self._entrance.address

    @property
    def metrics_address(self) -> str:
        """Where its metrics are; empty for nowhere."""
        return self._entrance.metrics_address

    async def start(self) -> None:
        """Serve; returns when calls are answered. ``address`` then says where. Raises ``OSError`` if the port is taken."""
        await self._entrance.listen()
        parts = self._parts
        server: Any = self._entrance.doors  # It takes what generated code gives to a server.
        identify = Identities(parts.settings.trust_domain).caller
        for service in APPEND_SERVICES:
            service.add_to_server(service(intake=parts.intake, identify=identify, gate=self._gate, metrics=parts.metrics), server)
        ticker = Ticker(parts.views)
        desk = Desk(
            views=parts.views,
            own=parts.own,
            registry=parts.registry,
            identify=identify,
            clock=now,
            ticker=ticker,
            follows=parts.settings.shards,
        )
        self._desk = desk
        proofs = Proofs(parts.store, parts.registry)
        chronology = Chronology(desk=desk, store=parts.store, opener=parts.opener, proofs=proofs, ticker=ticker)
        chronology_pb2_grpc.add_ChronologyServiceServicer_to_server(chronology, server)
        deadlines = Deadlines(desk=desk, rulebook=bundled_rulebook(), ticker=ticker)
        deadlines_pb2_grpc.add_DeadlineServiceServicer_to_server(deadlines, server)
        event_log = EventLog(desk=desk, store=parts.store, keys=parts.keys, ticker=ticker)
        event_log_pb2_grpc.add_EventLogServiceServicer_to_server(event_log, server)
        oversight_pb2_grpc.add_OversightServiceServicer_to_server(Oversight(desk=desk), server)
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(Registry(desk=desk), server)
        parts.projector.start()
        parts.examiners.start()
        parts.intake.start()
        parts.own.start()
        self._measuring = asyncio.create_task(self._measure())
        await self._entrance.open()

    async def _measure(self) -> None:
        """Keep the gauges current; what fails is logged and tried again."""
        parts, settings = self._parts, self._parts.settings
        files = {"events": settings.event_store_file}
        if settings.keys_database_url is None:
            files["keys"] = settings.key_store_file
        measuring = Measuring(
            projector=parts.projector, views=parts.views, files=files, metrics=parts.metrics, rulebook=bundled_rulebook(), clock=now
        )
        while True:
            try:
                pause_seconds = await asyncio.to_thread(measuring.measure)
            except Exception as error:  # noqa: BLE001  # gauges that stand still are no reason to stop serving
                _LOG.warning("hub.measuring_failed", error=type(error).__name__)
                pause_seconds = MEASURE_SECONDS
            await asyncio.sleep(pause_seconds)

    async def stop(self) -> None:
        """Drain: accept nothing new, answer every call that was accepted, then stop. Idempotent."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.wait([self._measuring])
            self._measuring = None
        await self._entrance.health.drain()
        await asyncio.sleep(TELL_SECONDS)
        self._gate.drain()
        self._entrance.interceptor.drain()
        await asyncio.sleep(TELL_SECONDS)
        await self._entrance.close(DRAIN_MAX_SECONDS)
        if self._desk is not None:
            await asyncio.to_thread(self._desk.close)
        await self._parts.own.close()
        await self._parts.intake.close()
        await self._parts.examiners.close()
        await asyncio.to_thread(self._parts.projector.stop, STOP_MAX_SECONDS)


# ── founding ──


def found_home(settings: Settings) -> None:
    """Make a new hub in ``settings.home``: authority, certificates, operator's and hub's keys, stores, the hub's own enrolment.

    An authority and a server's certificate that ``hub pki init`` made are used, and so is, of an embedded hub, what a founding that was cut
    short has left. Raises ``FileExistsError`` rather than overwrite anything else, ``Busy`` while another process founds a hub there.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with alone(settings.home, "founding a hub"):
        if not is_being_founded(settings):
            _demand_unfounded(settings)
            if settings.kafka_bootstrap:
                _demand_empty_topic(settings)
            else:
                write_public(_founding_mark(settings), b"A hub is being founded here; hub serve --found goes on with it.\n")
        for folder in (settings.pki_folder, settings.operator_public_key_file.parent, settings.agencies_folder, settings.store_folder):
            folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        _make_authority(settings)
        hub = _make_keys(settings)
        with open_parts(settings) as parts:
            asyncio.run(_enrol_hub(parts, hub))
        _founding_mark(settings).unlink(missing_ok=True)


def is_being_founded(settings: Settings) -> bool:
    """Tell whether the founding of an embedded hub was begun in the home and has not come to its end: nothing was served from there yet."""
    return not settings.kafka_bootstrap and _founding_mark(settings).exists()


def _founding_mark(settings: Settings) -> Path:
    """Return the file that lies in a home while an embedded hub is founded there."""
    return settings.home / ".founding"


def _demand_unfounded(settings: Settings) -> None:
    """Raise ``FileExistsError`` if the home holds a hub, or anything of one."""
    if settings.is_founded or settings.operator_public_key_file.exists():
        raise FileExistsError(f"{settings.home} holds a hub already")
    kek_file = [settings.kek_file] if settings.kek is None else []
    server_key_file = [] if settings.server_certificate_file.exists() else [settings.server_key_file]
    for file in (*kek_file, *server_key_file, settings.agency_folder(HUB_ID), settings.agency_folder(OPERATOR_ID)):
        if file.exists():
            raise FileExistsError(f"{file} exists; it is not overwritten")


def _make_authority(settings: Settings) -> None:
    """Make what is missing of the authority and the server's certificate."""
    with alone(settings.pki_folder):
        if not settings.authority_certificate_file.exists():
            create_authority(settings.pki_folder, now=now())
        if not settings.server_certificate_file.exists():
            load_authority(settings.pki_folder).issue_server(settings.pki_folder, now=now(), replace=is_being_founded(settings))


def _make_keys(settings: Settings) -> SigningKey:
    """Make what is missing of the key-encryption key and of the operator's and the hub's identities; return the hub's key."""
    with alone(settings.kek_file.parent):
        if settings.kek is None and not settings.kek_file.exists():
            create_kek(settings.kek_file)
        hub = _identity(settings, HUB_ID)
        if not settings.operator_public_key_file.exists():
            _identity(settings, OPERATOR_ID, key_id=OPERATOR_ROOT).save_public(settings.operator_public_key_file)
    return hub


def _identity(settings: Settings, agency_id: str, *, key_id: str | None = None) -> SigningKey:
    """Return the key of an identity, made now if there is none."""
    folder = settings.agency_folder(agency_id)
    with alone(folder):
        file = folder / "sign.key"
        return SigningKey.load(file) if file.exists() else make_identity(settings, agency_id, key_id=key_id)


def make_identity(settings: Settings, agency_id: str, *, key_id: str | None = None) -> SigningKey:
    """Write an agency's folder: client certificate, a copy of the authority's, key id and, last of all, signing key; return that.

    A making that was cut short is gone on with. Raises ``FileExistsError`` rather than overwrite anything else. Whoever does so where
    others may do the same holds the folder by ``alone``.
    """
    folder = settings.agency_folder(agency_id)
    file, mark = folder / "sign.key", folder / ".making"
    is_begun = mark.exists() and not file.exists()
    existing = [] if is_begun else [str(folder / name) for name in IDENTITY_FILES if (folder / name).exists()]
    if existing:
        raise FileExistsError(f"{' and '.join(existing)}: not overwritten")
    authority = load_authority(settings.pki_folder)
    folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    mark.touch()
    authority.issue_agency(folder, agency_id, trust_domain=settings.trust_domain, now=now(), replace=True)
    write_public(folder / "ca.pem", settings.authority_certificate_file.read_bytes(), replace=True)
    write_public(folder / "key_id", f"{key_id or f'{agency_id}:1'}\n".encode(), replace=True)
    key = SigningKey.generate()
    key.save(file)
    mark.unlink()
    return key


async def _enrol_hub(parts: Parts, hub: SigningKey) -> None:
    """Enrol the hub itself, so that it can sign access events; what is recorded of that is not said again."""
    folder = parts.settings.agency_folder(OPERATOR_ID)
    key = ClientKey.from_file(folder / "sign.key", OPERATOR_ROOT)
    sender = Sender(agency_id=OPERATOR_ID, source="founding", shard=NATIONAL, log_origin=parts.settings.log_origin, actor_role="operator")
    events = (
        AgencyEnrolled(agency_id=HUB_ID, kind=AgencyKind.HUB, name="The hub itself", live_from=london_day(now())),
        registration(hub, HUB_ID, f"{HUB_ID}:1"),
    )
    recorded = parts.store.shard(NATIONAL).stream_version(agency_stream(HUB_ID))
    drafts = [Draft(event=to_message(event)) for event in events[recorded:]]
    signed = [SignedEvent.FromString(sign(draft, sender, key, number).message) for number, draft in enumerate(drafts, recorded + 1)]
    for outcome in await parts.intake.append(OPERATOR_ID, signed):
        if outcome.HasField("refusal"):
            raise RuntimeError(f"the hub could not be founded: {outcome.refusal.rule}: {outcome.refusal.reason}")
