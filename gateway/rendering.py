"""The bytes that are made for each operation: frames of a recording, lines of the audit log, events of either.

This is the plain Python of it, and says what is right. `_rendering.pyx` is the same in C, which the compiled modules
call (they `cimport` it under this one's name), and tests/test_rendering.py holds the two side by side. What they share
is small on purpose: between two operations other processes fill the caches, so that a path costs what it touches, and
hashlib's way to SHA-256 (OpenSSL's EVP) touches more than all the rest of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from hashlib import sha256
from struct import Struct

import orjson

PREFIX = Struct(">IBBHQ")
CHECK = Struct(">I")


def frame(chain: bytes, kind: int, flags: int, count: int, number: int, payload: bytes) -> tuple[bytes, bytes]:
    """One frame of a recording as stored, and the chain value after it (docs/recording-format.md).

    chain  the chain value before it (32 bytes), count  events in it (16 bits), number  of its first event (64 bits)
    """
    fields = PREFIX.pack(len(payload), kind, flags, count, number)
    body = fields + CHECK.pack(zlib.crc32(fields)) + payload
    after = sha256(chain + body).digest()
    return body + after, after


NO_NUMBER = -1
"""In the place of an operation's number: nothing stands there."""


def audit_line(
    chain: bytes,
    sequence: int,
    uid: bytes,
    constant: bytes,
    millisecond: int,
    device: bytes,
    before: bytes,
    number: int,
    after: bytes,
) -> tuple[bytes, bytes]:
    """One line of the audit log, and the chain value after it (`gateway.audit.log`).

    The pieces stand around and between the numbers, in this order; ``sequence`` stands before and behind ``uid``.
    """
    digits = b"%d" % sequence
    told = b"" if number == NO_NUMBER else b"%d" % number
    pieces = [uid, digits, constant, b"%d" % millisecond, device, before, told, after]
    body = b"".join([b'{"metadata":{"sequence":', digits, *pieces])
    link = sha256(chain + body).digest()
    return b'%b,"chain":"%b"}}\n' % (body, link.hex().encode("ascii")), link


def operation_event(time: bytes, number: int, constant: bytes, parameters: bytes) -> bytes:
    """A recording's line about an operation.

    time  as JSON, constant  members that stay the same, parameters  as JSON, empty: there are none
    """
    rest = b',"parameters":' + parameters if parameters else b""
    return b'{"event":"operation","time":%b,"operation":%d,%b%b}\n' % (time, number, constant, rest)


def result_event(time: bytes, number: int, status: bytes, rows: int, size: int, columns: bytes) -> bytes:
    """A recording's line about how an operation ended.

    time, status  as JSON, columns  further members, each behind a comma
    """
    fields = (time, number, status, rows, size, columns)
    return b'{"event":"result","time":%b,"operation":%d,"status":%b,"rows":%d,"size":%d%b}\n' % fields


PLAIN = 4096
"""Bytes of values, all together, that are looked at one by one before they are rendered: what an application runs again
and again has few and short ones."""


def plain_texts(values: Sequence[bytes | None]) -> bytes:
    """The values as a JSON list, where all are short (`PLAIN`) texts that need no escape (printable ASCII without
    quotation marks and backslashes); else empty."""
    rendered = []
    size = 0
    for value in values:
        size += len(value) if value is not None else 0
        if value is None or size > PLAIN or not value.isascii() or b'"' in value or b"\\" in value:
            return b""
        text = value.decode("ascii")
        if not text.isprintable():
            return b""
        rendered.append(text)
    return orjson.dumps(rendered)
