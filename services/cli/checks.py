"""What ``hub doctor`` looks at, each with what was found and what to do."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from domain.kernel.agencies import HUB_ID, OPERATOR_ID
from projections.kernel.database import ViewDatabase
from safeguarding.hub.client.identity import Credentials
from safeguarding.hub.client.nodes import CHANNEL_OPTIONS
from services.bootstrap import VIEWS, is_being_founded, now, trust_root
from services.cli.calling import address_of
from services.cli.failures import KEK_HINT, Failure, lacks_kek, without_file, words_of
from services.cli.stores import CUT_SHORT, FOUND_ANEW, GO_ON, is_whole, opened_keys, opened_log, opened_views
from services.eventstore.refold import Refold
from services.runtime.errors import IntegrityError, Unavailable
from services.runtime.settings import Settings

ANSWER_MAX_SECONDS: Final = 3.0
EXPIRY_WARN_DAYS: Final = 30
DISK_WARN_BYTES: Final = 2 * 1024**3
DISK_FAIL_BYTES: Final = 200 * 1024**2
CLOCK_MAX_BEHIND_SECONDS: Final = 5.0
_EARLIEST: Final = datetime(2025, 1, 1, tzinfo=UTC)
"""This program is younger than any clock that shows an earlier day."""


_SET_CLOCK: Final = "set it: receipts would bear wrong times"


class Grade(StrEnum):
    """How a check came out."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what, how it is, what was found, and what to do about it."""

    what: str
    grade: Grade
    found: str
    advice: str = ""


def checks_of(settings: Settings) -> list[Check]:
    """Look at everything; a look that fails is itself a finding."""
    if not _is_founded(settings) or is_being_founded(settings):
        return [*_guarded(_home, settings), *_guarded(_clock_alone, settings)]
    looks: list[Callable[[Settings], Iterator[Check]]] = [
        _home,
        _files,
        _certificates,
        _trust,
        _keys,
        _serving,
        _clock,
        _disk,
        _log,
        _views,
    ]
    if settings.kafka_bootstrap:
        looks.insert(looks.index(_log), _kafka)
    return [check for look in looks for check in _guarded(look, settings)]


def _guarded(look: Callable[[Settings], Iterator[Check]], settings: Settings) -> Iterator[Check]:
    """Yield what a look finds."""
    try:
        yield from look(settings)
    except Exception as error:  # noqa: BLE001  # whatever a look runs into is what is to be reported
        failure = without_file(error) if isinstance(error, OSError) and lacks_kek(error) else error
        advice = failure.hint if isinstance(failure, Failure) else "see above; hub verify says more of the log"
        yield Check(look.__name__.strip("_"), Grade.FAIL, _words_of(failure), advice)


def _words_of(error: Exception) -> str:
    """Say what a look ran into, as a person would."""
    if isinstance(error, Failure):
        return error.message
    if isinstance(error, PermissionError) and error.filename:
        return f"not readable: {error.filename}"
    return words_of(error) if isinstance(error, OSError) else str(error) or type(error).__name__


def _is_founded(settings: Settings) -> bool:
    """Tell whether there is anything of a hub in the home, or it cannot be told."""
    try:
        return any(file.exists() for file in (settings.event_store_file, settings.operator_public_key_file, settings.kek_file))
    except OSError:
        return True


def _clock_alone(_settings: Settings) -> Iterator[Check]:
    """See that the machine's clock is not plainly wrong, where no log can be held against it."""
    present = now()
    if present < _EARLIEST:
        yield Check("clock", Grade.FAIL, f"the clock says {present:%Y-%m-%d %H:%M} UTC", _SET_CLOCK)
    else:
        yield Check("clock", Grade.OK, f"{present:%Y-%m-%d %H:%M:%S} UTC")


