"""Numbers with check digits or fixed groups: payment cards, IBANs, US social security numbers."""

from __future__ import annotations

import itertools
import re
import string

from stdnum import numdb

import gateway.masking.detectors.checksums as checksums
import gateway.masking.detectors.shape as shape
from gateway.masking.detectors.shape import ALPHANUMERIC, CONTEXT, DetectorInfo, Shape, Span

_NOT_ALPHANUMERIC = bytes(code for code in range(256) if code not in ALPHANUMERIC)

_GAP = rb"[ \t._/-]{1,3}"
"""Between groups of a number."""

_MANY_DIGITS = rb"\d{12}"

_ISSUERS: tuple[tuple[int, int, frozenset[int]], ...] = (
    (2200, 2204, frozenset({16, 17, 18, 19})),  # Mir
    (2221, 2720, frozenset({16})),  # Mastercard
    (3000, 3059, frozenset({14, 15, 16, 17, 18, 19})),  # Diners Club
    (3095, 3095, frozenset({14, 15, 16, 17, 18, 19})),  # Diners Club
    (3400, 3499, frozenset({15})),  # American Express
    (3528, 3589, frozenset({16, 17, 18, 19})),  # JCB
    (3600, 3699, frozenset({14, 15, 16, 17, 18, 19})),  # Diners Club
    (3700, 3799, frozenset({15})),  # American Express
    (3800, 3999, frozenset({14, 15, 16, 17, 18, 19})),  # Diners Club
    (4000, 4999, frozenset({13, 16, 18, 19})),  # Visa
    (5000, 5099, frozenset({12, 13, 14, 15, 16, 17, 18, 19})),  # Maestro, Elo, Troy abroad
    (5100, 5599, frozenset({16})),  # Mastercard
    (5600, 5999, frozenset({12, 13, 14, 15, 16, 17, 18, 19})),  # Maestro
    (6000, 6010, frozenset({16})),  # RuPay, Hipercard
    (6011, 6011, frozenset({16, 17, 18, 19})),  # Discover
    (6012, 6099, frozenset({16})),  # RuPay, Hipercard
    (6200, 6299, frozenset({16, 17, 18, 19})),  # UnionPay
    (6300, 6399, frozenset({12, 13, 14, 15, 16, 17, 18, 19})),  # Maestro, Elo, Hipercard
    (6440, 6599, frozenset({16, 17, 18, 19})),  # Discover, RuPay, Elo, Troy
    (6700, 6799, frozenset({12, 13, 14, 15, 16, 17, 18, 19})),  # Maestro
    (8100, 8199, frozenset({16, 17, 18, 19})),  # UnionPay, RuPay
    (9792, 9792, frozenset({16})),  # Troy
)
"""First and last beginning of an issuer's numbers (ISO/IEC 7812-1), in four digits, and their lengths. From the
schemes' public rules; wide where sources differ, because what isn't a card's number fails Luhn nine times in ten."""

_SHORTEST = 12
_ZERO = ord("0")


def _lengths() -> bytes:
    """The same by the first four digits: a bit for each length, `_SHORTEST` the lowest."""
    by_start = bytearray(10_000)
    for first, last, lengths in _ISSUERS:
        for start in range(first, last + 1):
            by_start[start] = sum(1 << length - _SHORTEST for length in lengths)
    return bytes(by_start)


_LENGTHS = _lengths()

_STARTS = rb"(?:2[2-7]|3[0-9]|4[0-9]|5[0-9]|6[0-9]|81|97)"
"""The first two digits of every issuer."""

_USUAL = frozenset({14, 15, 16, 19})
"""Lengths that count without a context word. 13 digits are as often a bar code (EAN) or milliseconds, 12, 17 and 18
are rare as cards and frequent as order numbers."""


def _card(data: bytes, start: int, end: int) -> Span | None:
    """The longest beginning of the candidate, whole groups only, that is a card's number."""
    if start and data[start - 1] in ALPHANUMERIC:
        return None
    while True:
        digits = shape.digits(data, start, end)
        size = len(digits)
        if size < _SHORTEST:
            return None
        view = digits
        issuer = 1000 * view[0] + 100 * view[1] + 10 * view[2] + view[3] - 1111 * _ZERO
        if _LENGTHS[issuer] >> size - _SHORTEST & 1 and checksums.luhn(digits) and shape.alone(data, start, end):
            return start, end
        end = start + len(data[start:end].rstrip(b"0123456789").rstrip(b" \t._/-"))  # without the last group


