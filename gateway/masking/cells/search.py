"""Finds what is to be masked in a value of any type, in both formats.

`Search` walks a value down to texts and gives each to its `look`; what that returns is put in the value's place,
written as the type demands. So one walk serves to mask values as well as to collect what a gate has to see of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial as bind
from typing import NoReturn, TypeAlias

from gateway.masking.cells import arrays, bytea, composites, hstore, json_text, numbers, xml_text
from gateway.masking.cells.json_paths import Paths, Place
from gateway.masking.cells.parsing import Malformed, Rewrite, TooDeep
from gateway.masking.cells.types import (
    BYTEA,
    CIDR,
    ELEMENTS,
    FLOAT8,
    INET,
    INT8,
    JSON,
    JSONB,
    NOTHING,
    NUMERIC,
    RECORD,
    XML,
)
from gateway.masking.methods import TEXT_TYPES
from gateway.model import Method

Look: TypeAlias = Callable[[bytes, str], bytes | None]
"""A text, and the name of the column or key that it stands under -> the same object, a masked text, or None: NULL."""

Labelled: TypeAlias = tuple[Method, Rewrite]
"""The method of a label that is bound to a JSON path, and what it makes of a text."""

MAX_NESTED = 8
"""Values of unknown types inside each other: a composite's array of composites is two, quotes double with each."""

JSONB_VERSION = b"\x01"

_EDGES = (re.compile(rb"\0{2,}+.", re.DOTALL), re.compile(rb"\0{2,}+..", re.DOTALL))
"""Lengths in front of values, with one byte that isn't zero and with two: a digit there must not look like a part of
the value."""


@dataclass(frozen=True, slots=True)
class Search:
    """How the values of one column are searched.

    look   sees each text
    hint   the column's name
    paths  labels bound to places in json: what is there is masked by its label, and not looked at
    """

    look: Look
    hint: str = ""
    paths: Paths[Labelled] = Paths()  # noqa: RUF009  # immutable

    def rewrite(self, type_oid: int, binary: bool, nested: int = 0) -> Rewrite | None:
        """For values of a type. None: nothing can stand in them. The rewrites raise Malformed."""
        if type_oid in NOTHING:
            return None
        if type_oid in TEXT_TYPES:
            return self.text
        if type_oid == JSON:
            return self.json
        if type_oid == JSONB:
            return self._jsonb if binary else self.json
        if type_oid == XML:
            return bind(xml_text.rewrite, text=self.text)
        if type_oid == BYTEA:
            return bind(bytea.rewrite_binary if binary else bytea.rewrite_text, text=self.text)
        if type_oid in _NUMBERS:
            return bind(self._number, _NUMBERS[type_oid] if binary else numbers.digits)
        if type_oid in (INET, CIDR):
            return bind(self._number, numbers.address) if binary else self._whole
        if nested == MAX_NESTED:
            return _too_deep
        by_type = bind(self.rewrite, binary=binary, nested=nested + 1)
        if type_oid == RECORD:
            if binary:
                return bind(composites.rewrite_binary, by_type=by_type)
            return bind(composites.rewrite_text, field=bind(self._unknown, nested=nested + 1))
        if type_oid in ELEMENTS:
            if binary:
                return bind(arrays.rewrite_binary, by_type=by_type)
            element = by_type(ELEMENTS[type_oid])
            assert element is not None
            return bind(arrays.rewrite_text, element=element)
        return bind(self._unknown_binary if binary else self._unknown, nested=nested)

    def text(self, value: bytes) -> bytes | None:
        """A text. One that is a JSON document with escapes can hide a value from who looks at its bytes."""
        if b"\\u" in value:
            try:
                return self.json(value)
            except TooDeep:
                raise
            except Malformed:
                pass
        return self.look(value, self.hint)

    def json(self, value: bytes) -> bytes:
        return json_text.rewrite(value, _Document(self))

    def _jsonb(self, value: bytes) -> bytes:
        if not value.startswith(JSONB_VERSION):
            raise Malformed("not jsonb: an unknown version")
        document = value[1:]
        masked = self.json(document)
        return value if masked is document else JSONB_VERSION + masked

    def _number(self, decode: Callable[[bytes], bytes | None], value: bytes) -> bytes | None:
        text = decode(value)
        return value if text is None or self.look(text, self.hint) is text else None

    def _whole(self, value: bytes) -> bytes | None:
        """Stays, or is NULL: nothing else is known to be valid for its type."""
        return value if self.look(value, self.hint) is value else None

    # --- types that only the database knows ---------------------------------------------------------------------

    def _unknown(self, value: bytes, nested: int) -> bytes | None:
        """In text format: taken apart as whatever it looks like, then searched as it stands."""
        if nested == MAX_NESTED:
            _too_deep(value)
        inner = bind(self._unknown, nested=nested + 1)
        first = value[:1]
        if first == b"(":
            readings: list[Callable[[bytes], bytes | None]] = [bind(composites.rewrite_text, field=inner)]
        elif first in (b"{", b"["):
            readings = [self.json, bind(arrays.rewrite_text, element=inner)]
        elif first == b'"':
            readings = [bind(hstore.rewrite_text, item=self.text), self.json]
        elif first == b"<":
            readings = [bind(xml_text.rewrite, text=self.text)]
        elif first == b"\\":
            readings = [bind(bytea.rewrite_text, text=self.text)]
        else:
            readings = []
        return self._read(value, readings)

    def _unknown_binary(self, value: bytes, nested: int) -> bytes | None:
        by_type = bind(self.rewrite, binary=True, nested=nested + 1)
        readings: list[Callable[[bytes], bytes | None]] = [
            bind(composites.rewrite_binary, by_type=by_type),
            bind(arrays.rewrite_binary, by_type=by_type),
            bind(hstore.rewrite_binary, item=self.text),
        ]
        shown = self._read(value, readings)
        if shown is not None and b"\0\0" in shown:
            for edge in _EDGES:
                marked = edge.sub(b"\n", shown)
                if self.look(marked, self.hint) is not marked:
                    return None
        return shown

    def _read(self, value: bytes, readings: list[Callable[[bytes], bytes | None]]) -> bytes | None:
        """The first reading that understands all of the value; NULL when something is left to find after it."""
        shown: bytes | None = value
        for reading in readings:
            try:
                shown = reading(value)
            except TooDeep:
                raise
            except Malformed:
                continue
            break
        return shown if shown is None or self.look(shown, self.hint) is shown else None