def _home(settings: Settings) -> Iterator[Check]:
    if is_being_founded(settings):
        yield Check("home", Grade.FAIL, f"{settings.home.absolute()}: the founding of its hub has not come to its end", GO_ON)
    elif settings.event_store_file.exists():
        yield Check("home", Grade.OK, f"{settings.home.absolute()} holds a hub, log origin {settings.log_origin}")
    else:
        yield Check(
            "home", Grade.FAIL, f"{settings.home.absolute()} holds no hub", f"hub serve --found --home {settings.home}; or is --home wrong?"
        )


def _files(settings: Settings) -> Iterator[Check]:
    """See that secrets are there and readable by their owner alone."""
    secrets = [settings.server_key_file, settings.event_store_file]
    secrets += [] if settings.kek is not None else [settings.kek_file]
    secrets += [] if settings.keys_database_url is not None else [settings.key_store_file]
    if settings.agency_folder(OPERATOR_ID).exists():  # else it is the home of one more node, which issues nothing
        secrets.append(settings.pki_folder / "ca.key")
    secrets += sorted(settings.agencies_folder.glob("*/*.key"))
    for folder in (settings.agencies_folder, *settings.agencies_folder.glob("*/")):
        if not os.access(folder, os.R_OK | os.X_OK):
            words = "not readable" if folder.exists() else "missing"
            yield Check("files", Grade.FAIL, f"{words}: {folder}", "let the hub's own user read it, or restore it from a copy")
    for file in (settings.authority_certificate_file, settings.server_certificate_file, settings.operator_public_key_file, *secrets):
        if not file.exists():
            advice = KEK_HINT if file == settings.kek_file else "restore it from a copy"
            yield Check("files", Grade.FAIL, f"missing: {file}", advice)
    for databases in ("*.sqlite", "*.sqlite-*"):  # the views and who read lie there too, and what SQLite lays beside each; not always
        secrets += sorted(file for file in settings.store_folder.glob(databases) if file not in secrets)
    opened = [file for file in secrets if file.exists() and _is_open(file)]
    for file in opened:
        yield Check("permissions", Grade.FAIL, f"{file} is open to others ({stat.filemode(file.stat().st_mode)})", f"chmod 600 {file}")
    if not opened:
        yield Check("permissions", Grade.OK, f"{len(secrets)} secret files, readable by their owner alone")


def _is_open(file: Path) -> bool:
    """Tell whether others can read a file: by its own mode, unless a folder above it within the home keeps them out."""
    others = stat.S_IRWXG | stat.S_IRWXO
    return bool(file.stat().st_mode & others) and bool(file.parent.stat().st_mode & others)


def _certificates(settings: Settings) -> Iterator[Check]:
    """Look how long the authority's, the server's and the agencies' certificates are good."""
    renewal = {
        settings.authority_certificate_file: "make a new authority, and new certificates from it",
        settings.server_certificate_file: "hub pki server, then start the hub again",
    }
    for file, advice in renewal.items():
        if file.exists():
            yield _expiry(file, advice)
    if not os.access(settings.agencies_folder, os.R_OK | os.X_OK):
        return  # said among the files
    agencies = [
        _expiry(file, f"hub pki issue {file.parent.name} --renew") for file in sorted(settings.agencies_folder.glob("*/client.pem"))
    ]
    pressing = [check for check in agencies if check.grade is not Grade.OK]
    yield from pressing
    if not pressing:
        yield Check("certificates", Grade.OK, f"{len(agencies)} agencies' certificates, all good for {EXPIRY_WARN_DAYS} days and more")


def _expiry(file: Path, advice: str) -> Check:
    """Say until when a certificate is good, and whether it is of the key beside it."""
    what, key_file = f"{file.parent.name}/{file.name}", file.with_suffix(".key")
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError:
        return Check("certificate", Grade.FAIL, f"{what} holds no certificate in PEM", advice)
    if key_file.exists() and not _is_of(certificate, key_file):
        return Check("certificate", Grade.FAIL, f"{what} is not of the key in {key_file.name}", f"put both back as they were, or {advice}")
    end = certificate.not_valid_after_utc
    days = (end - now()).days
    if end <= now():
        return Check("certificate", Grade.FAIL, f"{what} expired on {end:%Y-%m-%d}", advice)
    found = f"{what} is good until {end:%Y-%m-%d}, {days} days"
    return Check("certificate", Grade.OK, found) if days >= EXPIRY_WARN_DAYS else Check("certificate", Grade.WARN, found, advice)


