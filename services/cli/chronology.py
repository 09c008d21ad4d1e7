"""``hub chronology``: the story of a case, as an agency may see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from operator import itemgetter
from typing import Annotated, Final

import typer

from domain.kernel.agencies import AgencyKind, kind_of
from safeguarding.hub.v1 import chronology_pb2 as pb
from safeguarding.hub.v1.chronology_pb2_grpc import ChronologyServiceStub
from services.cli.agencies import agencies_of
from services.cli.calling import Calling, shard_of_case, stamp
from services.cli.failures import wrong_usage
from services.cli.options import (
    DEFAULT_PURPOSE,
    DEFAULT_ROLE,
    DEFAULT_USER,
    As,
    Csv,
    Home,
    Json,
    Purposes,
    Role,
    ShardOption,
    User,
    Watch,
    read_moment,
    settings_of,
)
from services.cli.output import emit, emit_line, plain, say, show, write_csv
from services.cli.wording import at, counted, when
from services.runtime.settings import Settings

PAGE_LINES: Final = 500


class Ordering(StrEnum):
    """In which order the lines stand."""

    HAPPENED = "happened"
    KNOWN = "known"


_ORDERS: Final = {Ordering.HAPPENED: pb.CHRONOLOGY_ORDER_AS_HAPPENED, Ordering.KNOWN: pb.CHRONOLOGY_ORDER_AS_KNOWN}
_COLUMNS: Final = ("Happened", "Agency", "What", "Marks")
_WHOLE: Final = (0,)
_CSV_COLUMNS: Final = (
    "position",
    "happened",
    "known",
    "recorded",
    "agency",
    "event_type",
    "headline",
    "fact",
    "why_significant",
    "impact_on_child",
    "childs_voice",
    "outcome",
    "marks",
    "redactions",
    "findings",
    "signature",
    "event_id",
)


def chronology(
    case: Annotated[str | None, typer.Argument(metavar="CASE", help="The case's id, a UUID.")] = None,
    home: Home = None,
    as_agency: As = None,
    shard: ShardOption = None,
    known_at: Annotated[
        datetime | None,
        typer.Option("--known-at", metavar="TIME", parser=read_moment, help="Only what was known by then; a bare day is its end."),
    ] = None,
    child: Annotated[
        str | None, typer.Option("--child", metavar="CHILD", help="A child's id instead: its story across the cases of --shard.")
    ] = None,
    all_entries: Annotated[bool, typer.Option("--all", help="All entries, not only significant ones.")] = False,
    order: Annotated[Ordering, typer.Option("--order", help="By when it happened, or by when it became known.")] = Ordering.HAPPENED,
    watch: Watch = False,
    user: User = DEFAULT_USER,
    role: Role = DEFAULT_ROLE,
    purpose: Purposes = DEFAULT_PURPOSE,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Show a case's chronology, with signatures' state and what is still to be mended; with --child a child's, of all its cases as one.

    Without --as it asks as the business unit of the case's partnership. That the case was read, by whom and what for, is recorded.
    """
    if (case is None) is (child is None):
        raise wrong_usage("whose chronology is not clear", "name a case, or a child by --child, and not both")
    if child is not None and (shard is None or watch):
        raise wrong_usage("--child needs --shard, and does not go with --watch", "a child's id is of one partnership")
    if sum((csv, json)) > 1 or (watch and (csv or known_at is not None)):
        raise wrong_usage("these options do not go together", "one of --csv, --json; --watch shows the present and no CSV")
    settings = settings_of(home)
    found = shard or shard_of_case(settings, case or "")
    asks = as_agency or _business_unit(settings, found)
    calling = Calling(settings=settings, agency_id=asks, user=user, role=role, purpose=purpose)
    if watch:
        _watch(calling, pb.WatchChronologyRequest(shard=found, case_id=case or "", all_entries=all_entries), json=json)
        return
    request = pb.GetChronologyRequest(shard=found, all_entries=all_entries, order=_ORDERS[order], page_size=PAGE_LINES)
    if known_at is not None:
        request.known_at.CopyFrom(stamp(known_at))
    if child is not None:
        _show_child(calling, request, child, csv=csv, json=json)
        return
    story = _story(calling, request, case or "")
    if json:
        emit({"shard": found, "case_id": case, "as": asks, **plain(story)})
    elif csv:
        write_csv(_CSV_COLUMNS, [_csv_row(line) for line in story.lines])
    else:
        _print(story, f"Case {case} in {found}, as {asks} may see it")


def _business_unit(settings: Settings, shard: str) -> str:
    """Return the business unit of a shard whose certificate this home holds."""
    calling = Calling.of_operator(settings)
    for agency in agencies_of(calling):
        is_here = (settings.agency_folder(agency.agency_id) / "client.pem").exists()
        if is_here and shard in agency.shards and kind_of(agency.agency_id) is AgencyKind.PARTNERSHIP:
            return agency.agency_id
    raise wrong_usage(f"this home holds no certificate of the business unit of {shard}", "--as says which agency asks")


