"""Finds the values of a set of detectors in bytes, in linear time.

RE2 walks through text at 0.7 GB/s whatever the pattern, but each call of it costs a microsecond, and one walk for each
of thirty shapes would be thirty times as slow. So: one pattern, the *gate*, leaps from one place to the next where
anything could be. Around such a place a block of text is taken, one set of patterns says which shapes can be in it, and
only those are searched for there. Text without values costs the gate's walk alone, and a text full of candidates a walk
for each shape that is there.

RE2 is the gate for what is large. All else automata of our own (`automaton`) answer, where they are compiled and know:
at 0.5 GB/s, but without a call for each candidate. What they don't know, and all of the operator's own detectors, RE2
is asked, to the same effect.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeAlias

import re2

from gateway.masking.detectors.automaton import COMPILED, MOST_PATTERNS, NOWHERE, UNKNOWN, Automaton
from gateway.masking.detectors.expression import longest, parsed, without_bounds
from gateway.masking.detectors.folding import fold, prepare
from gateway.masking.detectors.found import Found
from gateway.masking.detectors.patterns import Within
from gateway.masking.detectors.shape import (
    BEHIND,
    CONTEXT,
    SEPARATOR,
    DetectorInfo,
    Judge,
    Match,
    Shape,
    compiled,
    options,
)

SMALLEST_BLOCK = 512
LARGEST_BLOCK = 4096
"""Bytes that are looked through from a place that the gate found. The smallest where such places are rare, twice as
much from one block to the next as long as something is there, because each block costs some calls. Measured: with 256
rows and logs full of candidates take 5 % longer, with 2048 prose with a value here and there half as long again."""

LARGEST_GATHERED = 16 * 1024
"""Bytes of many texts at once that the automaton of all anchors is the gate for: it reads them in turns."""

GLANCE = 64
"""Bytes of these that are looked at first: where each row has a value the rest needn't be."""

MOST_STATES, MOST_MOVES = 8192, 131_072
"""Of the automaton of all anchors. Twelve thousand texts full of values and near misses come to 5,300 and 67,000:
1.7 MB, 0.2 s."""

WORD = 448
"""Bytes. Shipped shapes that are longer (a JSON web token, a Google token) have no space in them."""

MOST_HINTS, LONGEST_HINT = 1024, 64
"""Names of columns that are remembered with what they say; PostgreSQL's have up to 63 bytes."""

Value: TypeAlias = tuple[int, int, str]
"""A `Match` without its names."""


class Finder:
    """A set of detectors, compiled once. Immutable and thread-safe; `finder` makes it.

    names    of the detectors, as `Found` numbers them
    longest  bytes of the longest value that any of them finds, with what must be seen around it: what a stream has to
             hold back. A private key is the exception: it is as long as its block
    longest_phrase  the same, without what is one word, whatever its length (a JSON web token has up to 8 KiB)
    """

    def __init__(self, shipped: Collection[DetectorInfo], own: Collection[DetectorInfo]) -> None:
        prepare()
        for info in shipped:
            if info.prepare is not None:
                info.prepare()
        parts = ((shipped, False), (own, True))
        self.names = tuple(info.name for infos in (shipped, own) for info in infos)
        firsts = (0, len(shipped))
        self._searches = tuple(
            Search(infos, utf8=utf8, first=first) for (infos, utf8), first in zip(parts, firsts, strict=True) if infos
        )
        self.longest = max((search.longest for search in self._searches), default=0)
        self.longest_phrase = max((search.longest_phrase for search in self._searches), default=0)

    def find(self, data: bytes, *, hint: str = "") -> list[Match]:
        """Every value in ``data``, by start; values of several detectors may overlap.

        ``hint`` is a column's name: where it names what a detector finds, no context word is needed. No match goes
        across `SEPARATOR`, so that cells can be joined with it.
        """
        names = self.names
        return [Match(start, end, names[number]) for start, end, number in self.found(data, hint).values()]

    def found(self, data: bytes, hint: str = "") -> Found:
        """The same as numbers, in no order."""
        found = Found()
        for search in self._searches:
            search.search(data, hint, found)
        if not data.isascii():
            for folded in fold(data):
                there = Found()
                for search in self._searches:
                    search.search(folded.text, hint, there)
                for start, end, number in there.values():
                    span = folded.span(start, end)
                    if span is not None:
                        found.add(span[0], span[1], number)
        return found

    def may_match(self, data: bytes) -> bool:
        """A quick look; False is certain."""
        for search in self._searches:
            if search.may_match(data):
                return True
        if not data.isascii():
            for folded in fold(data):
                for search in self._searches:
                    if search.may_match(folded.text):
                        return True
        return False


