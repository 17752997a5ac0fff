"""Arrays, element by element (src/backend/utils/adt/arrayfuncs.c: array_out, array_send; manual 8.15.6).

Text:    ``{a,"b \\"c\\"",NULL,{...}}``, before it ``[2:3]=`` for each dimension when one doesn't begin at 1.
Binary:  int32 dimensions, int32 whether there are NULLs, int32 type of the elements, for each dimension int32 size
         and int32 lower bound, then the elements, each behind its int32 length (-1: NULL).
"""

from __future__ import annotations

import re

from gateway.masking.cells.parsing import ByType, Malformed, Pieces, Rewrite, int32, sized
from gateway.masking.rows import framed
from gateway.masking.substitution import escaped_character, substituted, with_backslash

MAX_DIMENSIONS = 6
"""PostgreSQL's MAXDIM."""

_BOUNDS = re.compile(rb"(?:\[-?\d+:-?\d+\]){1,6}=")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_PLAIN = re.compile(rb'[^",{}\\\s]++')
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_SPECIAL = re.compile(rb'["\\]')

_OPEN, _CLOSE, _COMMA = b"{},"
_HEADER = 12


def rewrite_text(value: bytes, element: Rewrite) -> bytes:
    """An array as text. Raises Malformed."""
    bounds = _BOUNDS.match(value)
    pos = bounds.end() if bounds is not None else 0
    pieces = Pieces(value)
    depth = 0
    wants, may_close = True, False  # an element comes next; the array that it would belong to may be empty
    while depth or wants:
        byte = value[pos] if pos < len(value) else -1
        if byte == _OPEN and wants and depth < MAX_DIMENSIONS:
            depth += 1
            pos += 1
            may_close = True
        elif byte == _CLOSE and depth and (may_close or not wants):
            depth -= 1
            pos += 1
            wants, may_close = False, False
        elif byte == _COMMA and not wants:
            pos += 1
            wants = True
        elif wants and depth:
            pos = _element(value, pos, element, pieces)
            wants, may_close = False, False
        else:
            raise Malformed("not an array")
    if pos != len(value):
        raise Malformed("bytes behind an array")
    return pieces.whole()


def _element(value: bytes, pos: int, element: Rewrite, pieces: Pieces) -> int:
    """One element at ``pos``; where it ends."""
    quoted = _QUOTED.match(value, pos)
    if quoted is not None:
        content = quoted[1]
        shown = substituted(_ESCAPED, escaped_character, content) if b"\\" in content else content
        end = quoted.end()
    else:
        plain = _PLAIN.match(value, pos)
        if plain is None:
            raise Malformed("not an array")
        shown, end = plain[0], plain.end()
        if shown.upper() == b"NULL":
            return end
    masked = element(shown)
    if masked is not shown:
        pieces.replace(pos, end, b"NULL" if masked is None else quote(masked))
    return end


def quote(value: bytes) -> bytes:
    """A value as it stands in quotes inside an array or an hstore."""
    return b'"' + substituted(_SPECIAL, with_backslash, value) + b'"'


def rewrite_binary(value: bytes, by_type: ByType) -> bytes:
    """An array in binary format; ``by_type`` is asked for the type that it names. Raises Malformed."""
    dimensions, nulls = int32(value, 0), int32(value, 4)
    element = by_type(int.from_bytes(value[8:12], "big"))
    pos = _HEADER + 8 * dimensions
    if not 0 <= dimensions <= MAX_DIMENSIONS or nulls not in (0, 1) or pos > len(value):
        raise Malformed("not an array")
    count = 1 if dimensions else 0
    for dimension in range(dimensions):
        count *= max(0, int32(value, _HEADER + 8 * dimension))
    if count > (len(value) - pos) // 4:
        raise Malformed("an array has fewer elements than it says")
    pieces = Pieces(value)
    for _ in range(count):
        start = pos
        shown, pos = sized(value, start)
        if shown is None or element is None:
            continue
        masked = element(shown)
        if masked is not shown:
            pieces.replace(start, pos, framed(masked))
            nulls |= masked is None
    if pos != len(value):
        raise Malformed("bytes behind an array")
    whole = pieces.whole()
    return whole if whole is value else whole[:4] + nulls.to_bytes(4, "big") + whole[8:]
