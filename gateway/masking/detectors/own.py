"""Detectors that an operator wrote in policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import re2

from gateway.detectors import OwnDetector, Validator
from gateway.masking.detectors.checksums import luhn, mod97
from gateway.masking.detectors.shape import CONTEXT, SEPARATOR, Check, DetectorInfo, Shape, Span

_GAPS = b" -./_:"
"""What may stand between the digits that a validator adds up."""


def own_detector(own: OwnDetector) -> DetectorInfo:
    """As the shipped ones are. The pattern is UTF-8; policy has checked it."""
    context = "|".join(re2.escape(word).replace("\\ ", " ") for word in own.context).encode()
    shape = Shape(own.pattern.encode(), own.longest, _check(own.validator), near=CONTEXT if own.context else 0)
    return DetectorInfo(own.name, (shape,), context)


def _check(validator: Validator | None) -> Check:
    is_valid = None if validator is None else _VALIDATORS[validator]

    def check(data: bytes, start: int, end: int) -> Span | None:
        """What stands in front of a `SEPARATOR`, which a pattern such as ``.`` matches, too, if it has check digits."""
        cut = data.find(SEPARATOR, start, end)
        if cut >= 0:
            end = cut
        return (start, end) if start < end and (is_valid is None or is_valid(data[start:end])) else None

    return check


def _is_luhn(value: bytes) -> bool:
    digits = value.translate(None, _GAPS)
    return digits.isdigit() and luhn(digits)


def _is_mod97(value: bytes) -> bool:
    compact = value.translate(None, _GAPS).upper()
    return compact.isalnum() and mod97(compact)


_VALIDATORS: Mapping[Validator, Callable[[bytes], bool]] = {"luhn": _is_luhn, "mod97": _is_mod97}
