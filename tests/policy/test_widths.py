"""How long matches can be, held against what RE2 matches."""

from __future__ import annotations

import pytest
import re2
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.policy.widths import width


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"\bE\d{6}\b", (7, 7)),
        ("a|bcd|", (0, 3)),
        ("a*", (0, None)),
        ("a+?b", (2, None)),
        ("(?:ab){2,3}?c?", (4, 7)),
        ("a{2,}", (2, None)),
        ("x{,3}", (5, 5)),
        ("(?P<year>[0-9]{4})-(?<month>..)", (7, 13)),
        ("[]a]", (1, 1)),
        ("[^a]", (1, 4)),
        ("[[:alpha:]_]{3}", (3, 3)),
        ("[[:^alpha:]]", (1, 4)),
        (r"[\]\d-]{2}", (2, 2)),
        (r"[\D]", (1, 4)),
        ("é", (1, 4)),
        (r"\pN\p{Greek}\x{1F600}\x41\n", (5, 14)),
        (r"\Qa.b*\E{2}", (5, 5)),
        (r"\\Q\Q[", (3, 3)),
        (r"^\b$", (0, 0)),
        (r"(?:\b)*x", (1, 1)),
        ("(?i)key", (3, 12)),
        ("(?i:key)", (3, 12)),
    ],
)
def test_width(pattern: str, expected: tuple[int, int | None]) -> None:
    re2.compile(pattern)
    assert width(pattern) == expected


ATOMS = st.sampled_from(
    ["a", "é", ".", r"\d", r"\W", "[a-c]", "[^a]", "[aé]", r"[\w.]", r"\.", r"\x41", "k", "^", r"\b"]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map("|".join).map(lambda both: f"({both})"),
        st.tuples(inner, st.sampled_from(["?", "{2}", "{1,3}", "{0,2}?"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        inner.map(lambda one: f"(?i:{one})"),
    ),
    max_leaves=8,
)


@given(PATTERNS, st.text("akKéE.1 -\N{KELVIN SIGN}", max_size=30))
def test_no_match_is_shorter_or_longer(pattern: str, text: str) -> None:
    shortest, longest = width(pattern)
    assert longest is not None
    try:
        compiled = re2.compile(pattern)
    except re2.error:
        assume(False)
    for match in compiled.finditer(text):
        assert shortest <= len(match.group().encode()) <= longest
