"""Messages -> `gateway.model.SqlOperation`: what the text says, in the encoding that the session speaks."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Final

from gateway.model import SqlOperation
from gateway.sql import Analysis, unread

DECODED: Final = {b"UTF8": "utf-8", b"LATIN1": "latin-1", b"SQL_ASCII": "utf-8"}
"""client_encoding -> Python's codec for it. In no other is text beyond ASCII read: in SJIS, BIG5 or GBK the second byte
of a character can be a backslash, and one disagreement with the target about where a literal ends is a hole."""


def decode(raw: bytes, encoding: bytes) -> str | None:
    """The text; None when it can't be read for certain."""
    if raw.isascii():
        return raw.decode("ascii")
    codec = DECODED.get(encoding)
    if codec is None:
        return None
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        return None


def undecodable(raw: bytes, encoding: bytes) -> Analysis:
    """The analysis of a text that `decode` can't read."""
    shown = encoding.decode("ascii", "replace")
    return unread(raw.decode("utf-8", "replace"), f"text beyond ASCII can't be read for certain in {shown}")


def function_call() -> SqlOperation:
    """The protocol's FunctionCall names a function by OID: what it does isn't known (denied by default)."""
    text = "<FunctionCall>"
    return SqlOperation(
        text=text,
        normalised=text,
        digest=sha256(text.encode()).hexdigest(),
        verbs=frozenset({"function_call"}),
        opaque="a function called by its OID",
        unshown="a function called by its OID",
    )


def type_oids(types: bytes) -> tuple[int, ...]:
    """OIDs of the parameter types that a Parse states; checked by the wire."""
    return tuple(int.from_bytes(types[pos : pos + 4]) for pos in range(2, len(types), 4))


def parsed(analysis: Analysis, operation: SqlOperation) -> SqlOperation:
    """``operation`` with the names of statements and cursors that its text makes or drops."""
    names = frozenset(
        name
        for statement in analysis.statements
        for name in (statement.prepares, statement.declares, statement.deallocates, statement.closes)
        if name is not None
    )
    return replace(operation, names=names) if names else operation
