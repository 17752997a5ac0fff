from __future__ import annotations

import json
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from masking.cells.test_numbers import CARD, numeric_binary
from masking.cells.written import (
    array_binary,
    array_text,
    composite_binary,
    composite_text,
    framed,
    hstore_binary,
    hstore_text,
    null,
    stars,
)

from gateway.json_paths import parse_path
from gateway.masking.cells.json_paths import Paths
from gateway.masking.cells.parsing import Malformed
from gateway.masking.cells.search import MAX_NESTED, Search
from gateway.masking.cells.types import ELEMENTS, NOTHING
from gateway.model import Method

BOOL, TEXT, USER, USER_ARRAY = 16, 25, 16_500, 16_501
BYTEA, INT8, JSON, XML, FLOAT8, INET, NUMERIC, RECORD, RECORD_ARRAY, JSONB = (
    17,
    20,
    114,
    142,
    701,
    869,
    1700,
    2249,
    2287,
    3802,
)
PAN = str(CARD).encode()


def look(value: bytes, hint: str) -> bytes | None:
    """Finds ``hush``, the card number, an address, and anything that isn't empty where the hint says so."""
    if PAN in value or b"10.0.0.1" in value or (hint == "secret" and value):
        return b"****"
    return stars(value)


def shown(type_oid: int, value: bytes, *, binary: bool = False, hint: str = "") -> bytes | None:
    rewrite = Search(look, hint).rewrite(type_oid, binary)
    assert rewrite is not None
    return rewrite(value)


ESCAPED = rb'{"a":"\u0068ush"}'
MASKED = b'{"a":"****"}'


@pytest.mark.parametrize(
    ("type_oid", "value", "expected"),
    [
        pytest.param(TEXT, b"a hush", b"a ****", id="text"),
        pytest.param(TEXT, ESCAPED, MASKED, id="json in text"),
        pytest.param(TEXT, rb"C:\users hush", rb"C:\users ****", id="a backslash that is no json"),
        pytest.param(JSON, ESCAPED, MASKED, id="json"),
        pytest.param(JSONB, ESCAPED, MASKED, id="jsonb"),
        pytest.param(JSON, b'{"n": %d}' % CARD, b'{"n": null}', id="a number in json"),
        pytest.param(JSON, b'{"secret": ["x", 1]}', b'{"secret": ["****", 1]}', id="a key is a hint"),
        pytest.param(XML, b"<a>&#104;ush</a>", b"<a>****</a>", id="xml"),
        pytest.param(BYTEA, b"\\x" + b"hush".hex().encode(), b"\\x" + b"****".hex().encode(), id="bytea"),
        pytest.param(INT8, PAN, None, id="int8"),
        pytest.param(NUMERIC, PAN + b".00", None, id="numeric"),
        pytest.param(FLOAT8, b"4.111111111111111e+15", None, id="float8"),
        pytest.param(INET, b"10.0.0.1/8", None, id="inet"),
        pytest.param(1009, b'{a,"hush, x"}', b'{a,"****, x"}', id="text[]"),
        pytest.param(199, array_text([ESCAPED]), array_text([MASKED]), id="json[]"),
        pytest.param(1016, b"{1,%d}" % CARD, b"{1,NULL}", id="int8[]"),
        pytest.param(1001, b'{"\\\\x68757368"}', b'{"\\\\x2a2a2a2a"}', id="bytea[]"),
        pytest.param(RECORD, b"(1,hush,2)", b"(1,,2)", id="record"),
        pytest.param(RECORD, composite_text([b"1", ESCAPED]), composite_text([b"1", MASKED]), id="json in a record"),
        pytest.param(RECORD_ARRAY, array_text([b"(1,hush)"]), array_text([b"(1,)"]), id="record[]"),
        pytest.param(USER, b"hush@", None, id="an enum, or citext"),
        pytest.param(USER, b"(1,hush)", b"(1,)", id="a composite"),
        pytest.param(USER, b"{a,hush}", b"{a,NULL}", id="an array of enums"),
        pytest.param(USER, b"[a,hush]", None, id="a range"),
        pytest.param(USER, hstore_text([(b"hush", b"hush")]), hstore_text([(b"****", b"****")]), id="hstore"),
        pytest.param(USER, composite_text([b"1", composite_text([b'x"', b"hush"])]),
                     composite_text([b"1", composite_text([b'x"', None])]), id="a composite in a composite"),
        pytest.param(USER, b"(\"\\\\x68757368\")", b'("\\\\x2a2a2a2a")', id="bytea in a composite"),
        pytest.param(USER, b"(h,u)hush", None, id="looks like a composite"),
        pytest.param(3614, b"'a':1 'hush':2", None, id="tsvector"),
    ],
)  # fmt: skip
def test_text_format(type_oid: int, value: bytes, expected: bytes | None) -> None:
    assert shown(type_oid, value) == expected