def _too_deep(value: bytes) -> NoReturn:
    raise TooDeep(f"more than {MAX_NESTED} values inside each other")


_NUMBERS: dict[int, Callable[[bytes], bytes | None]] = {
    INT8: numbers.int8_digits,
    FLOAT8: numbers.float8_digits,
    NUMERIC: numbers.numeric_digits,
}
"""How to read them in binary format."""


@dataclass(frozen=True, slots=True)
class _Document:
    """Looks at one JSON document (`json_text.Visitor`)."""

    search: Search

    @property
    def root(self) -> Place:
        return self.search.paths.root

    def below(self, place: Place, child: str | int) -> Place:
        return self.search.paths.below(place, child)

    def string(self, place: Place, value: str, key: str) -> str | None:
        labelled = self._labelled(place)
        if labelled is None:
            return self._looked(value, key)
        method, make = labelled
        if method.name == "clear":
            return value
        made = make(_bytes(value))
        return None if made is None else _str(made)

    def key(self, value: str) -> str:
        shown = self._looked(value, "")
        return "****" if shown is None else shown

    def keeps(self, place: Place, scalar: bytes, key: str) -> bool:
        labelled = self._labelled(place)
        if labelled is not None:
            return labelled[0].name == "clear"
        digits = numbers.digits(scalar)
        return digits is None or self.search.look(digits, key or self.search.hint) is digits

    def _labelled(self, place: Place) -> Labelled | None:
        """The strictest label's."""
        if not place:
            return None
        return min(self.search.paths.at(place), key=lambda labelled: labelled[0].strictness, default=None)

    def _looked(self, value: str, key: str) -> str | None:
        text = _bytes(value)
        shown = self.search.look(text, key or self.search.hint)
        if shown is text:
            return value
        return None if shown is None else _str(shown)


def _bytes(text: str) -> bytes:
    """Halves of surrogate pairs, which json can hold, as if they were characters."""
    return text.encode("utf-8", "surrogatepass")


def _str(text: bytes) -> str | None:
    """None for what isn't UTF-8: a value was cut inside a character."""
    try:
        return text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
