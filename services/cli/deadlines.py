"""``hub deadlines``: what is owed, by when, by whom, and why."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Final

import grpc
import typer

from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import Purpose
from domain.rules import bundled_rules
from safeguarding.hub.v1 import deadlines_pb2 as pb
from safeguarding.hub.v1.deadlines_pb2_grpc import DeadlineServiceStub
from services.cli.calling import Calling, demand_shards, shard_of_case, stamp
from services.cli.failures import wrong_usage
from services.cli.options import (
    DEFAULT_ROLE,
    DEFAULT_USER,
    As,
    Csv,
    Home,
    Json,
    Purposes,
    Role,
    User,
    Watch,
    read_agency,
    read_moment,
    settings_of,
)
from services.cli.output import emit, emit_line, plain, say, show, write_csv
from services.cli.wording import at, counted, in_words, member
from services.runtime.settings import Settings

DEFAULT_LIMIT: Final = 200
PAGE_MAX_ROWS: Final = 500
VERSION_SHOWN: Final = 12
"""Characters of a version's hash that people are shown; --json has them all."""
_COLUMNS: Final = ("Due", "Status", "What", "Case")
_WHOLE: Final = (0, 3)
_PARTNERS: Final = "partners"
"""Whom a clock names that all statutory partners of a case owe."""
_CSV_COLUMNS: Final = (
    "shard",
    "case_id",
    "clock",
    "instance",
    "name",
    "owed_by",
    "owed_to",
    "day_zero",
    "due_on",
    "band",
    "status",
    "met_at",
)


def _read_ower(text: str) -> str:
    """Read who owes something: an agency, or the partners together."""
    return text if text == _PARTNERS else read_agency(text)


Moment = Annotated[
    datetime | None, typer.Option("--as-of", metavar="TIME", parser=read_moment, help="As of then, past or future; a bare day is its end.")
]
Names = Annotated[list[str] | None, typer.Option("--clock", metavar="CLOCK", help="Only this clock, for instance K5B; may be repeated.")]


def deadlines(
    home: Home = None,
    as_agency: As = None,
    as_of: Moment = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only what is overdue.")] = False,
    today: Annotated[bool, typer.Option("--today", help="Only what is due today.")] = False,
    soon: Annotated[bool, typer.Option("--soon", help="Only what is due within two working days.")] = False,
    later: Annotated[bool, typer.Option("--later", help="Only what is due later, or on no set day.")] = False,
    met: Annotated[bool, typer.Option("--met", help="Only what is done or cancelled.")] = False,
    case: Annotated[str, typer.Option("--case", metavar="CASE", help="Only this case; what is done is listed too.")] = "",
    shard: Annotated[list[str] | None, typer.Option("--shard", metavar="SHARD", help="Only this partnership; may be repeated.")] = None,
    clock: Names = None,
    owed_by: Annotated[
        str | None, typer.Option("--owed-by", metavar="AGENCY", parser=_read_ower, help="Only what it owes; or partners.")
    ] = None,
    explain: Annotated[
        tuple[str, str] | None,
        typer.Option("--explain", metavar="CASE CLOCK", help="Explain one deadline, day by day.", show_default=False),
    ] = None,
    instance: Annotated[
        str, typer.Option("--instance", metavar="ID", help="With --explain: which, where a clock runs more than once.")
    ] = "",
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help=f"At most this many; {DEFAULT_LIMIT}.")] = None,
    watch: Watch = False,
    user: User = DEFAULT_USER,
    role: Role = DEFAULT_ROLE,
    purpose: Purposes = Purpose.OVERSIGHT,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """List deadlines, the most urgent first, or explain one. Without --as it asks as the Panel, which sees all.

    Unless bands are chosen, what is done is left out; the list of one case holds it.
    """
    settings = settings_of(home)
    calling = Calling(settings=settings, agency_id=as_agency or PANEL_ID, user=user, role=role, purpose=purpose)
    if (watch and (csv or as_of is not None)) or (csv and json):
        raise wrong_usage("these options do not go together", "one of --csv, --json; --watch shows the present and no CSV")
    if watch and (limit is not None or explain is not None):
        raise wrong_usage("these options do not go together", "--watch shows all that there is, as a list: no --limit and no --explain")
    if explain is not None:
        if any((overdue, today, soon, later, met, case, clock, owed_by, limit, csv)):
            raise wrong_usage(
                "these options do not go together", "--explain explains one deadline: it takes no filters, no --limit and no --csv"
            )
        _explain(calling, _explained(settings, shard, explain, instance, as_of), as_of, json=json)
        return
    demand_shards(settings, shard or ())
    if case:
        shard_of_case(settings, case)
    wanted = pb.DeadlineFilter(shards=shard or (), case_id=case, clocks=[_clock(one) for one in clock or ()], owed_by=owed_by or "")
    wanted.bands.extend(_bands(overdue=overdue, today=today, soon=soon, later=later, met=met, is_case=bool(case)))
    if watch:
        _watch(calling, wanted, json=json)
        return
    found = _list(calling, wanted, as_of, limit or DEFAULT_LIMIT)
    if json:
        emit({"as": calling.agency_id, "as_of": found.as_of.ToJsonString(), "more": bool(found.next_page_token), **_plain(found)})
    elif csv:
        write_csv(_CSV_COLUMNS, [_csv_row(one) for one in found.deadlines])
    else:
        title = f"Deadlines as of {at(found.as_of)}, as {calling.agency_id} may see them"
        show(title, _COLUMNS, [_row(one) for one in found.deadlines], whole=_WHOLE)
        more = "; there are more: --limit" if found.next_page_token else ""
        say(f"{counted(len(found.deadlines), 'deadline')}{more}")


