"""``hub partnerships``: the first event of a shard, by the operator."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from domain.kernel.ids import AgencyId
from domain.partnership.events import PartnershipEstablished
from services.bootstrap import now
from services.cli.calling import operator_appends, settle
from services.cli.commands import examples
from services.cli.options import Home, Json, read_agency, read_day, settings_of

app = typer.Typer(no_args_is_help=True)


@app.callback()
def partnerships() -> None:
    """Establish safeguarding partnerships: each has a shard of its own."""


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
    """Establish a partnership: its statutory partners, its business unit, and the shard in which its cases lie for good."""
    event = PartnershipEstablished(
        name=name,
        arrangements_start_on=starts_on or now().date(),
        business_unit=AgencyId(business_unit),
        partners=tuple(AgencyId(one) for one in partner),
        relevant_agencies=tuple(AgencyId(one) for one in relevant_agency or ()),
        written_confirmation_hours=confirmation_hours,
    )
    settle(operator_appends(settings_of(home), [event], shard=shard), json=json, shard=shard)
