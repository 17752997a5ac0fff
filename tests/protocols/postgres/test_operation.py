from __future__ import annotations

import struct

import pytest

from gateway.protocols.postgres.operation import decode, function_call, parsed, type_oids, undecodable
from gateway.sql import analyse, resolve


@pytest.mark.parametrize("encoding", [b"UTF8", b"LATIN1", b"SQL_ASCII", b"SJIS", b"WIN1252"])
def test_ascii_is_the_same_in_every_encoding(encoding: bytes) -> None:
    assert decode(b"select 1", encoding) == "select 1"


def test_text_beyond_ascii() -> None:
    assert decode("é".encode(), b"UTF8") == "é"
    assert decode(b"\xe9", b"LATIN1") == "é"
    assert decode(b"\xe9", b"UTF8") is None


@pytest.mark.parametrize("encoding", [b"SJIS", b"BIG5", b"GBK", b"GB18030", b"unheard of"])
def test_encodings_that_can_hide_a_backslash_are_not_read(encoding: bytes) -> None:
    assert decode(b"select '\x95\x5c'", encoding) is None
    analysis = undecodable(b"select '\x95\x5c'", encoding)
    assert analysis.opaque is not None
    assert analysis.statements == ()


def test_a_function_call_is_opaque_and_has_its_verb() -> None:
    operation = function_call()
    assert operation.verbs == {"function_call"}
    assert operation.opaque is not None


def test_parameter_types() -> None:
    assert type_oids(struct.pack("!hII", 2, 25, 2**32 - 1)) == (25, 2**32 - 1)
    assert type_oids(b"\0\0") == ()
    assert type_oids(b"") == ()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("select 1", set()),
        ("prepare s as select 1", {"s"}),
        ("deallocate s", {"s"}),
        ("declare c cursor for select 1", {"c"}),
        ("close c", {"c"}),
        ("prepare s as select 1; declare c cursor for select 1", {"s", "c"}),
        ('prepare "S x" as select 1', {"S x"}),
    ],
)
def test_names_that_sql_makes_or_drops(text: str, names: set[str]) -> None:
    analysis = analyse(text)
    assert parsed(analysis, resolve(analysis, None)).names == names
