"""``hub panel``: the Panel's tables and cases and how timely duties are kept, for any period and count day."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf.message import Message

from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import Purpose
from domain.rules import bundled_rules
from projections.deadlines.timeliness import Grouping, Standing, dated_duties
from projections.oversight.case_list import Stage
from projections.oversight.definitions import TABLES
from projections.oversight.panel_table import Basis, Period
from safeguarding.hub.v1 import oversight_pb2 as pb
from safeguarding.hub.v1.oversight_pb2_grpc import OversightServiceStub
from services.cli.calling import Calling
from services.cli.commands import examples
from services.cli.failures import wrong_usage
from services.cli.options import DEFAULT_ROLE, DEFAULT_USER, Csv, Home, Json, Role, User, read_day, settings_of
from services.cli.output import emit, plain, say, show, write_csv
from services.cli.wording import counted, in_words

app = typer.Typer(no_args_is_help=True)

DEFAULT_LIMIT: Final = 200
VERSION_SHOWN: Final = 12
"""Characters of a version's hash that people are shown; --json has them all."""
_CASE_COLUMNS: Final = (
    "case_id",
    "shard",
    "authority",
    "notification_type",
    "notified_on",
    "stage",
    "children",
    "review_due_on",
    "review_received_on",
    "working_days",
    "band",
    "decision",
    "response",
)
_COUNTS: Final = {
    Standing.ON_TIME: "met on time",
    Standing.LATE: "met late",
    Standing.LATE_AUTHORISED: "late, authorised",
    Standing.OVERDUE: "overdue",
    Standing.NOT_YET_DUE: "not yet due",
    Standing.CANCELLED: "cancelled",
    Standing.NOT_KNOWN: "not known",
}
_DUTY_COLUMNS: Final = (
    "shard",
    "clock",
    "part",
    "name",
    "due",
    *_COUNTS,
    "on_time_percent",
    "median_working_days_late",
    "longest_working_days_late",
)


def read_period(text: str) -> Period:
    """Read ``2020`` or ``2020-01-01/2020-12-31``."""
    try:
        return Period.parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}") from None


def read_table(text: str) -> str:
    """Read the number or name of a table."""
    if text not in TABLES:
        raise typer.BadParameter(f"{text!r} is no table: expected one of {', '.join(TABLES)}")
    return text


def read_clock(text: str) -> str:
    """Read a clock that sets a day."""
    known = dict.fromkeys(duty.clock for duty in dated_duties(bundled_rules()).values())
    if text.upper() not in known:
        raise typer.BadParameter(f"{text!r} is no clock that sets a day: expected one of {', '.join(known)}")
    return text.upper()


CountDay = Annotated[
    date | None, typer.Option("--count-day", metavar="DAY", parser=read_day, help="Counted as at the end of this day; today.")
]


