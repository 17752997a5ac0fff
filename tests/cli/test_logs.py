from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from gateway.cli.logs import Format, _FromLogging, _processors

HOSTILE = "a\x1b[2J\u202eb\nFAKE"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def logged(form: Format, level: str = "warning", **fields: object) -> str:
    stream = io.StringIO()
    structlog.configure(
        processors=_processors(form, colours=False),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    getattr(structlog.get_logger(), level)("what happened", **fields)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["console", "json", "journal"])
def test_one_event_is_one_line_whatever_it_says(form: Format) -> None:
    shown = logged(form, problem=HOSTILE, names=[HOSTILE])
    assert shown.count("\n") == 1
    assert all(character.isprintable() for character in shown[:-1])
    assert "what happened" in shown


def test_json_begins_with_what_everybody_reads() -> None:
    fields = json.loads(logged("json", problem=HOSTILE, error=ValueError("x"), who={"a": {1, 2}}))
    assert list(fields)[:3] == ["timestamp", "level", "event"]
    assert fields["problem"] == HOSTILE
    assert fields["error"] == "ValueError('x')"


@pytest.mark.parametrize(("level", "priority"), [("info", 6), ("warning", 4), ("error", 3), ("critical", 2)])
def test_journald_reads_the_priority(level: str, priority: int) -> None:
    shown = logged("journal", level)
    assert shown.startswith(f"<{priority}>{{")
    assert "timestamp" not in shown


def test_an_exception_is_told_with_its_trace() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        shown = logged("json", exc_info=error)
        console = logged("console", exc_info=error)
    assert "test_logs.py" in json.loads(shown)["exception"]
    assert shown.count("\n") == 1
    assert "\x1b" not in console
    assert "\u202e" not in console


def test_other_libraries_complaints_come_out_the_same_way() -> None:
    stream = io.StringIO()
    structlog.configure(
        processors=_processors("json", colours=False), logger_factory=structlog.WriteLoggerFactory(file=stream)
    )
    record = logging.LogRecord("asyncio", logging.ERROR, "x.py", 1, "Exception in %s", (HOSTILE,), None)
    _FromLogging().emit(record)
    fields = json.loads(stream.getvalue())
    assert (fields["source"], fields["level"]) == ("asyncio", "error")
