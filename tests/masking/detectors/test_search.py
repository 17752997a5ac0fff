"""Automata and RE2 are two ways to the same finds; so is the one where the other doesn't know."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.detectable import corpus

from gateway.masking.detectors import DETECTORS, automaton, patterns, search
from gateway.masking.detectors.patterns import AtEnd, Whole, Within
from gateway.masking.detectors.search import LARGEST_BLOCK, MOST_HINTS, Search, Value
from gateway.masking.detectors.shape import DetectorInfo, Shape, any_text

DOCUMENTS = [document.text for document in corpus(11, 400)]
FRAGMENTS = [
    b"alice@example.com", b"o'brien+a=b.c@mail.example", b"@", b"%40", b".co", b"git@", b":", b"4111 1111 1111 1111",
    b"4111111111111111", b"4222222222222", b"visa ", b"123-45-6789", b"123456789", b"ssn ", b"-", b"_", b" ", b"\0",
    b"DE89370400440532013000", b"+1 202 555 0143", b"00442071234567", b"tel ", b"(0)", b"10.1.2.3", b"version ", b".",
    b"2001:db8::1", b"::", b"eyJhbGciOiJIUzI1NiJ9.", b"-----BEGIN PRIVATE KEY-----", b"AKIAIOSFODNN7EXAMPLE",
    b"aws secret ", b"A1b/" * 10, b"x" * 300, b"1" * 20, "١٢٣٤".encode(), b"\xff", b"sk_live_abcdefghijklmnop",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=5), max_size=60).map(b"".join)
HINTS = st.sampled_from(["", "ssn", "cardNumber", "phone_no", "note"])
SHIPPED = list(DETECTORS.values())


def made(monkeypatch: pytest.MonkeyPatch, detectors: Collection[DetectorInfo], *, automata: bool) -> Search:
    """Whether compiled or not: with automata, or without."""
    with monkeypatch.context() as patched:
        patched.setattr(search, "COMPILED", automata)
        patched.setattr(patterns, "COMPILED", automata)
        return Search(detectors)


@pytest.fixture(scope="module")
def by_automata() -> Search:
    return made(pytest.MonkeyPatch(), SHIPPED, automata=True)


@pytest.fixture(scope="module")
def by_re2() -> Search:
    return made(pytest.MonkeyPatch(), SHIPPED, automata=False)


@pytest.fixture(scope="module")
def in_little_room() -> Search:
    """Automata that soon know no more."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search, "MOST_STATES", 300)
        patched.setattr(search, "MOST_MOVES", 1000)
        patched.setattr(automaton, "MOST_MOVES", 60)
        return made(patched, SHIPPED, automata=True)


def sure(found: list[Value]) -> set[Value]:
    """Without values inside of another one of the same kind: those depend on where a block begins."""
    return {
        one
        for one in found
        if not any(one != other and other[0] <= one[0] and one[1] <= other[1] and one[2] == other[2] for other in found)
    }


@settings(deadline=None, max_examples=300)
@given(text=TEXTS, hint=HINTS)
def test_the_same_is_found(by_automata: Search, by_re2: Search, in_little_room: Search, text: bytes, hint: str) -> None:
    expected = sure(by_re2.find(text, hint))
    assert sure(by_automata.find(text, hint)) == expected
    assert sure(in_little_room.find(text, hint)) == expected
    if expected:
        assert by_automata.may_match(text)
        assert in_little_room.may_match(text)


def test_the_same_is_found_in_the_corpus(by_automata: Search, by_re2: Search, in_little_room: Search) -> None:
    for text in [*DOCUMENTS, b"\0".join(DOCUMENTS[:100]), b" ".join(DOCUMENTS)]:
        expected = sure(by_re2.find(text, ""))
        assert sure(by_automata.find(text, "")) == expected
        assert sure(in_little_room.find(text, "")) == expected


@pytest.mark.parametrize("info", SHIPPED, ids=lambda info: info.name)
def test_each_detector_alone(monkeypatch: pytest.MonkeyPatch, info: DetectorInfo) -> None:
    """One pattern, or one word, is told apart from none, too."""
    ours, theirs = (made(monkeypatch, [info], automata=automata) for automata in (True, False))
    for text in DOCUMENTS[:150]:
        assert sure(ours.find(text, "")) == sure(theirs.find(text, ""))
        assert sure(ours.find(text, info.name)) == sure(theirs.find(text, info.name))