def _clock(text: str) -> str:
    """Return the name of a clock of the rules; fail for one that they do not have."""
    known = list(dict.fromkeys(rule.id for rule in bundled_rules().clocks))
    if text.upper() not in known:
        raise wrong_usage(f"there is no clock {text!r}", f"there are: {', '.join(known)}")
    return text.upper()


def _bands(*, overdue: bool, today: bool, soon: bool, later: bool, met: bool, is_case: bool) -> list[pb.DeadlineBand.ValueType]:
    """Return the bands that are asked for; without any, those of what is not done, and of one case all."""
    chosen = {
        pb.DEADLINE_BAND_OVERDUE: overdue,
        pb.DEADLINE_BAND_DUE_TODAY: today,
        pb.DEADLINE_BAND_DUE_SOON: soon,
        pb.DEADLINE_BAND_LATER: later,
        pb.DEADLINE_BAND_MET: met,
    }
    if any(chosen.values()):
        return [band for band, is_wanted in chosen.items() if is_wanted]
    return list(chosen) if is_case else [band for band in chosen if band != pb.DEADLINE_BAND_MET]


def _list(calling: Calling, wanted: pb.DeadlineFilter, as_of: datetime | None, limit: int) -> pb.ListDeadlinesResponse:
    """Return up to ``limit`` deadlines as one page."""
    request = pb.ListDeadlinesRequest(filter=wanted, page_size=min(limit, PAGE_MAX_ROWS))
    if as_of is not None:
        request.as_of.CopyFrom(stamp(as_of))
    whole = pb.ListDeadlinesResponse()
    with calling.channel() as channel:
        for page in calling.pages(DeadlineServiceStub(channel).ListDeadlines, request):
            room = limit - len(whole.deadlines)
            whole.deadlines.extend(page.deadlines[:room])
            whole.as_of.CopyFrom(page.as_of)
            request.as_of.CopyFrom(page.as_of)
            whole.next_page_token = page.next_page_token or ("more" if len(page.deadlines) > room else "")
            if len(whole.deadlines) == limit:
                break
    return whole


def _explained(
    settings: Settings, shards: list[str] | None, explain: tuple[str, str], instance: str, as_of: datetime | None
) -> pb.ExplainDeadlineRequest:
    case, clock = explain
    shard = shards[0] if shards else shard_of_case(settings, case)
    request = pb.ExplainDeadlineRequest(shard=shard, case_id=case, clock=_clock(clock), instance=instance)
    if as_of is not None:
        request.as_of.CopyFrom(stamp(as_of))
    return request


