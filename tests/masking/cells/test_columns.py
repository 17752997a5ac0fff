from __future__ import annotations

import pytest
from masking.cells.written import array_binary, stars

from gateway.json_paths import parse_path
from gateway.masking import Field
from gateway.masking.cells import Paths, labelled_cell, searched_column
from gateway.masking.cells.search import Labelled, Look
from gateway.masking.rows import Cell, framed
from gateway.model import Method, MethodName

TEXT_ARRAY, VARCHAR_ARRAY, INT4_ARRAY, INT8_ARRAY, JSON, TEXT, INT4, USER = 1009, 1015, 1007, 1016, 114, 25, 23, 16_500
REDACT, PARTIAL = Method("redact"), Method("partial", keep_last=2)


def field(type_oid: int, *, binary: bool = False, typmod: int = -1) -> Field:
    return Field(b"column", 20_000, 1, type_oid, typmod, int(binary))


def shown(cell: Cell, value: bytes) -> bytes | None:
    assert callable(cell)
    return cell(value)


class TestLabelled:
    def test_arrays_of_texts_keep_their_shape(self) -> None:
        assert (
            shown(labelled_cell(field(TEXT_ARRAY), REDACT), b'{{a,NULL},{"b c",d}}')
            == b'{{"****",NULL},{"****","****"}}'
        )
        assert shown(labelled_cell(field(TEXT_ARRAY), PARTIAL), b"{abcd}") == b'{"**cd"}'
        assert shown(labelled_cell(field(TEXT_ARRAY, binary=True), PARTIAL), array_binary([b"abcd"])) == array_binary(
            [b"**cd"]
        )

    def test_elements_fit_their_declared_length(self) -> None:
        assert shown(labelled_cell(field(VARCHAR_ARRAY, typmod=4 + 2), REDACT), b"{abcd}") == b'{"**"}'

    @pytest.mark.parametrize("type_oid", [INT4_ARRAY, INT8_ARRAY, JSON, USER])
    def test_what_cannot_hold_stars_is_null(self, type_oid: int) -> None:
        assert labelled_cell(field(type_oid), REDACT) == framed(None)

    @pytest.mark.parametrize("type_oid", [TEXT_ARRAY, TEXT, JSON])
    def test_null_and_clear(self, type_oid: int) -> None:
        assert labelled_cell(field(type_oid), Method("null")) == framed(None)
        assert labelled_cell(field(type_oid), Method("clear")) is None

    @pytest.mark.parametrize("name", ["redact", "partial", "hmac", "token"])
    def test_what_does_not_parse_is_null(self, name: MethodName) -> None:
        for binary in (False, True):
            cell = labelled_cell(field(TEXT_ARRAY, binary=binary), Method(name, keep_last=2, key="k"))
            assert cell == framed(None) or shown(cell, b"{secret") is None

    def test_elements_of_another_type_than_described_are_null(self) -> None:
        cell = labelled_cell(field(TEXT_ARRAY, binary=True), REDACT)
        assert shown(cell, array_binary([b"\0\0\0\7"], INT4)) == array_binary([None], INT4)


def look(value: bytes, hint: str) -> bytes | None:
    return stars(value)


def hashes(value: bytes) -> bytes | None:
    return b"####"


AT_A: Paths[Labelled] = Paths(((parse_path("$.a"), (REDACT, hashes)),))


class TestSearched:
    def test_nothing_is_searched_where_nothing_can_be(self) -> None:
        assert searched_column(field(INT4), look, Paths()) is None
        assert searched_column(field(TEXT), None, Paths()) is None

    @pytest.mark.parametrize(
        ("type_oid", "searched"), [(JSON, True), (199, True), (2249, True), (USER, True), (TEXT, False)]
    )
    def test_paths_alone(self, type_oid: int, searched: bool) -> None:
        column = searched_column(field(type_oid), None, AT_A)
        assert (column is not None) == searched
        if column is not None:
            assert column.texts(b"{}") is None
            assert type_oid != JSON or column.mask(b'{"a":"x","b":"hush"}') == b'{"a":"####","b":"hush"}'

    @pytest.mark.parametrize("look", [look, None])
    def test_what_does_not_parse_is_null(self, look: Look | None) -> None:
        column = searched_column(field(JSON), look, AT_A)
        assert column is not None
        assert column.mask(b'{"a":"x"') is None

    def test_texts_of_what_does_not_parse_are_not_known(self) -> None:
        column = searched_column(field(JSON), look, Paths())
        assert column is not None
        assert column.texts(b'{"a') is None
        assert column.texts(rb'{"\u0061":["b",1]}') == b"a\0b"
