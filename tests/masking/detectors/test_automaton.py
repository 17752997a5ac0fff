"""Automata, uncompiled and compiled, find what RE2 finds."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st
from support.detectable import corpus

from gateway.masking.detectors import DETECTORS
from gateway.masking.detectors.expression import parsed, without_bounds
from gateway.masking.detectors.shape import Span, compiled

DOCUMENTS = [document.text for document in corpus(7, 300)]
SHAPES = [shape for info in DETECTORS.values() for shape in info.shapes]
CONTEXTS = [info.context for info in DETECTORS.values() if info.context]


def pieces(bytes_: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Patterns over a few bytes, some of words and some not."""
    return st.recursive(
        bytes_,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(b"".join),
            st.tuples(inner, inner).map(lambda both: b"(?:%s|%s)" % both),
            st.tuples(inner, st.sampled_from([b"?", b"*", b"+", b"{2}", b"{1,3}", b"{0,6}", b"{2,}"])).map(
                lambda both: b"(?:%s)%s" % both
            ),
        ),
        max_leaves=8,
    )


PATTERNS = pieces(st.sampled_from([b"a", b"b", b"-", b"[ab]", b"[^a]", rb"\b", rb"\xe9", b"1", b"(?i:B)", b"a|"]))
TEXTS = st.text("abB-1\xe9 ", max_size=24).map(lambda text: text.encode("latin-1"))


def matches(pattern: re2._Regexp, text: bytes, begin: int, stop: int) -> list[Span]:
    return [match.span() for match in pattern.finditer(text, begin, stop)]


class Reading:
    """As `search` uses them: where matches could begin, then how far each reaches."""

    def __init__(self, automaton: ModuleType, pattern: bytes) -> None:
        tree = parsed(pattern)
        self._starts = automaton.Automaton(without_bounds(tree), backward=True, anywhere=True)
        self._ends = automaton.Automaton(tree)

    def matches(self, text: bytes, begin: int, stop: int) -> list[Span]:
        marks = self._starts.starts(text, begin, stop, stop)
        found = []
        pos = begin
        while (at := marks.find(1, pos - begin)) >= 0:
            pos = begin + at
            end = self._ends.longest(text, pos, stop)
            assert end >= -1
            if end >= 0:
                found.append((pos, end))
            pos = max(pos + 1, end)
        return found


@settings(max_examples=300, deadline=None)
@given(pattern=PATTERNS, text=TEXTS, cut=st.tuples(st.integers(0, 24), st.integers(0, 24)))
def test_any_pattern(automaton: ModuleType, pattern: bytes, text: bytes, cut: tuple[int, int]) -> None:
    """In any part of any text: what stands around it counts for boundaries of words."""
    begin, stop = sorted(min(place, len(text)) for place in cut)
    tree = parsed(pattern)
    ours = automaton.Automaton(tree)
    backward = automaton.Automaton(tree, backward=True)
    anywhere = automaton.Automaton(tree, anywhere=True)
    starts = automaton.Automaton(tree, backward=True, anywhere=True).starts(text, begin, stop, stop)
    theirs = compiled(pattern)
    for pos in range(begin, stop):
        match = theirs.match(text, pos, stop)
        assert ours.longest(text, pos, stop) == (-1 if match is None else match.end()), pos
        assert (bool(starts) and starts[pos - begin] == 1) == (match is not None), pos
    ends = [
        end for end in range(begin, stop + 1) if any(theirs.fullmatch(text, pos, end) for pos in range(begin, end + 1))
    ]
    assert anywhere.first(text, begin, stop) == (ends[0] if ends else -1)
    assert anywhere.present(text, begin, stop) == bool(ends)
    part = text[begin:stop]
    assert (backward.back(part) >= 0) == (compiled(b"(?:%s)$" % pattern).search(part) is not None)


@settings(max_examples=200, deadline=None)
@given(patterns=st.lists(PATTERNS, min_size=1, max_size=5), text=TEXTS)
def test_several_are_told_apart(automaton: ModuleType, patterns: list[bytes], text: bytes) -> None:
    several = automaton.Automaton(*map(parsed, patterns), anywhere=True)
    expected = sum(1 << at for at, pattern in enumerate(patterns) if compiled(pattern).search(text))
    assert several.present(text, 0, len(text)) == expected


@settings(max_examples=150, deadline=None)
@given(
    patterns=st.lists(PATTERNS, min_size=1, max_size=3),
    most=TEXTS,
    others=st.dictionaries(st.integers(0, 79), TEXTS, max_size=3),
    ends=st.tuples(TEXTS, TEXTS),
)
def test_texts_that_are_read_in_turns(
    automaton: ModuleType, patterns: list[bytes], most: bytes, others: dict[int, bytes], ends: tuple[bytes, bytes]
) -> None:
    """Many texts at once are cut where separators stand, unless a pattern reads those."""
    before, behind = ends
    text = before + b"\0".join(others.get(at, most + b"----") for at in range(80)) + behind
    begin, stop = len(before), len(text) - len(behind)
    several = automaton.Automaton(*map(parsed, patterns), anywhere=True)
    expected = sum(1 << at for at, pattern in enumerate(patterns) if compiled(pattern).search(text, begin, stop))
    first, theirs = parsed(patterns[0]), compiled(patterns[0])
    backward = automaton.Automaton(first, backward=True, anywhere=True)
    for end in (stop, stop - len(behind)):
        matching = [theirs.match(text, pos, stop) is not None for pos in range(begin, end)]
        for _ in range(2):  # the table is made, then read
            assert several.present(text, begin, stop) == expected
            starts = backward.starts(text, begin, end, stop)
            assert [bool(mark) for mark in starts or bytes(end - begin)] == matching


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.pattern[:20].decode())
def test_shipped_patterns_on_the_corpus(compiled_automaton: ModuleType, shape: object) -> None:
    pattern = shape.pattern  # type: ignore[attr-defined]
    theirs, ours = compiled(pattern), Reading(compiled_automaton, pattern)
    for text in DOCUMENTS:
        assert ours.matches(text, 0, len(text)) == matches(theirs, text, 0, len(text))
        begin, stop = len(text) // 3, 2 * len(text) // 3
        assert ours.matches(text, begin, stop) == matches(theirs, text, begin, stop)


