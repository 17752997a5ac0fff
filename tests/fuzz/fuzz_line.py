"""Fuzzes the reader of lines that are typed (`gateway.protocols.ssh.line`): `make fuzz`, or this file with a directory.

Nothing raises, memory is bounded, and packets make no difference.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["gateway.protocols.ssh.line"]):
    from gateway.protocols.ssh.line import MAX_LINE, Keys, Shown


def lines(data: bytes, step: int) -> list[tuple[str, bool]]:
    """Every line that the keys end, in packets of ``step`` bytes."""
    keys = Keys()
    keys.brackets = True
    found = []
    for start in range(0, len(data), step):
        piece = data[start : start + step]
        position = 0
        while position < len(piece):
            position = keys.until_enter(piece, position) + 1
            if position <= len(piece):
                found.append((keys.text, keys.known))
                keys.restart()
    return found


def shown(data: bytes, step: int, columns: int) -> Shown:
    screen = Shown(columns)
    screen.begin()
    for start in range(0, len(data), step):
        screen.feed(data[start : start + step], edited=True)
    return screen


def test_one_input(data: bytes) -> None:
    if len(data) < 2:
        return
    step, columns, data = 1 + data[0] % 7, data[1], data[2:]
    whole = lines(data, len(data) + 1)
    assert whole == lines(data, step)
    assert all(len(text) <= MAX_LINE for text, _ in whole)
    one, many = shown(data, len(data) + 1, columns), shown(data, step, columns)
    assert len(one.text) <= MAX_LINE + columns + 255
    if not one.alternate and b"\x1b[?" not in data:
        # While a program has the screen nothing is followed, by whole packets.
        assert (one.text, one.brackets) == (many.text, many.brackets)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
