"""Credentials: JSON web tokens, private keys, and tokens of services, most of which begin with a name of their own."""

from __future__ import annotations

import base64
import binascii

import re2

from gateway.masking.detectors.shape import (
    ALPHANUMERIC,
    CONTEXT,
    DIGITS,
    SEPARATOR,
    DetectorInfo,
    Shape,
    Span,
    any_text,
    compiled,
)

MAX_JWT = 8 * 1024
"""Bytes of a token that a stream holds back. Servers refuse headers above 8 KiB (nginx, Apache), so tokens are
shorter; where the whole value is at hand a longer one is found, too."""

_PARTS: re2._Regexp = compiled(rb"[0-9A-Za-z_-]*(?:\.[0-9A-Za-z_-]*){1,3}")
"""What follows the header and its dot: payload and signature, or the four other parts of an encrypted one."""


def _jwt(data: bytes, start: int, end: int) -> Span | None:
    """The header decodes to a JSON object that names its algorithm (RFC 7515 section 4.1.1, RFC 7516 section 4.1.1)."""
    header = data[start : end - 1]
    try:
        decoded = base64.urlsafe_b64decode(header + b"=" * (-len(header) % 4))
    except binascii.Error:
        return None
    if b'"alg"' not in decoded:
        return None
    parts = _PARTS.match(data, end)
    return None if parts is None else (start, parts.span()[1])


JWT = DetectorInfo(
    "jwt",
    (
        # {" or {, white space and ": the beginning of the header
        Shape(
            rb"(?:\b|_)(?:eyJ|eyA|ewo|ew0)[0-9A-Za-z_-]{10,1000}\.",
            MAX_JWT,
            lambda data, start, end: _jwt(data, start + (data[start] == 0x5F), end),
            anchor=rb"(?:\b|_)(?:eyJ|eyA|ewo|ew0)[0-9A-Za-z_-]{4}",
        ),
    ),
)


def _block(data: bytes, start: int, end: int) -> Span:
    """To the END line; where that is missing (a part of a file, a cut value) everything up to the end is the key."""
    stop = data.find(SEPARATOR, end)
    if stop < 0:
        stop = len(data)
    closing = data.find(b"-- END" if data[start + 4 : start + 5] == b" " else b"-----END", end, stop)
    if closing < 0:
        return start, stop
    line = data.find(b"---", closing + 8, min(stop, closing + 8 + _MAX_LINE))
    if line < 0:
        return start, stop
    return start, line + len(data[line : line + 5]) - len(data[line : line + 5].lstrip(b"-"))


_MAX_LINE = 64
"""Bytes between END and its dashes: names of keys are below 40."""

PRIVATE_KEY = DetectorInfo(
    "private_key",
    (
        Shape(
            rb"-----BEGIN (?:[0-9A-Z ]{1,32} )?PRIVATE KEY(?: BLOCK)?-----|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----",
            80,
            _block,
            anchor=rb"---- ?BEGIN ",
        ),
    ),
)

AWS_ACCESS_KEY = DetectorInfo(
    "aws_access_key",
    (Shape(rb"(?:\b|_)A(?:KIA|SIA|BIA|CCA)[2-7A-Z]{16}\b", 21, any_text, anchor=rb"A(?:KIA|SIA|BIA|CCA)[2-7A-Z]"),),
)


_LONG_BASE64 = rb"[0-9A-Za-z+/]{20}"
_CAPITALS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SMALL = frozenset(b"abcdefghijklmnopqrstuvwxyz")
_BASE64 = ALPHANUMERIC | frozenset(b"+/")


def _aws_secret(data: bytes, start: int, end: int) -> Span | None:
    """Forty characters of base64 that are no hash in hexadecimal, no word and no path."""
    if (start and data[start - 1] in _BASE64) or (end < len(data) and (data[end] in _BASE64 or data[end] == 0x3D)):
        return None
    found = set(data[start:end])
    return None if found.isdisjoint(_CAPITALS) or found.isdisjoint(_SMALL) or found.isdisjoint(DIGITS) else (start, end)


AWS_SECRET_KEY = DetectorInfo(
    "aws_secret_key",
    (Shape(rb"[0-9A-Za-z+/]{40}", 41, _aws_secret, anchor=_LONG_BASE64, near=CONTEXT),),
    context=rb"aws|amazon|secret access key|secret key|secret|s3",
)

GCP_KEY = DetectorInfo(
    "gcp_key",
    (
        Shape(rb"(?:\b|_)AIza[0-9A-Za-z_-]{35}", 40, any_text, anchor=rb"AIza"),
        Shape(rb"(?:\b|_)GOCSPX-[0-9A-Za-z_-]{28}", 36, any_text, anchor=rb"GOCSPX-"),
        Shape(rb"(?:\b|_)ya29\.[0-9A-Za-z_.-]{20,1000}", 1006, any_text, anchor=rb"ya29\."),
    ),
)

AZURE_KEY = DetectorInfo(
    "azure_key",
    (
        # 64 or 32 bytes behind the names that connection strings have
        Shape(
            rb"(?i:AccountKey|SharedAccessKey|SharedSecret)=[0-9A-Za-z+/]{42,88}={0,2}",
            110,
            lambda data, start, end: (data.index(b"=", start, end) + 1, end),
            anchor=rb"(?i:AccountKey|SharedAccessKey|SharedSecret)=",
        ),
        Shape(
            rb"[0-9A-Za-z+/]{86}==",
            88,
            lambda data, start, end: None if start and data[start - 1] in _BASE64 else (start, end),
            anchor=_LONG_BASE64,
            near=CONTEXT,
        ),
        # Application secrets: three characters, 8Q~ or 7Q~, 31 to 34 more
        Shape(rb"[0-9A-Za-z_~.-]{3}[78]Q~[0-9A-Za-z_~.-]{31,34}", 40, any_text, anchor=rb"[78]Q~"),
        Shape(
            rb"[?&;]sig=(?:[0-9A-Za-z+/]|%2[BbFf]){40,60}(?:=|%3[Dd])",
            200,
            lambda data, start, end: (start + 5, end),
            anchor=rb"[?&;]sig=",
        ),
    ),
    context=rb"azure|storage|account key|blob|cosmos|primary key",
)

GITHUB_TOKEN = DetectorInfo(
    "github_token",
    (
        Shape(rb"gh[oprsu]_[0-9A-Za-z]{36,255}", 260, any_text, anchor=rb"gh[oprsu]_"),
        Shape(rb"github_pat_[0-9A-Za-z_]{22,255}", 266, any_text, anchor=rb"github_pat_"),
    ),
)

SLACK_TOKEN = DetectorInfo(
    "slack_token",
    (
        Shape(rb"(?:xox[a-z]|xapp|xoxe\.xox[bp])-[0-9A-Za-z-]{10,255}", 266, any_text, anchor=rb"xox[a-z]-|xapp-[0-9]"),
        Shape(
            rb"hooks\.slack\.com/(?:services|workflows|triggers)/[0-9A-Za-z/]{20,120}",
            150,
            any_text,
            anchor=rb"hooks\.slack\.com/",
        ),
    ),
)

STRIPE_KEY = DetectorInfo(
    "stripe_key",
    (
        Shape(rb"[sr]k_(?:live|test)_[0-9A-Za-z]{16,250}", 258, any_text, anchor=rb"[sr]k_(?:live|test)_"),
        Shape(rb"whsec_[0-9A-Za-z+/]{24,100}={0,2}", 108, any_text, anchor=rb"whsec_"),
    ),
)
