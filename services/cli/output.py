"""What commands print: tables, JSON and CSV on standard output; messages on standard error. Colour never carries meaning."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final, TextIO

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.options import LONDON

PIPED_WIDTH: Final = 200
"""Columns where nobody's terminal says how wide it is."""
MIN_WIDTH: Final = 20
"""Narrower than this nothing can be read, whatever ``COLUMNS`` says."""
_COLUMN_MIN_WIDTH: Final = 12
_WORD_MAX_WIDTH: Final = 24
"""What is longer (a path, a case's id) may be broken."""
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are the first four in full width, which some spreadsheets read alike."""
_CONTROL_STARTS: Final = ("\t", "\r")


def console(stream: TextIO) -> Console:
    """Return a console that does without colour and width where there is no terminal, and never fails on a character."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    told = os.environ.get("COLUMNS", "")
    columns = int(told) if told.isdecimal() else 0
    width = max(columns, MIN_WIDTH) if columns else None if stream.isatty() else PIPED_WIDTH
    rest = {name: value for name, value in os.environ.items() if name != "COLUMNS"}  # of which a console makes a width of nothing too
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False, _environ=rest)


def for_programs() -> TextIO:
    """Return standard output for what programs read: UTF-8, whatever the locale is.

    A file's name need not be text: what of it has no UTF-8 is printed as JSON escapes it.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    return sys.stdout


def emit(document: Any) -> None:
    """Print one JSON document to standard output."""
    out = for_programs()
    json.dump(plain(document), out, ensure_ascii=False, indent=2)
    out.write("\n")
    out.flush()


def emit_line(document: Any) -> None:
    """Print one JSON document as a line: one of many."""
    out = for_programs()
    json.dump(plain(document), out, ensure_ascii=False)
    out.write("\n")
    out.flush()


def plain(value: Any) -> Any:  # noqa: PLR0911  # one for each kind of value
    """Return a value as JSON has it: messages by the names of their fields, instants in ISO 8601, bytes in hexadecimal."""
    match value:
        case Message():
            return _from_message(value)
        case Enum():
            return plain(value.value)
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return value.hex()
        case Path():
            return str(value)
        case dict():
            return {str(plain(key)): plain(one) for key, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(one) for one in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return plain(asdict(value))
        case _:
            return value


def _from_message(message: Message) -> dict[str, Any]:
    document: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return _hexadecimal(message, document)


def _hexadecimal(message: Message, document: dict[str, Any]) -> dict[str, Any]:
    """Put hexadecimal in the place of base64 and numbers in the place of 64-bit strings: what the other commands print."""
    for field in message.DESCRIPTOR.fields:
        if field.name not in document or (field.message_type is not None and field.message_type.full_name.startswith("google.")):
            continue
        value = getattr(message, field.name)
        if field.is_repeated:
            if field.message_type is not None:
                document[field.name] = [_from_message(one) for one in value]
            elif field.type == field.TYPE_BYTES:
                document[field.name] = [one.hex() for one in value]
        elif field.message_type is not None:
            document[field.name] = _from_message(value)
        elif field.type == field.TYPE_BYTES:
            document[field.name] = value.hex()
        elif field.type in {field.TYPE_INT64, field.TYPE_UINT64}:
            document[field.name] = int(value)
    return document


def say(text: str = "") -> None:
    """Print a line of text to standard output."""
    console(sys.stdout).print(Text(visible(text)), soft_wrap=True)


def tell(text: str) -> None:
    """Print a message to standard error."""
    console(sys.stderr).print(Text(visible(text)), soft_wrap=True)


def show(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = (), whole: Iterable[int] = ()
) -> None:
    """Print a table; the columns of ``right`` stand to the right, those of ``whole`` are not folded.

    Where a column would be too narrow to be read, each row is printed as lines, a column a line.
    """
    shown = [[visible(cell(one)) for one in row] for row in rows]
    out = console(sys.stdout)
    if title:
        out.print(Text(visible(title)), soft_wrap=True)
    widths = _widths([columns, *shown], set(whole), out.width)
    if widths is None:
        _print(out, Text("".join(f"\n{_stacked(columns, row)}\n" for row in shown), overflow="fold"))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    numbers = set(right)
    for index, (column, width) in enumerate(zip(columns, widths, strict=True)):
        table.add_column(Text(column), justify="right" if index in numbers else "left", overflow="fold", width=width)
    for row in shown:
        table.add_row(*map(Text, row))
    _print(out, table)


def _print(out: Console, what: Table | Text) -> None:
    """Print, to whatever is no terminal without blanks at the ends of lines."""
    if out.is_terminal:
        out.print(what)
        return
    with out.capture() as printed:
        out.print(what)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in printed.get().splitlines()))


def _widths(rows: Sequence[Sequence[str]], whole: set[int], room: int) -> list[int] | None:
    """Return how wide each column is to be, None where one would have to be too narrow to be read.

    The widest give way first. A column of ``whole`` never does, any other not below its longest word (or what counts as one).
    """
    lines = [[line for one in column for line in one.split("\n")] for column in zip(*rows, strict=True)]
    natural = [max(map(cell_len, column), default=0) for column in lines]
    words = [max((cell_len(word) for line in column for word in line.split()), default=0) for column in lines]
    least = [
        wide if index in whole else min(wide, max(_COLUMN_MIN_WIDTH, min(word, _WORD_MAX_WIDTH)))
        for index, (wide, word) in enumerate(zip(natural, words, strict=True))
    ]
    room -= 3 * len(natural) + 1  # the blanks and rules between columns
    for most in range(max(natural), 0, -1):
        widths = [max(low, min(wide, most)) for low, wide in zip(least, natural, strict=True)]
        if sum(widths) <= room:
            return widths
    return None


def _stacked(columns: Sequence[str], row: Sequence[str]) -> str:
    """Return a row as lines, one a column that has something to say."""
    named = ((f"{column}: " if column else "", one.strip()) for column, one in zip(columns, row, strict=True))
    return "\n".join(name + one.replace("\n", "\n  ") for name, one in named if one)


def cell(value: object) -> str:
    """Return a value as a person reads it in a table."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(LONDON):%Y-%m-%d %H:%M}"
        case bytes():
            return value.hex()
        case list() | tuple() | set() | frozenset():
            return ", ".join(cell(one) for one in value)
        case _:
            return str(value)


def visible(text: str) -> str:
    """Return text with characters that would steer a terminal shown as what they are."""
    return "".join(f"<U+{ord(one):04X}>" if one != "\n" and unicodedata.category(one) in {"Cc", "Cf", "Cs"} else one for one in text)


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print comma-separated values in which no cell is a formula to a spreadsheet.

    All are in quotes: where numbers are written with a comma, a bare semicolon separates cells.
    """
    stream = for_programs()
    out = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    out.writerow([harmless(column) for column in columns])
    out.writerows([_csv_cell(one) for one in row] for row in rows)
    stream.flush()


def _csv_cell(value: object) -> str | int | float:
    """Return a value as programs read it: numbers as they are, yes and no as JSON has them."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return value
        case _:
            return harmless(cell(value))


def harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: one that begins like one, blanks aside, gets an apostrophe before it."""
    return f"'{text}" if text.startswith(_CONTROL_STARTS) or text.lstrip().startswith(_FORMULA_STARTS) else text
