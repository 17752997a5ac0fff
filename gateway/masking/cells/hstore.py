"""hstore, key by key and value by value (contrib/hstore/hstore_io.c: hstore_out, hstore_send).

Text:    ``"key"=>"value", "other"=>NULL``
Binary:  int32 number of pairs, then for each the key behind its int32 length and the value likewise (-1: NULL).

The type belongs to an extension, so its OID is another in each database: a value is one if it parses as one, whole.
"""

from __future__ import annotations

import re

from gateway.masking.cells.arrays import quote
from gateway.masking.cells.parsing import Malformed, Pieces, Rewrite, int32, sized
from gateway.masking.rows import framed
from gateway.masking.substitution import escaped_character, substituted

_PAIR = re.compile(rb'"((?:[^"\\]|\\.)*+)"=>(?:NULL|"((?:[^"\\]|\\.)*+)")', re.DOTALL)
_BETWEEN = b", "
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)

STARS = b"****"
"""A key in which something was found that becomes NULL: a key can't."""


def rewrite_text(value: bytes, item: Rewrite) -> bytes:
    """An hstore as text; ``item`` gets keys as well as values. Raises Malformed."""
    pieces = Pieces(value)
    pos = 0
    while True:
        pair = _PAIR.match(value, pos)
        if pair is None:
            raise Malformed("not an hstore")
        for group in (1, 2):
            content = pair[group]
            if content is None:
                continue
            shown = substituted(_ESCAPED, escaped_character, content) if b"\\" in content else content
            masked = item(shown)
            if masked is not shown:
                start, end = pair.start(group) - 1, pair.end(group) + 1
                pieces.replace(start, end, quote(_key(masked)) if group == 1 else _value(masked))
        pos = pair.end()
        if pos == len(value):
            return pieces.whole()
        if not value.startswith(_BETWEEN, pos):
            raise Malformed("not an hstore")
        pos += len(_BETWEEN)


def rewrite_binary(value: bytes, item: Rewrite) -> bytes:
    """An hstore in binary format. Raises Malformed."""
    count = int32(value, 0)
    if not 0 < count <= (len(value) - 4) // 8:
        raise Malformed("not an hstore")
    pieces = Pieces(value)
    pos = 4
    for number in range(2 * count):
        start = pos
        shown, pos = sized(value, start)
        if shown is None:
            if number % 2 == 0:
                raise Malformed("not an hstore")
            continue
        masked = item(shown)
        if masked is not shown:
            pieces.replace(start, pos, framed(_key(masked) if number % 2 == 0 else masked))
    if pos != len(value):
        raise Malformed("bytes behind an hstore")
    return pieces.whole()


def _key(masked: bytes | None) -> bytes:
    return STARS if masked is None else masked


def _value(masked: bytes | None) -> bytes:
    return b"NULL" if masked is None else quote(masked)
