"""Composites and records, field by field (src/backend/utils/adt/rowtypes.c: record_out, record_send; manual 8.16.6).

Text:    ``(a,"b, c",)``; in quotes a quote and a backslash are doubled; nothing at all is NULL.
Binary:  int32 number of fields, then for each the int32 OID of its type and the value behind its int32 length.
"""

from __future__ import annotations

import re

from gateway.masking.cells.parsing import ByType, Malformed, Pieces, Rewrite, int32, sized
from gateway.masking.rows import framed
from gateway.masking.substitution import doubled, escaped_character, substituted

_QUOTED = re.compile(rb'"((?:[^"\\]|\\.|"")*+)"', re.DOTALL)
_PLAIN = re.compile(rb'[^",()\\\s]*+')
_ESCAPED = re.compile(rb'\\(.)|"(")', re.DOTALL)
_SPECIAL = re.compile(rb'["\\]')

_OPEN, _CLOSE, _COMMA = b"(),"


def rewrite_text(value: bytes, field: Rewrite) -> bytes:
    """A composite as text; what ``field`` makes NULL becomes nothing between its commas. Raises Malformed."""
    if len(value) < 2 or value[0] != _OPEN:
        raise Malformed("not a composite")
    pieces = Pieces(value)
    pos = 0
    while True:
        start = pos + 1
        quoted = _QUOTED.match(value, start)
        if quoted is not None:
            content = quoted[1]
            escaped = b"\\" in content or b'"' in content
            shown = substituted(_ESCAPED, escaped_character, content) if escaped else content
            pos = quoted.end()
        else:
            plain = _PLAIN.match(value, start)
            assert plain is not None  # it matches nothing, too
            shown, pos = plain[0], plain.end()
        if pos > start:
            masked = field(shown)
            if masked is not shown:
                pieces.replace(
                    start, pos, b"" if masked is None else b'"' + substituted(_SPECIAL, doubled, masked) + b'"'
                )
        byte = value[pos] if pos < len(value) else -1
        if byte == _CLOSE:
            break
        if byte != _COMMA:
            raise Malformed("not a composite")
    if pos + 1 != len(value):
        raise Malformed("bytes behind a composite")
    return pieces.whole()


def rewrite_binary(value: bytes, by_type: ByType) -> bytes:
    """A composite in binary format. Raises Malformed."""
    count = int32(value, 0)
    if not 0 <= count <= (len(value) - 4) // 8:
        raise Malformed("a composite has fewer fields than it says")
    pieces = Pieces(value)
    pos = 4
    for _ in range(count):
        field = by_type(int.from_bytes(value[pos : pos + 4], "big"))
        start = pos + 4
        shown, pos = sized(value, start)
        if shown is None or field is None:
            continue
        masked = field(shown)
        if masked is not shown:
            pieces.replace(start, pos, framed(masked))
    if pos != len(value):
        raise Malformed("bytes behind a composite")
    return pieces.whole()
