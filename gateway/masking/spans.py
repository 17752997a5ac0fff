"""Matches in one text -> spans that don't overlap, each with the method that masks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.masking.detectors import Match
from gateway.model import Method


class MaskedSpan(NamedTuple):
    """``data[start:end]`` is masked by ``method``."""

    start: int
    end: int
    method: Method


def masked_spans(matches: Sequence[Match], methods: Mapping[str, Method]) -> list[MaskedSpan]:
    """``matches`` as `Finder.find` gives them: sorted by start. ``methods``: of every detector among them.

    Matches that share a byte become one span under the strictest of their methods (semantics 8): it is one value, or
    two that nobody can tell apart. Those that only touch stay two.
    """
    spans: list[MaskedSpan] = []
    for match in matches:
        span = MaskedSpan(match.start, match.end, methods[match.detector])
        if spans and span.start < spans[-1].end:
            span = _both(spans.pop(), span)
        spans.append(span)
    return spans


def _both(first: MaskedSpan, second: MaskedSpan) -> MaskedSpan:
    method = min(first.method, second.method, key=lambda one: (one.strictness, one.keep_first))
    return MaskedSpan(first.start, max(first.end, second.end), method)
