"""Lookalikes: characters that a reader takes for the ASCII ones that patterns are about.

Digits of other scripts and full-width forms are read as their ASCII counterparts, all dashes as ``-``, all spaces as a
space, and what has no width is left out: a number in full-width digits with en dashes is as good as ``4111-1111``.
"""

from __future__ import annotations

import bisect
import functools
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import re2

from gateway.masking.detectors.shape import CONTEXT, Span, options

_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
"""Soft hyphen, zero width space, non-joiner and joiner, word joiner, byte order mark."""

_ALSO_DASHES = "\u2212\u00b7\u2022"
"""Minus sign; middle dot and bullet, which stand between groups of numbers, too."""


_LAST = 0x1FBFF
"""Behind it are ideographs and what nobody sees; going through all of Unicode takes eight times as long."""


@functools.cache
def _table() -> dict[bytes, bytes]:
    """UTF-8 of a character -> what it is read as, by Unicode's categories Nd, Pd, Zs and its full-width forms."""
    table = {}
    for code in range(0x80, _LAST + 1):
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


AROUND = 512
"""Bytes that are read around lookalikes, beside `CONTEXT`: no value that people write is longer. What machines make is
(tokens, keys), but nobody retypes it in another script."""


def prepare() -> None:
    """Make what `fold` needs, some 50 ms, so that it isn't the first text that waits for it."""
    _lookalike()


@dataclass(frozen=True, slots=True)
class Folded:
    """A piece of the original as it is read.

    ``text`` consists of runs that begin at ``_starts``, stand at ``_originals`` in the original, and whose bytes are
    ``_widths`` bytes there: 1 where nothing was folded, else one lookalike's. What begins before ``_low`` or ends
    behind ``_high``, in the original, could be a part of something that the piece doesn't have.
    """

    text: bytes
    _starts: tuple[int, ...]
    _originals: tuple[int, ...]
    _widths: tuple[int, ...]
    _low: int
    _high: int

    def span(self, start: int, end: int) -> Span | None:
        """Where ``text[start:end]``, not empty, stands in the original; None where it is too near to the border."""
        first = bisect.bisect_right(self._starts, start) - 1
        last = bisect.bisect_right(self._starts, end - 1) - 1
        begin = self._originals[first] + start - self._starts[first]
        stop = self._originals[last] + end - 1 - self._starts[last] + self._widths[last]
        return (begin, stop) if self._low <= begin and stop <= self._high else None


def fold(data: bytes) -> Iterator[Folded]:
    """The pieces of ``data`` that have lookalikes, as they are read."""
    if data.isascii():
        return
    cluster: list[Span] = []
    for match in _lookalike().finditer(data):
        span = match.span()
        if cluster and span[0] - cluster[-1][1] > 2 * (AROUND + CONTEXT):
            yield _folded(data, cluster)
            cluster = []
        cluster.append(span)
    if cluster:
        yield _folded(data, cluster)


def _folded(data: bytes, lookalikes: Sequence[Span]) -> Folded:
    table = _table()
    low, high = lookalikes[0][0] - AROUND, lookalikes[-1][1] + AROUND
    position, stop = max(low - CONTEXT, 0), min(high + CONTEXT, len(data))
    pieces: list[bytes] = []
    runs: list[tuple[int, int, int]] = []
    length = 0
    for start, end in (*lookalikes, (stop, stop)):
        if start > position:
            pieces.append(data[position:start])
            runs.append((length, position, 1))
            length += start - position
        read = table.get(data[start:end])
        if read:
            pieces.append(read)
            runs.append((length, start, end - start))
            length += 1
        position = end
    starts, originals, widths = zip(*runs, strict=True) if runs else ((), (), ())
    return Folded(b"".join(pieces), starts, originals, widths, low, high)