def _show_child(calling: Calling, request: pb.GetChronologyRequest, child: str, *, csv: bool, json: bool) -> None:
    """Show what the cases that name a child say of it, and of no child in particular, as one story."""
    with calling.channel() as channel:
        named = pb.ListCasesOfChildRequest(shard=request.shard, child_id=child)
        cases = calling.call(ChronologyServiceStub(channel).ListCasesOfChild, named).case_ids
    stories = {case: _story(calling, request, case) for case in cases}
    for story in stories.values():
        about = [line for line in story.lines if not line.children or child in line.children]
        del story.lines[:]
        story.lines.extend(about)
    if json:
        told = [{"case_id": case, **plain(story)} for case, story in stories.items()]
        emit({"shard": request.shard, "child_id": child, "as": calling.agency_id, "cases": told})
    elif csv:
        write_csv(("case_id", *_CSV_COLUMNS), [(case, *_csv_row(line)) for case, story in stories.items() for line in story.lines])
    else:
        _print_child(stories, f"Child {child} in {request.shard}, as {calling.agency_id} may see it")


def _print_child(stories: Mapping[str, pb.GetChronologyResponse], title: str) -> None:
    """Print the chronologies of several cases as one, by when things happened."""
    for number, (case, story) in enumerate(stories.items(), 1):
        say(f"case {number}: {case}, {counted(len(story.lines), 'line')}")
    lines = [(number, line) for number, story in enumerate(stories.values(), 1) for line in story.lines]
    rows = [(happened, str(number), *rest) for number, line in lines for happened, *rest in [_row(line)]]
    show(title, ("Happened", "Case", *_COLUMNS[1:]), sorted(rows, key=itemgetter(0)), whole=_WHOLE)
    for number, story in enumerate(stories.values(), 1):
        _print_open(story, f"case {number}: ")
    say(f"{counted(len(lines), 'line')} of {counted(len(stories), 'case')}")


def _story(calling: Calling, request: pb.GetChronologyRequest, case: str) -> pb.GetChronologyResponse:
    """Return all pages of a case's chronology as one."""
    whole = pb.GetChronologyResponse()
    request.case_id, request.page_token = case, ""
    with calling.channel() as channel:
        for page in calling.pages(ChronologyServiceStub(channel).GetChronology, request):
            whole.lines.extend(page.lines)
            del whole.gaps[:], whole.open_findings[:], whole.open_prerequisites[:]
            whole.gaps.extend(page.gaps)
            whole.open_findings.extend(page.open_findings)
            whole.open_prerequisites.extend(page.open_prerequisites)
            whole.freshness.CopyFrom(page.freshness)
    return whole


def _print(story: pb.GetChronologyResponse, title: str) -> None:
    """Print a chronology and what hangs on it."""
    show(title, _COLUMNS, [_row(line) for line in story.lines], whole=_WHOLE)
    for gap in story.gaps:
        say(f"nothing between {gap.from_on} and {gap.until_on}")
    _print_open(story)
    say(f"{counted(len(story.lines), 'line')}, as of position {story.freshness.position} of {story.freshness.shard}")


def _print_open(story: pb.GetChronologyResponse, of_case: str = "") -> None:
    """Print what is to be mended, what stands before a planned publication, and what is missing; each after the words ``of_case``."""
    for finding in story.open_findings:
        say(f"{of_case}to be mended: {finding.words} ({finding.rule}); {finding.mend}")
    _print_prerequisites(story.open_prerequisites, of_case)
    for stream in story.freshness.parked_streams:
        say(f"{of_case}missing here, the operator knows: {stream}")


def _print_prerequisites(prerequisites: Sequence[pb.OpenPrerequisite], of_case: str) -> None:
    """Print what still stands before a planned publication, under a heading that names its day if that is known."""
    if prerequisites:
        on = prerequisites[0].planned_on
        say(f"{of_case}before the publication planned for {on}:" if on else f"{of_case}before the planned publication:")
    for one in prerequisites:
        say(f"  to be mended: {one.words} ({one.rule}); {one.mend}")


def _row(line: pb.ChronologyLine) -> tuple[str, ...]:
    parts = [line.fact, line.outcome, *(f"[{why}]" for why in line.redactions), *(f"finding: {one}" for one in line.findings)]
    said = line.headline + "".join(f"\n{part}" for part in parts if part)
    signature = [] if line.signature_state == "valid" else [f"signature {line.signature_state}"]
    happened, known = when(line.occurred), at(line.known_at)
    learnt = [] if known.startswith(happened) else [f"known {known}"]
    return (happened, line.agency_id, said, ", ".join([*line.marks, *learnt, *signature]))


def _csv_row(line: pb.ChronologyLine) -> tuple[object, ...]:
    return (
        line.position,
        when(line.occurred),
        line.known_at.ToJsonString(),
        line.recorded_at.ToJsonString(),
        line.agency_id,
        line.event_type,
        line.headline,
        line.fact,
        line.why_significant,
        line.impact_on_child,
        line.childs_voice,
        line.outcome,
        "; ".join(line.marks),
        "; ".join(line.redactions),
        "; ".join(line.findings),
        line.signature_state,
        line.event_id.hex(),
    )


def _watch(calling: Calling, request: pb.WatchChronologyRequest, *, json: bool) -> None:
    """Print lines as they come, until interrupted."""
    with suppress(KeyboardInterrupt), calling.channel() as channel:
        for response in ChronologyServiceStub(channel).WatchChronology(request, metadata=calling.metadata):
            if json:
                emit_line(plain(response))
            elif response.lines:
                show(f"up to position {response.position}", _COLUMNS, [_row(line) for line in response.lines], whole=_WHOLE)