@app.command(
    epilog=examples(
        "hub panel table 6 --period 2020 --count-day 2021-03-31",
        "hub panel table 1 --period 2020-01-01/2020-12-31 --basis notified --csv",
    )
)
def table(
    number: Annotated[
        str, typer.Argument(metavar="N", parser=read_table, help="1 to 8, or a name such as decisions; a wrong one lists all.")
    ],
    period: Annotated[Period, typer.Option("--period", metavar="PERIOD", parser=read_period, help="A year, or first/last day.")],
    home: Home = None,
    count_day: CountDay = None,
    basis: Annotated[Basis | None, typer.Option("--basis", help="What brings something into the period; as the Panel does.")] = None,
    user: User = DEFAULT_USER,
    role: Role = DEFAULT_ROLE,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Count one of the Panel's tables, labelled with all that its figures depend on."""
    _demand_one_form(csv=csv, json=json)
    request = pb.GetTableRequest(
        table=number,
        period_from=period.first.isoformat(),
        period_until=period.last.isoformat(),
        basis="" if basis is None else basis.value,
        count_day=_written(count_day),
    )
    calling = _calling(home, user, role)
    with calling.channel() as channel:
        found = calling.call(OversightServiceStub(channel).GetTable, request).table
    if json:
        emit(found)
    elif csv:
        write_csv(["key", "group", "label", *(column.key for column in found.columns)], [_csv_row(row) for row in _rows(found)])
    else:
        _print(found)


@app.command(epilog=examples("hub panel cases", "hub panel cases --stage review_open --json"))
def cases(
    home: Home = None,
    stage: Annotated[list[Stage] | None, typer.Option("--stage", help="Only cases that stand here; may be repeated.")] = None,
    period: Annotated[
        Period | None, typer.Option("--period", metavar="PERIOD", parser=read_period, help="Only incidents notified in it.")
    ] = None,
    count_day: CountDay = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most this many.")] = DEFAULT_LIMIT,
    user: User = DEFAULT_USER,
    role: Role = DEFAULT_ROLE,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """List the notified cases with their stage and timeliness, in national fields."""
    _demand_one_form(csv=csv, json=json)
    request = pb.ListCasesRequest(
        stages=[one.value for one in stage or ()],
        notified_from="" if period is None else period.first.isoformat(),
        notified_until="" if period is None else period.last.isoformat(),
        count_day=_written(count_day),
        page_size=min(limit, 1000),
    )
    calling = _calling(home, user, role)
    found: list[pb.CaseSummary] = []
    with calling.channel() as channel:
        for page in calling.pages(OversightServiceStub(channel).ListCases, request):
            found += page.cases
            if len(found) >= limit:
                break
    has_more = len(found) > limit or bool(page.next_page_token)
    rows = [[_field(one, name) for name in _CASE_COLUMNS] for one in found[:limit]]
    if json:
        emit({"cases": [plain(one) for one in found[:limit]], "more": has_more})
    elif csv:
        write_csv(_CASE_COLUMNS, rows)
    else:
        show("", ("Case", "Notified", "Where it stands"), [_case_row(one) for one in found[:limit]], whole=[0])
        say(f"{counted(len(rows), 'case')}{'; there are more: --limit' if has_more else ''}")


@app.command(
    epilog=examples(
        "hub panel timeliness --period 2020 --count-day 2021-03-31",
        "hub panel timeliness --period 2020 --clock K5B --by partnership --csv",
    )
)
def timeliness(
    period: Annotated[Period, typer.Option("--period", metavar="PERIOD", parser=read_period, help="A year, or first/last day.")],
    home: Home = None,
    count_day: CountDay = None,
    clock: Annotated[
        list[str] | None,
        typer.Option("--clock", metavar="CLOCK", parser=read_clock, help="Only this clock, for instance K5B; may be repeated."),
    ] = None,
    by: Annotated[Grouping | None, typer.Option("--by", help="Figures of each apart; else of all together.")] = None,
    user: User = DEFAULT_USER,
    role: Role = DEFAULT_ROLE,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Count the deadlines that fell due in a period: how many were met in time, how late the others are."""
    _demand_one_form(csv=csv, json=json)
    request = pb.GetTimelinessRequest(
        period_from=period.first.isoformat(),
        period_until=period.last.isoformat(),
        count_day=_written(count_day),
        clocks=clock or (),
        by="" if by is None else by.value,
    )
    calling = _calling(home, user, role)
    with calling.channel() as channel:
        found = calling.call(OversightServiceStub(channel).GetTimeliness, request)
    if json:
        emit(found)
    elif csv:
        write_csv(_DUTY_COLUMNS, [[_field(one, name) for name in _DUTY_COLUMNS] for one in found.duties])
    else:
        _print_timeliness(found)


def _calling(home: Path | None, user: str, role: str) -> Calling:
    return Calling(settings=settings_of(home), agency_id=PANEL_ID, user=user, role=role, purpose=Purpose.OVERSIGHT)


def _demand_one_form(*, csv: bool, json: bool) -> None:
    if csv and json:
        raise wrong_usage("these options do not go together", "one of --csv, --json")


def _written(day: date | None) -> str:
    return "" if day is None else day.isoformat()


def _print(found: pb.PanelTable) -> None:
    """Print a table with its labels."""
    show(
        f"Table {found.table}: {found.title}",
        ["", *(column.label for column in found.columns)],
        [(_label(row), *_cells(found, row)) for row in _rows(found)],
        right=range(1, len(found.columns) + 1),
    )
    for figure in found.figures:
        say(f"{figure.label}: {figure.value}")
    _print_labels(found)


def _print_timeliness(found: pb.GetTimelinessResponse) -> None:
    """Print how timely each duty was kept, with the labels of the figures."""
    show(
        f"Timeliness of what fell due {found.period}",
        ("Duty", "Fell due", f"As at the end of {found.count_day}"),
        [(_duty_name(one), one.due, "\n".join(_duty_figures(one))) for one in found.duties],
        right=[1],
    )
    _print_labels(found)


def _print_labels(found: pb.PanelTable | pb.GetTimelinessResponse) -> None:
    """Print all that the figures depend on."""
    say(f"counted: {found.unit}; percents of: {found.base}" if found.base else f"counted: {found.unit}")
    say(f"basis: {found.basis}, {found.period}, as at the end of {found.count_day}")
    for note in found.notes:
        say(f"note: {note}")
    say(f"by rules {found.rules_version[:VERSION_SHOWN]}, calendar {found.calendar_version[:VERSION_SHOWN]}")


def _duty_name(duty: pb.DutyTimeliness) -> str:
    name = f"{duty.clock} {duty.name}"
    return f"{duty.shard}\n{name}" if duty.shard else name


def _duty_figures(duty: pb.DutyTimeliness) -> list[str]:
    """Say how the deadlines stand, a line each, without what there is none of."""
    percents = {Standing.ON_TIME: f" ({duty.on_time_percent}%)"}
    counts = {standing: getattr(duty, standing) for standing in _COUNTS}
    figures = [f"{count} {_COUNTS[standing]}{percents.get(standing, '')}" for standing, count in counts.items() if count]
    if not duty.HasField("longest_working_days_late"):
        return figures
    return [*figures, f"working days late: median {duty.median_working_days_late}, longest {duty.longest_working_days_late}"]


def _rows(found: pb.PanelTable) -> list[pb.PanelRow]:
    return [*found.rows, *([found.total] if found.HasField("total") else [])]


def _label(row: pb.PanelRow) -> str:
    group = f"{row.group}: " if row.group else ""
    return "  " * row.level + group + row.label


def _cells(found: pb.PanelTable, row: pb.PanelRow) -> list[str]:
    return [f"{cell}%" if cell and column.kind == "percent" else cell for cell, column in zip(row.cells, found.columns, strict=True)]


def _csv_row(row: pb.PanelRow) -> list[str]:
    return [row.key, row.group, row.label, *row.cells]


def _case_row(case: pb.CaseSummary) -> tuple[str, ...]:
    children = "1 child" if case.children == 1 else f"{case.children} children"
    notified = [case.notified_on, f"by {case.authority}", f"{in_words(case.notification_type)}, {children}"]
    stands = [in_words(case.stage)]
    stands += [f"review due {case.review_due_on}"] if case.review_due_on else []
    stands += [f"received {case.review_received_on}"] if case.review_received_on else []
    stands += [_review_time(case)] if case.HasField("working_days") else []
    stands += [f"decision: {in_words(case.decision)}"]
    stands += [f"Panel: {in_words(case.response)}"] if case.response else []
    return (f"{case.case_id}\n{case.shard}", "\n".join(notified), "\n".join(stands))


def _review_time(case: pb.CaseSummary) -> str:
    """Say how long the rapid review took, or has been owed for."""
    span = "from notification to receipt" if case.review_received_on else "since notification"
    return f"{counted(case.working_days, 'working day')} {span}"


def _field(message: Message, name: str) -> object:
    """Return a field of a message; nothing for a number that is absent."""
    field = message.DESCRIPTOR.fields_by_name[name]
    return getattr(message, name) if not field.has_presence or message.HasField(name) else ""
