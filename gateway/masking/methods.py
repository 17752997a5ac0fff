"""What a method makes of a value, for each type, in text and in binary format (policy.md, semantics 10).

The client always gets a value that is valid for the column's type. Only the character types can hold stars,
pseudonyms and tokens, and for them both formats are the same bytes (in the client's encoding; what is put there is
ASCII, `partial` stars whole what isn't UTF-8). `hmac` maps uuid and integers into their type. Everything else becomes
NULL, which is valid for each type in both formats: numbers, dates, enum, bytea, arrays, composites, json, jsonb and
xml, and every type that we don't know. So a type nobody thought of is safe.

`text_maker` is for text wherever it stands (a span in a text, a string in JSON), `cell_for` for a whole column. A key
or a vault that isn't there means NULL; a vault that can't keep a value raises, which ends the session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial as bind
from typing import AnyStr, Protocol, TypeAlias

from gateway.errors import LimitReached
from gateway.masking import keyed
from gateway.masking.fields import Field
from gateway.masking.rows import Cell, framed
from gateway.model import Method

NAME = 19
TEXT = 25
UNKNOWN = 705
BPCHAR = 1042
VARCHAR = 1043
INT8 = 20
INT2 = 21
INT4 = 23
UUID = 2950
"""Type OIDs, fixed by src/include/catalog/pg_type.dat. "char" (18) holds one byte and stays out."""

TEXT_TYPES = frozenset({NAME, TEXT, UNKNOWN, BPCHAR, VARCHAR})

STARS = b"****"
"""Always four, so that the length says nothing."""

SEPARATORS = frozenset(" -./:@_,()+#")
"""What `partial` leaves in place; these characters don't count as kept."""

_STARRED = bytes(code if chr(code) in SEPARATORS else ord("*") for code in range(256))
"""For `bytes.translate` of ASCII text, several times quicker than character by character."""

_INTEGERS = {INT2: 2, INT4: 4, INT8: 8}
"""Their sizes in bytes."""

_TYPMOD_HEADER = 4
"""varchar(n) and bpchar(n) carry n + 4."""

_NAME_BYTES = 63
"""NAMEDATALEN - 1: what a name holds."""

Maker: TypeAlias = Callable[[bytes], bytes | None]
"""One value's text -> its masked text; None: NULL."""


class Vault(Protocol):
    """Keeps values behind tokens (`gateway.store` has it; masking does no I/O)."""

    def token(self, value: bytes) -> bytes:
        """A reference (ASCII, ``tok_...``) that stands for ``value``, always the same one.

        Raises LimitReached for a value that is too long to keep, GatewayError when it can't be kept: fail closed.
        """


@dataclass(frozen=True, slots=True)
class Keyring:
    """What `hmac` and `token` need beside the value. Its repr shows no secret.

    keys   key id (ASCII) -> secret
    vault  None: there is none, so tokens are NULL
    """

    keys: Mapping[str, bytes] = field(repr=False)
    vault: Vault | None = field(default=None, repr=False)


NO_KEYS = Keyring({})


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


def text_maker(method: Method, keyring: Keyring) -> Maker:
    """What ``method`` makes of a text of any length."""
    match method.name:
        case "clear":
            return _same
        case "redact":
            return _stars
        case "partial":
            return _partial(method, STARS)
        case "hmac" if method.key in keyring.keys:
            return bind(keyed.text, secret=keyring.keys[method.key], key=method.key)
        case "token" if keyring.vault is not None:
            return bind(_token, vault=keyring.vault)
        case _:
            return _null


def cell_for(method: Method, field: Field, keyring: Keyring = NO_KEYS) -> Cell:
    """The replacement for one column's values: None keeps them, bytes are a framed constant, else a function."""
    if method.name == "clear":
        return None
    if field.type_oid in TEXT_TYPES:
        return _text_cell(method, field, keyring)
    if method.name == "hmac" and method.key in keyring.keys:
        secret = keyring.keys[method.key]
        if field.type_oid == UUID:
            return bind(keyed.uuid_binary if field.format else keyed.uuid_text, secret=secret)
        if field.type_oid in _INTEGERS:
            mapped = keyed.integer_binary if field.format else keyed.integer_text
            return bind(mapped, secret=secret, size=_INTEGERS[field.type_oid])
    return framed(None)


def _text_cell(method: Method, field: Field, keyring: Keyring) -> Cell:
    constant = stars(field.type_oid, field.typmod)
    if method.name == "redact":
        return framed(constant)
    if method.name == "partial":
        return _partial(method, constant)
    maker = text_maker(method, keyring)
    if maker is _null:
        return framed(None)
    room = _room(field)
    if room is None:
        return bind(_unpadded, maker=maker) if field.type_oid == BPCHAR else maker
    if method.name == "hmac":
        maker = bind(keyed.short_text, secret=keyring.keys[method.key], key=method.key, room=room)
    else:
        maker = bind(_fitting, maker=maker, room=room)
    return bind(_padded, maker=maker, room=room) if field.type_oid == BPCHAR else maker


def _room(field: Field) -> int | None:
    """How many ASCII characters a column of this text type holds, None: any number."""
    if field.type_oid == NAME:
        return _NAME_BYTES
    declared = field.type_oid in (BPCHAR, VARCHAR) and field.typmod >= _TYPMOD_HEADER
    return field.typmod - _TYPMOD_HEADER if declared else None


def _partial(method: Method, instead: bytes) -> Callable[[bytes], bytes]:
    return bind(keep_ends, keep_first=max(method.keep_first, 0), keep_last=max(method.keep_last, 0), instead=instead)


def _same(value: bytes) -> bytes:
    return value


def _stars(_value: bytes) -> bytes:
    return STARS


def _null(_value: bytes) -> None:
    return None


def _token(value: bytes, *, vault: Vault) -> bytes | None:
    try:
        return vault.token(value)
    except LimitReached:
        return None


def _fitting(value: bytes, *, maker: Maker, room: int) -> bytes | None:
    """A token that were cut would resolve to nothing."""
    made = maker(value)
    return made if made is not None and len(made) <= room else None


def _unpadded(value: bytes, *, maker: Maker) -> bytes | None:
    """Blanks at the end of a char(n) mean nothing: without them it equals the same text in a varchar."""
    return maker(value.rstrip(b" "))


def _padded(value: bytes, *, maker: Maker, room: int) -> bytes | None:
    made = maker(value.rstrip(b" "))
    return None if made is None else made.ljust(room)
