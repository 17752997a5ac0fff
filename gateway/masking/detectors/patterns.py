"""Patterns that are asked one thing: by an automaton where that is compiled and knows, else by RE2.

An answer of RE2 costs its caller a microsecond or two however short the text is, and checks ask about what is short.
"""

from __future__ import annotations

from gateway.masking.detectors.automaton import COMPILED, NOWHERE, UNKNOWN, Automaton
from gateway.masking.detectors.expression import Unknown, parsed
from gateway.masking.detectors.shape import compiled


def _automaton(pattern: bytes, *, backward: bool = False, anywhere: bool = False) -> Automaton | None:
    """None: RE2 alone knows it; a release of phonenumbers may use more of the syntax than the one before."""
    if not COMPILED:
        return None
    try:
        return Automaton(parsed(pattern), backward=backward, anywhere=anywhere)
    except Unknown:
        return None


class Within:
    """Does it match anywhere in a part of a text? ``utf8``: it is the operator's, and for RE2 alone."""

    def __init__(self, pattern: bytes, *, utf8: bool = False) -> None:
        self._pattern = compiled(pattern, utf8=utf8)
        self._automaton = None if utf8 else _automaton(pattern, anywhere=True)

    def matches(self, data: bytes, low: int, high: int) -> bool:
        """In ``data[low:high]``; boundaries of words are those of ``data``."""
        if self._automaton is not None:
            end = self._automaton.first(data, low, high)
            if end != UNKNOWN:
                return end != NOWHERE
        return self._pattern.search(data, low, high) is not None


class Whole:
    """Does it match all of a text?"""

    def __init__(self, pattern: bytes) -> None:
        self._pattern = compiled(pattern)
        self._automaton = _automaton(pattern)

    def matches(self, data: bytes) -> bool:
        if self._automaton is not None:
            end = self._automaton.longest(data, 0, len(data))
            if end != UNKNOWN:
                return end == len(data)
        return self._pattern.fullmatch(data) is not None


class AtEnd:
    """Does a match end where a text does?"""

    def __init__(self, pattern: bytes) -> None:
        self._pattern = compiled(rb"(?:%s)$" % pattern)
        self._automaton = _automaton(pattern, backward=True)

    def matches(self, data: bytes) -> bool:
        if self._automaton is not None:
            begin = self._automaton.back(data)
            if begin != UNKNOWN:
                return begin != NOWHERE
        return self._pattern.search(data) is not None
