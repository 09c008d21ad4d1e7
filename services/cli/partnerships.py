"""``hub partnerships``: who the partners of a shard are. The operator says it, as signed events in the shard itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated

import typer

from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.events import london_day
from domain.kernel.ids import AgencyId, Shard
from domain.partnership.decider import DECIDER
from domain.partnership.events import MembershipChange, MembershipChanged, PartnershipEstablished
from domain.partnership.state import Established, Unknown, partnership_stream
from safeguarding.hub.v1 import registry_pb2 as pb
from safeguarding.hub.v1.query_pb2 import MinPosition
from safeguarding.hub.v1.registry_pb2_grpc import RegistryServiceStub
from services.bootstrap import now
from services.cli.agencies import PAGE_ROWS, kind_code, say_changed, state_of
from services.cli.calling import Calling, demand_shards, operator_appends, read_log, settle
from services.cli.commands import examples
from services.cli.failures import wrong_usage
from services.cli.options import Home, Json, read_agency, read_day, settings_of
from services.cli.output import emit, plain, say, show
from services.cli.wording import in_words
from services.runtime.settings import Settings

app = typer.Typer(no_args_is_help=True)


@app.callback()
def partnerships() -> None:
    """Establish safeguarding partnerships, list them and change their members: each has a shard of its own."""


@app.command(
    epilog=examples(
        'hub partnerships establish barnsley --name "Barnsley" --business-unit partnership-E08000016 \\',
        "      --partner la-E08000016 --partner icb-QF7 --partner police-SY",
    )
)
def establish(
    shard: Annotated[
        str, typer.Argument(metavar="SHARD", help="The partnership's name in every event: lower-case letters, digits, dashes.")
    ],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Its name, as tables show it.")],
    business_unit: Annotated[str, typer.Option("--business-unit", metavar="AGENCY", parser=read_agency, help="Its business unit.")],
    partner: Annotated[
        list[str], typer.Option("--partner", metavar="AGENCY", parser=read_agency, help="A statutory partner; at least one of each kind.")
    ],
    home: Home = None,
    relevant_agency: Annotated[
        list[str] | None, typer.Option("--relevant-agency", metavar="AGENCY", parser=read_agency, help="An agency that works with it.")
    ] = None,
    starts_on: Annotated[
        date | None, typer.Option("--starts-on", metavar="DAY", parser=read_day, help="When its arrangements began; today.")
    ] = None,
    confirmation_hours: Annotated[
        int, typer.Option("--confirmation-hours", metavar="HOURS", min=1, max=720, help="How soon a referral is confirmed in writing here.")
    ] = 48,
    json: Json = False,
) -> None:
    """Establish a partnership: its statutory partners, its business unit, and the shard in which its cases lie for good.

    That is done once: hub partnerships change says who joins and leaves after that.
    """
    event = PartnershipEstablished(
        name=name,
        arrangements_start_on=starts_on or london_day(now()),
        business_unit=AgencyId(business_unit),
        partners=tuple(AgencyId(one) for one in partner),
        relevant_agencies=tuple(AgencyId(one) for one in relevant_agency or ()),
        written_confirmation_hours=confirmation_hours,
    )
    settle(operator_appends(settings_of(home), [event], shard=shard), json=json, shard=shard)


@app.command(
    epilog=examples(
        "hub partnerships change barnsley --reason new_relevant_agency --add agency-barnsley-hospice",
        "hub partnerships change barnsley --reason ccg_to_icb --remove icb-02P --add icb-QF7 --effective-on 2022-07-01",
    )
)
def change(
    shard: Annotated[str, typer.Argument(metavar="SHARD", help="The partnership's name in every event.")],
    reason: Annotated[MembershipChange, typer.Option("--reason", help="Why its members change.")],
    home: Home = None,
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add", metavar="AGENCY", parser=read_agency, help="A statutory partner or relevant agency that joins; may be repeated."
        ),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="AGENCY", parser=read_agency, help="One that leaves; may be repeated.")
    ] = None,
    business_unit: Annotated[
        str | None, typer.Option("--business-unit", metavar="AGENCY", parser=read_agency, help="Its business unit from then on.")
    ] = None,
    effective_on: Annotated[
        date | None, typer.Option("--effective-on", metavar="DAY", parser=read_day, help="From which day on; today.")
    ] = None,
    explanation: Annotated[
        str | None, typer.Option("--explanation", metavar="TEXT", help="More on that; it stays on the log for good, so name nobody.")
    ] = None,
    json: Json = False,
) -> None:
    """Change who the members of a partnership are. Who is not named stays, and its cases stay in its shard.

    An agency that joins may write to the shard once it is enrolled for it, by hub agencies enrol.
    """
    settings = settings_of(home)
    before = _established(settings, shard)
    joining = [AgencyId(one) for one in add or () if one not in (*before.partners, *before.relevant_agencies)]
    staying = _without(before, shard, remove or ())
    event = MembershipChanged(
        change=reason,
        effective_on=effective_on or london_day(now()),
        business_unit=AgencyId(business_unit or before.business_unit),
        partners=tuple(one for one in (*staying, *joining) if not _is_relevant_agency(one)),
        relevant_agencies=tuple(one for one in (*staying, *joining) if _is_relevant_agency(one)),
        explanation=explanation,
    )
    changed = _changed(before, event)
    if not changed:
        if json:
            emit({"shard": shard, "changed": {}, "outcomes": []})
        else:
            say(f"these are the members of {shard} already: nothing was sent")
        return
    settle(operator_appends(settings, [event], shard=shard), json=json, shard=shard, changed=changed)
    if not json:
        say_changed(changed)


@app.command("list", epilog=examples("hub partnerships list", "hub partnerships list --json"))
def list_partnerships(home: Home = None, json: Json = False) -> None:
    """List the partnerships: name, members, and since when they are its members, which may be a day to come."""
    calling = Calling.of_operator(settings_of(home))
    found = _partnerships(calling)
    if json:
        emit({"partnerships": [_plain(one) for one in found]})
        return
    columns = ("Shard", "Name", "Since", "Members", "Members since")
    rows = [(one.shard, one.name, one.starts_on, "\n".join(map(_member, one.members)), one.members_since) for one in found]
    show(f"Partnerships: {len(found)}", columns, rows, whole=[2, 4])


def _partnerships(calling: Calling) -> list[pb.PartnershipRecord]:
    """Return all partnerships, by shard."""
    with calling.channel() as channel:
        request = pb.ListPartnershipsRequest(page_size=PAGE_ROWS, min_positions=_newest(calling.settings))
        pages = calling.pages(RegistryServiceStub(channel).ListPartnerships, request)
        return [partnership for page in pages for partnership in page.partnerships]


def _newest(settings: Settings) -> list[MinPosition]:
    """Return where each partnership was last changed: what a list of them has to have seen after a command that changed one."""
    with read_log(settings) as store:
        streams = {name: store.shard(name).read_stream(partnership_stream(Shard(name))) for name in store.shards()}
    return [MinPosition(shard=name, position=stream[-1].position) for name, stream in streams.items() if stream]


def _plain(partnership: pb.PartnershipRecord) -> dict[str, object]:
    members = [{"agency_id": one.agency_id, "kind": kind_code(one.kind)} for one in partnership.members]
    return {**plain(partnership), "members": members}


def _member(member: pb.PartnershipMember) -> str:
    return f"{in_words(kind_code(member.kind))}: {member.agency_id}"


def _established(settings: Settings, shard: str) -> Established:
    """Return how a partnership stands on the log of this home; fail if it was never established."""
    demand_shards(settings, [shard])
    state = state_of(settings, DECIDER, Shard(shard), partnership_stream(Shard(shard)))
    if isinstance(state, Unknown):
        raise wrong_usage(f"no partnership is established in {shard}", f"hub partnerships establish {shard} begins one")
    return state


def _without(before: Established, shard: str, leaving: Sequence[str]) -> list[AgencyId]:
    """Return the partners and relevant agencies that stay; fail for one that leaves and is none."""
    members = (*before.partners, *before.relevant_agencies)
    if strangers := [one for one in leaving if one not in members]:
        raise wrong_usage(f"{', '.join(strangers)} cannot leave {shard}: no member of it", f"its members are: {', '.join(members)}")
    return [one for one in members if one not in leaving]


def _is_relevant_agency(agency: AgencyId) -> bool:
    return kind_of(agency) is AgencyKind.RELEVANT_AGENCY


def _changed(before: Established, after: MembershipChanged) -> dict[str, tuple[str, str]]:
    """Return the lists that a change changes, each as it was and as it is to be."""
    lists = {
        "business unit": (before.business_unit, after.business_unit),
        "partners": (", ".join(before.partners), ", ".join(after.partners)),
        "relevant agencies": (", ".join(before.relevant_agencies), ", ".join(after.relevant_agencies)),
    }
    return {name: (str(old), str(new)) for name, (old, new) in lists.items() if old != new}
