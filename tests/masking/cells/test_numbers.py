from __future__ import annotations

import ipaddress
import struct
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.masking.cells import numbers
from gateway.masking.cells.parsing import Malformed

CARD = 4111111111111111


def numeric_binary(number: Decimal) -> bytes:
    """numeric_send, as numeric.c keeps its digits: base 10,000 around the point."""
    sign, places, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    scale = max(0, -exponent)
    plain = "".join(map(str, places)) + "0" * max(0, exponent)
    whole, fraction = (plain[:-scale], plain[-scale:]) if scale else (plain, "")
    whole = whole.lstrip("0")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    joined = whole + fraction
    groups = [int(joined[at : at + 4]) for at in range(0, len(joined), 4)]
    weight = len(whole) // 4 - 1
    while groups and not groups[0]:
        groups.pop(0)
        weight -= 1
    while groups and not groups[-1]:
        groups.pop()
    head = struct.pack("!HhHH", len(groups), weight if groups else 0, 0x4000 if sign and groups else 0, scale)
    return head + struct.pack(f"!{len(groups)}H", *groups)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4111111111111111", "4111111111111111"),
        ("4111111111111111.00", "4111111111111111"),
        ("4.111111111111111e+15", "4111111111111111"),
        ("4.1e+15", "4100000000000000"),
        ("4e+15", "4000000000000000"),
        ("123456789012", "123456789012"),
        ("12345678901", None),
        ("12345678901234567890", None),
        ("4111111111111111.5", None),
        ("-4111111111111111", None),
        ("0111111111111111", None),
        ("4.111111111111111e+14", None),
        ("4e+99", None),
        ("NaN", None),
        ("Infinity", None),
        ("", None),
    ],
)
def test_digits(text: str, expected: str | None) -> None:
    assert numbers.digits(text.encode()) == (expected.encode() if expected else None)


@given(number=st.integers(-(2**63), 2**63 - 1) | st.integers(10**10, 10**13))
def test_int8(number: int) -> None:
    text = str(number)
    expected = text.encode() if 12 <= len(text) <= 19 and number > 0 else None
    assert numbers.int8_digits(struct.pack("!q", number)) == expected == numbers.digits(text.encode())


@given(number=st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**20), max_value=10**20))
def test_numeric_in_both_formats(number: Decimal) -> None:
    assert numbers.numeric_digits(numeric_binary(number)) == numbers.digits(str(number).encode())


@given(number=st.integers(0, 10**24))
def test_whole_numeric_in_both_formats(number: int) -> None:
    assert numbers.numeric_digits(numeric_binary(Decimal(number))) == numbers.digits(str(number).encode())


@given(number=st.floats() | st.integers(0, 10**19).map(float))
def test_float8_in_both_formats(number: float) -> None:
    assert numbers.float8_digits(struct.pack("!d", number)) == numbers.digits(repr(number).encode())


def test_a_card_number_of_each_type() -> None:
    expected = str(CARD).encode()
    assert numbers.int8_digits(struct.pack("!q", CARD)) == expected
    assert numbers.float8_digits(struct.pack("!d", CARD)) == expected
    assert numbers.numeric_digits(numeric_binary(Decimal(f"{CARD}.00"))) == expected
    assert numbers.numeric_digits(numeric_binary(Decimal(CARD) * 10_000)) is None  # 20 digits


@given(address=st.ip_addresses(), cidr=st.booleans())
def test_addresses(address: ipaddress.IPv4Address | ipaddress.IPv6Address, cidr: bool) -> None:
    family, size = (2, 4) if address.version == 4 else (3, 16)
    assert numbers.address(bytes([family, 8 * size, cidr, size]) + address.packed) == str(address).encode()


@given(noise=st.binary(max_size=30))
def test_noise_is_malformed_or_a_number(noise: bytes) -> None:
    numbers.digits(noise)
    for read in (numbers.int8_digits, numbers.float8_digits, numbers.numeric_digits, numbers.address):
        with suppress(Malformed):
            read(noise)
