"""Log lines: a stable name of what happened and known fields only. No free text and no personal data, whoever logs."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, TextIO

import structlog

from services.runtime.settings import LogFormat, LogLevel

FIELDS: Final = frozenset(
    {
        "address",
        "agency_id",
        "attempt",
        "bytes",
        "code",
        "count",
        "error",
        "event_type",
        "expected",
        "file",
        "found",
        "key_id",
        "library",
        "log_origin",
        "method",
        "node_id",
        "outcome",
        "position",
        "reason",
        "rule",
        "seconds",
        "setting",
        "shard",
        "signal",
        "stream",
        "version",
        "view",
    }
)
"""The names of fields that may be logged. Ids among them are pseudonymous; ``error`` is the name of an exception's type."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+")
_TOKEN: Final = re.compile(r"[\x21-\x7e]{0,200}")
"""One word of printable ASCII: a sentence about a person is none."""
WITHHELD: Final = "withheld"
_LEVELS: Final = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}

EventDict = MutableMapping[str, Any]


def configure_logging(log_format: LogFormat, level: LogLevel, out: TextIO | None = None) -> None:
    """Send the program's lines, and the bare occurrence of its libraries' warnings, to ``out`` (standard error)."""
    target = sys.stderr if out is None else out
    renderer = structlog.processors.JSONRenderer(sort_keys=True) if log_format is LogFormat.JSON else _console(target)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            only_known,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: LineLogger(target),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [LibraryHandler(level=max(logging.WARNING, _LEVELS[level]))]


def only_known(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Let through the line's name, its level and known fields whose values are numbers, instants or single words; withhold the rest."""
    event = line.pop("event", "")
    kept: EventDict = {
        "event": event if isinstance(event, str) and _NAME.fullmatch(event) else "log.unnamed",
        "level": line.pop("level", ""),
    }
    dropped = 0
    for name, value in line.items():
        if name in FIELDS:
            kept[name] = _value(value)
        else:
            dropped += 1
    if dropped:
        kept["fields_dropped"] = dropped
    return kept


def _value(value: object) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case datetime():
            return value.isoformat()
        case BaseException():
            return type(value).__name__
        case _:
            text = str(value)
            return text if _TOKEN.fullmatch(text) else WITHHELD


class LineLogger(structlog.PrintLogger):
    """Writes lines. One that cannot be written (a full disk, a reader that is gone) is lost: that stops nothing else."""

    def msg(self, message: str) -> None:
        """Write a line if it can be written."""
        with suppress(OSError):
            super().msg(message)

    debug = info = warning = error = critical = msg


class LibraryHandler(logging.Handler):
    """Logs that a library warned and which one, not what it said: libraries put what they were given into their messages."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one line of the library's name and, where an exception came with it, that exception's type."""
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log = structlog.get_logger()
        line = {"library": record.name} | ({"error": error} if error else {})
        if record.levelno >= logging.ERROR:
            log.error("library.error", **line)
        else:
            log.warning("library.warning", **line)


def _console(out: TextIO) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=out.isatty(), sort_keys=True)
