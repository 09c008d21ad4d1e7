"""``hub panel``: the Panel's tables and cases, for any period and count day."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

import typer

from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import Purpose
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
    if csv and json:
        raise wrong_usage("these options do not go together", "one of --csv, --json")
    request = pb.GetTableRequest(
        table=number,
        period_from=period.first.isoformat(),
        period_until=period.last.isoformat(),
        basis="" if basis is None else basis.value,
        count_day="" if count_day is None else count_day.isoformat(),
    )
    calling = Calling(settings=settings_of(home), agency_id=PANEL_ID, user=user, role=role, purpose=Purpose.OVERSIGHT)
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
    if csv and json:
        raise wrong_usage("these options do not go together", "one of --csv, --json")
    request = pb.ListCasesRequest(
        stages=[one.value for one in stage or ()],
        notified_from="" if period is None else period.first.isoformat(),
        notified_until="" if period is None else period.last.isoformat(),
        count_day="" if count_day is None else count_day.isoformat(),
        page_size=min(limit, 1000),
    )
    calling = Calling(settings=settings_of(home), agency_id=PANEL_ID, user=user, role=role, purpose=Purpose.OVERSIGHT)
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
    say(f"counted: {found.unit}; percents of: {found.base}" if found.base else f"counted: {found.unit}")
    say(f"basis: {found.basis}, {found.period}, as at the end of {found.count_day}")
    for note in found.notes:
        say(f"note: {note}")
    say(f"by rules {found.rules_version[:VERSION_SHOWN]}, calendar {found.calendar_version[:VERSION_SHOWN]}")


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


def _field(case: pb.CaseSummary, name: str) -> object:
    if name == "working_days" and not case.HasField("working_days"):
        return ""
    return getattr(case, name)
