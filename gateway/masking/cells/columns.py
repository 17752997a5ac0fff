"""What happens to the cells of one column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial as bind

from gateway.masking.cells import arrays
from gateway.masking.cells.json_paths import Paths
from gateway.masking.cells.numbers import MIN_DIGITS
from gateway.masking.cells.parsing import Malformed, Rewrite
from gateway.masking.cells.search import Labelled, Look, Search
from gateway.masking.cells.types import (
    BYTEA,
    CIDR,
    ELEMENTS,
    FLOAT8,
    INET,
    INT8,
    JSON,
    JSONB,
    NUMERIC,
    RECORD,
    XML,
)
from gateway.masking.fields import Field
from gateway.masking.methods import NO_KEYS, TEXT_TYPES, Keyring, cell_for
from gateway.masking.rows import SEPARATOR, Cell, framed
from gateway.model import Method

BINARY = 1

_WITHOUT_JSON = (
    TEXT_TYPES
    | {BYTEA, INT8, XML, FLOAT8, NUMERIC, INET, CIDR}
    | {array for array, element in ELEMENTS.items() if element not in (JSON, JSONB, RECORD)}
)
"""Where labels that are bound to JSON paths can't apply. A type of the database's own may have json in it."""


def labelled_cell(field: Field, method: Method, keyring: Keyring = NO_KEYS) -> Cell:
    """For a column with a label: an array element by element where the method can mask elements, all else whole."""
    element_type = ELEMENTS.get(field.type_oid)
    if element_type is None or method.name in ("clear", "null"):
        return cell_for(method, field, keyring)
    element = cell_for(method, replace(field, type_oid=element_type), keyring)
    if element is None or element == framed(None):
        return element
    rewrite = _constant(element) if isinstance(element, bytes) else element
    if field.format != BINARY:
        return _valid_or_null(bind(arrays.rewrite_text, element=rewrite))
    return _valid_or_null(bind(arrays.rewrite_binary, by_type=bind(_only, element_type, rewrite)))


def _constant(frame: bytes) -> Rewrite:
    value = frame[4:]
    return lambda _: value


def _only(expected: int, rewrite: Rewrite, type_oid: int) -> Rewrite:
    """Elements of another type than the column's become NULL."""
    return rewrite if type_oid == expected else _null


def _null(value: bytes) -> None:
    return None


def _valid_or_null(rewrite: Rewrite) -> Rewrite:
    """What doesn't parse can't be masked by its parts."""

    def masked(value: bytes) -> bytes | None:
        try:
            return rewrite(value)
        except Malformed:
            return None

    return masked


@dataclass(frozen=True, slots=True)
class SearchedColumn:
    """How the cells of a column come before the gate, and what becomes of those that may hold something.

    hint      the column's name
    mask      a cell -> the same object, the masked cell, or None: NULL
    texts     a cell -> the texts in it, between `rows.SEPARATOR`; None: only `mask` can tell
    escapes   a cell with none of these bytes holds its texts as they are, so that the gate can judge it as it stands;
              None: no cell does, `texts` takes it apart
    shortest  cells of less than this many bytes hold nothing
    joins     cells are texts, so that many of them can be masked as one, with `rows.SEPARATOR` between
    """

    hint: str
    mask: Rewrite
    texts: Callable[[bytes], bytes | None]
    escapes: bytes | None = None
    shortest: int = 0
    joins: bool = False


def searched_column(field: Field, look: Look | None, paths: Paths[Labelled]) -> SearchedColumn | None:
    """For a column without a label; None when nothing to mask can stand in it.

    look   masks what is found in a text; None: nothing is searched for, only ``paths`` count
    paths  labels that are bound to places in json
    """
    type_oid, binary = field.type_oid, field.format == BINARY
    has_paths = bool(paths) and type_oid not in _WITHOUT_JSON
    if look is None and not has_paths:
        return None
    hint = field.name.decode("utf-8", "replace")
    rewrite = Search(look or _stays, hint, paths).rewrite(type_oid, binary)
    if rewrite is None:
        return None
    column = bind(SearchedColumn, hint, _valid_or_null(rewrite))
    if has_paths:
        return column(_unseen)
    texts = bind(_texts, type_oid, binary)
    if type_oid in TEXT_TYPES:
        return column(texts, b"\\", joins=True)
    if type_oid in (JSON, JSONB):
        return column(texts, b"\\")
    if type_oid == XML:
        return column(texts, b"&")
    if binary or type_oid == BYTEA:
        return column(texts)
    if type_oid in (INT8, NUMERIC):
        return column(texts, b"", MIN_DIGITS)
    if type_oid == FLOAT8:
        return column(texts, b"e")
    return column(texts, b'\\"&')


def _stays(text: bytes, hint: str) -> bytes:
    return text


def _unseen(value: bytes) -> None:
    """Values at a path are masked whatever they are; the gate says nothing about them."""
    return


def _texts(type_oid: int, binary: bool, value: bytes) -> bytes | None:
    found: list[bytes] = []

    def collect(text: bytes, hint: str) -> bytes:
        found.append(text)
        return text

    rewrite = Search(collect).rewrite(type_oid, binary)
    assert rewrite is not None
    try:
        rewrite(value)
    except Malformed:
        return None
    return SEPARATOR.join(found)
