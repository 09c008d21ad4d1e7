"""``hub agencies``: who takes part. The operator says it, as signed events in the national shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from domain.agency.decider import DECIDER
from domain.agency.events import AgencyEnrolled, AgencySuspended
from domain.agency.state import Enrolled, Suspended, Unknown, agency_stream
from domain.kernel.agencies import kind_of
from domain.kernel.decider import Decider
from domain.kernel.events import Correction, Details, Event, london_day
from domain.kernel.ids import NATIONAL, AgencyId, Shard, Stream
from safeguarding.hub.client.outcomes import Outcome, Refusal
from safeguarding.hub.v1 import registry_pb2 as pb
from safeguarding.hub.v1.common_pb2 import AgencyKind as WireKind
from safeguarding.hub.v1.registry_pb2_grpc import RegistryServiceStub
from services.bootstrap import IDENTITY_FILES, make_identity, now
from services.cli.calling import Calling, national_position, operator_appends, read_log, send_kept, settle
from services.cli.commands import examples
from services.cli.failures import Exit, Failure, wrong_usage
from services.cli.keys import is_registered, keys_of, registration_in
from services.cli.options import Agency, Home, Json, Yes, confirm, read_day, settings_of
from services.cli.output import cell, emit, plain, say, show, tell
from services.cli.stores import opened_keys
from services.eventstore.opening import Opener
from services.runtime.settings import Settings
from services.trust.files import alone

PAGE_ROWS: Final = 1_000
T = TypeVar("T")

app = typer.Typer(no_args_is_help=True)


@app.command(
    epilog=examples(
        'hub agencies enrol la-E08000016 --name "Barnsley" --shard barnsley --with-key',
        'hub agencies enrol panel --name "The Panel" --live-from 2026-01-01',
        "hub agencies enrol la-E08000016 --shard barnsley --shard rotherham",
    )
)
def enrol(
    agency: Agency,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The agency's name, as tables show it; a new agency needs one.")
    ] = None,
    home: Home = None,
    shard: Annotated[
        list[str] | None,
        typer.Option("--shard", metavar="SHARD", help="A partnership whose cases it may write to; repeat it to name all."),
    ] = None,
    live_from: Annotated[
        date | None, typer.Option("--live-from", metavar="DAY", parser=read_day, help="From this day on it enters no history; today.")
    ] = None,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Register its signing key too, making certificate and key here if there are none.")
    ] = False,
    json: Json = False,
) -> None:
    """Enrol an agency, or enrol it again with other terms. The Panel has no shards: it may write to all.

    Of an agency that is enrolled, what is not given stays as it is; the enrolment is sent as a correction of the one that stands, and
    what changes is said. With --with-key both are recorded, or nothing is.
    """
    settings = settings_of(home)
    send_kept(settings)
    standing, shards = _standing(settings, AgencyId(agency)), None if shard is None else tuple(map(Shard, shard))
    if standing is None and not name:
        raise wrong_usage(f"{agency} is not enrolled yet, and has no name", "--name gives it one")
    before = standing.was if isinstance(standing, Suspended) else standing
    enrolment = AgencyEnrolled(
        agency_id=AgencyId(agency),
        kind=kind_of(agency),
        name=name or (before.name if before else ""),
        live_from=live_from or (before.live_from if before else None) or london_day(now()),
        shards=shards if shards is not None else before.shards if before else (),
    )
    changed = {} if before is None else _changed(before, enrolment)
    events: list[Event] = []
    if not isinstance(standing, Enrolled):
        events.append(enrolment)
    elif changed:
        correction = Correction(event_id=standing.enrolment, reason=f"Enrolled again with other terms: {', '.join(changed)}.")
        events.append(replace(enrolment, details=Details(corrects=correction)))
    _warn_of_unknown(settings, enrolment.shards)
    outcomes = _sent_with_key(settings, agency, events) if with_key else operator_appends(settings, events) if events else []
    if not outcomes:
        if json:
            emit({"agency": agency, "changed": {}, "outcomes": []})
        else:
            say(f"{agency} is enrolled on these terms{' and with this key' if with_key else ''} already: nothing was sent")
        return
    settle(outcomes, json=json, agency=agency, changed=changed)
    if not json:
        say_changed(changed)


@app.command("list", epilog=examples("hub agencies list", "hub agencies list --json"))
def list_agencies(home: Home = None, json: Json = False) -> None:
    """List the enrolled agencies."""
    calling = Calling.of_operator(settings_of(home))
    found = agencies_of(calling)
    if json:
        emit({"agencies": [{**plain(one), "kind": kind_code(one.kind)} for one in found]})
        return
    columns = ("Agency", "Kind", "Name", "Live from", "Shards", "Suspended")
    rows = [(one.agency_id, kind_code(one.kind), one.name, one.live_from, ", ".join(one.shards) or "all", one.suspended) for one in found]
    show(f"Agencies: {len(found)}", columns, rows)


@app.command(epilog=examples('hub agencies suspend la-E08000016 --reason "left the hub"'))
def suspend(
    agency: Agency,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stays on the log for good, so name nobody.")],
    home: Home = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Let an agency neither write nor read anything more, until it is enrolled again."""
    confirm(f"Suspend {agency}?", yes=yes)
    outcomes = operator_appends(settings_of(home), [AgencySuspended(agency_id=AgencyId(agency), reason=reason)])
    settle(outcomes, json=json, agency=agency)


