"""Values of every shipped detector (tests/support/detectable), cut at every byte, through the masks of SSH's outputs.

In a command's output nothing of a value may be seen; for terminals docs/ssh.md publishes how much is.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest
from support.detectable.values import KINDS
from support.terminals import SEED, Line, left, lines, shown, table

from gateway.protocols.ssh.masks import PIPED, TYPED

PAGE = (Path(__file__).parents[3] / "docs" / "ssh.md").read_text("utf-8")

SEQUENCES: Final = (
    b"\x1b[1;31m",  # colours
    b"\x1b[m",
    b"\x1b[38;2;1;22;33m",
    b"\x1b[5;1H",  # movements
    b"\x1b[1C",
    b"\x1b[3G",
    b"\x1b7",
    b"\x1b[K",  # erasing
    b"\x1b]0;title\x07",  # titles, with both ends
    b"\x1b]2;title\x1b\\",
    b"\x1b]8;;https://example.com/\x1b\\",
    b"\x1b[?2004h",  # bracketed paste
    b"\x1b[?25l",
    b"\x1b(B",  # sets of characters
    b"\x1b[1m\x1b[32m",
)

FEW, MANY = 2, 40
LONG: Final = 200
"""Bytes of a value of which the quick run cuts only some places: private keys and tokens."""


def places(line: Line, *, every: bool) -> Iterable[int]:
    begin, size = len(line.before), len(line.value)
    return range(begin, begin + size + 1, 1 if every or size <= LONG else size // 40)


def check_cuts(kind: str, count: int, *, every: bool) -> None:
    for line in lines(SEED, count, kind):
        assert left(line, shown([(0, line.text)], typed=False)) == 0, line
        for at in places(line, every=every):
            for pause in (0, TYPED, PIPED * 0.99):
                seen = shown([(0, line.text[:at]), (pause, line.text[at:])], typed=False)
                assert left(line, seen) == 0, (line, at, pause, seen)


def check_sequences(kind: str, count: int, *, every: bool) -> None:
    for line in lines(SEED, count, kind):
        for at in places(line, every=every):
            for sequence in SEQUENCES:
                seen = shown([(0, line.text[:at] + sequence + line.text[at:])], typed=False)
                assert left(line, seen) == 0, (line, at, sequence, seen)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_at_any_byte_with_any_pause_below_the_timer(kind: str) -> None:
    check_cuts(kind, FEW, every=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_at_any_byte(kind: str) -> None:
    check_sequences(kind, FEW, every=False)


@pytest.mark.parametrize("kind", KINDS)
def test_byte_by_byte_with_a_flush_behind_each(kind: str) -> None:
    for line in lines(SEED, 1, kind):
        seen = shown(((TYPED, line.text[at : at + 1]) for at in range(len(line.text))), typed=False)
        assert left(line, seen) == 0, (line, seen)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_values_in_every_way(kind: str) -> None:
    check_cuts(kind, MANY, every=True)
    check_sequences(kind, MANY, every=True)
    for line in lines(SEED, MANY, kind):
        seen = shown(((TYPED, line.text[at : at + 1]) for at in range(len(line.text))), typed=False)
        assert left(line, seen) == 0, (line, seen)


def test_the_page_has_what_terminals_show() -> None:
    """docs/ssh.md is written by `.venv/bin/python -m bench.terminals`."""
    for row in table():
        assert f"{row}\n" in PAGE