@pytest.mark.parametrize(
    ("type_oid", "value", "expected"),
    [
        pytest.param(TEXT, b"a hush", b"a ****", id="text"),
        pytest.param(JSON, ESCAPED, MASKED, id="json"),
        pytest.param(JSONB, b"\1" + ESCAPED, b"\1" + MASKED, id="jsonb"),
        pytest.param(BYTEA, b"hush", b"****", id="bytea"),
        pytest.param(INT8, struct.pack("!q", CARD), None, id="int8"),
        pytest.param(NUMERIC, numeric_binary(Decimal(CARD)), None, id="numeric"),
        pytest.param(FLOAT8, struct.pack("!d", CARD), None, id="float8"),
        pytest.param(INET, bytes([2, 32, 0, 4, 10, 0, 0, 1]), None, id="inet"),
        pytest.param(1009, array_binary([b"hush", None]), array_binary([b"****", None]), id="text[]"),
        pytest.param(3807, array_binary([b"\1" + ESCAPED], JSONB), array_binary([b"\1" + MASKED], JSONB), id="jsonb[]"),
        pytest.param(1016, array_binary([struct.pack("!q", CARD)], INT8), array_binary([None], INT8), id="int8[]"),
        pytest.param(RECORD, composite_binary([(BOOL, b"\1"), (TEXT, b"hush"), (INT8, struct.pack("!q", CARD))]),
                     composite_binary([(BOOL, b"\1"), (TEXT, b"****"), (INT8, None)]), id="record"),
        pytest.param(RECORD_ARRAY, array_binary([composite_binary([(TEXT, b"hush")])], RECORD),
                     array_binary([composite_binary([(TEXT, b"****")])], RECORD), id="record[]"),
        pytest.param(USER, b"hush", None, id="an enum, or citext"),
        pytest.param(USER, composite_binary([(TEXT, b"hush")]), composite_binary([(TEXT, b"****")]), id="a composite"),
        pytest.param(USER_ARRAY, array_binary([b"a", b"hush"], USER), array_binary([b"a", None], USER), id="enum[]"),
        pytest.param(USER, b"\2" + framed(b"a") + framed(b"hush"), None, id="a range"),
        pytest.param(USER, hstore_binary([(b"hush", b"x")]), hstore_binary([(b"****", b"x")]), id="hstore"),
    ],
)  # fmt: skip
def test_binary_format(type_oid: int, value: bytes, expected: bytes | None) -> None:
    assert shown(type_oid, value, binary=True) == expected


def test_a_length_is_no_part_of_what_stands_behind_it() -> None:
    """Here its last byte is a digit: whoever looks for a number that stands for itself would not find this one."""

    def alone(value: bytes, hint: str) -> bytes | None:
        at = value.find(b"123")
        return value if at < 0 or value[at - 1 : at].isalnum() else None

    unknown = Search(alone).rewrite(USER, binary=True)
    assert unknown is not None
    for size in (0x31, 0x3131):
        assert unknown(b"\2\0" + struct.pack("!i", size) + b"123".ljust(size)) is None


