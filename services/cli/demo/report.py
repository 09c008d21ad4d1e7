"""What the demo shows, as lines of plain text no wider than 100 columns: no colour, no boxes, nothing that ssh would spoil."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import Final

from projections.oversight.panel_table import Cell, Column, Kind, PanelTable, Row
from projections.oversight.published import Comparison, Line, Verdict
from safeguarding.hub.client.outcomes import Receipt, Refusal
from safeguarding.hub.v1.chronology_pb2 import ChronologyLine, GetChronologyResponse
from safeguarding.hub.v1.deadlines_pb2 import Deadline, ExplainDeadlineResponse
from services.cli.demo.callers import Tally
from services.cli.demo.telling import Answered, Told
from services.cli.output import console
from services.cli.wording import counted as number_of
from services.cli.wording import in_words, when
from services.projector.verification import Verdict as Verified

WIDTH: Final = 100
_UNSAID: Final = frozenset({"significant", "imported", "neutral"})
"""Marks that nearly every line bears: said once, above."""


@cache
def width() -> int:
    """Return how wide lines may be: as for every command, but no wider than is read well. Asked once: a console takes its time."""
    return min(WIDTH, console(sys.stdout).width)


def heading(text: str) -> list[str]:
    """Return a heading."""
    lines = paragraph(text)
    return ["", *lines, "=" * max(map(len, lines))]


def paragraph(text: str, indent: int = 0, hanging: int = 0) -> list[str]:
    """Return text broken into lines; those after the first stand ``hanging`` further in."""
    return wrap(text, width(), initial_indent=" " * indent, subsequent_indent=" " * (indent + hanging), break_long_words=True) or [""]


def grid(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = (), widest: int = 0) -> list[str]:
    """Return a table of aligned columns; where all do not fit, column ``widest`` is broken into lines."""
    body = [list(row) for row in rows]
    widths = [max(len(row[index]) for row in (header, *body)) for index in range(len(header))]
    over = sum(widths) + 2 * (len(widths) - 1) - width()
    widths[widest] = max(12, widths[widest] - max(0, over))
    numbers = frozenset(right)
    lines = [*_grid_row(header, widths, numbers, widest), "  ".join("-" * width for width in widths)]
    for row in body:
        lines += _grid_row(row, widths, numbers, widest)
    return lines


def _grid_row(row: Sequence[str], widths: Sequence[int], numbers: frozenset[int], widest: int) -> list[str]:
    """Return a row's lines: its other columns stand beside the first line of the broken one."""
    indent = len(row[widest]) - len(row[widest].lstrip())
    broken = wrap(row[widest], widths[widest], initial_indent=" " * indent, subsequent_indent=" " * (indent + 1)) or [""]
    lines = []
    for number, part in enumerate(broken):
        cells = [part if index == widest else text if number == 0 else "" for index, text in enumerate(row)]
        fitted = [
            text.rjust(width) if index in numbers else text.ljust(width)
            for index, (text, width) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append("  ".join(fitted).rstrip())
    return lines


# ── the beginning and the end ──


def introduction() -> Iterator[str]:
    """Yield what this is."""
    yield from paragraph("Everything here is synthetic, made by a program: nobody in it exists. What the hub shows is read back from it.")


def founded(address: str, agencies: Sequence[str]) -> Iterator[str]:
    """Yield who takes part."""
    yield from heading("A hub of its own")
    yield from paragraph(
        f"It serves gRPC with mutual TLS at {address}, in a process of its own, and has founded its own certificate authority."
        f" {takers(agencies)}"
    )


def takers(agencies: Sequence[str]) -> str:
    """Say who takes part."""
    names = {"la": "councils", "icb": "integrated care boards", "police": "police forces", "partnership": "partnerships"}
    kinds = [agency.partition("-")[0] for agency in agencies]
    counts = ", ".join([*(f"{kinds.count(kind)} {words}" for kind, words in names.items()), "a school, a youth justice service, the Panel"])
    return f"{len(agencies)} agencies have a certificate and a signing key each: {counts}."


def sent(incidents: int, tally: Tally, seconds: float) -> Iterator[str]:
    """Yield how much was sent."""
    yield from paragraph(
        f"{tally.events} events were signed and sent in {seconds:.1f} seconds, each by the agency that owes it: enrolments,"
        f" partnerships, and {number_of(incidents, 'incident')} with their rapid reviews, decisions and responses. {tally.receipts} have a"
        f" receipt, {len(tally.refusals)} were refused as they should be."
    )


def verified(verdict: Verified) -> Iterator[str]:
    """Yield what verification found."""
    yield from heading("Does the log prove itself?")
    for problem in verdict.problems:
        yield from paragraph(f"WRONG at {problem.shard}/{problem.position}: {problem.check}: {problem.reason}", 0, 4)
    for view in verdict.views:
        yield f"view {view.view}: {'equal to' if view.matches else 'DIFFERENT from'} a rebuild from the log"
    yield from paragraph(
        f"{verdict.events} events in {verdict.shards} shards read again: every signature, commitment, position, version and digest"
        f" {'holds' if verdict.passed else 'was checked'}. {'Verified.' if verdict.passed else 'NOT verified.'}"
    )


def what_next(case_id: str, council: str, keep: Path | None, options: str) -> Iterator[str]:
    """Yield commands to go on with; ``options``: what the demo was given beside a folder."""
    yield from heading("What to try next")
    if keep is None:
        yield "This hub is gone now. To keep one and look around in it:"
        yield f"  hub demo{options} --keep demo-hub"
        yield "then, of that hub:"
    home = shlex.quote(str(keep or "demo-hub"))
    yield f"  hub serve --home {home}        (leave it running, and in another terminal:)"
    yield f"  hub chronology {case_id} --home {home} --as {council}"
    yield f"  hub deadlines --home {home} --overdue"
    yield f"  hub deadlines --home {home} --explain {case_id} K10"
    yield f"  hub panel table 6 --period 2020 --count-day 2021-03-31 --home {home}"
    yield f"  hub verify --home {home}"
    yield ""


# ── telling ──


def told(told_case: Told, among: str) -> Iterator[str]:
    """Yield what happened while the case was told: each notable event with the hub's answer. ``among``: its place in England."""
    yield from heading("One case told in full")
    yield from paragraph(
        f"Case {told_case.cast.case_id}, {among}, in {told_case.cast.area.name}. A child has died; what is told is how"
        f" {len({one.saying.agency for one in told_case.answers})} agencies said what they knew. It is history, entered now and marked"
        f" imported. {len(told_case.answers)} events, of which the notable:"
    )
    yield from _answers(told_case)


def told_today(told_case: Told) -> Iterator[str]:
    """Yield what happened while today's case was told."""
    yield from heading("Today: a live notification in the same partnership")
    yield from paragraph(
        f"Case {told_case.cast.case_id}. A live event counts when the hub records it, whatever it asserts: nobody meets a date by"
        " backdating."
    )
    yield from _answers(told_case)
    yield ""


def _answers(told_case: Told) -> Iterator[str]:
    for answered in told_case.shown:
        yield from _answer(answered)
    for replay in told_case.replays:
        same = "the same receipt, byte for byte" if replay.first == replay.again else "ANOTHER receipt"
        text = (
            f"sent again, byte for byte: event {replay.event_id.hex()} is answered with {same}"
            f" (position {replay.position}, sha256 {replay.digest}..)"
        )
        yield from paragraph(f"- {text}", 0, 4)


def _answer(answered: Answered) -> Iterator[str]:
    saying, outcome = answered.saying, answered.outcome
    yield from paragraph(f"- {saying.words} [{saying.agency}]", 0, 4)
    match outcome:
        case Refusal():
            yield from paragraph(f"REFUSED by {outcome.rule}: {outcome.reason}", 6, 2)
        case Receipt(findings=findings, mended=mended):
            for finding in findings:
                yield from paragraph(f"ACCEPTED WITH A FINDING, {finding.rule}: {finding.words} It is mended by {finding.mend}.", 6, 2)
            for rule in mended:
                yield from paragraph(f"MENDED: {rule}", 6, 2)
        case _:
            yield from paragraph(f"NOT DECIDED: {outcome.reason}", 6, 2)


# ── chronology ──


def chronology(case_id: str, viewer: str, found: GetChronologyResponse) -> Iterator[str]:
    """Yield a chronology, line by line."""
    yield from heading(f"The chronology of {case_id}, as {viewer} sees it")
    yield from paragraph("All lines are significant and imported history; other marks stand in brackets.")
    for line in found.lines:
        yield from _chronology_line(line)
    gaps = ", ".join(f"{gap.from_on} to {gap.until_on}" for gap in found.gaps)
    if gaps:
        yield from paragraph(f"Without any contact: {gaps}", 0, 4)


def _chronology_line(line: ChronologyLine) -> Iterator[str]:
    marks = [mark for mark in line.marks if mark not in _UNSAID]
    marks += [] if "imported" in line.marks else ["live"]
    marks += [f"finding {finding}" for finding in line.findings]
    marks += [f"withheld: {reason}" for reason in line.redactions]
    noted = f" [{'; '.join(marks)}]" if marks else ""
    yield from paragraph(f"{when(line.occurred)}  {line.fact or line.headline} ({line.agency_id}){noted}", 0, 4)
    for label, text in (
        ("why it matters", line.why_significant),
        ("for the child", line.impact_on_child),
        ("the child's voice", line.childs_voice),
        ("what came of it", line.outcome),
    ):
        if text:
            yield from paragraph(f"{label}: {text}", 8, 2)
    for dispute in line.disputes:
        yield from paragraph(f"DISPUTED by {dispute}", 8, 2)


def who_sees_what(seen: Mapping[str, Sequence[ChronologyLine]]) -> Iterator[str]:
    """Yield how many of the lines others see instead."""
    entries = {agency: sum(bool(line.fact) for line in lines) for agency, lines in seen.items()}
    counts = "; ".join(f"{agency} {len(lines)} lines, {entries[agency]} of them accounts" for agency, lines in seen.items())
    yield ""
    yield from paragraph(
        f"Who sees how much of it: {counts}. The Panel sees the milestones and nothing that the agencies told each other; police"
        f" intelligence is for the police alone; what concerns third parties is withheld outside the partnership."
    )


# ── deadlines ──


def case_deadlines(case_id: str, found: Iterable[Deadline]) -> Iterator[str]:
    """Yield the deadlines of the told case."""
    yield from heading(f"The deadlines of {case_id}")
    yield "WD: working days."
    yield from deadlines(found)


def deadlines(found: Iterable[Deadline]) -> list[str]:
    """Return deadlines as a table."""
    rows = [(one.clock, _owed(one), ", ".join(one.owed_by), one.day_zero or "-", one.due_on or "no set day", _status(one)) for one in found]
    return grid(("clock", "what is owed", "owed by", "day 0", "due", "status"), rows, widest=1)


def _owed(deadline: Deadline) -> str:
    """Return what is owed; of what is owed to several, to whom."""
    owed_to = ", ".join(map(in_words, deadline.owed_to))
    return f"To {owed_to}: {deadline.name}" if deadline.clock == "K11" else deadline.name


def _status(deadline: Deadline) -> str:
    return _short(deadline.status) + (", recorded late" if deadline.recorded_late else "")


def _short(status: str) -> str:
    return status.replace("working days", "WD").replace("working day", "WD")


def explained(found: ExplainDeadlineResponse) -> Iterator[str]:
    """Yield a deadline's explanation: the rule, the days that do not count, what stopped it."""
    yield ""
    first, *others = found.lines or [found.deadline.status]
    yield f"{found.deadline.clock} explained, day by day:"
    for line in (first, *others, *(f"Not counted: {day}" for day in found.skipped_days)):
        yield from paragraph(line, 2, 2)
    yield f"  Rules {found.rules_version[:12]}.., calendar {found.calendar_version[:12]}.."


def overdue(day: date, found: Sequence[Deadline], longest: int) -> Iterator[str]:
    """Yield who is overdue: how many by clock, and of each clock those who have been for longest."""
    yield from heading(f"Who was overdue in England at the end of {day.isoformat()}")
    if not found:
        yield "Nobody was."
        return
    by_clock: dict[tuple[str, str], list[Deadline]] = {}
    for one in sorted(found, key=lambda one: (one.clock, one.due_on, one.shard, one.case_id)):
        by_clock.setdefault((one.clock, one.name), []).append(one)
    yield from grid(("clock", "what is owed", "overdue"), [(*key, str(len(late))) for key, late in by_clock.items()], right=[2], widest=1)
    yield ""
    yield f"{len(found)} in all. Overdue for longest (WD: working days):"
    first = [one for late in by_clock.values() for one in late[:longest]]
    lines = [(one.clock, _owner(one), one.case_id, one.due_on, _short(one.status).removeprefix("overdue by ")) for one in first]
    yield from grid(("clock", "owed by", "case", "due", "overdue by"), lines, widest=1)


def _owner(deadline: Deadline) -> str:
    owners = ", ".join(deadline.owed_by)
    return f"{owners} of {deadline.shard}" if owners == "partners" else owners


# ── tables ──


def tables_begin() -> Iterator[str]:
    """Yield how the tables are to be read."""
    yield from heading("The Panel's tables for 2020, beside its published figures")
    yield from paragraph("A cell is ours=printed where they are equal, ours!=printed where they are not; one figure alone is ours.")


def drawn_tables_begin(incidents: int) -> Iterator[str]:
    """Yield how tables are to be read for which nobody has published figures."""
    yield from heading("The Panel's tables for 2020")
    yield from paragraph(
        f"{number_of(incidents, 'incident')} drawn, counted as they stood on the count day, amended, corrected or withdrawn; the cases of"
        " 2022 and of today lie outside. There are no published figures for such a population: every figure is ours."
    )


def table(counted: PanelTable, comparison: Comparison | None) -> Iterator[str]:
    """Yield a table of ours, beside the printed one if there is a comparison, with every difference."""
    yield ""
    yield from paragraph(f"Table {counted.number}: {counted.title}" if counted.number[0].isdigit() else f"Chart: {counted.title}", 0, 4)
    described = dict(counted.described())
    basis = f"{described['basis']} {described['period']}, as at the end of {described['count day']}"
    yield from paragraph(f"counted: {described['unit']}; percents of: {described['base']}; {basis}", 2, 2)
    lines = {} if comparison is None else {(line.row, line.column): line for line in comparison.lines}
    header = ["", *(_column(column) for column in counted.columns)]
    rows = [_table_row(counted, row, lines) for row in counted.all_rows()]
    yield from grid(header, rows, right=range(1, len(header)), widest=0)
    for note in counted.notes:
        yield from paragraph(f"note: {note}", 2, 4)
    if comparison is not None:
        yield from _differences(comparison)


def _column(column: Column) -> str:
    return "%" if column.kind is Kind.PERCENT else column.label


def _table_row(counted: PanelTable, row: Row, lines: Mapping[tuple[str, str], Line]) -> list[str]:
    return [
        "  " * row.level + row.label,
        *(_beside(cell, lines.get((row.key, column.key))) for column, cell in zip(counted.columns, row.cells, strict=True)),
    ]


def _beside(ours: Cell, line: Line | None) -> str:
    """Return our figure, and beside it the printed one: joined by = where equal, by != where not."""
    if line is None:
        return "" if ours is None else str(ours)
    sign = "=" if line.verdict is Verdict.EQUAL else "!="
    return f"{'-' if ours is None else ours}{sign}{'-' if line.printed is None else line.printed}"


def _differences(comparison: Comparison) -> Iterator[str]:
    """Yield every figure that differs, with the fault of the print behind it, or that there is none."""
    if not comparison.differences:
        yield f"  all {len(comparison.lines)} printed figures are equal to ours"
        return
    equal = len(comparison.lines) - len(comparison.differences)
    yield f"  {equal} of {len(comparison.lines)} printed figures are equal to ours; the others:"
    for line in comparison.differences:
        text = f"{line.label}, {line.column.replace('_', ' ')}: ours {line.ours}, printed {line.printed}: "
        if line.verdict is Verdict.PRINTED_FAULT:
            text += "a fault of the print, whose own counts give ours"
            text += "" if line.flag is None else f" ({line.flag.id}: {line.flag.finding})"
        else:
            text += "DIFFERENT"
        yield from paragraph(text, 4, 4)