class Search:
    """Some detectors, compiled. Threads can share it: what RE2 and the automata remember has locks.

    utf8   the patterns are UTF-8 (own detectors), else bytes
    first  the number of the first one in `Found`
    """

    def __init__(self, detectors: Collection[DetectorInfo], *, utf8: bool = False, first: int = 0) -> None:
        self._first = first
        self._names = tuple(info.name for info in detectors)
        contexts = {info.name: _bounded(info.context, utf8=utf8) for info in detectors if info.context}
        self._shapes = tuple(
            _Searched(info, shape, contexts.get(info.name), number, utf8=utf8)
            for number, info in enumerate(detectors, first)
            for shape in info.shapes
        )
        self._reach = max((searched.reach for searched in self._shapes), default=0)
        self.longest = max((searched.held for searched in self._shapes), default=0)
        phrases = (searched.held for searched in self._shapes if utf8 or searched.held <= WORD)
        self.longest_phrase = max(phrases, default=0)
        anchors = b"|".join(b"(?:%s)" % searched.anchor for searched in self._shapes)
        self._behind = max(
            (2 * BEHIND if shape.anchor else shape.longest for info in detectors for shape in info.shapes), default=0
        )
        self._gate = re2.compile(anchors, options=options(utf8=utf8))
        self._present = _set((searched.anchor for searched in self._shapes), utf8=utf8)
        self._named = tuple(contexts)
        # Not in the set of anchors: a set's automaton has a state for each combination that was seen so far.
        self._bounded = tuple(contexts.values())
        self._hints: dict[str, frozenset[str]] = {}
        self._anchors: Automaton | None = None
        self._words: Automaton | None = None
        if COMPILED and not utf8 and len(self._shapes) <= MOST_PATTERNS:
            anchored = [parsed(searched.anchor) for searched in self._shapes]
            self._anchors = Automaton(*anchored, anywhere=True, most_states=MOST_STATES, most_moves=MOST_MOVES)
            words = [parsed(b"(?i:%s)" % _spaced(info.context)) for info in detectors if info.context]
            self._words = Automaton(*words, anywhere=True)
        self._contexts = _set((b"(?i:%s)" % _spaced(info.context) for info in detectors if info.context), utf8=utf8)

    def may_match(self, data: bytes) -> bool:
        """Whether the gate finds anything; False is certain."""
        size = len(data)
        if self._anchors is not None and size <= LARGEST_GATHERED:
            end = self._anchors.first(data, 0, min(size, GLANCE))
            if end >= 0:
                return True
            if size > GLANCE and SEPARATOR in data:
                present = self._anchors.present(data, 0, size)
                if present != UNKNOWN:
                    return present != 0
            elif size <= LARGEST_BLOCK:
                end = self._anchors.first(data, 0, size)
                if end != UNKNOWN:
                    return end != NOWHERE
        return self._gate.search(data) is not None

    def find(self, data: bytes, hint: str) -> list[Value]:
        """All matches by start, each once."""
        found = Found()
        self.search(data, hint, found)
        return [(start, end, self._names[number - self._first]) for start, end, number in found.values()]

    def search(self, data: bytes, hint: str, found: Found) -> None:
        """Adds all matches, in no order."""
        shapes = self._shapes
        resume = [0] * len(shapes)
        size = len(data)
        position = 0
        block = SMALLEST_BLOCK
        leaps = True
        hinted: frozenset[str] | None = None
        while position < size:
            begin = position
            if leaps and size - position > SMALLEST_BLOCK:
                begin = self._next(data, position)
                if begin < 0:
                    break
            end = min(begin + block, size)
            low, high = max(begin - CONTEXT, 0), min(end + self._reach, size)
            present = self._shapes_in(data, low, high)
            near: frozenset[str] | None = None
            for index in present:
                searched = shapes[index]
                accepted = not searched.near
                if not accepted:
                    if hinted is None:
                        hinted = self._hinted(hint)
                    accepted = searched.name in hinted
                    if not accepted:
                        if near is None:
                            near = self._near(data, low, high)
                        if searched.name not in near:
                            continue
                resume[index] = searched.search(data, max(begin, resume[index]), end, accepted, found)
            position = end
            leaps = not present
            block = SMALLEST_BLOCK if leaps else min(2 * block, LARGEST_BLOCK)

    def _next(self, data: bytes, position: int) -> int:
        """Where to look from ``position`` on: nothing begins before; -1: nothing begins any more."""
        if self._anchors is not None and len(data) - position <= LARGEST_BLOCK:
            end = self._anchors.first(data, position, len(data))
            if end != UNKNOWN:
                return -1 if end == NOWHERE else max(position, end - self._behind)
        hit = self._gate.search(data, position)
        return -1 if hit is None else max(position, hit.span()[0] - BEHIND)

    def _shapes_in(self, data: bytes, low: int, high: int) -> list[int]:
        """Those whose anchors are in ``data[low:high]``."""
        if self._anchors is not None:
            present = self._anchors.present(data, low, high)
            if present != UNKNOWN:
                return _numbers(present)
        return self._present.Match(data[low:high]) or []

    def _near(self, data: bytes, low: int, high: int) -> frozenset[str]:
        """Detectors that have a context word in ``data[low:high]``."""
        if self._words is not None:
            present = self._words.present(data, low, high)
            if present != UNKNOWN:
                return frozenset([self._named[index] for index in _numbers(present)])
        return frozenset([self._named[index] for index in self._contexts.Match(data[low:high]) or ()])

    def _hinted(self, hint: str) -> frozenset[str]:
        """Detectors whose values a column of this name holds."""
        if not hint:
            return frozenset()
        known = self._hints.get(hint)
        if known is None:
            words = _words(hint)
            named = zip(self._named, self._bounded, strict=True)
            known = frozenset(name for name, context in named if context.matches(words, 0, len(words)))
            if len(self._hints) < MOST_HINTS and len(hint) <= LONGEST_HINT:
                self._hints[hint] = known
        return known


