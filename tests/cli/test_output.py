from __future__ import annotations

import io
from contextlib import redirect_stderr

import pytest

from gateway.cli.output import Failed, lasting, say, say_fields, say_json, say_table, size, when
from gateway.errors import GatewayError

HOSTILE = "a\x1b[2J\u202eb\x9bc\x07"


def test_columns_are_aligned_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(("name", "rows"), [("alice", 7), ("bo", 12345), ("carol", None)])
    assert capsys.readouterr().out == "name    rows\nalice      7\nbo     12345\ncarol      -\n"


def test_an_empty_table_has_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(("name", "rows"), [])
    assert capsys.readouterr().out == "name  rows\n"


def test_nothing_hostile_reaches_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    say_table((HOSTILE[:1], "b"), [(HOSTILE, f"x\ny{HOSTILE}")])
    say_fields([("a", HOSTILE)])
    say_json({"a": HOSTILE})
    shown = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "\\x1b[2J" in shown
    assert "\\u202e" in shown


def test_an_error_keeps_its_lines_and_loses_its_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    Failed(GatewayError(f"first\n  {HOSTILE}", hint="mend"), doing="can't:").show()
    assert capsys.readouterr().err == "can't:\nfirst\n  a\\x1b[2J\\u202eb\\x9bc\\x07\nMend: mend\n"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0s"), (0, "0s"), (59.9, "59s"), (61, "1m 1s"), (3600, "1h"), (90061, "1d 1h"), (86400 * 3 + 5, "3d 5s")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert lasting(seconds) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 2**30, "5.0 GiB"), (2**41, "2.0 TiB")],
)
def test_sizes(amount: int | None, shown: str) -> None:
    assert size(amount) == shown


def test_times_are_utc() -> None:
    assert when(1_795_003_200.0) == "2026-11-18 12:00:00Z"
    assert when(None) == "-"


def test_nothing_of_an_error_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with redirect_stderr(io.StringIO()):
        Failed(GatewayError("x")).show()
    assert capsys.readouterr().out == ""