def agencies_of(calling: Calling) -> list[pb.AgencyRecord]:
    """Return all enrolled agencies, by id."""
    with calling.channel() as channel:
        request = pb.ListAgenciesRequest(page_size=PAGE_ROWS, min_position=national_position(calling.settings))
        pages = calling.pages(RegistryServiceStub(channel).ListAgencies, request)
        return [agency for page in pages for agency in page.agencies]


def state_of(settings: Settings, decider: Decider[T], shard: Shard, stream: Stream) -> T:
    """Return how a stream stands on the log of this home."""
    state = decider.initial
    with read_log(settings) as store, opened_keys(settings, store) as keys:
        opener = Opener(keys)
        for stored in store.shard(shard).read_stream(stream):
            state = decider.evolve(state, opener.open(shard, stored))
    return state


def kind_code(kind: WireKind.ValueType) -> str:
    """Return the code of a kind of agency, as documents have it: ``local_authority``."""
    return WireKind.Name(kind).removeprefix("AGENCY_KIND_").lower()


def say_changed(changed: Mapping[str, tuple[str, str]]) -> None:
    """Say each term that was changed, as it was and as it is now."""
    for term, (old, new) in changed.items():
        say(f"{term}: {old or 'none'} → {new or 'none'}")


def _standing(settings: Settings, agency_id: AgencyId) -> Enrolled | Suspended | None:
    """Return how an agency stands on the log of this home, None if it was never enrolled."""
    state = state_of(settings, DECIDER, NATIONAL, agency_stream(agency_id))
    return None if isinstance(state, Unknown) else state


def _changed(before: Enrolled, after: AgencyEnrolled) -> dict[str, tuple[str, str]]:
    """Return the terms that an enrolment changes, each as it was and as it is to be."""
    terms = {
        "name": (before.name, after.name),
        "live from": (cell(before.live_from), cell(after.live_from)),
        "shards": (", ".join(before.shards), ", ".join(after.shards)),
    }
    return {term: (old, new) for term, (old, new) in terms.items() if old != new}


def _sent_with_key(settings: Settings, agency: str, events: Sequence[Event]) -> list[Outcome]:
    """Send the operator's events and what registers the agency's key; nothing if all of that stands already.

    A key that was made for it now is removed again, unless it is recorded or may yet be.
    """
    folder = settings.agency_folder(agency)
    with alone(folder):
        is_made_now = _make_if_missing(settings, agency)
        said = registration_in(folder, agency)
        events = [*events] if not is_made_now and is_registered(settings, said) else [*events, said]
        if not events:
            return []
        try:
            outcomes = operator_appends(settings, events)
        except Failure:  # nothing was signed
            if is_made_now:
                _remove(folder)
            raise
        if is_made_now and any(isinstance(one, Refusal) for one in outcomes):
            _remove(folder)
        return outcomes


def _make_if_missing(settings: Settings, agency: str) -> bool:
    """Make an agency's certificate and key if its folder holds no key, and tell whether they were; fail if it has a key elsewhere."""
    folder = settings.agency_folder(agency)
    if (folder / "sign.key").exists():
        return False
    if keys_of(settings, agency):
        hint = f"without --with-key it stays; for another: hub pki issue {agency}, then hub keys register {agency} --rotate"
        raise Failure(Exit.REFUSED, f"{agency} has a key already, which is not in {folder}", hint)
    make_identity(settings, agency)
    return True


def _remove(folder: Path) -> None:
    """Remove from an agency's folder what this command has made."""
    for name in IDENTITY_FILES:
        (folder / name).unlink(missing_ok=True)
    tell(f"hub: the identity in {folder}, made for this enrolment, is removed again")


def _warn_of_unknown(settings: Settings, shards: Sequence[Shard]) -> None:
    """Say which partnerships are not there: an agency may be enrolled before they are, but a name may be mistyped too."""
    with read_log(settings) as store:
        known = store.shards()
    for shard in shards:
        if shard not in known:
            tell(f"hub: no partnership of the name {shard} exists yet; hub partnerships establish {shard} makes it")
