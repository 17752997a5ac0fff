"""What the codecs of this package share: one error, one shape.

A codec takes a cell apart, gives each value in it to a `Rewrite`, and puts the cell together again. What the rewrite
leaves as it is (it returns the same object) stays byte for byte, with the spelling of everything around it; a codec
whose values all stay returns the object that it was given, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Rewrite: TypeAlias = Callable[[bytes], bytes | None]
"""A value -> the same object, another value, or None: NULL."""

ByType: TypeAlias = Callable[[int], Rewrite | None]
"""The rewrite for values of a type OID; None: they stay."""


class Malformed(ValueError):
    """The bytes aren't what PostgreSQL writes for this type: the cell is masked whole. All that a codec raises."""


class TooDeep(Malformed):
    """More values inside each other than are followed; also whoever tries several readings gives up."""


class Pieces:
    """A copy of ``source`` with some spans replaced."""

    __slots__ = ("_done", "_parts", "_source")

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._parts: list[bytes] = []
        self._done = 0

    def replace(self, start: int, end: int, piece: bytes) -> None:
        """Spans come in order and don't overlap."""
        self._parts += (self._source[self._done : start], piece)
        self._done = end

    def whole(self) -> bytes:
        """The source itself when nothing was replaced."""
        if not self._parts:
            return self._source
        return b"".join((*self._parts, self._source[self._done :]))


def int32(data: bytes, pos: int) -> int:
    """The signed number at ``pos`` in network order. Raises Malformed when it isn't all there."""
    if len(data) - pos < 4:
        raise Malformed("cut in a number")
    return int.from_bytes(data[pos : pos + 4], "big", signed=True)


def sized(data: bytes, pos: int) -> tuple[bytes | None, int]:
    """The value behind its int32 length (-1: NULL), and where it ends. Raises Malformed."""
    size = int32(data, pos)
    pos += 4
    if size == -1:
        return None, pos
    if size < 0 or size > len(data) - pos:
        raise Malformed("a value's length goes beyond the cell")
    return data[pos : pos + size], pos + size
