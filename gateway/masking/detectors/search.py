"""Finds the values of a set of detectors in bytes, in linear time.

RE2 walks through text at 0.7 GB/s whatever the pattern, but each call of it costs a microsecond, and one walk for each
of thirty shapes would be thirty times as slow. So: one pattern, the *gate*, leaps from one place to the next where
anything could be. Around such a place a block of text is taken, one `re2.Set` says which shapes can be in it, and only
those are searched for there. Text without values costs the gate's walk alone, and a text full of candidates a walk for
each shape that is there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import re2

from gateway.masking.detectors.shape import BEHIND, CONTEXT, SEPARATOR, DetectorInfo, Match, Shape, compiled, options

SMALLEST_BLOCK = 256
LARGEST_BLOCK = 4096
"""Bytes that are looked through from a place that the gate found. The smallest where such places are rare, twice as
much whenever the next one stands close behind, because each block costs some calls. Measured: with 256 alone logs and
rows full of values take two to four times as long, with 4096 alone prose with a value here and there half as
long again."""

WORD = 448
"""Bytes. Shipped shapes that are longer (a JSON web token, a Google token) have no space in them."""


class Search:
    """Some detectors, compiled. Immutable, so that threads can share it (RE2's caches have locks of their own).

    utf8  the patterns are UTF-8 (own detectors), else bytes
    """

    def __init__(self, detectors: Collection[DetectorInfo], *, utf8: bool = False) -> None:
        self._shapes = tuple(_Searched(info, shape, utf8=utf8) for info in detectors for shape in info.shapes)
        self._reach = max((searched.reach for searched in self._shapes), default=0)
        self.longest = max((searched.held for searched in self._shapes), default=0)
        phrases = (searched.held for searched in self._shapes if utf8 or searched.held <= WORD)
        self.longest_phrase = max(phrases, default=0)
        anchors = b"|".join(b"(?:%s)" % searched.anchor for searched in self._shapes)
        self._gate = re2.compile(anchors, options=options(utf8=utf8))
        self._present = _set((searched.anchor for searched in self._shapes), utf8=utf8)
        self._named = tuple(info.name for info in detectors if info.context)
        # Not in the set of anchors: a set's automaton has a state for each combination that was seen so far.
        self._contexts = _set((b"(?i:%s)" % _spaced(info.context) for info in detectors if info.context), utf8=utf8)

    def may_match(self, data: bytes) -> bool:
        """Whether the gate finds anything; False is certain."""
        return self._gate.search(data) is not None

    def find(self, data: bytes, hint: str) -> list[Match]:
        """All matches, in no order."""
        found: list[Match] = []
        shapes = self._shapes
        resume = [0] * len(shapes)
        size = len(data)
        position = 0
        block = SMALLEST_BLOCK
        while position < size:
            begin = position
            if size - position > SMALLEST_BLOCK:
                hit = self._gate.search(data, position)
                if hit is None:
                    break
                begin = max(position, hit.span()[0] - BEHIND)
                block = min(2 * block, LARGEST_BLOCK) if begin - position < block else SMALLEST_BLOCK
            end = min(begin + block, size)
            window = data[max(begin - CONTEXT, 0) : end + self._reach]
            near: frozenset[str] | None = None
            for index in self._present.Match(window) or ():
                searched = shapes[index]
                if searched.near:
                    if near is None:
                        near = self._near(window, hint)
                    if searched.name not in near:
                        continue
                resume[index] = searched.search(data, max(begin, resume[index]), end, hint, found)
            position = end
        return found

    def _near(self, window: bytes, hint: str) -> frozenset[str]:
        """Detectors that have a context word in the block, or in the column's name."""
        near = {self._named[index] for index in self._contexts.Match(window) or ()}
        if hint:
            near |= {self._named[index] for index in self._contexts.Match(_words(hint)) or ()}
        return frozenset(near)


def _set(patterns: Iterable[bytes], *, utf8: bool) -> re2.Set:
    made = re2.Set.SearchSet(options(utf8=utf8))
    for pattern in patterns:
        made.Add(pattern)
    made.Compile()
    return made


class _Searched:
    """One shape of one detector, compiled."""

    __slots__ = ("_check", "_context", "_pattern", "_retry", "_room", "anchor", "held", "name", "near", "reach")

    def __init__(self, info: DetectorInfo, shape: Shape, *, utf8: bool) -> None:
        self.name = info.name
        self.near = shape.near
        self.anchor = shape.anchor or shape.pattern
        self.reach = CONTEXT + (2 * BEHIND if shape.anchor else shape.longest)
        self._room = shape.longest + 1
        self.held = shape.longest + (2 * CONTEXT if shape.near else 1)
        self._check = shape.check
        self._retry = shape.retry
        self._pattern = compiled(shape.pattern, utf8=utf8)
        self._context: re2._Regexp | None = None
        if info.context:
            self._context = compiled(rb"(?i)(?:\b|_)(?:%s)(?:\b|_)" % _spaced(info.context), utf8=utf8)

    def named(self, hint: str) -> bool:
        """Whether a column of this name holds values of the detector."""
        return self._context is not None and self._context.search(_words(hint)) is not None

    def search(self, data: bytes, begin: int, end: int, hint: str, found: list[Match]) -> int:
        """Add the matches that begin in ``data[begin:end]``; returns where the search for more of them goes on."""
        check, retry = self._check, self._retry
        accepted = not self.near or (hint != "" and self.named(hint))
        while begin < end:
            for match in self._pattern.finditer(data, begin, end + self._room):
                start, stop = match.span()
                if start >= end:
                    return end
                span = check(data, start, stop)
                if span is None:
                    begin = start + 1 if retry else stop
                else:
                    begin = span[1]
                    if accepted or self._is_near(data, *span):
                        found.append(Match(*span, self.name))
                if begin != stop:
                    break  # the iterator would go on from stop
            else:
                return max(begin, end)
        return begin

    def _is_near(self, data: bytes, start: int, end: int) -> bool:
        """Whether a context word stands near, on this side of any `SEPARATOR`."""
        assert self._context is not None
        low = max(start - self.near, 0)
        low = data.rfind(SEPARATOR, low, start) + 1 or low
        if self._context.search(data, low, start) is not None:
            return True
        high = min(end + self.near // 2, len(data))
        stop = data.find(SEPARATOR, end, high)
        return self._context.search(data, end, high if stop < 0 else stop) is not None


def _spaced(context: bytes) -> bytes:
    """See `DetectorInfo.context`."""
    return context.replace(b" ", b"[ _-]?")


def _words(name: str) -> bytes:
    """A column's name with its words apart: ``customerSSN``, ``customer_ssn`` -> ``customer SSN``, ``customer ssn``."""
    apart = [
        f" {letter}" if letter.isupper() and at and not name[at - 1].isupper() else letter
        for at, letter in enumerate(name)
    ]
    return "".join(apart).replace("_", " ").encode("utf-8", "replace")
