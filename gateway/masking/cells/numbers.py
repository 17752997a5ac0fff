"""Numbers and addresses as the digits that a detector knows.

A card number in a bigint is no text, but it is a card number. Stars don't fit into these types: what is found becomes
NULL. Binary formats: int8send, float8send, numeric_send (src/backend/utils/adt/), network_send (network.c).
"""

from __future__ import annotations

import ipaddress
import re
import struct

from gateway.masking.cells.parsing import Malformed

MIN_DIGITS = 12
MAX_DIGITS = 19
"""Payment card numbers (ISO/IEC 7812). Shorter numbers are ids and amounts, among which every detector that takes
bare digits would find something by chance."""

_INTEGER = re.compile(rb"[1-9]\d*+")
_FLOAT = re.compile(rb"([1-9])(?:\.(\d++))?e\+(\d\d)")

_DIGIT = 10_000
"""numeric's base."""
_NUMERIC_HEADER = 8
_POSITIVE = 0
_FAMILIES = {2: 4, 3: 16}
"""PGSQL_AF_INET and PGSQL_AF_INET6 -> bytes of an address."""


def digits(value: bytes) -> bytes | None:
    """The digits of a positive integer of a card number's length, as text of any number type writes it; else None.

    Zeros behind the point don't count, and float8 writes larger numbers as ``4.111e+15``.
    """
    whole, point, fraction = value.partition(b".")
    if point and not fraction.strip(b"0"):
        value = whole
    elif (found := _FLOAT.fullmatch(value)) is not None:
        behind, exponent = found[2] or b"", int(found[3])
        if len(behind) > exponent:
            return None
        value = found[1] + behind.ljust(exponent, b"0")
    return value if MIN_DIGITS <= len(value) <= MAX_DIGITS and _INTEGER.fullmatch(value) is not None else None


def int8_digits(value: bytes) -> bytes | None:
    """The same of an int8 in binary format. Raises Malformed."""
    if len(value) != 8:
        raise Malformed("not an int8")
    return digits(b"%d" % int.from_bytes(value, "big", signed=True))


def float8_digits(value: bytes) -> bytes | None:
    """The same of a float8 in binary format. Raises Malformed."""
    if len(value) != 8:
        raise Malformed("not a float8")
    (number,) = struct.unpack("!d", value)
    return digits(repr(number).encode())  # the shortest digits that mean this number, as PostgreSQL writes them


def numeric_digits(value: bytes) -> bytes | None:
    """The same of a numeric in binary format: int16 count of digits in base 10,000, weight of the first, sign and
    scale, then the digits. Raises Malformed."""
    if len(value) < _NUMERIC_HEADER or len(value) % 2:
        raise Malformed("not a numeric")
    count, weight, sign, _scale = struct.unpack("!HhHH", value[:_NUMERIC_HEADER])
    if len(value) != _NUMERIC_HEADER + 2 * count:
        raise Malformed("not a numeric: another number of digits than it says")
    if sign != _POSITIVE or not 0 <= weight < MAX_DIGITS:
        return None
    places = struct.unpack(f"!{count}H", value[_NUMERIC_HEADER:])
    if any(place >= _DIGIT for place in places):
        raise Malformed("not a numeric: a digit is too large")
    if any(places[weight + 1 :]):
        return None
    whole = (*places[: weight + 1], *[0] * (weight + 1 - count))
    return digits(b"".join(b"%04d" % place for place in whole).lstrip(b"0"))


def address(value: bytes) -> bytes:
    """An inet or cidr in binary format (family, bits of the mask, whether cidr, size, address) as the text of its
    address. Raises Malformed."""
    if len(value) < 4 or _FAMILIES.get(value[0]) != value[3] or len(value) != 4 + value[3]:
        raise Malformed("not an address")
    return str(ipaddress.ip_address(value[4:])).encode()