def _is_of(certificate: x509.Certificate, key_file: Path) -> bool:
    """Tell whether a certificate is of the key in a file."""
    try:
        return load_pem_private_key(key_file.read_bytes(), password=None).public_key() == certificate.public_key()
    except (ValueError, TypeError):  # no key, or one with a password
        return False


def _trust(settings: Settings) -> Iterator[Check]:
    """See that the root of all trust is there."""
    try:
        trust_root(settings)
    except IntegrityError as error:
        yield Check("trust", Grade.FAIL, *str(error).split(": ", 1))
    else:
        yield Check("trust", Grade.OK, f"{settings.operator_public_key_file.relative_to(settings.home)} holds the operator's public key")


def _keys(settings: Settings) -> Iterator[Check]:
    """Open the key store with the key-encryption key."""
    with opened_log(settings) as store, opened_keys(settings, store):
        what = settings.key_store_file.name if settings.keys_database_url is None else "the key database"
        yield Check("keys", Grade.OK, f"the key-encryption key opens {what}")


def _serving(settings: Settings) -> Iterator[Check]:
    """Ask the hub, and see whether its ports are free if it does not answer."""
    try:
        address = address_of(settings)
    except Failure as nowhere:
        yield Check("serving", Grade.WARN, nowhere.message, nowhere.hint)
        return
    folder = settings.agency_folder(HUB_ID)
    credentials = Credentials.from_files(folder / "ca.pem", folder / "client.pem", folder / "client.key")
    with grpc.secure_channel(address, credentials.for_channel(), options=CHANNEL_OPTIONS) as channel:
        try:
            answer = HealthStub(channel).Check(HealthCheckRequest(), timeout=ANSWER_MAX_SECONDS, wait_for_ready=False)
        except grpc.RpcError as error:
            yield _port(address, error.code().name)
        else:
            status = HealthCheckResponse.ServingStatus.Name(answer.status)
            is_serving = answer.status == HealthCheckResponse.SERVING
            advice = "" if is_serving else "it is starting or stopping: look again"
            yield Check("serving", Grade.OK if is_serving else Grade.WARN, f"a hub answers at {address}: {status}", advice)
    if settings.metrics_listen:
        is_there = _listens(settings.metrics_listen)
        found = f"something answers at {settings.metrics_listen}" if is_there else f"no hub's metrics: {settings.metrics_listen} is free"
        yield Check("metrics", Grade.OK, found)


def _port(address: str, code: str) -> Check:
    """Say what is at a port where no hub answers."""
    if _listens(address):
        return Check("serving", Grade.FAIL, f"something at {address} is no hub of this home ({code})", "stop it, or set HUB_LISTEN")
    return Check("serving", Grade.WARN, f"no hub is serving; {address} is free", "hub serve starts it")


def _listens(address: str) -> bool:
    """Tell whether anything takes connections at an address."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_MAX_SECONDS):
            return True
    except OSError:
        return False


def _clock(settings: Settings) -> Iterator[Check]:
    """Hold the machine's clock against what the log has recorded."""
    present = now()
    if present < _EARLIEST:
        yield Check("clock", Grade.FAIL, f"the clock says {present:%Y-%m-%d %H:%M} UTC", _SET_CLOCK)
        return
    with opened_log(settings) as store:
        last_ms = max((store.shard(name).head().recorded_at_ms for name in store.shards()), default=0)
    ahead_seconds = last_ms / 1_000 - present.timestamp()
    if ahead_seconds > CLOCK_MAX_BEHIND_SECONDS:
        found = f"the clock says {present:%Y-%m-%d %H:%M:%S} UTC, {ahead_seconds:.0f} s before the last recorded event"
        yield Check("clock", Grade.FAIL, found, "set it: new events would bear that event's time until it is reached")
    else:
        yield Check("clock", Grade.OK, f"{present:%Y-%m-%d %H:%M:%S} UTC, not before the last recorded event")


