"""Matches become spans that don't overlap, under the strictest method."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.masking.detectors import Match
from gateway.masking.spans import masked_spans
from gateway.model import Method

METHODS = {
    "email": Method("partial", keep_first=1),
    "phone": Method("redact"),
    "iban": Method("null"),
    "jwt": Method("partial", keep_last=4),
}


def test_what_touches_stays_apart() -> None:
    spans = masked_spans([Match(0, 3, "email"), Match(3, 5, "phone")], METHODS)
    assert spans == [(0, 3, METHODS["email"]), (3, 5, METHODS["phone"])]


def test_what_overlaps_is_one_under_the_strictest() -> None:
    matches = [Match(0, 3, "email"), Match(2, 9, "phone"), Match(4, 5, "jwt"), Match(8, 10, "email")]
    assert masked_spans(matches, METHODS) == [(0, 10, METHODS["phone"])]


def test_among_partial_ones_the_one_that_keeps_less() -> None:
    assert masked_spans([Match(0, 9, "jwt"), Match(0, 5, "email")], METHODS) == [(0, 9, METHODS["email"])]


MATCHES = st.lists(
    st.builds(
        lambda start, length, name: Match(start, start + length, name),
        st.integers(0, 40), st.integers(1, 12), st.sampled_from(sorted(METHODS)),
    ),
    max_size=12,
)  # fmt: skip


@given(MATCHES)
def test_every_byte_of_a_match_is_in_one_span_that_is_strict_enough(matches: list[Match]) -> None:
    spans = masked_spans(sorted(matches), METHODS)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    for match in matches:
        ((_, _, method),) = [span for span in spans if span[0] <= match.start and match.end <= span[1]]
        assert method.strictness <= METHODS[match.detector].strictness
    covered = {at for match in matches for at in range(match.start, match.end)}
    assert covered == {at for start, end, _ in spans for at in range(start, end)}