@pytest.mark.parametrize("automata", [True, False])
@pytest.mark.parametrize("before", [*range(480, 530), *range(LARGEST_BLOCK - 20, LARGEST_BLOCK + 10)])
def test_no_value_is_found_twice(monkeypatch: pytest.MonkeyPatch, automata: bool, before: int) -> None:
    """Whatever follows one that goes on behind the end of its block."""
    email = made(monkeypatch, [DETECTORS["email"]], automata=automata)
    values = [b"a@b.com", b"somebody@example.com", b"bob@example.com"]
    text = values[0] + b" " + b"." * (before - 8) + b" ".join(values[1:])
    assert [text[start:end] for start, end, _ in sorted(email.find(text, ""))] == values


@pytest.mark.parametrize("automata", [True, False])
@pytest.mark.parametrize("before", [600, 1000, 3000, 9000])
def test_a_leap_ends_in_front_of_the_value(monkeypatch: pytest.MonkeyPatch, automata: bool, before: int) -> None:
    email = made(monkeypatch, [DETECTORS["email"]], automata=automata)
    text = b"." * before + b"a" * 64 + b"@example.com" + b"." * 500
    assert email.find(text, "") == [(before, before + 76, "email")]


@pytest.mark.parametrize("automata", [True, False])
def test_names_of_columns_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch, automata: bool) -> None:
    ssn = made(monkeypatch, [DETECTORS["us_ssn"]], automata=automata)
    for number in range(MOST_HINTS + 10):
        assert not ssn.find(b"123456789", f"note{number}")
    for _ in range(2):
        assert ssn.find(b"123456789", "customerSSN")
        assert ssn.find(b"123456789", "x" * 100 + " ssn")


def test_more_detectors_than_an_automaton_tells_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [DetectorInfo(f"d{number}", (Shape(b"%d#" % number, 4, any_text),)) for number in range(80)]
    found = made(monkeypatch, many, automata=True).find(b"7# 79#", "")
    assert {name for _, _, name in found} == {"d7", "d9", "d79"}


@pytest.mark.parametrize("automata", [True, False])
class TestPatterns:
    def test_within(self, monkeypatch: pytest.MonkeyPatch, automata: bool) -> None:
        monkeypatch.setattr(patterns, "COMPILED", automata)
        within = Within(rb"\b(?i:ssn|tin)\b")
        text = b"a ssn, TIN?"
        assert within.matches(text, 0, len(text))
        assert within.matches(text, 2, 5)
        assert not within.matches(text, 2, 4)
        assert not within.matches(b"xssn", 1, 4)
        assert within.matches(text, 6, 11)

    def test_whole(self, monkeypatch: pytest.MonkeyPatch, automata: bool) -> None:
        monkeypatch.setattr(patterns, "COMPILED", automata)
        whole = Whole(rb"1\d{2}|1\d{4}")
        assert [whole.matches(b"1" * size) for size in range(7)] == [False, False, False, True, False, True, False]

    def test_at_the_end(self, monkeypatch: pytest.MonkeyPatch, automata: bool) -> None:
        monkeypatch.setattr(patterns, "COMPILED", automata)
        at_end = AtEnd(rb"\bver(?:sion)? ?|x-v?")
        texts = [b"version ", b"a ver", b"over", b"ver", b"", b"x-v", b"x-vv", b"version  "]
        assert [at_end.matches(text) for text in texts] == [True, True, False, True, False, True, False, False]

    def test_what_has_no_room_is_asked_of_re2(self, monkeypatch: pytest.MonkeyPatch, automata: bool) -> None:
        monkeypatch.setattr(patterns, "COMPILED", automata)
        monkeypatch.setattr(automaton, "MOST_MOVES", 2)
        assert Within(b"abc").matches(b"x abc x", 0, 7)
        assert Whole(b"abcd").matches(b"abcd")
        assert AtEnd(b"abcd").matches(b"x abcd")
        assert not AtEnd(b"abcd").matches(b"x abcx")

    def test_what_only_re2_reads_is_asked_of_re2(self, monkeypatch: pytest.MonkeyPatch, automata: bool) -> None:
        monkeypatch.setattr(patterns, "COMPILED", automata)
        assert Whole(rb"a\w.").matches(b"ab-")
        assert not Whole(rb"a\w.").matches(b"a--")
