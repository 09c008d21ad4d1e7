"""``hub agencies``: who takes part. The operator says it, as signed events in the national shard."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

import typer

from domain.agency.events import AgencyEnrolled, AgencySuspended
from domain.kernel.agencies import OPERATOR_ID, kind_of
from domain.kernel.events import Event, Purpose
from domain.kernel.ids import AgencyId, Shard
from safeguarding.hub.v1 import registry_pb2 as pb
from safeguarding.hub.v1.common_pb2 import AgencyKind as WireKind
from safeguarding.hub.v1.registry_pb2_grpc import RegistryServiceStub
from services.bootstrap import make_identity, now
from services.cli.calling import Calling, national_position, operator_appends, settle
from services.cli.commands import examples
from services.cli.options import DEFAULT_ROLE, DEFAULT_USER, Agency, Home, Json, Yes, confirm, read_day, settings_of
from services.cli.output import emit, show
from services.runtime.settings import Settings
from services.trust.possession import registration
from services.trust.signing import SigningKey

PAGE_ROWS: Final = 1_000

app = typer.Typer(no_args_is_help=True)


@app.command(
    epilog=examples(
        'hub agencies enrol la-E08000016 --name "Barnsley" --shard barnsley --with-key',
        'hub agencies enrol panel --name "The Panel" --live-from 2026-01-01',
    )
)
def enrol(
    agency: Agency,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The agency's name, as tables show it.")],
    home: Home = None,
    shard: Annotated[
        list[str] | None, typer.Option("--shard", metavar="SHARD", help="A partnership whose cases it may write to; may be repeated.")
    ] = None,
    live_from: Annotated[
        date | None, typer.Option("--live-from", metavar="DAY", parser=read_day, help="From this day on it enters no history; today.")
    ] = None,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Register its signing key too, making certificate and key here if there are none.")
    ] = False,
    json: Json = False,
) -> None:
    """Enrol an agency, or enrol it again with other terms. The Panel has no shards: it may write to all."""
    settings = settings_of(home)
    first = AgencyEnrolled(
        agency_id=AgencyId(agency),
        kind=kind_of(agency),
        name=name,
        live_from=live_from or now().date(),
        shards=tuple(Shard(one) for one in shard or ()),
    )
    events: list[Event] = [first]
    if with_key:
        key, key_id = _key(settings, agency)
        events.append(registration(key, agency, key_id))
    settle(operator_appends(settings, events), json=json, agency=agency)


@app.command("list", epilog=examples("hub agencies list", "hub agencies list --json"))
def list_agencies(home: Home = None, json: Json = False) -> None:
    """List the enrolled agencies."""
    calling = Calling(
        settings=settings_of(home), agency_id=OPERATOR_ID, user=DEFAULT_USER, role=DEFAULT_ROLE, purpose=Purpose.ADMINISTRATION
    )
    found = agencies_of(calling)
    if json:
        emit({"agencies": found})
        return
    columns = ("Agency", "Kind", "Name", "Live from", "Shards", "Suspended")
    rows = [(one.agency_id, _kind(one), one.name, one.live_from, ", ".join(one.shards) or "all", one.suspended) for one in found]
    show(f"Agencies: {len(found)}", columns, rows)


@app.command(epilog=examples('hub agencies suspend la-E08000016 --reason "left the hub"'))
def suspend(
    agency: Agency,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stays on the log for good, so name nobody.")],
    home: Home = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Let an agency write nothing more, until it is enrolled again."""
    confirm(f"Suspend {agency}?", yes=yes)
    outcomes = operator_appends(settings_of(home), [AgencySuspended(agency_id=AgencyId(agency), reason=reason)])
    settle(outcomes, json=json, agency=agency)


def agencies_of(calling: Calling) -> list[pb.AgencyRecord]:
    """Return all enrolled agencies, by id."""
    with calling.channel() as channel:
        request = pb.ListAgenciesRequest(page_size=PAGE_ROWS, min_position=national_position(calling.settings))
        pages = calling.pages(RegistryServiceStub(channel).ListAgencies, request)
        return [agency for page in pages for agency in page.agencies]


def _kind(agency: pb.AgencyRecord) -> str:
    return WireKind.Name(agency.kind).removeprefix("AGENCY_KIND_").lower()


def _key(settings: Settings, agency: str) -> tuple[SigningKey, str]:
    """Return an agency's signing key and its id, made now if its folder holds none."""
    folder = settings.agency_folder(agency)
    key = SigningKey.load(folder / "sign.key") if (folder / "sign.key").exists() else make_identity(settings, agency)
    return key, (folder / "key_id").read_text().strip()
