"""Lookalikes: characters that a reader takes for the ASCII ones that patterns are about.

Digits of other scripts and full-width forms are read as their ASCII counterparts, all dashes as ``-``, all spaces as a
space, and what has no width is left out: a number in full-width digits with en dashes is as good as ``4111-1111``.
"""

from __future__ import annotations

import bisect
import functools
import sys
import unicodedata
from dataclasses import dataclass

import re2

from gateway.masking.detectors.shape import Span, options

_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
"""Soft hyphen, zero width space, non-joiner and joiner, word joiner, byte order mark."""

_ALSO_DASHES = "\u2212\u00b7\u2022"
"""Minus sign; middle dot and bullet, which stand between groups of numbers, too."""


@functools.cache
def _table() -> dict[bytes, bytes]:
    """UTF-8 of a character -> what it is read as, by Unicode's categories Nd, Pd, Zs and its full-width forms."""
    table = {}
    for code in range(0x80, sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Nd":
            read = str(unicodedata.decimal(character))
        elif 0xFF01 <= code <= 0xFF5E:
            read = chr(code - 0xFF01 + 0x21)
        elif category == "Pd" or character in _ALSO_DASHES:
            read = "-"
        elif category == "Zs":
            read = " "
        elif character in _INVISIBLE:
            read = ""
        else:
            continue
        table[character.encode()] = read.encode("ascii")
    return table


@functools.cache
def _lookalike() -> re2._Regexp:
    """One of them; an alternation, because a class of characters would refuse what stands in broken UTF-8."""
    return re2.compile(b"|".join(map(_escaped, _table())), options=options())


def _escaped(character: bytes) -> bytes:
    return b"".join(b"\\x%02x" % code for code in character)


@dataclass(frozen=True, slots=True)
class Folded:
    """``text`` is how the original is read. It consists of runs that begin at ``_starts``, stand at ``_originals`` in
    the original, and whose bytes are ``_widths`` bytes there: 1 where nothing was folded, else one lookalike's."""

    text: bytes
    _starts: tuple[int, ...]
    _originals: tuple[int, ...]
    _widths: tuple[int, ...]

    def span(self, start: int, end: int) -> Span:
        """Where ``text[start:end]``, not empty, stands in the original."""
        first = bisect.bisect_right(self._starts, start) - 1
        last = bisect.bisect_right(self._starts, end - 1) - 1
        return (
            self._originals[first] + start - self._starts[first],
            self._originals[last] + end - 1 - self._starts[last] + self._widths[last],
        )


def fold(data: bytes) -> Folded | None:
    """``data`` as it is read; None when it has no lookalikes."""
    if data.isascii():
        return None
    table = _table()
    pieces: list[bytes] = []
    runs: list[tuple[int, int, int]] = []
    length = position = 0
    for match in _lookalike().finditer(data):
        start, end = match.span()
        read = table[data[start:end]]
        if start > position:
            pieces.append(data[position:start])
            runs.append((length, position, 1))
            length += start - position
        if read:
            pieces.append(read)
            runs.append((length, start, end - start))
            length += 1
        position = end
    if not position:
        return None
    if position < len(data):
        pieces.append(data[position:])
        runs.append((length, position, 1))
    starts, originals, widths = zip(*runs, strict=True) if runs else ((), (), ())
    return Folded(b"".join(pieces), starts, originals, widths)
