"""Private keys, by a state machine: they have any length, so no window holds them.

From the line that begins one everything is taken out, up to the line that ends one, also when that never comes. Lines
are those of PEM (RFC 7468, section 2), OpenSSH, PGP (RFC 9580, 6.2) and SSH2 (RFC 4716, 3.1).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway.masking.streams.sequences import Sequence

DETECTOR: Final = "private_key"
"""The detector that this stands in for."""

PLACE: Final = b"\n"
"""Stands for a key in the text that is searched: no value reaches across."""

MAX_LABEL: Final = 40
"""Bytes of a label before PRIVATE KEY; "SSH2 ENCRYPTED " has 15."""

LONGEST: Final = 5 + 1 + 6 + MAX_LABEL + len(b"PRIVATE KEY BLOCK") + 1 + 5
"""Bytes of the longest line that begins or ends a key."""


def _line(word: bytes) -> re.Pattern[bytes]:
    label = rb"%s [A-Z0-9 ]{0,%d}PRIVATE KEY(?: BLOCK)?" % (word, MAX_LABEL)
    return re.compile(rb"-----%s-----|---- %s ----" % (label, label))


def _prefixes(word: bytes) -> re.Pattern[bytes]:
    """What such a line may begin with, at the end of the data."""
    rest = rb"(?: [A-Z0-9 ]{0,%d}-{0,5})?" % (MAX_LABEL + len(b"PRIVATE KEY BLOCK") + 1)
    for letter in reversed(word):
        rest = rb"(?:%c%s)?" % (letter, rest)
    return re.compile(rb"(?:-{1,4}|-----%s|---- %s)\Z" % (rest, rest))


_BEGIN: Final = _line(b"BEGIN")
_END: Final = _line(b"END")
_BEGINNING: Final = _prefixes(b"BEGIN")


class Part(NamedTuple):
    """Text, the sequences in it (each before the byte at its offset), and the offsets where a key was."""

    text: bytes
    sequences: list[tuple[int, Sequence]]
    keys: list[int]


class KeyFilter:
    """Takes private keys out of a text that comes in chunks. Holds back what could begin one, at most `LONGEST`."""

    def __init__(self) -> None:
        self._inside = False
        self._tail = b""
        self._passed = 0  # so many bytes of the tail went out already
        self._waiting: list[tuple[int, Sequence]] = []

    @property
    def pending(self) -> int:
        return len(self._tail) - self._passed

    def feed(self, text: bytes, sequences: list[tuple[int, Sequence]]) -> Part:
        if not self._tail and not self._inside and b"-" not in text:
            return Part(text, sequences, [])
        whole = self._tail + text
        shift = len(self._tail)
        marks = self._waiting + [(offset + shift, sequence) for offset, sequence in sequences]
        out = b""
        placed: list[tuple[int, Sequence]] = []
        keys: list[int] = []
        pos = self._passed
        search = mark = 0
        while True:
            if self._inside:
                end = _END.search(whole, search)
                stop = len(whole) + 1 if end is None else end.end()
                while mark < len(marks) and marks[mark][0] < stop:
                    if not marks[mark][1].holds_text:
                        placed.append((len(out), marks[mark][1]))
                    mark += 1
                if end is None:
                    self._keep(whole[max(search, len(whole) - LONGEST) :], passed=LONGEST)
                    return Part(out, placed, keys)
                self._inside = False
                pos = search = stop
            begin = _BEGIN.search(whole, search)
            if begin is None:
                stop = max(pos, len(whole) - beginning(whole[search:]))
            else:
                stop = max(pos, begin.start())
            while mark < len(marks) and marks[mark][0] <= stop:
                placed.append((len(out) + max(0, marks[mark][0] - pos), marks[mark][1]))
                mark += 1
            out += whole[pos:stop]
            if begin is None:
                held = len(whole) - beginning(whole[search:])
                self._keep(whole[held:], passed=stop - held)
                self._waiting = [(offset - held, sequence) for offset, sequence in marks[mark:]]
                return Part(out, placed, keys)
            keys.append(len(out))
            out += PLACE
            search = begin.end()
            self._inside = True

    def flush(self) -> Part:
        """What is held back, nevertheless; a key that begins there is still seen."""
        part = Part(
            self._tail[self._passed :],
            [(max(0, offset - self._passed), sequence) for offset, sequence in self._waiting],
            [],
        )
        self._passed = len(self._tail)
        self._waiting = []
        return part

    def _keep(self, tail: bytes, *, passed: int) -> None:
        self._tail = tail
        self._passed = min(passed, len(tail))
        self._waiting = []


def beginning(text: bytes) -> int:
    """Bytes at the end of ``text`` that more could make into the beginning of a key."""
    tail = text[-LONGEST:]
    if b"-" not in tail:
        return 0
    found = _BEGINNING.search(tail)
    return 0 if found is None else len(tail) - found.start()
