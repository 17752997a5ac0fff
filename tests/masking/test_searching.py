"""Cells are searched in batches; whatever stands in the rows around one, it is masked as if it stood alone."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import PeerError
from gateway.json_paths import parse_path
from gateway.masking import NO_KEYS, Field, Keyring, plan_row
from gateway.masking.detection import Detection, detection
from gateway.masking.detectors import DETECTORS
from gateway.masking.plan import MAX_AT_ONCE, RowMask
from gateway.masking.rows import framed
from gateway.masking.searching import BATCH_BYTES, BATCH_ROWS
from gateway.model import Method

Value = bytes | None

INT4, INT8, TEXT, JSON, JSONB, BYTEA, TEXT_ARRAY, USER = 23, 20, 25, 114, 3802, 17, 1009, 16_500
CLEAR, REDACT, NULL = Method("clear"), Method("redact"), Method("null")
ALL = dict.fromkeys(DETECTORS, REDACT)


def row(*values: Value) -> bytes:
    body = struct.pack("!H", len(values)) + b"".join(map(framed, values))
    return b"D" + struct.pack("!i", len(body) + 4) + body


def found(methods: dict[str, Method] = ALL) -> Detection:
    made = detection(methods, ())
    assert made is not None
    return made


def mask(*columns: tuple[str, int], binary: bool = False, searched: Detection | None = None) -> RowMask:
    fields = [Field(name.encode(), 0, 0, type_oid, -1, int(binary)) for name, type_oid in columns]
    made = plan_row(fields, [CLEAR] * len(fields), NO_KEYS, searched or found())
    assert made is not None
    return made


pieces = st.sampled_from(
    ["alice@example.com", "123-45-6789", "4111 1111 1111 1111", "4111111111111111", "ssn", " ", ",", "\\", "\\u0040",
     "a", "1", "12", "-", "card: ", "+1 202 555 0143", "10.1.2.3", "é", "٣", '"', "AKIAIOSFODNN7EXAMPLE", "password ",
     "@b.de"]
)  # fmt: skip
texts = st.lists(pieces, max_size=4).map("".join).map(str.encode)
columns = [("id", INT4), ("note", TEXT), ("ssn", TEXT), ("document", JSON), ("count", INT8), ("tags", TEXT_ARRAY),
           ("kind", USER)]  # fmt: skip


@settings(deadline=None)  # the first example compiles the detectors
@given(values=st.lists(st.tuples(*[st.none() | texts] * len(columns)), max_size=2 * BATCH_ROWS))
def test_cells_are_masked_as_if_each_stood_alone(values: list[tuple[Value, ...]]) -> None:
    alone = [mask(column) if column[1] != INT4 else None for column in columns]
    expected = []
    for each in values:
        shown = [row(value) if one is None else one.apply(row(value)) for one, value in zip(alone, each, strict=True)]
        body = struct.pack("!H", len(columns)) + b"".join(message[7:] for message in shown)
        expected.append(b"D" + struct.pack("!i", len(body) + 4) + body)
    assert mask(*columns).apply(b"".join(row(*each) for each in values)) == b"".join(expected)


@settings(deadline=None)
@given(value=texts)
def test_one_text_is_masked_as_the_detectors_say(value: bytes) -> None:
    if b"\\u" not in value:
        assert mask(("note", TEXT)).apply(row(value)) == row(found().mask_text(value, NO_KEYS, "note"))


def test_values_and_context_words_do_not_go_from_cell_to_cell() -> None:
    """Half a value in each of two cells is none, and a word in the next cell says nothing about a number."""
    rows = [row(b"1", b"ssn:"), row(b"2", b"123456789"), row(b"3", b"alice@exam"), row(b"4", b"ple.com")]
    assert mask(("id", INT4), ("note", TEXT)).apply(b"".join(rows)) == b"".join(rows)
    assert mask(("id", INT4), ("ssn", TEXT)).apply(rows[1]) == row(b"2", b"****")


@pytest.mark.parametrize("place", [0, 1, BATCH_ROWS - 1, BATCH_ROWS, 3 * BATCH_ROWS - 1])
@pytest.mark.parametrize("labelled", [False, True])
def test_one_find_among_many_rows(place: int, labelled: bool) -> None:
    fields = [Field(b"a", 0, 0, TEXT, -1, 0), Field(b"b", 0, 0, TEXT, -1, 0)]
    made = plan_row(fields, [REDACT if labelled else CLEAR, CLEAR], NO_KEYS, found())
    assert made is not None
    rows = [[b"x%d" % number, b"nothing"] for number in range(3 * BATCH_ROWS)]
    rows[place][1] = b"to alice@example.com"
    shown = [[b"****" if labelled else a, b.replace(b"alice@example.com", b"****")] for a, b in rows]
    assert made.apply(b"".join(row(*each) for each in rows)) == b"".join(row(*each) for each in shown)
    assert made.masked == ((0,) if labelled else ())


def test_a_labels_method_beats_what_is_found() -> None:
    fields = [Field(b"a", 0, 0, TEXT, -1, 0)]
    made = plan_row(fields, [Method("partial", keep_last=4)], NO_KEYS, found())
    assert made is not None
    assert made.apply(row(b"4111111111111111")) == row(b"************1111")


def test_null_is_for_the_whole_cell() -> None:
    made = mask(("a", TEXT), searched=found(ALL | {"email": NULL}))
    assert made.apply(row(b"x") + row(b"to alice@example.com") + row(b"123-45-6789 y")) == (
        row(b"x") + row(None) + row(b"**** y")
    )


@pytest.mark.parametrize("size", [BATCH_BYTES - 1, BATCH_BYTES, 3 * BATCH_BYTES])
def test_large_cells(size: int) -> None:
    large = b"x" * size + b" alice@example.com "
    rows = row(b"a", large) + row(b"bob@example.com", b"small")
    assert mask(("a", TEXT), ("b", TEXT)).apply(rows) == row(b"a", b"x" * size + b" **** ") + row(b"****", b"small")


def test_a_text_with_the_separator_in_it() -> None:
    """No PostgreSQL sends it, and nothing depends on that."""
    rows = row(b"a\0b") + row(b"alice@example.com\0") + row(b"c")
    assert mask(("a", TEXT)).apply(rows) == row(b"a\0b") + row(b"****\0") + row(b"c")


@pytest.mark.parametrize("damaged", [row(b"a")[:-1], row(b"a", b"b"), b"C" + row(b"a")[1:], row(b"a") + b"D"])
def test_what_does_not_parse_ends_the_session(damaged: bytes) -> None:
    with pytest.raises(PeerError):
        mask(("a", TEXT)).apply(damaged)


def test_json_at_a_labelled_path_without_detection() -> None:
    fields = [Field(b"id", 0, 0, TEXT, -1, 0), Field(b"a", 0, 0, JSON, -1, 0)]
    made = plan_row(fields, [CLEAR, CLEAR], json_paths=((parse_path("$..email"), REDACT),))
    assert made is not None
    assert made.apply(row(b"a@b.de", b'{"email":"x","b":"a@b.de"}')) == row(b"a@b.de", b'{"email":"****","b":"a@b.de"}')
    assert plan_row(fields[:1], [CLEAR], json_paths=((parse_path("$..email"), REDACT),)) is None


def test_a_labelled_column_of_json_is_masked_whole() -> None:
    made = plan_row([Field(b"a", 0, 0, JSONB, -1, 0)], [REDACT], json_paths=((parse_path("$.x"), CLEAR),))
    assert made is not None
    assert made.apply(row(b'{"x":1}')) == row(None)


def test_large_rows_that_are_searched_are_not_for_the_reactor() -> None:
    assert mask(("a", TEXT)).at_once == MAX_AT_ONCE
    labelled = plan_row([Field(b"a", 0, 0, TEXT, -1, 0)], [REDACT])
    assert labelled is not None
    assert labelled.at_once > 1 << 30


def test_nothing_to_search_is_no_plan() -> None:
    assert plan_row([Field(b"a", 0, 0, INT4, -1, 0)], [CLEAR], NO_KEYS, found()) is None


def test_a_vault_that_fails_lets_nothing_through() -> None:
    class Failing:
        def token(self, value: bytes) -> bytes:
            raise RuntimeError("no")

    made = plan_row(
        [Field(b"a", 0, 0, TEXT, -1, 0)], [CLEAR], Keyring({}, Failing()), found({"email": Method("token")})
    )
    assert made is not None
    with pytest.raises(RuntimeError):
        made.apply(row(b"alice@example.com"))