def _explain(calling: Calling, request: pb.ExplainDeadlineRequest, as_of: datetime | None, *, json: bool) -> None:
    """Print why a deadline is what it is."""
    with calling.channel() as channel:
        try:
            found = calling.call(DeadlineServiceStub(channel).ExplainDeadline, request)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT and not request.instance:
                _demand_one(calling, request, as_of)
            raise
    if json:
        emit({**plain(found), "deadline": _plain_deadline(found.deadline)})
        return
    say(f"Case {found.deadline.case_id} in {found.deadline.shard}")
    for line in (*found.lines, *(f"Not counted: {day}" for day in found.skipped_days)):
        say(f"  {line}")
    say(f"  By rules {found.rules_version[:VERSION_SHOWN]}, calendar {found.calendar_version[:VERSION_SHOWN]}")


def _demand_one(calling: Calling, request: pb.ExplainDeadlineRequest, as_of: datetime | None) -> None:
    """Fail, naming each, if the clock that is to be explained runs more than once in its case."""
    wanted = pb.DeadlineFilter(shards=[request.shard], case_id=request.case_id, clocks=[request.clock])
    several = _list(calling, wanted, as_of, DEFAULT_LIMIT).deadlines
    if len(several) > 1:
        raise wrong_usage(f"{request.clock} runs {len(several)} times in this case: which is meant?", "\n     ".join(map(_choice, several)))


def _choice(deadline: pb.Deadline) -> str:
    """Say how one of several is asked for, and which it is."""
    owed_to = ", ".join(map(in_words, deadline.owed_to))
    return f"--instance {deadline.instance}: owed by {', '.join(deadline.owed_by)} to {owed_to}, due {deadline.due_on or 'on no set day'}"


def _watch(calling: Calling, wanted: pb.DeadlineFilter, *, json: bool) -> None:
    """Print the list whenever it changes, until interrupted."""
    request = pb.WatchDeadlinesRequest(filter=wanted)
    with suppress(KeyboardInterrupt), calling.channel() as channel:
        for found in DeadlineServiceStub(channel).WatchDeadlines(request, metadata=calling.metadata):
            if json:
                emit_line(_plain(found))
            else:
                show(counted(len(found.deadlines), "deadline"), _COLUMNS, [_row(one) for one in found.deadlines], whole=_WHOLE)


def _plain(found: pb.ListDeadlinesResponse | pb.WatchDeadlinesResponse) -> dict[str, object]:
    return {"deadlines": [_plain_deadline(one) for one in found.deadlines]}


def _plain_deadline(deadline: pb.Deadline) -> dict[str, object]:
    """Return a deadline as JSON has it: its band by the code that the filters are called by."""
    return {**plain(deadline), "band": pb.DeadlineBand.Name(deadline.band).removeprefix("DEADLINE_BAND_").lower()}


def _row(deadline: pb.Deadline) -> tuple[str, ...]:
    notes = [*(["recorded late"] if deadline.recorded_late else []), *(["imported"] if deadline.imported else []), *deadline.findings]
    return (
        deadline.due_on or "no set day",
        "\n".join([deadline.status, *notes]),
        f"{deadline.clock} {deadline.name}\nowed by {', '.join(deadline.owed_by)}",
        f"{deadline.case_id}\n{deadline.shard}",
    )


def _csv_row(deadline: pb.Deadline) -> tuple[object, ...]:
    return (
        deadline.shard,
        deadline.case_id,
        deadline.clock,
        deadline.instance,
        deadline.name,
        "; ".join(deadline.owed_by),
        "; ".join(deadline.owed_to),
        deadline.day_zero,
        deadline.due_on,
        member(pb.DeadlineBand.Name(deadline.band), "DEADLINE_BAND_"),
        deadline.status,
        deadline.met_at.ToJsonString() if deadline.HasField("met_at") else "",
    )
