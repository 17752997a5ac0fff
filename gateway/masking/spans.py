"""Matches in one text -> spans that don't overlap, each with the method that masks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from gateway.model import Method

MaskedSpan: TypeAlias = tuple[int, int, Method]
"""``data[start:end]`` is masked by ``method``."""


def masked_spans(values: Sequence[tuple[int, int, str]], methods: Mapping[str, Method]) -> list[MaskedSpan]:
    """``values`` as `Finder.find` gives them: sorted by start. ``methods``: of every detector among them.

    Values that share a byte become one span under the strictest of their methods (semantics 8): it is one value, or
    two that nobody can tell apart. Those that only touch stay two.
    """
    spans: list[MaskedSpan] = []
    before = 0
    for start, end, detector in values:
        span = (start, end, methods[detector])
        if start < before:
            span = _both(spans.pop(), span)
        before = span[1]
        spans.append(span)
    return spans


def _both(first: MaskedSpan, second: MaskedSpan) -> MaskedSpan:
    method = min(first[2], second[2], key=lambda one: (one.strictness, one.keep_first))
    return first[0], max(first[1], second[1]), method