@pytest.mark.parametrize("binary", [False, True])
def test_what_stays_is_the_same_object(binary: bool) -> None:
    clean = {
        TEXT: b"a", JSON: b"{}", BYTEA: b"\\x61", XML: b"<a/>", 1009: array_text([b"a"]), RECORD: b"(a)", USER: b"a",
    } if not binary else {
        TEXT: b"a", JSONB: b"\1{}", BYTEA: b"a", INT8: bytes(8), FLOAT8: bytes(8), NUMERIC: bytes(8),
        1009: array_binary([b"a"]), RECORD: composite_binary([(TEXT, b"a")]), USER: b"a\0\0\0\1b",
    }  # fmt: skip
    for type_oid, value in clean.items():
        assert shown(type_oid, value, binary=binary) is value


@pytest.mark.parametrize("innermost", [b"a", b'{"a":"\\u0068ush"}'])
def test_values_inside_each_other_are_bounded(innermost: bytes) -> None:
    value = innermost
    for _ in range(MAX_NESTED + 1):
        value = composite_text([value])
    with pytest.raises(Malformed, match="inside each other"):
        shown(USER, value)


def test_json_in_text_is_not_searched_as_text_where_it_is_too_deep() -> None:
    with pytest.raises(Malformed, match="inside each other"):
        shown(TEXT, b"[" * 1001 + b'"\\u0068ush"' + b"]" * 1001)


@pytest.mark.parametrize("type_oid", sorted(NOTHING))
def test_types_that_hold_nothing(type_oid: int) -> None:
    assert Search(look).rewrite(type_oid, binary=False) is None
    assert Search(look).rewrite(type_oid, binary=True) is None


class TestPaths:
    @staticmethod
    def shown(document: str, *paths: tuple[str, Method]) -> object:
        marks = {
            "null": null,
            "redact": lambda _: b"####",
            "partial": lambda text: text[:1] + b"*",
            "clear": lambda text: text,
        }
        named = Paths(tuple((parse_path(path), (method, marks[method.name])) for path, method in paths))
        rewrite = Search(look, "", named).rewrite(JSON, binary=False)
        assert rewrite is not None
        masked = rewrite(document.encode())
        assert masked is not None
        return json.loads(masked)

    def test_the_label_is_masked_and_the_rest_searched(self) -> None:
        document = '{"email": "x@y", "other": "hush", "b": {"email": ["p", 1, null, {"n": true}]}}'
        assert self.shown(document, ("$..email", Method("redact"))) == {
            "email": "####", "other": "****", "b": {"email": ["####", None, None, {"n": None}]},
        }  # fmt: skip

    def test_a_clear_label_beats_what_could_be_found(self) -> None:
        assert self.shown('{"a": "hush", "b": "hush"}', ("$.a", Method("clear"))) == {"a": "hush", "b": "****"}

    def test_the_strictest_of_several(self) -> None:
        paths = ("$..a", Method("clear")), ("$.a", Method("partial")), ("$[*]", Method("redact"))
        assert self.shown('{"a": "xyz"}', *paths) == {"a": "####"}
        assert self.shown('{"a": "xyz"}', *paths[:2]) == {"a": "x*"}


SEARCHED = [TEXT, BYTEA, INT8, JSON, XML, FLOAT8, INET, NUMERIC, RECORD, JSONB, USER, *ELEMENTS]


@given(noise=st.binary(max_size=80), type_oid=st.sampled_from(SEARCHED), binary=st.booleans())
def test_noise_is_malformed_or_masked(noise: bytes, type_oid: int, binary: bool) -> None:
    try:
        masked = shown(type_oid, noise, binary=binary)
    except Malformed:
        return
    assert masked is None or b"hush" not in masked or type_oid == BYTEA