def _disk(settings: Settings) -> Iterator[Check]:
    """See how much room there is to write."""
    free = shutil.disk_usage(settings.store_folder).free
    found = f"{free / 1024**3:.1f} GiB free where {settings.store_folder} lies"
    grade = Grade.FAIL if free < DISK_FAIL_BYTES else Grade.WARN if free < DISK_WARN_BYTES else Grade.OK
    yield Check("disk", grade, found, "" if grade is Grade.OK else "make room: without it the hub refuses every event")


def _kafka(settings: Settings) -> Iterator[Check]:
    """Reach the brokers, and see that the topic keeps its records as they are."""
    from services.eventstore.brokers import Kafka  # noqa: PLC0415  # most hubs do without it
    from services.eventstore.topic import check_topic  # noqa: PLC0415  # most hubs do without it

    try:
        there = check_topic(Kafka.of(settings))
    except Unavailable as error:
        yield Check("kafka", Grade.FAIL, str(error), "start the brokers, or correct HUB_KAFKA_BOOTSTRAP or HUB_KAFKA_TOPIC")
    except IntegrityError as error:
        yield Check("kafka", Grade.FAIL, str(error), "have the topic's settings corrected before anything is lost")
    else:
        found = (
            f"topic {settings.kafka_topic} at {', '.join(settings.kafka_bootstrap)}, {there.partitions} partitions, each on {there.brokers}"
        )
        yield Check("kafka", Grade.OK, found)
    cause = Refold(settings.event_store_file).cause
    if cause is not None:
        again = "was folded anew" if cause.is_done else "will be folded anew when it is started"
        yield Check("digests", Grade.WARN, f"this node {again}: {cause.words}", "docs/runbooks/kafka.md says what to do")


def _log(settings: Settings) -> Iterator[Check]:
    """Open the log, and see that the hub itself is enrolled."""
    with opened_log(settings) as store:
        heads = {name: store.shard(name).head().position for name in store.shards()}
        founded = is_whole(store)
    yield Check("log", Grade.OK, f"{sum(heads.values())} events in {len(heads)} shards")
    if not founded:
        yield Check("log", Grade.FAIL, CUT_SHORT, FOUND_ANEW)


def _views(settings: Settings) -> Iterator[Check]:
    """See that every view is live, of this program's version, and takes every stream."""
    if settings.database_url is None and not settings.view_store_file.exists():
        yield Check("views", Grade.WARN, "no view was built yet", "hub serve builds them")
        return
    with opened_log(settings) as store:
        heads = {name: store.shard(name).head().position for name in store.shards()}
        with opened_views(settings, store) as views:
            for view in VIEWS:
                yield _view(views, view.name, heads)


def _view(views: ViewDatabase, name: str, heads: dict[str, int]) -> Check:
    """Say how one view stands."""
    live = views.live(name)
    if live is None:
        return Check("view", Grade.WARN, f"{name} is being built", "hub serve builds it; look again")
    parked = views.parked(name, live.generation)
    if parked:
        where = ", ".join(f"{one.shard}/{one.position}" for one in parked[:3])
        return Check("view", Grade.FAIL, f"{name} could not take {len(parked)} streams: {where}", "see the log; then hub rebuild")
    if not views.is_current(name):
        return Check("view", Grade.WARN, f"{name} is of an older version", "hub serve builds the new one beside it; look again")
    reached = views.positions(name, live.generation)
    behind = sum(max(0, position - reached.get(shard, 0)) for shard, position in heads.items())
    advice = "hub serve brings it up to date" if behind else ""
    return Check("view", Grade.WARN if behind else Grade.OK, f"{name} is live, {behind} positions behind", advice)