def _numbers(bits: int) -> list[int]:
    """Of the bits that are set."""
    numbers = []
    number = 0
    while bits:
        if bits & 1:
            numbers.append(number)
        bits >>= 1
        number += 1
    return numbers


def _set(patterns: Iterable[bytes], *, utf8: bool) -> re2.Set:
    made = re2.Set.SearchSet(options(utf8=utf8))
    for pattern in patterns:
        made.Add(pattern)
    made.Compile()
    return made


class _Searched:
    """One shape of one detector, compiled. ``number``: the detector's, in `Found`."""

    def __init__(self, info: DetectorInfo, shape: Shape, context: Within | None, number: int, *, utf8: bool) -> None:
        self.name = info.name
        self._number = number
        self.near = shape.near
        self.anchor = shape.anchor or shape.pattern
        self.reach = CONTEXT + (2 * BEHIND if shape.anchor else shape.longest)
        self._room = shape.longest + 1
        self.held = shape.longest + (2 * CONTEXT if shape.near else 1)
        self._judge = shape.check if isinstance(shape.check, Judge) else Judge(shape.check)
        self._retry = shape.retry
        self._pattern = compiled(shape.pattern, utf8=utf8)
        self._context = context
        self._starts: Automaton | None = None
        self._ends: Automaton | None = None
        self._most = self._room
        if COMPILED and not utf8:
            tree = parsed(shape.pattern)
            self._most = min(self._room, longest(tree) or self._room)
            self._starts = Automaton(without_bounds(tree), backward=True, anywhere=True)
            self._ends = Automaton(tree)

    def search(self, data: bytes, begin: int, end: int, accepted: bool, found: Found) -> int:
        """Adds the matches that begin in ``data[begin:end]``; returns where the search for more of them goes on.

        ``accepted``: no context word is needed.
        """
        if self._starts is not None and self._ends is not None:
            begin = self._read(self._starts, self._ends, data, begin, end, accepted, found)
        while begin < end:
            for match in self._pattern.finditer(data, begin, end + self._room):
                start, stop = match.span()
                if start >= end:
                    return max(begin, end)
                begin = self._judged(data, start, stop, accepted, found)
                if begin != stop:
                    break  # the iterator would go on from stop
            else:
                return max(begin, end)
        return begin

    def _read(
        self, starts: Automaton, ends: Automaton, data: bytes, begin: int, end: int, accepted: bool, found: Found
    ) -> int:
        """The same by automata: as far as they know."""
        if begin >= end:
            return begin
        most = min(end + self._most, len(data))
        marks = starts.starts(data, begin, end, most)
        if marks is None:
            return begin
        if not marks:
            return end
        mark = marks
        first = begin
        while begin < end:
            if not mark[begin - first]:
                begin += 1
                continue
            stop = ends.longest(data, begin, most)
            if stop == UNKNOWN:
                break
            begin = begin + 1 if stop == NOWHERE else self._judged(data, begin, stop, accepted, found)
        return begin

    def _judged(self, data: bytes, start: int, stop: int, accepted: bool, found: Found) -> int:
        """Adds the value that a match is, if it is one; returns where the next one could begin."""
        found.start, found.end = start, stop
        if not self._judge.holds(data, found):
            return start + 1 if self._retry else stop
        start, stop = found.start, found.end
        if accepted or self._is_near(data, start, stop):
            found.add(start, stop, self._number)
        return stop

    def _is_near(self, data: bytes, start: int, end: int) -> bool:
        """Whether a context word stands near, on this side of any `SEPARATOR`."""
        low = max(start - self.near, 0)
        low = data.rfind(SEPARATOR, low, start) + 1 or low
        context = self._context
        assert context is not None
        if context.matches(data, low, start):
            return True
        high = min(end + self.near // 2, len(data))
        stop = data.find(SEPARATOR, end, high)
        return context.matches(data, end, high if stop < 0 else stop)


def _bounded(context: bytes, *, utf8: bool) -> Within:
    """Context words that stand for themselves."""
    return Within(rb"(?i)(?:\b|_)(?:%s)(?:\b|_)" % _spaced(context), utf8=utf8)


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
