"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
import sys
from datetime import UTC, date, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from domain.kernel.agencies import kind_of
from domain.kernel.events import Purpose
from domain.kernel.ids import AgencyId
from safeguarding.hub.client.routes import LABEL
from services.cli.failures import Exit, Failure, words_of, wrong_usage
from services.runtime.settings import Settings, load_settings

LONDON = ZoneInfo("Europe/London")
_HOST_MAX_CHARACTERS = 253
_HOST = re.compile(r"(?:\*\.)?[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*")


def read_agency(text: str) -> AgencyId:
    """Read an agency id."""
    try:
        kind_of(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}") from None
    return AgencyId(text)


def read_host(text: str) -> str:
    """Read a host's name or address, as a certificate may hold it."""
    try:
        return str(ip_address(text))
    except ValueError:
        if len(text) <= _HOST_MAX_CHARACTERS and _HOST.fullmatch(text):
            return text
    raise typer.BadParameter(f"{text!r} is neither an address nor a host's name in ASCII (xn--… for others)")


def read_asserted(text: str) -> str:
    """Read what a query says of its end user, as metadata can carry it."""
    if LABEL.fullmatch(text) is None:
        raise typer.BadParameter(f"{text!r}: expected 1 to 100 printable ASCII characters without spaces")
    return text


def read_moment(text: str) -> datetime:
    """Read an instant: ISO 8601; without an offset it is London time, a bare day is the end of that day there."""
    try:
        if len(text) == len("2020-01-01"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=LONDON).astimezone(UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a day (2020-12-31) nor an instant (2020-12-31T17:00, 2020-12-31T17:00Z)") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=LONDON)).astimezone(UTC)


def read_day(text: str) -> date:
    """Read a day written YYYY-MM-DD."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day; write it as 2020-12-31") from None


Home = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", readable=False, help="The hub's home; else HUB_HOME, else ./hub-data.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to standard output instead of tables.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print comma-separated values; text that a spreadsheet would run is escaped.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
As = Annotated[
    str | None, typer.Option("--as", metavar="AGENCY", parser=read_agency, help="The agency that asks, by its certificate in the home.")
]
User = Annotated[
    str, typer.Option("--user", metavar="ID", parser=read_asserted, help="The end user, a pseudonymous id; the hub records who read what.")
]
Role = Annotated[str, typer.Option("--role", metavar="ROLE", parser=read_asserted, help="The end user's role, recorded too.")]
Purposes = Annotated[Purpose, typer.Option("--purpose", metavar="PURPOSE", help="What for, recorded too: " + ", ".join(Purpose) + ".")]
ShardOption = Annotated[str | None, typer.Option("--shard", metavar="SHARD", help="The partnership; else it is looked up.")]
Watch = Annotated[bool, typer.Option("--watch", help="Go on and show what changes, until Ctrl-C: that is how it ends, with 0.")]

Agency = Annotated[str, typer.Argument(metavar="AGENCY", parser=read_agency, help="An agency id: la-…, icb-…, police-…, panel …")]

DEFAULT_USER = "hub-command"
DEFAULT_ROLE = "operator"
DEFAULT_PURPOSE = Purpose.SAFEGUARDING


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless ``yes`` was given; end the command if the answer is no or there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise wrong_usage("this cannot be undone and there is nobody to ask", "--yes says that it is meant")
    typer.confirm(question, abort=True, err=True)


def settings_of(home: Path | None, **more: Any) -> Settings:
    """Return the settings, of the hub in ``home`` if one is named."""
    try:
        return load_settings(**more) if home is None else load_settings(home=home, **more)
    except OSError as error:
        raise Failure(
            Exit.UNAVAILABLE, f"the settings cannot be read: {words_of(error)}", "is that the folder that is meant, and may it be read?"
        ) from None
