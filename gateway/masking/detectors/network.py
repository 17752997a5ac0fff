"""Addresses of the Internet Protocol."""

from __future__ import annotations

import ipaddress

from gateway.masking.detectors.patterns import AtEnd
from gateway.masking.detectors.shape import ALPHANUMERIC, DIGITS, DetectorInfo, Shape, Span

_OCTET = rb"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_VERSION = AtEnd(
    rb"(?i)(?:version|release|build|firmware|revision|\bver\.?|\brev\.?|\boid|"
    rb"chrome/|chromium/|edg[ea]?/|opr/|firefox/|safari/|crios/|electron/|brave/|[a-z0-9]-v?)"
    rb"[^0-9A-Za-z]{0,6}(?:is |was )?v?"
)
"""Stands in front of four numbers that are a version, or an object identifier: words, products of User-Agent, the
name of a package and a dash."""


_NAMED = 24
"""Bytes in front of an address in which `_VERSION` is looked for."""


def _ipv4(data: bytes, start: int, end: int) -> Span | None:
    """No part of a longer dotted number, no version (v1.2.3.4, version 1.2.3.4, package-1.2.3.4.tar.gz)."""
    start += data[start] == 0x5F
    if end < len(data):
        after = data[end]
        if after in ALPHANUMERIC:
            return None
        if (
            after == 0x2E
            and end + 1 < len(data)
            and data[end + 1] in ALPHANUMERIC
            and data[end + 1 : end + 8] != b"in-addr"
        ):
            return None
    if start and data[start - 1] == 0x2E:
        return None
    if start > 1 and _VERSION.matches(data[max(0, start - _NAMED) : start]):
        return None
    return start, end


IPV4 = DetectorInfo(
    "ipv4",
    (
        Shape(
            rb"(?:\b|_)%(octet)s(?:\.%(octet)s){3}" % {b"octet": _OCTET},
            16,
            _ipv4,
            anchor=rb"\d\.\d{1,3}\.\d{1,3}\.\d",
            retry=True,
        ),
    ),
)

_GROUP = rb"[0-9A-Fa-f]{1,4}"


def _ipv6(data: bytes, start: int, end: int) -> Span | None:
    """An address that says more than ``::`` or ``::1``, and isn't code: std::dec, face::add, a[1::2], 1::int."""
    if start and (data[start - 1] in ALPHANUMERIC or data[start - 1] in b":._"):
        return None
    if end < len(data) and (data[end] in ALPHANUMERIC or data[end] in b":_"):
        return None
    text = data[start:end]
    groups = [group for group in text.split(b":") if group]
    if len(groups) < 2 or DIGITS.isdisjoint(text) or all(len(group) == 2 for group in groups):
        return None
    if b"::" in text and (len(groups[0]) < 2 or (text.startswith(b"::") and groups[0].lower() != b"ffff")):
        return None
    try:
        ipaddress.IPv6Address(text.decode("ascii"))
    except ValueError:
        return None
    return start, end


IPV6 = DetectorInfo(
    "ipv6",
    (
        Shape(
            rb"%(group)s(?::%(group)s){5}(?:(?::%(group)s){2}|:\d{1,3}(?:\.\d{1,3}){3})" % {b"group": _GROUP},
            45,
            _ipv6,
            anchor=rb"(?:[0-9A-Fa-f]{1,4}:){3}",
        ),
        Shape(
            rb"(?:%(group)s(?::%(group)s){0,6})?::(?:%(group)s:){0,6}(?:%(group)s|\d{1,3}(?:\.\d{1,3}){3})?"
            % {b"group": _GROUP},
            60,
            _ipv6,
            anchor=rb"::[0-9A-Fa-f]|[0-9A-Fa-f]::",
        ),
    ),
)
