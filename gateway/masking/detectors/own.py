"""Detectors that an operator wrote in policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import re2

from gateway.detectors import OwnDetector, Validator
from gateway.masking.detectors.checksums import luhn, mod97
from gateway.masking.detectors.shape import ALPHANUMERIC, Check, DetectorInfo, Shape, Span, any_text

_VALIDATORS: Mapping[Validator, Callable[[bytes], bool]] = {"luhn": luhn, "mod97": mod97}

_NOT_ALPHANUMERIC = bytes(code for code in range(256) if code not in ALPHANUMERIC)


def own_detector(own: OwnDetector) -> DetectorInfo:
    """As the shipped ones are. The pattern is UTF-8; policy has checked it."""
    context = "|".join(map(re2.escape, own.context)).encode()
    shape = Shape(own.pattern.encode(), own.longest, _check(own.validator), weak=bool(own.context))
    return DetectorInfo(own.name, (shape,), context)


def _check(validator: Validator | None) -> Check:
    if validator is None:
        return any_text
    is_valid = _VALIDATORS[validator]

    def check(data: bytes, start: int, end: int) -> Span | None:
        """The check digits over letters and digits; gaps don't count. What can't be computed isn't valid."""
        compact = data[start:end].translate(None, _NOT_ALPHANUMERIC).upper()
        if validator == "luhn" and not compact.isdigit():
            return None
        return (start, end) if compact and is_valid(compact) else None

    return check
