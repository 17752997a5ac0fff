"""What people and programs read. Text that somebody else wrote is escaped before it reaches a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import click
import msgspec

from gateway.errors import GatewayError
from gateway.recording.export import printable

MISSING = "-"
"""A cell that has nothing to say."""


class Failed(click.ClickException):
    """A `GatewayError` for an operator: what is wrong, then the mend, on standard error; exit status 1."""

    exit_code = 1

    def __init__(self, error: GatewayError, *, doing: str = "") -> None:
        super().__init__(error.message)
        self._lines = [doing] if doing else []
        self._lines += error.message.splitlines()
        if error.hint is not None:
            self._lines.append(f"Mend: {error.hint}")

    def show(self, file: object = None) -> None:
        for line in self._lines:
            click.echo(printable(line), err=True)


def say(text: str) -> None:
    """Text of several lines, each escaped."""
    for line in text.split("\n"):
        click.echo(printable(line))


def say_json(value: object) -> None:
    """ASCII only, so that no terminal obeys anything in it."""
    click.echo(json.dumps(msgspec.to_builtins(value), indent=2))


def say_json_line(value: object) -> None:
    """As `say_json`, in one line."""
    click.echo(json.dumps(msgspec.to_builtins(value), separators=(",", ":")))


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Ctrl-C is how what goes on is ended: no complaint, exit status 0."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(err=True)


def say_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns under their headings; numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [False] * len(headings)
    if cells:
        numeric = [all(_is_number(row[index]) for row in cells) for index in range(len(headings))]
    widths = [max(len(row[index]) for row in (list(headings), *cells)) for index in range(len(headings))]
    for line in (list(headings), *cells):
        aligned = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        )
        click.echo("  ".join(aligned).rstrip())


def say_left_out(count: int) -> None:
    """On standard error, under a table that would have been too long."""
    if count:
        click.echo(f"{count} older ones are not shown", err=True)


def say_fields(fields: Iterable[tuple[str, object]]) -> None:
    """One name and value per line."""
    shown = [(name, _cell(value)) for name, value in fields]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        click.echo(f"{name.ljust(width)}  {value}".rstrip())


def when(time: float | None) -> str:
    """Unix seconds as UTC."""
    if time is None:
        return MISSING
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def lasting(seconds: float) -> str:
    """A duration in its two largest units: ``3h 12m``."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts[:2])


def ellipsis(text: str, width: int = 60) -> str:
    """What fits a column of a table."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def size(amount: int | None) -> str:
    """Bytes in the largest unit that leaves a number above 1."""
    if amount is None:
        return MISSING
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{amount} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _cell(value: object) -> str:
    if value is None or value == "":
        return MISSING
    return printable(str(value))


def _is_number(text: str) -> bool:
    return text == MISSING or text.lstrip("-").isdigit()
