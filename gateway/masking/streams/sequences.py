"""What a terminal doesn't show: escape sequences and control characters, told apart from text as bytes come.

Grammar: ECMA-48 5.4 (CSI), 5.6 (command and character strings), 5.5 and ISO 2022 (ESC with intermediates); where
terminals differ from the letter (BEL ends an OSC; CAN, SUB and ESC break a sequence off; C0 inside of a CSI is
executed and the CSI goes on) as xterm and its state table do, because what a value looks like is what they show. C1
controls count in their UTF-8 form (C2 80 to C2 9F): a lone 80 to 9F is half of some character to a UTF-8 terminal.

Tab, line feed, vertical tab, form feed, carriage return and backspace are text here. What they, or CSI sequences,
make of a screen by moving the cursor back over it isn't followed: that takes a terminal, at 1 MB/s, not a stream.
"""

from __future__ import annotations

import re
from typing import Final

MAX_SEQUENCE: Final = 4096
"""Bytes. xterm's window titles and OSC 8 links stay below; images (sixel, OSC 1337) don't, and are taken for text from
here on, which shows them as before and only costs the search. What is longer doesn't wait for its end, which may never
come."""

MAX_KNOWN: Final = 256
"""Sequences that are remembered, at most `MAX_SEQUENCE` bytes each: programs repeat their colours."""

ZERO_WIDTH: Final = bytes([*range(0x08), *range(0x0E, 0x20), 0x7F])
"""The control characters that move nothing, ESC with them."""

_SPECIAL = bytes(byte in ZERO_WIDTH or byte == 0xC2 for byte in range(256))
"""What a sequence begins with: a control character, or the first byte of one of C1's in UTF-8."""

_STRING: Final = rb"[^%(ends)s\x18\x1a\x1b\xc2]*+(?:\xc2(?!\x9c)[^%(ends)s\x18\x1a\x1b\xc2]*+)*"
_WHOLE: Final = re.compile(
    rb"(?:\x1b\[|\xc2\x9b)(?P<numbers>[\x00-\x17\x19\x1c-\x3f\x7f]*+)(?:[\x40-\x7e]|(?=[\x18\x1a\x1b\x80-\xff]))"
    rb"|(?:\x1b\]|\xc2\x9d)(?:[0-9]{1,4};)?(?P<title>%(title)s)(?:\x07|%(end)s)"
    rb"|(?:\x1b[PX^_]|\xc2[\x90\x98\x9e\x9f])(?P<body>%(body)s)%(end)s"
    rb"|\x1b[\x20-\x2f]++(?:[\x30-\x7e]|(?=[^\x20-\x7e]))"
    rb"|\x1b[\x30-\x4f\x51-\x57\x59\x5a\x5c\x60-\x7e]"
    rb"|\x1b(?=[\x00-\x1f\x7f-\xff])"
    rb"|\xc2[\x80-\x8f\x91-\x97\x99\x9a\x9c]"
    rb"|[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]++"
    % {
        b"title": _STRING % {b"ends": rb"\x07"},
        b"body": _STRING % {b"ends": b""},
        b"end": rb"(?:\xc2\x9c|\x1b\\|(?=[\x18\x1a]|\x1b[^\\]))",
    }
)


class Sequence:
    """One escape sequence, or a run of control characters. Not changed once it is made.

    data        its bytes
    begin, end  where in ``data`` its string or its numbers stand
    holds_text  it has a string, which programs show elsewhere (a title, a link)
    """

    def __init__(self, data: bytes, begin: int = 0, end: int = 0, holds_text: bool = False) -> None:
        self.data = data
        self.begin = begin
        self.end = end
        self.holds_text = holds_text


class Splitter:
    """Splits a terminal's bytes into text and sequences, in any chunks; holds back what isn't whole yet."""

    def __init__(self) -> None:
        self._rest = b""
        self._known: dict[bytes, Sequence] = {}

    def feed(self, data: bytes) -> tuple[bytes, list[tuple[int, Sequence]]]:
        """The text, and the sequences with the offset in that text before which each stands."""
        if not self._rest and data.isascii() and len(data.translate(None, ZERO_WIDTH)) == len(data):
            return data, []
        return self._split(self._rest + data, False)

    def close(self) -> tuple[bytes, list[tuple[int, Sequence]]]:
        """What was held back: no end of it came, so it is text."""
        return self._split(self._rest, True)

    def _split(self, data: bytes, ended: bool) -> tuple[bytes, list[tuple[int, Sequence]]]:
        texts: list[bytes] = []
        sequences: list[tuple[int, Sequence]] = []
        view = data  # a slice of it makes no slice object when compiled
        size = pos = 0  # of the text so far; of the data that was looked at
        search = 0
        self._rest = b""
        while True:
            start = _begin(data, search)
            if start < 0:
                break
            stop = _short_csi(data, start)
            sequence: Sequence | None = None
            if stop > 0:
                raw = view[start:stop]
                sequence = self._known.get(raw)
                if sequence is None:
                    sequence = self._learnt(Sequence(raw, 2, len(raw) - 1))
            else:
                found = _WHOLE.match(data, start, start + MAX_SEQUENCE)
                if found is None:
                    if not ended and len(data) - start < MAX_SEQUENCE:
                        self._rest = data[start:]
                        data = data[:start]
                        break
                    search = start + 1  # too long, or it never ends: text
                    continue
                stop = found.end()
                sequence = self._known.get(found.group())
                if sequence is None:
                    sequence = self._learnt(_sequence(found))
            texts.append(view[pos:start])
            size += start - pos
            pos = search = stop
            sequences.append((size, sequence))
        texts.append(data[pos:])
        return b"".join(texts), sequences

    def _learnt(self, sequence: Sequence) -> Sequence:
        if len(self._known) < MAX_KNOWN:
            self._known[sequence.data] = sequence
        return sequence


def _begin(data: bytes, search: int) -> int:
    """Where the next sequence begins, or could; -1: there is none."""
    view = data
    table = _SPECIAL
    special = table
    end = len(data)
    while search < end:
        if special[view[search]] and (view[search] != 0xC2 or search + 1 == end or 0x80 <= view[search + 1] <= 0x9F):
            return search
        search += 1
    return -1


def _short_csi(data: bytes, start: int) -> int:
    """Where a sequence ends that begins there, if it is one of CSI's with nothing unusual in it; else 0."""
    view = data
    end = min(start + MAX_SEQUENCE, len(data))
    if start + 2 >= end or view[start] != 0x1B or view[start + 1] != 0x5B:
        return 0
    pos = start + 2
    while pos < end and 0x20 <= view[pos] <= 0x3F:
        pos += 1
    return pos + 1 if pos < end and 0x40 <= view[pos] <= 0x7E else 0


def _sequence(found: re.Match[bytes]) -> Sequence:
    group = found.lastgroup
    if group is None:
        return Sequence(found.group())
    begin, end = found.span(group)
    return Sequence(found.group(), begin - found.start(), end - found.start(), group != "numbers")
