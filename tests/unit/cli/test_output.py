from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
import typer

from safeguarding.hub.v1.append_pb2 import AppendEventsResponse, Outcome, Receipt, Refusal
from safeguarding.hub.v1.common_pb2 import PRECISION_DAY, PRECISION_MONTH, PRECISION_PERIOD, When
from services.cli.options import read_day, read_moment
from services.cli.output import MIN_WIDTH, PIPED_WIDTH, console, emit, emit_line, harmless, plain, show, visible, write_csv
from services.cli.wording import when


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "start", [*"=+-@\t\r", *"\uff1d\uff0b\uff0d\uff20", "\n=", " =", "\t=", "\r\n-", "\u00a0+", "\u3000\uff20", " \n\t @"]
)
def test_text_that_begins_like_a_formula_is_escaped(start: str) -> None:
    assert harmless(f"{start}1") == f"'{start}1"


@pytest.mark.parametrize("text", ["", " ", "\n", "1=1", "a-b", "'=1", " a=1", "\nb"])
def test_other_text_is_exported_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_numbers_are_exported_as_numbers_and_signed_text_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(["=column", "n"], [["-1", -1]])

    assert capsys.readouterr().out == """"'=column","n"\n"'-1","-1"\n"""


def test_yes_and_no_are_exported_as_json_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(["a", "b", "c"], [[True, False, 1]])

    assert capsys.readouterr().out == '"a","b","c"\n"true","false","1"\n'


def test_every_cell_is_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(["a", "b"], [["a;=1", 'say "x"'], [None, 1.5]])

    assert capsys.readouterr().out == '"a","b"\n"a;=1","say ""x"""\n"","1.5"\n'


def test_characters_that_steer_a_terminal_are_shown_as_what_they_are() -> None:
    assert visible("a\x1b[31mb\u202ec\nd") == "a<U+001B>[31mb<U+202E>c\nd"


def test_markup_in_what_people_wrote_stays_text(capsys: pytest.CaptureFixture[str]) -> None:
    show("[bold]", ["[red]"], [["[link=x]y[/link] :smile:"]])

    printed = capsys.readouterr().out
    assert "[bold]" in printed
    assert "[link=x]y[/link] :smile:" in printed


def test_a_table_too_narrow_to_be_read_is_printed_as_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    show(
        "A title that is longer than forty columns are wide",
        ("Case", "What", "Owed"),
        [("c" * 30, "one\ntwo", ""), ("d", "e", "f")],
        whole=[0],
    )

    assert capsys.readouterr().out == (
        f"A title that is longer than forty columns are wide\n\nCase: {'c' * 30}\nWhat: one\n  two\n\nCase: d\nWhat: e\nOwed: f\n\n"
    )


def test_a_table_gives_way_by_its_widest_column_and_breaks_no_short_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    show("", ("Day", "Text"), [("2024-03-04", "several words " * 12)])

    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert [line for line in lines if line.split()[:3] == ["2024-03-04", "several", "words"]]
    assert {word for line in lines for word in line.split() if word.isalpha()} == {"Day", "Text", "several", "words"}


@pytest.mark.parametrize("columns", ["", "0", "000", "-5", "wide", "\u00b2"])
def test_columns_that_are_no_width_are_as_if_they_were_not_said(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    assert console(io.StringIO()).width == PIPED_WIDTH
    assert console(Terminal()).width > MIN_WIDTH


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_columns_are_heeded_down_to_what_can_be_read(stream: Callable[[], io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []
    for columns in ("1", "19", "20", "40"):
        monkeypatch.setenv("COLUMNS", columns)
        widths.append(console(stream()).width)

    assert widths == [MIN_WIDTH, MIN_WIDTH, 20, 40]


def test_the_title_of_an_empty_table_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show("Deadlines as of a moment, as panel may see them", ("Due", "What"), [])

    assert capsys.readouterr().out.splitlines()[0] == "Deadlines as of a moment, as panel may see them"


def test_a_console_without_a_terminal_has_no_colour_and_fails_on_no_character() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    console(stream).print("caf\u00e9", style="bold red")
    stream.flush()

    assert raw.getvalue() == b"caf?\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("printed", [emit, emit_line])
def test_json_is_utf8_whatever_the_locale(printed: Callable[[object], None], encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    document = {"text": "caf\u00e9 \u2013 \u0645", "no text, but a file's name": "\udcff"}
    printed(document)

    assert json.loads(raw.getvalue().decode("utf-8")) == document


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_csv_is_utf8_whatever_the_locale(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    write_csv(["a"], [["caf\u00e9 \u2013 \u0645"]])

    assert raw.getvalue().decode("utf-8").splitlines()[1].strip('"') == "caf\u00e9 \u2013 \u0645"


def test_messages_become_json_with_hexadecimal_bytes_and_plain_numbers() -> None:
    message = AppendEventsResponse(
        outcomes=[
            Outcome(receipt=Receipt(event_id=b"\x01\x02", position=2**40, leaf=b"")),
            Outcome(refusal=Refusal(rule="incident.notifier", current_version=0)),
        ]
    )
    first, second = plain(message)["outcomes"]

    assert (first["receipt"]["event_id"], first["receipt"]["position"], first["receipt"]["leaf"]) == ("0102", 2**40, "")
    assert (second["refusal"]["rule"], second["refusal"]["current_version"]) == ("incident.notifier", 0)
    assert "expected_version" not in second["refusal"]
    json.dumps(plain({"at": datetime(2024, 3, 4, tzinfo=UTC), "on": {date(2024, 3, 4)}}))


def test_a_bare_day_is_its_end_in_london_and_a_bare_time_is_londons() -> None:
    assert read_moment("2020-07-01") == datetime(2020, 7, 1, 22, 59, 59, tzinfo=UTC)
    assert read_moment("2020-01-01T09:30") == datetime(2020, 1, 1, 9, 30, tzinfo=UTC)
    assert read_moment("2020-07-01T09:30+00:00") == datetime(2020, 7, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "2020-13-01", "2020-02-30T10:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        read_moment(text)
    with pytest.raises(typer.BadParameter):
        read_day(text)


def test_moments_are_shown_as_exactly_as_they_are_known() -> None:
    day = When(precision=PRECISION_DAY)
    day.on.year, day.on.month, day.on.day = 2024, 3, 4
    month = When(precision=PRECISION_MONTH)
    month.on.CopyFrom(day.on)
    period = When(precision=PRECISION_PERIOD)
    period.on.CopyFrom(day.on)
    period.until_on.year, period.until_on.month, period.until_on.day = 2024, 3, 9

    assert [when(one) for one in (When(), day, month, period)] == ["", "2024-03-04", "2024-03", "2024-03-04 to 2024-03-09"]
