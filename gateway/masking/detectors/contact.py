"""Email addresses and phone numbers."""

from __future__ import annotations

import functools

import phonenumbers
import re2
from phonenumbers import PhoneMetadata

import gateway.masking.detectors.shape as shape
from gateway.masking.detectors.found import Found
from gateway.masking.detectors.patterns import Whole
from gateway.masking.detectors.shape import (
    CONTEXT,
    DetectorInfo,
    Judge,
    Shape,
    Span,
    compiled,
)

_LOCAL = rb"[0-9A-Za-z._+%\x80-\xff-]"
_MAX_LOCAL = 64
"""RFC 5321, section 4.5.3.1.1."""

_NO_ADDRESS: re2._Regexp = compiled(rb"(?i)(?:v?\d+\.\d+\.[0-9a-z.-]*|[1-9](?:\.\d)?x\.[a-z]{3,4})")
"""Domains of what only looks like an address: package@18.2.0.rc, logo@2x.png."""


_AT = ord("@")
_ZERO, _NINE = b"09"
_VERSION = b"vV"


class _Email(Judge):
    def holds(self, data: bytes, match: Found) -> bool:
        return _is_email(data, match.start, match.end)


def _is_email(data: bytes, start: int, end: int) -> bool:
    view = data
    at = start
    while at < end and view[at] != _AT:
        at += 1
    domain = at + 1 if at < end else data.find(b"%40", start, end) + 3
    code = view[domain]
    if (_ZERO <= code <= _NINE or code in _VERSION) and _NO_ADDRESS.fullmatch(data, domain, end):
        return False
    return domain != start + 4 or data[start:domain] != b"git@" or data[end : end + 1] != b":"


EMAIL = DetectorInfo(
    "email",
    (
        Shape(
            # An apostrophe only between letters (o'brien), = only behind a + (bounce+alice=example.org@lists.example)
            rb"[0-9A-Za-z_\x80-\xff](?:%(local)s|'[A-Za-z]|\+[0-9A-Za-z._-]+=){0,63}(?:@|%%40)"
            rb"(?:[0-9A-Za-z\x80-\xff](?:[0-9A-Za-z\x80-\xff-]{0,62})\.){1,8}"
            rb"(?:[A-Za-z]{2,24}|xn--[0-9A-Za-z-]{2,59}|[\xc2-\xf4][\x80-\xff]{2,62})\b" % {b"local": _LOCAL},
            2 * _MAX_LOCAL + 3 + 255,
            _Email(),
            anchor=rb"[0-9A-Za-z._+%\x80-\xff-](?:@|%40)[0-9A-Za-z\x80-\xff]",
        ),
    ),
)

_METADATA_KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number", "pager", "uan",
    "voicemail",
)  # fmt: skip


def numbering_pattern() -> bytes:
    """Every number that `phonenumbers.is_valid_number` accepts: country code and national number, digits only.

    One pattern of all countries' patterns, because the library takes 70 us for a candidate, this takes 3 or less.
    """
    codes = []
    for code, regions in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()):
        patterns = set()
        for region in regions:
            if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
                metadata = PhoneMetadata.metadata_for_nongeo_region(code)
            else:
                metadata = PhoneMetadata.metadata_for_region(region)
            for kind in _METADATA_KINDS:
                described = getattr(metadata, kind)
                if described is not None and described.national_number_pattern:
                    patterns.add(described.national_number_pattern)
        codes.append(f"{code}(?:{'|'.join(sorted(patterns))})")
    return "|".join(codes).encode("ascii")


@functools.cache
def _numbering() -> Whole:
    """Made with the first finder that needs it: 0.2 to 0.3 s, 20 MB."""
    return Whole(numbering_pattern())


def _international(data: bytes, start: int, end: int) -> Span | None:
    """The longest beginning of the candidate, whole groups only, that is a number of some country."""
    if start and (not shape.begins(data, start) or data[start - 1] in b"+/"):
        return None
    numbering = _numbering()
    while end > start:
        digits = shape.digits(data, start, end)
        if data[start] == 0x30:
            digits = digits[2:]
        if len(digits) < 7:
            return None
        if shape.ends(data, end) and (numbering.matches(digits) or _dialled(data[start:end])):
            return start, end
        end = start + len(data[start:end].rstrip(b"0123456789").rstrip(b" ()./-"))
    return None


def _dialled(text: bytes) -> bool:
    """Whether it is a number once the trunk prefix is left out that is written, but not dialled: +44 (0)20 ..."""
    if b"(0)" not in text:
        return False
    dialled = text.replace(b"(0)", b"", 1)
    return _numbering().matches(shape.digits(dialled, 0, len(dialled)))


def _north_american(data: bytes, start: int, end: int) -> Span | None:
    """Ten digits in groups of 3, 3, 4 that are a number of country code 1."""
    if not shape.alone(data, start, end):
        return None
    digits = shape.digits(data, start, end)
    return (start, end) if _numbering().matches(b"1" + digits[-10:]) else None


def _national(data: bytes, start: int, end: int) -> Span | None:
    """Eight to twelve digits that are no date, address or social security number: without the country nobody can say
    more."""
    if not shape.alone(data, start, end) or _OTHER.fullmatch(data, start, end):
        return None
    return (start, end) if 8 <= len(shape.digits(data, start, end)) <= 12 else None


_OTHER: re2._Regexp = compiled(
    rb"(?:19|20)\d\d[-./ ][01]?\d[-./ ][0-3]?\d[ -]?\d?\d?|[0-3]?\d[-./][01]?\d[-./](?:19|20)\d\d"
    rb"|\d{1,3}(?:\.\d{1,3}){3}|\d{3}-\d\d-\d{4}"
)

PHONE = DetectorInfo(
    "phone",
    (
        Shape(rb"\+[1-9](?:[ ()./-]{0,3}\d){6,14}", 64, _international, anchor=rb"\+[1-9][ ()./-]{0,3}\d"),
        Shape(rb"\b00[1-9](?:[ ()./-]{0,3}\d){6,14}", 66, _international, anchor=rb"\b00[1-9]", near=CONTEXT),
        Shape(rb"(?:\b1[ .-])?(?:\([2-9]\d\d\) ?|\b[2-9]\d\d[-./])[2-9]\d\d[-.]\d{4}", 18, _north_american),
        Shape(rb"(?:\b1[ .-]?)?\b[2-9]\d\d ?[2-9]\d\d ?\d{4}", 18, _north_american, near=CONTEXT),
        Shape(
            rb"(?:\b|\()0[1-9](?:[ ()./-]{0,3}\d){6,10}",
            48,
            _national,
            anchor=rb"\b0[1-9][ ()./-]{0,3}\d",
            near=CONTEXT,
        ),
        Shape(
            rb"(?:\b|\()[1-9]\d{1,2}\)?(?:(?:[ ./-]\d{2,5}){2,4}|[ ./-]\d{5,8})|\b[2-9]\d{3,4}[ -]\d{4,5}",
            30,
            _national,
            anchor=rb"\d\d\)?[ ./-]\d\d",
            near=CONTEXT // 2,
        ),
    ),
    context="phones?|tel|telephone|mobile|cell|cellphone|fax|whatsapp|sms|call|callback|dial|telefon|telefono"
    "|téléphone|telefone|handy|natel|mobil|móvil|portable|rufnummer|msisdn|hotline".encode(),
    prepare=_numbering,
)
