"""Patterns as trees: what is read of RE2's syntax means what it means to RE2, all else is refused."""

from __future__ import annotations

import pytest
import re2

from gateway.masking.detectors import DETECTORS
from gateway.masking.detectors.contact import numbering_pattern
from gateway.masking.detectors.expression import (
    Boundary,
    Byte,
    Chain,
    Choice,
    Repeated,
    Unknown,
    longest,
    parsed,
    without_bounds,
)
from gateway.masking.detectors.shape import compiled

A, B = Byte(frozenset(b"a")), Byte(frozenset(b"b"))


@pytest.mark.parametrize(
    ("pattern", "tree"),
    [
        (b"a", A),
        (b"ab", Chain((A, B))),
        (b"", Chain(())),
        (b"a|b|", Choice((A, B, Chain(())))),
        (b"(?:a|b)b", Chain((Choice((A, B)), B))),
        (b"a?b*a+", Chain((Repeated(A, 0, 1), Repeated(B, 0, None), Repeated(A, 1, None)))),
        (b"a{3}b{2,}a{0,4}", Chain((Repeated(A, 3, 3), Repeated(B, 2, None), Repeated(A, 0, 4)))),
        (rb"\ba\.", Chain((Boundary(), A, Byte(frozenset(b"."))))),
        (b"[a-c.x-]", Byte(frozenset(b"abc.x-"))),
        (rb"[\x80-\xff\d\]]", Byte(frozenset(range(0x80, 0x100)) | frozenset(b"0123456789]"))),
        (b"[^b-z]", Byte(frozenset(range(256)) - frozenset(range(ord("b"), ord("z") + 1)))),
        (b"(?i)a(?:b)", Chain((Byte(frozenset(b"aA")), Byte(frozenset(b"bB"))))),
        (b"(?i:a)b", Chain((Byte(frozenset(b"aA")), B))),
        (b"(?:(?i)a|b)b", Chain((Choice((Byte(frozenset(b"aA")), Byte(frozenset(b"bB")))), B))),
    ],
)
def test_trees(pattern: bytes, tree: object) -> None:
    assert parsed(pattern) == tree


@pytest.mark.parametrize(
    "pattern",
    [
        b"a.", b"^a", b"a$", b"(a)", b"(?P<n>a)", b"(?s:a)", b"(?:a", b"a)", b"[a", b"[]a]", b"[[:alpha:]]", b"*",
        b"a**", b"a*?", b"a{,3}", b"a{x}", b"a{3", b"{3}", rb"\w", rb"\B", rb"\pL", rb"\x1", rb"\x{41}", b"\\",
        rb"[\w]", rb"[\d-z]",
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(pattern: bytes) -> None:
    with pytest.raises(Unknown):
        parsed(pattern)


def test_both_cases_are_those_of_re2() -> None:
    for byte in range(256):
        tree = parsed(rb"(?i)\x%02x" % byte)
        assert isinstance(tree, Byte)
        pattern = compiled(rb"(?i)\x%02x" % byte)
        assert tree.among == {other for other in range(256) if pattern.fullmatch(bytes([other]))}


def test_what_is_inverted_is_inverted_behind_both_cases() -> None:
    tree = parsed(b"(?i)[^k-m]")
    pattern = compiled(b"(?i)[^k-m]")
    assert isinstance(tree, Byte)
    assert tree.among == {byte for byte in range(256) if pattern.fullmatch(bytes([byte]))}


@pytest.mark.parametrize(
    ("pattern", "size"),
    [(b"a", 1), (rb"\ba{2,5}b?", 6), (b"a|bcd|", 3), (b"(?:a|bc){3}", 6), (b"ab*", None), (b"a|b+", None), (b"", 0)],
)
def test_longest(pattern: bytes, size: int | None) -> None:
    assert longest(parsed(pattern)) == size


def test_without_bounds_few_are_counted() -> None:
    assert without_bounds(parsed(b"a{2,6}(?:b{0,63}|a{40})")) == parsed(b"a{2,6}(?:b*|a{40})")


def test_phone_numbers_are_known() -> None:
    """Not a must, but without an automaton they take three times as long."""
    pattern = numbering_pattern()
    assert longest(parsed(pattern)) is not None


def test_every_shipped_pattern_is_known() -> None:
    for info in DETECTORS.values():
        for shape in info.shapes:
            size = longest(parsed(shape.pattern))
            parsed(shape.anchor)
            assert re2.compile(shape.pattern, options=re2.Options())
            assert size is None or size > 0