def _bare_card(data: bytes, start: int, end: int) -> Span | None:
    return _card(data, start, end) if end - start in _USUAL else None


PAYMENT_CARD = DetectorInfo(
    "payment_card",
    (
        Shape(
            rb"(?:\b|_)%(starts)s\d\d%(gap)s(?:\d{4}%(gap)s\d{4}%(gap)s\d{2,4}(?:%(gap)s\d{1,4})?|\d{6}%(gap)s\d{4,5})"
            % {b"starts": _STARTS, b"gap": _GAP},
            34,
            lambda data, start, end: _card(data, start + (data[start] == 0x5F), end),
            anchor=rb"\d\d%s\d{4}" % _GAP,
            retry=True,
        ),
        Shape(
            rb"(?:\b|_)%s\d{12,17}" % _STARTS,
            20,
            lambda data, start, end: _bare_card(data, start + (data[start] == 0x5F), end),
            anchor=_MANY_DIGITS,
        ),
        Shape(
            rb"(?:\b|_)%s\d{10,17}" % _STARTS,
            20,
            lambda data, start, end: _card(data, start + (data[start] == 0x5F), end),
            anchor=_MANY_DIGITS,
            near=CONTEXT,
        ),
    ),
    context=rb"cards?|card number|card n[or]|credit|debit|visa|master card|amex|american express|maestro|diners"
    rb"|discover|jcb|union pay|pan|cc|ccn|cvv|karte|kreditkarte|carte|tarjeta|carta",
)


def _ssn(data: bytes, start: int, end: int) -> Span | None:
    """Area 001 to 665 and 667 to 899, or an ITIN (900 to 999); no group 00, no serial 0000 (SSA, "SSN randomization";
    IRS publication 1915). The tables of group numbers no longer hold for numbers issued since 2011."""
    start += data[start] == 0x5F
    text = data[start:end]
    gap = 0
    if len(text) == 11:
        gap = 1
        if text[3] != text[6]:
            return None
    if text[:3] in _NO_AREAS or text[3 + gap : 5 + gap] == b"00" or text.endswith(b"0000"):
        return None
    return (start, end) if shape.alone(data, start, end) else None


_NO_AREAS = (b"000", b"666")


US_SSN = DetectorInfo(
    "us_ssn",
    (
        Shape(rb"(?:\b|_)\d{3}(?:-\d\d-|\.\d\d\.)\d{4}", 12, _ssn),
        Shape(rb"(?:\b|_)\d{3} \d\d \d{4}", 12, _ssn, near=CONTEXT),
        Shape(rb"(?:\b|_)\d{9}", 10, _ssn, near=CONTEXT),
    ),
    context=rb"ssns?|social|soc sec|itin|tin|tax id|tax payer",
)


def _iban_lengths() -> dict[bytes, int]:
    """Country -> length of its IBANs, from python-stdnum's copy of SWIFT's registry (`8!n10!n`: 8 and 10 digits)."""
    registry = numdb.get("iban")
    lengths = {}
    for country in map("".join, itertools.product(string.ascii_uppercase, repeat=2)):
        structure = registry.info(country)[0][1].get("bban")
        if structure is not None:
            lengths[country.encode()] = 4 + sum(map(int, re.findall(r"[0-9]+", structure)))
    return lengths


IBAN_LENGTHS = _iban_lengths()


def _iban(data: bytes, start: int, end: int) -> Span | None:
    """As many characters as the country's IBANs have, with or without gaps, and the check digits are right."""
    start += data[start] == 0x5F
    compact = data[start:end].translate(None, _NOT_ALPHANUMERIC).upper()
    length = IBAN_LENGTHS[compact[:2]]
    if len(compact) < length or not checksums.mod97(compact[:length]):
        return None
    seen = 0
    for at in range(start, end):
        seen += data[at] in ALPHANUMERIC
        if seen == length:
            end = at + 1
            break
    return (start, end) if end == len(data) or data[end] not in ALPHANUMERIC else None


IBAN = DetectorInfo(
    "iban",
    (
        Shape(
            rb"(?:\b|_)(?i:%s)\d\d(?:[ ./-]?[0-9A-Za-z]){11,30}" % b"|".join(IBAN_LENGTHS),
            65,
            _iban,
            anchor=rb"(?:\b|_)(?i:%s)\d\d(?:[ ./-]?[0-9A-Za-z]){7}" % b"|".join(IBAN_LENGTHS),
            retry=True,
        ),
    ),
)
