"""Values as PostgreSQL's output functions write them: the slow and plain meaning that the codecs are held to."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

from hypothesis import strategies as st

Value: TypeAlias = bytes | None
Nested: TypeAlias = "list[Nested] | list[Value]"

SECRET = b"hush"
"""What `masked` finds, wherever it stands."""


def stars(value: bytes) -> bytes:
    return value.replace(SECRET, b"****") if SECRET in value else value


def null(value: bytes) -> bytes | None:
    return None if SECRET in value else value


def longer(value: bytes) -> bytes:
    """Needs every kind of quoting."""
    return b'{"' + value + b"\\, (NULL)" if SECRET in value else value


class Seen(list[bytes]):
    """Notes what it is given, and leaves it."""

    def __call__(self, value: bytes) -> bytes:
        self.append(value)
        return value


REWRITES = (stars, null, longer)

texts = st.lists(
    st.sampled_from(['"', "\\", ",", "{", "}", "(", ")", " ", "NULL", "null", "=>", "hush", "a", "é", "\n", "<", "&"]),
    max_size=8,
).map(lambda parts: "".join(parts).encode())
values = st.none() | texts


def array_text(elements: Sequence[object], bounds: str = "") -> bytes:
    """array_out."""
    return bounds.encode() + _braces(elements)


def _braces(elements: Sequence[object]) -> bytes:
    return b"{" + b",".join(_element(element) for element in elements) + b"}"


def _element(element: object) -> bytes:
    if element is None:
        return b"NULL"
    if isinstance(element, list):
        return _braces(element)
    assert isinstance(element, bytes)
    if element and element.upper() != b"NULL" and not any(code in b'",{}\\ \t\n\r\v\f' for code in element):
        return element
    return b'"' + element.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def framed(value: Value) -> bytes:
    return struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value


def array_binary(elements: Sequence[Value], type_oid: int = 25, dimensions: Sequence[int] | None = None) -> bytes:
    """array_send; the lower bounds are 1."""
    sizes = dimensions if dimensions is not None else [len(elements)] if elements else []
    head = struct.pack("!iiI", len(sizes), int(None in elements), type_oid)
    return head + b"".join(struct.pack("!ii", size, 1) for size in sizes) + b"".join(map(framed, elements))


def composite_text(fields: Sequence[Value]) -> bytes:
    """record_out."""
    return b"(" + b",".join(_field(field) for field in fields) + b")"


def _field(field: Value) -> bytes:
    if field is None:
        return b""
    if field and not any(code in b'",()\\ \t\n\r\v\f' for code in field):
        return field
    return b'"' + field.replace(b"\\", b"\\\\").replace(b'"', b'""') + b'"'


def composite_binary(fields: Sequence[tuple[int, Value]]) -> bytes:
    """record_send."""
    return struct.pack("!i", len(fields)) + b"".join(struct.pack("!I", oid) + framed(value) for oid, value in fields)


def hstore_text(pairs: Sequence[tuple[bytes, Value]]) -> bytes:
    """hstore_out."""
    return b", ".join(_quoted(key) + b"=>" + (b"NULL" if value is None else _quoted(value)) for key, value in pairs)


def _quoted(value: bytes) -> bytes:
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def hstore_binary(pairs: Sequence[tuple[bytes, Value]]) -> bytes:
    """hstore_send."""
    return struct.pack("!i", len(pairs)) + b"".join(framed(key) + framed(value) for key, value in pairs)
