"""Fuzzes what a recording may draw: `make fuzz`, or this file with a corpus directory.

The first byte says how what follows is cut. However it is cut, the same comes out, and nothing but what the grammar of
tests/recording/test_terminal.py has; what came out comes out again as it is; and nothing is held that has no end.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["gateway.recording.terminal"]):
    from gateway.recording.terminal import MAX_SEQUENCE, TerminalFilter, drawn_text

from recording.test_terminal import DRAWS


def one_input(data: bytes) -> None:
    if not data:
        return
    length = data[0] % 16 + 1
    text = data[1:].decode("utf-8", "replace")
    whole = TerminalFilter().feed(text)
    assert DRAWS.fullmatch(whole)
    assert TerminalFilter().feed(whole) == whole
    pieces = TerminalFilter()
    got = ""
    for start in range(0, len(text), length):
        piece = pieces.feed(text[start : start + length])
        assert DRAWS.fullmatch(piece)
        assert len(pieces._sequence) <= MAX_SEQUENCE
        got += piece
    assert got == whole
    assert drawn_text(whole).isprintable() or not drawn_text(whole).isascii()
    narrow = TerminalFilter((80, 24))
    assert DRAWS.fullmatch(narrow.feed(text) + narrow.resized((length, length)) + narrow.restored())


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
