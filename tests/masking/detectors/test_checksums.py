"""Check digits, held against python-stdnum's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn as stdnum_luhn
from stdnum.iso7064 import mod_97_10

from gateway.masking.detectors.checksums import luhn, mod97


@given(st.text("0123456789", min_size=1, max_size=25))
def test_luhn_is_stdnums(digits: str) -> None:
    assert luhn(digits.encode()) == stdnum_luhn.is_valid(digits)
    right = digits + stdnum_luhn.calc_check_digit(digits)
    assert luhn(right.encode())


@given(st.from_regex(r"[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}", fullmatch=True))
def test_mod97_is_stdnums(text: str) -> None:
    assert mod97(text.encode()) == mod_97_10.is_valid(text[4:] + text[:4])
    right = text[:2] + mod_97_10.calc_check_digits(text[4:] + text[:2]) + text[4:]
    assert mod97(right.encode())