def test_shipped_patterns_at_once(automaton: ModuleType) -> None:
    patterns = [shape.anchor or shape.pattern for shape in SHAPES]
    several = automaton.Automaton(*map(parsed, patterns), anywhere=True, most_states=10_000, most_moves=100_000)
    searches = [compiled(pattern) for pattern in patterns]
    for text in DOCUMENTS[:100]:
        expected = sum(1 << at for at, search in enumerate(searches) if search.search(text))
        assert several.present(text, 0, len(text)) == expected
        assert (several.first(text, 0, len(text)) >= 0) == bool(expected)


def test_without_bounds_no_start_is_missed(compiled_automaton: ModuleType) -> None:
    for shape in SHAPES:
        tree = parsed(shape.pattern)
        exact = compiled_automaton.Automaton(tree, backward=True, anywhere=True, most_states=9000, most_moves=90_000)
        loose = compiled_automaton.Automaton(without_bounds(tree), backward=True, anywhere=True)
        for text in DOCUMENTS[:50]:
            marks = loose.starts(text, 0, len(text), len(text)) or bytes(len(text))
            for at, mark in enumerate(exact.starts(text, 0, len(text), len(text))):
                assert mark <= marks[at]


class TestRoom:
    """What the table has no room for isn't known; what it had room for before still is."""

    @pytest.mark.parametrize("limits", [{"most_states": 6}, {"most_moves": 12}])
    def test_it_is_said(self, automaton: ModuleType, limits: dict[str, int]) -> None:
        forward = automaton.Automaton(parsed(b"a{20}b"), **limits)
        assert forward.longest(b"aac", 0, 3) == automaton.NOWHERE
        assert forward.longest(b"a" * 20 + b"b", 0, 21) == automaton.UNKNOWN
        assert forward.longest(b"aac", 0, 3) == automaton.NOWHERE
        anywhere = automaton.Automaton(parsed(b"a{20}b"), parsed(b"c"), anywhere=True, **limits)
        assert anywhere.first(b"aac", 0, 3) == 3
        assert anywhere.present(b"aac", 0, 3) == 2
        for ask in (anywhere.first, anywhere.present):
            assert ask(b"a" * 20 + b"b", 0, 21) == automaton.UNKNOWN
        backward = automaton.Automaton(parsed(b"ba{20}"), backward=True, **limits)
        assert backward.back(b"b" + b"a" * 20) == automaton.UNKNOWN
        starts = automaton.Automaton(parsed(b"ba{20}"), backward=True, anywhere=True, **limits)
        assert starts.starts(b"b" + b"a" * 20, 0, 21, 21) is None

    def test_the_table_grows(self, automaton: ModuleType) -> None:
        forward = automaton.Automaton(parsed(b"[ab]{300}c|a{400}"))
        text = b"ab" * 150 + b"c"
        for _ in range(2):
            assert forward.longest(text, 0, len(text)) == len(text)
            assert forward.longest(b"a" * 500, 0, 500) == 400

    def test_patterns_have_a_limit(self, automaton: ModuleType) -> None:
        most = automaton.MOST_PATTERNS
        several = automaton.Automaton(*[parsed(rb"\x%02x" % (at + 33)) for at in range(most)], anywhere=True)
        assert several.present(bytes(range(33, 33 + most)), 0, most) == 2**most - 1
        with pytest.raises(ValueError, match="patterns"):
            automaton.Automaton(*[parsed(b"a")] * (most + 1))


def test_the_compiled_one_is(compiled_automaton: ModuleType, source_automaton: ModuleType) -> None:
    assert compiled_automaton.COMPILED
    assert not source_automaton.COMPILED


@pytest.mark.parametrize("_turn", range(5))
def test_threads_share_one(automaton: ModuleType, _turn: int) -> None:
    """Each of them asks for entries that the others are about to make."""
    pattern = rb"(?:[a-f]{1,9}-){3}[0-9]{2,7}\b"
    expected = re.compile(pattern)
    texts = [b"%s-%s-abc-%d" % (b"abcdef"[: at % 6 + 1], b"fed"[: at % 3 + 1], at**3) for at in range(300)]
    ends = automaton.Automaton(parsed(pattern))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: ends.longest(text, 0, len(text)), texts * 2))
    for text, end in zip(texts * 2, found, strict=True):
        match = expected.match(text)
        assert end == (match.end() if match else -1)
