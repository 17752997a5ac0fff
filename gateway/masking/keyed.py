"""What `hmac` makes of values: keyed pseudonyms, the same for the same value wherever it stands.

HMAC-SHA-256 (RFC 2104, FIPS 198-1) of the value in its type's canonical form, so that text and binary format, every
session and every node agree, and joins in the client still work. docs/decisions/0030-hmac-mapping.md says why each
type is mapped as it is, and what a pseudonym of a small domain can't hide.

Each function takes one value as the wire has it. Those of binary format, and of what is no text, raise PeerError when
the value is none of its type: what doesn't parse can't be masked.
"""

from __future__ import annotations

import hmac
from uuid import UUID

from gateway.errors import PeerError

DIGEST_CHARACTERS = 32
"""Of a text pseudonym: 128 bits in hex, the shortest that RFC 2104 section 5 recommends (half of the hash). Two of
2^32 values collide with a chance of 2^-65."""

LEAST_CHARACTERS = 20
"""A short column cuts the digest no further: 80 bits, RFC 2104's other bound. Shorter ones would make joins lie."""

UUID_BYTES = 16


def _digest(secret: bytes, kind: bytes, value: bytes) -> bytes:
    """``kind`` keeps the types apart, so that a mapped number says nothing about the same digits in a text."""
    return hmac.digest(secret, kind + b"\0" + value, "sha256")


def text(value: bytes, *, secret: bytes, key: str) -> bytes:
    """``hmac:KEY:HEX``. Letter case is kept: to PostgreSQL, too, ``A`` and ``a`` are two values."""
    return b"hmac:%s:%s" % (
        key.encode("ascii"),
        _digest(secret, b"text", value)[: DIGEST_CHARACTERS // 2].hex().encode(),
    )


def short_text(value: bytes, *, secret: bytes, key: str, room: int) -> bytes | None:
    """As `text`, in at most ``room`` characters; None when too little of the digest would be left."""
    whole = text(value, secret=secret, key=key)
    return whole[:room] if len(whole) - room <= DIGEST_CHARACTERS - LEAST_CHARACTERS else None


def integer_text(value: bytes, *, secret: bytes, size: int) -> bytes:
    """A signed integer of ``size`` bytes, as digits."""
    try:
        number = int(value)
    except ValueError:
        raise PeerError("a row does not parse: no integer") from None
    return b"%d" % int.from_bytes(_integer(number, secret, size), "big", signed=True)


def integer_binary(value: bytes, *, secret: bytes, size: int) -> bytes:
    """A signed integer of ``size`` bytes, big-endian."""
    if len(value) != size:
        raise PeerError("a row does not parse: no integer")
    return _integer(int.from_bytes(value, "big", signed=True), secret, size)


def _integer(number: int, secret: bytes, size: int) -> bytes:
    """Uniform over all that the type holds: any bit pattern is an integer."""
    return _digest(secret, b"integer", b"%d" % number)[:size]


def uuid_text(value: bytes, *, secret: bytes) -> bytes:
    """A UUID as 36 characters."""
    try:
        plain = UUID(value.decode("ascii")).bytes
    except ValueError:
        raise PeerError("a row does not parse: no uuid") from None
    return str(UUID(bytes=uuid_binary(plain, secret=secret))).encode()


def uuid_binary(value: bytes, *, secret: bytes) -> bytes:
    """A UUID as 16 bytes: version 8, made of what an application likes (RFC 9562 section 5.8); 122 bits of digest."""
    if len(value) != UUID_BYTES:
        raise PeerError("a row does not parse: no uuid")
    made = bytearray(_digest(secret, b"uuid", value)[:UUID_BYTES])
    made[6] = 0x80 | made[6] & 0x0F
    made[8] = 0x80 | made[8] & 0x3F
    return bytes(made)
