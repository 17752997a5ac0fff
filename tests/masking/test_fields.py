from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PeerError
from gateway.masking.fields import MAX_COLUMNS, Field, parse_row_description

fields = st.builds(
    Field,
    name=st.binary(max_size=12).map(lambda name: name.replace(b"\0", b"")),
    table_oid=st.integers(0, 2**32 - 1),
    attnum=st.integers(-(2**15), 2**15 - 1),
    type_oid=st.integers(0, 2**32 - 1),
    typmod=st.integers(-(2**31), 2**31 - 1),
    format=st.integers(0, 1),
)


def body(*described: Field) -> bytes:
    out = struct.pack("!H", len(described))
    for field in described:
        out += field.name + b"\0"
        out += struct.pack("!IhIhih", field.table_oid, field.attnum, field.type_oid, -1, field.typmod, field.format)
    return out


@given(st.lists(fields, max_size=6))
def test_reads_what_the_server_describes(described: list[Field]) -> None:
    assert parse_row_description(body(*described)) == tuple(described)


@given(st.lists(fields, max_size=3), st.binary(min_size=1, max_size=4))
def test_trailing_data_is_an_error(described: list[Field], behind: bytes) -> None:
    with pytest.raises(PeerError):
        parse_row_description(body(*described) + behind)


@given(st.lists(fields, min_size=1, max_size=3), st.data())
def test_a_cut_description_is_an_error(described: list[Field], data: st.DataObject) -> None:
    whole = body(*described)
    with pytest.raises(PeerError):
        parse_row_description(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=80))
def test_noise_is_an_error_or_fields(noise: bytes) -> None:
    with suppress(PeerError):
        parse_row_description(noise)


def test_too_many_fields_are_refused_before_they_are_read() -> None:
    with pytest.raises(PeerError, match="too many"):
        parse_row_description(struct.pack("!H", MAX_COLUMNS + 1))


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(PeerError, match="format"):
        parse_row_description(body(Field(b"a", 1, 1, 25, -1, 2)))
