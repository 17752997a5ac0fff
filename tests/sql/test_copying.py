"""What a COPY's text says about its rows."""

from __future__ import annotations

import pytest

from gateway.model import CopyFormat
from gateway.sql import LabelledCatalogue, analyse, resolve

TEXT, CSV, BINARY = CopyFormat(), CopyFormat("csv", b",", b""), CopyFormat("binary")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", TEXT),
        ("(format text)", TEXT),
        ("with (delimiter '|', null '')", CopyFormat(delimiter=b"|", null=b"")),
        ("with delimiter as '|' null as ''", CopyFormat(delimiter=b"|", null=b"")),
        ("(header)", CopyFormat(header=True)),
        ("(header 1)", CopyFormat(header=True)),
        ("(header 'ON')", CopyFormat(header=True)),
        ("(header false)", TEXT),
        ("(header 'match')", None),
        ("(format csv)", CSV),
        ("(format 'csv')", CSV),
        ("csv header", CopyFormat("csv", b",", b"", header=True)),
        ("csv header quote '''' escape 'e' delimiter ';' null 'x'", CopyFormat("csv", b";", b"x", True, b"'", b"e")),
        ("(format csv, quote '''')", CopyFormat("csv", b",", b"", quote=b"'", escape=b"'")),
        ("(format csv, force_quote *)", CSV),
        ("(format csv, force_quote (id, ssn))", CSV),
        ("csv force quote id", CSV),
        ("(format binary)", BINARY),
        ("binary", BINARY),
        ("(encoding 'UTF-8')", TEXT),
        ("(encoding 'sjis')", None),
        ("(null 'x')", None),
        ("(format csv, delimiter ';', escape ';')", None),
        ("(delimiter '||')", None),
        ("(format xml)", None),
        ("(freeze)", None),
        ("(header, header)", None),
        ("(format csv, log_verbosity verbose)", None),
    ],
)
def test_formats(options: str, expected: CopyFormat | None) -> None:
    [statement] = analyse(f"copy customers to stdout {options}").statements
    assert statement.copies is not None
    assert statement.copies.format == expected


def columns(sql: str, labelled: LabelledCatalogue) -> list[str] | None:
    copies = resolve(analyse(sql), labelled).copies
    return None if copies is None or copies.fields is None else [field.name.decode() for field in copies.fields]


def test_columns(labelled: LabelledCatalogue) -> None:
    assert columns("copy public.customers to stdout", labelled) == ["id", "name", "ssn", "email"]
    assert columns("copy public.customers (ssn, id) to stdout", labelled) == ["ssn", "id"]
    assert columns("copy public.customers (nothing) to stdout", labelled) is None
    assert columns("copy customers to stdout", labelled) is None, "there are two of that name"
    assert columns("copy nothing to stdout", labelled) is None
    assert columns("copy v_plain to stdout", labelled) is None
    assert columns("copy public.customers to stdout; copy public.customers to stdout", labelled) is None
    assert columns("copy public.customers from stdin", labelled) is None
    assert columns("copy public.customers to '/tmp/x'", labelled) is None
    query = resolve(analyse("copy (select 1) to stdout"), labelled).copies
    assert query is not None
    assert query.fields is None
