"""Rows of COPY: the inverse of what the server writes, and written again as it would."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.errors import PeerError
from gateway.masking import CopyMask, RowMask, plan_row
from gateway.model import CopyFormat, Method, ResultField

TEXT = 25
REDACT, CLEAR, NULL = Method("redact"), Method("clear"), Method("null")
Values = list[bytes | None]

CHARACTERS = st.sampled_from([*"ab0,;|\"'\\\t\n\r\b\v\fNx.é"])
VALUES = st.none() | st.text(CHARACTERS, max_size=8).map(str.encode)
ROWS = st.lists(VALUES, min_size=1, max_size=4)
TEXTS = st.builds(
    CopyFormat,
    delimiter=st.sampled_from([b"\t", b",", b"|", b"-", b"\x01", b'"', b"N"]),
    null=st.sampled_from([b"\\N", b""]),
).filter(lambda form: form.delimiter not in form.null)  # the server refuses it, too
CSVS = st.builds(
    CopyFormat,
    kind=st.just("csv"),
    delimiter=st.sampled_from([b",", b";", b"\t", b"1", b"\\"]),
    null=st.sampled_from([b"", b"\\N", b"NULL", b"a"]),
    quote=st.sampled_from([b'"', b"'", b"x", b"."]),
    escape=st.sampled_from([b'"', b"'", b"e", b"x", b"\\", b"."]),
).filter(lambda form: form.delimiter not in (form.quote, form.escape) and form.quote not in form.null
         and form.delimiter not in form.null)  # fmt: skip


def server_row(values: Values, form: CopyFormat, force: bool = False) -> bytes:
    """What the server writes: CopyAttributeOutText and CopyAttributeOutCSV of src/backend/commands/copyto.c, anew."""
    cells = []
    for value in values:
        if value is None:
            cells.append(form.null)
        elif form.kind == "csv":
            special = {form.delimiter, form.quote, b"\n", b"\r"}
            quoted = force or value == form.null or (len(values) == 1 and value == b"\\.")
            characters = [bytes([byte]) for byte in value]
            if quoted or special & set(characters):
                inside = [form.escape + one if one in (form.quote, form.escape) else one for one in characters]
                cells.append(form.quote + b"".join(inside) + form.quote)
            else:
                cells.append(value)
        else:
            names = {8: b"\\b", 12: b"\\f", 10: b"\\n", 13: b"\\r", 9: b"\\t", 11: b"\\v", 92: b"\\\\"}
            names |= {} if form.delimiter[0] in names else {form.delimiter[0]: b"\\" + form.delimiter}
            cells.append(b"".join(names.get(byte, bytes([byte])) for byte in value))
    return form.delimiter.join(cells) + b"\n"


def copy_data(*rows: bytes) -> bytes:
    return b"".join(b"d" + (len(row) + 4).to_bytes(4) + row for row in rows)


def plan(*methods: Method) -> RowMask:
    fields = [ResultField(b"c%d" % index, 0, 0, TEXT, -1, 0) for index in range(len(methods))]
    made = plan_row(fields, methods)
    assert made is not None
    return made


@dataclass
class Replacing:
    """Rows whose values become others, whatever they were."""

    values: Values
    masked: tuple[int, ...] = ()
    at_once: int = 1 << 30
    seen: bytes = b""

    def apply(self, data: bytes) -> bytes:
        self.seen += data
        body = b"".join(
            b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4) + value for value in self.values
        )
        return b"D" + (len(body) + 6).to_bytes(4) + len(self.values).to_bytes(2) + body


def data_row(values: Values) -> bytes:
    return Replacing(values).apply(b"x")


def as_seen(values: Values, form: CopyFormat) -> Values:
    """In text format an empty value looks like an empty NULL."""
    return [None if form.kind == "text" and value == form.null else value for value in values]


@given(ROWS, TEXTS | CSVS, st.booleans())
def test_values_are_those_that_the_server_wrote(values: Values, form: CopyFormat, force: bool) -> None:
    rows = Replacing(as_seen(values, form))
    written = copy_data(server_row(values, form, force))
    assert CopyMask(form, len(values), rows).apply(written) == written
    assert rows.seen == data_row(as_seen(values, form))


@given(ROWS, st.data(), TEXTS | CSVS)
def test_what_replaces_them_is_written_as_the_server_would(
    values: Values, data: st.DataObject, form: CopyFormat
) -> None:
    others = as_seen(data.draw(st.lists(VALUES, min_size=len(values), max_size=len(values))), form)
    shown = CopyMask(form, len(values), Replacing(others)).apply(copy_data(server_row(values, form)))
    rows = Replacing(others)
    CopyMask(form, len(values), rows).apply(shown)
    assert rows.seen == data_row(others)
    assume(all(other != value for other, value in zip(others, values, strict=True)))
    assert shown == copy_data(server_row(others, form))


@given(st.lists(ROWS.filter(lambda row: len(row) == 2), max_size=5), CSVS.filter(lambda form: form.null == b""))
def test_other_readers_read_the_same(rows: list[Values], form: CopyFormat) -> None:
    assume(form.quote == form.escape == b'"' and form.delimiter == b",")
    shown = CopyMask(form, 2, plan(REDACT, CLEAR)).apply(copy_data(*(server_row(row, form) for row in rows)))
    text = b"".join(message[5:] for message in _messages(shown)).decode()
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read == [
        ["" if first is None else "****", "" if second is None else second.decode()] for first, second in rows
    ]


def _messages(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = 1 + int.from_bytes(data[1:5])
        found.append(data[:size])
        data = data[size:]
    return found


def test_columns_are_masked_and_nulls_stay() -> None:
    mask = CopyMask(CopyFormat(), 3, plan(CLEAR, REDACT, NULL))
    assert mask.apply(copy_data(b"1\tsecret\tx\n", b"2\t\\N\t\\N\n")) == copy_data(b"1\t****\t\\N\n", b"2\t\\N\t\\N\n")
    assert mask.masked == (1, 2)


def test_a_header_passes_once() -> None:
    mask = CopyMask(CopyFormat("csv", b",", b"", header=True), 2, plan(CLEAR, REDACT))
    assert mask.apply(copy_data(b'id,"s,n"\n')) == copy_data(b'id,"s,n"\n')
    assert mask.apply(copy_data(b'id,"s,n"\n')) == copy_data(b"id,****\n")


def test_stars_look_like_no_null() -> None:
    mask = CopyMask(CopyFormat("csv", b",", b"****"), 1, plan(REDACT))
    assert mask.apply(copy_data(b"x\n", b"****\n")) == copy_data(b'"****"\n', b"****\n")


@pytest.mark.parametrize(
    ("row", "form"),
    [
        (b"a\tb\tc\n", CopyFormat()),
        (b"a\n", CopyFormat()),
        (b"a\tb", CopyFormat()),
        (b"", CopyFormat()),
        (b"a\tb\nc\td\n", CopyFormat()),
        (b"a\t\\x41\n", CopyFormat()),
        (b"a\t\\\n", CopyFormat()),
        (b'a,"b\n', CopyFormat("csv", b",", b"")),
        (b'a,b"c"\n', CopyFormat("csv", b",", b"")),
        (b'a,"b"c\n', CopyFormat("csv", b",", b"")),
        (b'a,"b"\nc,"d"\n', CopyFormat("csv", b",", b"")),
        (b"a,b\r\n", CopyFormat("csv", b",", b"")),
    ],
)
def test_what_the_server_never_writes_ends_the_session(row: bytes, form: CopyFormat) -> None:
    with pytest.raises(PeerError, match="does not parse"):
        CopyMask(form, 2, plan(CLEAR, REDACT)).apply(copy_data(row))


@given(st.binary(max_size=40), TEXTS | CSVS)
def test_no_bytes_do_anything_else(row: bytes, form: CopyFormat) -> None:
    try:
        shown = CopyMask(form, 2, plan(REDACT, REDACT)).apply(copy_data(row + b"\n"))
    except PeerError:
        return
    rows = Replacing([None, None])
    CopyMask(form, 2, rows).apply(shown)
    assert rows.seen in {data_row([first, second]) for first in (None, b"****") for second in (None, b"****")}


def test_a_table_without_columns() -> None:
    assert CopyMask(CopyFormat(), 0, Replacing([])).apply(copy_data(b"\n")) == copy_data(b"\n")
