from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from services.runtime.logs import configure_logging
from services.runtime.settings import LogFormat, LogLevel


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    before = logging.getLogger().handlers
    configure_logging(LogFormat.JSON, LogLevel.INFO, stream)
    yield stream
    structlog.reset_defaults()
    logging.getLogger().handlers = before


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    for line in found:
        assert line.pop("timestamp").endswith("Z")
    return found


def test_a_line_names_what_happened_with_known_fields(out: io.StringIO) -> None:
    structlog.get_logger().info("hub.serving", address="127.0.0.1:7443", position=7, seconds=0.5)
    assert lines(out) == [{"event": "hub.serving", "level": "info", "address": "127.0.0.1:7443", "position": 7, "seconds": 0.5}]


def test_unknown_fields_are_dropped_and_counted(out: io.StringIO) -> None:
    structlog.get_logger().info("case.opened", child="Jo", circumstances="They fell.", shard="northmoor")
    assert lines(out) == [{"event": "case.opened", "level": "info", "shard": "northmoor", "fields_dropped": 2}]


def test_free_text_is_not_let_through_under_a_known_name(out: io.StringIO) -> None:
    structlog.get_logger().info("case.opened", reason="Jo fell", code="Zo\u00eb", rule="x" * 201, method="a\nb")
    assert lines(out) == [
        {"event": "case.opened", "level": "info", "reason": "withheld", "code": "withheld", "rule": "withheld", "method": "withheld"}
    ]


@pytest.mark.parametrize("event", ["Jo fell", "", "jo", "case.opened for Jo", 7])
def test_a_line_without_a_stable_name_loses_its_text(event: Any, out: io.StringIO) -> None:
    structlog.get_logger().warning(event)
    assert lines(out) == [{"event": "log.unnamed", "level": "warning"}]


def test_of_an_exception_the_type_alone_is_logged(out: io.StringIO) -> None:
    structlog.get_logger().error("rpc.failed", error=ValueError("Jo"), exc_info=ValueError("Jo"))
    assert lines(out) == [{"event": "rpc.failed", "level": "error", "error": "ValueError", "fields_dropped": 1}]


def test_of_a_librarys_message_its_occurrence_alone_is_logged(out: io.StringIO) -> None:
    logging.getLogger("grpc._cython").error("Unexpected %s", "Jo", exc_info=KeyError("Jo"))
    logging.getLogger("asyncio").warning("Jo")
    logging.getLogger("asyncio").info("Jo")
    assert lines(out) == [
        {"event": "library.error", "level": "error", "library": "grpc._cython", "error": "KeyError"},
        {"event": "library.warning", "level": "warning", "library": "asyncio"},
    ]


def test_lines_below_the_level_are_not_written(out: io.StringIO) -> None:
    structlog.get_logger().debug("hub.detail")
    assert lines(out) == []


def test_console_lines_have_no_colour_where_there_is_no_terminal(out: io.StringIO) -> None:
    configure_logging(LogFormat.CONSOLE, LogLevel.INFO, out)
    structlog.get_logger().info("hub.serving", position=7)
    text = out.getvalue()
    assert "hub.serving" in text
    assert "position=7" in text
    assert "\x1b" not in text


def test_a_line_that_cannot_be_written_stops_nothing() -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    before = logging.getLogger().handlers
    try:
        configure_logging(LogFormat.CONSOLE, LogLevel.INFO, Full())
        structlog.get_logger().error("eventstore.append_failed", count=1)
        logging.getLogger("asyncio").error("lost as well")
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers = before
