"""One column of a result, as RowDescription describes it."""

from __future__ import annotations

from gateway.errors import PeerError
from gateway.model import ResultField

MAX_COLUMNS = 1664
"""PostgreSQL's MaxTupleAttributeNumber: no result has more columns."""

_FIXED = 18
"""Bytes of a field behind its name: int32, int16, int32, int16, int32, int16."""


Field = ResultField


def parse_row_description(body: bytes) -> tuple[Field, ...]:
    """The fields of a RowDescription, ``body`` without kind and length. Raises PeerError when it doesn't parse."""
    if len(body) < 2:
        raise PeerError("a row description does not parse: no number of fields")
    count = int.from_bytes(body[:2], "big")
    if count > MAX_COLUMNS:
        raise PeerError("a row description does not parse: too many fields")
    fields = []
    pos = 2
    for _ in range(count):
        end = body.find(b"\0", pos)
        if end < 0 or end + 1 + _FIXED > len(body):
            raise PeerError("a row description does not parse: it is cut")
        rest = body[end + 1 : end + 1 + _FIXED]
        format_code = int.from_bytes(rest[16:18], "big")
        if format_code > 1:
            raise PeerError("a row description does not parse: unknown format")
        fields.append(
            Field(
                name=body[pos:end],
                table_oid=int.from_bytes(rest[0:4], "big"),
                attnum=int.from_bytes(rest[4:6], "big", signed=True),
                type_oid=int.from_bytes(rest[6:10], "big"),
                typmod=int.from_bytes(rest[12:16], "big", signed=True),
                format=format_code,
            )
        )
        pos = end + 1 + _FIXED
    if pos != len(body):
        raise PeerError("a row description does not parse: bytes behind the last field")
    return tuple(fields)
