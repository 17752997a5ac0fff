# cython: annotation_typing=False, boundscheck=False, wraparound=False
"""What a detector is made of: shapes of text, each with a pattern and a check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import re2

from gateway.masking.detectors.found import Found


class Match(NamedTuple):
    """``data[start:end]`` is a value of the kind that ``detector`` names. Offsets in bytes."""

    start: int
    end: int
    detector: str


Span: TypeAlias = tuple[int, int]

Check: TypeAlias = Callable[[bytes, int, int], Span | None]
"""``(data, start, end)`` of what the pattern matched -> the value's own span, or None when it isn't one. Looks at what
stands around, which RE2's patterns can't. Never looks further than `CONTEXT` outside of the match."""


class Judge:
    """A `Check` as `search` asks it. A check that is asked in nearly every row is a class of its own: compiled, no
    object is made for its question or its answer."""

    def __init__(self, check: Check | None = None) -> None:
        self._check = check

    def holds(self, data: bytes, match: Found) -> bool:
        """Whether ``match.start`` to ``match.end`` holds a value: these become the value's own."""
        assert self._check is not None
        span = self._check(data, match.start, match.end)
        if span is None:
            return False
        match.start, match.end = span
        return True


CONTEXT = 64
"""Bytes before a match in which a context word counts, half of it behind: a key, a column's name, the sentence's start.
Presidio takes five words before, which is 30 to 40 bytes."""

BEHIND = 64
"""Bytes of a value in front of its anchor: an email address has its local part there."""

SEPARATOR = b"\0"
"""No match and no context goes across it: no text of PostgreSQL holds it, so that cells can be joined with it."""

MEMORY = 64 << 20
"""Bytes that RE2 may use for the states of one pattern. It takes what it needs, some hundred KB; where the limit is
reached it goes on slowly (with its default of 8 MB the gate of all detectors was emptied now and then)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to write values of a kind.

    pattern  RE2, bytes (Latin-1), never matches `SEPARATOR`
    longest  bytes of the longest match
    check    see `Check` and `Judge`
    anchor   a pattern that is found in each match: it begins at most `BEHIND` bytes after the match does, and is at
             most `BEHIND` long. Few counted repetitions, best none: all anchors become one automaton, and each run of
             characters that is counted multiplies its states. Empty: the pattern itself is as simple
    near     bytes in front of a match, half of it behind, in which one of the detector's context words has to stand,
             unless the column has such a name; 0: none is needed. At most `CONTEXT`
    retry    where the check says no, another value may begin inside of what matched. Only for patterns that begin at a
             boundary of words: else each byte could be read many times
    """

    pattern: bytes
    longest: int
    check: Check | Judge
    anchor: bytes = b""
    near: int = 0
    retry: bool = False


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """One detector. ``context`` are its context words as an alternation in RE2's syntax, any case; a
    space in them stands for a space, a dash, an underscore or nothing. Empty: it needs none.

    prepare  makes what its checks need, so that it isn't the first text that waits for it; None: nothing
    """

    name: str
    shapes: tuple[Shape, ...]
    context: bytes = b""
    prepare: Callable[[], object] | None = None


def compiled(pattern: bytes, *, utf8: bool = False) -> re2._Regexp:
    """A pattern of values. Longest match: an alternative that comes first must leave no rest of a value standing."""
    return re2.compile(pattern, options=options(utf8=utf8, longest=True))


def options(*, utf8: bool = False, longest: bool = False) -> re2.Options:
    """What all patterns share. ``longest`` costs states: it isn't for the gate, which only has to find the place."""
    chosen = re2.Options()
    chosen.encoding = re2.Options.Encoding.UTF8 if utf8 else re2.Options.Encoding.LATIN1
    chosen.longest_match = longest
    chosen.never_capture = True
    chosen.log_errors = False
    chosen.max_mem = MEMORY
    return chosen


ALPHANUMERIC = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
DIGITS = frozenset(b"0123456789")


def any_text(data: bytes, start: int, end: int) -> Span:
    """The check of patterns that need none."""
    return start, end


def digits(data: bytes, start: int, end: int) -> bytes:
    """Those of ``data[start:end]``, without what stands between; `bytes.translate` takes four times as long."""
    table = _CLASSES
    classes = table
    view = data
    out = bytearray(end - start)
    kept = out
    size = 0
    for at in range(start, end):
        if classes[view[at]] == _DIGIT:
            kept[size] = view[at]
            size += 1
    return bytes(kept[:size])


def alone(data: bytes, start: int, end: int) -> bool:
    """Whether a number stands for itself: no letter or digit beside it, and it is no part of a longer dotted or dashed
    one (1.123-45-6789, 123-45-6789-1)."""
    return begins(data, start) and ends(data, end)


def begins(data: bytes, start: int) -> bool:
    """Half of `alone`."""
    return start == 0 or _is_beside(data, start - 1, start - 2)


def ends(data: bytes, end: int) -> bool:
    """The other half."""
    return end >= len(data) or _is_beside(data, end, end + 1)


_OTHER, _LETTER, _DIGIT, _JOINT = range(4)
_CLASSES = bytes(
    _DIGIT if code in DIGITS else _LETTER if code in ALPHANUMERIC else _JOINT if code in b"-." else _OTHER
    for code in range(256)
)


def _is_beside(data: bytes, at: int, beyond: int) -> bool:
    table = _CLASSES
    classes = table
    view = data
    found = classes[view[at]]
    if found != _JOINT:
        return found == _OTHER
    return beyond < 0 or beyond >= len(data) or classes[view[beyond]] != _DIGIT
