"""What a method makes of a value, for each type, in text and in binary format (policy.md, semantics 10).

The client always gets a value that is valid for the column's type. Only the character types can hold stars, and for
them both formats are the same bytes (in the client's encoding; stars are ASCII, `partial` stars whole what isn't
UTF-8). Everything else becomes NULL, which is valid for each type in both formats: numbers, dates, uuid, enum, bytea,
arrays, composites, json, jsonb and xml, and every type that we don't know. So a type nobody thought of is safe.
"""

from __future__ import annotations

from functools import partial as bind
from typing import AnyStr

from gateway.masking.fields import Field
from gateway.masking.rows import Cell, framed
from gateway.model import Method

NAME = 19
TEXT = 25
UNKNOWN = 705
BPCHAR = 1042
VARCHAR = 1043
"""Type OIDs, fixed by src/include/catalog/pg_type.dat. "char" (18) holds one byte and stays out."""

TEXT_TYPES = frozenset({NAME, TEXT, UNKNOWN, BPCHAR, VARCHAR})

STARS = b"****"
"""Always four, so that the length says nothing."""

SEPARATORS = frozenset(" -./:@_,()+#")
"""What `partial` leaves in place; these characters don't count as kept."""

_STARRED = bytes(code if chr(code) in SEPARATORS else ord("*") for code in range(256))
"""For `bytes.translate` of ASCII text, several times quicker than character by character."""

_TYPMOD_HEADER = 4
"""varchar(n) and bpchar(n) carry n + 4."""


def stars(type_oid: int, typmod: int) -> bytes:
    """What `redact` shows in a text type: no more than a varchar(n) holds, as many characters as a char(n) has."""
    if type_oid not in (BPCHAR, VARCHAR) or typmod < _TYPMOD_HEADER:
        return STARS
    size = typmod - _TYPMOD_HEADER
    shown = STARS[:size]
    return shown.ljust(size) if type_oid == BPCHAR else shown


def keep_ends(value: bytes, *, keep_first: int, keep_last: int, instead: bytes) -> bytes:
    """`partial`: the first and last characters stay, separators too, the rest becomes stars, one for each.

    ``instead`` is given for a value that has nothing left to hide, because it is too short, or isn't UTF-8.
    """
    if value.isascii():
        kept = _keep(value, value.translate(_STARRED), b"*", keep_first, keep_last)
        return instead if kept is None else kept
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return instead
    starred = "".join(character if character in SEPARATORS else "*" for character in text)
    shown = _keep(text, starred, "*", keep_first, keep_last)
    return instead if shown is None else shown.encode()


def _keep(text: AnyStr, starred: AnyStr, star: AnyStr, keep_first: int, keep_last: int) -> AnyStr | None:
    """The ends of ``text`` around the middle of ``starred``, of the same length; None when no star would be left."""
    if starred.count(star) <= keep_first + keep_last:
        return None
    head, tail = 0, len(text)
    if starred.startswith(star * keep_first):
        head = keep_first
    else:
        for _ in range(keep_first):
            head = starred.index(star, head) + 1
    if starred.endswith(star * keep_last):
        tail -= keep_last
    else:
        for _ in range(keep_last):
            tail = starred.rindex(star, 0, tail)
    return text[:head] + starred[head:tail] + text[tail:]


def cell_for(method: Method, field: Field) -> Cell:
    """The replacement for one column's values: None keeps them, bytes are a framed constant, else a function.

    A method that this version doesn't have (token, hmac; the policy check refuses them) gives NULL.
    """
    if method.name == "clear":
        return None
    if field.type_oid not in TEXT_TYPES or method.name not in ("redact", "partial"):
        return framed(None)
    constant = stars(field.type_oid, field.typmod)
    if method.name == "redact":
        return framed(constant)
    return bind(keep_ends, keep_first=max(method.keep_first, 0), keep_last=max(method.keep_last, 0), instead=constant)
